//! Query strings and forms: decoded once, strictly; encoded once, canonically.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::interaction::{Direction, Include, Search, Shape, Sort, Summary, TotalWanted};
use super::{UnderstandError, media};
use crate::fhir::name::ResourceType;
use crate::fhir::search::{Criterion, SearchError, lookup};
use crate::limits;

/// RFC 3986 unreserved characters, and the three of a query that FHIR values are full of.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/').remove(b',');

/// A decoded `name=value`.
pub(crate) type Pair = (String, String);

/// Search parameters that read what no caller is told: labels and where a record came from.
const WITHHELD_PARAMETERS: &[&str] = &["_security", "_source"];

/// Parameters that say what comes along and how the result is shaped (R4 3.1.1.5); their modifiers are not those of
/// search parameters.
const RESULT_PARAMETERS: &[&str] = &[
    "_contained",
    "_containedType",
    "_count",
    "_elements",
    "_format",
    "_include",
    "_pretty",
    "_revinclude",
    "_sort",
    "_summary",
    "_total",
];

/// Bytes that a query of a few parameters takes.
pub const QUERY_BYTES: usize = 256;

/// Appends `name=value` to a query, encoded.
pub fn encode_pair(name: &str, value: &str, query: &mut String) {
    if !query.is_empty() {
        query.push('&');
    }
    query.extend(utf8_percent_encode(name, KEPT));
    query.push('=');
    query.extend(utf8_percent_encode(value, KEPT));
}

/// Decodes `application/x-www-form-urlencoded` text. A stray `%`, bytes that are not UTF-8, control characters and
/// pairs without `=` are refused, because another parser could read them differently.
pub(crate) fn decode(text: &str) -> Result<Vec<Pair>, UnderstandError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<&str> = text.split('&').collect();
    if pairs.len() > limits::SEARCH_PARAMETERS {
        return Err(UnderstandError::Parameters);
    }
    let pair = |pair: &&str| {
        let (name, value) = pair.split_once('=').ok_or(UnderstandError::Encoding)?;
        let name = decode_part(name)?;
        if name.is_empty() {
            return Err(UnderstandError::Encoding);
        }
        Ok((name, decode_part(value)?))
    };
    pairs.iter().map(pair).collect()
}

fn decode_part(text: &str) -> Result<String, UnderstandError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        if byte == b'%' && !(hex(bytes.next()) && hex(bytes.next())) {
            return Err(UnderstandError::Encoding);
        }
    }
    let spaced: Cow<'_, str> =
        if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| UnderstandError::Encoding)?;
    if decoded.chars().any(char::is_control) {
        return Err(UnderstandError::Encoding);
    }
    Ok(decoded.into_owned())
}

/// Understands the parameters of a search of `resource_type`.
pub(super) fn search(resource_type: ResourceType, pairs: &[Pair], bases: &[&str]) -> Result<Search, UnderstandError> {
    let mut search =
        Search { resource_type, criteria: Vec::new(), includes: Vec::new(), sort: Vec::new(), shape: Shape::default() };
    let mut seen = Vec::new();
    for (name, value) in pairs {
        match name.as_str() {
            "_include" => search.includes.push(include(Direction::Forward, "_include", value)?),
            "_revinclude" => search.includes.push(include(Direction::Reverse, "_revinclude", value)?),
            "_sort" => {
                once("_sort", &mut seen)?;
                search.sort = sort(resource_type, value)?;
            }
            other => {
                if shape_parameter(other, value, &mut search.shape, &mut seen)? {
                    continue;
                }
                let (plain, modifier) = other.split_once(':').unwrap_or((other, ""));
                if WITHHELD_PARAMETERS.contains(&plain) {
                    return Err(SearchError::Parameter(plain.into()).into());
                }
                if RESULT_PARAMETERS.contains(&plain) && !modifier.is_empty() {
                    return Err(SearchError::Modifier(plain.into(), printable(modifier)).into());
                }
                search.criteria.push(Criterion::parse(resource_type, other, value, bases)?);
            }
        }
    }
    // Where only the number is wanted there are no pages and no resources, whichever parameter was written first.
    if search.shape.count_only {
        (search.shape.count, search.shape.summary) = (None, Summary::Whole);
    }
    Ok(search)
}

/// Understands the parameters of a read: only those that shape the result.
pub(super) fn shape_of_read(pairs: &[Pair]) -> Result<Shape, UnderstandError> {
    let (mut shape, mut seen) = (Shape::default(), Vec::new());
    for (name, value) in pairs {
        let known = matches!(name.as_str(), "_format" | "_pretty" | "_elements" | "_summary");
        if !(known && shape_parameter(name, value, &mut shape, &mut seen)?) || shape.count_only {
            return Err(SearchError::Parameter(printable(name)).into());
        }
    }
    Ok(shape)
}

/// What of a client's own words on the left of `=` may be repeated in an answer.
pub(super) fn printable(text: &str) -> Box<str> {
    text.chars().filter(char::is_ascii_graphic).take(64).collect::<String>().into()
}

/// Takes in a parameter that shapes the result; tells whether it was one.
pub(super) fn shape_parameter(
    name: &str,
    value: &str,
    shape: &mut Shape,
    seen: &mut Vec<&'static str>,
) -> Result<bool, UnderstandError> {
    match name {
        "_format" => {
            once("_format", seen)?;
            if !media::is_json_format(value) {
                return Err(UnderstandError::Format);
            }
        }
        "_pretty" => {
            once("_pretty", seen)?;
            if !matches!(value, "true" | "false") {
                return Err(UnderstandError::Value("_pretty"));
            }
        }
        "_count" => {
            once("_count", seen)?;
            let digits = !value.is_empty() && value.len() <= 9 && value.bytes().all(|byte| byte.is_ascii_digit());
            let count: u32 = digits.then(|| value.parse().ok()).flatten().ok_or(UnderstandError::Value("_count"))?;
            shape.count_only |= count == 0;
            shape.count = (count > 0).then_some(count);
        }
        "_summary" => {
            once("_summary", seen)?;
            match value {
                "false" => {}
                "count" => shape.count_only = true,
                "data" => shape.summary = Summary::Data,
                "true" => shape.summary = Summary::Marked,
                _ => return Err(UnderstandError::Value("_summary")),
            }
        }
        "_total" => {
            once("_total", seen)?;
            shape.total = match value {
                "none" => TotalWanted::None,
                "estimate" | "accurate" => TotalWanted::Unstated,
                _ => return Err(UnderstandError::Value("_total")),
            };
        }
        "_contained" => {
            once("_contained", seen)?;
            if value != "false" {
                return Err(UnderstandError::Value("_contained"));
            }
        }
        "_elements" => {
            once("_elements", seen)?;
            for element in value.split(',') {
                let plain = !element.is_empty()
                    && element.len() <= 64
                    && element.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if !plain {
                    return Err(UnderstandError::Value("_elements"));
                }
                shape.elements.push(element.into());
            }
            shape.elements.sort_unstable();
            shape.elements.dedup();
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn include(direction: Direction, name: &'static str, value: &str) -> Result<Include, UnderstandError> {
    Include::parse(direction, value).ok_or(UnderstandError::Value(name))
}

fn sort(resource_type: ResourceType, value: &str) -> Result<Vec<Sort>, UnderstandError> {
    let key = |key: &str| {
        let (parameter, descending) = key.strip_prefix('-').map_or((key, false), |rest| (rest, true));
        let known = !WITHHELD_PARAMETERS.contains(&parameter) && lookup(resource_type, parameter).is_some();
        known.then(|| Sort { parameter: parameter.into(), descending }).ok_or(UnderstandError::Value("_sort"))
    };
    if value.split(',').count() > limits::SORT_KEYS {
        return Err(UnderstandError::Value("_sort"));
    }
    value.split(',').map(key).collect()
}

pub(super) fn once(name: &'static str, seen: &mut Vec<&'static str>) -> Result<(), UnderstandError> {
    if seen.contains(&name) {
        return Err(UnderstandError::Repeated(name));
    }
    seen.push(name);
    Ok(())
}
