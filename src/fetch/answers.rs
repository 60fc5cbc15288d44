//! Answers of the EHR, kept below the decision.
//!
//! Takes: the request that was sent and the bytes that came back, complete and successful. Gives: the same bytes for the
//! same request. Guarantees: unfiltered and private to the gateway; identity, policy and filter run on every hit.
//! Refuses: to keep anything longer than the shortest of what policy and configuration say.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::sync::Cache;

use crate::fhir::name::ResourceType;
use crate::fhir::reference::Reference;

/// The request an answer belongs to, whole and unhashed, so that two requests never share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(Box<str>);

impl CacheKey {
    /// The key of a request below the EHR's base.
    pub fn of(target: &str, form: Option<&Bytes>) -> Self {
        let form = form.map(|form| String::from_utf8_lossy(form)).unwrap_or_default();
        Self([target, "\n", &form].concat().into())
    }

    pub(super) fn resource_type(&self) -> Option<&str> {
        self.0.strip_prefix('/')?.split(['/', '?', '\n']).next()
    }
}

#[derive(Clone)]
struct Kept {
    bytes: Bytes,
    since: Instant,
    life: Duration,
}

struct Life;

impl Expiry<CacheKey, Kept> for Life {
    fn expire_after_create(&self, _: &CacheKey, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.life)
    }
}

/// How long answers may be kept, from the configuration.
#[derive(Clone, Debug, Default)]
pub struct KeepFor {
    /// For types that are not named.
    pub otherwise: Duration,
    /// For these types.
    pub by_type: HashMap<ResourceType, Duration>,
}

/// The cache, shared by all cores.
#[derive(Debug)]
pub struct AnswerCache {
    kept: Cache<CacheKey, Kept>,
    keep_for: KeepFor,
}

impl AnswerCache {
    /// A cache of at most `bytes` bytes.
    pub fn new(bytes: u64, keep_for: KeepFor) -> Self {
        let weigh = |key: &CacheKey, kept: &Kept| u32::try_from(key.0.len() + kept.bytes.len()).unwrap_or(u32::MAX);
        let kept = Cache::builder()
            .max_capacity(bytes)
            .weigher(weigh)
            .expire_after(Life)
            .support_invalidation_closures()
            .build();
        Self { kept, keep_for }
    }

    /// How long an answer about this type may be kept, where the decision allows `decided`.
    pub fn keep(&self, resource_type: ResourceType, decided: Duration) -> Duration {
        self.keep_for.by_type.get(&resource_type).copied().unwrap_or(self.keep_for.otherwise).min(decided)
    }

    /// An answer that is younger than `life`, whoever it was kept for.
    pub(super) fn find(&self, key: &CacheKey, life: Duration) -> Option<Bytes> {
        self.kept.get(key).filter(|kept| kept.since.elapsed() < life).map(|kept| kept.bytes)
    }

    pub(super) fn keep_for(&self, key: CacheKey, bytes: &Bytes, life: Duration) {
        if !life.is_zero() {
            // A copy: these bytes may be a slice of a connection's larger buffer.
            self.kept.insert(key, Kept { bytes: Bytes::copy_from_slice(bytes), since: Instant::now(), life });
        }
    }

    /// Forgets what a write to `written` may have changed: everything about its type.
    pub fn forget(&self, written: &Reference) {
        let name = written.resource_type.as_str();
        let stale = move |key: &CacheKey, _: &Kept| key.resource_type() == Some(name);
        if self.kept.invalidate_entries_if(stale).is_err() {
            self.kept.invalidate_all();
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::name::Id;

    fn of(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    #[test]
    fn the_shorter_life_wins() {
        let keep_for =
            KeepFor { otherwise: Duration::from_secs(30), by_type: [(of("Patient"), Duration::from_secs(300))].into() };
        let cache = AnswerCache::new(1_000, keep_for);
        assert_eq!(cache.keep(of("Observation"), Duration::from_secs(60)).as_secs(), 30);
        assert_eq!(cache.keep(of("Patient"), Duration::from_secs(60)).as_secs(), 60);
        assert!(cache.keep(of("Patient"), Duration::ZERO).is_zero());
    }

    #[test]
    fn keeps_by_the_whole_request_and_forgets_by_type() {
        let cache = AnswerCache::new(10_000, KeepFor::default());
        let life = Duration::from_secs(60);
        let search = CacheKey::of("/Observation?patient=p1", None);
        let form = CacheKey::of("/Observation/_search", Some(&Bytes::from_static(b"patient=p2")));
        let patient = CacheKey::of("/Patient/p1", None);
        for key in [&search, &form, &patient] {
            cache.keep_for(key.clone(), &Bytes::from_static(b"{}"), life);
            assert!(cache.find(key, life).is_some());
        }
        assert!(cache.find(&CacheKey::of("/Observation?patient=p10", None), life).is_none());
        assert!(cache.find(&search, Duration::from_nanos(1)).is_none(), "older than this decision allows");
        cache.forget(&Reference { resource_type: of("Observation"), id: Id::parse("o1").unwrap() });
        assert!(cache.find(&search, life).is_none());
        assert!(cache.find(&form, life).is_none());
        assert!(cache.find(&patient, life).is_some());
        cache.keep_for(search.clone(), &Bytes::from_static(b"{}"), Duration::ZERO);
        assert!(cache.find(&search, life).is_none());
    }
}
