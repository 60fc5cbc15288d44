//! The answer to a batch: the answers to its entries, each of which was recorded before it came here.

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderValue, StatusCode};

use super::body::Body;
use super::outcome::{Issue, operation_outcome};
use super::{Answer, X_REQUEST_ID};
use crate::fhir::json::write_string;

/// The body of a batch's answer. Made of answers only.
#[derive(Debug)]
pub struct Composed(Vec<u8>);

impl Composed {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Composed> for Bytes {
    fn from(composed: Composed) -> Self {
        composed.0.into()
    }
}

/// Composes the answers to the entries of a batch, in their order. The element id of an entry is the id of its exchange.
/// An answer that is sent in pieces is too large to stand in a batch; it is dropped, and its record says that it was cut.
pub fn compose(answers: Vec<Answer>) -> Composed {
    let mut out = b"{\"resourceType\":\"Bundle\",\"type\":\"batch-response\"".to_vec();
    let is_empty = answers.is_empty();
    for (at, Answer(answer)) in answers.into_iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"entry\":[" } else { b"," });
        let (parts, body) = answer.into_parts();
        let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let exchange = header(X_REQUEST_ID).unwrap_or_default();
        let (status, body) = match body {
            Body::Whole(bytes) => (parts.status, bytes.unwrap_or_default()),
            Body::Stream(_) => (StatusCode::PAYLOAD_TOO_LARGE, too_large(exchange).into()),
        };
        out.extend_from_slice(format!("{{\"id\":\"{exchange}\"").as_bytes());
        if status.is_success() && !body.is_empty() {
            out.extend_from_slice(b",\"resource\":");
            out.extend_from_slice(&body);
        }
        let reason = status.canonical_reason().unwrap_or_default();
        out.extend_from_slice(format!(",\"response\":{{\"status\":\"{} {reason}\"", status.as_u16()).as_bytes());
        if let Some(etag) = header(ETAG) {
            out.extend_from_slice(b",\"etag\":");
            write_string(etag, &mut out);
        }
        if !status.is_success() && !body.is_empty() {
            out.extend_from_slice(b",\"outcome\":");
            out.extend_from_slice(&body);
        }
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(if is_empty { b"}" } else { b"]}" });
    Composed(out)
}

fn too_large(exchange: &str) -> Vec<u8> {
    let text = "The answer is too large for a batch; ask for it by itself.".to_owned();
    operation_outcome(&[Issue { code: "too-costly", reason: None, text }], &format!("Request {exchange}."))
}
