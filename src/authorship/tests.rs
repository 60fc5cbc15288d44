use super::*;
use crate::clock::Now;
use crate::config::Sources;
use crate::fhir::identifier::Identifier;
use crate::fhir::json::Tape;

mod scenarios;
mod sources;

/// Noon of the day on which everything is judged.
pub(super) fn now() -> Now {
    Now::at("2026-11-27T12:00:00Z".parse().unwrap())
}

/// The registry of most tests: an exchange, a hospital, a clinic whose signatures are demanded, and one that validates nothing.
pub(super) const REGISTRY: &str = r#"
[upstream]
kind = "exchange"
identifiers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1474179235", "urn:oid:1.2.3|hospital"]
name = "Hospital"
validates_authorship = true
types = ["Condition", "DocumentReference", "MedicationRequest", "Observation"]
speakers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
meta_sources = ["https://hospital.example/fhir"]
exchange_asserts = true
agreement = "2025-04"
valid_from = "2025-04-01"
valid_to = "2027-03-31"

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1917665824"]
name = "Clinic"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
meta_sources = ["https://clinic.example/fhir"]
agreement = "2025-05"
valid_from = "2025-04-01"

[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1365146012"]
name = "Practice"
validates_authorship = false
agreement = "2025-06"
valid_from = "2025-04-01"
"#;

pub(super) fn registry(text: &str) -> Registry {
    Registry::new(Sources::parse(text, "sources.toml".as_ref()).unwrap_or_else(|problems| panic!("{problems:?}")))
}

/// A resource under `Type/id`, with more members.
pub(super) fn resource(reference: &str, members: &str) -> String {
    let (resource_type, id) = reference.split_once('/').unwrap();
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"resourceType":"{resource_type}","id":"{id}"{comma}{members}}}"#)
}

fn npi(value: &str) -> String {
    format!(r#""identifier":[{{"system":"http://hl7.org/fhir/sid/us-npi","value":"{value}"}}]"#)
}

/// Two practitioners, a role, and organisations: a hospital, a clinic, a practice, the exchange, and one that nobody knows.
pub(super) fn directory() -> Vec<String> {
    vec![
        resource("Practitioner/ada", &npi("1136090283")),
        resource("Practitioner/bob", &npi("1621767916")),
        resource(
            "PractitionerRole/ada-there",
            r#""practitioner":{"reference":"Practitioner/ada"},"organization":{"reference":"Organization/hospital"}"#,
        ),
        resource("Organization/hospital", &npi("1474179235")),
        resource("Organization/clinic", &npi("1917665824")),
        resource("Organization/practice", &npi("1365146012")),
        resource("Organization/hie", &npi("1216407266")),
        resource("Organization/stranger", &npi("1100468879")),
    ]
}

/// An agent: what it did, who it is, and for whom.
pub(super) fn agent(acts: &str, who: &str, on_behalf_of: &str) -> String {
    let system = match acts {
        "transmitter" => "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type",
        _ => "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    };
    let behalf = match on_behalf_of {
        "" => String::new(),
        reference => format!(r#","onBehalfOf":{{"reference":"{reference}"}}"#),
    };
    format!(
        r#"{{"type":{{"coding":[{{"system":"{system}","code":"{acts}"}}]}},"who":{{"reference":"{who}"}}{behalf}}}"#
    )
}

/// A Provenance about these, by these agents, with more members.
pub(super) fn provenance(id: &str, targets: &[&str], agents: &[String], members: &str) -> String {
    let targets: Vec<String> = targets.iter().map(|target| format!(r#"{{"reference":"{target}"}}"#)).collect();
    let comma = if members.is_empty() { "" } else { "," };
    let (targets, agents) = (targets.join(","), agents.join(","));
    let own = format!(r#""target":[{targets}],"recorded":"2026-03-01T10:00:00Z","agent":[{agents}]{comma}{members}"#);
    resource(&format!("Provenance/{id}"), &own)
}

/// Judges a record beside other resources, signatures and contents.
pub(super) struct World<'a> {
    pub(super) registry: Option<&'a Registry>,
    pub(super) beside: Vec<String>,
    pub(super) originals: Vec<String>,
    pub(super) signatures: Vec<(&'static str, Outcome)>,
}

impl World<'_> {
    pub(super) fn judge(&self, record: &str) -> Judged {
        let mut gathered = Gathered::new(&["https://ehr.example/fhir"]);
        let mut tape = Tape::new();
        for text in &self.beside {
            assert!(gathered.add(tape.read(text.as_bytes()).unwrap().root()), "{text}");
        }
        for text in &self.originals {
            gathered.add_original(tape.read(text.as_bytes()).unwrap().root());
        }
        for (reference, outcome) in &self.signatures {
            gathered.add_signature(reference, outcome.clone());
        }
        let trust = self.registry.map_or_else(Trust::of_the_ehr, Trust::by);
        let root = tape.read(record.as_bytes()).unwrap().root();
        judge(&Record::read(root).unwrap(), &gathered.finish(), &trust, now())
    }
}

/// Beside the directory, nothing but these.
pub(super) fn world<'a>(registry: Option<&'a Registry>, beside: &[String]) -> World<'a> {
    let beside = directory().into_iter().chain(beside.iter().cloned()).collect();
    World { registry, beside, originals: Vec::new(), signatures: Vec::new() }
}

pub(super) fn signature(state: State, signer: &str, anchored: Option<&str>) -> Outcome {
    let npi = |value: &str| Identifier::of(crate::fhir::identifier::NPI, value).unwrap();
    Outcome { state, signers: vec![npi(signer)], signer: Signer::System, anchored: anchored.map(npi) }
}
