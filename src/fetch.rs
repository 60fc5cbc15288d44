//! Step 6: the EHR's answer.
//!
//! Takes: a [`Prepared`] request and [`Noted`], the proof that its record has room and a crash leaves a trace. Gives:
//! [`Fetched`], bytes that nobody has judged yet. Guarantees: nothing but prepared requests and the gateway's own
//! fact queries goes upstream, with headers of our own, no redirect followed, every wait and size bounded; a cache of
//! answers sits below the decision, so that a hit is judged like any other. Refuses: answers that are not what FHIR
//! JSON is asked for. Whose fault: the EHR's.

pub mod answers;
pub mod body;
pub mod credential;
pub mod evidence;
pub mod facts;
pub mod pool;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use thiserror::Error;

use crate::audit::{HeldSpace, Noted};
use crate::id::ExchangeId;
use crate::limits;
use crate::metrics::{self, Metrics};
use crate::outbound::Origin;
use crate::rewrite::{Onward, Prepared, Question};
use crate::understand::Interaction;
use answers::{AnswerCache, CacheKey};
use body::{UpstreamBody, Whole};
use credential::{Credential, CredentialError};
use facts::Look;
use pool::{Answer, Pool, PoolError};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const RESOURCE: HeaderValue = HeaderValue::from_static("application/fhir+json");

/// Why there is no answer of the EHR to judge.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// The connection failed, broke, or the answer was cut short.
    #[error("the connection to the ehr failed: {0}")]
    Pool(#[from] PoolError),
    /// The gateway's own credential for the EHR cannot be had.
    #[error("no credential for the ehr: {0}")]
    Credential(#[from] CredentialError),
    /// The EHR answered with a status that is no answer.
    #[error("the ehr answered {0}")]
    Status(u16),
    /// The answer is not JSON in plain coding.
    #[error("the answer of the ehr is not plain fhir json")]
    Media,
    /// The answer cannot be held, and cannot be judged in pieces.
    #[error("the answer of the ehr is too large")]
    TooLarge,
    /// The answer is about another resource than the one that was asked for.
    #[error("the ehr answered with another resource")]
    Mismatch,
    /// The EHR shows nothing of what a fact is in, by the status it said so with.
    #[error("the ehr answered a fact query with {0}")]
    Hidden(u16),
    /// A fact about a patient could not be read in full.
    #[error("a fact query was not answered in full")]
    Facts,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The answer cache.
    Cache,
    /// The EHR.
    Ehr,
}

/// Bytes to be judged, and what by. Made by [`Ehr::fetch`] only.
#[derive(Debug)]
pub struct Fetched {
    question: Question,
    content: Content,
    from: Source,
    keeping: Option<Keeping>,
}

/// How an answer of the EHR may be kept, once it turns out to be usable.
#[derive(Debug)]
pub struct Keeping {
    key: CacheKey,
    life: Duration,
}

/// What the EHR sent.
#[derive(Debug)]
pub enum Content {
    /// It shows no such resource, and with which status it said so: none (404), deleted (410), or refused to the gateway
    /// itself (403). Which of them would speak of a record: callers are told the same, the audit record has the status.
    Absent(u16),
    /// The whole answer.
    Whole(Bytes),
    /// The beginning of an answer that is too large to hold, and the rest of it.
    Streamed(Bytes, UpstreamBody),
}

impl Fetched {
    /// Where the answer came from.
    pub fn from(&self) -> Source {
        self.from
    }

    /// The question, what was fetched for it, and how that may be kept; what came out of the cache is kept already.
    pub fn into_parts(self) -> (Question, Content, Option<Keeping>) {
        (self.question, self.content, self.keeping)
    }
}

/// The EHR as one core reaches it.
#[derive(Debug)]
pub struct Ehr {
    pool: Pool,
    origin: Origin,
    base: Box<str>,
    credential: Rc<Credential>,
    answers: Arc<AnswerCache>,
    metrics: Arc<Metrics>,
    /// The fields that every request has.
    headers: HeaderMap,
    /// When it was last found not to answer several searches in one request.
    apart_since: Cell<Option<Instant>>,
}

impl Ehr {
    /// The EHR behind `pool`, whose absolute base URL (without a slash at the end) is `base`.
    pub fn new(
        pool: Pool,
        base: &str,
        credential: Credential,
        answers: Arc<AnswerCache>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let origin = pool.origin().clone();
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(HOST, origin.authority().clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/fhir+json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
        headers.insert(PREFER, HeaderValue::from_static("handling=strict"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let (base, credential, apart_since) = (base.into(), Rc::new(credential), Cell::new(None));
        Self { pool, origin, base, credential, answers, metrics, headers, apart_since }
    }

    fn base(&self) -> &str {
        &self.base
    }

    /// Sends a prepared request, unless the same was just looked up, or finds its answer in the cache.
    pub async fn fetch(
        &self,
        prepared: Prepared,
        look: Option<Look>,
        _noted: Noted<'_>,
        exchange: ExchangeId,
    ) -> Result<Fetched, FetchError> {
        let single = matches!(prepared.question().interaction(), Interaction::Read(_));
        let resource_type = prepared.question().interaction().resource_type();
        let keep = self.answers.keep(resource_type, prepared.keep());
        let key = CacheKey::of(prepared.target(), prepared.form());
        if let Some(bytes) = self.answers.find(&key, keep) {
            let question = prepared.into_question();
            return Ok(Fetched { question, content: Content::Whole(bytes), from: Source::Cache, keeping: None });
        }
        let content = match look.filter(|look| single && look.is_fresh && *look.target == *prepared.target()) {
            Some(look) => look.found.map_or_else(Content::Absent, Content::Whole),
            None => self.ask_for(prepared.target(), prepared.form().cloned(), single, exchange).await?,
        };
        let keeping = Some(Keeping { key, life: keep });
        Ok(Fetched { question: prepared.into_question(), content, from: Source::Ehr, keeping })
    }

    /// Asks for a further page of an answer that is being judged, or finds it in the cache.
    pub async fn follow(
        &self,
        onward: &Onward,
        _space: &impl HeldSpace,
        exchange: ExchangeId,
    ) -> Result<(Content, Option<Keeping>), FetchError> {
        let life = self.answers.keep(onward.resource_type(), onward.keep());
        let key = CacheKey::of(onward.target(), None);
        if let Some(bytes) = self.answers.find(&key, life) {
            return Ok((Content::Whole(bytes), None));
        }
        let content = self.ask_for(onward.target(), None, false, exchange).await?;
        Ok((content, Some(Keeping { key, life })))
    }

    async fn ask_for(
        &self,
        target: &str,
        form: Option<Bytes>,
        single: bool,
        exchange: ExchangeId,
    ) -> Result<Content, FetchError> {
        let answer = self.send(target, form, exchange).await?;
        if single && shows_nothing(answer.status) {
            return Ok(Content::Absent(answer.status.as_u16()));
        }
        let limit = if single { limits::RESOURCE_BYTES } else { limits::WHOLE_ANSWER_BYTES };
        match checked(answer)?.whole(limit).await? {
            Whole::Complete(bytes) => Ok(Content::Whole(bytes)),
            Whole::Larger { .. } if single => Err(FetchError::TooLarge),
            Whole::Larger { head, rest } => Ok(Content::Streamed(head, rest)),
        }
    }

    /// Keeps a whole answer, now that it has been judged to be one.
    pub fn keep(&self, keeping: Keeping, answer: &Bytes) {
        self.answers.keep_for(keeping.key, answer, keeping.life);
    }

    /// A query of the gateway's own: facts, the EHR's capabilities. Gives the status where the EHR shows nothing there.
    async fn ask(&self, target: &str, limit: usize, exchange: ExchangeId) -> Result<Result<Bytes, u16>, FetchError> {
        let answer = self.send(target, None, exchange).await?;
        if shows_nothing(answer.status) {
            return Ok(Err(answer.status.as_u16()));
        }
        match checked(answer)?.whole(limit).await? {
            Whole::Complete(bytes) => Ok(Ok(bytes)),
            Whole::Larger { .. } => Err(FetchError::TooLarge),
        }
    }

    /// The EHR's CapabilityStatement.
    pub async fn capabilities(&self, exchange: ExchangeId) -> Result<Bytes, FetchError> {
        self.ask("/metadata", 2 * limits::RESOURCE_BYTES, exchange).await?.map_err(FetchError::Status)
    }

    async fn send(&self, target: &str, form: Option<Bytes>, exchange: ExchangeId) -> Result<Answer, FetchError> {
        self.send_as(target, form.map(|form| (FORM, form)), exchange).await
    }

    /// Sends a body of this media type, or asks for what needs none.
    async fn send_as(
        &self,
        target: &str,
        body: Option<(HeaderValue, Bytes)>,
        exchange: ExchangeId,
    ) -> Result<Answer, FetchError> {
        let uri = format!("{}{target}", self.origin.base_path());
        let uri: Uri = uri.parse().map_err(|_| FetchError::Pool(PoolError::Protocol))?;
        let id = HeaderValue::from_str(&exchange.to_string()).ok();
        let authorization = self.credential.authorization().await?;
        let write = || {
            let mut request = Request::new(Full::new(body.as_ref().map(|(_, body)| body.clone()).unwrap_or_default()));
            *request.uri_mut() = uri.clone();
            let headers = request.headers_mut();
            headers.clone_from(&self.headers);
            headers.extend(id.clone().map(|id| (X_REQUEST_ID, id)));
            headers.extend(authorization.clone().map(|authorization| (AUTHORIZATION, authorization)));
            if let Some((media, _)) = &body {
                headers.insert(CONTENT_TYPE, media.clone());
                *request.method_mut() = Method::POST;
            }
            request
        };
        // Exchanges that are as far send together, so that the EHR wakes up once for all of them.
        tokio::task::yield_now().await;
        let answer = self.pool.send(write).await;
        self.metrics.upstream(outcome(&answer));
        Ok(answer?)
    }
}

fn outcome(answer: &Result<Answer, PoolError>) -> metrics::Upstream {
    match answer {
        Ok(answer) if answer.status.is_success() => metrics::Upstream::Success,
        Ok(answer) if answer.status.is_client_error() => metrics::Upstream::ClientError,
        Ok(_) => metrics::Upstream::ServerError,
        Err(PoolError::Connect) => metrics::Upstream::Connect,
        Err(PoolError::Timeout) => metrics::Upstream::Timeout,
        Err(PoolError::Busy) => metrics::Upstream::Busy,
        Err(PoolError::Truncated | PoolError::Protocol) => metrics::Upstream::Broken,
    }
}

/// Whether a status says that there is nothing to be had at an address. 401 does not: then the gateway's own credential is
/// at fault, whatever was asked for.
fn shows_nothing(status: StatusCode) -> bool {
    matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// The body of an answer that is 200, JSON and not encoded.
fn checked(answer: Answer) -> Result<UpstreamBody, FetchError> {
    if answer.status != StatusCode::OK {
        return Err(FetchError::Status(answer.status.as_u16()));
    }
    let identity = answer
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !identity || !is_json(&answer.headers) {
        return Err(FetchError::Media);
    }
    Ok(answer.body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(media), None) = (types.next().and_then(|value| value.to_str().ok()), types.next()) else { return false };
    let mut parts = media.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.filter_map(|part| part.split_once('=')).all(|(key, value)| {
        !key.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    utf8 && matches!(name.as_str(), "application/fhir+json" | "application/json" | "application/json+fhir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf8_json_is_read() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            is_json(&headers)
        };
        for yes in [
            "application/fhir+json;charset=UTF-8",
            "application/json",
            "Application/FHIR+JSON; charset=\"utf-8\"; fhirVersion=4.0",
        ] {
            assert!(of(yes), "{yes}");
        }
        for no in
            ["text/html", "application/fhir+xml", "application/fhir+json;charset=utf-16", "", "application/fhir+ndjson"]
        {
            assert!(!of(no), "{no}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
