//! Who is responsible for a record is found out, judged by policy, and said.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::cli::token::Wish;
use portcullis::demo::ehr::{Behaviour, Ehr};
use portcullis::limits;
use serde_json::{Value as Json, json};

use crate::support::{Gateway, Policy, clinic, gateway, policy};

pub(crate) const SEARCH: &str = "/Condition?patient=maren&code=urn:c|authored";
pub(crate) const DOCTOR: &str = "Practitioner/author-doctor";

/// Payment takes what a source answers for, treatment everything.
pub(crate) fn by_purpose(includes: &str) -> Policy {
    accepting("Condition", includes)
}

pub(crate) fn accepting(attributed: &str, includes: &str) -> Policy {
    policy(&format!(
        r#"
default decision := {{"allow": false, "reasons": [{{"code": "never", "text": "Never.", "basis": "none"}}]}}

decision := {{
	"allow": true,
	"reasons": [{{"code": "test", "text": "Because.", "basis": "none"}}],
	"patients": input.request.patients,
	"types": {{
		"*": {{"elements": ["*"]}},
		"{attributed}": {{"elements": ["*"], "authorship": accepted}},
	}},
	"withhold_labels": [],
	"includes": [{includes}],
	"cache_seconds": 60,
}} if {{
	input.client.id != ""
}}

accepted := ["asserted-by-source", "verified"] if input.client.purpose == "HPAYMT"

accepted := ["contradicted", "unknown", "asserted-by-hie", "asserted-by-source", "verified"] if input.client.purpose == "TREAT"
"#
    ))
}

pub(crate) fn condition(id: &str, more: &Json) -> Json {
    let mut condition = json!({
        "resourceType": "Condition", "id": id, "subject": {"reference": "Patient/maren"},
        "code": {"coding": [{"system": "urn:c", "code": "authored"}]},
    });
    condition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    condition
}

pub(crate) fn practitioner(id: &str, npi: &str) -> Json {
    json!({"resourceType": "Practitioner", "id": id, "name": [{"family": id}],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}]})
}

pub(crate) fn organization(id: &str, npi: &str) -> Json {
    json!({"resourceType": "Organization", "id": id, "name": id,
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}]})
}

pub(crate) fn provenance(id: &str, targets: &[&str], author: &str) -> Json {
    let targets: Vec<Json> = targets.iter().map(|target| json!({"reference": target})).collect();
    let code = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
    json!({"resourceType": "Provenance", "id": id, "target": targets, "recorded": "2025-03-01T10:00:00Z",
        "agent": [{"type": {"coding": [{"system": code, "code": "author"}]}, "who": {"reference": author},
            "onBehalfOf": {"reference": "Organization/author-clinic"}}]})
}

pub(crate) fn put(ehr: &Ehr, resources: &[Json]) {
    let entries: Vec<Json> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    ehr.put(&json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()).unwrap();
}

/// Records that differ in what is known of their author.
pub(crate) fn with_records(ehr: &Ehr) {
    let recorded = json!({"recorder": {"reference": DOCTOR}});
    put(
        ehr,
        &[
            practitioner("author-doctor", "1234567893"),
            practitioner("author-other", "1003000126"),
            practitioner("author-mistyped", "1234567890"),
            organization("author-clinic", "1245319599"),
            condition("authored-by-itself", &recorded),
            condition("authored-by-nobody", &json!({})),
            condition("authored-by-provenance", &json!({})),
            condition("authored-by-two", &recorded),
            condition("authored-mistyped", &json!({"recorder": {"reference": "Practitioner/author-mistyped"}})),
            condition("authored-absent", &json!({"recorder": {"reference": "Practitioner/not-there"}})),
            condition(
                "authored-forged",
                &json!({"meta": {"tag": [
                {"system": "urn:portcullis:authorship", "code": "verified"}, {"system": "urn:t", "code": "kept"}]}}),
            ),
            provenance("of-one", &["Condition/authored-by-provenance"], DOCTOR),
            provenance("of-two", &["Condition/authored-by-two"], "Practitioner/author-other"),
        ],
    );
}

const VERDICTS: &[(&str, &str)] = &[
    ("Condition/authored-absent", "unknown"),
    ("Condition/authored-by-itself", "asserted-by-source"),
    ("Condition/authored-by-nobody", "unknown"),
    ("Condition/authored-by-provenance", "asserted-by-source"),
    ("Condition/authored-by-two", "contradicted"),
    ("Condition/authored-forged", "unknown"),
    ("Condition/authored-mistyped", "unknown"),
];

pub(crate) fn marks(resource: &Json) -> Vec<&str> {
    let tags = resource["meta"]["tag"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = tags.iter().filter(|tag| tag["system"] == "urn:portcullis:authorship");
    ours.filter_map(|tag| tag["code"].as_str()).collect()
}

fn stage(includes: &str, more: &str) -> (Ehr, Gateway) {
    let ehr = clinic();
    with_records(&ehr);
    let gateway = gateway().with_policy(by_purpose(includes)).with(more).in_front_of(&ehr);
    (ehr, gateway)
}

#[test]
fn a_payer_gets_what_somebody_answers_for_and_treatment_gets_all_of_it_marked() {
    for more in ["", "[cache]\nbytes = 0\n"] {
        let (_ehr, mut gateway) = stage("", more);
        let payer = gateway.payer("lanternfield");
        let paid = payer.get(SEARCH);
        let accepted: Vec<&str> =
            VERDICTS.iter().filter(|(_, verdict)| *verdict == "asserted-by-source").map(|(name, _)| *name).collect();
        assert_eq!(paid.searchset().names(), names(&accepted));
        let doctor = gateway.payer_who(Wish { purpose: Some("TREAT".into()), ..Wish::of("lanternfield") });
        let treated = doctor.get(SEARCH);
        assert_eq!(treated.searchset().names(), names(&VERDICTS.iter().map(|(name, _)| *name).collect::<Vec<_>>()));
        for (name, verdict) in VERDICTS {
            let resource: Json = serde_json::from_str(treated.searchset().resource(name)).unwrap();
            assert_eq!(marks(&resource), [*verdict], "{name}");
            let read = doctor.get(&format!("/{name}"));
            assert_eq!(read.json(), resource, "{name}");
            assert_eq!(
                payer.get(&format!("/{name}")).status(),
                if accepted.contains(name) { 200 } else { 404 },
                "{name}"
            );
        }
        let id = paid.header("x-request-id").to_owned();
        let log = gateway.stop();
        let counts = log.exchange(&id).counts.clone().unwrap();
        assert_eq!(
            counts.authorship,
            [("asserted-by-source", 2), ("contradicted", 1), ("unknown", 4)].map(named).into()
        );
        assert_eq!(counts.withheld, [("authorship", 5)].map(named).into());
        assert_eq!((counts.received, counts.released), (7, 2));
    }
}

pub(crate) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn named((name, count): (&str, u64)) -> (String, u64) {
    (name.to_owned(), count)
}

#[test]
fn provenance_leaves_only_if_it_was_asked_for_and_names_nothing_withheld() {
    let (ehr, gateway) = stage(r#""Provenance:target""#, "");
    put(&ehr, &[provenance("of-both", &["Condition/authored-by-itself", "Condition/authored-by-two"], DOCTOR)]);
    let payer = gateway.payer("lanternfield");
    assert!(payer.get(SEARCH).searchset().included().is_empty());
    let asked = payer.get(&format!("{SEARCH}&_revinclude=Provenance:target"));
    assert_eq!(asked.searchset().included(), ["Provenance/of-one"]);
}

/// A hundred records with Provenance by thirty practitioners for one organisation; every other record names its author itself
/// as well, by a role in another.
fn with_a_hundred_records(ehr: &Ehr) {
    let mut resources = vec![organization("author-clinic", "1245319599"), organization("author-group", "1003000126")];
    for number in 0..100 {
        let (doctor, role) = (format!("author-{:02}", number % 30), format!("role-{:02}", number % 30));
        let own = if number % 2 == 0 {
            json!({})
        } else {
            json!({"recorder": {"reference": format!("PractitionerRole/{role}")}})
        };
        resources.push(practitioner(&doctor, &npi(number % 30)));
        resources.push(json!({"resourceType": "PractitionerRole", "id": role,
            "practitioner": {"reference": format!("Practitioner/{doctor}")},
            "organization": {"reference": "Organization/author-group"}}));
        resources.push(condition(&format!("many-{number:03}"), &own));
        let targets = [&*format!("Condition/many-{number:03}")];
        resources.push(provenance(&format!("many-{number:03}"), &targets, &format!("Practitioner/{doctor}")));
    }
    put(ehr, &resources);
}

/// The requests that a page of a hundred records took, and a second one of them.
fn requests_for_a_hundred(how: &str, behaviour: Behaviour) -> [Vec<String>; 2] {
    let ehr = clinic();
    with_a_hundred_records(&ehr);
    ehr.behave(behaviour);
    let gateway = gateway().provenance_by(how).with_policy(by_purpose("")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let mut before = ehr.requests().len();
    [(); 2].map(|()| {
        let answer = payer.get(&format!("{SEARCH}&_count=100"));
        assert_eq!(answer.searchset().matches().len(), 100, "{how}");
        let asked = ehr
            .requests()
            .iter()
            .skip(before)
            .map(|request| format!("{} {}", request.method, request.target))
            .collect();
        before = ehr.requests().len();
        asked
    })
}

#[test]
fn a_page_of_a_hundred_records_takes_at_most_three_requests_and_none_once_they_are_kept() {
    for (how, most) in [("include", 2), ("search", 3)] {
        let [cold, warm] = requests_for_a_hundred(how, Behaviour::faithful());
        assert_eq!(cold.len(), most, "{cold:?}");
        assert_eq!(cold.last().map(String::as_str), Some("POST /fhir"));
        assert_eq!(warm, [""; 0]);
    }
}

#[test]
fn an_ehr_that_gives_nothing_along_or_answers_no_batch_is_asked_a_few_times_more() {
    // There are no originals here.
    const MOST: usize = limits::EVIDENCE_LOOKUPS;
    for (how, behaviour, number) in [
        // The page, Provenance, the directory, and what roles lead to that nothing else named.
        ("include", Behaviour::faithful().ignores_includes(), 4),
        ("search", Behaviour::faithful().ignores_includes(), 4),
        // The page, Provenance where it does not come along, the batch that is refused, and each type of the directory.
        ("include", Behaviour::faithful().refuses_batches(), MOST - 1),
        ("search", Behaviour::faithful().refuses_batches(), MOST),
    ] {
        let [cold, warm] = requests_for_a_hundred(how, behaviour);
        assert_eq!(cold.len(), number, "{how} {cold:?}");
        assert_eq!(warm, [""; 0]);
    }
}

#[test]
fn a_refused_batch_is_not_tried_again() {
    let ehr = clinic();
    with_a_hundred_records(&ehr);
    ehr.behave(Behaviour::faithful().refuses_batches());
    let gateway = gateway().with_policy(by_purpose("")).with("[cache]\nbytes = 0\n").in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let batches = || ehr.requests().iter().filter(|request| request.target == "/fhir").count();
    for _ in 0..2 {
        assert_eq!(payer.get(&format!("{SEARCH}&_count=10")).searchset().matches().len(), 10);
        assert_eq!(batches(), 1);
    }
}

/// Ten digits of which the last is right (ISO 7812 over `80840` and the rest).
fn npi(number: u32) -> String {
    let nine = format!("1{number:08}");
    let digits = format!("80840{nine}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') * (2 - place as u32 % 2);
            value / 10 + value % 10
        })
        .sum();
    format!("{nine}{}", (10 - sum % 10) % 10)
}

/// The one registered source is the clinic; what is said of the record names another organisation, which nobody registered.
#[test]
fn what_speaks_against_a_record_is_found_however_it_is_asked_for() {
    let registry = REGISTRY
        .replace("\"exchange\"", "\"ehr\"")
        .replace("identifiers = [\"http://hl7.org/fhir/sid/us-npi|1992999999\"]\n", "");
    for how in ["include", "search"] {
        let ehr = clinic();
        with_records(&ehr);
        let mut against = provenance("against", &["Condition/evil"], DOCTOR);
        against["agent"][0]["onBehalfOf"] = json!({"reference": "Organization/unregistered"});
        let role = json!({"resourceType": "PractitionerRole", "id": "author-role", "practitioner": {"reference": DOCTOR},
            "organization": {"reference": "Organization/author-clinic"}});
        let by_role = json!({"recorder": {"reference": "PractitionerRole/author-role"}});
        put(&ehr, &[organization("unregistered", "1992999999"), role, condition("evil", &by_role), against]);
        put(&ehr, &[condition("good", &by_role), provenance("for-good", &["Condition/good"], DOCTOR)]);
        let gateway =
            gateway().provenance_by(how).with_policy(by_purpose("")).with_sources(&registry).in_front_of(&ehr);
        let payer = gateway.payer("lanternfield");
        for target in [
            SEARCH.to_owned(),
            format!("{SEARCH}&_id=evil"),
            format!("{SEARCH}&_id=evil,good"),
            format!("{SEARCH}&_count=1"),
        ] {
            assert!(!payer.get(&target).searchset().names().contains("Condition/evil"), "{how} {target}");
        }
        assert_eq!(payer.get("/Condition/evil").status(), 404, "{how}");
        assert_eq!(payer.get("/Condition/good").status(), 200, "{how}");
    }
}

#[test]
fn an_ehr_that_gives_no_provenance_along_is_asked_for_it() {
    let (ehr, gateway) = stage("", "");
    let payer = gateway.payer("lanternfield");
    let honest = payer.get(SEARCH).searchset().names();
    let own = |name: &str| serde_json::from_slice::<Json>(&ehr.open_door(&format!("/{name}")).1).unwrap();
    let entries: Vec<Json> =
        VERDICTS.iter().map(|(name, _)| json!({"resource": own(name), "search": {"mode": "match"}})).collect();
    let entries = serde_json::to_string(&entries).unwrap();
    let bare = format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":{entries}}}"#);
    ehr.behave(Behaviour::faithful().status(200, &bare).only_for("Condition"));
    let answer = payer.get(&format!("{SEARCH}&_count=99"));
    assert_eq!(answer.status(), 200, "{bare}");
    assert_eq!(answer.searchset().names(), honest);
}

#[test]
fn evidence_tells_nothing_of_what_is_withheld_for_other_reasons() {
    let (ehr, gateway) = stage("", "[cache]\nbytes = 0\n");
    let payer = gateway.payer("lanternfield");
    let mut another = condition("another", &json!({"recorder": {"reference": "Practitioner/author-hidden"}}));
    another["subject"] = json!({"reference": "Patient/tobias"});
    put(&ehr, &[another]);
    ehr.behave(Behaviour::faithful().careless());
    let before = ehr.requests().len();
    payer.get(SEARCH);
    let asked: Vec<String> = ehr.requests().iter().skip(before).map(|request| request.target.clone()).collect();
    assert!(asked.len() > 1 && !asked.iter().any(|target| target.contains("hidden")), "{asked:?}");
    ehr.behave(Behaviour::faithful().status(403, "{}").only_for("Practitioner"));
    assert_eq!(payer.get(SEARCH).searchset().names(), BTreeSet::new());
}

#[test]
fn evidence_in_part_is_none_and_a_page_that_cannot_be_held_is_no_answer() {
    let (ehr, gateway) = stage("", "[cache]\nbytes = 0\n");
    let payer = gateway.payer("lanternfield");
    let part = r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"x"}],"entry":[]}"#;
    ehr.behave(Behaviour::faithful().status(200, part).only_for("Practitioner"));
    assert_eq!(payer.get(SEARCH).searchset().names(), BTreeSet::new());
    ehr.behave(Behaviour::faithful().status(500, "{}").only_for("Practitioner"));
    assert_eq!(payer.get(SEARCH).refusal().status, 502);
    ehr.behave(Behaviour::faithful());
    let note = json!([{"text": "x".repeat(3_000_000)}]);
    const { assert!(9_000_000 > limits::ATTRIBUTED_PAGE_BYTES) };
    let lengthy = |number: u8| condition(&format!("authored-at-length-{number}"), &json!({"note": note}));
    put(&ehr, &[lengthy(1), lengthy(2), lengthy(3)]);
    assert_eq!(payer.get(SEARCH).refusal().status, 502);
}

/// A C-CDA document by the author of this NPI, kept by the clinic.
pub(crate) fn ccda(npi: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <id root="2.16.840.1.113883.19" extension="ccda-1"/>
  <author><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="{npi}"/></assignedAuthor></author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="2.16.840.1.113883.4.6" extension="1245319599"/></representedCustodianOrganization></assignedCustodian></custodian>
  <legalAuthenticator><assignedEntity><id root="2.16.840.1.113883.4.6" extension="{npi}"/></assignedEntity></legalAuthenticator>
  <component><structuredBody/></component>
</ClinicalDocument>"#
    )
}

/// Attachments of documents by the doctor: what they say of themselves, what they hold, and whether that agrees.
fn attachments() -> Vec<(&'static str, Json, String, bool)> {
    let good = ccda("1234567893");
    vec![
        ("agrees", json!({"size": good.len()}), good.clone(), true),
        ("silent", json!({}), good.clone(), true),
        ("short", json!({"size": good.len() - 1}), good.clone(), false),
        ("changed", json!({"hash": "qvTGHdzF6KLavt4PO0gs2a6pQ00="}), good.clone(), false),
        ("of-another", json!({}), ccda("1003000126"), false),
        ("cut", json!({}), good.trim_end_matches("</ClinicalDocument>").to_owned(), false),
        ("entity", json!({}), format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{}", good.split_once("?>").unwrap().1), false),
    ]
}

pub(crate) fn document(id: &str, attachment: Json) -> Json {
    json!({"resourceType": "DocumentReference", "id": id, "status": "current", "subject": {"reference": "Patient/maren"},
        "author": [{"reference": DOCTOR}], "content": [{"attachment": attachment}]})
}

#[test]
fn attachments_that_are_at_hand_are_looked_into_and_none_is_fetched_for_a_page() {
    let ehr = clinic();
    with_records(&ehr);
    let mut expected = BTreeSet::new();
    for (id, more, text, agrees) in attachments() {
        for inline in [true, false] {
            let mut attachment = more.clone();
            attachment["contentType"] = json!("text/xml");
            if inline {
                attachment["data"] = json!(STANDARD.encode(&text));
            } else {
                attachment["url"] = json!(format!("Binary/{id}"));
            }
            let id = if inline { format!("inline-{id}") } else { format!("linked-{id}") };
            put(&ehr, &[document(&id, attachment)]);
            if agrees || !inline {
                expected.insert(format!("DocumentReference/{id}"));
            }
        }
        put(
            &ehr,
            &[json!({"resourceType": "Binary", "id": id, "contentType": "text/xml", "data": STANDARD.encode(&text)})],
        );
    }
    let mut gateway = gateway().with_policy(accepting("DocumentReference", "")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let found = payer.get("/DocumentReference?patient=maren&author=Practitioner/author-doctor");
    assert_eq!(found.searchset().names(), expected);
    assert!(ehr.requests().iter().all(|request| !request.target.contains("Binary")), "no request for each document");
    let doctor = gateway.payer_who(Wish { purpose: Some("TREAT".into()), ..Wish::of("lanternfield") });
    let mut withheld = Vec::new();
    for (id, _, text, agrees) in attachments() {
        for asker in [&payer, &doctor] {
            let answer = asker.get(&format!("/DocumentReference/linked-{id}"));
            let url = answer.json()["content"][0]["attachment"]["url"].as_str().unwrap().to_owned();
            let link = &url[url.find("/_content/").unwrap()..];
            let content = asker.ask("GET", link).without("accept").header("accept", "text/xml").send();
            let leaves = agrees || std::ptr::eq(asker, &doctor);
            assert_eq!(content.status(), if leaves { 200 } else { 404 }, "{id}");
            assert_eq!(content.text() == text, leaves, "{id}");
            if !leaves {
                withheld.push(content.header("x-request-id").to_owned());
            }
        }
    }
    let log = gateway.stop();
    for id in withheld {
        let entry = log.exchange(&id);
        assert_eq!(entry.counts.as_ref().unwrap().withheld, [("authorship", 1)].map(named).into());
        let asked = entry.upstream_request.as_deref().unwrap();
        assert!(asked.starts_with("/DocumentReference/linked-") && asked.contains(" /Binary/"), "{asked}");
    }
    let counts = log.exchange(found.header("x-request-id")).counts.clone().unwrap();
    assert_eq!(counts.look_ups, [("Practitioner", 1)].map(named).into());
}

#[test]
fn what_was_looked_up_for_an_answer_is_on_record() {
    for (how, provenance) in [("include", None), ("search", Some(("Provenance", 1)))] {
        let ehr = clinic();
        with_a_hundred_records(&ehr);
        let mut gateway = gateway().provenance_by(how).with_policy(by_purpose("")).in_front_of(&ehr);
        let payer = gateway.payer("lanternfield");
        let [cold, warm] = [(); 2].map(|()| {
            let answer = payer.get(&format!("{SEARCH}&_count=100"));
            assert_eq!(answer.status(), 200);
            answer.header("x-request-id").to_owned()
        });
        let log = gateway.stop();
        let looked_up = |id: &str| {
            let closing = log.closing(id).and_then(|entry| entry.counts.clone());
            closing.or_else(|| log.exchange(id).counts.clone()).unwrap().look_ups
        };
        let mut expected: BTreeMap<String, u64> =
            [("Organization", 1), ("Practitioner", 1), ("PractitionerRole", 1)].map(named).into();
        expected.extend(provenance.map(named));
        assert_eq!(looked_up(&cold), expected);
        assert_eq!(looked_up(&warm), BTreeMap::new());
    }
}

pub(crate) const REGISTRY: &str = r#"
[upstream]
kind = "exchange"
identifiers = ["http://hl7.org/fhir/sid/us-npi|1992999999"]

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1245319599"]
name = "Clinic"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|1992999999"]
agreement = "Agreement 1"
valid_from = "2020-01-01"
"#;

#[test]
fn an_exchange_answers_for_registered_sources_and_a_broken_registry_changes_nothing() {
    let ehr = clinic();
    with_records(&ehr);
    let mut passed_on = provenance("of-one", &["Condition/authored-by-provenance"], DOCTOR);
    let code = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type";
    passed_on["agent"].as_array_mut().unwrap().push(json!({
        "type": {"coding": [{"system": code, "code": "transmitter"}]}, "who": {"reference": "Organization/exchange"}}));
    put(&ehr, &[organization("exchange", "1992999999"), passed_on]);
    let gateway = gateway().with_policy(by_purpose("")).with_sources(REGISTRY).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let found = || payer.get(SEARCH).searchset().names();
    assert_eq!(found(), names(&["Condition/authored-by-provenance"]));
    std::fs::write(gateway.file("sources.toml"), REGISTRY.replace("true", "\"perhaps\"").replace("exchange", "club"))
        .unwrap();
    let problems = gateway.reload(&by_purpose("")).unwrap_err();
    assert!(problems.len() >= 2 && problems.iter().all(|problem| problem.contains("sources.toml")), "{problems:?}");
    assert_eq!(found(), names(&["Condition/authored-by-provenance"]));
    std::fs::write(gateway.file("sources.toml"), REGISTRY.replace("2020", "2120")).unwrap();
    gateway.reload(&by_purpose("")).unwrap();
    assert_eq!(found(), BTreeSet::new());
}
