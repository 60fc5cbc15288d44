//! Decisions remembered.
//!
//! Takes: the policies' fingerprint and the input document. Gives: the outcome of the same question asked
//! shortly before. Guarantees: the key covers every byte that decides (policies, rosters, input); an outcome
//! is forgotten after [`limits::DECISION_CACHE_LIFE`]. Refuses: to keep failures, which may pass.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use moka::sync::Cache;

use super::obligations::{Obligations, Reason};
use super::permit::Engine;
use crate::limits;

/// What was decided.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Permitted { obligations: Arc<Obligations>, engine: Engine },
    Refused { reasons: Arc<[Reason]>, conceal: bool },
}

/// SHA-256 over the policies' fingerprint and the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(fingerprint: &[u8; 32], input: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(fingerprint);
        context.update(input);
        Self(context.finish().as_ref().try_into().unwrap_or_default())
    }
}

/// Decisions by their question, shared by all cores.
#[derive(Debug)]
pub struct DecisionCache(Cache<Key, Outcome>);

impl DecisionCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(limits::DECISION_CACHE).time_to_live(limits::DECISION_CACHE_LIFE).build())
    }

    pub(super) fn find(&self, key: &Key) -> Option<Outcome> {
        self.0.get(key)
    }

    pub(super) fn keep(&self, key: Key, outcome: Outcome) {
        self.0.insert(key, outcome);
    }
}

impl Default for DecisionCache {
    fn default() -> Self {
        Self::new()
    }
}
