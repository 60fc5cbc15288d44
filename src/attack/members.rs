//! Members of a JSON value by their names, without a way to fail: what is not there is `null`.

use serde_json::{Map, Value as Json};

static NOTHING: Json = Json::Null;

/// Reading and changing what may not be there.
pub(crate) trait Members {
    /// A member, or `null`.
    fn at(&self, name: &str) -> &Json;
    /// Sets a member; what is no object becomes one.
    fn set(&mut self, name: &str, value: Json);
    /// The value at a path, if it is there.
    fn there(&mut self, path: &[&str]) -> Option<&mut Json>;
    /// The list at a path, if there is one.
    fn list_at(&mut self, path: &[&str]) -> Option<&mut Vec<Json>>;
    /// The object at a path, if there is one.
    fn object_at(&mut self, path: &[&str]) -> Option<&mut Map<String, Json>>;
}

impl Members for Json {
    fn at(&self, name: &str) -> &Json {
        self.get(name).unwrap_or(&NOTHING)
    }

    fn set(&mut self, name: &str, value: Json) {
        if !self.is_object() {
            *self = Self::Object(Map::new());
        }
        if let Some(members) = self.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
    }

    fn there(&mut self, path: &[&str]) -> Option<&mut Json> {
        path.iter().try_fold(self, |value, name| value.get_mut(*name))
    }

    fn list_at(&mut self, path: &[&str]) -> Option<&mut Vec<Json>> {
        self.there(path)?.as_array_mut()
    }

    fn object_at(&mut self, path: &[&str]) -> Option<&mut Map<String, Json>> {
        self.there(path)?.as_object_mut()
    }
}
