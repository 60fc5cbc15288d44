//! Writing values out: arrays, objects, and copies byte for byte.
//!
//! Takes: a value, and what to do with each part of it. Gives: JSON without gaps where parts went. Guarantees: what is copied is
//! what the EHR wrote, but for its own address, which becomes the gateway's. Refuses: links that must not leave.

use super::super::Bases;
use super::super::closure::Link;
use super::Writer;
use crate::fhir::json::{Kind, Value, is_link, write_string};
use crate::fhir::name::Id;

/// What is cleaned out of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Only what must not leave at all.
    Spare,
    /// That, and whatever could repeat what is removed.
    Strict,
}

impl Writer<'_> {
    pub(super) fn items<'v>(
        &self,
        array: Value<'v>,
        out: &mut Vec<u8>,
        mut write: impl FnMut(Value<'v>, &mut Vec<u8>) -> bool,
    ) -> bool {
        out.push(b'[');
        let first = out.len();
        for item in array.items() {
            let mark = out.len();
            if mark != first {
                out.push(b',');
            }
            if !write(item, out) {
                out.truncate(mark);
            }
        }
        out.push(b']');
        out.len() > first + 1
    }

    pub(super) fn members<'v>(
        &self,
        object: Value<'v>,
        care: Care,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&str, Value<'v>, &mut Vec<u8>) -> bool,
    ) -> bool {
        out.push(b'{');
        let first = out.len();
        for member in object.members().filter(|member| care == Care::Spare || !member.name.contains('_')) {
            let mark = out.len();
            if mark != first {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(member.name.as_bytes());
            out.extend_from_slice(b"\":");
            let begin = out.len();
            let written = write(member.name, member.value, out);
            let leads = written && self.cuts && is_link(member.name);
            let stays = match (member.value.text().filter(|_| leads)).map(|url| self.judge.link(&url)) {
                // Of a list of URLs nothing stays that one of them does not leave by.
                None if leads => written && self.leads_openly(member.value),
                None | Some(Link::Open) => written,
                Some(Link::Barred) => false,
                Some(Link::Content(binary)) => {
                    out.truncate(begin);
                    member.name == "url" && self.link(&binary, object, out)
                }
            };
            if !stays {
                out.truncate(mark);
            }
        }
        out.push(b'}');
        out.len() > first + 1
    }

    /// Whether every URL in a value leads where anybody may be led.
    pub(super) fn leads_openly(&self, urls: Value<'_>) -> bool {
        urls.each().filter_map(Value::text).all(|url| matches!(self.judge.link(&url), Link::Open))
    }

    /// Writes a sealed link to the content of an attachment; tells whether there is one.
    fn link(&self, binary: &Id, attachment: Value<'_>, out: &mut Vec<u8>) -> bool {
        let media = attachment.get("contentType").and_then(Value::text);
        let sealed = self.document.as_ref().zip(self.judge.content_links());
        match sealed.and_then(|(document, links)| links.link(document, binary, media.as_deref())) {
            Some(link) => write_string(&link, out),
            None => return false,
        }
        true
    }

    /// Copies a value byte for byte, but for URLs of the EHR, which become the gateway's.
    pub(super) fn copy(&self, value: Value<'_>, out: &mut Vec<u8>) {
        if !self.rewrites {
            out.extend_from_slice(value.raw().as_bytes());
            return;
        }
        match value.kind() {
            Kind::Array => {
                out.push(b'[');
                for (at, item) in value.items().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.copy(item, out);
                }
                out.push(b']');
            }
            Kind::Object => {
                out.push(b'{');
                for (at, member) in value.members().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    out.extend_from_slice(member.name.as_bytes());
                    out.extend_from_slice(b"\":");
                    self.copy(member.value, out);
                }
                out.push(b'}');
            }
            Kind::String => match value.text().and_then(|text| renamed(&text, self.bases)) {
                Some(text) => write_string(&text, out),
                None => out.extend_from_slice(value.raw().as_bytes()),
            },
            _ => out.extend_from_slice(value.raw().as_bytes()),
        }
    }
}

/// Whether some text in a value is written otherwise for the EHR's base in it.
pub(in super::super) fn renames(value: Value<'_>, bases: Bases<'_>) -> bool {
    value.below().any(|(_, value)| value.text().is_some_and(|text| renamed(&text, bases).is_some()))
}

/// The text with every URL below the EHR's base moved below the gateway's; `None` where there is none.
/// The base counts only where it ends as a URL's base does: `http://ehr/fhir` is not in `http://ehr/fhir2`.
fn renamed(text: &str, bases: Bases<'_>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find(bases.ehr) {
        let (before, from) = rest.split_at(at);
        let after = from.get(bases.ehr.len()..).unwrap_or_default();
        let ends = after
            .chars()
            .next()
            .is_none_or(|next| !(next.is_ascii_alphanumeric() || matches!(next, '-' | '_' | '.' | '%' | '~')));
        out.push_str(before);
        out.push_str(if ends { bases.gateway } else { bases.ehr });
        changed |= ends;
        rest = after;
    }
    out.push_str(rest);
    changed.then_some(out)
}
