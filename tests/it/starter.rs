//! The starter contract: a payer gets what it was promised about its members, and nothing of anybody else.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use portcullis::cli::token::Wish;

use crate::support::{Payer, clinic, gateway, starter};

#[track_caller]
fn assert_released(payer: &Payer, target: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
    let pages = payer.every_page(target);
    let found: BTreeSet<String> = pages.iter().flat_map(|page| page.names()).collect();
    assert_eq!(found, expected, "{target}");
    assert_eq!(pages[0].total, Some(expected.len() as u64), "{target}");
}

#[test]
fn a_member_within_coverage_is_released_without_labels() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).with_any_engine().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    // Not: outside the coverage, undated, labelled, social history, surveys.
    let laboratory = [
        "Observation/maren-hba1c-2024",
        "Observation/maren-hba1c-2025",
        "Observation/maren-glucose-2025",
        "Observation/maren-creatinine-2025",
        "Observation/maren-ldl-2025",
        "Observation/maren-crp-2026",
        "Observation/maren-potassium-2026",
    ];
    let vital_signs = ["Observation/maren-pressure-2025", "Observation/maren-weight-2025"];
    assert_released(&payer, "/Observation?patient=maren", &[&laboratory[..], &vital_signs].concat());
    assert_released(&payer, "/Observation?patient=maren&category=laboratory", &laboratory);
    assert_released(&payer, "/Observation?patient=maren&category=vital-signs", &vital_signs);
    assert_released(&payer, "/Observation?patient=maren&category=social-history,survey", &[]);
    assert_released(&payer, "/Observation?patient=maren&date=lt2024-01-01", &[]);
    assert_released(&payer, "/Condition?patient=maren", &["Condition/maren-diabetes", "Condition/maren-hypertension"]);
    assert_released(&payer, "/Encounter?patient=maren", &["Encounter/maren-visit-2025"]);
    assert_released(&payer, "/Coverage?patient=maren", &["Coverage/maren-lanternfield"]);
    assert_released(&payer, "/Patient?_id=maren", &["Patient/maren"]);
    assert_released(&payer, "/Condition?patient=tobias", &["Condition/tobias-asthma"]);
}

#[test]
fn what_is_released_is_the_minimum_necessary() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let patient = payer.get("/Patient/maren");
    let json = patient.json();
    let mut names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["active", "gender", "id", "meta", "name", "resourceType"]);
    assert_eq!(json["name"], serde_json::json!([{"family": "Holt", "given": ["Maren", "J."]}]));
    for secret in ["1968", "AC-20417", "Cooper", "555-0142", "Lise", "_given", "MaritalStatus"] {
        assert!(!patient.text().contains(secret), "{secret}");
    }
    let observation = payer.get("/Observation/maren-hba1c-2025");
    assert!(observation.text().contains("6.30"), "{}", observation.text());
    assert!(observation.text().contains("SUBSETTED"));
    let found = payer.search("/Observation?patient=maren&code=4548-4");
    assert_eq!(found.resource("Observation/maren-hba1c-2025"), observation.text());
}

/// An answer without what differs from one request to the next, and with one patient's name for another's.
fn comparable(payer: &Payer, target: &str, rename: (&str, &str)) -> (u16, Vec<(String, String)>, String) {
    let answer = payer.get(target);
    let id = answer.header("x-request-id").to_owned();
    let text = answer.text().replace(&id, "ID").replace(rename.0, rename.1);
    let mut headers = answer.head.headers.clone();
    headers.retain(|(name, _)| !["x-request-id", "date"].contains(&&**name));
    (answer.status(), headers, text)
}

#[test]
fn forbidden_looks_like_absent() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    // What must not be seen, and what is not there, named alike but for one part of equal length.
    let pairs = [
        ("/Patient/{}", "ines", "nobo"),
        ("/Patient?_id={}", "ines", "nobo"),
        ("/Observation?patient={}", "ines", "nobo"),
        ("/Observation?patient=Patient/{}&code=4548-4&_count=1", "ines", "nobo"),
        ("/Observation?patient={}&_summary=count", "ines", "nobo"),
        ("/Observation?patient={}&_total=none&_revinclude=Provenance:target", "ines", "nobo"),
        ("/Coverage?beneficiary=Patient/{}", "ines", "nobo"),
        ("/Observation/{}", "ines-hba1c-2025", "ines-hba1c-1995"),
        ("/Condition/{}", "ines-migraine", "ines-megraine"),
        ("/Observation/{}", "maren-hiv-2025", "maren-hev-2025"),
        ("/Observation/{}", "maren-hba1c-2021", "maren-hba1c-1921"),
        ("/Observation/{}", "maren-phq9-2025", "maren-phq8-2025"),
        ("/Condition/{}", "maren-alcohol", "maren-alkohol"),
        ("/Coverage/{}", "maren-oldmill", "maren-newmill"),
        ("/Encounter/{}", "maren-session-2025", "maren-session-1925"),
        ("/Provenance/{}", "analyser-batch-2025", "analyser-batch-2026"),
        ("/Observation?patient=maren&_id={}", "maren-hiv-2025", "maren-hev-2025"),
        ("/Condition?patient=maren&code={}", "35489007", "35489008"),
    ];
    for (target, forbidden, absent) in pairs {
        let refused = comparable(&payer, &target.replace("{}", forbidden), (forbidden, absent));
        let missing = comparable(&payer, &target.replace("{}", absent), ("\0", ""));
        assert_eq!(refused, missing, "{target} {forbidden}");
        assert!([200, 404].contains(&refused.0), "{target}: {}", refused.2);
    }
}

#[test]
fn a_refusal_says_why_and_under_which_decision() {
    let ehr = clinic();
    let mut gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let treating = gateway.payer_who(Wish { purpose: Some("TREAT".to_owned()), ..Wish::of("lanternfield") });
    let marketing = gateway.payer_who(Wish { purpose: Some("HMARKT".to_owned()), ..Wish::of("lanternfield") });
    let stranger = gateway.payer("oldmill");
    let mut expected = Vec::new();
    for (payer, target, reason) in [
        (&treating, "/Observation?patient=maren", "treatment-is-for-providers"),
        (&marketing, "/Observation?patient=maren", "purpose-not-agreed"),
        (&payer, "/MedicationRequest?patient=maren", "type-not-agreed"),
        (&payer, "/AllergyIntolerance/maren-penicillin", "type-not-agreed"),
        (&payer, "/Observation?code=4548-4", "patient-needed"),
        (&payer, "/Observation?patient=maren,tobias", "one-patient"),
        (&stranger, "/Observation?patient=maren", "no-contract"),
        (&stranger, "/Observation?patient=ines", "no-contract"),
    ] {
        let answer = payer.get(target);
        let refusal = answer.refusal();
        assert_eq!(
            (refusal.status, refusal.code.as_str(), refusal.reason.as_str()),
            (403, "forbidden", reason),
            "{target}"
        );
        assert!(!refusal.text.is_empty());
        expected.push((answer.header("x-request-id").to_owned(), reason, refusal.diagnostics));
    }
    let log = gateway.stop();
    for (id, reason, diagnostics) in expected {
        let decision = log.exchange(&id).decision.clone().expect("a decision in the record");
        assert_eq!(decision.reasons, [reason]);
        assert!(diagnostics.contains(&id) && diagnostics.contains(&decision.id), "{diagnostics}");
    }
}

#[test]
fn what_is_not_released_cannot_be_asked_after() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for (target, offender) in [
        ("/Patient?_id=maren&birthdate=1968-09-23", "birthdate"),
        ("/Patient?_id=maren&address-city=Alder", "address-city"),
        ("/Patient?_id=maren&_sort=birthdate", "birthdate"),
        ("/Observation?patient=maren&_include=Observation:subject", "_include=Observation:subject"),
    ] {
        let refusal = payer.get(target).refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (403, "forbidden"), "{target}");
        assert!(refusal.text.contains(offender), "{}", refusal.text);
    }
}

#[test]
fn a_member_is_found_by_the_payers_number_and_nothing_else_is_told() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).with_any_engine().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let number = |system: &str, value: &str| format!("/Patient?identifier=http://{system}.example/member-id|{value}");
    let found = payer.search(&number("lanternfield", "LF-100447"));
    assert_eq!((found.matches(), found.total), (vec!["Patient/maren"], Some(1)));
    let json: Json = serde_json::from_str(found.resource("Patient/maren")).unwrap();
    let names: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["active", "id", "meta", "resourceType"]));
    let nobody = comparable(&payer, &number("lanternfield", "LF-999999"), ("LF-999999", "OTHER"));
    ehr.put(
        r#"{"resourceType":"Patient","id":"lapsed","identifier":[{"system":"http://lanternfield.example/member-id","value":"LF-100002"}]}"#,
    )
    .unwrap();
    let lapsed = comparable(&payer, &number("lanternfield", "LF-100002"), ("LF-100002", "OTHER"));
    assert_eq!(lapsed, nobody);
    for refused in [
        number("oldmill", "OM-7716"),
        "/Patient?identifier=LF-100447".to_owned(),
        "/Patient?identifier=http://lanternfield.example/member-id|".to_owned(),
        "/Patient?identifier=http://aldercreek.example/mrn|AC-20417".to_owned(),
        format!("{}&birthdate=1968-09-23", number("lanternfield", "LF-100447")),
        format!("{}&name=Holt", number("lanternfield", "LF-100447")),
        "/Patient?identifier:not=http://lanternfield.example/member-id|LF-100447".to_owned(),
    ] {
        assert_eq!(payer.get(&refused).refusal().reason, "patient-needed", "{refused}");
    }
}

#[test]
fn narrow_scopes_narrow_the_contract() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("laboratory-only");
    let found = payer.search("/Observation?patient=maren");
    assert_eq!(found.entries.len(), 7, "{:?}", found.names());
    for entry in &found.entries {
        let json: Json = serde_json::from_str(&entry.text).unwrap();
        assert_eq!(json["category"][0]["coding"][0]["code"], "laboratory");
    }
    assert_eq!(payer.get("/Observation/maren-weight-2025").status(), 404);
    assert_eq!(payer.get("/Patient/maren").status(), 200);
    ehr.reset();
    for target in [
        "/Patient?_id=maren",
        "/Condition?patient=maren",
        "/Condition/maren-diabetes",
        "/Condition?patient=maren&patient=ines",
    ] {
        let answer = payer.get(target);
        assert_eq!(answer.refusal().status, 403, "{target}");
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\"", "{target}");
    }
    assert!(ehr.requests().is_empty(), "nothing is looked up for who may not ask");
}
