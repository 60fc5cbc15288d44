//! The filter on searchsets and reads, one room of tests for each room of it.

mod attribution;
mod bundle;
mod changes;
mod closure;
mod contained;
mod content;
mod honesty;
mod judge;
mod labels;
mod order;
mod paging;
mod redact;
mod references;
mod signed;
mod summary;

use super::*;
use crate::decide::Roster;
use crate::decide::testing::{obligations_listing, obligations_with, permit, permit_bound_to};
use crate::fhir::name::Id;
use crate::rewrite::rewrite;
use crate::understand::testing::{interaction, page};

const BASES: Bases<'static> = Bases { ehr: "http://ehr/fhir", gateway: "https://gw/fhir" };

const LABS: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"Observation":{"where":["category=laboratory&date=ge2024-01-01"],"elements":["status","code","category","subject","performer","value[x]","effective[x]"]},
             "Practitioner":{"elements":["name.family"]},"Provenance":{"elements":["target","recorded"]}},
    "withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"],
    "includes":["Observation:performer","Provenance:target"]}"#;

const EVERYTHING: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"*":{"elements":["*"]}},"withhold_labels":[],"includes":["Observation:performer","Provenance:target"]}"#;

fn question(asked: &str, decision: &str) -> Question {
    let interaction = interaction(asked);
    let permit = permit(decision, &interaction);
    rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question()
}

fn bundle(entries: &[&str]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|resource| {
            format!(r#"{{"fullUrl":"http://ehr/fhir/x","resource":{resource},"search":{{"mode":"match"}}}}"#)
        })
        .collect();
    format!(r#"{{"resourceType":"Bundle","id":"b","type":"searchset","total":99,"entry":[{}]}}"#, entries.join(","))
}

/// Filters in pieces of `size` bytes.
fn filtered_in(
    size: usize,
    asked: &str,
    decision: &str,
    body: &str,
) -> Result<(String, Tally, Option<String>), FilterError> {
    let question = question(asked, decision);
    let mut filter = BundleFilter::new(&question, BASES);
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(size) {
        filter.feed(piece)?;
        out.extend(filter.take_output().as_bytes());
    }
    let next = filter.end()?;
    let (rest, tally) = filter.close("https://gw/fhir/self", None);
    out.extend(rest.as_bytes());
    let text = String::from_utf8(out).unwrap();
    Tape::new().read(text.as_bytes()).unwrap();
    Ok((text, tally, next))
}

fn filtered(asked: &str, decision: &str, body: &str) -> (String, Tally) {
    let whole = filtered_in(usize::MAX, asked, decision, body).unwrap();
    for size in [1, 7, 64] {
        assert_eq!(filtered_in(size, asked, decision, body).unwrap(), whole, "in pieces of {size}");
    }
    (whole.0, whole.1)
}

fn lab(id: &str, patient: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","meta":{{"versionId":"2","source":"http://s"}},"status":"final",
            "category":[{{"coding":[{{"code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4"}}]}},
            "subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"2024-05-01","valueQuantity":{{"value":6.30}}{more}}}"#
    )
}
