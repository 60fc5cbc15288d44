//! Signatures on what the gateway fetches: they make records verified, and nothing else does where they are demanded.

use std::collections::BTreeSet;

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::Ehr;
use portcullis::signature::Omitted;
use serde_json::{Value as Json, json};

use super::stage::{Forge, NPI, ORGANISATION, Party, authority, party};
use crate::support::{Gateway, Policy, clinic, gateway, policy};

const SEARCH: &str = "/Condition?patient=maren&code=urn:c|signed";

/// Payment takes what a source answers for, treatment everything.
fn accepting(includes: &str, elements: &str) -> Policy {
    policy(&format!(
        r#"
default decision := {{"allow": false, "reasons": [{{"code": "never", "text": "Never.", "basis": "none"}}]}}

decision := {{
	"allow": true,
	"reasons": [{{"code": "test", "text": "Because.", "basis": "none"}}],
	"patients": input.request.patients,
	"types": {{
		"*": {{"elements": ["*"]}},
		"Condition": {{"elements": [{elements}], "authorship": accepted}},
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

fn registry(signatures: &str) -> String {
    format!(
        r#"
[upstream]
kind = "ehr"

[[source]]
identifiers = ["{NPI}|{}"]
name = "Signing clinic"
validates_authorship = true
anchors = "anchors.pem"
signatures = "{signatures}"
agreement = "Agreement 1"
valid_from = "2020-01-01"
"#,
        ORGANISATION.1
    )
}

fn condition(id: &str, text: &str) -> Json {
    json!({
        "resourceType": "Condition", "id": id, "subject": {"reference": "Patient/maren"},
        "code": {"coding": [{"system": "urn:c", "code": "signed"}], "text": text},
        "recorder": {"reference": "Practitioner/signing-doctor"},
    })
}

fn provenance(id: &str, targets: &[&str], signatures: &[Json]) -> Json {
    let targets: Vec<Json> = targets.iter().map(|target| json!({"reference": target})).collect();
    let code = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
    let mut provenance = json!({"resourceType": "Provenance", "id": id, "target": targets, "recorded": "2026-11-01T10:00:00Z",
        "agent": [{"type": {"coding": [{"system": code, "code": "author"}]},
            "who": {"reference": "Practitioner/signing-doctor"},
            "onBehalfOf": {"reference": "Organization/signing-clinic"}}]});
    if !signatures.is_empty() {
        provenance["signature"] = json!(signatures);
    }
    provenance
}

/// What the clinic signs of a record.
fn forge(party: &Party, record: &Json) -> Forge {
    let mut forge = Forge::new(party, &record.to_string());
    forge.omitted = Omitted::Target;
    forge
}

/// A record and its Provenance with the clinic's signature.
fn signed(id: &str) -> [Json; 2] {
    let record = condition(id, "headache");
    let signature = forge(&party(), &record).signed_element();
    let about = provenance(&format!("of-{id}"), &[&format!("Condition/{id}")], &[signature]);
    [record, about]
}

fn put(ehr: &Ehr, resources: &[Json]) {
    let entries: Vec<Json> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    ehr.put(&json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()).unwrap();
}

fn stage(signatures: &str, includes: &str, elements: &str) -> (Ehr, Gateway) {
    let ehr = clinic();
    let npi = |value: &str| json!([{"system": NPI, "value": value}]);
    put(
        &ehr,
        &[
            json!({"resourceType": "Practitioner", "id": "signing-doctor", "identifier": npi("1003000126")}),
            json!({"resourceType": "Organization", "id": "signing-clinic", "name": "Signing", "identifier": npi(ORGANISATION.1)}),
        ],
    );
    let gateway = gateway()
        .with_policy(accepting(includes, elements))
        .with_file("anchors.pem", authority().chain_pem())
        .with_sources(&registry(signatures))
        .in_front_of(&ehr);
    (ehr, gateway)
}

fn marks(resource: &Json) -> Vec<&str> {
    let tags = resource["meta"]["tag"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = tags.iter().filter(|tag| tag["system"] == "urn:portcullis:authorship");
    ours.filter_map(|tag| tag["code"].as_str()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_signature_of_a_registered_source_makes_its_record_verified() {
    for signatures in ["accepted", "demanded"] {
        let (ehr, gateway) = stage(signatures, "", r#""*""#);
        put(&ehr, &signed("one"));
        let doctor = gateway.payer_who(Wish { purpose: Some("TREAT".into()), ..Wish::of("lanternfield") });
        let found = doctor.get(SEARCH);
        let resource: Json = serde_json::from_str(found.searchset().resource("Condition/one")).unwrap();
        assert_eq!(marks(&resource), ["verified"]);
        assert_eq!(doctor.get("/Condition/one").json(), resource);
        let payer = gateway.payer("lanternfield");
        assert_eq!(payer.get(SEARCH).searchset().names(), names(&["Condition/one"]));
    }
}
