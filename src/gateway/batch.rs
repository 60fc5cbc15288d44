//! Batches: several requests in one, each of which takes the whole road by itself.
//!
//! Takes: the head that the batch came with, and its entries. Gives: one answer of all their answers. Guarantees: an entry
//! is an exchange like any other, from its arrival to its own record; only what was answered to it is in the answer.
//! Refuses: entry by entry, as single requests are refused; entries that come up after [`limits::BATCH_TIME`].

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, IF_NONE_MATCH, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use super::trail::{Trail, Whole};
use super::{Gateway, Shared};
use crate::accept::{Accepted, Arrival, Payload};
use crate::audit::Reservation;
use crate::fetch::pool::PoolError;
use crate::id::{ExchangeId, Token128};
use crate::limits;
use crate::respond::refusal::{Fault, Refusal};
use crate::respond::{self, Answer};
use crate::understand::{self, BatchEntry, UnderstandError};

/// An entry, or why it is none.
pub(super) type Entry = Result<BatchEntry, UnderstandError>;

/// What the entries of a batch, or the parts of an operation, have in common with it: where it came from, and the head it
/// came with.
#[derive(Debug)]
pub(super) struct Envelope {
    uri: Uri,
    base: Box<str>,
    version: Version,
    headers: HeaderMap,
    peer: SocketAddr,
    certificate: Option<Arc<[u8]>>,
    tls: bool,
}

impl Envelope {
    /// The envelope of what could be a batch, a POST to the base, or an operation.
    pub(super) fn of(arrival: &Arrival, shared: &Shared) -> Option<Self> {
        let parts = &arrival.parts;
        let (path, base) = (parts.uri.path(), base_path(&shared.base));
        let is_batch = parts.method == Method::POST && path.trim_end_matches('/') == base;
        if !is_batch && !path.contains('$') {
            return None;
        }
        let mut headers = parts.headers.clone();
        for name in [CONTENT_LENGTH, CONTENT_TYPE, EXPECT, IF_NONE_MATCH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        Some(Self {
            uri: parts.uri.clone(),
            base: base.into(),
            version: parts.version,
            headers,
            peer: arrival.peer,
            certificate: arrival.certificate.clone(),
            tls: arrival.tls,
        })
    }

    /// An entry as it would have arrived by itself. `None` where its target is not one of HTTP.
    pub(super) fn arrival(&self, entry: &BatchEntry) -> Option<Arrival> {
        let mut uri = self.uri.clone().into_parts();
        let target = format!("{}/{}", self.base, entry.target);
        uri.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::GET;
        parts.uri = Uri::from_parts(uri).ok()?;
        parts.version = self.version;
        parts.headers = self.headers.clone();
        if let Some(etag) = &entry.if_none_match {
            parts.headers.insert(IF_NONE_MATCH, HeaderValue::from_str(etag).ok()?);
        }
        let (peer, certificate, tls) = (self.peer, self.certificate.clone(), self.tls);
        Some(Arrival { parts, body: Payload::Held(Bytes::new()), peer, certificate, tls, refused: None })
    }
}

/// The path of a base URL.
fn base_path(base: &str) -> &str {
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    authority.find('/').and_then(|slash| authority.get(slash..)).unwrap_or_default()
}

/// The entries of the batch that was accepted.
pub(super) async fn entries(accepted: &mut Accepted) -> Result<Vec<Entry>, Fault> {
    if !accepted.header(&CONTENT_TYPE).is_some_and(understand::is_json) {
        return Err(UnderstandError::BatchMedia.into());
    }
    let body = accepted.read_body(limits::BATCH_BYTES).await?;
    Ok(understand::batch(&body)?)
}

impl Gateway {
    /// Answers the entries one after the other, then records the batch itself.
    pub(super) fn batch(
        self: Rc<Self>,
        entries: Vec<Entry>,
        envelope: Envelope,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Pin<Box<dyn Future<Output = Answer>>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(entries.len());
            for entry in entries {
                answers.push(Rc::clone(&self).entry(entry, &envelope, &trail).await);
            }
            let composed = respond::compose(answers);
            trail.log(200, None, &self.shared.metrics);
            match self.record(room, trail.entry(200, None, Some(composed.as_bytes()))).await {
                Ok(receipt) => respond::batch(composed, &receipt),
                Err(_) => self.unrecorded(&trail),
            }
        })
    }

    async fn entry(self: Rc<Self>, entry: Entry, envelope: &Envelope, batch: &Trail) -> Answer {
        let Some(exchange) = Token128::random().map(ExchangeId) else { return respond::unrecorded(batch.exchange()) };
        let unusable = UnderstandError::BatchEntry("request.url");
        let arrival = if batch.began().elapsed() > limits::BATCH_TIME {
            Err(Fault::Fetch(PoolError::Timeout.into()))
        } else {
            entry.and_then(|entry| envelope.arrival(&entry).ok_or(unusable)).map_err(Fault::from)
        };
        match arrival {
            Ok(arrival) => self.exchange(arrival, exchange, batch.now(), Some(Whole::Batch(batch.exchange()))).await,
            Err(fault) => {
                let Ok(room) = self.shared.audit.reserve() else {
                    self.shared.metrics.audit_failure();
                    return respond::unrecorded(exchange);
                };
                let trail = Box::new(Trail::of_entry(exchange, batch));
                let refusal = Refusal::of(&fault, false).unwrap_or_else(Refusal::internal);
                self.refuse(fault, refusal, room, trail).await
            }
        }
    }
}
