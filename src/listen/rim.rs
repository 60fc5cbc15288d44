//! What surrounds the handler: the layers, and why each lies where it does.
//!
//! Takes: an [`Arrival`]. Gives: the handler's answer. Guarantees: an exchange that has begun runs to its end, whatever its
//! client does; one that panics ends alone, without an answer; above the limit an arrival is handed on as refused, so that
//! being full is an answer with a record, and at once. Nothing here decides, edits or records.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_local};
use tower::{Service, ServiceBuilder, ServiceExt};

use super::Handler;
use super::drain::{Counted, Tally};
use super::pace::{Active, Pace};
use crate::accept::{AcceptError, Arrival};
use crate::metrics::{Metrics, Rim as Event};

/// The layers around a handler.
type Layers<H> = Admission<Detached<H>>;

/// The handler of one core inside its layers.
#[derive(Debug)]
pub(super) struct Rim<H> {
    layers: Layers<H>,
    metrics: Arc<Metrics>,
}

/// The handler panicked: there is nothing to say, and nobody who could.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("handler panicked")]
pub(super) struct Panicked;

impl<H: Handler> Rim<H> {
    pub(super) fn new(handler: Rc<H>, in_flight: &Rc<Tally>, metrics: Arc<Metrics>) -> Self {
        let counters = Arc::clone(&metrics);
        let layers = ServiceBuilder::new()
            // Above the task: a place is taken before anything is started and given back when the answer is sent, so that
            // it counts exchanges and not connections.
            .layer_fn(|inner| Admission { inner, in_flight: Rc::clone(in_flight), metrics: Arc::clone(&counters) })
            // Innermost: an exchange is a task of its own. A client that goes away drops what is above and not the audit
            // record below, and a panic below is an error above.
            .service(Detached(handler));
        Self { layers, metrics }
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        arrival: Arrival,
        active: Active,
        pace: &Rc<Pace>,
    ) -> Result<Response<Outgoing<H::Body>>, Panicked> {
        // hyper leaves the body of an answer to HEAD out itself, but not on HTTP/2.
        let bare = arrival.parts.method == Method::HEAD && arrival.parts.version == Version::HTTP_2;
        match self.layers.clone().oneshot(arrival).await {
            Ok((mut response, place)) => {
                if let Some(length) = response.body().size_hint().exact().filter(|_| bare) {
                    response.headers_mut().insert(CONTENT_LENGTH, length.into());
                }
                Ok(response.map(|body| Outgoing::new(body, bare, active, place)))
            }
            Err(panicked) => {
                tracing::error!("handler panicked");
                self.metrics.rim(Event::Panic);
                pace.retire();
                Err(panicked)
            }
        }
    }
}

/// Gives each exchange a place, up to a limit. An arrival without one is handed on as refused, and takes none while it is.
#[derive(Clone, Debug)]
struct Admission<S> {
    inner: S,
    in_flight: Rc<Tally>,
    metrics: Arc<Metrics>,
}

impl<S: Service<(Arrival, Option<Counted>)>> Service<Arrival> for Admission<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut arrival: Arrival) -> S::Future {
        let place = if arrival.refused.is_some() {
            self.metrics.rim(Event::Unreadable);
            None
        } else if self.in_flight.is_full() {
            self.metrics.rim(Event::Shed);
            arrival.refused = Some(AcceptError::Busy);
            None
        } else {
            Some(self.in_flight.enter())
        };
        self.inner.call((arrival, place))
    }
}

/// Runs the handler as a task that outlives whoever waits for it.
#[derive(Debug)]
struct Detached<H>(Rc<H>);

impl<H> Clone for Detached<H> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<H: Handler> Service<(Arrival, Option<Counted>)> for Detached<H> {
    type Response = (Response<H::Body>, Option<Counted>);
    type Error = Panicked;
    type Future = Exchange<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Panicked>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (arrival, place): (Arrival, Option<Counted>)) -> Self::Future {
        let handler = Rc::clone(&self.0);
        // Boxed: a task is moved several times, and an exchange is large.
        Exchange(spawn_local(Box::pin(async move { (handler.handle(arrival).await, place) })))
    }
}

/// Waits for a detached exchange.
#[derive(Debug)]
struct Exchange<T>(JoinHandle<T>);

impl<T> Future for Exchange<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| Panicked)
    }
}

/// The body of an answer, on its way out. Until it is sent or dropped, its exchange is in flight.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    body: B,
    /// The head goes out alone; it says how long the body would be.
    bare: bool,
    active: Active,
    _place: Option<Counted>,
}

impl<B: Body> Outgoing<B> {
    fn new(body: B, bare: bool, active: Active, place: Option<Counted>) -> Self {
        if !bare && !body.is_end_stream() {
            active.offered();
        }
        Self { body, bare, active, _place: place }
    }
}

impl<B> Body for Outgoing<B>
where
    B: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>>> {
        let Self { body, bare, active, .. } = self.get_mut();
        if *bare {
            return Poll::Ready(None);
        }
        active.fetched();
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Ok(_)))) && !body.is_end_stream() {
            active.offered();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.bare || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
