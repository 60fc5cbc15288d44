//! What must hold of the requests that the EHR received.

use std::time::Duration;

use percent_encoding::percent_decode;
use serde_json::Value as Json;

use super::{Findings, Seen};
use crate::attack::ehr::Received;

/// Judges a key about the EHR's side; `None` for other keys.
pub(super) fn judge(key: &str, want: &Json, seen: &Seen) -> Option<Findings> {
    let number = want.as_u64().unwrap_or(u64::MAX);
    let texts = || want.as_array().into_iter().flatten().filter_map(Json::as_str);
    let names = |received: &Received, name: &str| received.header(name).is_some();
    let count = seen.upstream.len() as u64;
    let mut failed = Vec::new();
    let mut must = |holds: bool, text: String| {
        if !holds {
            failed.push(format!("{key}: {text}"));
        }
    };
    match key {
        "upstream_requests" => must(count == number, format!("{count} requests")),
        "upstream_requests_max" => must(count <= number, format!("{count} requests")),
        "upstream_concurrency_max" => must(seen.most_at_once as u64 <= number, format!("{}", seen.most_at_once)),
        "upstream_request_cancelled_within_ms" => {
            let within = Duration::from_millis(number);
            must(seen.cancelled.iter().any(|after| *after <= within), format!("{:?}", seen.cancelled));
        }
        "upstream_never_sees" => {
            let said: Vec<String> = seen.upstream.iter().flat_map(views).collect();
            for text in texts() {
                must(!said.iter().any(|view| view.contains(text)), format!("it saw {text}"));
            }
        }
        "upstream_scoped_to" => {
            for received in &seen.upstream {
                let is_scoped = is_scoped(received, want.as_str().unwrap_or_default());
                must(is_scoped, format!("a search for anyone: {}", received.target));
            }
        }
        "upstream_methods_in" => {
            for received in &seen.upstream {
                must(texts().any(|method| method == received.method), received.method.clone());
            }
        }
        "upstream_headers_absent" => {
            for name in texts() {
                must(!seen.upstream.iter().any(|received| names(received, name)), format!("it saw {name}"));
            }
        }
        "upstream_headers_lack" => {
            let values: Vec<&str> =
                seen.upstream.iter().flat_map(|one| &one.headers).map(|(_, value)| value.as_str()).collect();
            for text in texts() {
                must(!values.iter().any(|value| value.contains(text)), format!("it saw {text}"));
            }
        }
        "upstream_header_equals" => {
            for (name, value) in want.as_object().into_iter().flatten() {
                let wanted = value.as_str().unwrap_or_default();
                let equals = seen.upstream.iter().all(|one| one.header(name) == Some(wanted));
                must(equals, format!("{name} is not {wanted}"));
            }
        }
        "upstream_has_gateway_headers" => {
            let own = |one: &Received| names(one, "user-agent") && names(one, "x-request-id");
            must(count > 0 && seen.upstream.iter().all(own), "not its own".into());
        }
        "attacker_listener_hits" => {
            must(seen.attacker_hits as u64 == number, format!("{} connections", seen.attacker_hits));
        }
        _ => return None,
    }
    Some(Findings { failed, unjudged: Vec::new() })
}

/// Target and body as received, and after up to three rounds of decoding.
fn views(received: &Received) -> Vec<String> {
    let mut bytes = received.target.clone().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(&received.body);
    let mut views = vec![String::from_utf8_lossy(&bytes).into_owned()];
    for _ in 0..3 {
        bytes = percent_decode(&bytes).collect();
        views.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    views
}

/// Whether a request is for this patient and no other, or for no patient's data.
fn is_scoped(received: &Received, patient: &str) -> bool {
    const FREE: [&str; 5] = ["Practitioner", "Organization", "Location", "metadata", "PractitionerRole"];
    let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
    let below = path.trim_start_matches("/fhir").trim_matches('/');
    let steps: Vec<&str> = below.split('/').collect();
    let is_read = matches!(steps.as_slice(), [_, id] if *id != "_search");
    if steps.first().is_some_and(|of| FREE.contains(of)) || is_read || below.starts_with(&format!("Patient/{patient}/"))
    {
        return true;
    }
    let form = String::from_utf8_lossy(&received.body).into_owned();
    let values = [query, &form].into_iter().flat_map(|text| text.split('&')).filter_map(|pair| pair.split_once('='));
    let decoded =
        |text: &str| String::from_utf8_lossy(&percent_decode(text.as_bytes()).collect::<Vec<u8>>()).into_owned();
    let mut scopes = values.filter(|(name, _)| ["patient", "subject", "beneficiary", "_id"].contains(name)).peekable();
    scopes.peek().is_some() && scopes.all(|(_, value)| decoded(value).trim_start_matches("Patient/") == patient)
}
