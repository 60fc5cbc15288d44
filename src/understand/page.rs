//! Page links: the only way to a further page.
//!
//! Takes: a search, where the EHR continues it, and the decision it was run under. Gives: an opaque token
//! that opens only for the same client and purpose, unaltered, for a short time. Guarantees: nothing of
//! the search can be read or changed from outside (AES-256-GCM). Refuses: everything else, alike.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::interaction::{Page, Search};
use super::{Setting, UnderstandError, query};
use crate::clock::Now;
use crate::fhir::name::ResourceType;
use crate::limits;

/// The key that page links are sealed with: random for each start, so links end with the process that made them.
#[derive(Debug)]
pub struct PageKey(LessSafeKey);

/// What a page link holds.
#[derive(Debug)]
pub struct PageLink<'a> {
    /// The search whose next page it is.
    pub search: &'a Search,
    /// Path and query below the EHR's base; empty for the search itself.
    pub continuation: &'a str,
    /// Matches of what lies there that were given already.
    pub passed: u32,
    /// Digest of the obligations in force.
    pub decision: [u8; 16],
    /// The client it is for.
    pub client: &'a str,
    /// The purpose it is for.
    pub purpose: &'a str,
    /// When it was made.
    pub now: Now,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Unix seconds after which the link is void.
    e: i64,
    /// The type searched.
    t: String,
    /// The search as one canonical query.
    q: String,
    /// Where the EHR continues.
    c: String,
    /// Matches there that were given already.
    p: u32,
    /// Digest of the obligations.
    d: [u8; 16],
}

impl PageKey {
    /// A fresh key. `None` only where there is no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok()?;
        UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new).map(Self)
    }

    /// Seals a link. `None` where it would be longer than [`limits::PAGE_LINK_BYTES`]: then the search cannot be paged.
    pub fn seal(&self, link: &PageLink<'_>) -> Option<String> {
        let life = i64::try_from(limits::PAGE_LINK_LIFE.as_secs()).ok()?;
        let sealed = Sealed {
            e: link.now.unix_seconds().checked_add(life)?,
            t: link.search.resource_type().to_string(),
            q: link.search.query(),
            c: link.continuation.to_owned(),
            p: link.passed,
            d: link.decision,
        };
        self.seal_bytes(serde_json::to_vec(&sealed).ok()?, bound_to(link.client, link.purpose))
    }

    pub(super) fn seal_bytes(&self, mut bytes: Vec<u8>, aad: Vec<u8>) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes).ok()?;
        let token = URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat());
        (token.len() <= limits::PAGE_LINK_BYTES).then_some(token)
    }

    pub(super) fn open(&self, token: &str, setting: Setting<'_>) -> Result<Page, UnderstandError> {
        self.opened(token, setting).ok_or(UnderstandError::PageLink)
    }

    fn opened(&self, token: &str, setting: Setting<'_>) -> Option<Page> {
        let opened = self.open_bytes(token, bound_to(setting.client, setting.purpose))?;
        let link: Sealed = serde_json::from_slice(&opened).ok()?;
        if setting.now.unix_seconds() >= link.e {
            return None;
        }
        let resource_type = ResourceType::parse(&link.t).ok()?;
        let pairs = query::decode(&link.q).ok()?;
        let search = query::search(resource_type, &pairs, setting.bases).ok()?;
        Some(Page { search, continuation: link.c.into(), passed: link.p, decision: link.d })
    }

    pub(super) fn open_bytes(&self, token: &str, aad: Vec<u8>) -> Option<Vec<u8>> {
        if token.len() > limits::PAGE_LINK_BYTES {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::from(aad), sealed).ok()?;
        Some(opened.to_vec())
    }
}

fn bound_to(client: &str, purpose: &str) -> Vec<u8> {
    [client.as_bytes(), b"\0", purpose.as_bytes()].concat()
}
