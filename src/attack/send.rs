//! Requests of a case on their way: who sends them, over what, and what else is sent beside them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Value as Json, json};

use crate::attack::case::Case;
use crate::attack::hold;
use crate::attack::members::Members as _;
use crate::attack::scene::Scene;
use crate::attack::stage::{BASE, HOST};
use crate::attack::text::{self, Ready};
use crate::attack::token::Subject;
use crate::attack::wire::{self, Exchange, Manner, Reply, Stream};
use crate::attack::{h2, tls};

/// A request, addressed.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) ready: Ready,
    pub(crate) manner: Manner,
    from: IpAddr,
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Letter {
    /// Sends it, and reads what comes back.
    pub(crate) fn go(&self) -> Exchange {
        let nothing = Exchange { closed: true, ..Exchange::default() };
        let Ok(tcp) = Stream::connect(self.from, self.to) else { return nothing };
        let stream = match &self.tls {
            Some(config) => tls::over(tcp, config),
            None => Ok(Stream::Plain(tcp)),
        };
        let Ok(mut stream) = stream else { return nothing };
        match &self.ready.h2 {
            Some(wish) => h2::exchange(&mut stream, wish),
            None => wire::exchange(&mut stream, &self.ready.pieces, &self.manner),
        }
    }

    /// The token that it carries.
    pub(crate) fn token(&self) -> Option<String> {
        let field = |line: &str| {
            let (name, value) = line.split_once(": Bearer ")?;
            name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
        };
        self.ready.text.lines().find_map(field).filter(|token| token.len() > 20)
    }
}

impl Scene<'_> {
    /// Builds a request as a client sends it.
    pub(crate) fn letter(&self, request: &Json, client: &str) -> Result<Letter, String> {
        let world = self.world;
        let certificate = request.at("mtls").at("cert").as_str();
        let is_mutual = self.gateway.is_mutual();
        let identity = match certificate.filter(|_| is_mutual) {
            Some(name) => world.authority.named(name)?,
            None if is_mutual => Some(world.authority.client(client)?),
            None => None,
        };
        // The strongest of attackers: the token is bound to the very certificate that is shown. But where the case is
        // about a token of somebody else's.
        let bound_to = match &identity {
            Some(identity) if !certificate.is_some_and(|name| name.contains("-with-token-of-")) => {
                identity.thumbprint()
            }
            _ if is_mutual => world.authority.client("payer-a")?.thumbprint(),
            _ => String::new(),
        };
        let usual = Subject {
            client: world.client_id("payer-a"),
            purpose: "HPAYMT",
            audience: BASE,
            bound_to: Some(bound_to.as_str()).filter(|bound| !bound.is_empty()),
            shift: self.shift,
        };
        let forged = match request.at("jwt") {
            Json::Null => None,
            wish => Some(world.keys.forged(wish, &usual)?),
        };
        let known = |name: &str| -> Option<String> {
            let next = |client: &str| next_link(self.captured.get(client)?);
            Some(match name {
                "gateway_host" => HOST.to_owned(),
                "upstream_host" => world.ehr.address().to_string(),
                "attacker_host" => world.attacker.address.to_string(),
                "attacker_jwk" => world.keys.attacker_jwk().to_string(),
                "test_client_ip" => address_of(client).to_string(),
                "jwt" => forged.clone()?,
                "previous_request_id" => self.last_id.clone(),
                _ => match name.split_once(':')? {
                    // A case that describes a token means that one.
                    ("token", "payer-a") if forged.is_some() => forged.clone()?,
                    ("token", of) => {
                        let (named, purpose) = of.split_once(";purpose=").unwrap_or((of, "HPAYMT"));
                        let client = if client == "payer-a" { named } else { client };
                        let client = world.client_id(client);
                        world.keys.token(&Subject { client, purpose, ..usual.clone() }).ok()?
                    }
                    ("captured", what) => match what.split_once('.')? {
                        (of, "next") => next(of)?,
                        (of, "content") => content_link(self.captured.get(of)?)?,
                        (of, "next%7Cflip_one_char" | "next|flip_one_char") => flipped(&next(of)?)?,
                        (of, "next._getpages") => {
                            next(of).map_or_else(String::new, |link| link.rsplit('/').next().unwrap_or("").to_owned())
                        }
                        (of, "etag") => self.captured.get(of)?.header("etag").unwrap_or("W/\"1\"").to_owned(),
                        _ => return None,
                    },
                    _ => return None,
                },
            })
        };
        let ready = text::ready(request, &known)?;
        let protocol = if ready.h2.is_some() { "h2" } else { "http/1.1" };
        let tls = match self.gateway.has_tls() {
            true => Some(world.authority.config(identity.as_ref(), protocol)?),
            false => None,
        };
        let manner = Manner {
            head: ready.is_head,
            everything: false,
            abort_after: request.at("abort_after_ms").as_u64().map(Duration::from_millis),
        };
        Ok(Letter { ready, manner, from: address_of(client), to: self.gateway.address(), tls })
    }

    /// Sends a request and counts what became of it.
    pub(crate) fn send(&self, letter: &Letter) -> Exchange {
        let exchange = letter.go();
        self.count(letter, &exchange);
        exchange
    }

    pub(crate) fn count(&self, letter: &Letter, exchange: &Exchange) {
        let [answered, unanswered, aborted] = self.counts.get();
        let replies = exchange.replies.len();
        let is_lost = replies == 0 && !exchange.handshake_failed;
        let has_left = usize::from(exchange.aborted.is_some());
        self.counts.set([answered + replies, unanswered + usize::from(is_lost), aborted + has_left]);
        if crate::attack::is_shown() {
            println!("> {}", letter.ready.text.lines().next().unwrap_or_default());
            for reply in &exchange.replies {
                println!("< {} {:?} {}", reply.status, reply.headers, String::from_utf8_lossy(&reply.body));
            }
            if replies == 0 {
                println!("< nothing; closed: {}, TLS failed: {}", exchange.closed, exchange.handshake_failed);
            }
        }
    }

    /// The pages that follow, where a case follows them.
    pub(crate) fn pages(&self, request: &Json, first: &Exchange) -> Result<Vec<Reply>, String> {
        let mut pages: Vec<Reply> = first.replies.iter().take(1).cloned().collect();
        for _ in 0..request.at("follow_next").as_u64().unwrap_or(0) {
            let Some(next) = pages.last().and_then(next_link) else { break };
            let mut request = request.clone();
            request.set("path", json!(next));
            pages.extend(self.send(&self.letter(&request, "payer-a")?).replies);
        }
        Ok(pages)
    }

    /// The requests that this one is compared with.
    pub(crate) fn twins(&self, case: &Case) -> Result<Vec<(&'static str, Reply)>, String> {
        let mut twins = Vec::new();
        let mut ask = |key: &'static str, request: &Json| -> Result<(), String> {
            let replies = self.send(&self.letter(request, "payer-a")?).replies;
            twins.extend(replies.into_iter().map(|reply| (key, reply)));
            Ok(())
        };
        for holder in hold::holders(&case.must_hold) {
            if let Some(want) = holder.get("indistinguishable_from") {
                ask("indistinguishable_from", want.at("request"))?;
            }
            if let Some(names) = holder.get("same_response_as_without_headers").and_then(Json::as_array) {
                let mut request = case.request.clone();
                if let Some(headers) = request.object_at(&["headers"]) {
                    let is_out =
                        |name: &str| names.iter().filter_map(Json::as_str).any(|out| out.eq_ignore_ascii_case(name));
                    headers.retain(|name, _| !is_out(name));
                }
                ask("same_response_as_without_headers", &request)?;
            }
            if holder.get("content_length_equals_get").is_some() {
                let mut request = case.request.clone();
                request.set("method", json!("GET"));
                ask("content_length_equals_get", &request)?;
            }
        }
        Ok(twins)
    }

    /// Medians of many exchanges, this request and its twin by turns.
    pub(crate) fn times(&self, case: &Case) -> Result<Option<(Duration, Duration)>, String> {
        let Some(want) = hold::wanted(&case.must_hold, "timing_indistinguishable_from") else { return Ok(None) };
        let letters = [self.letter(&case.request, "payer-a")?, self.letter(want.at("request"), "payer-a")?];
        let mut times = [Vec::new(), Vec::new()];
        let samples = want.at("samples").as_u64().unwrap_or(200);
        for number in 0..samples + 10 {
            for (letter, times) in letters.iter().zip(&mut times) {
                let exchange = self.send(letter);
                if number >= 10 {
                    times.push(exchange.elapsed);
                }
            }
        }
        let [own, twin] = times.map(|mut times| {
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        });
        Ok(Some((own, twin)))
    }

    /// Whether another client is served within two seconds.
    pub(crate) fn is_alive(&self) -> bool {
        let request = json!({"method": "GET", "path": "/fhir/Patient/p2", "headers": {"Authorization": "Bearer {{token:payer-b}}"}});
        let Ok(letter) = self.letter(&request, "payer-b") else { return false };
        let began = Instant::now();
        let exchange = self.send(&letter);
        let lives = |reply: &Reply| reply.status == 200 || self.may_refuse;
        exchange.replies.first().is_some_and(lives) && began.elapsed() < Duration::from_secs(2)
    }
}

/// Each client has an address of its own.
fn address_of(client: &str) -> IpAddr {
    let last = if client == "payer-a" { 1 } else { 3 };
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Path and query of the link to the next page.
fn next_link(reply: &Reply) -> Option<String> {
    let body: Json = serde_json::from_slice(&reply.body).ok()?;
    let link = body.at("link").as_array()?.iter().find(|link| link.at("relation") == "next")?;
    let rest = link.at("url").as_str()?.split_once("://")?.1;
    Some(rest.get(rest.find('/')?..)?.to_owned())
}

/// Path of the first link to the content of a document.
fn content_link(reply: &Reply) -> Option<String> {
    let body = String::from_utf8_lossy(&reply.body);
    let at = body.find("/fhir/_content/")?;
    let rest = body.get(at..)?;
    Some(rest.get(..rest.find('"')?)?.to_owned())
}

/// Another character near the end of a link.
fn flipped(link: &str) -> Option<String> {
    let (before, rest) = link.split_at_checked(link.len().checked_sub(8)?)?;
    let other = if rest.starts_with('A') { 'B' } else { 'A' };
    Some(format!("{before}{other}{}", rest.get(1..)?))
}
