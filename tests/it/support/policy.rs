//! Policies, written into the test that needs them.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::folder::Folder;

/// Files of a policy folder, and what goes with them in the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) files: Vec<(String, String)>,
    pub(crate) facts: Vec<&'static str>,
    pub(crate) roster: Option<String>,
}

impl Policy {
    pub(crate) fn write(&self, folder: &Folder) {
        let _ = fs::remove_dir_all(folder.path().join("policies"));
        fs::create_dir_all(folder.path().join("policies")).unwrap();
        for (name, text) in &self.files {
            folder.write(&format!("policies/{name}"), text);
        }
        if let Some(roster) = &self.roster {
            folder.write("roster.csv", roster);
        }
    }
}

/// One module with this body.
pub(crate) fn policy(body: &str) -> Policy {
    let text = format!("package portcullis\n\n{body}\n");
    Policy { files: vec![("decision.rego".to_owned(), text)], ..Policy::default() }
}

/// Permits all types of the patients that a request names, but for what these members say instead.
pub(crate) fn permitting(members: &str) -> Policy {
    policy(&format!(
        r#"
default decision := {{"allow": false, "reasons": [{{"code": "never", "text": "Never.", "basis": "none"}}]}}

decision := object.union(permission, {{{members}}}) if input.client.id != ""

permission := {{
	"allow": true,
	"reasons": [{{"code": "test", "text": "Because.", "basis": "none"}}],
	"patients": input.request.patients,
	"types": {{"*": {{"elements": ["*"]}}}},
	"withhold_labels": [],
	"includes": [],
}}
"#
    ))
}

/// Permits everything about the patients that a request names, and keeps answers for a minute.
pub(crate) fn everything() -> Policy {
    policy(
        r#"
default decision := {"allow": false, "reasons": [{"code": "never", "text": "Never.", "basis": "none"}]}

decision := {
	"allow": true,
	"reasons": [{"code": "test", "text": "Everything about the patient.", "basis": "none"}],
	"patients": input.request.patients,
	"types": {"*": {"elements": ["*"]}},
	"withhold_labels": [],
	"includes": ["Observation:subject", "Observation:encounter", "Observation:performer", "MedicationRequest:requester", "Provenance:target"],
	"cache_seconds": 60,
} if {
	input.client.purpose != "TREAT"
}
"#,
    )
}

/// The starter contract of this repository, agreed with the payer of the invented clinic.
pub(crate) fn starter() -> Policy {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    for (name, text) in &mut files {
        if name.ends_with("contracts.json") {
            *text = agreed_with_lanternfield(text);
        }
    }
    let roster = Some(portcullis::demo::data::ROSTER.to_owned());
    Policy { files, facts: vec!["roster", "coverage", "consent"], roster }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            collect(root, &path, files);
        } else if !name.starts_with("schema") && !name.ends_with(".md") {
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn agreed_with_lanternfield(text: &str) -> String {
    let mut data: Json = serde_json::from_str(text).unwrap();
    let contract = &mut data["contracts"][0];
    contract["organization"] = json!("https://lanternfield.example");
    contract["roster"] = json!("lanternfield");
    contract["payor_references"] = json!(["Organization/lanternfield"]);
    contract["member_id_system"] = json!("http://lanternfield.example/member-id");
    data.to_string()
}
