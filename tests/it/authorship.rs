//! Whole patients, and documents of HL7's, are judged as what they are. Reads `../shared`, and does nothing where it is absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::authorship::{
    Answer, Code, Elements, Gathered, Judged, Record, Registry, Trust, Verdict, is_attributable, judge,
};
use portcullis::clock::Now;
use portcullis::config::Sources;
use portcullis::fhir::json::{Tape, Value};
use portcullis::fhir::name::ResourceType;

fn shared(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// By type, what was found of each attributable record.
fn judged(bundle: &[u8], trust: &Trust<'_>) -> Vec<(ResourceType, Judged)> {
    let mut tape = Tape::new();
    let root = tape.read(bundle).unwrap().root();
    let entries: Vec<Value<'_>> = root.get("entry").unwrap().items().collect();
    let mut gathered = Gathered::new(&[]);
    for entry in &entries {
        gathered.alias(&entry.get("fullUrl").unwrap().text().unwrap(), entry.get("resource").unwrap());
    }
    for entry in &entries {
        gathered.add(entry.get("resource").unwrap());
    }
    let evidence = gathered.finish();
    let now = Now::at("2026-11-27T12:00:00Z".parse().unwrap());
    let records = entries.iter().map(|entry| Record::read(entry.get("resource").unwrap()).unwrap());
    let records = records.filter(|record| is_attributable(record.resource_type()));
    records.map(|record| (record.resource_type(), judge(&record, &evidence, trust, now))).collect()
}

const REGISTRY: &str = r#"
[upstream]
kind = "exchange"
identifiers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
"#;

/// A registry of all organisations of a Bundle, but for the exchange and the payer.
fn registry(bundle: &[u8]) -> Registry {
    let bundle: serde_json::Value = serde_json::from_slice(bundle).unwrap();
    let mut text = REGISTRY.to_owned();
    for entry in bundle["entry"].as_array().unwrap() {
        let resource = &entry["resource"];
        if resource["resourceType"] != "Organization" {
            continue;
        }
        let identifiers = resource["identifier"].as_array().unwrap();
        let npi =
            identifiers.iter().find(|identifier| identifier["system"] == "http://hl7.org/fhir/sid/us-npi").unwrap();
        let npi = npi["value"].as_str().unwrap();
        if npi != "1216407266" {
            text.push_str(&format!(
                "[[source]]\nidentifiers = [\"http://hl7.org/fhir/sid/us-npi|{npi}\"]\nname = {}\nvalidates_authorship = true\n\
                 speakers = [\"http://hl7.org/fhir/sid/us-npi|1216407266\"]\nagreement = \"1\"\nvalid_from = \"2025-01-01\"\n",
                resource["name"]
            ));
        }
    }
    Registry::new(Sources::parse(&text, "sources.toml".as_ref()).unwrap_or_else(|problems| panic!("{problems:?}")))
}

#[test]
fn patients_with_provenance() {
    let mut counts: BTreeMap<(bool, Verdict), usize> = BTreeMap::new();
    for file in shared("patients/synthea-2019-enriched") {
        let bundle = fs::read(&file).unwrap();
        let registry = registry(&bundle);
        for trust in [Trust::of_the_ehr(), Trust::by(&registry)] {
            let in_exchange = format!("{trust:?}").contains("Some");
            for (resource_type, judged) in judged(&bundle, &trust) {
                *counts.entry((in_exchange, judged.verdict)).or_default() += 1;
                assert_ne!(judged.verdict, Verdict::Contradicted, "{resource_type} of {}: {judged:?}", file.display());
                if resource_type.as_str() == "DocumentReference" {
                    for code in [Code::AttachmentHash, Code::AttachmentSize] {
                        assert_eq!(judged.findings.get(code), Some(Answer::Match), "{}", file.display());
                    }
                    assert_ne!(judged.findings.get(Code::DocumentAgrees), Some(Answer::CannotTell), "{judged:?}");
                    assert!(judged.verdict > Verdict::Unknown);
                }
            }
        }
    }
    if !counts.is_empty() {
        let of = |in_exchange, verdict| counts.get(&(in_exchange, verdict)).copied().unwrap_or_default();
        // What an exchange passed on is the exchange's word, until a registry says that it may speak.
        assert!(of(false, Verdict::AssertedByHie) > 100, "{counts:?}");
        assert!(of(false, Verdict::AssertedBySource) > 1_000, "{counts:?}");
        assert!(of(true, Verdict::AssertedBySource) > 1_000, "{counts:?}");
        assert!(of(true, Verdict::Unknown) < of(true, Verdict::AssertedBySource) / 2, "{counts:?}");
    }
}

#[test]
fn documents_of_hl7_can_be_read() {
    for file in shared("patients/ccda") {
        let bytes = fs::read(&file).unwrap();
        let verdict = |bytes: &[u8]| {
            let mut gathered = Gathered::new(&[]);
            gathered.add_content("Binary/1", bytes);
            let mut tape = Tape::new();
            let text =
                br#"{"resourceType":"DocumentReference","id":"1","content":[{"attachment":{"url":"Binary/1"}}]}"#;
            let record = Record::read(tape.read(text).unwrap().root()).unwrap();
            judge(&record, &gathered.finish(), &Trust::of_the_ehr(), Now::at("2026-11-27T12:00:00Z".parse().unwrap()))
        };
        let whole = verdict(&bytes);
        assert_eq!(whole.findings.get(Code::DocumentReadable), Some(Answer::Match), "{}", file.display());
        assert_eq!(whole.findings.get(Code::AuthorStated), Some(Answer::Match), "{}", file.display());
        for end in [100, bytes.len() / 2, bytes.len() - 20] {
            let cut = verdict(&bytes[..end]);
            assert_eq!(cut.findings.get(Code::DocumentReadable), Some(Answer::Mismatch), "{} to {end}", file.display());
            assert_eq!(cut.verdict, Verdict::Unknown);
        }
    }
}

#[test]
fn the_table_of_elements_holds_what_us_core_asks_for() {
    let Some(file) = shared("cdex/uscore").into_iter().find(|file| file.ends_with("provenance-elements.csv")) else {
        return;
    };
    let mut missing = Vec::new();
    // Elements that say who acted, and not who made the record.
    let others = [
        "CarePlan.contributer",
        "CareTeam.participant.member",
        "Coverage.payor",
        "Device.contact",
        "Device.owner",
        "Immunization.primarySource",
        "Immunization.reportOrigin",
        "Medication.manufacturer",
        "MedicationRequest.performer",
        "MedicationRequest.reportedReference",
        "Observation.device",
        "ServiceRequest.locationCode",
        "ServiceRequest.locationReference",
        "ServiceRequest.performer",
        "ServiceRequest.performerType",
    ];
    for word in fs::read_to_string(file).unwrap().split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')) {
        let Some((name, path)) = word.split_once('.') else { continue };
        let Ok(resource_type) = ResourceType::parse(name) else { continue };
        if resource_type.as_str() == "Provenance" || path.is_empty() || path.contains("fhir") || others.contains(&word)
        {
            continue;
        }
        if !Elements::of(resource_type).paths().any(|(own, _)| own == path) {
            missing.push(word.to_owned());
        }
    }
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "{missing:?}");
}
