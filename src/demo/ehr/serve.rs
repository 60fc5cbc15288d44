//! The connections of an EHR: record the request, answer it, and misbehave as told.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::answer::{Answer, Asked};
use super::behaviour::{Behaviour, FHIR_JSON, Reply};
use super::body::{Body, gzip};
use super::{Received, Shared, query};
use crate::fhir::name::ResourceType;

/// A request body, at most: far beyond what a gateway may send.
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// A piece of a body that is not dripped.
const PIECE: usize = 16 * 1024;
/// Pause after an accept that failed, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Accepts connections until the future is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connection = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connection += 1;
                tokio::spawn(converse(stream, connection, shared.clone()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse(stream: TcpStream, connection: u64, shared: Arc<Shared>) {
    let served = AtomicU64::new(0);
    let service = service_fn(|request| exchange(request, connection, &served, &shared));
    // A connection that ends badly is the caller's business: it was told, or it hung up.
    drop(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await);
}

async fn exchange(
    request: Request<Incoming>,
    connection: u64,
    served: &AtomicU64,
    shared: &Shared,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path().to_owned();
    let behaviour = shared.behaviour_for(&path);
    let received = Received {
        connection,
        method: head.method,
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head.headers,
        body,
    };
    shared.record(received.clone());
    if served.fetch_add(1, Ordering::Relaxed) > 0 && behaviour.closes_on_reuse {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let asked = Asked {
        method: &received.method,
        path: &path,
        query: head.uri.query(),
        headers: &received.headers,
        body: &received.body,
        authority: &shared.authority,
    };
    let response = match &behaviour.reply {
        Reply::Faithful => sent(shared.answer(&asked, &behaviour), &behaviour),
        Reply::Fixed { status, content_type, location, body } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut headers = vec![("content-type", (*content_type).to_owned())];
            headers.extend(location.as_deref().map(|location| ("location", location.to_owned())));
            sent(Answer { status, headers, body: body.as_bytes().to_vec() }, &behaviour)
        }
        Reply::Huge(entries) => huge(&asked, *entries, shared),
    };
    if let Some(delay) = behaviour.delay {
        tokio::time::sleep(delay).await;
    }
    Ok(response)
}

fn sent(answer: Answer, behaviour: &Behaviour) -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    let labelled = behaviour.content_type.as_deref().map(|media_type| ("content-type", media_type.to_owned()));
    for (name, value) in answer.headers.into_iter().chain(labelled) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    let mut bytes = answer.body;
    if behaviour.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        bytes = gzip(&bytes);
    }
    bytes.truncate(behaviour.cut.unwrap_or(usize::MAX));
    let (piece, pause) = behaviour.drip.unwrap_or((PIECE, Duration::ZERO));
    let body = match behaviour.truncated {
        Some(after) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            let complete = after >= bytes.len();
            bytes.truncate(after);
            Body::pieces(bytes, piece, pause, complete)
        }
        None if behaviour.drip.is_some() => Body::pieces(bytes, piece, pause, true),
        None => Body::whole(bytes),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

fn huge(asked: &Asked<'_>, entries: u64, shared: &Shared) -> Response<Body> {
    let pairs = asked.pairs();
    let named = ["patient", "subject"].iter().find_map(|name| query::first(&pairs, name));
    let patient = named.map(|value| value.trim_start_matches("Patient/").to_owned());
    let patient = patient.or_else(|| shared.first_id(ResourceType::parse("Patient").ok()?)).unwrap_or_default();
    let mut response = Response::new(Body::generated(entries, asked.base(), patient));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    response
}
