//! What the gateway itself asks the EHR, to learn who is responsible for the records of a page.
//!
//! Takes: a question whose permit asks that, and names out of an answer to it. Gives: [`LookUp`], one search by ids, and
//! [`Together`], several of them in one request. Guarantees: composed from typed parts; what it finds is evidence and no answer, and leaves only where the client asked for
//! it as well. Refuses: to look up anything for a question that does not ask who is responsible.

use std::time::Duration;

use bytes::Bytes;

use super::{Prepared, Question};
use crate::fhir::json::write_string;
use crate::fhir::name::ResourceType;
use crate::fhir::reference::Reference;
use crate::limits;
use crate::understand::{Interaction, encode_pair};

/// The reverse include by which Provenance comes along with its targets (US Core, HRex).
const ALONG: (&str, &str) = ("_revinclude", "Provenance:target");

/// How the EHR is asked for the Provenance of what it is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProvenanceFrom {
    /// In the same search, by `_revinclude=Provenance:target`.
    #[default]
    Include,
    /// By a search of its own, `Provenance?target=…`.
    Search,
}

impl ProvenanceFrom {
    /// Reads `include` or `search`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "include" => Some(Self::Include),
            "search" => Some(Self::Search),
            _ => None,
        }
    }
}

/// A search of the gateway's own. Made here only.
#[derive(Debug)]
pub struct LookUp {
    resource_type: ResourceType,
    names: Vec<Reference>,
    is_of_originals: bool,
    query: Box<str>,
    target: Box<str>,
    form: Option<Bytes>,
    keep: Duration,
}

/// Searches of the gateway's own that the EHR is asked in one request: a Bundle of type `batch` (R4 http, 3.1.0.11), of
/// which every entry is a GET. Made here only.
#[derive(Debug)]
pub struct Together(Bytes);

impl Together {
    /// These searches, in order; `None` where there are fewer than two.
    pub fn of(look_ups: &[&LookUp]) -> Option<Self> {
        if look_ups.len() < 2 {
            return None;
        }
        let mut body = br#"{"resourceType":"Bundle","type":"batch","entry":["#.to_vec();
        for (place, look_up) in look_ups.iter().enumerate() {
            body.extend_from_slice(if place == 0 { b"" } else { b"," });
            body.extend_from_slice(br#"{"request":{"method":"GET","url":"#);
            write_string(&format!("{}?{}", look_up.resource_type, look_up.query), &mut body);
            body.extend_from_slice(b"}}");
        }
        body.extend_from_slice(b"]}");
        Some(Self(body.into()))
    }

    /// The Bundle, as JSON.
    pub fn body(&self) -> &Bytes {
        &self.0
    }
}

impl LookUp {
    /// The Provenance of these records; `None` where there are none.
    pub fn provenance(question: &Question, records: &[Reference]) -> Option<Self> {
        let names: Vec<String> = records.iter().map(ToString::to_string).collect();
        let provenance = ResourceType::parse("Provenance").ok()?;
        Self::by(question, provenance, ("target", &names), &[], question.permit().obligations().cache())
    }

    /// People, roles or organisations, all of one type; roles bring the practitioner and the organisation that they are of.
    /// Directories change seldom and hold nothing about patients, so that they are kept for [`limits::DIRECTORY_LIFE`]. `None`
    /// where there are none, or the type is none of a directory.
    pub fn directory(question: &Question, names: Vec<Reference>) -> Option<Self> {
        let resource_type = names.first()?.resource_type;
        let along: &[(&str, &str)] = match resource_type.as_str() {
            "PractitionerRole" => {
                &[("_include", "PractitionerRole:practitioner"), ("_include", "PractitionerRole:organization")]
            }
            "Practitioner" | "Organization" => &[],
            _ => return None,
        };
        let of_type = names.iter().filter(|name| name.resource_type == resource_type);
        let ids: Vec<String> = of_type.map(|name| name.id.to_string()).collect();
        let look_up = Self::by(question, resource_type, ("_id", &ids), along, limits::DIRECTORY_LIFE);
        look_up.map(|look_up| Self { names, ..look_up })
    }

    /// What records of the page were made of, all of one type, and the Provenance of that. It is evidence of where they come
    /// from and never leaves. `None` where there are none.
    pub fn originals(question: &Question, names: Vec<Reference>) -> Option<Self> {
        let resource_type = names.first()?.resource_type;
        let ids: Vec<String> = names.iter().map(|name| name.id.to_string()).collect();
        let keep = question.permit().obligations().cache();
        let look_up = Self::by(question, resource_type, ("_id", &ids), &[ALONG], keep)?;
        Some(Self { names, is_of_originals: true, ..look_up })
    }

    fn by(
        question: &Question,
        resource_type: ResourceType,
        (parameter, names): (&str, &[String]),
        along: &[(&str, &str)],
        keep: Duration,
    ) -> Option<Self> {
        if names.is_empty() || !question.asks_authorship() {
            return None;
        }
        let mut query = String::new();
        encode_pair(parameter, &names.join(","), &mut query);
        along.iter().for_each(|(name, value)| encode_pair(name, value, &mut query));
        encode_pair("_count", &limits::EVIDENCE_COUNT.to_string(), &mut query);
        let (target, form) = sendable(resource_type.as_str(), query.clone());
        let query = query.into();
        Some(Self { resource_type, names: Vec::new(), is_of_originals: false, query, target, form, keep })
    }

    /// Whether what was found, of these types and names, can be an answer to it, and not to another search: something that it
    /// looks for is there, or nothing at all.
    pub fn may_find<'f>(&self, found: impl Iterator<Item = (&'f str, Option<Reference>)>) -> bool {
        let mut found = found.filter(|(type_name, _)| *type_name != "OperationOutcome").peekable();
        let is_sought = |(type_name, name): (&str, Option<Reference>)| {
            type_name == self.resource_type.as_str()
                && (self.names.is_empty() || name.is_some_and(|name| self.names.contains(&name)))
        };
        found.peek().is_none() || found.any(is_sought)
    }

    /// The people, roles, organisations or originals that it looks for.
    pub fn names(&self) -> &[Reference] {
        &self.names
    }

    /// Whether it looks for originals.
    pub fn is_of_originals(&self) -> bool {
        self.is_of_originals
    }

    /// What it searches for.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// Path and query below the EHR's base.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The form of a search that is too long for a URL.
    pub fn form(&self) -> Option<&Bytes> {
        self.form.as_ref()
    }

    /// How long the answer may be kept; zero is not at all.
    pub fn keep(&self) -> Duration {
        self.keep
    }
}

impl Question {
    /// Whether the decision asks who is responsible for something that may come: what was asked for, or what comes along.
    pub fn asks_authorship(&self) -> bool {
        let asks = |resource_type| self.rule(resource_type).is_some_and(|rule| rule.authorship.is_some());
        let own = asks(self.interaction().resource_type());
        let includes = self.interaction().search().is_some_and(|search| !search.includes().is_empty());
        own || (includes && self.permit().obligations().asks_authorship())
    }

    /// Whether resources of a type come as evidence only: the client did not ask for them.
    pub fn is_evidence(&self, resource_type: ResourceType) -> bool {
        let Some(search) = self.interaction().search() else { return false };
        let is_of_page = resource_type == search.resource_type();
        let comes_along = search.includes().iter().any(|include| include.brings(resource_type));
        resource_type.as_str() == ALONG.1.split(':').next().unwrap_or_default()
            && !is_of_page
            && !comes_along
            && self.asks_authorship()
    }
}

impl Prepared {
    /// The same request, by which the EHR gives the Provenance of what it finds as well, where that is asked for and it is able to.
    #[must_use]
    pub fn with_provenance(mut self, from: ProvenanceFrom) -> Self {
        let begins = match self.question.interaction() {
            Interaction::Search(_) => true,
            // Where the EHR goes on, it goes on with what it was asked first.
            Interaction::Page(page) => page.continuation().is_empty(),
            Interaction::Read(_) => false,
        };
        let search = self.question.interaction().search();
        let asks = search.is_some_and(|search| {
            !search
                .includes()
                .iter()
                .any(|include| include.direction.as_str() == ALONG.0 && include.to_string() == ALONG.1)
        });
        if !begins || !asks || from != ProvenanceFrom::Include || !self.question.asks_authorship() {
            return self;
        }
        let type_name = self.question.interaction().resource_type();
        let query = match (&self.form, self.target.split_once('?')) {
            (Some(form), _) => String::from_utf8_lossy(form).into_owned(),
            (None, Some((_, query))) => query.to_owned(),
            (None, None) => return self,
        };
        let mut query = query;
        encode_pair(ALONG.0, ALONG.1, &mut query);
        (self.target, self.form) = sendable(type_name.as_str(), query);
        self
    }
}

/// A search as GET, or as a form where it is too long for a URL.
pub(super) fn sendable(type_name: &str, query: String) -> (Box<str>, Option<Bytes>) {
    let get = ["/", type_name, "?", &query].concat();
    if get.len() <= limits::UPSTREAM_TARGET_BYTES {
        (get.into(), None)
    } else {
        (format!("/{type_name}/_search").into(), Some(query.into()))
    }
}
