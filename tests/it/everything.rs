//! `$everything` is what its searches are: merged, whole, and as forbidden as the read of the patient.

use std::collections::BTreeSet;

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::Behaviour;
use portcullis::limits;

use crate::support::{Payer, clinic, gateway, permitting, starter};

const MAREN: &str = "/Patient/maren/$everything";

/// `Type/id` of the resources of an answer, and the text of the outcome beside them.
fn found(payer: &Payer, target: &str) -> (BTreeSet<String>, String) {
    let answer = payer.get(target);
    assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
    let json = answer.json();
    let mut names = BTreeSet::new();
    let mut told = String::new();
    for entry in json["entry"].as_array().into_iter().flatten() {
        let resource = &entry["resource"];
        if entry["search"]["mode"] == "outcome" {
            resource["issue"][0]["details"]["text"].as_str().unwrap().clone_into(&mut told);
            continue;
        }
        assert_eq!(entry["search"]["mode"], "match");
        let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        assert!(entry["fullUrl"].as_str().unwrap().ends_with(&format!("/fhir/{name}")));
        assert!(names.insert(name.clone()), "{name} twice");
    }
    assert_eq!(json["total"], names.len());
    (names, told)
}

#[test]
fn it_is_what_the_searches_of_each_type_find() {
    let ehr = clinic();
    let mut gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let (names, told) = found(&payer, MAREN);
    let mut expected = BTreeSet::new();
    for target in [
        "/Patient?_id=maren",
        "/Coverage?patient=maren",
        "/Encounter?patient=maren",
        "/Condition?patient=maren",
        "/Observation?patient=maren",
    ] {
        expected.extend(payer.every_page(target).iter().flat_map(|page| page.names()));
    }
    assert!(expected.len() > 12);
    assert_eq!(names, expected);
    assert!(told.contains("MedicationRequest") && !told.contains("Observation"), "{told}");
    let single = payer.get("/Observation/maren-hba1c-2025");
    ehr.reset();
    let answer = payer.get(MAREN);
    assert!(answer.text().contains(single.text()), "a resource leaves as it does by itself");
    let asked: Vec<String> = ehr.requests().iter().map(|request| request.target.clone()).collect();
    assert!(asked.iter().all(|target| !target.contains('$')), "{asked:?}");
    let log = gateway.stop();
    let whole = log.exchange(answer.header("x-request-id"));
    assert_eq!(whole.interaction.as_deref(), Some("operation"));
    assert_eq!(whole.request.as_deref(), Some("Patient/maren/$everything"));
    assert!(whole.digest.is_some() && whole.batch.is_none());
    assert_eq!(whole.patients, ["maren"], "`audit show --patient` finds it");
    let counts = whole.counts.as_ref().unwrap();
    assert_eq!((counts.received, counts.released), (names.len() as u64, names.len() as u64));
    let parts: Vec<_> = log.exchanges().into_iter().filter(|entry| entry.batch == whole.exchange).collect();
    let types: Vec<&str> = parts.iter().filter_map(|entry| entry.resource_type.as_deref()).collect();
    assert_eq!(types, ["Patient", "Condition", "Coverage", "Encounter", "Observation"]);
    let released: u64 = parts.iter().filter_map(|entry| entry.counts.as_ref()).map(|counts| counts.released).sum();
    assert_eq!(released, names.len() as u64);
    assert!(parts.iter().all(|entry| entry.decision.is_some() && entry.patients == ["maren"]));
}

#[test]
fn a_patient_who_may_not_be_read_is_as_absent() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let like = |target: &str| {
        let refusal = payer.get(target).refusal();
        (refusal.status, refusal.code, refusal.text)
    };
    let read = like("/Patient/ines");
    assert_eq!(read.0, 404);
    for target in [
        "/Patient/ines/$everything",
        "/Patient/nobody/$everything",
        "/Patient/ines/$everything?_type=Observation",
        "/Patient/ines/$everything?_since=2020-01-01T00:00:00Z",
    ] {
        ehr.reset();
        assert_eq!(like(target), read, "{target}");
        let told = ehr.requests().iter().any(|request| request.target.contains("Observation"));
        assert!(!told, "{target}");
    }
    let narrow = gateway.payer_who(Wish { scope: Some("system/Observation.rs".into()), ..Wish::of("lanternfield") });
    assert_eq!(narrow.get(MAREN).refusal().status, 403);
    assert_eq!(narrow.get("/Patient/maren").refusal().status, 403);
}

#[test]
fn scopes_types_and_time_narrow_it() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let all = gateway.payer("lanternfield");
    let (names, told) = found(&all, MAREN);
    assert!(names.contains("AllergyIntolerance/maren-penicillin") && names.contains("Observation/maren-hiv-2025"));
    assert!(names.iter().all(|name| name.contains("maren")), "{names:?}");
    assert_eq!(told, "");
    let narrow = gateway.payer("laboratory-only");
    let (laboratory, told) = found(&narrow, MAREN);
    let mut expected: BTreeSet<String> =
        narrow.every_page("/Observation?patient=maren").iter().flat_map(|page| page.names()).collect();
    expected.insert("Patient/maren".to_owned());
    assert_eq!(laboratory, expected);
    assert!(told.contains("Condition") && !told.contains("Observation"), "{told}");
    let (some, _) = found(&all, "/Patient/maren/$everything?_type=Condition,Coverage");
    assert_eq!(some.len(), 7);
    assert!(some.iter().all(|name| name.starts_with("Co")), "{some:?}");
    let (patient, _) = found(&all, "/Patient/maren/$everything?_type=Patient");
    assert_eq!(patient, BTreeSet::from(["Patient/maren".to_owned()]));
    let (later, _) = found(&all, "/Patient/maren/$everything?_since=2100-01-01T00:00:00Z");
    assert_eq!(later, BTreeSet::new());
    let (_, forbidden) = found(&narrow, "/Patient/maren/$everything?_type=Observation,Condition");
    assert_eq!(forbidden, "Not permitted, and not in this answer: Condition.");
}

#[test]
fn further_pages_belong_to_it_and_what_is_too_much_is_refused_whole() {
    let ehr = clinic();
    let policy = permitting(r#""page_cap": 4"#);
    let mut gateway = gateway().with_policy(policy).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let (names, _) = found(&payer, "/Patient/maren/$everything?_type=Observation");
    assert_eq!(names.len(), 18);
    for number in 0..5 {
        let note = "x".repeat(limits::EVERYTHING_BYTES / 4);
        let record = format!(
            r#"{{"resourceType":"Observation","id":"large-{number}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/maren"}},"note":[{{"text":"{note}"}}]}}"#
        );
        ehr.put(&record).unwrap();
    }
    let refusal = payer.get("/Patient/maren/$everything?_type=Observation").refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (413, "too-costly"));
    assert!(refusal.text.contains("`Patient/[id]/[type]`"), "{}", refusal.text);
    let log = gateway.stop();
    let pages = log.exchanges().into_iter().filter(|entry| entry.resource_type.as_deref() == Some("Observation"));
    assert!(pages.count() >= 5);
}

#[test]
fn a_part_that_fails_takes_the_whole_with_it() {
    let ehr = clinic();
    let gateway = gateway().with("[cache]\nbytes = 0\n").in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().status(500, "{}").only_for("Condition"));
    let refusal = payer.get(MAREN).refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (502, "transient"));
    ehr.behave(Behaviour::faithful());
    assert!(found(&payer, MAREN).0.contains("Condition/maren-diabetes"));
}

#[test]
fn what_it_does_not_serve_it_refuses_by_name() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.reset();
    for (target, name) in [
        ("/Patient/maren/$everything?start=2024-01-01", "`start`"),
        ("/Patient/maren/$everything?end=2024-01-01", "`end`"),
        ("/Patient/maren/$everything?_count=10", "`_count`"),
        ("/Patient/maren/$everything?_type=Practitioner", "`_type`"),
        ("/Patient/maren/$everything?_since=2024", "`_since`"),
        ("/Patient/maren/$everything?code=x", "`code`"),
        ("/Patient/$everything", "`$everything`"),
        ("/Encounter/maren-visit-2025/$everything", "`$everything`"),
    ] {
        let refusal = payer.get(target).refusal();
        assert_eq!(refusal.status, 400, "{target}");
        assert!(refusal.text.contains(name), "{target}: {}", refusal.text);
    }
    for (media, body) in [("application/fhir+json", "{}"), ("application/x-www-form-urlencoded", "_type=Coverage")] {
        let posted = payer.ask("POST", MAREN).header("content-type", media).body(body).send();
        assert_eq!(posted.refusal().status, 400, "{media}");
    }
    assert_eq!(payer.ask("GET", MAREN).header("accept", "application/fhir+xml").send().status(), 406);
    assert_eq!(payer.without_token().get(MAREN).status(), 401);
    assert!(ehr.requests().is_empty());
}
