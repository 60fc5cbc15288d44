//! Signatures on what the gateway fetches: they make records verified, and nothing else does where they are demanded.

use std::collections::BTreeSet;

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::{Behaviour, Ehr};
use portcullis::fhir::json::Tape;
use portcullis::limits;
use portcullis::signature::{Dialect, Omitted, SIGNATURE_EXTENSION, Verdict, examine_apart, sign, verify};
use rcgen::SanType;
use rcgen::string::Ia5String;
use serde_json::{Value as Json, json};

use super::stage::{
    AT, Forge, NPI, ORGANISATION, Party, authority, authority_params, instant, party, revocation_list, rules,
};
use crate::support::{Gateway, Policy, clinic, gateway, policy};

pub(super) const SEARCH: &str = "/Condition?patient=maren&code=urn:c|signed";

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
		"QuestionnaireResponse": {{"elements": ["*"], "authorship": accepted}},
		"Provenance": {{"elements": ["*"], "authorship": accepted}},
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

pub(super) fn registry(signatures: &str) -> String {
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

pub(super) fn condition(id: &str, text: &str) -> Json {
    json!({
        "resourceType": "Condition", "id": id, "subject": {"reference": "Patient/maren"},
        "code": {"coding": [{"system": "urn:c", "code": "signed"}], "text": text},
        "recorder": {"reference": "Practitioner/signing-doctor"},
    })
}

pub(super) fn provenance(id: &str, targets: &[&str], signatures: &[Json]) -> Json {
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
pub(super) fn forge(party: &Party, record: &Json) -> Forge {
    let mut forge = Forge::new(party, &record.to_string());
    forge.omitted = Omitted::Target;
    forge
}

/// A record and its Provenance with the clinic's signature.
pub(super) fn signed(id: &str) -> [Json; 2] {
    let record = condition(id, "headache");
    let signature = forge(&party(), &record).signed_element();
    let about = provenance(&format!("of-{id}"), &[&format!("Condition/{id}")], &[signature]);
    [record, about]
}

pub(super) fn put(ehr: &Ehr, resources: &[Json]) {
    let entries: Vec<Json> = resources.iter().map(|resource| json!({"resource": resource})).collect();
    ehr.put(&json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()).unwrap();
}

/// The doctor who records, and the clinic that signs.
pub(super) fn directory() -> Vec<Json> {
    let npi = |value: &str| json!([{"system": NPI, "value": value}]);
    vec![
        json!({"resourceType": "Practitioner", "id": "signing-doctor", "identifier": npi("1003000126")}),
        json!({"resourceType": "Organization", "id": "signing-clinic", "name": "Signing", "identifier": npi(ORGANISATION.1)}),
    ]
}

pub(super) fn stage(signatures: &str, includes: &str, elements: &str) -> (Ehr, Gateway) {
    stage_by(&registry(signatures), includes, elements)
}

pub(super) fn stage_by(registry: &str, includes: &str, elements: &str) -> (Ehr, Gateway) {
    let ehr = clinic();
    put(&ehr, &directory());
    let gateway = gateway()
        .with_policy(accepting(includes, elements))
        .with_file("anchors.pem", authority().chain_pem())
        .with_sources(registry)
        .in_front_of(&ehr);
    (ehr, gateway)
}

pub(super) fn searchset(entries: &[Json]) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":{}}}"#, json!(entries))
}

fn marks(resource: &Json) -> Vec<&str> {
    let tags = resource["meta"]["tag"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = tags.iter().filter(|tag| tag["system"] == "urn:portcullis:authorship");
    ours.filter_map(|tag| tag["code"].as_str()).collect()
}

pub(super) fn names(names: &[&str]) -> BTreeSet<String> {
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

/// What a doctor sees of one record of the page: the verdict that it leaves with.
pub(super) fn verdict(gateway: &Gateway, name: &str) -> String {
    let doctor = gateway.payer_who(Wish { purpose: Some("TREAT".into()), ..Wish::of("lanternfield") });
    let found = doctor.get(SEARCH);
    let resource: Json = serde_json::from_str(found.searchset().resource(name)).unwrap();
    let [mark] = *marks(&resource) else { panic!("{resource}") };
    assert_eq!(doctor.get(&format!("/{name}")).json(), resource);
    mark.to_owned()
}

pub(super) fn about(signatures: &[Json]) -> Json {
    provenance("of-one", &["Condition/one"], signatures)
}

#[test]
fn anchors_that_could_not_be_used_are_found_when_the_registry_is_read() {
    let mut params = authority_params("An authority of many names");
    let name = |number: usize| SanType::DnsName(Ia5String::try_from(format!("{number}.example")).unwrap());
    params.subject_alt_names = (0..=limits::SIGNATURE_NAMES).map(name).collect();
    let ehr = clinic();
    let problems = gateway()
        .with_policy(accepting("", r#""*""#))
        .with_file("anchors.pem", Party::self_signed(params).chain_pem())
        .with_sources(&registry("accepted"))
        .try_in_front_of(&ehr)
        .err()
        .unwrap();
    assert!(problems.iter().any(|problem| problem.contains("anchors")), "{problems:?}");
}

#[test]
fn signatures_beyond_the_limit_are_not_verified_and_none_of_them_passes() {
    let (ehr, gateway) = stage("demanded", "", r#""*""#);
    let [first, _] = signed("one");
    let signature = forge(&party(), &first).signed_element();
    let many = provenance("of-one", &["Condition/one"], &vec![signature; limits::SIGNATURES_OF_A_PAGE + 1]);
    put(&ehr, &[first, many]);
    put(&ehr, &signed("two"));
    assert_eq!(verdict(&gateway, "Condition/one"), "verified");
    let doctor = gateway.payer_who(Wish { purpose: Some("TREAT".into()), ..Wish::of("lanternfield") });
    let page = doctor.get(SEARCH);
    let second: Json = serde_json::from_str(page.searchset().resource("Condition/two")).unwrap();
    assert_eq!(marks(&second), ["unknown"]);
    let alone: Json = doctor.get("/Condition/two").json();
    assert_eq!(marks(&alone), ["verified"]);
}

/// CDex: an answer to a search is signed as a whole, by the organisation.
#[test]
fn a_signed_searchset_makes_its_records_verified() {
    let own = format!("kind = \"ehr\"\nidentifiers = [\"{NPI}|{}\"]", ORGANISATION.1);
    let registry = registry("demanded").replace("kind = \"ehr\"", &own);
    let (ehr, gateway) = stage_by(&registry, "", r#""*""#);
    let entry = json!({"fullUrl": "http://ehr.example/Condition/one", "resource": condition("one", "headache")});
    let page = searchset(&[entry]);
    let signed =
        String::from_utf8(sign(page.as_bytes(), &party().signer(), instant(AT), Dialect::Ci).unwrap()).unwrap();
    let payer = gateway.payer("lanternfield");
    for (count, text, leaves) in [
        (11, signed.clone(), true),
        (12, signed.replace("headache", "headachf"), false),
        (13, page.clone(), false),
        (14, signed.replace("\"type\":\"searchset\"", "\"type\":\"searchset\",\"total\":1"), false),
    ] {
        ehr.behave(Behaviour::faithful().status(200, &text).only_for("Condition"));
        let answer = payer.get(&format!("{SEARCH}&_count={count}"));
        assert_eq!(answer.searchset().names(), if leaves { names(&["Condition/one"]) } else { names(&[]) }, "{text}");
        assert!(!answer.text().contains("signature"), "{}", answer.text());
    }
    // The published edition asks for less, which is agreed on with a source or not.
    let older = sign(page.as_bytes(), &party().signer(), instant(AT), Dialect::Published).unwrap();
    let older = String::from_utf8(older).unwrap();
    for (registry, leaves) in
        [(registry.clone(), false), (registry.replace("anchors =", "signature_dialect = \"2.1.0\"\nanchors ="), true)]
    {
        let (ehr, gateway) = stage_by(&registry, "", r#""*""#);
        ehr.behave(Behaviour::faithful().status(200, &older).only_for("Condition"));
        let found = gateway.payer("lanternfield").get(SEARCH).searchset().names();
        assert_eq!(found, if leaves { names(&["Condition/one"]) } else { names(&[]) });
    }
}

/// The list is read anew with the registry; one that is too old says nothing.
#[test]
fn what_its_authority_revoked_makes_no_record_leave() {
    let registry = registry("demanded").replace("anchors =", "revocation_lists = \"revoked.pem\"\nanchors =");
    for (name, list, expected) in [
        ("another", revocation_list(authority(), &[8], (2099, 1)), "verified"),
        ("this", revocation_list(authority(), &[7], (2099, 1)), "contradicted"),
        ("too old", revocation_list(authority(), &[8], (2026, 11)), "unknown"),
    ] {
        let ehr = clinic();
        put(&ehr, &directory());
        put(&ehr, &signed("one"));
        let gateway = gateway()
            .with_policy(accepting("", r#""*""#))
            .with_file("anchors.pem", authority().chain_pem())
            .with_file("revoked.pem", list)
            .with_sources(&registry)
            .in_front_of(&ehr);
        assert_eq!(verdict(&gateway, "Condition/one"), expected, "{name}");
    }
}

#[test]
fn a_form_is_verified_by_its_own_signature_and_leaves_with_it() {
    let search = "/QuestionnaireResponse?patient=maren";
    let (ehr, mut gateway) = stage("demanded", "", r#""*""#);
    let mut form = json!({"resourceType": "QuestionnaireResponse", "id": "form", "status": "completed",
        "subject": {"reference": "Patient/maren"}, "author": {"reference": "Organization/signing-clinic"},
        "item": [{"linkId": "1", "answer": [{"valueDecimal": 7.5}]}]});
    let mut forge = Forge::new(&party(), &form.to_string());
    forge.omitted = Omitted::QuestionnaireResponse;
    form["extension"] = json!([{"url": SIGNATURE_EXTENSION, "valueSignature": forge.signed_element()}]);
    put(&ehr, &[form.clone()]);
    let payer = gateway.payer("lanternfield");
    let whole = payer.get(search);
    let released: Json = serde_json::from_str(whole.searchset().resource("QuestionnaireResponse/form")).unwrap();
    assert_eq!(marks(&released), ["verified"]);
    assert_eq!(released["extension"], form["extension"]);
    let rules = rules();
    assert_eq!(verify(released.to_string().as_bytes(), &rules, Some(instant(AT))).verdict, Verdict::Verified);
    let mut of_an_item = Forge::new(&party(), &form["item"][0].to_string());
    of_an_item.omitted = Omitted::Item;
    let mut signed_in_part = form.clone();
    signed_in_part["id"] = json!("part");
    signed_in_part.as_object_mut().unwrap().remove("extension");
    signed_in_part["item"][0]["extension"] =
        json!([{"url": SIGNATURE_EXTENSION, "valueSignature": of_an_item.signed_element()}]);
    put(&ehr, &[signed_in_part]);
    assert_eq!(payer.get("/QuestionnaireResponse/part").status(), 404);
    let part = payer.get(&format!("{search}&_elements=status&_id=form"));
    assert_eq!(part.searchset().names(), names(&[]));
    assert_eq!(payer.get("/QuestionnaireResponse/form?_elements=status").status(), 404);
    let id = part.header("x-request-id").to_owned();
    form["status"] = json!("amended");
    put(&ehr, &[form]);
    assert_eq!(payer.get(&format!("{search}&_count=7")).searchset().names(), names(&[]));
    let log = gateway.stop();
    let counts = log.exchange(&id).counts.clone().unwrap();
    assert_eq!(counts.withheld, [("signed".to_owned(), 1)].into());
}

/// PRV-31: what a payer gets of a signature still verifies, or it gets none.
#[test]
fn a_signature_that_leaves_holds_for_whoever_gets_it() {
    let search = format!("{SEARCH}&_revinclude=Provenance:target");
    for (elements, leaves) in [(r#""*""#, true), (r#""code", "subject", "recorder""#, false)] {
        let (ehr, mut gateway) = stage("demanded", r#""Provenance:target""#, elements);
        put(&ehr, &signed("one"));
        let mut addressed = condition("two", "headache");
        addressed["note"] = json!([{"text": format!("see {}/Condition/one", ehr.base())}]);
        let signature = forge(&party(), &addressed).signed_element();
        put(&ehr, &[addressed, provenance("of-two", &["Condition/two"], &[signature])]);
        let answer = gateway.payer("lanternfield").get(&search);
        let found = answer.searchset();
        let all: &[&str] = &["Condition/one", "Condition/two", "Provenance/of-one"];
        assert_eq!(found.names(), names(if leaves { all } else { &all[..2] }));
        if leaves {
            // It says who signed; itself it is signed by nobody.
            let released: Json = serde_json::from_str(found.resource("Provenance/of-one")).unwrap();
            assert_eq!(marks(&released), ["asserted-by-source"]);
            let (mut record, mut about) = (Tape::new(), Tape::new());
            let record = record.read(found.resource("Condition/one").as_bytes()).unwrap().root();
            let about = about.read(found.resource("Provenance/of-one").as_bytes()).unwrap().root();
            let signature = about.get("signature").unwrap().each().next().unwrap();
            let examined = examine_apart(record, signature, &rules(), instant(AT));
            assert_eq!(examined.verdict, Verdict::Verified, "{examined:#?}");
        }
        let id = answer.header("x-request-id").to_owned();
        let counts = gateway.stop().exchange(&id).counts.clone().unwrap();
        assert_eq!(counts.withheld, [("signed".to_owned(), if leaves { 1 } else { 2 })].into());
    }
}
