//! Many requests at once, requests beside others, and policies that change meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::attack::case::Case;
use crate::attack::hold::{self, Seen, likeness};
use crate::attack::members::Members as _;
use crate::attack::scene::Scene;
use crate::attack::send::Letter;
use crate::attack::wire::{Exchange, Reply};

/// From the first of many requests at once to the other client's.
const CROWD: Duration = Duration::from_millis(500);
/// From one policy to the next where two take turns.
const TURN: Duration = Duration::from_millis(10);
/// Stack of a thread that only sends.
const STACK: usize = 256 * 1024;

/// The answer to a request under one of two policies.
pub(crate) struct Version {
    revision: String,
    grants: Vec<Json>,
    answer: (u16, Vec<(String, String)>, String),
}

impl Scene<'_> {
    /// Sends the request as often and as crowded as the case says, and what the case sends beside and after it.
    pub(crate) fn rush(
        &mut self,
        case: &Case,
        letter: &Letter,
    ) -> Result<(Exchange, Option<(Reply, Duration)>), String> {
        let number = |name: &str| case.request.at(name).as_u64().and_then(|count| usize::try_from(count).ok());
        let times = number("repeat").or_else(|| number("count")).unwrap_or(1).max(1);
        let at_once = number("concurrency").unwrap_or(1).max(1);
        let other = hold::wanted(&case.must_hold, "other_client_served");
        let other = other.map(|want| self.letter(want.at("request"), want.at("as").as_str().unwrap_or("payer-b")));
        let other = other.transpose()?;
        let mut companions = Vec::new();
        for wish in listed(case.request.at("simultaneously")) {
            let client = wish.at("as").as_str().unwrap_or("payer-a");
            let request = wish.get("request").unwrap_or(wish);
            companions.push((wish.clone(), client.to_owned(), self.letter(request, client)?));
        }
        let (mut own, mut beside, mut served) = (Vec::new(), Vec::new(), None);
        std::thread::scope(|scope| -> Result<(), String> {
            let crew = |letter: &'_ Letter, times: usize| (0..times).map(|_| letter.go()).collect::<Vec<_>>();
            let spawn = || std::thread::Builder::new().stack_size(STACK);
            let failed = |error: std::io::Error| error.to_string();
            let mut senders = Vec::new();
            for _ in 1..at_once {
                senders
                    .push(spawn().spawn_scoped(scope, move || crew(letter, times.div_ceil(at_once))).map_err(failed)?);
            }
            let first = spawn().spawn_scoped(scope, move || crew(letter, times.div_ceil(at_once))).map_err(failed)?;
            let mut friends = Vec::new();
            for (_, _, letter) in &companions {
                friends.push(spawn().spawn_scoped(scope, move || letter.go()).map_err(failed)?);
            }
            if let Some(other) = &other {
                std::thread::sleep(if at_once > 1 { CROWD } else { Duration::ZERO });
                let began = Instant::now();
                let exchange = other.go();
                served = Some((exchange.clone(), began.elapsed()));
            }
            own.extend(first.join().unwrap_or_default());
            for sender in senders {
                own.extend(sender.join().unwrap_or_default());
            }
            beside.extend(friends.into_iter().map(|friend| friend.join().unwrap_or_default()));
            Ok(())
        })?;
        let mut whole = Exchange::default();
        for exchange in own {
            self.count(letter, &exchange);
            whole = joined(whole, exchange);
        }
        for ((wish, client, companion), exchange) in companions.iter().zip(beside) {
            self.count(companion, &exchange);
            let seen = Seen { exchange: exchange.clone(), said: companion.ready.text.clone(), ..self.basics() };
            self.note("simultaneously", hold::judge(wish.at("must_hold"), &seen));
            self.strangers.extend(ids(&exchange));
            if client == "payer-a" {
                whole.replies.extend(exchange.replies);
            }
        }
        let served = match (served, &other) {
            (Some((exchange, time)), Some(other)) => {
                self.count(other, &exchange);
                self.strangers.extend(ids(&exchange));
                Some((exchange.replies.into_iter().next().unwrap_or_default(), time))
            }
            _ => None,
        };
        Ok((whole, served))
    }

    /// Whether the requests that follow get the answers that are theirs.
    pub(crate) fn next_answers(&self, want: &Json) -> Result<Vec<String>, String> {
        let usual = [
            json!({"as": "payer-b", "request": {"path": "/fhir/Patient/p2", "headers": {"Authorization": "Bearer {{token:payer-b}}"}}}),
            json!({"as": "payer-a", "request": {"path": "/fhir/Coverage/cov-p1", "headers": {"Authorization": "Bearer {{token:payer-a}}"}}}),
        ];
        let given: Vec<Json> = listed(want).into_iter().filter(|wish| wish.is_object()).cloned().collect();
        let mut wrong = Vec::new();
        for wish in if given.is_empty() { &usual[..] } else { &given[..] } {
            let request = wish.get("request").unwrap_or(wish);
            let letter = self.letter(request, wish.at("as").as_str().unwrap_or("payer-a"))?;
            let exchange = self.send(&letter);
            let reply = exchange.replies.first().cloned().unwrap_or_default();
            let body: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
            let path = request.at("path").as_str().unwrap_or_default().split('?').next().unwrap_or_default();
            let mut steps = path.trim_start_matches("/fhir/").split('/');
            let of = steps.next().unwrap_or_default();
            let is_own = match steps.next() {
                Some(id) => body.at("resourceType") == of && body.at("id") == id,
                None => body.at("resourceType") == "Bundle",
            };
            if reply.status != 200 || !is_own {
                wrong.push(format!("{path}: {} with {}/{}", reply.status, body.at("resourceType"), body.at("id")));
            }
            let seen = Seen { exchange, said: letter.ready.text.clone(), ..self.basics() };
            wrong.extend(hold::judge(wish.at("must_hold"), &seen).failed);
        }
        Ok(wrong)
    }

    /// The answers under the policy in force and under one that releases less, which is then ready to be put in place.
    pub(crate) fn versions(&mut self, request: &Json) -> Result<Vec<Version>, String> {
        let mut less = self.grants.clone();
        for grant in &mut less {
            for (_, rule) in grant.object_at(&["types"]).into_iter().flatten() {
                if let Some(elements) = rule.list_at(&["elements"]) {
                    elements.truncate(1);
                }
            }
        }
        let mut versions = Vec::new();
        for grants in [less, self.grants.clone()] {
            if !self.gateway.reload(&grants, None)? {
                return Err("grants were not taken".to_owned());
            }
            let exchange = self.send(&self.letter(request, "payer-a")?);
            let reply = exchange.replies.first().ok_or("no answer")?;
            let revision = self.revision_of(reply).ok_or("no record of a decision")?;
            versions.push(Version { revision, grants, answer: likeness(reply, &[]) });
        }
        Ok(versions)
    }

    fn revision_of(&self, reply: &Reply) -> Option<String> {
        let id = reply.header("x-request-id")?;
        let records = self.gateway.exchanges();
        let record = records.iter().find(|line| line.entry.exchange.as_deref() == Some(id))?;
        Some(record.entry.decision.as_ref()?.revision.clone())
    }

    /// Sends the request again and again while two policies take turns.
    pub(crate) fn in_turns(
        &mut self,
        case: &Case,
        letter: &Letter,
        versions: &[Version],
    ) -> Result<(Exchange, Vec<String>), String> {
        let times = ["count", "repeat"].iter().find_map(|name| case.request.at(name).as_u64()).unwrap_or(200);
        let at_once = case.request.at("concurrency").as_u64().unwrap_or(1).max(1);
        let is_over = AtomicBool::new(false);
        let gateway = &self.gateway;
        let own = std::thread::scope(|scope| {
            let turner = scope.spawn(|| {
                for version in versions.iter().cycle() {
                    if is_over.load(Ordering::SeqCst) || gateway.nudge(&version.grants).is_err() {
                        break;
                    }
                    std::thread::sleep(TURN);
                }
            });
            let crew = || (0..times.div_ceil(at_once)).map(|_| letter.go()).collect::<Vec<_>>();
            let others: Vec<_> = (1..at_once).map(|_| scope.spawn(crew)).collect();
            let mut own = crew();
            own.extend(others.into_iter().flat_map(|other| other.join().unwrap_or_default()));
            is_over.store(true, Ordering::SeqCst);
            let _ = turner.join();
            own
        });
        let (mut whole, mut wrong) = (Exchange::default(), Vec::new());
        for exchange in own {
            self.count(letter, &exchange);
            for reply in &exchange.replies {
                let revision = self.revision_of(reply);
                let version = versions.iter().find(|version| Some(&version.revision) == revision.as_ref());
                match version {
                    None => wrong.push(format!("{}: decided by neither policy", reply.status)),
                    Some(version) if version.answer != likeness(reply, &[]) => {
                        wrong.push(format!("{}: not what its policy releases", reply.status));
                    }
                    Some(_) => {}
                }
            }
            whole = joined(whole, exchange);
        }
        wrong.dedup();
        Ok((whole, wrong))
    }
}

/// One object, or each of a list.
fn listed(value: &Json) -> Vec<&Json> {
    match value {
        Json::Null => Vec::new(),
        Json::Array(all) => all.iter().collect(),
        one => vec![one],
    }
}

/// The exchanges as the gateway names them.
fn ids(exchange: &Exchange) -> impl Iterator<Item = String> {
    exchange.replies.iter().filter_map(|reply| reply.header("x-request-id")).map(ToOwned::to_owned)
}

fn joined(mut whole: Exchange, next: Exchange) -> Exchange {
    whole.replies.extend(next.replies);
    Exchange { replies: whole.replies, elapsed: whole.elapsed.max(next.elapsed), ..next }
}
