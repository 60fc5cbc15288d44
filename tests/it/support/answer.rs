//! What a payer got.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::gateway::BASE;
use super::wire::Head;

/// Whether a body ended as it had promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    Cut,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Ending,
}

/// A searchset as it arrived, each resource as text.
#[derive(Clone, Debug)]
pub(crate) struct Searchset {
    pub(crate) total: Option<u64>,
    pub(crate) own: String,
    pub(crate) next: Option<String>,
    pub(crate) entries: Vec<Entry>,
}

/// One entry of a searchset.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `Type/id`
    pub(crate) name: String,
    pub(crate) mode: String,
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct RawBundle<'a> {
    total: Option<u64>,
    #[serde(default)]
    link: Vec<Link>,
    #[serde(default, borrow)]
    entry: Vec<RawEntry<'a>>,
}

#[derive(Deserialize)]
struct Link {
    relation: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry<'a> {
    full_url: String,
    #[serde(borrow)]
    resource: &'a RawValue,
    search: Mode,
}

#[derive(Deserialize)]
struct Mode {
    mode: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.header(name).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The searchset that was asked for.
    #[track_caller]
    pub(crate) fn searchset(&self) -> Searchset {
        assert_eq!(self.status(), 200, "{}", self.text());
        assert_eq!(self.ending, Ending::Whole);
        assert_eq!(self.header("content-type"), "application/fhir+json");
        let json = self.json();
        assert_eq!((&json["resourceType"], &json["type"]), (&"Bundle".into(), &"searchset".into()));
        let raw: RawBundle<'_> = serde_json::from_slice(&self.body).unwrap();
        let entry = |entry: RawEntry<'_>| {
            let json: Json = serde_json::from_str(entry.resource.get()).unwrap();
            let (kind, id) = (json["resourceType"].as_str().unwrap(), json["id"].as_str().unwrap());
            let name = format!("{kind}/{id}");
            // What the gateway itself adds is nowhere to be read.
            let own = format!("urn:uuid:{id}");
            assert!(entry.full_url == format!("{BASE}/{name}") || (kind == "Provenance" && entry.full_url == own));
            Entry { name, mode: entry.search.mode, text: entry.resource.get().to_owned() }
        };
        let link = |relation: &str| raw.link.iter().find(|link| link.relation == relation).map(|link| link.url.clone());
        let (own, next) = (link("self").expect("a self link"), link("next"));
        Searchset { total: raw.total, own, next, entries: raw.entry.into_iter().map(entry).collect() }
    }

    /// The OperationOutcome of a refusal: status, first issue's code, its text.
    #[track_caller]
    pub(crate) fn refusal(&self) -> Refusal {
        assert_eq!(self.header("content-type"), "application/fhir+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["resourceType"], "OperationOutcome", "{json}");
        let issue = &json["issue"][0];
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        assert!(["fatal", "error"].contains(&issue["severity"].as_str().unwrap()));
        Refusal {
            status: self.status(),
            code: text(&issue["code"]),
            reason: text(&issue["details"]["coding"][0]["code"]),
            text: text(&issue["details"]["text"]),
            diagnostics: text(&issue["diagnostics"]),
        }
    }
}

/// What an OperationOutcome says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) text: String,
    pub(crate) diagnostics: String,
}

impl Searchset {
    /// `Type/id` of every entry.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.entries.iter().map(|entry| entry.name.clone()).collect()
    }

    /// Of the matches only.
    pub(crate) fn matches(&self) -> Vec<&str> {
        self.entries.iter().filter(|entry| entry.mode == "match").map(|entry| entry.name.as_str()).collect()
    }

    /// Of the included resources only.
    pub(crate) fn included(&self) -> Vec<&str> {
        self.entries.iter().filter(|entry| entry.mode == "include").map(|entry| entry.name.as_str()).collect()
    }

    /// The text of one resource.
    #[track_caller]
    pub(crate) fn resource(&self, name: &str) -> &str {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        &entry.unwrap_or_else(|| panic!("no {name} among {:?}", self.names())).text
    }
}
