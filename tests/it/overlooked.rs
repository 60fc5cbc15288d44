//! What speaks against a record is not overlooked, wherever the EHR puts it and however it hands it over.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::cli::token::Wish;
use portcullis::demo::ehr::{Behaviour, Ehr};
use serde_json::{Value as Json, json};

use crate::attribution::{
    DOCTOR, REGISTRY, SEARCH, accepting, by_purpose, ccda, condition, document, marks, names, organization,
    practitioner, provenance, put, with_records,
};
use crate::support::{Gateway, clinic, gateway};

const EXCHANGE: &str = "1992999999";
const CLINIC: &str = "1245319599";
const OTHER_CLINIC: &str = "1136090283";

fn resource(gateway: &Gateway, purpose: &str, target: &str, name: &str) -> Json {
    let asker = gateway.payer_who(Wish { purpose: Some(purpose.into()), ..Wish::of("lanternfield") });
    serde_json::from_str(asker.get(target).searchset().resource(name)).unwrap()
}

/// An EHR gives along the Provenance of what it was searched for, and not of what comes along with that.
#[test]
fn what_comes_along_is_held_to_its_own_provenance() {
    // The visit may itself be one that somebody has to answer for: then what comes along with it hangs on that.
    let both = r#"Condition": {"elements": ["*"], "authorship": accepted}, "Encounter"#;
    for (how, attributed) in [("include", "Condition"), ("search", "Condition"), ("include", both), ("search", both)] {
        let ehr = clinic();
        with_records(&ehr);
        let visit = json!({"resourceType": "Encounter", "id": "visit", "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": "Patient/maren"}, "diagnosis": [
                {"condition": {"reference": "Condition/authored-by-two"}},
                {"condition": {"reference": "Condition/authored-by-provenance"}}]});
        put(&ehr, &[visit, provenance("of-visit", &["Encounter/visit"], DOCTOR)]);
        let policy = accepting(attributed, r#""Encounter:diagnosis""#);
        let gateway = gateway().provenance_by(how).with_policy(policy).in_front_of(&ehr);
        let answer =
            gateway.payer("lanternfield").get("/Encounter?patient=maren&_id=visit&_include=Encounter:diagnosis");
        let found = answer.searchset();
        assert_eq!(found.matches(), ["Encounter/visit"], "{how} {attributed}");
        assert_eq!(found.included(), ["Condition/authored-by-provenance"], "{how} {attributed}");
    }
}

/// The same of what comes along and is of the type that was searched for.
#[test]
fn what_comes_along_of_the_same_type_is_held_to_its_own_provenance() {
    let result = |id: &str, code: &str, more: &Json| {
        let mut result = json!({"resourceType": "Observation", "id": id, "status": "final",
            "code": {"coding": [{"system": "urn:c", "code": code}]}, "subject": {"reference": "Patient/maren"},
            "performer": [{"reference": DOCTOR}]});
        result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        result
    };
    let ehr = clinic();
    with_records(&ehr);
    let members = json!({"hasMember": [{"reference": "Observation/good"}, {"reference": "Observation/bad"}]});
    put(&ehr, &[result("panel", "panel", &members), provenance("of-panel", &["Observation/panel"], DOCTOR)]);
    put(&ehr, &[result("good", "part", &json!({})), provenance("of-good", &["Observation/good"], DOCTOR)]);
    let contradicts = provenance("of-bad", &["Observation/bad"], "Practitioner/author-other");
    put(&ehr, &[result("bad", "part", &json!({})), contradicts]);
    let policy = accepting("Observation", r#""Observation:has-member""#);
    let gateway = gateway().with_policy(policy).in_front_of(&ehr);
    let search = "/Observation?patient=maren&code=urn:c|panel&_include=Observation:has-member";
    let answer = gateway.payer("lanternfield").get(search);
    assert_eq!(answer.searchset().included(), ["Observation/good"]);
}

fn link(answer: &Json, pointer: &str) -> Option<String> {
    let url = answer.pointer(pointer)?.as_str()?;
    url.find("/_content/").map(|at| url[at..].to_owned())
}

/// Content that a link leads to is held to what the document says, whatever else the document holds.
#[test]
fn content_is_looked_into_whatever_stands_beside_its_link() {
    let ehr = clinic();
    with_records(&ehr);
    let (good, other) = (ccda("1234567893"), ccda("1003000126"));
    let wide: Vec<u8> = [0xFE, 0xFF].into_iter().chain(other.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    let attachment = "/content/0/attachment/url";
    let mut extended = document("extended", json!({"contentType": "text/xml", "url": "Binary/good"}));
    extended["extension"] =
        json!([{"url": "urn:x", "valueAttachment": {"contentType": "text/xml", "url": "Binary/other"}}]);
    let mut named = document("named", json!({"contentType": "text/xml", "url": "Binary/good"}));
    named["extension"] = json!([{"url": "Binary/other", "valueCode": "x"}]);
    let documents = [
        ("plain", document("plain", json!({"contentType": "text/xml", "url": "Binary/good"})), attachment, true),
        (
            "beside",
            document(
                "beside",
                json!({"contentType": "text/xml", "data": STANDARD.encode(&good), "url": "Binary/other"}),
            ),
            attachment,
            false,
        ),
        ("extended", extended, "/extension/0/valueAttachment/url", false),
        ("named", named, "/extension/0/url", false),
        ("wide", document("wide", json!({"contentType": "text/plain", "url": "Binary/wide"})), attachment, false),
    ];
    let binary = |id: &str, media: &str, bytes: &[u8]| {
        json!({"resourceType": "Binary", "id": id, "contentType": media,
        "data": STANDARD.encode(bytes)})
    };
    put(&ehr, &[binary("good", "text/xml", good.as_bytes()), binary("other", "text/xml", other.as_bytes())]);
    put(&ehr, &[binary("wide", "text/plain", &wide)]);
    put(&ehr, &documents.clone().map(|(_, document, ..)| document));
    let gateway = gateway().with_policy(accepting("DocumentReference", "")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let mut led = Vec::new();
    for (id, _, pointer, _) in &documents {
        let answer = payer.get(&format!("/DocumentReference/{id}"));
        let content = link(&answer.json(), pointer)
            .map(|link| payer.ask("GET", &link).without("accept").header("accept", "*/*").send());
        led.extend(content.filter(|content| content.status() == 200).map(|_| *id));
    }
    let expected = documents.iter().filter(|(.., leaves)| *leaves).map(|(id, ..)| *id);
    assert_eq!(led, expected.collect::<Vec<_>>());
}

/// Two sources of which one has to vouch in each case.
fn sources(kind: &str, second: &str) -> String {
    format!(
        r#"{}
speakers = ["http://hl7.org/fhir/sid/us-npi|{EXCHANGE}"]
exchange_asserts = true

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|{OTHER_CLINIC}"]
name = "Other clinic"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|{EXCHANGE}"]
agreement = "Agreement 2"
valid_from = "2020-01-01"
{second}
"#,
        REGISTRY.replace("speakers", "#").replace("kind = \"exchange\"", &format!("kind = \"{kind}\""))
    )
}

/// An organisation that goes by the names of two sources is held to the rules of both.
#[test]
fn an_organisation_of_two_sources_is_held_to_both() {
    let ehr = clinic();
    with_records(&ehr);
    let identifier = |value: &str| json!({"system": "http://hl7.org/fhir/sid/us-npi", "value": value});
    for (number, order) in [[CLINIC, OTHER_CLINIC], [OTHER_CLINIC, CLINIC]].into_iter().enumerate() {
        let mut merged = organization("merged", order[0]);
        merged["identifier"] = json!([identifier(order[0]), identifier(order[1])]);
        let mut about = provenance("about-merged", &["Condition/merged"], DOCTOR);
        about["agent"][0]["onBehalfOf"] = json!({"reference": "Organization/merged"});
        put(&ehr, &[merged, condition("merged", &json!({})), about]);
        for (second, verdict) in [("", "asserted-by-source"), ("valid_to = \"2021-01-01\"", "unknown")] {
            let registry = sources("ehr", second);
            let gateway = gateway().with_policy(by_purpose("")).with_sources(&registry).in_front_of(&ehr);
            let found = resource(&gateway, "TREAT", SEARCH, "Condition/merged");
            assert_eq!(marks(&found), [verdict], "{number} {second}");
        }
    }
    for (first, verdict) in [("2020", "asserted-by-source"), ("2120", "unknown")] {
        let registry = sources("ehr", "").replacen("2020", first, 1);
        let gateway = gateway().with_policy(by_purpose("")).with_sources(&registry).in_front_of(&ehr);
        assert_eq!(marks(&resource(&gateway, "TREAT", SEARCH, "Condition/merged")), [verdict], "{first}");
    }
}

/// What an exchange made of records of two sources is of both.
#[test]
fn every_original_of_an_exchanges_work_counts() {
    for (second, known, verdict) in [
        ("exchange_asserts = true", true, "asserted-by-hie"),
        ("", true, "unknown"),
        ("exchange_asserts = true", false, "unknown"),
    ] {
        for together in [true, false] {
            let ehr = clinic();
            with_records(&ehr);
            let by_other = |id: &str| {
                json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"},
                    "subject": {"reference": "Patient/maren"}, "performer": [{"reference": "Organization/other-clinic"}]})
            };
            let of_clinic = json!({"asserter": {"reference": "PractitionerRole/author-role"}});
            let role = json!({"resourceType": "PractitionerRole", "id": "author-role",
                "practitioner": {"reference": DOCTOR}, "organization": {"reference": "Organization/author-clinic"}});
            let mut made = provenance("of-made", &["Condition/made"], "Organization/exchange");
            made["agent"][0].as_object_mut().unwrap().remove("onBehalfOf");
            let source = |name: &str| json!({"role": "source", "what": {"reference": name}});
            made["entity"] =
                json!([source("Condition/first"), source("Condition/second"), source("Observation/third")]);
            put(&ehr, &[organization("exchange", EXCHANGE), organization("other-clinic", OTHER_CLINIC), role]);
            let elsewhere = |id: &str| {
                let mut original = condition(id, &of_clinic);
                original["code"]["coding"][0]["code"] = json!("original");
                original
            };
            put(&ehr, &[elsewhere("first"), elsewhere("second"), condition("made", &json!({})), made]);
            put(&ehr, &if known { vec![by_other("third")] } else { Vec::new() });
            if !together {
                ehr.behave(Behaviour::faithful().refuses_batches());
            }
            let registry = sources("exchange", second);
            let gateway = gateway().with_policy(by_purpose("")).with_sources(&registry).in_front_of(&ehr);
            let found = resource(&gateway, "TREAT", SEARCH, "Condition/made");
            let verdict = if together { verdict } else { "unknown" };
            let [mark] = *marks(&found) else { panic!("{found}") };
            assert!(mark == verdict, "{second} {known} {together}: {mark}");
        }
    }
}

/// An organisation that contradicts a record does so also where an exchange is named beside it.
#[test]
fn an_exchange_beside_the_author_hides_no_contradiction() {
    let ehr = clinic();
    with_records(&ehr);
    let mut about = provenance("of-result", &["Observation/result"], "Organization/other-clinic");
    about["agent"][0].as_object_mut().unwrap().remove("onBehalfOf");
    let result = json!({"resourceType": "Observation", "id": "result", "status": "final",
        "code": {"coding": [{"system": "urn:c", "code": "authored"}]}, "subject": {"reference": "Patient/maren"},
        "performer": [{"reference": "Organization/author-clinic"}]});
    put(&ehr, &[organization("exchange", EXCHANGE), organization("other-clinic", OTHER_CLINIC), result]);
    let search = "/Observation?patient=maren&code=urn:c|authored";
    for beside in [false, true] {
        if beside {
            let mut agent = about["agent"][0].clone();
            agent["who"] = json!({"reference": "Organization/exchange"});
            about["agent"].as_array_mut().unwrap().push(agent);
        }
        put(&ehr, &[about.clone()]);
        let registry = sources("ehr", "");
        let gateway = gateway().with_policy(accepting("Observation", "")).with_sources(&registry).in_front_of(&ehr);
        assert_eq!(marks(&resource(&gateway, "TREAT", search, "Observation/result")), ["contradicted"], "{beside}");
    }
}

/// Who made what is withheld for other reasons is not asked for: requests, times and failures tell nothing of it.
#[test]
fn provenance_of_what_is_withheld_leads_to_no_request() {
    let ehr = clinic();
    with_records(&ehr);
    let gateway = gateway().with_policy(by_purpose("")).with("[cache]\nbytes = 0\n").in_front_of(&ehr);
    let mut another = condition("another", &json!({}));
    another["subject"] = json!({"reference": "Patient/tobias"});
    put(&ehr, &[another, provenance("of-another", &["Condition/another"], "Practitioner/author-hidden")]);
    ehr.behave(Behaviour::faithful().careless());
    let before = ehr.requests().len();
    gateway.payer("lanternfield").get(SEARCH);
    let requests = ehr.requests();
    let asked: Vec<String> = requests
        .iter()
        .skip(before)
        .map(|request| format!("{} {}", request.target, String::from_utf8_lossy(&request.body)))
        .collect();
    assert!(asked.len() > 1 && !asked.iter().any(|text| text.contains("hidden")), "{asked:?}");
}

fn bundle(resources: &[Json]) -> String {
    let entries: Vec<Json> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string()
}

fn with_evil(ehr: &Ehr) {
    with_records(ehr);
    let mut against = provenance("against", &["Condition/evil"], DOCTOR);
    against["agent"][0]["onBehalfOf"] = json!({"reference": "Organization/unregistered"});
    let role = json!({"resourceType": "PractitionerRole", "id": "author-role", "practitioner": {"reference": DOCTOR},
        "organization": {"reference": "Organization/author-clinic"}});
    let by_role = json!({"recorder": {"reference": "PractitionerRole/author-role"}});
    put(ehr, &[organization("unregistered", EXCHANGE), role, condition("evil", &by_role), against]);
}

/// A search that is answered with what another one finds says nothing, and is not kept.
#[test]
fn an_answer_to_another_search_is_none() {
    let registry = REGISTRY
        .replace("\"exchange\"", "\"ehr\"")
        .replace("identifiers = [\"http://hl7.org/fhir/sid/us-npi|1992999999\"]\n", "");
    for wrong in [bundle(&[practitioner("author-doctor", "1234567893")]), bundle(&[organization("unasked", CLINIC)])] {
        let ehr = clinic();
        with_evil(&ehr);
        let gateway = gateway().with_policy(by_purpose("")).with_sources(&registry).in_front_of(&ehr);
        let payer = gateway.payer("lanternfield");
        ehr.behave(Behaviour::faithful().status(200, &wrong).only_for("Organization").times(1));
        for _ in 0..2 {
            let answer = payer.get(&format!("{SEARCH}&_id=evil"));
            let found = if answer.status() == 200 { answer.searchset().names() } else { BTreeSet::new() };
            assert_eq!(found, names(&[]), "{wrong}");
        }
    }
}

/// What an exchange made of its own work, or of what is no record, leads back to nobody.
#[test]
fn an_original_is_somebody_elses_record() {
    let role = json!({"resourceType": "PractitionerRole", "id": "author-role", "practitioner": {"reference": DOCTOR},
        "organization": {"reference": "Organization/author-clinic"}});
    let by_role = json!({"recorder": {"reference": "PractitionerRole/author-role"}});
    let mut found = Vec::new();
    for what in ["Condition/original", "Condition/made", "Condition/also-made", "Organization/author-clinic"] {
        let ehr = clinic();
        with_records(&ehr);
        let mut original = condition("original", &by_role);
        original["code"]["coding"][0]["code"] = json!("original");
        put(&ehr, &[organization("exchange", EXCHANGE), role.clone(), original]);
        for (made, of) in [("made", what), ("also-made", "Condition/original")] {
            let mut about = provenance(&format!("of-{made}"), &[&format!("Condition/{made}")], "Organization/exchange");
            about["agent"][0].as_object_mut().unwrap().remove("onBehalfOf");
            let kind = about["agent"][0]["type"].clone();
            about["entity"] = json!([{"role": "source", "what": {"reference": of},
                "agent": [{"type": kind, "who": {"reference": "Organization/author-clinic"}}]}]);
            put(&ehr, &[condition(made, &by_role), about]);
        }
        let registry = sources("exchange", "");
        let gateway = gateway().with_policy(by_purpose("")).with_sources(&registry).in_front_of(&ehr);
        let made = resource(&gateway, "TREAT", SEARCH, "Condition/made");
        found.push(marks(&made).concat());
    }
    assert_eq!(found, ["asserted-by-hie", "unknown", "unknown", "unknown"]);
}

/// A mark is no less the gateway's own on what is not judged, and in other letters.
#[test]
fn a_mark_in_other_letters_does_not_leave() {
    let ehr = clinic();
    let tag = |system: &str| json!([{"system": system, "code": "verified"}, {"system": "urn:t", "code": "kept"}]);
    let systems = [
        "urn:portcullis:authorship",
        "URN:Portcullis:Authorship",
        " urn:portcullis:authorship",
        "urn:portcullis:\u{61}uthorship",
    ];
    for (number, system) in systems.iter().enumerate() {
        let id = format!("tagged-{number}");
        put(
            &ehr,
            &[condition(
                &id,
                &json!({"meta": {"tag": tag(system)},
            "contained": [{"resourceType": "Condition", "id": "in", "meta": {"tag": tag(system)}}]}),
            )],
        );
    }
    let gateway = gateway().with_policy(accepting("Observation", "")).in_front_of(&ehr);
    let answer = gateway.payer("lanternfield").get(SEARCH);
    assert_eq!(answer.searchset().matches().len(), systems.len());
    assert!(!answer.text().to_ascii_lowercase().contains("portcullis:authorship"), "{}", answer.text());
    assert!(answer.text().matches("kept").count() >= systems.len());
}
