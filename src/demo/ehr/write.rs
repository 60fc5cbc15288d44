//! What an EHR says, written: Bundles, OperationOutcomes, its CapabilityStatement.

use std::sync::Arc;

use serde_json::json;

use super::records::{Record, Records};
use crate::fhir::json::write_string;
use crate::fhir::search::{ParameterKind, lookup, names};

/// A searchset to be.
#[derive(Debug, Default)]
pub(super) struct Searchset<'a> {
    pub(super) base: &'a str,
    pub(super) own: &'a str,
    pub(super) next: Option<&'a str>,
    pub(super) total: Option<usize>,
    pub(super) matches: &'a [Arc<Record>],
    pub(super) included: &'a [Arc<Record>],
}

impl Searchset<'_> {
    /// The Bundle, each resource as it was loaded.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\"".to_vec();
        if let Some(total) = self.total {
            out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
        }
        out.extend_from_slice(b",\"link\":[");
        link("self", self.own, &mut out);
        if let Some(next) = self.next {
            out.push(b',');
            link("next", next, &mut out);
        }
        out.push(b']');
        let modes = [("match", self.matches), ("include", self.included)];
        let entries = modes.iter().flat_map(|(mode, records)| records.iter().map(move |record| (*mode, record)));
        for (index, (mode, record)) in entries.enumerate() {
            out.extend_from_slice(if index == 0 { b",\"entry\":[" } else { b"," });
            entry(self.base, mode, record, &mut out);
        }
        let any = !(self.matches.is_empty() && self.included.is_empty());
        out.extend_from_slice(if any { b"]}" } else { b"}" });
        out
    }
}

fn link(relation: &str, url: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"relation\":\"");
    out.extend_from_slice(relation.as_bytes());
    out.extend_from_slice(b"\",\"url\":");
    write_string(url, out);
    out.push(b'}');
}

fn entry(base: &str, mode: &str, record: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"fullUrl\":");
    write_string(&format!("{base}/{}", record.identity), out);
    out.extend_from_slice(b",\"resource\":");
    out.extend_from_slice(record.json.as_bytes());
    out.extend_from_slice(format!(",\"search\":{{\"mode\":\"{mode}\"}}}}").as_bytes());
}

/// An OperationOutcome with one issue of this `issue-type`.
pub(super) fn outcome(code: &str, diagnostics: &str) -> Vec<u8> {
    let issue = json!({ "severity": "error", "code": code, "diagnostics": diagnostics });
    json!({ "resourceType": "OperationOutcome", "issue": [issue] }).to_string().into_bytes()
}

/// What the server can do with the types it holds.
pub(super) fn capabilities(records: &Records, base: &str) -> Vec<u8> {
    let resources: Vec<_> = records
        .types()
        .into_iter()
        .map(|resource_type| {
            let parameters: Vec<_> = names(resource_type)
                .into_iter()
                .filter_map(|name| lookup(resource_type, name))
                .map(|definition| json!({ "name": definition.name, "type": kind_code(definition.kind) }))
                .collect();
            json!({
                "type": resource_type.as_str(),
                "interaction": [{ "code": "read" }, { "code": "search-type" }],
                "searchParam": parameters,
            })
        })
        .collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": { "name": "Portcullis demo EHR" },
        "implementation": { "description": "Invented patients in memory", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{ "mode": "server", "resource": resources }],
    })
    .to_string()
    .into_bytes()
}

fn kind_code(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Date => "date",
        ParameterKind::Number => "number",
        ParameterKind::Quantity => "quantity",
        ParameterKind::Canonical | ParameterKind::Reference => "reference",
        ParameterKind::String => "string",
        ParameterKind::Token => "token",
        ParameterKind::Uri => "uri",
    }
}
