//! Writing a released resource: only what the decision lets out, under the gateway's name.
//!
//! An element list is an allow-list. What is not on it goes, and with it everything that could repeat it: narrative,
//! extensions of primitives, extensions inside what stays, contained resources, `meta` beyond version, time and labels,
//! what references say beside where they lead. References that must not leave (see `closure`) go from whatever leaves.
//! Numbers and strings that stay are copied byte for byte.

mod copy;
mod mark;
mod values;

use copy::Care;
pub(super) use copy::renames;
use mark::{is_mark, may_be_marked, write_mark};

use super::closure::describes_content;
use super::judge::{Judge, Release};
use super::tally::Tally;
use super::{Bases, summary};
use crate::authorship::Verdict;
use crate::decide::{Elements, Kept};
use crate::fhir::json::{Kind, Value, is_link, write_string};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::path::choice_bases;
use crate::fhir::subject;
use crate::understand::Summary;

/// The tag of a resource that is not complete (R4 2.20.2, `SUBSETTED`).
pub(super) const SUBSETTED: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"subsetted"}"#;

/// Parts of `meta` that stay when a resource is redacted.
const META: &[&str] = &["versionId", "lastUpdated", "security"];

/// Writes `resource` to `out` as `release` permits. Whether nothing was removed from it.
pub(super) fn write(
    resource: Value<'_>,
    release: &Release<'_>,
    judge: &Judge<'_>,
    out: &mut Vec<u8>,
    tally: &mut Tally,
) -> bool {
    let bases = judge.bases();
    let cuts = release.astray;
    let drops_contained = !release.keep_contained;
    let links = cuts && describes_content(release.resource_type);
    let document = resource.get("id").filter(|_| links).and_then(Value::text);
    let writer = Writer {
        bases,
        judge,
        rewrites: judge.mentions_ehr(resource),
        drops_contained,
        inside: release.inside,
        redacts_contained: release.redacts_contained,
        verbatim: release.verbatim && !drops_contained && !cuts && !holds_narrative(release.resource_type),
        cuts,
        drops_narrative: cuts || drops_contained || release.redacts_contained,
        document: document.and_then(|id| Id::parse(&id).ok()),
    };
    let whole = release.is_whole();
    let mark = out.len();
    match release.authorship {
        verdict if whole && (verdict.is_some() || may_be_marked(resource)) => writer.marked(resource, verdict, out),
        None if whole => writer.copy(resource, out),
        verdict => {
            writer.resource(release.resource_type, resource, release.elements, release.asked_elements, verdict, out);
        }
    }
    if release.summary != Summary::Whole {
        summary::cut(release.summary, release.resource_type, mark, out);
    }
    tally.redacted += u32::from(!whole || release.summary != Summary::Whole);
    whole
}

struct Writer<'w> {
    bases: Bases<'w>,
    judge: &'w Judge<'w>,
    /// Whether some string may name the EHR's base URL.
    rewrites: bool,
    drops_contained: bool,
    /// Whether what is contained leaves, so that references to it lead somewhere.
    inside: bool,
    /// Whether of something that is contained only a part leaves.
    redacts_contained: bool,
    /// Whether what is kept of the resource needs no cleaning.
    verbatim: bool,
    /// Whether something must go from what is kept whole as well.
    cuts: bool,
    /// Whether narrative could tell what is removed from what is kept whole.
    drops_narrative: bool,
    /// The id of the document, where it is one and its content may be linked.
    document: Option<Id>,
}

impl Writer<'_> {
    /// Writes a resource with a part of its elements, tagged as such.
    fn resource(
        &self,
        resource_type: ResourceType,
        resource: Value<'_>,
        elements: &Elements,
        asked: &[Box<str>],
        verdict: Option<Verdict>,
        out: &mut Vec<u8>,
    ) {
        let path_to_subject = |name: &str| subject::paths(resource_type).iter().find(|path| path.first() == name);
        out.extend_from_slice(b"{\"resourceType\":");
        write_string(resource_type.as_str(), out);
        if let Some(id) = resource.get("id") {
            out.extend_from_slice(b",\"id\":");
            out.extend_from_slice(id.raw().as_bytes());
        }
        out.extend_from_slice(b",\"meta\":");
        self.meta(resource.get("meta"), matches!(elements, Elements::All), verdict, out);
        for member in resource.members().filter(|member| !matches!(member.name, "resourceType" | "id" | "meta")) {
            let plain = member.name.strip_prefix('_').unwrap_or(member.name);
            let wanted = asked.is_empty()
                || path_to_subject(plain).is_some()
                || is_named(plain, |name| asked.iter().any(|one| &**one == name));
            let (own, kept) = (path_to_subject(member.name), elements.child(member.name));
            let repeats = match elements {
                // Nothing but an extension stands there.
                Elements::Only(_) => plain != member.name && kept == Kept::Whole,
                // Narrative tells what the elements say, those that are cut among them.
                Elements::All => self.drops_narrative && member.name == "text",
            };
            let barred = self.cuts && is_link(member.name) && !self.leads_openly(member.value);
            if !wanted || repeats || barred || (kept == Kept::No && own.is_none()) {
                continue;
            }
            let mark = out.len();
            out.extend_from_slice(b",\"");
            out.extend_from_slice(member.name.as_bytes());
            out.extend_from_slice(b"\":");
            let written = match (member.name, elements) {
                ("contained", _) if self.drops_contained => false,
                ("contained", _) => kept == Kept::Whole && self.contained(member.value, out),
                (_, Elements::All) => self.spare(member.value, out),
                (_, Elements::Only(_)) => match own {
                    Some(path) => self.subject(&mut path.steps(), kept, member.value, out),
                    None => self.kept(kept, member.name, member.value, out),
                },
            };
            if !written {
                out.truncate(mark);
            }
        }
        out.push(b'}');
    }

    fn meta(&self, meta: Option<Value<'_>>, whole: bool, verdict: Option<Verdict>, out: &mut Vec<u8>) {
        out.push(b'{');
        for member in meta.into_iter().flat_map(Value::members) {
            if member.name != "tag" && (whole || META.contains(&member.name)) {
                let mark = out.len();
                write_string(member.name, out);
                out.push(b':');
                let written =
                    if whole { self.spare(member.value, out) } else { self.clean(member.name, member.value, out) };
                if written { out.push(b',') } else { out.truncate(mark) }
            }
        }
        out.extend_from_slice(b"\"tag\":[");
        let tags = meta.and_then(|meta| meta.get("tag")).into_iter().filter(|_| whole).flat_map(Value::items);
        for tag in tags.filter(|tag| !is_mark(*tag)) {
            if self.spare(tag, out) {
                out.push(b',');
            }
        }
        if let Some(verdict) = verdict {
            write_mark(verdict, out);
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
                Elements::All if !self.cuts && may_be_marked(resource) => self.marked(resource, None, out),
                Elements::All if !self.cuts => self.copy(resource, out),
                _ => self.resource(resource_type, resource, elements, &[], None, out),
            }
        }
        out.push(b']');
        let empty = out.len() == mark + 2;
        !empty
    }

    /// Writes what is kept of the element that names the patient, the first of `steps`, and in any case the reference to the
    /// patient at their end. Who else is named there leaves only where the list says so.
    fn subject<'s>(
        &self,
        steps: &mut (impl Iterator<Item = &'s str> + Clone),
        kept: Kept<'_>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        if value.kind() == Kind::Array {
            return self.items(value, out, |item, out| self.subject(&mut steps.clone(), kept, item, out));
        }
        if self.cuts && self.judge.bars_reference(value, self.inside) {
            return false;
        }
        let tree = match kept {
            Kept::Whole => return self.clean(steps.next().unwrap_or_default(), value, out),
            Kept::Part(tree) => Some(tree),
            Kept::No => None,
            Kept::Some(slices) => match slices.of(value) {
                Kept::No => None,
                slice => return self.subject(steps, slice, value, out),
            },
        };
        steps.next();
        let below = |name: &str| tree.map_or(Kept::No, |tree| tree.child(name));
        let step = steps.clone().next();
        let is_patient = step.is_none() && self.judge.names_patient(value);
        self.members(value, Care::Strict, out, |name, member, out| match step {
            Some(step) if step == name => self.subject(&mut steps.clone(), below(name), member, out),
            None if name == "reference" && is_patient => self.clean(name, member, out),
            _ => self.kept(below(name), name, member, out),
        })
    }
}

/// Whether resources of this type hold narrative elsewhere than at their beginning.
fn holds_narrative(resource_type: ResourceType) -> bool {
    resource_type.as_str() == "Composition"
}

fn is_named(name: &str, known: impl Fn(&str) -> bool) -> bool {
    known(name) || choice_bases(name).any(known)
}
