//! Scopes beside the policy.

use jiff::civil::date;

use super::super::decision::{Decided, read};
use super::super::elements::Elements;
use super::*;
use crate::decide::testing::holdings;
use crate::decide::tests::{read as asks_read, search};

fn grant(name: &str, letters: &str, constraint: Option<&'static str>) -> ScopeGrant<'static> {
    ScopeGrant {
        resource_type: (name != "*").then(|| ResourceType::parse(name).unwrap()),
        read: letters.contains('r'),
        search: letters.contains('s'),
        constraint,
    }
}

fn bound(types: &str, grants: &[ScopeGrant<'_>], interaction: &Interaction) -> Result<Obligations, Unbound> {
    let text = format!(
        r#"{{"allow":true,"reasons":[{{"code":"a","text":"A.","basis":"B"}}],"patients":[],"types":{types},
            "withhold_labels":[],"includes":[]}}"#
    );
    let Decided::Permitted(permitted) = read(&text).unwrap() else { panic!() };
    bind(permitted, grants, interaction, &holdings(Roster::empty(), ""), date(2026, 11, 23))
}

/// The alternatives of Observation, written out; `None` where it is not released.
fn alternatives(types: &str, grants: &[ScopeGrant<'_>]) -> Option<Vec<String>> {
    let obligations = bound(types, grants, &search("Observation", "")).ok()?;
    let rule = obligations.rule(ResourceType::parse("Observation").unwrap())?;
    Some(
        rule.alternatives.iter().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("&")).collect(),
    )
}

#[test]
fn the_letter_must_fit_the_interaction() {
    let (reads, searches) = (asks_read("Observation", "o1"), search("Observation", "patient=p1"));
    for (name, letters, read, search) in [
        ("Observation", "rs", true, true),
        ("Observation", "r", true, false),
        ("Observation", "s", false, true),
        ("Observation", "", false, false),
        ("*", "rs", true, true),
        ("*", "s", false, true),
        ("Condition", "rs", false, false),
    ] {
        let grants = [grant(name, letters, None)];
        assert_eq!((permit(&grants, &reads), permit(&grants, &searches)), (read, search), "{name}.{letters}");
    }
    assert!(!permit(&[], &reads));
    assert!(permit(&[grant("Condition", "r", None), grant("Observation", "r", None)], &reads));
}

#[test]
fn a_constraint_that_cannot_be_evaluated_grants_nothing() {
    let searches = search("Observation", "");
    for constraint in [
        "",
        "category",
        "category=",
        "nonsense=1",
        "patient.name=x",
        "_count=5",
        "category:below=x",
        "%zz=1",
        "_include=Observation:subject",
    ] {
        assert!(!permit(&[grant("Observation", "rs", Some(constraint))], &searches), "{constraint}");
    }
    assert!(permit(&[grant("Observation", "rs", Some("category=laboratory"))], &searches));
    assert!(permit(&[grant("Observation", "rs", Some("nonsense=1")), grant("*", "s", None)], &searches));
}

#[test]
fn constraints_are_anded_to_the_policys_and_ored_among_themselves() {
    let policy = r#"{"Observation":{"where":["date=ge2024","date=le2020"],"elements":["*"]}}"#;
    let open = r#"{"Observation":{"elements":["*"]}}"#;
    let labs = grant("Observation", "rs", Some("category=laboratory"));
    let vitals = grant("Observation", "rs", Some("category=vital-signs&status=final"));
    assert_eq!(alternatives(open, &[grant("*", "rs", None)]).unwrap(), Vec::<String>::new());
    assert_eq!(alternatives(open, &[labs]).unwrap(), ["category=laboratory"]);
    assert_eq!(
        alternatives(open, &[labs, vitals]).unwrap(),
        ["category=laboratory", "category=vital-signs&status=final"]
    );
    assert_eq!(
        alternatives(policy, &[labs, vitals]).unwrap(),
        [
            "date=ge2024&category=laboratory",
            "date=ge2024&category=vital-signs&status=final",
            "date=le2020&category=laboratory",
            "date=le2020&category=vital-signs&status=final"
        ]
    );
    assert_eq!(alternatives(policy, &[labs, grant("*", "rs", None)]).unwrap(), ["date=ge2024", "date=le2020"]);
    let read_only = grant("Observation", "r", Some("category=survey"));
    assert_eq!(alternatives(open, &[labs, read_only]).unwrap(), ["category=laboratory"]);
}

#[test]
fn an_escaped_constraint_is_decoded_once() {
    let coded = grant("Observation", "rs", Some("category=http%3A%2F%2Fx%7Claboratory"));
    let open = r#"{"Observation":{"elements":["*"]}}"#;
    assert_eq!(alternatives(open, &[coded]).unwrap(), ["category=http://x|laboratory"]);
}

#[test]
fn types_without_a_scope_disappear() {
    let types =
        r#"{"Observation":{"elements":["*"]},"Condition":{"elements":["*"]},"Practitioner":{"elements":["name"]}}"#;
    let grants = [grant("Observation", "s", None), grant("Practitioner", "r", None)];
    let obligations = bound(types, &grants, &search("Observation", "")).ok().unwrap();
    let names: Vec<&str> = obligations.types().map(ResourceType::as_str).collect();
    assert_eq!(names, ["Observation", "Practitioner"]);
}

#[test]
fn every_other_type_means_those_with_a_scope() {
    let types = r#"{"*":{"elements":["*"]},"Patient":{"elements":["name"]}}"#;
    let grants = [grant("Observation", "rs", None), grant("Patient", "rs", None)];
    let obligations = bound(types, &grants, &search("Observation", "")).ok().unwrap();
    assert_eq!(obligations.types().map(ResourceType::as_str).collect::<Vec<_>>(), ["Observation", "Patient"]);
    assert!(matches!(obligations.rule(ResourceType::parse("Patient").unwrap()).unwrap().elements, Elements::Only(_)));
    let all = bound(types, &[grant("*", "rs", None)], &search("Observation", "")).ok().unwrap();
    assert_eq!(all.types().count(), 146);
}

#[test]
fn a_permission_must_answer_what_was_asked() {
    let types = r#"{"Condition":{"elements":["*"]}}"#;
    let unanswered = bound(types, &[grant("*", "rs", None)], &search("Observation", ""));
    assert!(matches!(unanswered, Err(Unbound::Malformed(DecisionError::Unanswered))));
}

#[test]
fn alternatives_are_bounded() {
    let wheres: Vec<String> = (0..32).map(|n| format!("\"_id=a{n}\"")).collect();
    let policy = format!(r#"{{"Observation":{{"where":[{}],"elements":["*"]}}}}"#, wheres.join(","));
    let labs = grant("Observation", "rs", Some("category=laboratory"));
    assert_eq!(alternatives(&policy, &[labs, labs]).unwrap().len(), 64);
    assert!(matches!(bound(&policy, &[labs, labs, labs], &search("Observation", "")), Err(Unbound::TooMany)));
    let many = vec![labs; 65];
    assert!(matches!(
        bound(r#"{"Observation":{"elements":["*"]}}"#, &many, &search("Observation", "")),
        Err(Unbound::TooMany)
    ));
}
