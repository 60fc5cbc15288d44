//! What surrounds the handler: the layers, and why each lies where it does.
//!
//! Takes: an [`Arrival`]. Gives: an answer in any case. Guarantees: an exchange that has begun runs to its end,
//! whatever its client does; one that panics ends alone. Nothing here decides, edits or records.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinError, JoinHandle, spawn_local};
use tower::load_shed::LoadShed;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use super::Handler;
use super::drain::{Counted, Tally};
use super::pace::{Active, Pace};
use crate::accept::Arrival;
use crate::metrics::{Metrics, Rim as Event};

type Layers<H> = LoadShed<InFlight<Detached<H>>>;

/// The handler of one core inside its layers.
#[derive(Debug)]
pub(super) struct Rim<H> {
    layers: Layers<H>,
    metrics: Arc<Metrics>,
}

impl<H: Handler> Rim<H> {
    pub(super) fn new(handler: Rc<H>, in_flight: &Rc<Tally>, metrics: Arc<Metrics>) -> Self {
        let layers = ServiceBuilder::new()
            // Above the limit: being full is an answer within microseconds and not a queue.
            .load_shed()
            // Above the task: a place is taken before anything is started and given back when the answer is
            // sent, so that it counts exchanges and not connections.
            .layer_fn(|inner| InFlight { inner, tally: Rc::clone(in_flight) })
            // Innermost: an exchange is a task of its own. A client that goes away drops what is above and not
            // the audit record below, and a panic below is an error above.
            .service(Detached(handler));
        Self { layers, metrics }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, arrival: Arrival, pace: &Rc<Pace>) -> Response<Outgoing<H::Body>> {
        let active = pace.exchange();
        let version = arrival.parts.version;
        match self.layers.clone().oneshot(arrival).await {
            Ok((response, place)) => response.map(|body| Outgoing::new(body, active, place)),
            Err(error) if error.is::<JoinError>() => {
                tracing::error!("handler panicked");
                self.metrics.rim(Event::Panic);
                pace.retire();
                let mut response = refusal(StatusCode::INTERNAL_SERVER_ERROR, PANICKED);
                if version < Version::HTTP_2 {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
            Err(_) => {
                self.metrics.rim(Event::Shed);
                let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
        }
    }
}

const PANICKED: &[u8] = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"exception"}]}"#;
const OVERLOADED: &[u8] = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"throttled"}]}"#;

fn refusal<B>(status: StatusCode, outcome: &'static [u8]) -> Response<Outgoing<B>> {
    let mut response = Response::new(Outgoing::Refusal(Some(Bytes::from_static(outcome))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"));
    response
}

/// Admits exchanges up to a limit. Below load shedding only: being full, it does not say when it no longer is.
#[derive(Clone, Debug)]
struct InFlight<S> {
    inner: S,
    tally: Rc<Tally>,
}

impl<S: Service<(Arrival, Counted)>> Service<Arrival> for InFlight<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.tally.is_full() { Poll::Pending } else { self.inner.poll_ready(cx) }
    }

    fn call(&mut self, arrival: Arrival) -> S::Future {
        self.inner.call((arrival, self.tally.enter()))
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

impl<H: Handler> Service<(Arrival, Counted)> for Detached<H> {
    type Response = (Response<H::Body>, Counted);
    type Error = BoxError;
    type Future = Exchange<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (arrival, place): (Arrival, Counted)) -> Self::Future {
        let handler = Rc::clone(&self.0);
        Exchange(spawn_local(async move { (handler.handle(arrival).await, place) }))
    }
}

/// Waits for a detached exchange.
#[derive(Debug)]
struct Exchange<T>(JoinHandle<T>);

impl<T> Future for Exchange<T> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(Into::into)
    }
}

/// The body of an answer, on its way out. Until it is sent or dropped, its exchange is in flight.
#[derive(Debug)]
pub(super) enum Outgoing<B> {
    /// The handler's.
    Answer { body: B, active: Active, _place: Counted },
    /// The rim's.
    Refusal(Option<Bytes>),
}

impl<B: Body> Outgoing<B> {
    fn new(body: B, active: Active, place: Counted) -> Self {
        if !body.is_end_stream() {
            active.offered();
        }
        Self::Answer { body, active, _place: place }
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
        match self.get_mut() {
            Self::Answer { body, active, .. } => {
                active.fetched();
                let frame = Pin::new(&mut *body).poll_frame(cx);
                if matches!(frame, Poll::Ready(Some(Ok(_)))) && !body.is_end_stream() {
                    active.offered();
                }
                frame
            }
            Self::Refusal(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answer { body, .. } => body.is_end_stream(),
            Self::Refusal(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answer { body, .. } => body.size_hint(),
            Self::Refusal(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
