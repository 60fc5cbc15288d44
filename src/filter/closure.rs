//! What leads out of a released resource: references and links.
//!
//! Takes: the references and URLs in a resource that may leave. Gives: which of them must not. Guarantees: nothing that
//! leaves names a patient whose data may not be released, a resource that was withheld from the same answer, something
//! contained that does not leave, or content that no link was sealed for; a reference repeats nothing that is removed where
//! it leads to. Refuses: to read a reference kindly: one whose destination cannot be told leads to what must not be named.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use memchr::memmem;
use percent_encoding::percent_decode_str;

use super::judge::Judge;
use super::tally::Withheld;
use crate::decide::{Elements, Kept};
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::{Destination, Reference, may_step};
use crate::fhir::subject;
use crate::limits;

/// Makes links to the content of documents.
pub trait ContentLinks {
    /// A sealed link to the content in `binary`, of which the released document `document` says that it is of `media`.
    /// `None` where there can be none.
    fn link(&self, document: &Id, binary: &Id, media: Option<&str>) -> Option<String>;
}

/// Resources that were withheld from an answer, by their hashes: so many take little room.
#[derive(Debug, Default)]
pub(super) struct WithheldNames {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl WithheldNames {
    /// Notes a resource that may not leave for what it is; one that was just not asked for is no secret.
    pub(super) fn note(&mut self, reason: Withheld, resource: &Reference) {
        let secret = !matches!(reason, Withheld::Include | Withheld::Query | Withheld::Malformed);
        if secret && self.hashes.len() < limits::WITHHELD_NAMES {
            self.hashes.insert(self.hasher.hash_one((resource.resource_type, resource.id.as_str())));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn holds(&self, resource_type: ResourceType, id: &str) -> bool {
        !self.is_empty() && self.hashes.contains(&self.hasher.hash_one((resource_type, id)))
    }
}

/// Where a URL in a resource leads.
pub(super) enum Link {
    /// Where anybody may be led.
    Open,
    /// To the content of a Binary of the EHR.
    Content(Id),
    /// Where nobody may be led.
    Barred,
}

impl Judge<'_> {
    /// Whether some reference in a resource of these patients must not leave; `inside` tells whether what is contained
    /// does.
    pub(super) fn leads_astray(&self, resource: Value<'_>, patients: &[Id], inside: bool) -> bool {
        let mut logical = resource.traits().unattached;
        let literal = resource.pointers().any(|member| match member.value.kind() {
            Kind::String if member.name == "reference" => member.value.text().is_none_or(|text| {
                let own = text.strip_prefix("Patient/");
                let is_own = own.is_some_and(|id| patients.iter().any(|patient| patient.as_str() == id));
                !is_own && self.bars(&text, inside)
            }),
            Kind::Array if member.name == "reference" => is_several(member.value),
            Kind::Object if member.name == "identifier" => {
                logical = true;
                false
            }
            _ => false,
        });
        literal || (logical && resource.below().any(|(_, value)| self.bars_reference(value, inside)))
    }

    /// Whether this is a Reference that must not leave.
    pub(super) fn bars_reference(&self, value: Value<'_>, inside: bool) -> bool {
        if value.kind() != Kind::Object {
            return false;
        }
        match value.get("reference") {
            Some(reference) if reference.kind() == Kind::String => {
                reference.text().is_none_or(|text| self.bars(&text, inside))
            }
            Some(reference) if is_several(reference) => true,
            _ => {
                let speaks = value.get("display").is_some()
                    || value.get("identifier").is_some_and(|identifier| identifier.kind() == Kind::Object);
                speaks && stated_type(value).is_some_and(|name| name.eq_ignore_ascii_case("Patient"))
            }
        }
    }

    fn bars(&self, text: &str, inside: bool) -> bool {
        match Destination::of(text, &self.ehr()) {
            Some(Destination::Here(resource_type, id)) => match resource_type.as_str() {
                "Patient" => !Id::parse(id).is_ok_and(|id| self.question().admits(&id)),
                "Binary" => true,
                _ => self.withheld_names().holds(resource_type, id),
            },
            // The resource itself is named by what it contains.
            Some(Destination::Inside(id)) => !inside && !id.is_empty(),
            // A name that this very server may have as well.
            Some(Destination::Elsewhere(resource_type, id)) => {
                !is_neutral(resource_type) || self.withheld_names().holds(resource_type, id)
            }
            None => true,
        }
    }

    /// Where a URL leads that is no Reference. One that is not understood leads to no resource, unless it could be taken for
    /// one of a Binary, or of the EHR's patients and records.
    pub(super) fn link(&self, url: &str) -> Link {
        let destination = Destination::of(url, &self.ehr());
        let is_barred = match destination {
            Some(Destination::Here(resource_type, id)) if resource_type.as_str() == "Binary" => {
                return Id::parse(id).map_or(Link::Barred, Link::Content);
            }
            Some(Destination::Here(resource_type, id)) => match resource_type.as_str() {
                "Patient" => !Id::parse(id).is_ok_and(|id| self.question().admits(&id)),
                _ => self.withheld_names().holds(resource_type, id),
            },
            Some(Destination::Elsewhere(resource_type, id)) => {
                matches!(resource_type.as_str(), "Patient" | "Binary") || self.withheld_names().holds(resource_type, id)
            }
            Some(Destination::Inside(_)) => false,
            None => self.may_be_ours(url),
        };
        if is_barred || may_step(url, "Binary") { Link::Barred } else { Link::Open }
    }

    /// Whether a URL that is not understood names a type that is somebody's: where it is relative or below the EHR's base at
    /// all, in other letters or on some other web server, which may be the EHR by another name, with a path that goes on.
    fn may_be_ours(&self, url: &str) -> bool {
        let below = url.strip_prefix(self.bases().ehr).or_else(|| (!url.contains(':')).then_some(url));
        let scheme = url.split_once(':').map(|(scheme, _)| scheme.trim().to_ascii_lowercase());
        let elsewhere =
            scheme.filter(|scheme| matches!(&**scheme, "http" | "https")).and_then(|_| url.split(['?', '#']).next());
        let Some(url) = below.or(elsewhere) else { return false };
        let path = percent_decode_str(url).decode_utf8_lossy();
        let all = path.split(['/', '?', '#', '\\', ' ', '|', '=', '&']).filter(|step| !step.is_empty());
        let mut steps = all.peekable();
        while let Some(step) = steps.next() {
            let goes_on = steps.peek().is_some();
            let exact = ResourceType::parse(step).ok().filter(|_| goes_on || below.is_some());
            let named = |of: &ResourceType| goes_on && of.as_str().eq_ignore_ascii_case(step);
            if exact.or_else(|| ResourceType::all().find(named)).is_some_and(|of| !is_neutral(of)) {
                return true;
            }
        }
        false
    }

    /// Whether the `display` of a Reference may say what is removed from the resource that it leads to: the name of a party
    /// or place. What it says of a record is removed in any case, because the record itself may have to be withheld, which
    /// is not known where the EHR did not give it; so is what it says of nobody knows what.
    pub(super) fn display_repeats(&self, value: Value<'_>) -> bool {
        let target = match value.get("reference").and_then(Value::text) {
            Some(text) => Reference::parse(&text, &self.ehr()).map(|reference| reference.resource_type),
            None => stated_type(value).and_then(|name| ResourceType::parse(&name).ok()),
        };
        let elements = target.and_then(|target| self.question().rule(target)).map(|rule| &rule.elements);
        match elements {
            None => true,
            Some(_) if target.is_some_and(is_record) => true,
            Some(Elements::All) => false,
            Some(Elements::Only(tree)) => ["name", "code"].iter().all(|name| tree.child(name) != Kept::Whole),
        }
    }

    /// Whether a reference leads to a patient's record, or to what is contained, which may be one.
    pub(super) fn leads_to_record(&self, reference: &str) -> bool {
        match Destination::of(reference, &self.ehr()) {
            Some(Destination::Here(resource_type, _) | Destination::Elsewhere(resource_type, _)) => {
                is_record(resource_type)
            }
            Some(Destination::Inside(_)) | None => true,
        }
    }

    /// Whether a Reference names a patient whose data may be released.
    pub(super) fn names_patient(&self, value: Value<'_>) -> bool {
        let text = value.get("reference").and_then(Value::text);
        let named = text.and_then(|text| Reference::parse(&text, &self.ehr()));
        named.is_some_and(|named| named.resource_type.as_str() == "Patient" && self.question().admits(&named.id))
    }

    /// Where links to content may be made: the decision must release content as such.
    pub(super) fn content_links(&self) -> Option<&dyn ContentLinks> {
        let binary = ResourceType::parse("Binary").ok().and_then(|binary| self.question().rule(binary));
        self.links().filter(|_| binary.is_some_and(|rule| rule.elements.child("data") == Kept::Whole))
    }

    /// Whether what is written already names something that was withheld later.
    pub(super) fn is_named_in(&self, written: &[u8]) -> bool {
        !self.withheld_names().is_empty() && POINTERS.iter().any(|name| self.is_named_after(name, written))
    }

    fn is_named_after(&self, name: &[u8], written: &[u8]) -> bool {
        memmem::find_iter(written, name).any(|at| {
            let after = written.get(at + name.len()..).unwrap_or_default();
            let mut text = after.splitn(3, |byte| *byte == b'"');
            let text = text.nth(1).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
            let own = text.strip_prefix(self.bases().gateway).and_then(|text| text.strip_prefix('/')).unwrap_or(text);
            text.contains('\\')
                || match Destination::of(own, &self.ehr()) {
                    Some(Destination::Here(resource_type, id) | Destination::Elsewhere(resource_type, id)) => {
                        self.withheld_names().holds(resource_type, id)
                    }
                    Some(Destination::Inside(_)) | None => false,
                }
        })
    }
}

/// The ends of the names of members that lead elsewhere, as they are written: `reference` and what
/// [`crate::fhir::json::is_link`] knows.
const POINTERS: &[&[u8]] = &[
    b"\"reference\"",
    b"\"url\"",
    b"\"uri\"",
    b"\"valueUrl\"",
    b"\"valueUri\"",
    b"\"valueCanonical\"",
    b"\"valueOid\"",
    b"\"instantiatesUri\"",
    b"\"instantiatesCanonical\"",
    b"\"implicitRules\"",
];

/// Whether a `reference` is a list of texts, which R4 has nowhere.
fn is_several(reference: Value<'_>) -> bool {
    reference.items().any(|item| item.kind() != Kind::Object)
}

/// The type that a Reference states beside where it leads: a name, or the URL of its definition.
fn stated_type(value: Value<'_>) -> Option<String> {
    let stated = value.get("type").and_then(Value::text)?;
    let name = stated.split('|').next().unwrap_or_default().trim().trim_end_matches('/').rsplit('/').next();
    name.map(ToOwned::to_owned)
}

fn is_record(resource_type: ResourceType) -> bool {
    let is_owned = subject::parameter(resource_type).is_some() || subject::is_about_many(resource_type);
    is_owned && resource_type.as_str() != "Patient"
}

/// Whether a resource of this type is nobody's record: a party, a place, a product, a definition.
fn is_neutral(resource_type: ResourceType) -> bool {
    !is_record(resource_type) && resource_type.as_str() != "Patient"
}

/// Whether resources of this type hold documents' content.
pub(super) fn describes_content(resource_type: ResourceType) -> bool {
    resource_type.as_str() == "DocumentReference"
}
