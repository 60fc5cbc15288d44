//! What must hold of a case: every key of the vocabulary that is judged here, and no other.
//!
//! Takes: what was seen of one run. Gives: what does not hold, and the keys that were not judged. Guarantees: a key that
//! is not known is never taken for one that holds, and one that lacks what it is judged by is not either.

mod answer;
mod invariant;
mod log;
mod upstream;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use crate::attack::ehr::Received;
use crate::attack::members::Members as _;
use crate::attack::stage::Line;
use crate::attack::wire::{Exchange, Reply};
pub(crate) use answer::{likeness, released};
pub(crate) use invariant::{Scope, invariants};

/// Everything that was seen while a case ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) exchange: Exchange,
    /// What the client said itself.
    pub(crate) said: String,
    pub(crate) upstream: Vec<Received>,
    pub(crate) most_at_once: usize,
    /// How long after the client went away requests to the EHR were given up.
    pub(crate) cancelled: Vec<Duration>,
    pub(crate) attacker_hits: usize,
    pub(crate) records: Vec<Line>,
    /// These, and those of parts of them: entries of a batch, ends of answers in pieces.
    pub(crate) parts: Vec<Line>,
    /// All records of the gateway, of setup steps too.
    pub(crate) all_records: Vec<Line>,
    /// What a verifier says of the log after the gateway ended.
    pub(crate) log_findings: Vec<String>,
    pub(crate) alive: bool,
    pub(crate) grown: u64,
    /// The answers to the requests that this one is compared with, by the key of the comparison.
    pub(crate) twins: Vec<(&'static str, Reply)>,
    /// Medians of the times of this request and its twin.
    pub(crate) times: Option<(Duration, Duration)>,
    pub(crate) pages: Vec<Reply>,
    /// Whether and how fast another client was served meanwhile.
    pub(crate) other: Option<(Reply, Duration)>,
    /// What was wrong with the request after this one, where one was sent.
    pub(crate) next: Option<Vec<String>>,
    /// What was wrong with answers while policies took turns, where they did.
    pub(crate) versions: Option<Vec<String>>,
    /// What was seen after the gateway was killed and started again.
    pub(crate) restarted: Option<Box<Self>>,
    /// For each edit of the log, whether it is found.
    pub(crate) edits: BTreeMap<String, Result<bool, String>>,
    /// The policy's revision before it was to be replaced.
    pub(crate) good_revision: Option<String>,
    /// What did not hold of the requests before this one and beside it.
    pub(crate) setup_failed: Vec<String>,
    /// Requests that got an answer, and those that got none, over the whole case.
    pub(crate) answered: usize,
    pub(crate) unanswered: usize,
    /// Of those, requests from which the client itself went away.
    pub(crate) aborted: usize,
    /// What texts in `must_hold` stand for.
    pub(crate) upstream_host: String,
    pub(crate) attacker_host: String,
    pub(crate) secrets: Vec<String>,
}

/// What does not hold, and what was not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) failed: Vec<String>,
    pub(crate) unjudged: Vec<String>,
}

impl Findings {
    pub(crate) fn add(&mut self, other: Self) {
        self.failed.extend(other.failed);
        self.unjudged.extend(other.unjudged);
    }

    fn unjudged(key: impl Into<String>) -> Self {
        Self { failed: Vec::new(), unjudged: vec![key.into()] }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { failed: vec![text.into()], unjudged: Vec::new() }
    }
}

/// Judges a whole `must_hold`.
pub(crate) fn judge(must_hold: &Json, seen: &Seen) -> Findings {
    let mut findings = Findings::default();
    for (key, want) in must_hold.as_object().into_iter().flatten() {
        findings.add(one(key, want, seen));
    }
    findings
}

/// The objects in which keys of a `must_hold` are.
pub(crate) fn holders(must_hold: &Json) -> Vec<&Json> {
    let alternatives = must_hold.at("any_of").as_array().into_iter().flatten().flat_map(holders);
    std::iter::once(must_hold).chain(alternatives).collect()
}

/// The value of a key, wherever in a `must_hold` it is.
pub(crate) fn wanted<'m>(must_hold: &'m Json, key: &str) -> Option<&'m Json> {
    holders(must_hold).into_iter().find_map(|holder| holder.get(key))
}

fn one(key: &str, want: &Json, seen: &Seen) -> Findings {
    if let Some(findings) = upstream::judge(key, want, seen).or_else(|| log::judge(key, want, seen)) {
        return findings;
    }
    let nothing = Reply::default();
    let reply = seen.exchange.replies.first().unwrap_or(&nothing);
    let number = want.as_u64().unwrap_or(u64::MAX);
    let texts = || want.as_array().into_iter().flatten().filter_map(Json::as_str);
    let mut failed = Vec::new();
    let mut must = |holds: bool, text: String| {
        if !holds {
            failed.push(format!("{key}: {text}"));
        }
    };
    match key {
        "any_of" => return any_of(want, seen),
        "applies_if" => {}
        "gateway_alive" => must(seen.alive, "no healthy answer afterwards".into()),
        "max_rss_growth_mb" => must(seen.grown / 1_048_576 <= number, format!("{} MB", seen.grown / 1_048_576)),
        "max_latency_ms" => {
            must(seen.exchange.elapsed <= Duration::from_millis(number), format!("{:?}", seen.exchange.elapsed));
        }
        "connection_closed" => must(seen.exchange.closed == (want == true), "the connection stays open".into()),
        "stream_error" => must(seen.exchange.stream_error == (want == true), "the stream is answered".into()),
        "tls_handshake_fails" => must(seen.exchange.handshake_failed == (want == true), "TLS is agreed on".into()),
        "response_count" => {
            must(seen.exchange.replies.len() as u64 == number, format!("{} answers", seen.exchange.replies.len()));
        }
        "second_response" => {
            let mut second = Seen { exchange: Exchange::default(), ..seen.clone() };
            second.exchange.replies = seen.exchange.replies.iter().skip(1).cloned().collect();
            if second.exchange.replies.is_empty() {
                return Findings::failed("second_response: there is none");
            }
            return judge(want, &second);
        }
        "indistinguishable_from" => match seen.twins.iter().find(|(of, _)| *of == key) {
            None => return Findings::unjudged(key),
            Some((_, twin)) => {
                let vary: Vec<&str> =
                    want.at("vary").as_array().into_iter().flatten().filter_map(Json::as_str).collect();
                must(likeness(reply, &vary) == likeness(twin, &vary), "the answers differ".into());
            }
        },
        "same_response_as_without_headers" | "content_length_equals_get" => {
            match seen.twins.iter().find(|(of, _)| *of == key) {
                None => return Findings::unjudged(key),
                Some((_, twin)) if key == "content_length_equals_get" => {
                    must(reply.header("content-length") == twin.header("content-length"), "another length".into());
                }
                Some((_, twin)) => must(likeness(reply, &[]) == likeness(twin, &[]), "the answers differ".into()),
            }
        }
        "timing_indistinguishable_from" => match seen.times {
            None => return Findings::unjudged(key),
            Some((own, twin)) => must(alike(own, twin, want), format!("{own:?} against {twin:?}")),
        },
        "other_client_served" => match &seen.other {
            None => return Findings::unjudged(key),
            Some((reply, time)) => {
                let within = Duration::from_millis(want.at("within_ms").as_u64().unwrap_or(2_000));
                must(reply.status == 200 && *time <= within, format!("{} after {time:?}", reply.status));
            }
        },
        "next_request_gets_own_answer" => match &seen.next {
            None => return Findings::unjudged(key),
            Some(wrong) => wrong.iter().for_each(|text| must(false, text.clone())),
        },
        "each_response_consistent_with_one_policy_version" => match &seen.versions {
            None => return Findings::unjudged(key),
            Some(wrong) => wrong.iter().for_each(|text| must(false, text.clone())),
        },
        "after_restart" => match &seen.restarted {
            None => return Findings::unjudged(key),
            Some(restarted) => {
                let findings = judge(want, restarted);
                findings.failed.iter().for_each(|text| must(false, text.clone()));
                return Findings { failed, unjudged: findings.unjudged };
            }
        },
        "page_count_max" => must(seen.pages.len() as u64 <= number, format!("{} pages", seen.pages.len())),
        "no_empty_pages_before_last" => {
            let empty = |page: &Reply| !answer::has_entries(page);
            let before = seen.pages.len().saturating_sub(1);
            must(!seen.pages.iter().take(before).any(empty), "a page in the middle is empty".into());
        }
        "all_pages_body_has" => {
            must(!seen.pages.is_empty(), "there is no page".into());
            for text in texts() {
                must(seen.pages.iter().all(|page| answer::views(page).contains(text)), format!("a page lacks {text}"));
            }
        }
        _ => {
            let none = [nothing.clone()];
            let replies = if seen.exchange.replies.is_empty() { &none[..] } else { &seen.exchange.replies[..] };
            // A status is that of the first answer; what must not be said is said by none.
            let count = if key.starts_with("status") { 1 } else { replies.len() };
            for reply in replies.iter().take(count) {
                match answer::judge(key, want, reply, seen) {
                    Some(findings) => failed.extend(findings.into_iter().map(|text| format!("{key}: {text}"))),
                    None => return Findings::unjudged(key),
                }
            }
        }
    }
    Findings { failed, unjudged: Vec::new() }
}

fn any_of(alternatives: &Json, seen: &Seen) -> Findings {
    let judged: Vec<Findings> = alternatives.as_array().into_iter().flatten().map(|one| judge(one, seen)).collect();
    if judged.iter().any(|one| *one == Findings::default()) {
        return Findings::default();
    }
    let unjudged: Vec<String> = judged.iter().flat_map(|one| one.unjudged.clone()).collect();
    if !unjudged.is_empty() {
        return Findings { failed: Vec::new(), unjudged };
    }
    let all: Vec<String> = judged.iter().map(|one| one.failed.join(", ")).collect();
    Findings { failed: vec![format!("any_of: {}", all.join(" | "))], unjudged }
}

/// Whether two medians are as close as is wanted: `20% or 2ms`.
fn alike(own: Duration, twin: Duration, want: &Json) -> bool {
    let tolerance = want.at("tolerance").as_str().unwrap_or("20% or 2ms");
    let before = |unit: &str| {
        let text = tolerance.split(unit).next().filter(|text| text.len() < tolerance.len())?;
        let digits = text.rsplit(|next: char| !(next.is_ascii_digit() || next == '.')).find(|text| !text.is_empty())?;
        digits.parse::<f64>().ok()
    };
    let apart = own.abs_diff(twin).as_secs_f64();
    let share = before("%").or_else(|| before(" %")).unwrap_or(0.0) / 100.0 * own.min(twin).as_secs_f64();
    apart <= share || apart <= before("ms").or_else(|| before(" ms")).unwrap_or(0.0) / 1_000.0
}
