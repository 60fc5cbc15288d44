//! What a search asks, read the way a permissive server reads it: unknown parameters and empty values are dropped
//! unless `Prefer: handling=strict`, result parameters it cannot honour are taken and ignored.

use percent_encoding::percent_decode_str;

use crate::fhir::name::ResourceType;
use crate::fhir::search::{Criterion, SearchError, lookup};
use crate::understand::{Direction, Include, Sort, encode_pair};

/// Entries on a page where the request says nothing.
const PAGE: usize = 20;
/// Entries on a page, at most.
const PAGE_MAX: usize = 200;
/// Result parameters that are taken and change nothing here.
const IGNORED: &[&str] = &["_format", "_pretty", "_elements", "_contained", "_bundletype"];

/// A decoded `name=value`.
pub(super) type Pair = (String, String);

/// Decodes a query or form. Every byte sequence is some text, every pair has some value.
pub(super) fn pairs(text: &str) -> Vec<Pair> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

/// The first value of a parameter.
pub(super) fn first<'p>(pairs: &'p [Pair], name: &str) -> Option<&'p str> {
    pairs.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

/// The page size that `_count` asks for, within what the server allows.
pub(super) fn page_size(count: Option<&str>) -> Option<usize> {
    count.map_or(Some(PAGE), |count| count.parse::<usize>().ok()).map(|count| count.min(PAGE_MAX))
}

/// A search, understood.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) resource_type: ResourceType,
    pub(super) criteria: Vec<Criterion>,
    pub(super) includes: Vec<Include>,
    pub(super) sort: Vec<Sort>,
    pub(super) count: usize,
    pub(super) count_only: bool,
    pub(super) states_total: bool,
    /// The parameters that were honoured, encoded, for the `self` link.
    pub(super) honoured: String,
}

impl Query {
    /// Reads a search. The error is the server's diagnostics: like many a server's, it repeats what it was sent.
    pub(super) fn read(resource_type: ResourceType, pairs: &[Pair], base: &str, strict: bool) -> Result<Self, String> {
        let mut query = Self {
            resource_type,
            criteria: Vec::new(),
            includes: Vec::new(),
            sort: Vec::new(),
            count: page_size(None).unwrap_or(PAGE),
            count_only: false,
            states_total: true,
            honoured: String::new(),
        };
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            if query.take(name, value, base)? {
                encode_pair(name, value, &mut query.honoured);
            } else if strict {
                return Err(format!(
                    "Unknown search parameter \"{name}\" for type {resource_type} (value \"{value}\")"
                ));
            }
        }
        Ok(query)
    }

    /// Takes a parameter in; tells whether it is known.
    fn take(&mut self, name: &str, value: &str, base: &str) -> Result<bool, String> {
        let invalid = || format!("Invalid value \"{value}\" of parameter {name}");
        match name {
            "_include" | "_revinclude" => {
                let direction = if name == "_include" { Direction::Forward } else { Direction::Reverse };
                self.includes.push(Include::parse(direction, value).ok_or_else(invalid)?);
            }
            "_sort" => {
                for key in value.split(',') {
                    let (parameter, descending) = key.strip_prefix('-').map_or((key, false), |rest| (rest, true));
                    lookup(self.resource_type, parameter).ok_or_else(invalid)?;
                    self.sort.push(Sort { parameter: parameter.into(), descending });
                }
            }
            "_count" => {
                self.count = page_size(Some(value)).ok_or_else(invalid)?;
                self.count_only |= self.count == 0;
            }
            "_summary" => self.count_only |= value == "count",
            "_total" => self.states_total = value != "none",
            ignored if IGNORED.contains(&ignored) => {}
            _ => match Criterion::parse(self.resource_type, name, value, &[base]) {
                Ok(criterion) => self.criteria.push(criterion),
                Err(SearchError::Parameter(_) | SearchError::Chain(_)) => return Ok(false),
                Err(SearchError::Modifier(..) | SearchError::Value(..) | SearchError::Limit(_)) => {
                    return Err(invalid());
                }
            },
        }
        Ok(true)
    }
}
