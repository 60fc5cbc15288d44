//! The mark that says who is responsible for a record: a tag, which only the gateway writes.
//!
//! Takes: a resource that leaves, and the verdict where there is one. Gives: the resource with that one tag, or with none,
//! whatever the EHR wrote there, on the resource or on what it contains. Guarantees: everything else is copied byte for byte.
//! Refuses: a `meta` that is no object, and tags that are none; they go.

use memchr::memmem;

use super::Writer;
use crate::authorship::Verdict;
use crate::fhir::json::{Kind, Value, write_string};

/// The system of the tag.
const SYSTEM: &str = "urn:portcullis:authorship";

/// Whether a resource may hold such a tag: a cheap question before a thorough one.
pub(super) fn may_be_marked(resource: Value<'_>) -> bool {
    let contained = resource.get("contained").into_iter().flat_map(Value::each);
    let metas = std::iter::once(resource).chain(contained).filter_map(|resource| resource.get("meta"));
    let mut tags = metas.filter_map(|meta| meta.get("tag")).flat_map(Value::each);
    resource.traits().veiled
        || memmem::find(resource.raw().as_bytes(), SYSTEM.as_bytes()).is_some()
        || tags.any(is_mark)
}

impl Writer<'_> {
    /// Copies a whole resource with its mark, and no other.
    pub(super) fn marked(&self, resource: Value<'_>, verdict: Option<Verdict>, out: &mut Vec<u8>) {
        let mut has_meta = false;
        out.push(b'{');
        let first = out.len();
        for member in resource.members() {
            if member.name == "meta" && member.value.kind() != Kind::Object {
                continue;
            }
            write_name(member.name, first, out);
            match member.name {
                "meta" => {
                    has_meta = true;
                    self.marked_meta(Some(member.value), verdict, out);
                }
                "contained" => self.unmarked(member.value, out),
                _ => self.copy(member.value, out),
            }
        }
        if !has_meta && verdict.is_some() {
            write_name("meta", first, out);
            self.marked_meta(None, verdict, out);
        }
        out.push(b'}');
    }

    /// Copies what is contained without any mark.
    pub(super) fn unmarked(&self, contained: Value<'_>, out: &mut Vec<u8>) {
        match contained.kind() {
            Kind::Object => self.marked(contained, None, out),
            Kind::Array => {
                out.push(b'[');
                for (at, item) in contained.items().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.unmarked(item, out);
                }
                out.push(b']');
            }
            _ => self.copy(contained, out),
        }
    }

    fn marked_meta(&self, meta: Option<Value<'_>>, verdict: Option<Verdict>, out: &mut Vec<u8>) {
        out.push(b'{');
        let first = out.len();
        for member in meta.into_iter().flat_map(Value::members).filter(|member| member.name != "tag") {
            write_name(member.name, first, out);
            self.copy(member.value, out);
        }
        let tags =
            || meta.and_then(|meta| meta.get("tag")).into_iter().flat_map(Value::each).filter(|tag| !is_mark(*tag));
        if verdict.is_some() || tags().next().is_some() {
            write_name("tag", first, out);
            out.push(b'[');
            let begin = out.len();
            for tag in tags() {
                write_comma(begin, out);
                self.copy(tag, out);
            }
            if let Some(verdict) = verdict {
                write_comma(begin, out);
                write_mark(verdict, out);
            }
            out.push(b']');
        }
        out.push(b'}');
    }
}

fn write_comma(first: usize, out: &mut Vec<u8>) {
    if out.len() > first {
        out.push(b',');
    }
}

fn write_name(name: &str, first: usize, out: &mut Vec<u8>) {
    write_comma(first, out);
    write_string(name, out);
    out.push(b':');
}

/// Writes the tag.
pub(super) fn write_mark(verdict: Verdict, out: &mut Vec<u8>) {
    for part in ["{\"system\":\"", SYSTEM, "\",\"code\":\"", verdict.as_str(), "\"}"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Whether the EHR wrote such a tag, or what somebody could take for one.
pub(super) fn is_mark(tag: Value<'_>) -> bool {
    let system = tag.get("system").map(|system| system.text());
    tag.kind() != Kind::Object
        || system.is_some_and(|text| text.is_none_or(|text| text.trim().eq_ignore_ascii_case(SYSTEM)))
}
