//! Step 9: the answer.
//!
//! Takes: what may leave, and the receipt that says it is recorded. Gives: [`Answer`], the only thing a connection is
//! handed. Guarantees: no answer without a receipt, but for the one that says that there can be none; headers of our
//! own; nothing that names the EHR. Refuses: nothing; faults become answers here, by one table.

pub mod body;
pub mod outcome;
pub mod refusal;
#[cfg(test)]
mod tests;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use crate::audit::Receipt;
use crate::filter::Released;
use crate::id::ExchangeId;
use crate::publish::{Document, Media};
use body::{Body, Sender};
use refusal::Refusal;

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
