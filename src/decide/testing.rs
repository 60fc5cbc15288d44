//! Permits for the tests of later steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;

use super::decision::{Decided, read};
use super::obligations::{Obligations, Patients};
use super::permit::{Engine, Permit, Revision};
use super::policy::PolicySettings;
use super::roster::Roster;
use super::scope::{Holdings, ScopeGrant, bind};
use super::sensitivity::Sensitivity;
use crate::id::{DecisionId, Token128};
use crate::understand::Interaction;

/// The obligations of a decision document, for a caller whose scopes reach everything.
pub(crate) fn obligations(decision: &str, interaction: &Interaction) -> Obligations {
    obligations_with(decision, interaction, Roster::empty())
}

/// As [`obligations`], with a roster whose memberships are judged on 2026-11-23.
pub(crate) fn obligations_with(decision: &str, interaction: &Interaction, roster: Roster) -> Obligations {
    let Decided::Permitted(permitted) = read(decision).unwrap() else { panic!("not a permission") };
    let all = ScopeGrant { resource_type: None, read: true, search: true, constraint: None };
    bind(permitted, &[all], interaction, &holdings(roster, ""), date(2026, 11, 23)).ok().unwrap()
}

/// As [`obligations`], with a sensitivity list.
pub(crate) fn obligations_listing(decision: &str, interaction: &Interaction, list: &str) -> Obligations {
    let Decided::Permitted(permitted) = read(decision).unwrap() else { panic!("not a permission") };
    let all = ScopeGrant { resource_type: None, read: true, search: true, constraint: None };
    bind(permitted, &[all], interaction, &holdings(Roster::empty(), list), date(2026, 11, 23)).ok().unwrap()
}

/// What comes with policies that have this roster and this list.
pub(super) fn holdings(roster: Roster, list: &str) -> Holdings {
    let lists = if list.is_empty() { Vec::new() } else { vec![("sensitivity/list.csv".to_owned(), list.to_owned())] };
    let revision = Revision::new(format!("{list:0>64}"));
    Holdings { roster: Arc::new(roster), sensitivity: Arc::new(Sensitivity::read(&lists).unwrap()), revision }
}

/// A permit bound to a decision document.
pub(crate) fn permit(decision: &str, interaction: &Interaction) -> Permit {
    permit_bound_to(obligations(decision, interaction))
}

/// A permit bound to these obligations.
pub(crate) fn permit_bound_to(obligations: Obligations) -> Permit {
    Permit {
        decision: DecisionId(Token128::from_bytes([7; 16])),
        revision: Revision::new("0".repeat(64)),
        obligations: Arc::new(obligations),
        engine: Engine::Interpreter,
        cached: false,
        registry: None,
    }
}

/// A decision that permits these patients' records of these types whole, with no labels withheld and no includes.
pub(crate) fn whole(patients: &[&str], types: &[&str]) -> String {
    let patients: Vec<String> = patients.iter().map(|id| format!("{id:?}")).collect();
    let types: Vec<String> = types.iter().map(|name| format!(r#"{name:?}:{{"elements":["*"]}}"#)).collect();
    format!(
        r#"{{"allow":true,"reasons":[{{"code":"test","text":"Test.","basis":"Test"}}],"patients":[{}],"types":{{{}}},
            "withhold_labels":[],"includes":[]}}"#,
        patients.join(","),
        types.join(",")
    )
}

/// A folder of policies that is gone when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A folder with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("portcullis-{}", Token128::random().unwrap())));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    /// Writes one file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Settings under which a busy machine makes no decision late.
pub(crate) fn unhurried() -> PolicySettings {
    PolicySettings { time: Duration::from_secs(20), ..PolicySettings::default() }
}

#[test]
fn a_whole_permission_is_understood() {
    let interaction = super::tests::read("Observation", "o1");
    let obligations = obligations(&whole(&["p1"], &["Observation"]), &interaction);
    assert!(matches!(obligations.patients(), Patients::Listed(ids) if ids.len() == 1));
}
