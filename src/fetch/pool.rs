//! Connections to the EHR that are kept open between requests: one pool per core, HTTP/1.1.
//!
//! Takes: requests in origin form. Gives: an [`Answer`] whose body is still on the wire.
//! Guarantees: `Host` is the origin's; a connection carries the next request only after the body before it was
//! read to its end and nothing else came; at most [`limits::UPSTREAM_CONNECTIONS`] are open, and the next
//! request fails at once. A connection that the EHR closed while it was idle is not noticed by the caller.
//! Refuses: protocol switches, heads above [`limits::UPSTREAM_HEAD_BYTES`].
//!
//! There is no task per connection: whoever waits for an answer drives the connection, so that one answer
//! costs one wake-up and not two.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::body::UpstreamBody;
use crate::limits;
use crate::outbound::{self, Io, Origin};

/// Why the EHR gave no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// No connection could be opened.
    #[error("connect")]
    Connect,
    /// A deadline of [`limits`] passed.
    #[error("timed out")]
    Timeout,
    /// The answer ended before it was complete.
    #[error("truncated")]
    Truncated,
    /// What came was not HTTP/1.1, or not an answer to what was asked.
    #[error("protocol error")]
    Protocol,
    /// All connections are in use.
    #[error("too many connections")]
    Busy,
}

/// The head of an answer, and its body to be read.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Header fields as they came.
    pub headers: HeaderMap,
    /// The body. Dropping it before its end closes the connection.
    pub body: UpstreamBody,
}

/// The connections of one core to one origin. Cloning gives the same pool.
#[derive(Clone, Debug)]
pub struct Pool(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Origin,
    tls: Option<Arc<ClientConfig>>,
    /// Oldest first; taken from the back, so that what is not needed grows old at the front.
    idle: RefCell<VecDeque<Idle>>,
    open: Rc<Cell<usize>>,
    has_sweeper: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    wire: Box<Wire>,
    since: Instant,
}

impl Pool {
    /// An empty pool. Used inside a `LocalSet`, where its sweeper runs.
    pub fn new(origin: Origin, tls: Option<Arc<ClientConfig>>) -> Self {
        Self(Rc::new(Shared {
            origin,
            tls,
            idle: RefCell::default(),
            open: Rc::default(),
            has_sweeper: Cell::new(false),
        }))
    }

    /// The origin that is asked.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Sends the request that `write` gives and waits for the head of the answer.
    ///
    /// A request is written and goes out a second time, on a fresh connection, only if the first one was an idle connection
    /// that ended without a byte of an answer, and the method is GET or nothing had been sent.
    ///
    /// # Errors
    /// Any [`PoolError`]. An answer with an error status is an answer.
    pub async fn send(&self, write: impl Fn() -> Request<Full<Bytes>>) -> Result<Answer, PoolError> {
        let written = || {
            let mut request = write();
            request.headers_mut().insert(HOST, self.0.origin.authority().clone());
            request
        };
        let start = Instant::now();
        let mut request = written();
        if let Some(wire) = self.take_idle(start).await {
            let is_safe = *request.method() == Method::GET;
            match self.exchange(wire, request, start).await {
                Ok(answer) => return Ok(answer),
                Err(Failure { error, is_stale: false, .. }) => return Err(error),
                Err(Failure { error, unsent, .. }) => {
                    request = unsent.or_else(|| is_safe.then(written)).ok_or(error)?;
                }
            }
        }
        // Seldom, and large: not a part of every exchange's future.
        let wire = Box::pin(self.open()).await?;
        self.exchange(wire, request, start).await.map_err(|failure| failure.error)
    }

    async fn take_idle(&self, now: Instant) -> Option<Box<Wire>> {
        loop {
            let Idle { mut wire, since } = self.0.idle.borrow_mut().pop_back()?;
            let is_fresh = now.saturating_duration_since(since) < limits::UPSTREAM_POOL_IDLE;
            if is_fresh && poll_fn(|cx| Poll::Ready(wire.drive(cx))).await {
                return Some(wire);
            }
        }
    }

    async fn open(&self) -> Result<Box<Wire>, PoolError> {
        let place = Place::take(&self.0.open).ok_or(PoolError::Busy)?;
        let io = outbound::connect(&self.0.origin, self.0.tls.as_ref()).await.map_err(|_| PoolError::Connect)?;
        let has_heard = Rc::new(Cell::new(false));
        let io = TokioIo::new(Ear { io, has_heard: Rc::clone(&has_heard) });
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(limits::CONNECTION_BUFFER)
            .max_header_size(limits::UPSTREAM_HEAD_BYTES)
            .handshake(io)
            .await
            .map_err(|_| PoolError::Protocol)?;
        Ok(Box::new(Wire { sender, connection, has_heard, is_over: false, _place: place }))
    }

    async fn exchange(
        &self,
        mut wire: Box<Wire>,
        request: Request<Full<Bytes>>,
        start: Instant,
    ) -> Result<Answer, Failure> {
        let response = wire.ask(request).await?;
        let (parts, incoming) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(PoolError::Protocol.into());
        }
        let lease = Lease { wire, home: Rc::clone(&self.0) };
        let body = UpstreamBody::begin(incoming, lease, start + limits::UPSTREAM_TOTAL).await;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl Shared {
    fn keep(self: &Rc<Self>, wire: Box<Wire>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= limits::UPSTREAM_POOL {
            idle.pop_front();
        }
        idle.push_back(Idle { wire, since: Instant::now() });
        if !self.has_sweeper.replace(true) {
            spawn_local(sweep(Rc::downgrade(self)));
        }
    }

    /// Closes what has been idle for too long and says when to come again.
    fn close_old(&self) -> Option<Instant> {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(oldest) = idle.front() {
            let end = oldest.since + limits::UPSTREAM_POOL_IDLE;
            if end > now {
                return Some(end);
            }
            idle.pop_front();
        }
        self.has_sweeper.set(false);
        None
    }
}

async fn sweep(pool: Weak<Shared>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_old()) {
        sleep_until(next).await;
    }
}

/// One connection: hyper's two halves of it, driven by whoever waits.
#[derive(Debug)]
struct Wire {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: http1::Connection<TokioIo<Ear>, Full<Bytes>>,
    has_heard: Rc<Cell<bool>>,
    is_over: bool,
    _place: Place,
}

struct Failure {
    error: PoolError,
    /// Not one byte of an answer came.
    is_stale: bool,
    /// The request, if it was not sent either.
    unsent: Option<Request<Full<Bytes>>>,
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self { error, is_stale: false, unsent: None }
    }
}

impl Wire {
    /// Moves the connection on; false once it has ended, or has ended up where it cannot be used again.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_over {
            self.is_over = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
        !self.is_over
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.has_heard.set(false);
        let mut response = pin!(self.sender.try_send_request(request));
        let head = poll_fn(|cx| {
            self.drive(cx);
            response.as_mut().poll(cx)
        });
        let mut failed = match timeout_at(Instant::now() + limits::UPSTREAM_HEAD, head).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(failed)) => failed,
            Err(_) => return Err(PoolError::Timeout.into()),
        };
        let unsent = failed.take_message();
        let error = kind(&failed.into_error());
        Err(Failure { error, is_stale: unsent.is_some() || !self.has_heard.get(), unsent })
    }
}

/// What went wrong, as far as the caller needs to know.
pub(super) fn kind(error: &hyper::Error) -> PoolError {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let is_cut = match io.map(io::Error::kind) {
        Some(kind) => !matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData),
        None => error.is_incomplete_message() || error.is_canceled() || error.is_closed(),
    };
    if is_cut { PoolError::Truncated } else { PoolError::Protocol }
}

/// A connection in use, with the way back into its pool.
#[derive(Debug)]
pub(super) struct Lease {
    wire: Box<Wire>,
    home: Rc<Shared>,
}

impl Lease {
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.wire.drive(cx);
    }

    /// Back into the pool, if the connection is ready for another request; closed otherwise.
    pub(super) fn give_back(mut self, cx: &mut Context<'_>) {
        if self.wire.drive(cx) && self.wire.sender.is_ready() {
            self.home.keep(self.wire);
        }
    }
}

/// One of the connections that may be open.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Option<Self> {
        let is_free = open.get() < limits::UPSTREAM_CONNECTIONS;
        is_free.then(|| {
            open.set(open.get() + 1);
            Self(Rc::clone(open))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A connection that remembers whether anything has come: hyper does not tell an empty end from a short one.
#[derive(Debug)]
struct Ear {
    io: Io,
    has_heard: Rc<Cell<bool>>,
}

impl AsyncRead for Ear {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.has_heard.set(true);
        }
        result
    }
}

impl AsyncWrite for Ear {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }
}

#[cfg(test)]
mod tests;
