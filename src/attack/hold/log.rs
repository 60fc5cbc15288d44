//! What must hold of the audit log, under the neutral names of the corpus.

use crate::audit::entry::{Delivery, Effect, ServedFrom};
use serde_json::Value as Json;

use super::{Findings, Seen};
use crate::attack::members::Members as _;
use crate::attack::stage::Line;

/// Judges a key about the log; `None` for other keys.
pub(super) fn judge(key: &str, want: &Json, seen: &Seen) -> Option<Findings> {
    let number = want.as_u64().unwrap_or(u64::MAX);
    let count = seen.records.len() as u64;
    let mut failed = Vec::new();
    let mut must = |holds: bool, text: String| {
        if !holds {
            failed.push(format!("{key}: {text}"));
        }
    };
    match key {
        "audit_records" | "audit_line_count_delta" => must(count == number, format!("{count} records")),
        "audit_chain_valid" | "audit_lines_valid" => must(seen.log_findings.is_empty(), seen.log_findings.join("; ")),
        "audit_ids_unique" => {
            let mut ids: Vec<&str> =
                seen.all_records.iter().filter_map(|line| line.entry.exchange.as_deref()).collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            must(count > 0 && ids.len() == count, "an id came twice, or there is none".into());
        }
        "audit_lacks" => {
            let texts = want.as_array().into_iter().flatten().filter_map(Json::as_str);
            let forbidden = texts.filter(|text| !text.contains("{{")).map(ToOwned::to_owned);
            for text in forbidden.chain(seen.secrets.iter().cloned()) {
                must(!seen.parts.iter().any(|line| line.text.contains(&text)), "it holds what it must not".into());
            }
        }
        "audit_record_max_bytes" => {
            let longest = seen.parts.iter().map(|line| line.text.len() as u64).max();
            must(longest.is_some_and(|longest| longest <= number), format!("{longest:?} bytes"));
        }
        "audit_has" | "audit_field_equals" => {
            for (name, value) in want.as_object().into_iter().flatten() {
                if seen.records.is_empty() {
                    return Some(Findings::failed(format!("{key}: there is no record")));
                }
                let judged: Option<Vec<bool>> =
                    seen.records.iter().map(|line| field(name, value, line, seen)).collect();
                match judged {
                    Some(holds) => must(holds.contains(&true), format!("{name} is not {value}")),
                    None => return Some(Findings::unjudged(format!("{key}.{name}"))),
                }
            }
        }
        "verifier_detects" => {
            if seen.edits.is_empty() {
                return Some(Findings::unjudged(key));
            }
            for (edit, found) in &seen.edits {
                match found {
                    Ok(found) => must(*found == (want != &Json::Bool(false)), format!("not found: {edit}")),
                    Err(unknown) => return Some(Findings::unjudged(format!("{key}: {unknown}"))),
                }
            }
        }
        _ => return None,
    }
    Some(Findings { failed, unjudged: Vec::new() })
}

/// Whether a record has a field of this value, under the corpus' neutral name; `None` for names that are not known.
fn field(name: &str, want: &Json, line: &Line, seen: &Seen) -> Option<bool> {
    let entry = &line.entry;
    let text = want.as_str().unwrap_or_default();
    let of = |have: Option<&str>| have == want.as_str();
    let decision = entry.decision.as_ref();
    Some(match name {
        "source_ip" => {
            let address = if text == "{{test_client_ip}}" { "127.0.0.1" } else { text };
            entry.peer.as_deref().is_some_and(|peer| peer == address || peer.starts_with(&format!("{address}:")))
        }
        "client" => of(entry.client.as_deref()),
        "purpose" => of(entry.purpose.as_deref()),
        "method" => of(entry.method.as_deref()),
        "interaction" => of(entry.interaction.as_deref()),
        "request_seen" => want == true,
        "decision" => {
            let permits = decision.is_some_and(|decision| decision.effect == Effect::Permit);
            match text {
                "allow" | "permit" => permits,
                "deny" => !permits,
                _ => return None,
            }
        }
        "status" => entry.outcome.as_ref().is_some_and(|outcome| Some(u64::from(outcome.status)) == want.as_u64()),
        "outcome" => outcomes(line).iter().any(|word| word == text),
        "outcome_in" => {
            let outcomes = outcomes(line);
            want.as_array()?.iter().filter_map(Json::as_str).any(|word| outcomes.iter().any(|have| have == word))
        }
        "policy_version" => {
            let revision = decision.map(|decision| decision.revision.as_str());
            let good = seen.good_revision.as_deref();
            match text {
                "last-known-good" => good.is_some() && revision == good,
                _ => return None,
            }
        }
        "cache_age_s_max" => Some(age(line, seen)?) <= want.as_u64(),
        "cache_age_s" => Some(age(line, seen)?) == want.as_u64(),
        "ignored" => entry.counts.as_ref().is_some_and(|counts| counts.ignored.iter().any(|name| name == text)),
        "entries_decided" => entry.counts.as_ref().map(|counts| counts.received) == want.as_u64(),
        "entries_released" => entry.counts.as_ref().map(|counts| counts.released) == want.as_u64(),
        _ => return None,
    })
}

/// The words that fit how an exchange ended.
fn outcomes(line: &Line) -> Vec<String> {
    let record: Json = serde_json::from_str(&line.text).unwrap_or_default();
    let entry = record.get("entry").unwrap_or(&record);
    let mut words: Vec<String> = entry.at("kind").as_str().map(ToOwned::to_owned).into_iter().collect();
    let mut say = |all: &[&str]| words.extend(all.iter().map(|word| (*word).to_owned()));
    match line.entry.outcome.as_ref().map(|outcome| outcome.status) {
        None if line.entry.delivery == Some(Delivery::Whole) => say(&["complete", "completed"]),
        None => say(&["unknown", "aborted", "incomplete"]),
        Some(200..300) => say(&["success", "ok", "released", "answered"]),
        Some(499) => say(&["aborted", "cancelled"]),
        Some(500..) => say(&["error", "failed", "failure", "upstream-error", "denied"]),
        Some(_) => say(&["denied", "refused", "rejected"]),
    }
    if let Some(outcome) = &line.entry.outcome {
        words.push(outcome.status.to_string());
        words.extend(outcome.fault.clone());
    }
    words
}

/// Seconds since what a record released was fetched: for an answer out of the cache, since the EHR was last asked the same.
fn age(line: &Line, seen: &Seen) -> Option<u64> {
    let instant = |line: &Line| line.entry.time.parse::<jiff::Timestamp>().ok();
    if line.entry.served_from != Some(ServedFrom::Cache) {
        return Some(0);
    }
    let fetched = seen.all_records.iter().filter(|other| {
        other.entry.served_from == Some(ServedFrom::Ehr) && other.entry.upstream_request == line.entry.upstream_request
    });
    let last = fetched.filter_map(instant).max()?;
    u64::try_from(instant(line)?.as_second() - last.as_second()).ok()
}
