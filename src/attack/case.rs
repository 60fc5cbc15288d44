//! The cases of a file: one JSON object a line.

use std::collections::BTreeMap;

use crate::attack::members::Members as _;
use serde_json::Value as Json;

/// One case, with what is common to all already read.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) class: String,
    pub(crate) title: String,
    pub(crate) severity: String,
    pub(crate) grant: Json,
    pub(crate) request: Json,
    pub(crate) must_hold: Json,
    pub(crate) setup: Vec<Json>,
    pub(crate) upstream: Option<Json>,
    pub(crate) faults: Vec<String>,
    pub(crate) needs: Option<Json>,
    /// Members that are not known.
    pub(crate) unknown: Vec<String>,
}

/// What cases stand on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) fixtures: Json,
    /// Earlier versions, for cases that need them.
    pub(crate) earlier: Json,
    /// Grants by their names.
    pub(crate) grants: BTreeMap<String, Json>,
}

/// The cases of a file. A line that is none is told by its number.
pub(crate) fn read(text: &str, file: &str) -> Result<Vec<Case>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| one(line).ok_or_else(|| format!("{file}:{}: no case", number + 1))).collect()
}

/// The grants that cases carry, by their names.
pub(crate) fn grants(cases: &[Case]) -> BTreeMap<String, Json> {
    let named = |case: &Case| Some((case.grant.at("id").as_str()?.to_owned(), case.grant.clone()));
    cases.iter().filter_map(named).collect()
}

fn one(line: &str) -> Option<Case> {
    const KNOWN: [&str; 15] = [
        "id",
        "class",
        "title",
        "request",
        "policy_context",
        "must_hold",
        "severity",
        "source",
        "setup",
        "upstream",
        "fault",
        "needs",
        "note",
        "notes",
        "comment",
    ];
    let case: Json = serde_json::from_str(line).ok()?;
    let text = |name: &str| case.at(name).as_str().map(ToOwned::to_owned);
    let there = |name: &str| case.get(name).filter(|value| !value.is_null()).cloned();
    let members = case.as_object()?.keys();
    let mut unknown: Vec<String> = members.filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect();
    let faults = match there("fault") {
        None => Vec::new(),
        Some(Json::String(fault)) => vec![fault],
        Some(Json::Array(faults)) => faults.iter().filter_map(Json::as_str).map(ToOwned::to_owned).collect(),
        Some(other) => {
            unknown.push(format!("fault {other}"));
            Vec::new()
        }
    };
    let needs = there("needs");
    for file in needs.iter().flat_map(|needs| needs.as_array().into_iter().flatten()) {
        if file != "attack-fixtures-v1.json" {
            unknown.push(format!("needs {file}"));
        }
    }
    Some(Case {
        id: text("id")?,
        class: text("class")?,
        title: text("title")?,
        severity: text("severity")?,
        grant: case.at("policy_context").get("grant")?.clone(),
        request: there("request")?,
        must_hold: there("must_hold")?,
        setup: case.at("setup").as_array().cloned().unwrap_or_default(),
        upstream: there("upstream"),
        faults,
        needs,
        unknown,
    })
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Where something is worth saying, how.
    Passed(Option<String>),
    Failed(Vec<String>),
    /// With what the harness cannot do.
    Unsupported(Vec<String>),
    /// Nothing that it demands holds under any policy, and why.
    NotApplicable(&'static str),
    /// Not run, on purpose, and why.
    LeftOut(String),
}
