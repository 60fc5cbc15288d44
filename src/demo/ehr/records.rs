//! The resources an EHR holds, each with the text it was loaded as.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use thiserror::Error;

use crate::fhir::json::{JsonError, Tape, Value};
use crate::fhir::name::{Id, NameError, ResourceType};
use crate::fhir::reference::Reference;

/// Why a text cannot be loaded.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// Not acceptable JSON.
    #[error("not acceptable json: {0}")]
    Json(#[from] JsonError),
    /// A resource without a type or an id, or with one R4 does not allow.
    #[error("no resource type and id: {0}")]
    Name(#[from] NameError),
}

/// One resource.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) identity: Reference,
    pub(super) json: Box<str>,
    pub(super) version: Box<str>,
    pub(super) last_updated: Option<Box<str>>,
}

impl Record {
    fn read(resource: Value<'_>) -> Result<Self, RecordError> {
        let text = |value: Option<Value<'_>>| value.and_then(Value::text).unwrap_or_default().into_owned();
        let resource_type = ResourceType::parse(&text(resource.get("resourceType")))?;
        let id = Id::parse(&text(resource.get("id")))?;
        let meta = |name: &str| resource.get("meta").and_then(|meta| meta.get(name)).and_then(Value::text);
        Ok(Self {
            identity: Reference { resource_type, id },
            json: resource.raw().into(),
            version: meta("versionId").unwrap_or("1".into()).into(),
            last_updated: meta("lastUpdated").map(Into::into),
        })
    }
}

/// Resources in the order they were loaded. A clone shares their texts.
#[derive(Clone, Debug, Default)]
pub struct Records {
    all: Vec<Arc<Record>>,
    by_name: HashMap<Reference, Arc<Record>>,
    deleted: HashSet<Reference>,
}

impl Records {
    /// No resources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads a resource, or every entry of a Bundle; one of the same type and id is replaced in its place.
    pub fn load(&mut self, text: &str) -> Result<(), RecordError> {
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes())?.root();
        match root.get("entry") {
            None => self.put(Record::read(root)?),
            Some(entries) => {
                for resource in entries.items().filter_map(|entry| entry.get("resource")) {
                    self.put(Record::read(resource)?);
                }
            }
        }
        Ok(())
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn delete(&mut self, identity: &Reference) -> bool {
        let found = self.by_name.remove(identity).is_some();
        if found {
            self.all.retain(|record| record.identity != *identity);
            self.deleted.insert(identity.clone());
        }
        found
    }

    fn put(&mut self, record: Record) {
        let record = Arc::new(record);
        self.deleted.remove(&record.identity);
        if self.by_name.insert(record.identity.clone(), record.clone()).is_none() {
            self.all.push(record);
        } else if let Some(slot) = self.all.iter_mut().find(|slot| slot.identity == record.identity) {
            *slot = record;
        }
    }

    pub(super) fn find(&self, identity: &Reference) -> Option<&Arc<Record>> {
        self.by_name.get(identity)
    }

    pub(super) fn was_deleted(&self, identity: &Reference) -> bool {
        self.deleted.contains(identity)
    }

    pub(super) fn all(&self) -> &[Arc<Record>] {
        &self.all
    }

    pub(super) fn of_type(&self, resource_type: ResourceType) -> impl Iterator<Item = &Arc<Record>> {
        self.all.iter().filter(move |record| record.identity.resource_type == resource_type)
    }

    /// The types that are held, by name.
    pub(super) fn types(&self) -> Vec<ResourceType> {
        let mut types: Vec<ResourceType> = self.all.iter().map(|record| record.identity.resource_type).collect();
        types.sort_unstable();
        types.dedup();
        types
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Reference {
        Reference::parse(text, &[]).unwrap()
    }

    #[test]
    fn keeps_the_text_of_each_entry() {
        let mut records = Records::new();
        let text = r#"{"resourceType":"Bundle","type":"collection","entry":[
            {"resource":{"resourceType":"Patient","id":"p1"}},
            {"resource":{"resourceType":"Observation","id":"o1","meta":{"versionId":"3"},"valueDecimal": 6.30}}]}"#;
        records.load(text).unwrap();
        assert_eq!(records.len(), 2);
        let observation = records.find(&named("Observation/o1")).unwrap();
        assert!(observation.json.contains("6.30"));
        assert_eq!(&*observation.version, "3");
        assert_eq!(records.types().iter().map(|held| held.as_str()).collect::<Vec<_>>(), ["Observation", "Patient"]);
    }

    #[test]
    fn replaces_in_place_and_remembers_what_was_deleted() {
        let mut records = Records::new();
        for id in ["a", "b", "a"] {
            records.load(&format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#)).unwrap();
        }
        let order: Vec<&str> = records.all().iter().map(|record| record.identity.id.as_str()).collect();
        assert_eq!(order, ["a", "b"]);
        assert!(records.delete(&named("Patient/a")));
        assert!(!records.delete(&named("Patient/a")));
        assert!(records.was_deleted(&named("Patient/a")) && !records.was_deleted(&named("Patient/c")));
        assert_eq!(records.len(), 1);
    }

    #[test]
    fn refuses_what_has_no_name() {
        let mut records = Records::new();
        assert!(matches!(records.load("{"), Err(RecordError::Json(_))));
        assert_eq!(records.load(r#"{"id":"p1"}"#), Err(RecordError::Name(NameError::ResourceType)));
        assert_eq!(records.load(r#"{"resourceType":"Patient"}"#), Err(RecordError::Name(NameError::Id)));
        assert!(records.is_empty());
    }
}
