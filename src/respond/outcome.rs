//! OperationOutcome, the one form in which FHIR says no (R4 2.24).

use serde::Serialize;

/// One issue of an OperationOutcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The code (`issue-type`).
    pub code: &'static str,
    /// The published code of a reason, and its system.
    pub reason: Option<(String, String)>,
    /// The text for the client; holds nothing about a patient.
    pub text: String,
}

#[derive(Serialize)]
struct OperationOutcome<'a> {
    #[serde(rename = "resourceType")]
    resource_type: &'static str,
    issue: Vec<IssueJson<'a>>,
}

#[derive(Serialize)]
struct IssueJson<'a> {
    severity: &'static str,
    code: &'a str,
    details: Details<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    diagnostics: &'a str,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    coding: Vec<Coding<'a>>,
    text: &'a str,
}

#[derive(Serialize)]
struct Coding<'a> {
    system: &'a str,
    code: &'a str,
}

/// An outcome that stands beside what was found: it tells of something and refuses nothing.
pub fn information(code: &'static str, text: &str) -> Vec<u8> {
    let details = Details { coding: Vec::new(), text };
    let issue = vec![IssueJson { severity: "information", code, details, diagnostics: "" }];
    serde_json::to_vec(&OperationOutcome { resource_type: "OperationOutcome", issue }).unwrap_or_default()
}

/// The outcome as JSON; `diagnostics` names exchange and decision.
pub fn operation_outcome(issues: &[Issue], diagnostics: &str) -> Vec<u8> {
    let issue = issues
        .iter()
        .map(|issue| IssueJson {
            severity: "error",
            code: issue.code,
            details: Details {
                coding: issue.reason.iter().map(|(system, code)| Coding { system, code }).collect(),
                text: &issue.text,
            },
            diagnostics,
        })
        .collect();
    serde_json::to_vec(&OperationOutcome { resource_type: "OperationOutcome", issue }).unwrap_or_default()
}
