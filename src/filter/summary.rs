//! The summary of a resource, cut from what may leave of it.
//!
//! Takes: a resource as it was written. Gives: less of it, tagged as such. Guarantees: nothing that was not released; what
//! says whose record it is stays, and so does what modifies the meaning of the rest. Refuses: to guess: what cannot be read
//! again leaves as a resource without elements.

use super::redact::SUBSETTED;
use crate::fhir::json::{Kind, Tape, Value, write_string};
use crate::fhir::name::ResourceType;
use crate::fhir::subject;
use crate::fhir::summary::{Marked, Marks};
use crate::understand::Summary;

/// Replaces the resource that begins in `out` at `mark` by its summary.
pub(super) fn cut(summary: Summary, resource_type: ResourceType, mark: usize, out: &mut Vec<u8>) {
    let written = out.split_off(mark);
    let mut tape = Tape::new();
    let resource = tape.read(&written).ok().map(crate::fhir::json::Document::root);
    out.extend_from_slice(b"{\"resourceType\":");
    write_string(resource_type.as_str(), out);
    if let Some(id) = resource.and_then(|resource| resource.get("id")) {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id.raw().as_bytes());
    }
    out.extend_from_slice(b",\"meta\":");
    meta(resource.and_then(|resource| resource.get("meta")), out);
    let marks = Marks::of(resource_type);
    for member in resource.into_iter().flat_map(Value::members) {
        let plain = member.name.strip_prefix('_').unwrap_or(member.name);
        let marked = match (summary, plain) {
            (_, "resourceType" | "id" | "meta") => continue,
            (Summary::Data, "text") => Marked::No,
            (Summary::Data | Summary::Whole, _) | (_, "modifierExtension") => Marked::Whole,
            (Summary::Marked, _) if subject::paths(resource_type).iter().any(|path| path.first() == plain) => {
                Marked::Whole
            }
            (Summary::Marked, _) => marks.map_or(Marked::No, |marks| marks.member(plain)),
        };
        let begin = out.len();
        name(member.name, out);
        let written = match (summary, marked) {
            (Summary::Marked, marked) => part(marked, member.value, out),
            (_, Marked::No) => false,
            _ => copy(member.value, out),
        };
        if !written {
            out.truncate(begin);
        }
    }
    out.push(b'}');
}

/// Writes `meta` with the tag.
fn meta(meta: Option<Value<'_>>, out: &mut Vec<u8>) {
    let tags = || meta.and_then(|meta| meta.get("tag")).into_iter().flat_map(Value::items);
    let is_tagged = tags().any(|tag| tag.get("code").and_then(Value::text).is_some_and(|code| code == "SUBSETTED"));
    out.push(b'{');
    for member in meta.into_iter().flat_map(Value::members).filter(|member| member.name != "tag") {
        write_string(member.name, out);
        out.push(b':');
        out.extend_from_slice(member.value.raw().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"tag\":[");
    for tag in tags() {
        out.extend_from_slice(tag.raw().as_bytes());
        out.push(b',');
    }
    if is_tagged {
        out.pop();
    } else {
        out.extend_from_slice(SUBSETTED.as_bytes());
    }
    out.extend_from_slice(b"]}");
}

/// Writes what is marked of a value.
fn part(marked: Marked, value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match (marked, value.kind()) {
        (Marked::No, _) => false,
        (_, Kind::Array) => {
            out.push(b'[');
            let first = out.len();
            for item in value.items() {
                let mark = out.len();
                if mark != first {
                    out.push(b',');
                }
                if !part(marked, item, out) {
                    out.truncate(mark);
                }
            }
            out.push(b']');
            out.len() > first + 1
        }
        (_, Kind::Object) => {
            out.push(b'{');
            let first = out.len();
            for member in value.members() {
                let plain = member.name.strip_prefix('_').unwrap_or(member.name);
                let below = match marked {
                    // The content of an Attachment, a SampledData or a Signature; elsewhere `data` is no text.
                    Marked::Whole if plain == "data" && member.value.kind() == Kind::String => Marked::No,
                    Marked::Part(_) if plain == "modifierExtension" => Marked::Whole,
                    Marked::Part(parts) => parts.member(plain),
                    whole => whole,
                };
                let mark = out.len();
                name(member.name, out);
                if mark == first && out.get(mark) == Some(&b',') {
                    out.remove(mark);
                }
                if !part(below, member.value, out) {
                    out.truncate(mark);
                }
            }
            out.push(b'}');
            out.len() > first + 1
        }
        // The place of a repetition that has nothing but extensions, or none.
        (Marked::Part(_), _) => false,
        (Marked::Whole, _) => copy(value, out),
    }
}

fn copy(value: Value<'_>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value.raw().as_bytes());
    true
}

fn name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
