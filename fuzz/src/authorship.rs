//! Verdicts: any Bundle can be judged, any bytes can be an attachment, and what is above *unknown* has no mismatch.

use std::sync::LazyLock;

use portcullis::authorship::{Consequence, Gathered, Record, Registry, Trust, Verdict, Verifier, judge, passage};
use portcullis::cli::certs;
use portcullis::clock::Now;
use portcullis::config::Sources;
use portcullis::fhir::json::{Tape, Value};

use super::stage::{Folder, now};

const REGISTRY: &str = r#"
[upstream]
kind = "exchange"
identifiers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
[[source]]
identifiers = ["http://hl7.org/fhir/sid/us-npi|1474179235"]
name = "Hospital"
validates_authorship = true
speakers = ["http://hl7.org/fhir/sid/us-npi|1216407266"]
meta_sources = ["urn:hospital"]
agreement = "1"
valid_from = "2025-01-01"
anchors = "ca.pem"
"#;

static REGISTRY_READ: LazyLock<Registry> = LazyLock::new(|| {
    let folder = Folder::empty();
    certs::make(folder.path(), &[], &[], false, now()).expect("certificates");
    Registry::new(Sources::parse(REGISTRY, &folder.path().join("sources.toml")).expect("a good registry"))
});

/// A Bundle to be judged; what is no JSON is an attachment.
pub fn run(data: &[u8]) {
    let mut tape = Tape::new();
    let Ok(document) = tape.read(data) else { return attachment(data) };
    let entries: Vec<Value<'_>> = document.root().get("entry").into_iter().flat_map(Value::each).collect();
    let resources = || entries.iter().filter_map(|entry| entry.get("resource"));
    let mut gathered = Gathered::new(&["http://ehr.example/fhir"]);
    for entry in &entries {
        if let (Some(full_url), Some(resource)) = (entry.get("fullUrl").and_then(Value::text), entry.get("resource")) {
            gathered.alias(&full_url, resource);
        }
    }
    for resource in resources() {
        if !gathered.add(resource) {
            gathered.add_original(resource);
        }
    }
    assert!(gathered.wanted().iter().all(|reference| reference.contains('/')));
    let mut evidence = gathered.finish();
    let now = Now::at("2026-11-27T12:00:00Z".parse().expect("an instant"));
    let mut verifier = Verifier::new(Trust::by(&REGISTRY_READ), now).expect("a source with anchors");
    for record in resources().filter_map(Record::read) {
        verifier.verify(&record, Some(document.root()), &mut evidence);
    }
    for resource in resources() {
        let Some(record) = Record::read(resource) else { continue };
        for trust in [Trust::of_the_ehr(), Trust::by(&REGISTRY_READ)] {
            let judged = judge(&record, &evidence, &trust, now);
            assert_eq!(judged, judge(&record, &evidence, &trust, now));
            assert_ne!(judged.verdict, Verdict::Verified, "nothing was signed");
            let mut counting = judged.findings.mismatches().filter(|code| code.consequence() != Consequence::LeftOut);
            assert!(judged.verdict <= Verdict::Unknown || counting.next().is_none(), "{judged:?}");
        }
        passage(resource, |_| false);
    }
}

fn attachment(bytes: &[u8]) {
    let mut gathered = Gathered::new(&[]);
    gathered.add_content("Binary/1", bytes);
    let mut tape = Tape::new();
    let text = br#"{"resourceType":"DocumentReference","id":"1","content":[{"attachment":{"url":"Binary/1"}}]}"#;
    let record = Record::read(tape.read(text).expect("json").root()).expect("a resource");
    let now = Now::at("2026-11-27T12:00:00Z".parse().expect("an instant"));
    judge(&record, &gathered.finish(), &Trust::by(&REGISTRY_READ), now);
}
