//! People and organisations, and the references that lead to them.
//!
//! Takes: Practitioner, PractitionerRole, Organization, Patient, RelatedPerson and Device resources, and References.
//! Gives: a [`Party`] with its identifiers, and a [`Link`] to one. Guarantees: what stands beside a reference is kept, so
//! that a disagreement can be found. Refuses: to follow a reference whose `type` says another type than its text.

use std::borrow::Cow;

use super::names::{Name, Names};
use crate::fhir::identifier::Identifier;
use crate::fhir::json::Value;
use crate::limits;

/// From a contained role to a contained practitioner, and no further: longer chains only turn in circles.
const CONTAINED_STEPS: u8 = 2;

/// What kind of resource a reference is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Practitioner,
    Role,
    Organization,
    Patient,
    RelatedPerson,
    Device,
    /// Anything else, or not stated.
    Other,
}

impl Class {
    pub(super) fn of(resource_type: &str) -> Self {
        match resource_type {
            "Practitioner" => Self::Practitioner,
            "PractitionerRole" => Self::Role,
            "Organization" => Self::Organization,
            "Patient" => Self::Patient,
            "RelatedPerson" => Self::RelatedPerson,
            "Device" => Self::Device,
            _ => Self::Other,
        }
    }
}

/// Somebody, as a resource describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) class: Class,
    pub(super) identifiers: Vec<Identifier>,
    /// Whether one of them can be what it says.
    pub(super) is_identified: bool,
    /// Whether one of them cannot.
    pub(super) is_misidentified: bool,
    /// Of a role.
    pub(super) practitioner: Option<Link>,
    /// Of a role; the owner of a device; what a person in the header of a document represents.
    pub(super) organization: Option<Link>,
}

impl Party {
    /// Reads a resource; `None` for other types.
    pub(super) fn read(resource: Value<'_>, names: &mut impl Names) -> Option<Self> {
        Self::inside(resource, resource, 0, names)
    }

    /// Reads a resource that is contained in another, after so many steps from one contained to another.
    fn inside(resource: Value<'_>, container: Value<'_>, steps: u8, names: &mut impl Names) -> Option<Self> {
        let stated = resource.get("resourceType")?.text()?;
        let class = Class::of(&stated);
        if class == Class::Other {
            return None;
        }
        let organization = if class == Class::Device { "owner" } else { "organization" };
        let mut link = |name: &str| resource.get(name).map(|value| Link::follow(value, container, steps, names));
        let practitioner = if class == Class::Role { link("practitioner") } else { None };
        let organization = if matches!(class, Class::Role | Class::Device) { link(organization) } else { None };
        Some(Self { practitioner, ..Self::stated(class, identifiers(resource), organization) })
    }

    /// Somebody of whom only identifiers are stated.
    pub(super) fn stated(class: Class, identifiers: Vec<Identifier>, organization: Option<Link>) -> Self {
        let is_identified = identifiers.iter().any(Identifier::is_well_formed);
        let is_misidentified = !identifiers.iter().all(Identifier::is_well_formed);
        Self { class, identifiers, is_identified, is_misidentified, practitioner: None, organization }
    }
}

fn identifiers(resource: Value<'_>) -> Vec<Identifier> {
    let all = resource.get("identifier").into_iter().flat_map(Value::each);
    let mut all: Vec<Identifier> = all.take(limits::PARTY_IDENTIFIERS).filter_map(Identifier::read).collect();
    all.sort_unstable();
    all
}

/// Where a Reference leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// To a resource of the EHR that has a name here, whether or not the resource itself is here.
    Held {
        name: Name,
        class: Class,
        /// `Reference.identifier` beside it.
        beside: Option<Box<Identifier>>,
    },
    /// To somebody who is described on the spot: contained, or by an identifier alone.
    Stated(Box<Party>),
    /// To a resource of which nothing else here speaks.
    Absent(Class),
    /// Nowhere: its parts disagree, or it cannot be read.
    Broken,
}

impl Link {
    /// Reads a Reference that stands in `container`, whose contained resources it may mean.
    pub(super) fn read(reference: Value<'_>, container: Value<'_>, names: &mut impl Names) -> Self {
        Self::follow(reference, container, 0, names)
    }

    fn follow(reference: Value<'_>, container: Value<'_>, steps: u8, names: &mut impl Names) -> Self {
        let text = |name: &str| reference.get(name).and_then(Value::text);
        let beside = reference.get("identifier").and_then(Identifier::read);
        let stated = text("type");
        let Some(literal) = text("reference") else {
            let class = stated.as_deref().map_or(Class::Other, Class::of);
            return match beside {
                Some(identifier) => Self::Stated(Box::new(Party::stated(class, vec![identifier], None))),
                None => Self::Broken,
            };
        };
        if let Some(id) = literal.strip_prefix('#') {
            return if steps < CONTAINED_STEPS {
                Self::contained(id, container, stated, steps, names)
            } else {
                Self::Broken
            };
        }
        let (name, resource_type) = names.find(&literal);
        let class = resource_type.map_or(Class::Other, |resource_type| Class::of(resource_type.as_str()));
        if stated.is_some_and(|stated| resource_type.is_some_and(|resource_type| resource_type.as_str() != stated)) {
            return Self::Broken;
        }
        match name {
            Some(name) => Self::Held { name, class, beside: beside.map(Box::new) },
            None => Self::Absent(class),
        }
    }

    fn contained(
        id: &str,
        container: Value<'_>,
        stated: Option<Cow<'_, str>>,
        steps: u8,
        names: &mut impl Names,
    ) -> Self {
        let mut all = container.get("contained").into_iter().flat_map(Value::each);
        let is_it = |value: &Value<'_>| value.get("id").and_then(Value::text).is_some_and(|own| own == id);
        match all.find(is_it).and_then(|value| Party::inside(value, container, steps + 1, names)) {
            Some(party) if stated.is_none_or(|stated| Class::of(&stated) == party.class) => {
                Self::Stated(Box::new(party))
            }
            _ => Self::Broken,
        }
    }
}
