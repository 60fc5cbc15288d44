//! The records that policies are tried on: a few of our own, and ten patients where the folder with them is there.
//!
//! Takes: JSON. Gives: [`Records`], each with its type, and what may be asked of them. Synthetic all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::fuzz::dom::Dom;

/// A code, with its system or without.
type Code = (Option<String>, String);

/// Records of one patient and of others beside them.
#[derive(Debug)]
pub(super) struct Records {
    /// The patient that is asked about.
    pub(super) patient: String,
    /// The texts, as an EHR sends them.
    pub(super) texts: Vec<String>,
    /// The type of each.
    pub(super) types: Vec<String>,
    /// Every path of elements that some record of a type has, as a decision may list it.
    pub(super) paths: BTreeMap<String, Vec<String>>,
    /// Every code of `code`, `category` and `status`, by type and parameter.
    pub(super) codes: BTreeMap<(String, &'static str), Vec<Code>>,
}

/// How deep a listed element may lie.
const DEPTH: usize = 4;

impl Records {
    fn of(patient: &str, texts: Vec<String>) -> Self {
        let mut records = Self {
            patient: patient.to_owned(),
            types: Vec::new(),
            texts,
            paths: BTreeMap::new(),
            codes: BTreeMap::new(),
        };
        let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for text in &records.texts {
            let record = Dom::read(text).expect("a record is JSON");
            let resource_type = record.text_of("resourceType").expect("a type").to_owned();
            let found = paths.entry(resource_type.clone()).or_default();
            for (name, value) in record.members() {
                collect(name, value, 1, found);
            }
            for parameter in ["code", "category", "status"] {
                let known = records.codes.entry((resource_type.clone(), parameter)).or_default();
                for code in codes(&record, parameter) {
                    if !known.contains(&code) {
                        known.push(code);
                    }
                }
            }
            records.types.push(resource_type);
        }
        records.paths = paths.into_iter().map(|(name, found)| (name, found.into_iter().collect())).collect();
        records
    }

    /// The types that a search may be for.
    pub(super) fn owned_types(&self) -> Vec<String> {
        let searched = [
            "Patient",
            "Observation",
            "Condition",
            "Encounter",
            "Procedure",
            "DiagnosticReport",
            "MedicationRequest",
            "Immunization",
            "CarePlan",
            "Claim",
            "Goal",
            "Coverage",
            "DocumentReference",
            "AllergyIntolerance",
            "ImagingStudy",
        ];
        self.paths.keys().filter(|name| searched.contains(&name.as_str())).cloned().collect()
    }
}

/// The paths of an element and of what is in it, with choice elements under their base name too.
fn collect(path: &str, value: &Dom, depth: usize, found: &mut BTreeSet<String>) {
    let last = path.rsplit('.').next().unwrap_or(path);
    let plain = last.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && last.starts_with(|first: char| first.is_ascii_lowercase());
    if !plain || ["resourceType", "id", "meta", "contained", "extension", "modifierExtension", "text"].contains(&path) {
        return;
    }
    found.insert(path.to_owned());
    for base in ["value", "effective", "onset", "abatement", "performed", "medication", "deceased", "occurrence"] {
        if last.len() > base.len() && last.starts_with(base) {
            found.insert(format!("{}{base}[x]", &path[..path.len() - last.len()]));
        }
    }
    for value in value.each().iter().filter(|_| depth < DEPTH) {
        for (name, below) in value.members() {
            collect(&format!("{path}.{name}"), below, depth + 1, found);
        }
    }
}

fn codes(record: &Dom, parameter: &str) -> Vec<Code> {
    let mut codes = Vec::new();
    for value in record.get(parameter).map(Dom::each).unwrap_or_default() {
        codes.extend(value.text().map(|code| (None, code.to_owned())));
        for coding in value.get("coding").map(Dom::each).unwrap_or_default() {
            if let (Some(system), Some(code)) = (coding.text_of("system"), coding.text_of("code")) {
                codes.extend([(Some(system.to_owned()), code.to_owned()), (None, code.to_owned())]);
            }
        }
    }
    codes.retain(|(_, code)| code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    codes
}

/// Our own, with everything in them that a filter must look at.
pub(super) fn own() -> Records {
    let Some(Dom::Array(all)) = Dom::read(include_str!("records.json")) else { panic!("not an array") };
    Records::of("p1", all.iter().map(ToString::to_string).collect())
}

/// Ten patients, each with a few records of the next one among theirs; none where the folder is not there.
pub(super) fn patients() -> Vec<Records> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/patients/synthea-2019-enriched");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("left out: there is no {}", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bundles: Vec<(String, Vec<String>)> =
        files.iter().map(|file| bundle(&fs::read_to_string(file).unwrap())).collect();
    let with_strangers = |(at, (patient, texts)): (usize, &(String, Vec<String>))| {
        let (_, strangers) = &bundles[(at + 1) % bundles.len()];
        Records::of(patient, texts.iter().chain(strangers.iter().step_by(40)).cloned().collect())
    };
    bundles.iter().enumerate().map(with_strangers).collect()
}

/// The patient's id and the resources of a transaction, whose references then are those of a server.
fn bundle(text: &str) -> (String, Vec<String>) {
    let whole = Dom::read(text).expect("a Bundle is JSON");
    let entries = whole.get("entry").map(Dom::items).unwrap_or_default();
    let mut names = BTreeMap::new();
    let mut patient = String::new();
    for entry in entries {
        let (url, resource) = (entry.text_of("fullUrl").expect("a url"), entry.get("resource").expect("a resource"));
        let (resource_type, id) = (resource.text_of("resourceType").unwrap(), resource.text_of("id").expect("an id"));
        names.insert(url.to_owned(), format!("{resource_type}/{id}"));
        if resource_type == "Patient" {
            patient = id.to_owned();
        }
    }
    let texts = entries.iter().filter_map(|entry| entry.get("resource")).map(|resource| {
        let named = referring(resource, &names);
        named.to_string()
    });
    (patient, texts.collect())
}

fn referring(value: &Dom, names: &BTreeMap<String, String>) -> Dom {
    match value {
        Dom::Text(text) => Dom::Text(names.get(text).unwrap_or(text).clone()),
        Dom::Array(items) => Dom::Array(items.iter().map(|item| referring(item, names)).collect()),
        Dom::Object(members) => {
            Dom::Object(members.iter().map(|(name, value)| (name.clone(), referring(value, names))).collect())
        }
        other => other.clone(),
    }
}
