//! Names of resources: one small number for all spellings of a reference.
//!
//! Takes: the text of `Reference.reference`. Gives: a [`Name`], and the type that the text states. Guarantees: relative and
//! absolute references, with and without a version, and the `fullUrl` of a Bundle's entry lead to the same name. Refuses:
//! contained resources (`#…`), which have no name outside of what they are in.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::fhir::name::ResourceType;

/// A resource, whether or not it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(pub(super) u32);

/// Who knows names.
pub(super) trait Names {
    /// The name behind a literal reference, and the type that it is a reference to.
    fn find(&mut self, literal: &str) -> (Option<Name>, Option<ResourceType>);
}

/// The names that came up.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Absolute base URLs that mean the EHR, with a slash at the end.
    bases: Vec<Box<str>>,
    /// From the `fullUrl` of an entry to `Type/id`.
    aliases: HashMap<Box<str>, Box<str>>,
    names: HashMap<Box<str>, (Name, Option<ResourceType>)>,
    /// By name.
    texts: Vec<Box<str>>,
}

impl Index {
    pub(super) fn new(bases: &[&str]) -> Self {
        let bases = bases.iter().map(|base| format!("{}/", base.trim_end_matches('/')).into()).collect();
        Self { bases, ..Self::default() }
    }

    /// Has a `fullUrl` mean a resource of this type and id. One that would mean two resources means none of them.
    pub(super) fn alias(&mut self, full_url: &str, reference: &str) {
        let taken = self.aliases.entry(full_url.into()).or_insert_with(|| reference.into());
        if **taken != *reference {
            *taken = format!("ambiguous {full_url}").into();
        }
    }

    /// The one spelling of a reference, without its version.
    fn key<'a>(&'a self, literal: &'a str) -> &'a str {
        let bare = split_version(literal).0;
        if !bare.contains(':') {
            return bare;
        }
        if let Some(known) = self.aliases.get(bare) {
            return known;
        }
        self.bases.iter().find_map(|base| bare.strip_prefix(&**base)).unwrap_or(bare)
    }

    /// The name behind a reference, if it came up.
    pub(super) fn get(&self, literal: &str) -> (Option<Name>, Option<ResourceType>) {
        let key = self.key(literal);
        match self.names.get(key) {
            Some((name, resource_type)) => (Some(*name), *resource_type),
            None => (None, stated_type(key)),
        }
    }

    /// The name behind a reference, new if it did not come up.
    pub(super) fn intern(&mut self, literal: &str) -> (Name, Option<ResourceType>) {
        let key = self.key(literal);
        if let Some(known) = self.names.get(key) {
            return *known;
        }
        let resource_type = stated_type(key);
        let name = Name(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let key: Box<str> = key.into();
        self.texts.push(key.clone());
        self.names.insert(key, (name, resource_type));
        (name, resource_type)
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// `Type/id`, if the name is one of a resource of the EHR.
    pub(super) fn resource(&self, name: Name) -> Option<&str> {
        self.texts.get(name.0 as usize).map(|text| &**text).filter(|text| stated_type(text).is_some())
    }
}

/// While evidence is gathered, every reference gets a name.
impl Names for Index {
    fn find(&mut self, literal: &str) -> (Option<Name>, Option<ResourceType>) {
        let (name, resource_type) = self.intern(literal);
        (Some(name), resource_type)
    }
}

/// While a record is judged, names are only looked up.
impl Names for &Index {
    fn find(&mut self, literal: &str) -> (Option<Name>, Option<ResourceType>) {
        self.get(literal)
    }
}

/// A reference and the version that it is to.
pub(super) fn split_version(literal: &str) -> (&str, Option<&str>) {
    // No id and no type has a `_`: few references are looked at twice.
    if memchr::memchr(b'_', literal.as_bytes()).is_none() {
        return (literal, None);
    }
    literal.split_once("/_history/").map_or((literal, None), |(bare, version)| (bare, Some(version)))
}

/// The type of `Type/id`.
fn stated_type(key: &str) -> Option<ResourceType> {
    let (resource_type, id) = key.split_once('/')?;
    if id.is_empty() || id.contains('/') {
        return None;
    }
    ResourceType::parse(resource_type).ok()
}

/// `Type/id` of a resource.
pub(super) fn own(resource_type: &str, id: &str) -> Cow<'static, str> {
    Cow::Owned([resource_type, "/", id].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_lead_to_one_name() {
        let mut index = Index::new(&["https://ehr.example/fhir"]);
        index.alias("urn:uuid:1", "Condition/c1");
        index.alias("http://other.example/Condition/7", "Condition/c1");
        let (name, of) = index.intern("Condition/c1");
        let condition = ResourceType::parse("Condition").ok();
        assert!(condition.is_some() && of == condition);
        for same in [
            "Condition/c1/_history/3",
            "https://ehr.example/fhir/Condition/c1",
            "https://ehr.example/fhir/Condition/c1/_history/2",
            "urn:uuid:1",
            "http://other.example/Condition/7/_history/1",
        ] {
            assert_eq!(index.get(same), (Some(name), condition), "{same}");
        }
        for other in ["Condition/c2", "https://ehr.example.evil/fhir/Condition/c1", "condition/c1", "urn:uuid:2", ""] {
            assert_eq!(index.get(other).0, None, "{other}");
        }
    }

    #[test]
    fn a_full_url_of_two_resources_is_of_none() {
        let mut index = Index::new(&[]);
        index.alias("urn:uuid:1", "Condition/c1");
        let (name, _) = index.intern("Condition/c1");
        index.alias("urn:uuid:1", "Condition/c2");
        assert_ne!(index.get("urn:uuid:1").0, Some(name));
    }
}
