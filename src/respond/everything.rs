//! The answer to `$everything`: what was released by its parts, each of which was recorded before it came here.
//!
//! Takes: answers. Gives: one searchset. Guarantees: an entry is copied as it was released, and once; the total counts the
//! records, and not what is said of them; nothing is left out of a part. Refuses: a part that was refused, broke off, or is more than
//! [`limits::EVERYTHING_BYTES`] hold together.

use std::collections::HashSet;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;

use super::body::Body;
use super::{Answer, outcome};
use crate::fhir::json::{Tape, Value, write_string};
use crate::id::Token128;
use crate::limits;

const BEGINNING: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\"";

/// The searchset, as far as it is.
#[derive(Debug)]
pub struct Merging {
    base: Box<str>,
    entries: Vec<u8>,
    seen: HashSet<Box<str>>,
    received: u64,
    matches: u32,
}

/// Why a part cannot be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmerged {
    /// It was not answered with 200.
    Refused(StatusCode),
    /// Its answer broke off.
    Cut,
    /// It is more than can be held.
    TooLarge,
}

/// The body of the answer. Made of answers only.
#[derive(Debug)]
pub struct Merged(Vec<u8>);

impl Merged {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Merged> for Bytes {
    fn from(merged: Merged) -> Self {
        merged.0.into()
    }
}

impl Merging {
    /// Nothing yet; `base` is the gateway's base URL, without a slash at the end.
    pub fn new(base: &str) -> Self {
        Self { base: base.into(), entries: Vec::new(), seen: HashSet::new(), received: 0, matches: 0 }
    }

    /// Takes in the answer to a read; `is_shown` says whether its resource is an entry.
    ///
    /// # Errors
    /// Where there is no resource in it.
    pub async fn resource(&mut self, answer: Answer, is_shown: bool) -> Result<(), Unmerged> {
        let body = self.whole(answer).await?;
        let mut tape = Tape::new();
        let resource = tape.read(&body).map_err(|_| Unmerged::TooLarge)?.root();
        let member = |name: &str| resource.get(name).and_then(Value::text).unwrap_or_default();
        let url = format!("{}/{}/{}", self.base, member("resourceType"), member("id"));
        self.received += u64::from(is_shown);
        if is_shown && self.seen.insert(url.as_str().into()) {
            let mut entry = b"{\"fullUrl\":".to_vec();
            write_string(&url, &mut entry);
            entry.extend_from_slice(b",\"resource\":");
            entry.extend_from_slice(resource.raw().as_bytes());
            entry.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
            self.matches += 1;
            self.add(&entry);
        }
        Ok(())
    }

    /// Takes in the answer to a search; gives the target of its next page, below the base.
    ///
    /// # Errors
    /// Where it is no searchset, or not the whole of one.
    pub async fn searchset(&mut self, answer: Answer) -> Result<Option<Box<str>>, Unmerged> {
        let body = self.whole(answer).await?;
        let mut tape = Tape::new();
        let bundle = tape.read(&body).map_err(|_| Unmerged::TooLarge)?.root();
        for entry in bundle.get("entry").into_iter().flat_map(Value::items) {
            let url = entry.get("fullUrl").and_then(Value::text).unwrap_or_default();
            self.received += 1;
            if self.seen.insert(url.as_ref().into()) {
                let mode = entry.get("search").and_then(|search| search.get("mode")).and_then(Value::text);
                self.matches += u32::from(mode.is_some_and(|mode| mode == "match"));
                self.add(entry.raw().as_bytes());
            }
        }
        let is_next = |link: &Value<'_>| link.get("relation").and_then(Value::text).is_some_and(|name| name == "next");
        let mut links = bundle.get("link").into_iter().flat_map(Value::items);
        let Some(next) = links.find(is_next).and_then(|link| link.get("url")).and_then(Value::text) else {
            return Ok(None);
        };
        let below = next.strip_prefix(&*self.base).and_then(|rest| rest.strip_prefix('/'));
        below.map(|target| Some(target.into())).ok_or(Unmerged::Cut)
    }

    /// How many resources the parts gave, and how many of them are in the answer: each once.
    pub fn counts(&self) -> (u64, u64) {
        (self.received, self.seen.len() as u64)
    }

    /// Closes the Bundle: `own` is its link, `left_out` the types whose searches were not permitted.
    pub fn close(self, own: &str, left_out: &[&str]) -> Merged {
        let mut out = BEGINNING.to_vec();
        out.extend_from_slice(
            format!(",\"total\":{},\"link\":[{{\"relation\":\"self\",\"url\":", self.matches).as_bytes(),
        );
        write_string(own, &mut out);
        out.extend_from_slice(b"}]");
        let mut entries = self.entries;
        if let Some(name) = Token128::random().filter(|_| !left_out.is_empty()) {
            let text = format!("Not permitted, and not in this answer: {}.", left_out.join(", "));
            let mut entry = format!("{{\"fullUrl\":\"urn:uuid:{}\",\"resource\":", name.uuid()).into_bytes();
            entry.extend(outcome::information("suppressed", &text));
            entry.extend_from_slice(b",\"search\":{\"mode\":\"outcome\"}}");
            join(&entry, &mut entries);
        }
        if !entries.is_empty() {
            out.extend_from_slice(b",\"entry\":[");
            out.append(&mut entries);
            out.push(b']');
        }
        out.push(b'}');
        Merged(out)
    }

    fn add(&mut self, entry: &[u8]) {
        join(entry, &mut self.entries);
    }

    /// The body of an answer, where there is room for it.
    async fn whole(&self, Answer(answer): Answer) -> Result<Bytes, Unmerged> {
        let (parts, body) = answer.into_parts();
        if parts.status != StatusCode::OK {
            return Err(Unmerged::Refused(parts.status));
        }
        let room = limits::EVERYTHING_BYTES.saturating_sub(self.entries.len());
        let mut body = match body {
            Body::Whole(bytes) => {
                let bytes = bytes.unwrap_or_default();
                return if bytes.len() > room { Err(Unmerged::TooLarge) } else { Ok(bytes) };
            }
            stream @ Body::Stream(_) => stream,
        };
        let mut held = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unmerged::Cut)?.into_data() else { continue };
            if held.len() + data.len() > room {
                return Err(Unmerged::TooLarge);
            }
            held.extend_from_slice(&data);
        }
        Ok(held.into())
    }
}

fn join(entry: &[u8], entries: &mut Vec<u8>) {
    if !entries.is_empty() {
        entries.push(b',');
    }
    entries.extend_from_slice(entry);
}
