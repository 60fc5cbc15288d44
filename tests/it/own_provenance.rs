//! The gateway says what it did to the records it sends, where that is asked for: itself, of itself, and nothing of the rest.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis::demo::ehr::Ehr;
use serde_json::{Value as Json, json};

use crate::support::gateway::{BASE, hex};
use crate::support::{Answer, Policy, clinic, gateway, policy};

/// Laboratory results in part; conditions as they are.
fn stating(word: &str) -> Policy {
    policy(&format!(
        r#"
default decision := {{"allow": false, "reasons": [{{"code": "never", "text": "Never.", "basis": "none"}}]}}

decision := {{
	"allow": true,
	"reasons": [{{"code": "test", "text": "Because.", "basis": "none"}}],
	"patients": input.request.patients,
	"types": {{
		"*": {{"elements": ["*"]}},
		"Observation": {{"where": ["category=laboratory", "code=http://example.org|large"], "elements": ["status", "category", "code", "note"]}},
	}},
	"withhold_labels": [],
	"includes": ["Provenance:target", "Observation:subject"],
	"cache_seconds": 60,
	"provenance": "{word}",
}} if {{
	input.client.id != ""
}}
"#
    ))
}

const ORGANIZATION: &str =
    "[organization]\nidentifier = \"http://hl7.org/fhir/sid/us-npi|1234567893\"\nname = \"Alder Creek Clinic\"\n";
const LABS: &str = "/Observation?patient=maren&category=laboratory";

/// The Provenance of the gateway's own in an answer.
fn own(answer: &Answer) -> Vec<Json> {
    let json = answer.json();
    let entries = json["entry"].as_array().cloned().unwrap_or_default();
    let ours = entries.into_iter().filter(|entry| entry["fullUrl"].as_str().unwrap().starts_with("urn:uuid:"));
    ours.map(|entry| {
        assert_eq!(entry["search"]["mode"], "include");
        entry["resource"].clone()
    })
    .collect()
}

fn references(provenance: &Json, name: &str) -> BTreeSet<String> {
    let reference = |one: &Json| {
        let one = if name == "entity" { &one["what"] } else { one };
        one["reference"].as_str().unwrap().to_owned()
    };
    provenance[name].as_array().unwrap().iter().map(reference).collect()
}

#[test]
fn it_names_what_was_released_who_did_it_and_by_which_policies() {
    let ehr = clinic();
    let mut gateway = gateway().with_policy(stating("asked")).with(ORGANIZATION).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert!(own(&payer.get(LABS)).is_empty(), "nobody asked");
    let answer = payer.get(&format!("{LABS}&_revinclude=Provenance:target"));
    let found = answer.searchset();
    let matches: BTreeSet<String> = found.matches().iter().map(|name| format!("{BASE}/{name}")).collect();
    assert!(matches.len() > 3);
    let said = own(&answer);
    let codes: Vec<&str> = said.iter().map(|one| one["activity"]["coding"][0]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["narrowed", "redacted"]);
    let log_id = answer.header("x-request-id").to_owned();
    let revision = gateway.log().exchange(&log_id).decision.as_ref().unwrap().revision.clone();
    for one in &said {
        assert_eq!(references(one, "target"), matches);
        let sources = references(one, "entity").into_iter();
        let unversioned: BTreeSet<String> =
            sources.map(|source| source.split("/_history/").next().unwrap().to_owned()).collect();
        assert_eq!(unversioned, matches);
        assert!(one["entity"].as_array().unwrap().iter().all(|entity| entity["role"] == "source"));
        assert_eq!(one["policy"], json!([format!("urn:portcullis:policy:{revision}")]));
        assert_eq!(one["reason"][0]["coding"][0]["code"], "HPAYMT");
        let agents = one["agent"].as_array().unwrap();
        assert_eq!(agents.len(), 1, "assembler, and nothing else");
        assert_eq!(agents[0]["type"]["coding"][0]["code"], "assembler");
        assert_eq!(agents[0]["who"]["reference"], "#gateway");
        let organization = &one["contained"][1];
        assert_eq!(
            (&organization["id"], &organization["name"]),
            (&json!("organization"), &json!("Alder Creek Clinic"))
        );
        assert_eq!(organization["identifier"][0]["value"], "1234567893");
        assert_eq!(one["recorded"], one["occurredDateTime"]);
    }
    // Each redacted record has the tag, too; the total counts matches only.
    assert!(found.entries.iter().filter(|one| one.mode == "match").all(|one| one.text.contains("SUBSETTED")));
    assert_eq!(found.total, Some(matches.len() as u64));
    // It is of the answer, not of the record system: it can be asked for by nobody.
    let id = said[0]["id"].as_str().unwrap();
    assert_eq!(payer.get(&format!("/Provenance/{id}")).status(), 404);
    assert_eq!(gateway.stop().exchange(&log_id).counts.as_ref().unwrap().released as usize, found.entries.len() - 2);
}

#[test]
fn what_is_withheld_shows_in_no_provenance() {
    let (with, without) = (clinic(), clinic());
    let hidden = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": {"resourceType": "Observation", "id": "of-ines", "status": "final", "code": {"text": "x"},
            "category": [{"coding": [{"code": "laboratory"}]}], "subject": {"reference": "Patient/ines"}}},
        {"resource": {"resourceType": "Observation", "id": "no-lab", "status": "final", "code": {"text": "x"},
            "subject": {"reference": "Patient/maren"}}},
    ]});
    with.put(&hidden.to_string()).unwrap();
    let said = |ehr: &Ehr| {
        ehr.behave(portcullis::demo::ehr::Behaviour::faithful().careless());
        let gateway = gateway().with_policy(stating("always")).in_front_of(ehr);
        let answer = gateway.payer("lanternfield").get(LABS);
        assert!(!answer.text().contains("of-ines") && !answer.text().contains("no-lab"));
        let mut said = own(&answer);
        for one in &mut said {
            for name in ["id", "recorded", "occurredDateTime", "policy"] {
                one.as_object_mut().unwrap().remove(name);
            }
        }
        said
    };
    assert_eq!(said(&with), said(&without));
}

#[test]
fn it_comes_with_each_page_with_each_part_and_with_answers_that_are_streamed() {
    let ehr = clinic();
    let mut large = r#"{"resourceType":"Bundle","type":"collection","entry":["#.to_owned();
    for number in 0..100 {
        let (comma, note) = (if number == 0 { "" } else { "," }, "x".repeat(3_000));
        write!(large, r#"{comma}{{"resource":{{"resourceType":"Observation","id":"large-{number}","status":"final","code":{{"coding":[{{"system":"http://example.org","code":"large"}}]}},"subject":{{"reference":"Patient/maren"}},"note":[{{"text":"{note}"}}]}}}}"#).unwrap();
    }
    large.push_str("]}");
    ehr.put(&large).unwrap();
    let mut gateway = gateway().with_policy(stating("always")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let mut target = "/Observation?patient=maren&code=http://example.org|large&_count=40".to_owned();
    let mut all = 0;
    loop {
        let page = payer.get(&target);
        let matches: BTreeSet<String> =
            page.searchset().matches().iter().map(|name| format!("{BASE}/{name}")).collect();
        let said = own(&page);
        assert_eq!(said.len(), 2);
        assert!(said.iter().all(|one| references(one, "target") == matches));
        all += matches.len();
        match page.searchset().next {
            Some(next) => target = next,
            None => break,
        }
    }
    assert_eq!(all, 100);
    let streamed = payer.get("/Observation?patient=maren&code=http://example.org|large");
    assert_eq!(streamed.header("transfer-encoding"), "chunked");
    assert_eq!((own(&streamed).len(), references(&own(&streamed)[1], "target").len()), (2, 100));
    let everything = payer.get("/Patient/maren/$everything?_type=Observation,Condition");
    let said = own(&everything);
    assert_eq!(said.len(), 2, "of Observations; Conditions leave as they are");
    let entries = everything.json()["entry"].as_array().unwrap().clone();
    let records = entries.iter().filter(|entry| entry["search"]["mode"] == "match");
    let names: BTreeSet<String> = records.map(|entry| entry["fullUrl"].as_str().unwrap().to_owned()).collect();
    assert_eq!(everything.json()["total"], names.len());
    let labs: BTreeSet<String> = names.into_iter().filter(|name| name.contains("/Observation/")).collect();
    assert!(labs.len() > 100 && said.iter().all(|one| references(one, "target") == labs));
    let log = gateway.stop();
    let closing = log.closing(streamed.header("x-request-id")).unwrap();
    assert_eq!(closing.digest, Some(hex(digest(&SHA256, &streamed.body).as_ref())));
}

#[test]
fn where_the_type_is_not_permitted_nothing_is_said_and_a_read_has_no_place_for_it() {
    let ehr = clinic();
    let gateway = gateway().with_policy(stating("always")).in_front_of(&ehr);
    let narrow = gateway.payer("laboratory-only");
    assert!(own(&narrow.get(LABS)).is_empty(), "no scope for Provenance");
    let read = gateway.payer("lanternfield").get("/Observation/maren-hba1c-2025");
    assert_eq!(read.json()["resourceType"], "Observation");
}
