//! HTTP on one connection: hyper, with our limits and our clock, between a [`Tap`] that reads before it and a [`Wall`] that
//! nothing passes but answers of ours.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use super::Handler;
use super::drain::{Drain, Member};
use super::pace::{Due, Pace, Paced};
use super::rim::Rim;
use super::tap::Tap;
use super::wall::Wall;
use crate::accept::{Arrival, Payload};
use crate::limits;

/// The protocols that are spoken. Which one is known before the first byte, from ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) certificate: Option<Arc<[u8]>>,
    pub(super) tls: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By agreement, or by the peer.
    Closed,
    /// By us: the peer took too long.
    Slow,
}

/// Serves a connection to its end.
pub(super) async fn serve<H: Handler>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    protocol: Protocol,
    peer: Peer,
    rim: Rc<Rim<H>>,
    drain: &Rc<Drain>,
) -> Ended {
    let pace = Pace::new(protocol == Protocol::Http1, peer.address.port());
    let member = drain.join(&pace);
    let stream = Paced::new(stream, Rc::clone(&pace));
    let exchanges = Rc::clone(&pace);
    let service = service_fn(move |request: Request<Incoming>| {
        let (rim, pace, Peer { address, certificate, tls }) = (Rc::clone(&rim), Rc::clone(&exchanges), peer.clone());
        let (mut parts, body) = request.into_parts();
        let refused = pace.begin().map(|refused| {
            parts.method = refused.method.unwrap_or_else(no_method);
            refused.error
        });
        let arrival = Arrival { parts, body: Payload::Wire(body), peer: address, certificate, tls, refused };
        // From here on, and not from when the exchange is first polled, the next request has to wait.
        let active = pace.exchange(arrival.refused.is_some() || !arrival.body.is_empty());
        async move { rim.answer(arrival, active, &pace).await }
    });
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(Tap::new(stream, Rc::clone(&pace)));
            let connection = http1().serve_connection(io, service);
            drive(connection, http1::Connection::graceful_shutdown, &pace, &member).await
        }
        Protocol::Http2 => {
            let io = TokioIo::new(Wall::new(stream));
            let connection = http2().serve_connection(io, service);
            drive(connection, http2::Connection::graceful_shutdown, &pace, &member).await
        }
    }
}

/// What stands for a method that could not be read.
fn no_method() -> Method {
    Method::from_bytes(b"UNREAD").unwrap_or_default()
}

/// hyper reads [`limits::REQUEST_HEADERS`] by default; saying so again would cost an allocation for each request. Its
/// limit on the head is never met: [`Tap`] refuses before.
fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(limits::REQUEST_HEAD_BYTES)
        .max_buf_size(limits::CONNECTION_BUFFER);
    builder
}

fn http2() -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .max_header_list_size(limits::H2_HEADER_LIST)
        .max_send_buf_size(limits::CONNECTION_BUFFER)
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS)
        .max_local_error_reset_streams(limits::H2_LOCAL_RESETS)
        .keep_alive_interval(limits::H2_PING)
        .keep_alive_timeout(limits::H2_PING_TIMEOUT);
    builder
}

/// Streams of an HTTP/2 connection run on the core of their connection.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(async move {
            future.await;
        });
    }
}

async fn drive<C: Future>(connection: C, finish: fn(Pin<&mut C>), pace: &Pace, member: &Member) -> Ended {
    let mut connection = pin!(connection);
    let mut timer = pin!(sleep_until(pace.armed()));
    let mut is_finishing = false;
    poll_fn(|cx| {
        pace.driven_by(cx.waker());
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ended::Closed);
            }
            if member.is_draining() && !is_finishing {
                pace.drain();
            }
            if pace.is_retiring() && !is_finishing {
                is_finishing = true;
                finish(connection.as_mut());
                continue;
            }
            if let Some(next) = pace.next().filter(|next| *next < pace.armed()) {
                pace.arm(next);
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match pace.due(Instant::now()) {
                Due::Slow => return Poll::Ready(Ended::Slow),
                Due::Retire => pace.retire(),
                Due::Later(next) => {
                    pace.arm(next);
                    timer.as_mut().reset(next);
                }
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests;
