//! What of a case holds under any policy.
//!
//! Takes: a case, written for the suite's own policies. Gives: the same case with those of its demands that no policy
//! changes: what is refused before anybody decides, what the EHR may never see, what no answer may hold, what the log and
//! the process owe. Guarantees: what a demand presupposes of a policy, a patient or a record of the fixtures is taken out,
//! so that no policy fails by it. Refuses: cases of which nothing is left, and cases that put policies of their own in place.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::case::Case;
use super::fault::{self, Fault};
use super::hold::{Findings, Seen};
use super::members::Members as _;

/// Demands that hold whatever a policy says.
const ALWAYS: [&str; 29] = [
    "attacker_listener_hits",
    "audit_chain_valid",
    "audit_ids_unique",
    "audit_lacks",
    "audit_line_count_delta",
    "audit_lines_valid",
    "audit_record_max_bytes",
    "audit_records",
    "bundle_total_lte_entries",
    "connection_closed",
    "content_length_equals_get",
    "content_type_json",
    "gateway_alive",
    "header_not_equals",
    "links_host_only",
    "max_latency_ms",
    "max_rss_growth_mb",
    "no_empty_pages_before_last",
    "response_count",
    "same_response_as_without_headers",
    "stream_error",
    "tls_handshake_fails",
    "trailers_absent",
    "upstream_concurrency_max",
    "upstream_header_equals",
    "upstream_headers_absent",
    "upstream_headers_lack",
    "upstream_methods_in",
    "valid_json",
];
/// Demands that say how the others are meant; alone they demand nothing.
const RIDERS: [&str; 2] = ["applies_if", "scan_base64"];
/// Answers that are given before anybody decides.
const UNDECIDED: [u64; 17] = [301, 307, 308, 400, 401, 405, 406, 408, 411, 413, 414, 415, 417, 421, 431, 501, 505];
/// Names of a record in the log that no policy writes.
const RECORDED: [&str; 3] = ["outcome_in", "request_seen", "source_ip"];
/// Records of the fixtures that prove to be nobody's, and leave under no policy.
const NOBODYS: [&str; 7] = [
    "Observation/o-conflict",
    "Observation/o-contained-p2",
    "Observation/o-ext-subject",
    "Observation/o-group",
    "Observation/o-ident-subject",
    "Observation/o-nosubject",
    "Observation/o-p1-focus-p2",
];
/// Types whose records say in no one element whose they are, and leave by themselves under no policy.
const NEVER: [&str; 4] = ["AuditEvent", "Binary", "Group", "Subscription"];

/// The case as it can be played under any policy, or why it cannot.
pub(crate) fn of(case: &Case, fixtures: &BTreeSet<String>) -> Result<Case, &'static str> {
    if case.severity == "control" {
        return Err("it shows what the suite's own policies release");
    }
    let steps = || case.setup.iter().filter_map(|step| step.at("fault").as_str());
    let faults =
        case.faults.iter().map(String::as_str).chain(steps()).flat_map(|text| fault::read(text).ok()).flatten();
    if faults.into_iter().any(|fault| changes_policy(&fault)) {
        return Err("it puts policies of its own in place");
    }
    let asked = [&case.request].into_iter().chain(&case.setup).map(ToString::to_string).collect::<String>();
    if asked.contains("{{captured:") || case.request.get("simultaneously").is_some() {
        return Err("it goes on from what the suite's own policies release");
    }
    let mut played = case.clone();
    played.must_hold = kept(&case.must_hold, case, fixtures);
    for step in &mut played.setup {
        if let Some(demands) = step.get("must_hold").map(|demands| kept(demands, case, fixtures)) {
            step.set("must_hold", demands);
        }
    }
    if is_empty(&played.must_hold) {
        return Err("what it demands depends on the policy");
    }
    Ok(played)
}

/// The ids and identifiers of the fixtures: what they name may be released by one policy or another.
pub(crate) fn names(fixtures: &Json) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for resource in fixtures.at("entry").as_array().into_iter().flatten().map(|entry| entry.at("resource")) {
        let identifiers = resource.at("identifier").as_array().into_iter().flatten().map(|one| one.at("value"));
        let texts = identifiers.chain([resource.at("id")]).filter_map(Json::as_str);
        names.extend(texts.map(str::to_owned));
    }
    names
}

/// What must hold of every case under any policy, whatever it demands beside.
pub(crate) fn invariants(seen: &Seen, case: &Case) -> Findings {
    let mut findings = Findings::default();
    let mut must = |holds: bool, text: String| {
        if !holds {
            findings.add(Findings::failed(text));
        }
    };
    let disturbed = !case.faults.is_empty() || case.upstream.is_some() || !case.setup.is_empty();
    let told: BTreeSet<&str> =
        seen.parts.iter().chain(&seen.records).flat_map(|line| &line.entry.patients).map(String::as_str).collect();
    for reply in &seen.exchange.replies {
        must(
            disturbed || reply.status < 500 || reply.status == 501 || reply.status == 505,
            format!("{}", reply.status),
        );
        for text in super::hold::released(reply) {
            must(!NOBODYS.contains(&text.name.as_str()), format!("{} proves to be nobody's", text.name));
            must(!NEVER.contains(&text.resource_type.as_str()), format!("{} leaves by itself", text.name));
            let is_told =
                text.patients.is_empty() || text.patients.iter().any(|patient| told.contains(patient.as_str()));
            must(is_told, format!("{} is about nobody whom the record names", text.name));
        }
    }
    findings
}

fn changes_policy(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Revoke { .. }
            | Fault::PolicyUpdate(_)
            | Fault::Pack(_)
            | Fault::CorruptReload
            | Fault::NoGrants
            | Fault::Resolves(_)
            | Fault::Clock(_)
            | Fault::ReloadLoop
    )
}

fn is_empty(must_hold: &Json) -> bool {
    must_hold.as_object().is_none_or(|demands| demands.keys().all(|key| RIDERS.contains(&key.as_str())))
}

/// What of a `must_hold` holds under any policy.
fn kept(must_hold: &Json, case: &Case, fixtures: &BTreeSet<String>) -> Json {
    let mut rest = json!({});
    let is_early = is_early(must_hold.at("status_in"), case);
    for (key, want) in must_hold.as_object().into_iter().flatten() {
        if let Some(want) = one(key, want, is_early, case, fixtures) {
            rest.set(key, want);
        }
    }
    rest
}

/// Whether a status is that of a request about which nobody decides.
fn is_early(statuses: &Json, case: &Case) -> bool {
    let about_identity = case.class.starts_with("D1") || case.class.starts_with("D2");
    let about_log = case.faults.iter().any(|fault| fault.starts_with("audit_sink"));
    let statuses = statuses.as_array();
    statuses.is_some_and(|statuses| {
        let mut statuses = statuses.iter().filter_map(Json::as_u64);
        statuses.all(|status| UNDECIDED.contains(&status) || about_log || (about_identity && status == 403))
    })
}

fn one(key: &str, want: &Json, is_early: bool, case: &Case, fixtures: &BTreeSet<String>) -> Option<Json> {
    let texts = |keep: &dyn Fn(&str) -> bool| {
        let kept: Vec<&Json> =
            want.as_array().into_iter().flatten().filter(|text| text.as_str().is_some_and(keep)).collect();
        (!kept.is_empty()).then(|| json!(kept))
    };
    let nested = |rest: Json| (!is_empty(&rest)).then_some(rest);
    match key {
        key if ALWAYS.contains(&key) || RIDERS.contains(&key) => Some(want.clone()),
        "status_in" | "upstream_requests" | "body_is_operation_outcome_or_empty" => is_early.then(|| want.clone()),
        // What a client knows already may be said to be so, where the policy releases it.
        "status_not_in" => (want.as_array()?.iter().all(|status| *status != 304)).then(|| want.clone()),
        "headers_absent" => texts(&|name| !name.eq_ignore_ascii_case("etag")),
        "body_lacks" | "headers_lack" | "upstream_never_sees" => texts(&|text| is_of_no_record(text, fixtures)),
        "no_ids" => texts(&|name| NOBODYS.contains(&name)),
        "no_resource_types" => texts(&|name| NEVER.contains(&name)),
        "audit_has" | "audit_field_equals" => {
            let mut fields = want.as_object()?.clone();
            fields.retain(|name, _| RECORDED.contains(&name.as_str()));
            (!fields.is_empty()).then_some(Json::Object(fields))
        }
        "second_response" | "after_restart" => nested(kept(want, case, fixtures)),
        "any_of" => {
            let rest: Vec<Json> = want.as_array()?.iter().map(|one| kept(one, case, fixtures)).collect();
            rest.iter().all(|one| !is_empty(one)).then(|| json!(rest))
        }
        _ => None,
    }
}

/// Whether a text can be in no record that a policy may release, nor lead to one.
fn is_of_no_record(text: &str, fixtures: &BTreeSet<String>) -> bool {
    const PLANTED: [&str; 4] = ["SECRET-", "OK-", "1971-", "04:05:06"];
    let planted = PLANTED.iter().any(|mark| text.starts_with(mark)) || text.starts_with('#') || text.contains("ssn");
    !planted && !text.contains("ehr-internal") && !fixtures.iter().any(|name| text.contains(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::{data, own_cases};
    use super::*;

    #[test]
    fn what_depends_on_a_policy_is_taken_out_and_the_rest_stays() {
        let fixtures = names(&data().unwrap().fixtures);
        let plain = own_cases().unwrap().into_iter().find(|case| case.id == "A1-01").unwrap();
        let of = |class: &str, must_hold: Json| {
            let case = Case { class: class.to_owned(), must_hold: must_hold.clone(), ..plain.clone() };
            kept(&must_hold, &case, &fixtures)
        };
        for (class, whole, rest) in [
            ("A1", json!({"status_in": [200], "no_patient_other_than": "p1", "body_has": ["OK-P1-LAB"]}), json!({})),
            ("A1", json!({"status_in": [400, 403], "upstream_requests": 0}), json!({})),
            (
                "B1",
                json!({"status_in": [400], "upstream_requests": 0}),
                json!({"status_in": [400], "upstream_requests": 0}),
            ),
            ("D1-jwt", json!({"status_in": [401, 403]}), json!({"status_in": [401, 403]})),
            (
                "B1",
                json!({"upstream_never_sees": ["/Patient/p2", "smuggled"]}),
                json!({"upstream_never_sees": ["smuggled"]}),
            ),
            (
                "K",
                json!({"body_lacks": ["SECRET-", "{{upstream_host}}"]}),
                json!({"body_lacks": ["{{upstream_host}}"]}),
            ),
            ("J", json!({"audit_records": 1, "audit_has": {"decision": "deny"}}), json!({"audit_records": 1})),
            ("A1", json!({"any_of": [{"status_in": [400]}, {"status_in": [200]}]}), json!({})),
            (
                "A1",
                json!({"any_of": [{"status_in": [400]}, {"response_count": 1}]}),
                json!({"any_of": [{"status_in": [400]}, {"response_count": 1}]}),
            ),
        ] {
            assert_eq!(of(class, whole.clone()), rest, "{whole}");
        }
    }

    #[test]
    fn cases_of_every_kind_are_left_and_no_control() {
        let fixtures = names(&data().unwrap().fixtures);
        let cases = own_cases().unwrap();
        let played: Vec<&Case> = cases.iter().filter(|case| of(case, &fixtures).is_ok()).collect();
        assert!(played.len() > 100, "{}", played.len());
        for beginning in ["A", "B1", "B2", "B4", "B5", "C", "D1", "D2", "J", "K"] {
            assert!(played.iter().any(|case| case.class.starts_with(beginning)), "{beginning}");
        }
        assert!(!played.iter().any(|case| case.severity == "control"));
    }
}
