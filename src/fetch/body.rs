//! The body of an answer, while it is still on the wire.
//!
//! Takes: a connection from the pool. Gives: pieces, or the whole where it is small.
//! Guarantees: an end is reported only for a body that is complete by its own framing; after an error there is
//! no end, only the same error again. Refuses: silence above [`limits::UPSTREAM_IDLE`], answers that take
//! longer than [`limits::UPSTREAM_TOTAL`].

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::pool::{Lease, PoolError, kind};
use crate::limits;

/// A body that is read piece by piece. Its connection goes back to the pool at the end, and is closed if it is
/// dropped before.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    state: State,
    end: Instant,
}

#[derive(Debug)]
enum State {
    Open(Lease),
    Ended,
    Failed(PoolError),
}

/// A body, held whole if it fits.
///
/// The bytes may share a larger buffer with the connection; whoever keeps them for long copies them.
#[derive(Debug)]
pub enum Whole {
    /// All of it.
    Complete(Bytes),
    /// More than was asked for.
    Larger {
        /// What was read so far; empty where the head of the answer already told.
        head: Bytes,
        /// What follows.
        rest: UpstreamBody,
    },
}

impl UpstreamBody {
    /// The body of an answer whose head was just read, to be complete at `end`.
    pub(super) async fn begin(incoming: Incoming, lease: Lease, end: Instant) -> Self {
        let mut body = Self { incoming, state: State::Open(lease), end };
        if body.incoming.is_end_stream() {
            body.finish().await;
        }
        body
    }

    /// The next piece, never empty; `None` after the last.
    ///
    /// # Errors
    /// [`PoolError::Timeout`], [`PoolError::Truncated`], [`PoolError::Protocol`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, PoolError> {
        loop {
            match &self.state {
                State::Open(_) => {}
                State::Ended => return Ok(None),
                State::Failed(error) => return Err(*error),
            }
            let piece = match self.frame().await {
                Ok(Some(frame)) => frame.into_data().unwrap_or_default(),
                Ok(None) => {
                    self.finish().await;
                    return Ok(None);
                }
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            };
            if self.incoming.is_end_stream() {
                self.finish().await;
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// All of the body, if it is at most `limit` bytes long.
    ///
    /// # Errors
    /// Those of [`Self::next`].
    pub async fn whole(mut self, limit: usize) -> Result<Whole, PoolError> {
        let expected = self.incoming.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if expected.is_some_and(|length| length > limit) {
            return Ok(Whole::Larger { head: Bytes::new(), rest: self });
        }
        let Some(first) = self.next().await? else {
            return Ok(Whole::Complete(Bytes::new()));
        };
        if first.len() <= limit && matches!(self.state, State::Ended) {
            return Ok(Whole::Complete(first));
        }
        let mut whole = BytesMut::with_capacity(expected.unwrap_or(2 * first.len()));
        whole.extend_from_slice(&first);
        while whole.len() <= limit {
            match self.next().await? {
                Some(piece) => whole.extend_from_slice(&piece),
                None => return Ok(Whole::Complete(whole.freeze())),
            }
        }
        Ok(Whole::Larger { head: whole.freeze(), rest: self })
    }

    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, PoolError> {
        let now = Instant::now();
        if now >= self.end {
            return Err(PoolError::Timeout);
        }
        let deadline = self.end.min(now + limits::UPSTREAM_IDLE);
        match timeout_at(deadline, poll_fn(|cx| self.poll_frame(cx))).await {
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(Some(Err(error))) => Err(kind(&error)),
            Ok(None) => Ok(None),
            Err(_) => Err(PoolError::Timeout),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut incoming = Pin::new(&mut self.incoming);
        if let Poll::Ready(frame) = incoming.as_mut().poll_frame(cx) {
            return Poll::Ready(frame);
        }
        // Polling said that a piece is wanted; now the connection reads one.
        if let State::Open(lease) = &mut self.state {
            lease.drive(cx);
        }
        incoming.poll_frame(cx)
    }

    async fn finish(&mut self) {
        if let State::Open(lease) = std::mem::replace(&mut self.state, State::Ended) {
            let mut lease = Some(lease);
            poll_fn(|cx| {
                if let Some(lease) = lease.take() {
                    lease.give_back(cx);
                }
                Poll::Ready(())
            })
            .await;
        }
    }
}
