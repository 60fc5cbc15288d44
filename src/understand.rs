//! Step 3: what is asked.
//!
//! Takes: the method, path, query and form of an accepted request. Gives: one [`Interaction`], typed to the
//! last value. Guarantees: whatever reaches the EHR later is written from this value; two spellings of one
//! request are one interaction. Refuses: anything not understood, naming it (never its value). No I/O.

mod batch;
mod content;
mod everything;
mod interaction;
mod media;
mod operation;
mod page;
mod query;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use batch::{BatchEntry, batch};
pub use content::{Content, ContentLink};
pub use everything::{Everything, everything};
pub use interaction::{Direction, Include, Interaction, Page, Read, Search, Shape, Sort, Summary, TotalWanted};
pub use media::{accepts_json, is_form, is_json};
pub use page::{PageKey, PageLink};
pub(crate) use query::decode as decode_query;
pub use query::{QUERY_BYTES, encode_pair};

use crate::clock::Now;
use crate::fhir::name::{Id, NameError, ResourceType};
use crate::fhir::search::SearchError;
use crate::fhir::subject;

/// Why a request is not understood. Texts name what was written on the left of `=`, or a path step; never a value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UnderstandError {
    /// The body of a POST to the base is not a batch.
    #[error("the body must be a Bundle of type batch")]
    Batch,
    /// What is wrong with one entry of a batch: a member of it.
    #[error("`{0}` of the batch entry is not supported")]
    BatchEntry(&'static str),
    /// More entries than [`crate::limits::BATCH_ENTRIES`].
    #[error("the batch has too many entries")]
    BatchLength,
    /// The body of a POST to the base does not say that it is FHIR JSON.
    #[error("the body of a batch must be application/fhir+json")]
    BatchMedia,
    /// The body of `POST [type]/_search` is not a form, or not in a charset that can be read.
    #[error("the body of a search must be application/x-www-form-urlencoded in UTF-8")]
    Body,
    /// A content link that cannot be opened: altered, expired, or another client's.
    #[error("the content link is not valid for this client or has expired; read the document again")]
    ContentLink,
    /// A form or query that is not `name=value&…` in percent-encoded UTF-8.
    #[error("the query is not well-formed application/x-www-form-urlencoded")]
    Encoding,
    /// `_format` or `Accept` leaves no JSON.
    #[error("only JSON is served")]
    Format,
    /// An interaction that FHIR knows and the gateway does not serve.
    #[error("the interaction `{0}` is not supported")]
    Interaction(&'static str),
    /// An operation that is not served, or not in this place.
    #[error("the operation `{0}` is not supported")]
    Operation(&'static str),
    /// The body of an operation is not Parameters in FHIR JSON, or holds what the operation does not take.
    #[error("the body of the operation must be Parameters of plain values in application/fhir+json")]
    OperationBody,
    /// A parameter that R4 has for an operation and the gateway does not serve.
    #[error("parameter `{0}` of the operation is not supported")]
    OperationParameter(&'static str),
    /// Not a logical id.
    #[error("the path does not hold a valid logical id")]
    LogicalId,
    /// A search with more than one page, which a page link of [`crate::limits::PAGE_LINK_BYTES`] cannot hold.
    #[error("the search is too long to be continued on a further page; ask for less at once")]
    Unpageable,
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
        (false, ["_content", token]) => match asked.query {
            None => content::read(token, setting).map(Interaction::Read),
            Some(_) => Err(UnderstandError::ContentLink),
        },
        (_, [name, ..] | [_, name, ..] | [_, _, name, ..] | [_, _, _, _, name, ..]) if name.starts_with('$') => {
            Err(UnderstandError::Operation(operation::name(name)))
        }
        (false, ["_history"]) => Err(UnderstandError::Interaction("history-system")),
        (false, [_, "_history"]) => Err(UnderstandError::Interaction("history-type")),
        (false, [_, _, "_history"]) => Err(UnderstandError::Interaction("history-instance")),
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
        (false, ["Patient", id, resource_type]) | (true, ["Patient", id, resource_type, "_search"]) => {
            compartment(&Id::parse(id)?, resource_type, asked, setting)
        }
        (false, [_, _, _]) | (true, [_, _, _, "_search"]) => Err(UnderstandError::Interaction("compartment search")),
        _ => Err(UnderstandError::Path),
    }
}

fn read(resource_type: ResourceType, id: Id, asked: Asked<'_>) -> Result<Interaction, UnderstandError> {
    let shape = query::shape_of_read(&query::decode(asked.query.unwrap_or_default())?)?;
    Ok(Interaction::Read(Read::new(resource_type, id, shape)))
}

fn search(resource_type: ResourceType, asked: Asked<'_>, setting: Setting<'_>) -> Result<Interaction, UnderstandError> {
    query::search(resource_type, &pairs(asked)?, setting.bases).map(Interaction::Search)
}

/// `Patient/[id]/[type]?…` (R4 3.1.1.1.2): the search of the type with the patient added, so that it finds whose records
/// they are. What else a patient's compartment holds, such as another patient's record that this one signed, it does not.
fn compartment(
    patient: &Id,
    resource_type: &str,
    asked: Asked<'_>,
    setting: Setting<'_>,
) -> Result<Interaction, UnderstandError> {
    let unsupported = UnderstandError::Interaction("compartment search");
    if resource_type == "*" {
        return Err(unsupported);
    }
    let resource_type = ResourceType::parse(resource_type)?;
    let parameter = subject::parameter(resource_type).ok_or(unsupported)?;
    let value = if parameter == "_id" { patient.to_string() } else { format!("Patient/{patient}") };
    let mut all = vec![(parameter.to_owned(), value)];
    all.extend(pairs(asked)?);
    query::search(resource_type, &all, setting.bases).map(Interaction::Search)
}

/// The parameters of query and form.
fn pairs(asked: Asked<'_>) -> Result<Vec<query::Pair>, UnderstandError> {
    let mut pairs = query::decode(asked.query.unwrap_or_default())?;
    if let Some(form) = asked.form {
        let form = std::str::from_utf8(form).map_err(|_| UnderstandError::Encoding)?;
        pairs.extend(query::decode(form)?);
    }
    Ok(pairs)
}
