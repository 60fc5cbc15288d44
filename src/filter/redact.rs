//! Writing a released resource: only what the decision lets out, under the gateway's name.
//!
//! An element list is an allow-list. What is not on it goes, and with it everything that could repeat it: narrative,
//! extensions of primitives, extensions inside what stays, contained resources, `meta` beyond version, time and labels.
//! Numbers and strings that stay are copied byte for byte.

use super::Bases;
use super::judge::{Judge, Release};
use super::tally::Tally;
use crate::decide::{ElementTree, Elements, Kept};
use crate::fhir::json::{Kind, Value, write_string};
use crate::fhir::name::ResourceType;
use crate::fhir::path::choice_bases;
use crate::fhir::subject;

/// The tag of a resource that is not complete (R4 2.20.2, `SUBSETTED`).
const SUBSETTED: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"subsetted"}"#;

/// Parts of `meta` that stay when a resource is redacted.
const META: &[&str] = &["versionId", "lastUpdated", "security"];

/// Writes `resource` to `out` as `release` permits.
pub(super) fn write(
    resource: Value<'_>,
    release: &Release<'_>,
    judge: &Judge<'_>,
    out: &mut Vec<u8>,
    tally: &mut Tally,
) {
    let bases = judge.bases();
    let writer = Writer {
        bases,
        judge,
        rewrites: judge.mentions_ehr(resource),
        drops_contained: !release.keep_contained,
        verbatim: release.verbatim && release.keep_contained,
    };
    let whole =
        matches!(release.elements, Elements::All) && release.asked_elements.is_empty() && release.keep_contained;
    if whole {
        writer.copy(resource, out);
    } else {
        writer.resource(release.resource_type, resource, release.elements, release.asked_elements, out);
        tally.redacted += 1;
    }
}

struct Writer<'w> {
    bases: Bases<'w>,
    judge: &'w Judge<'w>,
    /// Whether some string may name the EHR's base URL.
    rewrites: bool,
    drops_contained: bool,
    /// Whether what is kept of the resource needs no cleaning.
    verbatim: bool,
}

impl Writer<'_> {
    /// Writes a resource with a part of its elements, tagged as such.
    fn resource(
        &self,
        resource_type: ResourceType,
        resource: Value<'_>,
        elements: &Elements,
        asked: &[Box<str>],
        out: &mut Vec<u8>,
    ) {
        let names_subject = |name: &str| subject::elements(resource_type).any(|element| element == name);
        out.extend_from_slice(b"{\"resourceType\":");
        write_string(resource_type.as_str(), out);
        if let Some(id) = resource.get("id") {
            out.extend_from_slice(b",\"id\":");
            out.extend_from_slice(id.raw().as_bytes());
        }
        out.extend_from_slice(b",\"meta\":");
        self.meta(resource.get("meta"), matches!(elements, Elements::All), out);
        for member in resource.members().filter(|member| !matches!(member.name, "resourceType" | "id" | "meta")) {
            let plain = member.name.trim_start_matches('_');
            let wanted = asked.is_empty()
                || names_subject(plain)
                || is_named(plain, |name| asked.iter().any(|one| &**one == name));
            if !wanted {
                continue;
            }
            let mark = out.len();
            out.push(b',');
            write_string(member.name, out);
            out.push(b':');
            let written = match (member.name, elements) {
                ("contained", _) if self.drops_contained => false,
                ("contained", Elements::Only(tree)) => {
                    matches!(tree.child("contained"), Kept::Whole) && self.contained(member.value, out)
                }
                (_, Elements::All) => {
                    self.copy(member.value, out);
                    true
                }
                (name, Elements::Only(_)) if names_subject(name) => self.clean(member.value, out),
                (name, Elements::Only(tree)) => self.kept(tree.child(name), member.value, out),
            };
            if !written {
                out.truncate(mark);
            }
        }
        out.push(b'}');
    }

    fn meta(&self, meta: Option<Value<'_>>, whole: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        for member in meta.into_iter().flat_map(Value::members) {
            if member.name != "tag" && (whole || META.contains(&member.name)) {
                write_string(member.name, out);
                out.push(b':');
                self.copy(member.value, out);
                out.push(b',');
            }
        }
        out.extend_from_slice(b"\"tag\":[");
        for tag in meta.and_then(|meta| meta.get("tag")).into_iter().filter(|_| whole).flat_map(Value::items) {
            self.copy(tag, out);
            out.push(b',');
        }
        out.extend_from_slice(SUBSETTED.as_bytes());
        out.extend_from_slice(b"]}");
    }

    fn contained(&self, contained: Value<'_>, out: &mut Vec<u8>) -> bool {
        let mark = out.len();
        out.push(b'[');
        for resource in contained.each() {
            let Some((resource_type, elements)) = self.judge.contained_elements(resource) else { continue };
            if out.last() != Some(&b'[') {
                out.push(b',');
            }
            match elements {
                Elements::All => self.copy(resource, out),
                Elements::Only(_) => self.resource(resource_type, resource, elements, &[], out),
            }
        }
        out.push(b']');
        let empty = out.len() == mark + 2;
        !empty
    }

    fn kept(&self, kept: Kept<'_>, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match kept {
            Kept::No => false,
            Kept::Whole => self.clean(value, out),
            Kept::Part(tree) => self.part(tree, value, out),
        }
    }

    /// Writes the listed elements of a complex value; tells whether anything is left of it.
    fn part(&self, tree: &ElementTree, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match value.kind() {
            Kind::Array => self.items(value, out, |item, out| self.part(tree, item, out)),
            Kind::Object => self.members(value, out, |name, member, out| self.kept(tree.child(name), member, out)),
            _ => false,
        }
    }

    /// Writes a value without extensions, and without references to contained resources that do not leave.
    fn clean(&self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        if self.verbatim {
            self.copy(value, out);
            return true;
        }
        match value.kind() {
            Kind::Array => self.items(value, out, |item, out| self.clean(item, out)),
            Kind::Object => self.members(value, out, |name, member, out| {
                let dangling = self.drops_contained
                    && name == "reference"
                    && member.text().is_some_and(|text| text.starts_with('#'));
                name != "extension" && !dangling && self.clean(member, out)
            }),
            Kind::Null => false,
            _ => {
                self.copy(value, out);
                true
            }
        }
    }

    fn items<'v>(
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

    fn members<'v>(
        &self,
        object: Value<'v>,
        out: &mut Vec<u8>,
        mut write: impl FnMut(&str, Value<'v>, &mut Vec<u8>) -> bool,
    ) -> bool {
        out.push(b'{');
        let first = out.len();
        for member in object.members().filter(|member| !member.name.starts_with('_')) {
            let mark = out.len();
            if mark != first {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(member.name.as_bytes());
            out.extend_from_slice(b"\":");
            if !write(member.name, member.value, out) {
                out.truncate(mark);
            }
        }
        out.push(b'}');
        out.len() > first + 1
    }

    /// Copies a value byte for byte, but for URLs of the EHR, which become the gateway's.
    fn copy(&self, value: Value<'_>, out: &mut Vec<u8>) {
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

fn is_named(name: &str, known: impl Fn(&str) -> bool) -> bool {
    known(name) || choice_bases(name).any(known)
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
