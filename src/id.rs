//! Identifiers that the gateway mints.
//!
//! Takes: randomness from the TLS provider. Gives: ids of 128 random bits, 26 characters of Crockford
//! base32. Guarantees: no id carries anything about a patient, a client or a request; none is given twice.

use std::cell::RefCell;
use std::fmt;

use aws_lc_rs::rand;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Random bits that a thread fetches at once: asking for many costs what asking for a few does.
const STOCK: usize = 32 * 16;

thread_local! {
    /// Random bits that no identifier has yet.
    static FRESH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A random identifier, safe in URLs, headers and log lines.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token128([u8; 16]);

impl Token128 {
    /// A fresh identifier. `None` only where the operating system has no randomness to give.
    pub fn random() -> Option<Self> {
        FRESH.with_borrow_mut(|fresh| {
            if fresh.is_empty() {
                fresh.resize(STOCK, 0);
                if rand::fill(fresh).is_err() {
                    fresh.clear();
                }
            }
            let bytes = *fresh.last_chunk::<16>()?;
            fresh.truncate(fresh.len() - 16);
            Some(Self(bytes))
        })
    }

    /// The identifier with these bits: replay, tests.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Token128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0_u8; 26];
        for (place, slot) in text.iter_mut().rev().enumerate() {
            let index = (bits >> (5 * place)) & 31;
            *slot = ALPHABET.get(index as usize).copied().unwrap_or(b'0');
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Token128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one exchange: the `X-Request-Id` of the answer and of every audit entry about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId(pub Token128);

/// Names one decision of the policy about one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(pub Token128);

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
