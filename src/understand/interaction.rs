//! The typed request: made by this step only, read by all later ones.

use crate::fhir::name::{Id, ResourceType};
use crate::fhir::search::Criterion;

use super::content::Content;
use super::query::{QUERY_BYTES, encode_pair};

/// One FHIR interaction, understood in full.
#[derive(Clone, Debug)]
pub enum Interaction {
    /// `GET [base]/[type]/[id]`
    Read(Read),
    /// `GET [base]/[type]?…` or `POST [base]/[type]/_search`
    Search(Search),
    /// A further page of a search.
    Page(Page),
}

impl Interaction {
    /// FHIR's code for the interaction (`restful-interaction`).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Search(_) | Self::Page(_) => "search-type",
        }
    }

    /// The type that is asked for.
    pub fn resource_type(&self) -> ResourceType {
        match self {
            Self::Read(read) => read.resource_type,
            Self::Search(search) | Self::Page(Page { search, .. }) => search.resource_type,
        }
    }

    /// The search, for a search or a page of one.
    pub fn search(&self) -> Option<&Search> {
        match self {
            Self::Read(_) => None,
            Self::Search(search) | Self::Page(Page { search, .. }) => Some(search),
        }
    }

    /// How the result is to be shaped.
    pub fn shape(&self) -> &Shape {
        match self {
            Self::Read(read) => &read.shape,
            Self::Search(search) | Self::Page(Page { search, .. }) => &search.shape,
        }
    }

    /// The request in one canonical spelling, relative to the base: for the `self` link and the audit record.
    pub fn canonical(&self) -> String {
        match self {
            Self::Read(Read { resource_type, id, content: None, shape }) => {
                let mut query = String::new();
                shape.write_elements(&mut query);
                let mark = if query.is_empty() { "" } else { "?" };
                format!("{resource_type}/{id}{mark}{query}")
            }
            Self::Read(Read { resource_type, id, content: Some(content), .. }) => {
                format!("{resource_type}/{id}/_content/{}", content.binary())
            }
            Self::Search(search) | Self::Page(Page { search, .. }) => {
                let query = search.query();
                let mark = if query.is_empty() { "" } else { "?" };
                [search.resource_type.as_str(), mark, &query].concat()
            }
        }
    }
}

/// A read of one resource.
#[derive(Clone, Debug)]
pub struct Read {
    resource_type: ResourceType,
    id: Id,
    shape: Shape,
    content: Option<Content>,
}

impl Read {
    pub(super) fn new(resource_type: ResourceType, id: Id, shape: Shape) -> Self {
        Self { resource_type, id, shape, content: None }
    }

    pub(super) fn of_content(self, content: Content) -> Self {
        Self { content: Some(content), ..self }
    }

    /// The content that is wanted in place of the document that is read; only a sealed link asks for it.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// The type.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// The logical id.
    pub fn id(&self) -> &Id {
        &self.id
    }
}

/// A search of one type.
#[derive(Clone, Debug)]
pub struct Search {
    pub(super) resource_type: ResourceType,
    pub(super) criteria: Vec<Criterion>,
    pub(super) includes: Vec<Include>,
    pub(super) sort: Vec<Sort>,
    pub(super) shape: Shape,
}

impl Search {
    /// The type that is searched.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// What a match must fulfil, all of it.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    /// What is to come along with the matches.
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// The order asked for.
    pub fn sort(&self) -> &[Sort] {
        &self.sort
    }

    /// How the result is to be shaped.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The whole search as one encoded query string, in canonical order.
    pub fn query(&self) -> String {
        let mut query = String::with_capacity(QUERY_BYTES);
        for criterion in &self.criteria {
            encode_pair(&criterion.key(), &criterion.value(), &mut query);
        }
        for include in &self.includes {
            encode_pair(include.direction.as_str(), &include.to_string(), &mut query);
        }
        if !self.sort.is_empty() {
            let keys: Vec<String> = self.sort.iter().map(ToString::to_string).collect();
            encode_pair("_sort", &keys.join(","), &mut query);
        }
        self.shape.write_elements(&mut query);
        if self.shape.total == TotalWanted::None {
            encode_pair("_total", "none", &mut query);
        }
        if self.shape.count_only {
            encode_pair("_summary", "count", &mut query);
        } else if let Some(count) = self.shape.count {
            encode_pair("_count", &count.to_string(), &mut query);
        }
        query
    }
}

/// A further page: the search it belongs to, and where the EHR continues it.
#[derive(Clone, Debug)]
pub struct Page {
    pub(super) search: Search,
    pub(super) continuation: Box<str>,
    pub(super) passed: u32,
    pub(super) decision: [u8; 16],
}

impl Page {
    /// The search whose page this is; decided anew.
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// Path and query below the EHR's base, as the EHR's own `next` link had them. Empty where the page begins within the
    /// first that the EHR gives.
    pub fn continuation(&self) -> &str {
        &self.continuation
    }

    /// Of what the EHR gives there, how many matches an earlier page held already.
    pub fn passed(&self) -> u32 {
        self.passed
    }

    /// Digest of the obligations under which the link was minted; another decision voids the link.
    pub fn decision(&self) -> &[u8; 16] {
        &self.decision
    }
}

/// Which way an include goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `_include`: what a match refers to.
    Forward,
    /// `_revinclude`: what refers to a match.
    Reverse,
}

impl Direction {
    /// The parameter's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "_include",
            Self::Reverse => "_revinclude",
        }
    }
}

/// One `_include` or `_revinclude`, without modifier or wildcard (R4 3.1.1.5.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Include {
    /// Which way.
    pub direction: Direction,
    /// The type that holds the reference.
    pub source: ResourceType,
    /// The reference parameter's name.
    pub parameter: Box<str>,
    /// The type referred to, where it was written.
    pub target: Option<ResourceType>,
}

impl Include {
    /// Reads `Source:parameter[:Target]`; `None` for wildcards and parameters that are no reference.
    pub fn parse(direction: Direction, text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let source = ResourceType::parse(parts.next()?).ok()?;
        let parameter = parts.next()?;
        let target = parts.next().map(ResourceType::parse).transpose().ok()?;
        let definition = crate::fhir::search::lookup(source, parameter)?;
        let refers = definition.kind == crate::fhir::search::ParameterKind::Reference;
        (refers && parts.next().is_none()).then(|| Self { direction, source, parameter: parameter.into(), target })
    }

    /// Whether resources of this type can come along.
    pub fn brings(&self, resource_type: ResourceType) -> bool {
        match self.direction {
            Direction::Reverse => self.source == resource_type,
            Direction::Forward => self.target.map_or_else(
                || {
                    let definition = crate::fhir::search::lookup(self.source, &self.parameter);
                    let targets = definition.map(|definition| definition.targets.as_slice()).unwrap_or_default();
                    targets.iter().any(|target| &**target == "Resource" || **target == *resource_type.as_str())
                },
                |target| target == resource_type,
            ),
        }
    }
}

impl std::fmt::Display for Include {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.source, self.parameter)?;
        self.target.map_or(Ok(()), |target| write!(f, ":{target}"))
    }
}

/// One key of `_sort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The search parameter's name.
    pub parameter: Box<str>,
    /// From high to low.
    pub descending: bool,
}

impl std::fmt::Display for Sort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.parameter)
    }
}

/// What the client says about a total (R4 3.1.1.5.2). The gateway states a total only where it has seen every match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TotalWanted {
    /// Whatever is cheap.
    #[default]
    Unstated,
    /// No total, please.
    None,
}

/// What is shown of each resource (R4 3.1.1.5.9), of what may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    /// All of it.
    #[default]
    Whole,
    /// All but the narrative (`_summary=data`).
    Data,
    /// The elements that R4 marks as the summary (`_summary=true`).
    Marked,
}

/// How a result is shaped; the gateway does this itself, after filtering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Matches per page, where the client said so.
    pub count: Option<u32>,
    /// Only the number of matches is wanted (`_summary=count`, `_count=0`).
    pub count_only: bool,
    /// Elements asked for (`_elements`); empty is all.
    pub elements: Vec<Box<str>>,
    /// What of a resource is shown.
    pub summary: Summary,
    /// Whether a total is wanted.
    pub total: TotalWanted,
}

impl Shape {
    fn write_elements(&self, query: &mut String) {
        if !self.elements.is_empty() {
            encode_pair("_elements", &self.elements.join(","), query);
        }
        match self.summary {
            Summary::Whole => {}
            Summary::Data => encode_pair("_summary", "data", query),
            Summary::Marked => encode_pair("_summary", "true", query),
        }
    }
}
