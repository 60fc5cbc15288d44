//! Step 3: what is asked.
//!
//! Takes: the method, path, query and form of an accepted request. Gives: one [`Interaction`], typed to the
//! last value. Guarantees: whatever reaches the EHR later is written from this value; two spellings of one
//! request are one interaction. Refuses: anything not understood, naming it (never its value). No I/O.

mod interaction;
mod media;
mod page;
mod query;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use interaction::{Direction, Include, Interaction, Page, Read, Search, Shape, Sort, TotalWanted};
pub use media::{accepts_json, is_form};
pub use page::{PageKey, PageLink};
pub(crate) use query::decode as decode_query;
pub use query::encode_pair;

use crate::clock::Now;
use crate::fhir::name::{Id, NameError, ResourceType};
use crate::fhir::search::SearchError;

/// Why a request is not understood. Texts name what was written on the left of `=`, or a path step; never a value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UnderstandError {
    /// The body of `POST [type]/_search` is not a form, or not in a charset that can be read.
    #[error("the body of a search must be application/x-www-form-urlencoded in UTF-8")]
    Body,
    /// A form or query that is not `name=value&…` in percent-encoded UTF-8.
    #[error("the query is not well-formed application/x-www-form-urlencoded")]
    Encoding,
    /// `_format` or `Accept` leaves no JSON.
    #[error("only JSON is served")]
    Format,
    /// An interaction that FHIR knows and the gateway does not serve.
    #[error("the interaction `{0}` is not supported")]
    Interaction(&'static str),
    /// Not a logical id.
    #[error("the path does not hold a valid logical id")]
    LogicalId,
    /// A page link that cannot be opened: altered, expired, or another client's.
    #[error("the page link is not valid for this client or has expired; run the search again")]
    PageLink,
    /// More parameters than [`crate::limits::SEARCH_PARAMETERS`].
    #[error("too many search parameters")]
    Parameters,
    /// The path is not one of FHIR's.
    #[error("the path is not a FHIR interaction")]
    Path,
    /// A parameter that may be written once is repeated.
    #[error("parameter `{0}` is repeated")]
    Repeated(&'static str),
    /// The resource type is not one of R4's.
    #[error("the resource type in the path is not one of R4")]
    ResourceType,
    /// A search parameter is refused.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A result parameter (`_count`, `_include`…) has a value that is not supported.
    #[error("the value of `{0}` is not supported")]
    Value(&'static str),
}

impl From<NameError> for UnderstandError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Id => Self::LogicalId,
            NameError::ResourceType => Self::ResourceType,
        }
    }
}

/// What of an accepted request says what is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whether the method is POST; otherwise GET or HEAD.
    pub post: bool,
    /// The steps of the path below the base.
    pub path: &'a [&'a str],
    /// The query as it came, without the question mark.
    pub query: Option<&'a str>,
    /// The body of a POST.
    pub form: Option<&'a [u8]>,
}

/// What surrounds a request: who asks, when, and which base URLs mean this server.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The gateway's base URL, without a slash at the end: references in values may be absolute under it.
    pub bases: &'a [&'a str],
    /// The key page links are sealed with.
    pub pages: &'a PageKey,
    /// The client a page link must have been minted for.
    pub client: &'a str,
    /// The purpose a page link must have been minted for.
    pub purpose: &'a str,
    /// The time.
    pub now: Now,
}

/// Understands a request.
pub fn understand(asked: Asked<'_>, setting: Setting<'_>) -> Result<Interaction, UnderstandError> {
    match (asked.post, asked.path) {
        (false, ["_page", token]) => match asked.query {
            None => setting.pages.open(token, setting).map(Interaction::Page),
            Some(_) => Err(UnderstandError::PageLink),
        },
        (_, [name, ..]) | (_, [_, name, ..]) if name.starts_with('$') => Err(UnderstandError::Interaction("operation")),
        (_, [_, _, name, ..]) if name.starts_with('$') => Err(UnderstandError::Interaction("operation")),
        (false, ["_history"] | [_, "_history"] | [_, _, "_history"]) => Err(UnderstandError::Interaction("history")),
        (false, [resource_type]) => search(ResourceType::parse(resource_type)?, asked, setting),
        (true, [resource_type, "_search"]) => search(ResourceType::parse(resource_type)?, asked, setting),
        (true, []) => Err(UnderstandError::Interaction("batch")),
        (true, ["_search"]) => Err(UnderstandError::Interaction("search-system")),
        (true, [resource_type]) => {
            ResourceType::parse(resource_type)?;
            Err(UnderstandError::Interaction("create"))
        }
        (false, []) => Err(UnderstandError::Interaction("search-system")),
        (false, [_, _, "_history", _]) => Err(UnderstandError::Interaction("vread")),
        (false, [resource_type, id]) => read(ResourceType::parse(resource_type)?, Id::parse(id)?, asked),
        (false, [_, _, _]) => Err(UnderstandError::Interaction("compartment search")),
        _ => Err(UnderstandError::Path),
    }
}

fn read(resource_type: ResourceType, id: Id, asked: Asked<'_>) -> Result<Interaction, UnderstandError> {
    let shape = query::shape_of_read(&query::decode(asked.query.unwrap_or_default())?)?;
    Ok(Interaction::Read(Read::new(resource_type, id, shape)))
}

fn search(resource_type: ResourceType, asked: Asked<'_>, setting: Setting<'_>) -> Result<Interaction, UnderstandError> {
    let mut pairs = query::decode(asked.query.unwrap_or_default())?;
    if let Some(form) = asked.form {
        let form = std::str::from_utf8(form).map_err(|_| UnderstandError::Encoding)?;
        pairs.extend(query::decode(form)?);
    }
    query::search(resource_type, &pairs, setting.bases).map(Interaction::Search)
}
