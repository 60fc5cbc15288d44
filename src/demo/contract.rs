//! The agreement between the invented clinic and the Lanternfield Health Plan, as a folder of policies.
//!
//! Takes: the starter policies of this repository, compiled in. Gives: the files of a policy folder. Guarantees: the
//! rules are the repository's own, to the letter; of the starter contract only the names of the parties differ.
//! Refuses: a starter contract of another shape.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use thiserror::Error;

/// The rules, by file name.
const RULES: &[(&str, &str)] = &[
    ("consent.rego", include_str!("../../policies/portcullis/consent.rego")),
    ("contract.rego", include_str!("../../policies/portcullis/contract.rego")),
    ("decision.rego", include_str!("../../policies/portcullis/decision.rego")),
    ("labels.rego", include_str!("../../policies/portcullis/labels.rego")),
    ("member.rego", include_str!("../../policies/portcullis/member.rego")),
    ("reasons.rego", include_str!("../../policies/portcullis/reasons.rego")),
    ("release.rego", include_str!("../../policies/portcullis/release.rego")),
];

const LABELS: &str = include_str!("../../policies/data/labels.json");
const STARTER_CONTRACTS: &str = include_str!("../../policies/data/contracts.json");

/// The payer, as its contract and its registration name it.
pub const ORGANIZATION: &str = "https://lanternfield.example";

/// Why there is no policy folder.
#[derive(Debug, Error)]
pub enum ContractError {
    /// The starter contract is not what the demonstration knows.
    #[error("the starter contract has another shape")]
    Shape,
    /// A file could not be written.
    #[error("cannot write the policies: {0}")]
    Write(#[from] io::Error),
}

/// Writes the policy folder.
pub fn write(folder: &Path) -> Result<(), ContractError> {
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    for (name, text) in RULES {
        fs::write(folder.join(name), text)?;
    }
    fs::write(data.join("labels.json"), LABELS)?;
    fs::write(data.join("contracts.json"), format!("{:#}\n", contracts().ok_or(ContractError::Shape)?))?;
    Ok(())
}

/// The starter contract with Lanternfield as the payer.
fn contracts() -> Option<Value> {
    let mut starter: Value = serde_json::from_str(STARTER_CONTRACTS).ok()?;
    let contract = starter.get_mut("contracts")?.get_mut(0)?.as_object_mut()?;
    for (name, value) in [
        ("organization", json!(ORGANIZATION)),
        ("roster", json!("lanternfield")),
        ("payor_references", json!(["Organization/lanternfield"])),
        ("payor_identifiers", json!([])),
        ("member_id_system", json!("http://lanternfield.example/member-id")),
        ("basis", json!("45 CFR 164.506(c)(3); minimum necessary protocol 164.514(d)(3)(i); an invented agreement")),
    ] {
        *contract.get_mut(name)? = value;
    }
    Some(starter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Policies, PolicySettings};
    use crate::store::scratch::Scratch;

    #[test]
    fn no_rule_of_the_repository_is_left_out() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/portcullis");
        let mut there: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".rego") && !name.ends_with("_test.rego"))
            .collect();
        there.sort();
        assert_eq!(RULES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), there);
    }

    #[test]
    fn the_folder_is_admitted_and_names_nobody_else() {
        let folder = Scratch::new();
        write(&folder).unwrap();
        Policies::load(&folder, PolicySettings::default()).unwrap();
        let written: Value =
            serde_json::from_str(&fs::read_to_string(folder.join("data/contracts.json")).unwrap()).unwrap();
        let starter: Value = serde_json::from_str(STARTER_CONTRACTS).unwrap();
        assert_eq!(written["contracts"].as_array().unwrap().len(), 1);
        assert_eq!(
            written["contracts"][0]["types"]["Observation"]["elements"],
            starter["contracts"][0]["types"]["Observation"]["elements"]
        );
        let parties = ["organization", "roster", "payor_references", "member_id_system"];
        assert!(parties.iter().all(|name| written["contracts"][0][name].to_string().contains("lanternfield")));
    }
}
