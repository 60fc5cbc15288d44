//! What obligations admit, withhold and allow.

use jiff::civil::date;

use super::*;
use crate::decide::testing::{obligations, obligations_with, whole};
use crate::decide::tests::search;
use crate::understand::Direction;

fn with(from: &str, to: &str) -> Obligations {
    let decision = whole(&["p1", "p2"], &["Observation"]);
    let changed = decision.replacen(from, to, 1);
    assert!(from.is_empty() || changed != decision, "{from}");
    obligations(&changed, &search("Observation", ""))
}

#[test]
fn patients_are_admitted_by_list_or_by_roster_on_the_day() {
    let id = |text: &str| Id::parse(text).unwrap();
    let listed = with("", "");
    assert!(listed.patients().admits(&id("p1")) && listed.patients().admits(&id("p2")));
    assert!(!listed.patients().admits(&id("p10")) && !listed.patients().admits(&id("p")));
    assert!(!with(r#"["p1","p2"]"#, "[]").patients().admits(&id("p1")));
    let file = "patient,roster,member_id,start,end\np1,a,1,,2026-11-23\np2,a,2,,2026-11-22\np3,b,3,,\n";
    let decision = whole(&[], &["Observation"]).replace(r#""patients":[]"#, r#""patients":{"roster":"a"}"#);
    let roster = Roster::read(file.as_bytes()).unwrap();
    let members = obligations_with(&decision, &search("Observation", ""), roster);
    assert!(matches!(members.patients(), Patients::Roster { on, .. } if *on == date(2026, 11, 23)));
    assert!(members.patients().admits(&id("p1")));
    assert!(!members.patients().admits(&id("p2")) && !members.patients().admits(&id("p3")));
}

#[test]
fn labels_match_system_and_code_and_read_absent_parts_widely() {
    let labels = r#""withhold_labels":["urn:v3|PSY","urn:v3|R","urn:local|*"]"#;
    let obligations = with(r#""withhold_labels":[]"#, labels);
    for (system, code, withheld) in [
        ("urn:v3", "PSY", true),
        ("urn:v3", "N", false),
        ("urn:v3", "psy", true),
        (" URN:v3/ ", " psy", true),
        ("urn:other", "PSY", false),
        ("urn:local", "anything", true),
        ("urn:localx", "anything", false),
        ("", "PSY", true),
        ("", "N", true),
        ("urn:v3", "", true),
        ("urn:other", "", false),
        ("", "", true),
    ] {
        assert_eq!(obligations.withholds_label(system, code), withheld, "{system}|{code}");
    }
    let plain = with(r#""withhold_labels":[]"#, r#""withhold_labels":["urn:v3|PSY"]"#);
    assert!(!plain.withholds_label("", "N"));
    assert!(!with("", "").withholds_label("", ""));
}

#[test]
fn includes_are_exact_and_go_both_ways() {
    let obligations =
        with(r#""includes":[]"#, r#""includes":["Observation:performer","Provenance:target:Observation"]"#);
    for (text, allowed) in [
        ("Observation:performer", true),
        ("Observation:performer:Practitioner", true),
        ("Observation:subject", false),
        ("DiagnosticReport:performer", false),
        ("Provenance:target:Observation", true),
        ("Provenance:target", false),
        ("Provenance:target:Patient", false),
    ] {
        for direction in [Direction::Forward, Direction::Reverse] {
            let include = Include::parse(direction, text).unwrap();
            assert_eq!(obligations.allows(&include), allowed, "{text}");
        }
    }
}

#[test]
fn only_named_types_have_a_rule() {
    let obligations = with("", "");
    assert!(obligations.rule(ResourceType::parse("Observation").unwrap()).unwrap().alternatives.is_empty());
    assert!(obligations.rule(ResourceType::parse("Condition").unwrap()).is_none());
}

#[test]
fn the_digest_changes_with_everything_that_is_released_and_with_nothing_else() {
    let base = with("", "").digest();
    assert_eq!(base, with("", "").digest());
    assert_eq!(base, with("Test.", "Another text.").digest());
    let variants = [
        with(r#"["p1","p2"]"#, r#"["p1"]"#),
        with(r#"["p1","p2"]"#, r#"["p1p2"]"#),
        with(r#""Observation":{"#, r#""Condition":{"elements":["*"]},"Observation":{"#),
        with(r#"["*"]"#, r#"["code"]"#),
        with(r#"["*"]"#, r#"["code.text"]"#),
        with(r#""elements":["*"]"#, r#""elements":["*"],"where":["status=final"]"#),
        with(r#""elements":["*"]"#, r#""elements":["*"],"where":["status=final","status=amended"]"#),
        with(r#""elements":["*"]"#, r#""elements":["*"],"where":["status=final&status=amended"]"#),
        with(r#""elements":["*"]"#, r#""elements":["*"],"authorship":["verified"]"#),
        with(r#""elements":["*"]"#, r#""elements":["*"],"authorship":["verified","unknown"]"#),
        with(r#""withhold_labels":[]"#, r#""withhold_labels":["urn:a|b"]"#),
        with(r#""withhold_labels":[]"#, r#""withhold_labels":["urn:a|*"]"#),
        with(r#""includes":[]"#, r#""includes":["Observation:performer"]"#),
        with(r#""includes":[]"#, r#""includes":["Observation:performer:Practitioner"]"#),
        with(r#""includes":[]"#, r#""includes":[],"page_cap":10"#),
        with(r#""includes":[]"#, r#""includes":[],"cache_seconds":10"#),
        with(r#""includes":[]"#, r#""includes":[],"provenance":"asked""#),
        with(r#""includes":[]"#, r#""includes":[],"provenance":"always""#),
    ];
    let digests: BTreeSet<[u8; 16]> = variants.iter().map(Obligations::digest).chain([base]).collect();
    assert_eq!(digests.len(), variants.len() + 1);
}
