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

    /// The same as a random UUID (RFC 9562, version 4), which six of its bits are given up for.
    pub fn uuid(self) -> String {
        let bits = u128::from_be_bytes(self.0) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let part = |at: u32, mask: u128| (bits >> at) & mask;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 0xffff_ffff),
            part(80, 0xffff),
            part(64, 0xffff),
            part(48, 0xffff),
            part(0, 0xffff_ffff_ffff)
        )
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn none_is_given_twice_within_a_stock_or_across_threads() {
        let many = || (0..100).map(|_| Token128::random().unwrap()).collect::<Vec<_>>();
        let other = std::thread::spawn(many);
        let ids: HashSet<Token128> = many().into_iter().chain(other.join().unwrap()).collect();
        assert_eq!(ids.len(), 200);
        assert!(!ids.contains(&Token128::from_bytes([0; 16])));
    }

    #[test]
    fn a_uuid_is_of_version_4() {
        let uuid = Token128::from_bytes([0xff; 16]).uuid();
        assert_eq!(uuid, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Token128::from_bytes([0; 16]).uuid(), "00000000-0000-4000-8000-000000000000");
    }
}
