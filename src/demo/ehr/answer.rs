//! From a request to an answer, without a connection.
//!
//! Permissive where real servers are: a form of another media type is not read (so the search is unfiltered), a page
//! token is good for whoever has it, the base of all links is whatever `Host` says.

use std::collections::VecDeque;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use percent_encoding::percent_decode_str;

use super::behaviour::Behaviour;
use super::query::{self, Pair, Query};
use super::records::{Record, Records};
use super::search;
use super::write::{Searchset, capabilities, outcome};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::id::Token128;
use crate::understand::Include;

/// The path below which the server answers.
pub(super) const ROOT: &str = "fhir";
/// Searches whose further pages can be fetched; the oldest is forgotten for a newer one.
const PAGED_SEARCHES: usize = 1_000;

/// What of a request an answer depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Host and port where no `Host` is sent.
    pub(super) authority: &'a str,
}

impl Asked<'_> {
    /// The server's base URL, as this request would have it.
    pub(super) fn base(&self) -> String {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        format!("http://{}/{ROOT}", host.unwrap_or(self.authority))
    }

    /// The parameters of URL and form together.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let mut pairs = query::pairs(self.query.unwrap_or_default());
        let media_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media_type.starts_with("application/x-www-form-urlencoded") {
            pairs.extend(query::pairs(&String::from_utf8_lossy(self.body)));
        }
        pairs
    }

    fn is_strict(&self) -> bool {
        let said = self.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        said.flat_map(|value| value.split([',', ';'])).any(|part| part.trim() == "handling=strict")
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn ok(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body }
    }

    pub(super) fn refused(status: StatusCode, code: &str, diagnostics: &str) -> Self {
        Self { status, headers: Vec::new(), body: outcome(code, diagnostics) }
    }
}

/// A search with more than one page.
#[derive(Debug)]
struct Paged {
    token: String,
    matches: Vec<Arc<Record>>,
    includes: Vec<Include>,
    total: Option<usize>,
}

/// The searches that can be continued.
#[derive(Debug, Default)]
pub(super) struct Pages(VecDeque<Paged>);

/// Answers a request from `records`.
pub(super) fn answer(asked: &Asked<'_>, records: &Records, pages: &mut Pages, behaviour: &Behaviour) -> Answer {
    let decoded = percent_decode_str(asked.path).decode_utf8_lossy();
    let steps: Vec<&str> = decoded.split('/').filter(|step| !step.is_empty()).collect();
    let post = asked.method == Method::POST;
    if !post && asked.method != Method::GET && asked.method != Method::HEAD {
        return Answer::refused(StatusCode::METHOD_NOT_ALLOWED, "not-supported", "Only read and search are here");
    }
    match (post, steps.as_slice()) {
        (false, [ROOT, "metadata"]) => Answer::ok(capabilities(records, &asked.base())),
        (false, [ROOT]) => page(asked, records, pages, behaviour),
        (false, [ROOT, name]) | (_, [ROOT, name, "_search"]) => match ResourceType::parse(name) {
            Ok(resource_type) => search(asked, resource_type, records, pages, behaviour),
            Err(_) => unknown_type(name),
        },
        (false, [ROOT, name, id]) => match (ResourceType::parse(name), Id::parse(id)) {
            (Ok(resource_type), Ok(id)) => read(&Reference { resource_type, id }, records, behaviour),
            (Ok(_), Err(_)) => Answer::refused(StatusCode::BAD_REQUEST, "value", &format!("Invalid id \"{id}\"")),
            (Err(_), _) => unknown_type(name),
        },
        _ => Answer::refused(StatusCode::NOT_FOUND, "not-supported", &format!("Unknown path {decoded}")),
    }
}

fn unknown_type(name: &str) -> Answer {
    Answer::refused(StatusCode::NOT_FOUND, "not-supported", &format!("Unknown resource type '{name}'"))
}

fn read(wanted: &Reference, records: &Records, behaviour: &Behaviour) -> Answer {
    let other = |record: &&Arc<Record>| record.identity.id != wanted.id;
    let wrong = records.of_type(wanted.resource_type).find(other).filter(|_| behaviour.wrong_resource);
    match wrong.or_else(|| records.find(wanted)) {
        Some(record) => {
            let mut headers = vec![("etag", format!("W/\"{}\"", record.version))];
            let changed = record.last_updated.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
            let http_date = |instant: Timestamp| DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).ok();
            headers.extend(changed.and_then(http_date).map(|date| ("last-modified", date)));
            Answer { headers, ..Answer::ok(record.json.as_bytes().to_vec()) }
        }
        None if records.was_deleted(wanted) => {
            Answer::refused(StatusCode::GONE, "deleted", &format!("Resource {wanted} was deleted"))
        }
        None => Answer::refused(StatusCode::NOT_FOUND, "not-found", &format!("Resource {wanted} is not known")),
    }
}

fn search(
    asked: &Asked<'_>,
    resource_type: ResourceType,
    records: &Records,
    pages: &mut Pages,
    behaviour: &Behaviour,
) -> Answer {
    let base = asked.base();
    let foreign = behaviour.foreign_next_link.as_deref();
    if behaviour.careless {
        let own = format!("{base}/{resource_type}");
        let matches = records.all();
        let all =
            Searchset { base: &base, own: &own, next: foreign, total: Some(matches.len()), matches, included: &[] };
        return Answer::ok(all.write());
    }
    let mut query = match Query::read(resource_type, &asked.pairs(), &base, asked.is_strict()) {
        Ok(query) => query,
        Err(diagnostics) => return Answer::refused(StatusCode::BAD_REQUEST, "processing", &diagnostics),
    };
    if behaviour.ignores_includes {
        query.includes.clear();
        let kept =
            query.honoured.split('&').filter(|pair| !pair.starts_with("_include") && !pair.starts_with("_revinclude"));
        query.honoured = kept.collect::<Vec<_>>().join("&");
    }
    let mark = if query.honoured.is_empty() { "" } else { "?" };
    let own = format!("{base}/{resource_type}{mark}{}", query.honoured);
    let matches = search::matches(records, &query, &base);
    let total = query.states_total.then_some(matches.len());
    if query.count_only {
        let total = Some(matches.len());
        return Answer::ok(Searchset { base: &base, own: &own, total, ..Searchset::default() }.write());
    }
    let token = if matches.len() > query.count { Token128::random().map(|token| token.to_string()) } else { None };
    let paged = Paged { token: token.unwrap_or_default(), matches, includes: query.includes, total };
    let body = slice(&paged, 0, query.count, &own, &base, records, foreign);
    if !paged.token.is_empty() {
        if pages.0.len() == PAGED_SEARCHES {
            pages.0.pop_front();
        }
        pages.0.push_back(paged);
    }
    Answer::ok(body)
}

/// A further page, named by its token alone.
fn page(asked: &Asked<'_>, records: &Records, pages: &Pages, behaviour: &Behaviour) -> Answer {
    let pairs = asked.pairs();
    let Some(token) = query::first(&pairs, "_getpages") else {
        return Answer::refused(StatusCode::BAD_REQUEST, "not-supported", "System search is not here");
    };
    let Some(paged) = pages.0.iter().find(|paged| paged.token == token) else {
        let diagnostics = format!("Search ID \"{token}\" does not exist and may have expired");
        return Answer::refused(StatusCode::GONE, "processing", &diagnostics);
    };
    let offset = query::first(&pairs, "_getpagesoffset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
    let Some(count) = query::page_size(query::first(&pairs, "_count")).filter(|count| *count > 0) else {
        return Answer::refused(StatusCode::BAD_REQUEST, "value", "Invalid _count");
    };
    let base = asked.base();
    let own = continuation(&base, token, offset, count);
    Answer::ok(slice(paged, offset, count, &own, &base, records, behaviour.foreign_next_link.as_deref()))
}

fn slice(
    paged: &Paged,
    offset: usize,
    count: usize,
    own: &str,
    base: &str,
    records: &Records,
    foreign: Option<&str>,
) -> Vec<u8> {
    let end = offset.saturating_add(count).min(paged.matches.len());
    let matches = paged.matches.get(offset..end).unwrap_or_default();
    let included = search::included(records, &paged.includes, matches, base);
    let rest =
        (end < paged.matches.len() && !paged.token.is_empty()).then(|| continuation(base, &paged.token, end, count));
    let next = foreign.or(rest.as_deref());
    Searchset { base, own, next, total: paged.total, matches, included: &included }.write()
}

fn continuation(base: &str, token: &str, offset: usize, count: usize) -> String {
    format!("{base}?_getpages={token}&_getpagesoffset={offset}&_count={count}&_bundletype=searchset")
}
