//! Who answers for a record, scenario by type and reader: what leaves, with which mark, and what is withheld.
//!
//! Takes: [`TABLE`], whose rows say what is known of a record and what becomes of it in front of an EHR and of an exchange.
//! Guarantees: every row is tried for every type of [`TYPES`] through a running gateway, for a payer, another provider and an
//! auditor: by search, by read, by what the audit log says of the read, and by whether the row's Provenance comes along.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::Ehr;
use serde_json::{Value as Json, json};

use crate::support::log::Log;
use crate::support::{Gateway, Payer, Policy, clinic, gateway, policy};
use table::{Expected, Outcome, Row, TABLE};

/// Types, and the element that names their author.
const TYPES: [(&str, &str); 8] = [
    ("AllergyIntolerance", "recorder"),
    ("Condition", "recorder"),
    ("DiagnosticReport", "performer[]"),
    ("DocumentReference", "author[]"),
    ("Encounter", "participant[].individual"),
    ("MedicationRequest", "requester"),
    ("Observation", "performer[]"),
    ("Procedure", "performer[].actor"),
];

/// Who asks, with the purpose of use and what may leave for it.
const READERS: [(&str, &str, &str); 3] = [
    ("payer", "HPAYMT", r#"["asserted-by-hie", "asserted-by-source", "verified"]"#),
    ("provider", "TREAT", r#"["contradicted", "unknown", "asserted-by-hie", "asserted-by-source", "verified"]"#),
    ("auditor", "HLEGAL", r#"["contradicted", "unknown", "asserted-by-hie", "asserted-by-source", "verified"]"#),
];

const PATIENT: &str = "rowan";
const MARK: &str = "urn:portcullis:authorship";

/// The exchange, a hospital for which it may make records, a clinic for which it may only pass them on, and a practice that
/// checks nobody's authorship. The stranger is not registered.
const EXCHANGE: &str = r#"
[upstream]
kind = "exchange"
identifiers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1474179235"]
name = "Hospital"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
meta_sources = ["https://hospital.example/fhir"]
exchange_asserts = true
agreement = "2025-04"
valid_from = "2025-04-01"

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1917665824"]
name = "Clinic"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
agreement = "2025-05"
valid_from = "2025-04-01"

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1365146012"]
name = "Practice"
validates_authorship = false
agreement = "2025-06"
valid_from = "2025-04-01"
"#;

fn by_purpose() -> Policy {
    let rule = |name: &&str| format!(r#""{name}": {{"elements": ["*"], "authorship": accepted}}"#);
    let types: Vec<String> = TYPES.iter().map(|(name, _)| name).map(rule).collect();
    let accepted: Vec<String> = READERS
        .iter()
        .map(|(_, purpose, verdicts)| format!("accepted := {verdicts} if input.client.purpose == \"{purpose}\"\n"))
        .collect();
    policy(&format!(
        r#"
default decision := {{"allow": false, "reasons": [{{"code": "never", "text": "Never.", "basis": "none"}}]}}

decision := {{
	"allow": true,
	"reasons": [{{"code": "test", "text": "Because.", "basis": "none"}}],
	"patients": input.request.patients,
	"types": {{"*": {{"elements": ["*"]}}, {}}},
	"withhold_labels": ["urn:l|hidden"],
	"includes": ["Provenance:target"],
	"cache_seconds": 60,
}} if {{
	input.client.id != ""
}}

{}"#,
        types.join(", "),
        accepted.join("\n")
    ))
}

/// Clients for the readers.
fn clients() -> String {
    let client = |(id, purpose, _): &(&str, &str, &str)| {
        format!(
            "[[client]]\nid = \"{id}\"\norganization = \"https://{id}.example\"\nissuer = \"https://as.example.org\"\n\
             purposes = [\"{purpose}\"]\npurpose = \"{purpose}\"\nscopes = [\"system/*.rs\"]\n"
        )
    };
    READERS.iter().map(client).collect()
}

/// The records of a row: of this type, and its Provenance and originals.
fn records(resource_type: &str, element: &str, row: &Row) -> Vec<Json> {
    let subject = if resource_type == "AllergyIntolerance" { "patient" } else { "subject" };
    let mut record = json!({"resourceType": resource_type, "id": row.id, "meta": {"versionId": "2"}});
    record[subject] = json!({"reference": format!("Patient/{PATIENT}")});
    if !row.author.is_empty() {
        let (name, value) = author(element, row.author);
        record[name] = value;
    }
    if !row.meta_source.is_empty() {
        record["meta"]["source"] = json!(row.meta_source);
    }
    let own = format!("{resource_type}/{}", row.id);
    let hidden = format!("{resource_type}/{}-hidden", row.id);
    let fill = |text: &str| text.replace("{own}", &own).replace("{hidden}", &hidden).replace("{type}", resource_type);
    let mut all = vec![record];
    for (place, text) in row.provenance.iter().enumerate() {
        let mut provenance: Json = serde_json::from_str(&fill(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        provenance["resourceType"] = json!("Provenance");
        provenance["id"] = json!(format!("{}-{}-{place}", resource_type.to_lowercase(), row.id));
        provenance["recorded"] = json!("2026-03-01T10:00:00Z");
        all.push(provenance);
    }
    if row.hides() {
        let mut other = all[0].clone();
        other["id"] = json!(format!("{}-hidden", row.id));
        other["meta"]["security"] = json!([{"system": "urn:l", "code": "hidden"}]);
        all.push(other);
    }
    all
}

/// The member and value by which a record names its author: `performer[].actor` is an array of objects.
fn author(element: &str, reference: &str) -> (&'static str, Json) {
    let reference = json!({"reference": reference});
    match element {
        "recorder" => ("recorder", reference),
        "requester" => ("requester", reference),
        "author[]" => ("author", json!([reference])),
        "performer[]" => ("performer", json!([reference])),
        "performer[].actor" => ("performer", json!([{"actor": reference}])),
        "participant[].individual" => ("participant", json!([{"individual": reference}])),
        other => panic!("{other}"),
    }
}

fn npi(resource_type: &str, id: &str, value: &str) -> Json {
    json!({"resourceType": resource_type, "id": id, "name": [{"family": id}],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": value}]})
}

fn organization(id: &str, value: &str) -> Json {
    let mut organization = npi("Organization", id, value);
    organization["name"] = json!(id);
    organization
}

/// People, organisations, and originals that the exchange made records of.
fn directory() -> Vec<Json> {
    let original = |id: &str, custodian: &str| {
        json!({"resourceType": "DocumentReference", "id": id, "subject": {"reference": format!("Patient/{PATIENT}")},
            "custodian": {"reference": custodian}})
    };
    vec![
        json!({"resourceType": "Patient", "id": PATIENT}),
        npi("Practitioner", "ada", "1136090283"),
        npi("Practitioner", "bob", "1621767916"),
        json!({"resourceType": "PractitionerRole", "id": "ada-there", "practitioner": {"reference": "Practitioner/ada"},
            "organization": {"reference": "Organization/hospital"}}),
        organization("hospital", "1474179235"),
        organization("clinic", "1917665824"),
        organization("practice", "1365146012"),
        organization("hie", "1216407266"),
        organization("stranger", "1100468879"),
        original("original-of-hospital", "Organization/hospital"),
        original("original-of-clinic", "Organization/clinic"),
        original("original-of-stranger", "Organization/stranger"),
    ]
}

fn stage(is_exchange: bool, how: &str) -> (Ehr, Gateway) {
    let ehr = clinic();
    let mut all = directory();
    for (resource_type, element) in TYPES {
        all.extend(TABLE.iter().flat_map(|row| records(resource_type, element, row)));
    }
    let entries: Vec<Json> = all.iter().map(|resource| json!({"resource": resource})).collect();
    ehr.put(&json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()).unwrap();
    let setup = gateway().provenance_by(how).with_policy(by_purpose()).with(&clients());
    let setup = if is_exchange { setup.with_sources(EXCHANGE) } else { setup };
    let gateway = setup.in_front_of(&ehr);
    (ehr, gateway)
}

fn mark(resource: &Json) -> Vec<&str> {
    let tags = resource["meta"]["tag"].as_array().map(Vec::as_slice).unwrap_or_default();
    tags.iter().filter(|tag| tag["system"] == MARK).filter_map(|tag| tag["code"].as_str()).collect()
}

/// One search of a type: every row leaves as stated, and so does its Provenance.
fn search(payer: &Payer, resource_type: &str, of: impl Fn(&Row) -> (Outcome, bool)) {
    let hidden = TABLE.iter().filter(|row| row.hides()).map(|row| format!("{}-hidden", row.id));
    let ids: Vec<String> = TABLE.iter().map(|row| row.id.to_owned()).chain(hidden).collect();
    let target = format!("/{resource_type}?patient={PATIENT}&_id={}&_count=100", ids.join(","));
    let found = payer.search(&format!("{target}&_revinclude=Provenance:target"));
    let mut expected = BTreeSet::new();
    for row in &*TABLE {
        let name = format!("{resource_type}/{}", row.id);
        let (outcome, along) = of(row);
        if let Outcome::Marked(verdict) = outcome {
            let resource: Json = serde_json::from_str(found.resource(&name)).unwrap();
            assert_eq!(mark(&resource), [verdict], "{name}: {}", row.scenario);
            expected.insert(name);
        }
        if along {
            let provenance = |place| format!("Provenance/{}-{}-{place}", resource_type.to_lowercase(), row.id);
            expected.extend((0..row.provenance.len()).map(provenance));
        }
    }
    assert_eq!(found.names(), expected, "{target}");
    // Without being asked for, no Provenance leaves.
    expected.retain(|name| !name.starts_with("Provenance/"));
    assert_eq!(payer.search(&target).names(), expected, "{target}");
}

/// Reads of every row: by request id, what the audit log must say.
fn reads<'r>(
    payer: &Payer,
    resource_type: &str,
    of: impl Fn(&'r Row) -> Outcome,
    said: &mut BTreeMap<String, (String, Outcome)>,
) {
    for row in &*TABLE {
        let name = format!("{resource_type}/{}", row.id);
        let answer = payer.get(&format!("/{name}"));
        let outcome = of(row);
        match outcome {
            Outcome::Marked(verdict) => {
                assert_eq!(answer.status(), 200, "{name}: {}", row.scenario);
                assert_eq!(mark(&answer.json()), [verdict], "{name}: {}", row.scenario);
            }
            Outcome::Withheld(_) => assert_eq!(answer.status(), 404, "{name}: {}", row.scenario),
        }
        said.insert(answer.header("x-request-id").to_owned(), (format!("{name}: {}", row.scenario), outcome));
    }
}

/// What the log says of each read: the verdict, and the reason where the record was withheld.
fn assert_logged(log: &Log, said: &BTreeMap<String, (String, Outcome)>) {
    let by_id: BTreeMap<_, _> =
        log.exchanges().into_iter().filter_map(|entry| Some((entry.exchange.as_deref()?, entry))).collect();
    for (id, (what, outcome)) in said {
        let counts = by_id[id.as_str()].counts.as_ref().unwrap();
        let (verdict, withheld) = match outcome {
            Outcome::Marked(verdict) => (verdict, BTreeMap::new()),
            Outcome::Withheld(verdict) => (verdict, BTreeMap::from([("authorship".to_owned(), 1)])),
        };
        assert_eq!(counts.authorship, BTreeMap::from([((*verdict).to_owned(), 1)]), "{what}");
        assert_eq!(counts.withheld, withheld, "{what}");
        assert_eq!(counts.released, u64::from(withheld.is_empty()), "{what}");
    }
}

/// Tries the whole table.
fn try_all(is_exchange: bool, how: &str) {
    let (_ehr, mut gateway) = stage(is_exchange, how);
    let of = |row: &'static Row| -> &'static Expected { if is_exchange { &row.exchange } else { &row.ehr } };
    let mut said = BTreeMap::new();
    for (reader, (client, _, _)) in READERS.iter().enumerate() {
        let payer = gateway.payer_who(Wish::of(client));
        for (resource_type, _) in TYPES {
            search(&payer, resource_type, |row| {
                let row = TABLE.iter().find(|one| one.id == row.id).unwrap();
                (of(row).readers[reader], of(row).along[reader])
            });
            reads(&payer, resource_type, |row| of(row).readers[reader], &mut said);
        }
    }
    assert_eq!(said.len(), TABLE.len() * TYPES.len() * READERS.len());
    assert_logged(&gateway.stop(), &said);
}

#[test]
fn in_front_of_an_ehr() {
    try_all(false, "include");
}

#[test]
fn in_front_of_an_ehr_that_is_asked_for_provenance_by_itself() {
    try_all(false, "search");
}

#[test]
fn in_front_of_an_exchange() {
    try_all(true, "include");
}

#[test]
fn in_front_of_an_exchange_that_is_asked_for_provenance_by_itself() {
    try_all(true, "search");
}

#[test]
fn the_table_has_every_row_once_and_tells_them_apart() {
    let ids: BTreeSet<&str> = TABLE.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), TABLE.len());
    for (reader, _) in READERS.iter().enumerate() {
        let outcomes = |row: &Row| [row.ehr.readers[reader], row.exchange.readers[reader]];
        assert!(TABLE.iter().any(|row| outcomes(row).iter().any(|outcome| matches!(outcome, Outcome::Marked(_)))));
    }
    // Only the payer has something withheld, and each of its verdicts has a row.
    let withheld = TABLE.iter().flat_map(|row| [&row.ehr, &row.exchange]).map(|expected| expected.readers);
    let of_payer: BTreeSet<&str> = withheld
        .filter_map(|readers| if let Outcome::Withheld(verdict) = readers[0] { Some(verdict) } else { None })
        .collect();
    assert_eq!(of_payer, BTreeSet::from(["contradicted", "unknown"]));
}
