//! The records of the test EHR.

use std::sync::{Arc, Mutex, PoisonError};

use crate::attack::members::Members as _;
use serde_json::Value as Json;

/// A search that goes on: its type and its parameters.
pub(crate) type Search = (Option<String>, Vec<(String, String)>);

/// Resources in the order in which they were stored; the last version of an id counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    resources: Vec<Json>,
    /// Versions before, and what was deleted.
    earlier: Vec<Json>,
    /// Searches whose further pages are asked for by a number.
    pages: Arc<Mutex<Vec<Search>>>,
}

impl Store {
    /// The entries of a transaction, one after another.
    pub(crate) fn load(&mut self, bundle: &Json) {
        for entry in bundle.at("entry").as_array().into_iter().flatten() {
            self.put(entry.at("resource").clone());
        }
    }

    /// The entries of a transaction, as versions that are no longer current.
    pub(crate) fn load_earlier(&mut self, bundle: &Json) {
        let entries = bundle.at("entry").as_array().into_iter().flatten();
        self.earlier.extend(entries.map(|entry| entry.at("resource").clone()));
    }

    /// The versions of everything, or of one name.
    pub(crate) fn versions(&self, of: Option<&str>) -> Vec<&Json> {
        let all = self.resources.iter().chain(&self.earlier);
        all.filter(|resource| of.is_none_or(|of| name(resource) == of)).collect()
    }

    /// A version by its number: 1 is the earliest.
    pub(crate) fn version(&self, resource_type: &str, id: &str, version: &str) -> Option<&Json> {
        let of = format!("{resource_type}/{id}");
        let earlier = self.earlier.iter().find(|resource| name(resource) == of).filter(|_| version == "1");
        earlier.or_else(|| self.find(resource_type, id))
    }

    /// Remembers a search, and gives the number that whoever has it may go on with.
    pub(crate) fn remember(&self, search: Search) -> usize {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = pages.iter().position(|have| *have == search) {
            return at;
        }
        pages.push(search);
        pages.len() - 1
    }

    pub(crate) fn remembered(&self, number: &str) -> Option<Search> {
        let number: usize = number.parse().ok()?;
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }

    pub(crate) fn find_mut(&mut self, of: &str) -> Option<&mut Json> {
        self.resources.iter_mut().find(|have| name(have) == of)
    }

    pub(crate) fn delete(&mut self, of: &str) {
        self.resources.retain(|have| name(have) != of);
    }

    pub(crate) fn put(&mut self, resource: Json) {
        match self.resources.iter_mut().find(|have| name(have) == name(&resource)) {
            Some(have) => *have = resource,
            None => self.resources.push(resource),
        }
    }

    pub(crate) fn all(&self) -> &[Json] {
        &self.resources
    }

    pub(crate) fn find(&self, resource_type: &str, id: &str) -> Option<&Json> {
        self.resources.iter().find(|have| have.at("resourceType") == resource_type && have.at("id") == id)
    }

    /// The resource that a reference leads to, wherever its base is.
    pub(crate) fn follow(&self, reference: &str) -> Option<&Json> {
        let mut steps = reference.split("/_history").next()?.rsplit('/');
        let (id, resource_type) = (steps.next()?, steps.next()?);
        self.find(resource_type, id)
    }
}

/// `Type/id`.
pub(crate) fn name(resource: &Json) -> String {
    format!("{}/{}", resource.at("resourceType").as_str().unwrap_or(""), resource.at("id").as_str().unwrap_or(""))
}

/// JSON text with the members first that servers write first.
pub(crate) fn written(value: &Json) -> String {
    match value {
        Json::Object(members) => {
            let rank = |name: &str| {
                ["resourceType", "id", "meta", "type", "total", "link"].iter().position(|first| *first == name)
            };
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by_key(|name| rank(name).unwrap_or(usize::MAX));
            let member = |name: &&String| {
                format!("{}:{}", Json::from(name.as_str()), members.get(*name).map(written).unwrap_or_default())
            };
            format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}
