//! The first step: HTTP that can be read in one way only.
//!
//! Takes: an [`Arrival`], as the listener hands it over. Gives: [`Accepted`], the evidence that the request has
//! one allowed authority, one known method, one normal path below the base and no ambiguous framing; the
//! body is read afterwards, on demand and within limits.
//! Guarantees: what later steps read of it is visible ASCII and was sent once. Forwarding headers
//! (`Forwarded`, `X-Forwarded-*`, `Client-Cert`) are never read. Refuses: see [`AcceptError`]. The bytes of HTTP/1 were
//! read before by [`head`] and [`framing`]; what the rim found there, or that it has no room, arrives as [`Arrival::refused`]
//! and is refused here like the rest.

mod body;
pub mod framing;
pub mod head;
mod header;
mod target;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use hyper::body::Incoming;

use crate::clock::Now;
use crate::id::ExchangeId;

pub use header::READ;

/// Why a request was not accepted. Carries names only, never what the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The method is neither GET, HEAD nor POST.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// A header that asks for another method than the request line.
    #[error("method override")]
    MethodOverride,
    /// The authority is missing, repeated, contradictory or not ours.
    #[error("authority: {0}")]
    Authority(&'static str),
    /// The target is not in the one form that is accepted.
    #[error("target: {0}")]
    Target(&'static str),
    /// The target is longer than [`crate::limits::REQUEST_TARGET_BYTES`].
    #[error("target too long")]
    TargetTooLong,
    /// The path is not below the base path.
    #[error("outside the base path")]
    OutsideBase,
    /// A transfer coding other than exactly `chunked`.
    #[error("transfer coding")]
    TransferCoding,
    /// A content coding: bodies are read as they are.
    #[error("content coding")]
    ContentCoding,
    /// An expectation other than `100-continue`.
    #[error("expectation")]
    Expectation,
    /// A header that may come once came twice.
    #[error("repeated header {0}")]
    Repeated(&'static str),
    /// A header name with an underscore, which other software takes for a hyphen.
    #[error("header name")]
    HeaderName,
    /// A header that is read has a value outside visible ASCII.
    #[error("value of header {0}")]
    HeaderValue(&'static str),
    /// GET or HEAD with a body.
    #[error("body not expected")]
    UnexpectedBody,
    /// The body is larger than allowed.
    #[error("body too large")]
    BodyTooLarge,
    /// The body did not arrive in time.
    #[error("body timed out")]
    BodyTimeout,
    /// The body broke off or its framing was wrong.
    #[error("body broken")]
    BodyBroken,
    /// The bytes are not HTTP/1.1 as RFC 9112 has it.
    #[error("http syntax: {0}")]
    Syntax(&'static str),
    /// The end of the body is declared in two ways, or in none that can be read.
    #[error("framing: {0}")]
    Framing(&'static str),
    /// The head is larger than [`crate::limits::REQUEST_HEAD_BYTES`], or has more fields than
    /// [`crate::limits::REQUEST_HEADERS`].
    #[error("head too large")]
    HeadTooLarge,
    /// A version of HTTP that is not spoken here.
    #[error("http version")]
    Version,
    /// More is in flight than one core takes on.
    #[error("too many requests in flight")]
    Busy,
}

/// A request as the listener hands it over: read by hyper, believed by nobody.
#[derive(Debug)]
pub struct Arrival {
    /// Request line and header fields.
    pub parts: Parts,
    /// The body, not yet read.
    pub body: Payload,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The leaf of a client certificate that the TLS handshake verified, DER.
    pub certificate: Option<Arc<[u8]>>,
    /// True if the request came over TLS.
    pub tls: bool,
    /// Why the rim goes no further with it. Of a head that could not be read, `parts` holds the method at most.
    pub refused: Option<AcceptError>,
}

/// A request body before it is read.
#[derive(Debug)]
pub enum Payload {
    /// On a connection.
    Wire(Incoming),
    /// In memory: requests that did not come over a connection.
    Held(Bytes),
}

/// The methods that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 9110 section 9.3.1.
    Get,
    /// RFC 9110 section 9.3.2.
    Head,
    /// RFC 9110 section 9.3.3.
    Post,
}

/// What must hold of every request, from the configuration.
#[derive(Clone, Debug)]
pub struct AcceptRules {
    hosts: Vec<String>,
    base: String,
}

impl AcceptRules {
    /// `hosts` are the authorities that clients may address, `host` or `host:port`; a default port may be
    /// left out on either side. `base` is the path below which the FHIR service lies, `/fhir` or empty.
    ///
    /// # Errors
    /// [`AcceptError::Authority`] for an empty list or an entry that is not an authority,
    /// [`AcceptError::Target`] for a base path that is not normal.
    pub fn new(hosts: impl IntoIterator<Item = String>, base: &str) -> Result<Self, AcceptError> {
        let hosts: Vec<String> = hosts.into_iter().collect();
        if hosts.is_empty() {
            return Err(AcceptError::Authority("none allowed"));
        }
        for host in &hosts {
            target::check_authority(host)?;
        }
        let base = base.trim_end_matches('/');
        if !base.is_empty() {
            target::check_path(base)?;
            if base.contains('%') {
                return Err(AcceptError::Target("encoded base path"));
            }
        }
        Ok(Self { hosts, base: base.to_owned() })
    }
}

/// What stays known of a request that goes no further, for its audit record: when, from where, which exchange.
#[derive(Clone, Debug)]
pub struct Traces {
    exchange: ExchangeId,
    now: Now,
    peer: SocketAddr,
    certificate: Option<Arc<[u8]>>,
    method: Option<Method>,
}

impl Traces {
    /// The exchange.
    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    /// When it began.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The other end of the connection.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The leaf of the verified client certificate, DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// The method, if it is one that is understood.
    pub fn method(&self) -> Option<Method> {
        self.method
    }
}

/// A request that is unambiguous HTTP, addressed to us.
pub struct Accepted {
    method: Method,
    target: target::Target,
    headers: http::HeaderMap,
    body: Payload,
    traces: Traces,
}

/// Checks an arrival.
///
/// # Errors
/// The first [`AcceptError`] found, with what an audit record may say about the request.
pub fn accept(
    arrival: Arrival,
    rules: &AcceptRules,
    exchange: ExchangeId,
    now: Now,
) -> Result<Accepted, (AcceptError, Traces)> {
    let Arrival { parts, body, peer, certificate, tls, refused } = arrival;
    let method = Method::of(&parts.method);
    let traces = Traces { exchange, now, peer, certificate, method };
    if let Some(error) = refused {
        return Err((error, traces));
    }
    match check(&parts, &body, method, rules, tls) {
        Ok((method, target)) => Ok(Accepted { method, target, headers: parts.headers, body, traces }),
        Err(error) => Err((error, traces)),
    }
}

fn check(
    parts: &Parts,
    body: &Payload,
    method: Option<Method>,
    rules: &AcceptRules,
    tls: bool,
) -> Result<(Method, target::Target), AcceptError> {
    let method = method.ok_or(AcceptError::MethodNotAllowed)?;
    header::check(&parts.headers)?;
    header::check_size(parts)?;
    target::check_addressed(parts, &rules.hosts, tls)?;
    let target = target::Target::read(&parts.uri, &rules.base)?;
    if method != Method::Post && (!body.is_empty() || parts.headers.contains_key(http::header::TRANSFER_ENCODING)) {
        return Err(AcceptError::UnexpectedBody);
    }
    Ok((method, target))
}

impl Method {
    fn of(method: &http::Method) -> Option<Self> {
        match *method {
            http::Method::GET => Some(Self::Get),
            http::Method::HEAD => Some(Self::Head),
            http::Method::POST => Some(Self::Post),
            _ => None,
        }
    }
}

impl Accepted {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The segments of the path below the base, percent-decoded; none for the base itself.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.target.segments()
    }

    /// The query as it was sent, without `?`: visible ASCII, still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// The value of a header named in [`READ`]; the first, where it may come more than once. `None` for any
    /// other name: those were not checked.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.header_values(name).next()
    }

    /// All values of a header named in [`READ`], in order.
    pub fn header_values(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        let values = READ.contains(name).then(|| self.headers.get_all(name));
        values.into_iter().flatten().filter_map(|value| value.to_str().ok())
    }

    /// The `Authorization` field. Sent at most once, but otherwise as the client wrote it.
    pub fn authorization(&self) -> Option<&str> {
        self.header(&AUTHORIZATION)
    }

    /// The other end of the connection.
    pub fn peer(&self) -> SocketAddr {
        self.traces.peer
    }

    /// The leaf of the client certificate that the TLS handshake verified, DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.traces.certificate()
    }

    /// The exchange.
    pub fn exchange(&self) -> ExchangeId {
        self.traces.exchange
    }

    /// When it began.
    pub fn now(&self) -> Now {
        self.traces.now
    }

    /// What an audit record may say of it if it goes no further.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }
}

/// Method and exchange only: a target may name a patient, a header a token.
impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("method", &self.method)
            .field("exchange", &self.traces.exchange)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
