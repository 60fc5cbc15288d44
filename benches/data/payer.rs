//! A payer that asks for laboratory results under the first contract of this repository's policies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use portcullis::clock::Now;
use portcullis::decide::{
    Caller, CoverageFact, DecisionCache, EngineSetting, Facts, LookBack, Membership, PatientFacts, Permit, Policies,
    PolicySet, PolicySettings, ScopeGrant, decide,
};
use portcullis::fhir::name::{Id, ResourceType};
use portcullis::id::{DecisionId, Token128};
use portcullis::understand::{Asked, Interaction, PageKey, Setting, understand};

use super::searchset::PATIENT;

/// The query that it asks with.
const QUERY: &str = "patient=p1&category=laboratory&_count=100";

/// Everything a decision depends on but the policies.
pub(crate) struct Payer {
    organization: String,
    purpose: String,
    attributes: BTreeMap<String, String>,
    lookback: LookBack,
    facts: Facts,
    patients: [Id; 1],
}

impl Payer {
    /// The payer of the first contract, whose patient is on its roster and covered.
    pub(crate) fn of_the_first_contract() -> Self {
        let text = include_str!("../../policies/data/contracts.json");
        let file: serde_json::Value = serde_json::from_str(text).expect("contracts are JSON");
        let contract = file.pointer("/contracts/0").expect("there is a contract");
        let text = |path: &str| contract.pointer(path).and_then(|value| value.as_str()).expect("a text").to_owned();
        let patient = Id::parse(PATIENT).expect("an id");
        let start = Some("2024-01-01".parse().expect("a day"));
        let coverage = CoverageFact {
            status: "active".into(),
            payor_references: vec![text("/payor_references/0").into()],
            payor_identifiers: Vec::new(),
            subscriber_id: None,
            types: Vec::new(),
            start,
            end: None,
        };
        let roster = text("/roster").as_str().into();
        let known = PatientFacts {
            coverage: vec![coverage],
            consents: Vec::new(),
            roster: vec![Membership { roster, member_id: "M1".into(), start, end: None }],
        };
        Self {
            organization: text("/organization"),
            purpose: text("/purposes/0"),
            attributes: BTreeMap::new(),
            lookback: LookBack::default(),
            facts: Facts { patients: BTreeMap::from([(patient.clone(), known)]) },
            patients: [patient],
        }
    }

    /// The patients its search is about.
    pub(crate) fn patients(&self) -> &[Id] {
        &self.patients
    }

    /// Its search, understood.
    pub(crate) fn search(&self) -> Interaction {
        let pages = PageKey::random().expect("randomness");
        let setting = Setting { bases: &[], pages: &pages, client: "payer-a", purpose: &self.purpose, now: now() };
        let asked = Asked { post: false, path: &["Observation"], query: Some(QUERY), form: None };
        understand(asked, setting).expect("a search that is served")
    }

    /// The decision on it.
    pub(crate) fn decide(&self, policies: &PolicySet, cache: &DecisionCache, search: &Interaction) -> Permit {
        let observation = ResourceType::parse("Observation").ok();
        let scopes = [ScopeGrant { resource_type: observation, read: true, search: true, constraint: None }];
        let caller = Caller {
            id: "payer-a",
            organization: &self.organization,
            purpose: &self.purpose,
            scopes: &scopes,
            attributes: &self.attributes,
        };
        let id = DecisionId(Token128::from_bytes([7; 16]));
        decide(policies, cache, &caller, search, &self.patients, &self.facts, &self.lookback, now(), id)
            .expect("a permission")
    }
}

/// The policies of this repository, under a contract that does not ask who answers for a record: what that costs is measured
/// by itself, and the filter without it.
pub(crate) fn policies(engine: EngineSetting) -> Policies {
    let settings = PolicySettings { engine, ..PolicySettings::default() };
    let folder = std::env::temp_dir().join(format!("portcullis-bench-{}-{engine:?}", std::process::id()));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), &folder);
    let contracts = folder.join("data/contracts.json");
    let text = fs::read_to_string(&contracts).expect("contracts");
    let mut file: serde_json::Value = serde_json::from_str(&text).expect("contracts are JSON");
    let contract = file.pointer_mut("/contracts/0").and_then(|contract| contract.as_object_mut());
    contract.expect("there is a contract").insert("attributed".to_owned(), false.into());
    fs::write(&contracts, file.to_string()).expect("contracts that can be written");
    let policies = Policies::load(&folder, settings).expect("policies that are admitted");
    fs::remove_dir_all(&folder).expect("a folder that was just made");
    policies
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for temporary files");
    for entry in fs::read_dir(from).expect("policies") {
        let path = entry.expect("policies").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a policy");
        }
    }
}

fn now() -> Now {
    Now::at("2026-11-23T12:00:00Z".parse().expect("an instant"))
}
