//! A record, and what it says itself of who made it.
//!
//! Takes: a resource. Gives: a [`Record`], which names it, and its own elements. Guarantees: nothing of the record is copied
//! but references. Refuses: what is no resource of R4.

use std::borrow::Cow;

use super::elements::{Elements, Says};
use super::names::{Names, own};
use super::party::Link;
use crate::fhir::json::Value;
use crate::fhir::name::ResourceType;
use crate::limits;

/// A resource that is to be judged.
#[derive(Clone, Debug)]
pub struct Record<'d> {
    pub(super) resource: Value<'d>,
    pub(super) resource_type: ResourceType,
    reference: Option<Cow<'d, str>>,
}

impl<'d> Record<'d> {
    /// The record of a resource; `None` where it has no type of R4.
    pub fn read(resource: Value<'d>) -> Option<Self> {
        Self::at(resource, None)
    }

    /// The record of an entry of a Bundle, which goes by its `fullUrl` where it has no id.
    pub fn at(resource: Value<'d>, full_url: Option<Cow<'d, str>>) -> Option<Self> {
        let resource_type = ResourceType::parse(&resource.get("resourceType")?.text()?).ok()?;
        let id = resource.get("id").and_then(Value::text);
        let reference = id.map(|id| own(resource_type.as_str(), &id)).or(full_url);
        Some(Self { resource, resource_type, reference })
    }

    /// Its type.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// `Type/id`, or its `fullUrl`; `None` where it has neither.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// `meta.versionId`
    pub fn version(&self) -> Option<Cow<'d, str>> {
        self.meta("versionId")
    }

    pub(super) fn meta(&self, name: &str) -> Option<Cow<'d, str>> {
        self.resource.get("meta")?.get(name)?.text()
    }

    /// The literal references by which it names its authors and keepers: what may be looked up to judge it.
    pub fn names(&self) -> Vec<Cow<'d, str>> {
        let mut names = Vec::new();
        let mut visit = |value: Value<'d>| names.extend(value.get("reference").and_then(Value::text));
        let elements = Elements::of(self.resource_type);
        elements.each(self.resource, Says::Author, &mut visit);
        elements.each(self.resource, Says::Custodian, &mut visit);
        names.retain(|name| !name.starts_with('#'));
        names
    }

    /// The attachments whose bytes may be looked up: `DocumentReference.content.attachment`,
    /// `DiagnosticReport.presentedForm`, `Media.content`.
    pub fn attachments(&self) -> impl Iterator<Item = Value<'d>> {
        let (outer, inner) = match self.resource_type.as_str() {
            "DocumentReference" => ("content", Some("attachment")),
            "DiagnosticReport" => ("presentedForm", None),
            "Media" => ("content", None),
            _ => ("", None),
        };
        let outer = if outer.is_empty() { None } else { self.resource.get(outer) };
        let all = outer.into_iter().flat_map(Value::each);
        all.filter_map(move |value| inner.map_or(Some(value), |inner| value.get(inner)))
    }
}

/// Whom a record's own elements name.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    pub(super) authors: Vec<Link>,
    pub(super) custodians: Vec<Link>,
    /// `meta.source` without its fragment, which servers use for the id of a request.
    pub(super) source: Option<Box<str>>,
}

impl Own {
    pub(super) fn read(resource: Value<'_>, resource_type: ResourceType, names: &mut impl Names) -> Self {
        let mut own = Self::default();
        let elements = Elements::of(resource_type);
        elements.each(resource, Says::Author, &mut |value| {
            if own.authors.len() < limits::RECORD_AUTHORS {
                own.authors.push(Link::read(value, resource, names));
            } else if own.authors.len() == limits::RECORD_AUTHORS {
                own.authors.push(Link::Broken);
            }
        });
        elements.each(resource, Says::Custodian, &mut |value| {
            if own.custodians.len() < limits::RECORD_AUTHORS {
                own.custodians.push(Link::read(value, resource, names));
            } else if own.custodians.len() == limits::RECORD_AUTHORS {
                own.custodians.push(Link::Broken);
            }
        });
        let source = resource.get("meta").and_then(|meta| meta.get("source")).and_then(Value::text);
        let bare = source.as_deref().map(|text| text.split_once('#').map_or(text, |(bare, _)| bare));
        own.source = bare.filter(|bare| !bare.is_empty()).map(Into::into);
        own
    }
}
