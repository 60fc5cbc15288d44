//! Step 9: the answer.
//!
//! Takes: what may leave, and the receipt that says it is recorded. Gives: [`Answer`], the only thing a connection is
//! handed. Guarantees: no answer without a receipt, but for the one that says that there can be none; headers of our
//! own; nothing that names the EHR. Refuses: nothing; faults become answers here, by one table.

mod batch;
pub mod body;
mod everything;
pub mod outcome;
pub mod refusal;
mod signed;
#[cfg(test)]
mod tests;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use crate::audit::Receipt;
use crate::filter::{Attached, Released};
use crate::id::ExchangeId;
use crate::publish::{Document, Media};
pub use batch::{Composed, compose};
use body::{Body, Sender};
pub use everything::{Merged, Merging, Unmerged};
use refusal::Refusal;
pub use signed::{Finished, Signed};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer that may be sent. Made here only, and only against a receipt.
#[derive(Debug)]
pub struct Answer(Response<Body>);

impl Answer {
    /// The HTTP response.
    pub fn into_http(self) -> Response<Body> {
        self.0
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

/// What may leave, recorded.
pub fn released(released: Released, recorded: &Receipt) -> Answer {
    Answer(response(StatusCode::OK, Media::FhirJson, recorded.exchange(), Body::whole(released.into())))
}

/// One resource that may leave, recorded, under the tag by which a client can ask whether it has changed.
pub fn tagged(resource: Released, tag: &str, recorded: &Receipt) -> Answer {
    let Answer(mut response) = released(resource, recorded);
    response.headers_mut().extend(HeaderValue::from_str(tag).ok().map(|tag| (ETAG, tag)));
    Answer(response)
}

/// That what may leave is what the client has already, recorded (RFC 9110 section 15.4.5).
pub fn not_modified(tag: &str, recorded: &Receipt) -> Answer {
    let body = Body::whole(bytes::Bytes::new());
    let mut response = response(StatusCode::NOT_MODIFIED, Media::FhirJson, recorded.exchange(), body);
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().extend(HeaderValue::from_str(tag).ok().map(|tag| (ETAG, tag)));
    Answer(response)
}

/// The answers to a batch's entries, and the batch itself recorded.
pub fn batch(composed: Composed, recorded: &Receipt) -> Answer {
    let body = Body::whole(composed.into());
    Answer(response(StatusCode::OK, Media::FhirJson, recorded.exchange(), body))
}

/// A searchset that is signed, recorded.
pub fn signed(signed: Signed, recorded: &Receipt) -> Answer {
    Answer(response(StatusCode::OK, Media::FhirJson, recorded.exchange(), Body::whole(signed.into())))
}

/// All about a patient, and the operation itself recorded.
pub fn merged(merged: Merged, recorded: &Receipt) -> Answer {
    Answer(response(StatusCode::OK, Media::FhirJson, recorded.exchange(), Body::whole(merged.into())))
}

/// The content of a document, recorded: to be saved, never to be shown as a page of the gateway's.
pub fn attached(attached: Attached, recorded: &Receipt) -> Answer {
    let body = Body::whole(attached.bytes.into());
    let mut response = response(StatusCode::OK, Media::FhirJson, recorded.exchange(), body);
    let media = HeaderValue::from_str(&attached.media);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Answer(response)
}

/// A document about the gateway itself, recorded.
pub fn document(document: &Document, recorded: &Receipt) -> Answer {
    let body = Body::whole(document.bytes().clone());
    Answer(response(StatusCode::OK, document.media(), recorded.exchange(), body))
}

/// An answer whose body follows piece by piece, each of them released. Its beginning is recorded; whoever sends has
/// the duty to record how it ended.
pub fn streamed(recorded: &Receipt) -> (Answer, Sender) {
    let (sender, body) = Body::stream();
    (Answer(response(StatusCode::OK, Media::FhirJson, recorded.exchange(), body)), sender)
}

/// A refusal, recorded.
pub fn refused(refusal: &Refusal, recorded: &Receipt) -> Answer {
    refusal_answer(recorded.exchange(), refusal)
}

/// The one answer that has no record: that there can be none. It says nothing else.
pub fn unrecorded(exchange: ExchangeId) -> Answer {
    refusal_answer(&exchange.to_string(), &Refusal::unrecorded())
}

fn refusal_answer(exchange: &str, refusal: &Refusal) -> Answer {
    let body = refusal.body(exchange);
    let mut response = response(refusal.status(), Media::FhirJson, exchange, Body::whole(body.into()));
    let headers = response.headers_mut();
    if refusal.closes() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(challenge) = refusal.challenge().and_then(|challenge| HeaderValue::from_str(challenge).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    match refusal.status() {
        StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"))),
        StatusCode::TOO_MANY_REQUESTS => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
        StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("5"))),
        _ => {}
    }
    Answer(response)
}

fn response(status: StatusCode, media: Media, exchange: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, if media == Media::Json { JSON } else { FHIR_JSON });
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(exchange) {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}
