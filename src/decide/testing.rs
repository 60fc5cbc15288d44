//! Permits for the tests of later steps.

use std::sync::Arc;

use jiff::civil::date;

use super::decision::{Decided, read};
use super::obligations::{Obligations, Patients};
use super::permit::{Engine, Permit, Revision};
use super::roster::Roster;
use super::scope::{ScopeGrant, bind};
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
    bind(permitted, &[all], interaction, &Arc::new(roster), date(2026, 11, 23)).ok().unwrap()
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

#[test]
fn a_whole_permission_is_understood() {
    let interaction = super::tests::read("Observation", "o1");
    let obligations = obligations(&whole(&["p1"], &["Observation"]), &interaction);
    assert!(matches!(obligations.patients(), Patients::Listed(ids) if ids.len() == 1));
}
