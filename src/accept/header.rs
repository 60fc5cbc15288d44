//! Header fields: which are read, and what no field may do.

use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::AcceptError;
use crate::limits;

/// Every header that a later step may read. The rest of a request's headers is ignored.
pub static READ: [HeaderName; 9] = [
    ACCEPT,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HOST,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    HeaderName::from_static("prefer"),
];

/// Of those, the lists of RFC 9110 section 5.6.1, which may be sent in several lines.
static LISTS: [HeaderName; 4] = [ACCEPT, CACHE_CONTROL, IF_NONE_MATCH, HeaderName::from_static("prefer")];

/// Ways to smuggle a second method past an allow-list. A server behind may honour them, so they are refused
/// rather than ignored.
const METHOD_OVERRIDES: [&str; 4] = ["x-http-method-override", "x-http-method", "x-method-override", "x-method"];

pub(super) fn check(headers: &HeaderMap) -> Result<(), AcceptError> {
    let mut before = None;
    for (name, value) in headers {
        // The map gives the values of one name one after the other.
        let is_repeated = before.replace(name) == Some(name);
        check_field(name, value, is_repeated)?;
    }
    Ok(())
}

/// Heads of HTTP/2 have the size and the count that [`super::head`] allows those of HTTP/1.
pub(super) fn check_size(parts: &Parts) -> Result<(), AcceptError> {
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if parts.headers.len() > limits::REQUEST_HEADERS || fields + target > limits::REQUEST_HEAD_BYTES {
        return Err(AcceptError::HeadTooLarge);
    }
    Ok(())
}

fn check_field(name: &HeaderName, value: &HeaderValue, is_repeated: bool) -> Result<(), AcceptError> {
    let text = name.as_str();
    if *name == TRANSFER_ENCODING {
        return only("chunked", value, is_repeated, AcceptError::TransferCoding);
    }
    if *name == EXPECT {
        return only("100-continue", value, is_repeated, AcceptError::Expectation);
    }
    if text == "content-encoding" {
        return Err(AcceptError::ContentCoding);
    }
    if text.contains('_') || is_framing_in_disguise(text) {
        return Err(AcceptError::HeaderName);
    }
    if METHOD_OVERRIDES.contains(&text) {
        return Err(AcceptError::MethodOverride);
    }
    let Some(read) = READ.iter().find(|read| *read == name) else {
        return Ok(());
    };
    if is_repeated && !LISTS.contains(name) {
        return Err(match *read {
            HOST => AcceptError::Authority("more than one host"),
            _ => AcceptError::Repeated(read.as_str()),
        });
    }
    if value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        Ok(())
    } else {
        Err(AcceptError::HeaderValue(read.as_str()))
    }
}

/// Names that become those of the framing where a reader is lax about what stands between their words.
fn is_framing_in_disguise(name: &str) -> bool {
    let reads_as = |framing: &str| name.bytes().filter(u8::is_ascii_alphanumeric).eq(framing.bytes());
    let is_long_enough = name.len() >= "contentlength".len();
    is_long_enough
        && !matches!(name, "content-length" | "transfer-encoding")
        && (reads_as("contentlength") || reads_as("transferencoding"))
}

fn only(allowed: &str, value: &HeaderValue, is_repeated: bool, refusal: AcceptError) -> Result<(), AcceptError> {
    if !is_repeated && value.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()) { Ok(()) } else { Err(refusal) }
}
