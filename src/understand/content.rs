//! Content links: the only way to what a document holds.
//!
//! Takes: a released document, the Binary that one of its attachments leads to, and the policies in force. Gives: an opaque
//! token that opens only for the same client and purpose, unaltered, for a short time. Guarantees: what it opens to is a
//! read of the document, which is decided and judged anew before its content is asked for. Refuses: everything else, alike.

use serde::{Deserialize, Serialize};

use super::interaction::{Read, Shape};
use super::page::PageKey;
use super::{Setting, UnderstandError};
use crate::clock::Now;
use crate::fhir::name::{Id, ResourceType};
use crate::limits;

/// The content that a document's link leads to.
#[derive(Clone, Debug)]
pub struct Content {
    binary: Id,
    media: Option<Box<str>>,
    revision: Box<str>,
}

impl Content {
    /// The Binary of the EHR that holds it.
    pub fn binary(&self) -> &Id {
        &self.binary
    }

    /// What the document said that it is of, where it said so.
    pub fn media(&self) -> Option<&str> {
        self.media.as_deref()
    }

    /// The policies under which the link was made; others void it.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

/// What a content link holds.
#[derive(Debug)]
pub struct ContentLink<'a> {
    /// The id of the DocumentReference.
    pub document: &'a Id,
    /// The id of the Binary.
    pub binary: &'a Id,
    /// The attachment's `contentType`.
    pub media: Option<&'a str>,
    /// The revision of the policies in force.
    pub revision: &'a str,
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
    /// The document.
    d: String,
    /// The Binary.
    b: String,
    /// Media type.
    m: Option<String>,
    /// Revision of the policies.
    r: String,
}

impl PageKey {
    /// Seals a link. `None` where it would be longer than [`limits::PAGE_LINK_BYTES`].
    pub fn seal_content(&self, link: &ContentLink<'_>) -> Option<String> {
        let life = i64::try_from(limits::PAGE_LINK_LIFE.as_secs()).ok()?;
        let sealed = Sealed {
            e: link.now.unix_seconds().checked_add(life)?,
            d: link.document.to_string(),
            b: link.binary.to_string(),
            m: link.media.map(ToOwned::to_owned),
            r: link.revision.to_owned(),
        };
        self.seal_bytes(serde_json::to_vec(&sealed).ok()?, bound_to(link.client, link.purpose))
    }
}

/// The read that a content link stands for.
pub(super) fn read(token: &str, setting: Setting<'_>) -> Result<Read, UnderstandError> {
    opened(token, setting).ok_or(UnderstandError::ContentLink)
}

fn opened(token: &str, setting: Setting<'_>) -> Option<Read> {
    let bytes = setting.pages.open_bytes(token, bound_to(setting.client, setting.purpose))?;
    let link: Sealed = serde_json::from_slice(&bytes).ok()?;
    if setting.now.unix_seconds() >= link.e {
        return None;
    }
    let document = ResourceType::parse("DocumentReference").ok()?;
    let content = Content { binary: Id::parse(&link.b).ok()?, media: link.m.map(Into::into), revision: link.r.into() };
    Some(Read::new(document, Id::parse(&link.d).ok()?, Shape::default()).of_content(content))
}

/// What a link is sealed for; never what a page link is.
fn bound_to(client: &str, purpose: &str) -> Vec<u8> {
    [b"content\0", client.as_bytes(), b"\0", purpose.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::{Asked, Interaction, understand};
    use super::*;

    fn at(second: i64) -> Now {
        Now::at(Timestamp::from_second(second).unwrap())
    }

    fn ask(
        key: &PageKey,
        token: &str,
        client: &str,
        purpose: &str,
        second: i64,
    ) -> Result<Interaction, UnderstandError> {
        let setting = Setting { bases: &[], pages: key, client, purpose, now: at(second) };
        understand(Asked { post: false, path: &["_content", token], query: None, form: None }, setting)
    }

    #[test]
    fn a_link_is_for_whom_it_was_made_and_for_a_while() {
        let key = PageKey::random().unwrap();
        let (document, binary) = (Id::parse("d").unwrap(), Id::parse("b").unwrap());
        let link = ContentLink {
            document: &document,
            binary: &binary,
            media: Some("text/plain"),
            revision: "r",
            client: "payer-a",
            purpose: "HPAYMT",
            now: at(1_000),
        };
        let token = key.seal_content(&link).unwrap();
        let Interaction::Read(read) = ask(&key, &token, "payer-a", "HPAYMT", 1_899).unwrap() else { panic!() };
        assert_eq!((read.resource_type().as_str(), read.id().as_str()), ("DocumentReference", "d"));
        let content = read.content().unwrap();
        assert_eq!((content.binary().as_str(), content.media(), content.revision()), ("b", Some("text/plain"), "r"));
        let other = PageKey::random().unwrap();
        let altered = format!("{token}A");
        for refused in [
            ask(&key, &token, "payer-b", "HPAYMT", 1_000),
            ask(&key, &token, "payer-a", "TREAT", 1_000),
            ask(&key, &token, "payer-a", "HPAYMT", 1_900),
            ask(&other, &token, "payer-a", "HPAYMT", 1_000),
            ask(&key, &altered, "payer-a", "HPAYMT", 1_000),
        ] {
            assert_eq!(refused.unwrap_err(), UnderstandError::ContentLink);
        }
        let setting = Setting { bases: &[], pages: &key, client: "payer-a", purpose: "HPAYMT", now: at(1_000) };
        let refusal = |path: &str, query| {
            understand(Asked { post: false, path: &[path, &token], query, form: None }, setting).unwrap_err()
        };
        assert_eq!(refusal("_page", None), UnderstandError::PageLink);
        assert_eq!(refusal("_content", Some("a=b")), UnderstandError::ContentLink);
    }
}
