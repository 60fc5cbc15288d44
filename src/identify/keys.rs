//! The keys of one issuer: held from a file, or fetched, kept while fresh, and fetched again.
//!
//! Takes: a [`KeySource`] and the `kid` that a token names. Gives: a [`KeySnapshot`]. Guarantees: one fetch at a
//! time; one fetch for unknown `kid`s in a minute; a fetch outlives the request that caused it; nothing is verified
//! with a set that is no longer fresh. Refuses: redirects, other media types, sets without a usable key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::sync::Mutex;

use super::{IdentifyError, sha256};
use crate::clock::Now;
use crate::config::KeySource;
use crate::limits;
use crate::oauth::{Algorithm, KeySet};
use crate::outbound::{self, Origin, OutboundError};

/// The keys of one issuer.
pub(super) struct KeyRing {
    fetcher: Option<Fetcher>,
    held: RwLock<Option<Arc<Held>>>,
    /// Changes when the content of the set changes: what was verified before is looked at anew.
    generation: Arc<AtomicU64>,
    attempts: Mutex<Attempts>,
}

/// A set and how long it counts.
struct Held {
    set: KeySet,
    digest: [u8; 32],
    generation: u64,
    /// Counts fetches, so that one who waited for another's fetch can tell.
    fetch: u64,
    expires: i64,
}

/// When the issuer was last asked, in Unix seconds.
#[derive(Default)]
struct Attempts {
    count: u64,
    for_unknown_kid: Option<i64>,
    failed: Option<i64>,
}

/// A set at the moment it was used.
pub(super) struct KeySnapshot {
    held: Arc<Held>,
    generation: Arc<AtomicU64>,
}

impl KeySnapshot {
    pub(super) fn set(&self) -> &KeySet {
        &self.held.set
    }

    /// When the set ceases to count, in Unix seconds.
    pub(super) fn expires(&self) -> i64 {
        self.held.expires
    }

    /// Whether the issuer's set still has the same content.
    pub(super) fn is_current(&self) -> bool {
        self.generation.load(Ordering::Acquire) == self.held.generation
    }
}

impl KeyRing {
    pub(super) fn new(source: &KeySource) -> Result<Self, OutboundError> {
        match source {
            KeySource::File { keys, .. } => {
                let held = Held { set: keys.clone(), digest: [0; 32], generation: 0, fetch: 0, expires: i64::MAX };
                Ok(Self::assemble(None, Some(held)))
            }
            KeySource::Url { url, ca } => {
                let origin = Origin::parse(url.as_str())?;
                let tls = match url.is_https() {
                    true => Some(outbound::tls::client_config(ca.as_ref().map(|ca| ca.pem()), None)?),
                    false => None,
                };
                Ok(Self::assemble(Some(Fetcher::Outbound { origin, tls }), None))
            }
        }
    }

    fn assemble(fetcher: Option<Fetcher>, held: Option<Held>) -> Self {
        Self {
            fetcher,
            held: RwLock::new(held.map(Arc::new)),
            generation: Arc::new(AtomicU64::new(0)),
            attempts: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn fetched_by(fake: Arc<super::tests::FakeIssuer>) -> Self {
        Self::assemble(Some(Fetcher::Fake(fake)), None)
    }

    /// The set that holds the one key of this `kid` that fits `algorithm`.
    pub(super) async fn find(
        self: &Arc<Self>,
        kid: &str,
        algorithm: Algorithm,
        now: Now,
    ) -> Result<KeySnapshot, IdentifyError> {
        let before = self.fresh(now);
        if before.as_ref().is_none_or(|held| !held.set.names(kid)) && self.fetcher.is_some() {
            let (ring, kid, seen) = (Arc::clone(self), kid.to_owned(), before.as_ref().map(|held| held.fetch));
            // A task of its own: a client that hangs up must not stop a fetch that others wait for.
            let fetch = tokio::spawn(async move { ring.fetch_for(&kid, seen, now).await });
            fetch.await.map_err(|_| IdentifyError::Unavailable)?;
        }
        let held = self.fresh(now).ok_or(IdentifyError::Unavailable)?;
        if held.set.find(kid, algorithm).is_none() {
            return Err(IdentifyError::InvalidToken("no key of this kid fits"));
        }
        Ok(KeySnapshot { held, generation: Arc::clone(&self.generation) })
    }

    /// Fetches the set if it is missing or about to expire.
    pub(super) async fn renew(&self, now: Now) {
        let soon = now.unix_seconds().saturating_add(seconds(limits::KEY_SET_RENEW));
        let lasts = self.held().is_some_and(|held| held.expires > soon);
        let mut attempts = self.attempts.lock().await;
        if !lasts && attempts.may_retry(now) {
            self.fetch(&mut attempts, now).await;
        }
    }

    /// Whether there is a set to verify with.
    pub(super) fn is_usable(&self, now: Now) -> bool {
        self.fresh(now).is_some()
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self, now: Now) -> Option<Arc<Held>> {
        self.held().filter(|held| now.unix_seconds() < held.expires)
    }

    /// Fetches for a token whose `kid` is not in the set that was `seen`, if nobody has since and it is not too soon.
    async fn fetch_for(&self, kid: &str, seen: Option<u64>, now: Now) {
        let mut attempts = self.attempts.lock().await;
        let current = self.fresh(now);
        if current.is_some() && current.as_ref().map(|held| held.fetch) != seen {
            return;
        }
        let allowed = if current.is_some() { attempts.may_force(now) } else { attempts.may_retry(now) };
        if !allowed {
            return;
        }
        self.fetch(&mut attempts, now).await;
        if self.fresh(now).is_none_or(|held| !held.set.names(kid)) {
            attempts.for_unknown_kid = Some(now.unix_seconds());
        }
    }

    async fn fetch(&self, attempts: &mut Attempts, now: Now) {
        let Some(fetcher) = &self.fetcher else { return };
        let document = fetcher.fetch().await;
        attempts.count = attempts.count.wrapping_add(1);
        let parsed = document.and_then(|document| KeySet::parse(&document.body).ok().map(|set| (set, document)));
        let Some((set, document)) = parsed else {
            attempts.failed = Some(now.unix_seconds());
            tracing::warn!(key_set = fetcher.address(), "key set could not be fetched");
            return;
        };
        attempts.failed = None;
        let digest = sha256(&document.body);
        let before = self.held();
        let generation = match &before {
            Some(before) if before.digest == digest => before.generation,
            Some(before) => before.generation.wrapping_add(1),
            None => 0,
        };
        let expires = now.unix_seconds().saturating_add(document.life);
        let held = Held { set, digest, generation, fetch: attempts.count, expires };
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(held));
        self.generation.store(generation, Ordering::Release);
    }
}

impl Attempts {
    fn may_force(&self, now: Now) -> bool {
        let gap = seconds(limits::KEY_SET_REFRESH);
        self.for_unknown_kid.is_none_or(|last| now.unix_seconds() >= last.saturating_add(gap))
    }

    fn may_retry(&self, now: Now) -> bool {
        let gap = seconds(limits::KEY_SET_RETRY);
        self.failed.is_none_or(|last| now.unix_seconds() >= last.saturating_add(gap))
    }
}

/// A key set document and how many seconds it may be kept.
pub(super) struct KeyDocument {
    pub(super) body: Bytes,
    pub(super) life: i64,
}

/// How the document is had.
enum Fetcher {
    Outbound {
        origin: Origin,
        tls: Option<Arc<ClientConfig>>,
    },
    #[cfg(test)]
    Fake(Arc<super::tests::FakeIssuer>),
}

impl Fetcher {
    fn address(&self) -> String {
        match self {
            Self::Outbound { origin, .. } => origin.to_string(),
            #[cfg(test)]
            Self::Fake(_) => String::new(),
        }
    }

    async fn fetch(&self) -> Option<KeyDocument> {
        match self {
            Self::Outbound { origin, tls } => {
                let request = Request::get(origin.target().clone())
                    .header(ACCEPT, "application/jwk-set+json, application/json")
                    .body(Full::default())
                    .ok()?;
                let limit = limits::KEY_SET_BYTES;
                let answer = outbound::once(origin, tls.as_ref(), request, limit, limits::KEY_SET_FETCH).await.ok()?;
                let good = answer.status() == StatusCode::OK && is_json(answer.headers());
                let life = life(answer.headers());
                good.then(|| KeyDocument { body: answer.into_body(), life })
            }
            #[cfg(test)]
            Self::Fake(fake) => fake.fetch(),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/jwk-set+json"].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// Seconds that an answer may be kept (RFC 9111 section 5.2.2), within our bounds.
pub(super) fn life(headers: &HeaderMap) -> i64 {
    let stated = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut life = None;
    for directive in stated.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" | "no-store" => life = Some(0),
            "max-age" if life.is_none() => life = Some(value.trim().trim_matches('"').parse::<i64>().unwrap_or(0)),
            _ => {}
        }
    }
    let age = headers.get(AGE).and_then(|value| value.to_str().ok()?.parse::<i64>().ok()).unwrap_or(0);
    let life = life.map_or(seconds(limits::KEY_SET_LIFE), |life| life.saturating_sub(age.max(0)));
    life.clamp(seconds(limits::KEY_SET_LIFE_MIN), seconds(limits::KEY_SET_LIFE_MAX))
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
