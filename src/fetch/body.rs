//! The body of an answer, while it is still on the wire.
//!
//! Takes: a connection from the pool. Gives: pieces, or the whole where it is small.
//! Guarantees: an end is reported only for a body that is complete by its own framing; after an error there is
//! no end, only the same error again. Refuses: silence above [`limits::UPSTREAM_IDLE`], answers that drip in below
//! [`limits::UPSTREAM_RATE`] or take longer than [`limits::UPSTREAM_TOTAL`].

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::pool::{Lease, PoolError, kind};
use crate::limits;

/// A body that is read piece by piece. Its connection goes back to the pool at the end, and is closed if it is
/// dropped before.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    state: State,
    end: Instant,
    /// Set only where a piece has to be waited for, and used again for the next.
    timer: Option<Pin<Box<Sleep>>>,
    /// A piece has been waited for since.
    waiting: Option<Instant>,
    /// How long all pieces before were waited for, and how much came with them.
    waited: Duration,
    received: u64,
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
        let mut body = Self {
            incoming,
            state: State::Open(lease),
            end,
            timer: None,
            waiting: None,
            waited: Duration::ZERO,
            received: 0,
        };
        if body.incoming.is_end_stream() {
            poll_fn(|cx| {
                body.finish(cx);
                Poll::Ready(())
            })
            .await;
        }
        body
    }

    /// The next piece, never empty; `None` after the last.
    ///
    /// # Errors
    /// [`PoolError::Timeout`], [`PoolError::Truncated`], [`PoolError::Protocol`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, PoolError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`Self::next`] for those who are polled themselves.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, PoolError>> {
        loop {
            match &self.state {
                State::Open(_) => {}
                State::Ended => return Poll::Ready(Ok(None)),
                State::Failed(error) => return Poll::Ready(Err(*error)),
            }
            if Instant::now() >= self.end {
                return self.fail(PoolError::Timeout);
            }
            let Poll::Ready(frame) = self.poll_frame(cx) else {
                return match self.poll_deadline(cx) {
                    Poll::Ready(()) => self.fail(PoolError::Timeout),
                    Poll::Pending => Poll::Pending,
                };
            };
            if let Some(since) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            let piece = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return self.fail(kind(&error)),
                None => {
                    self.finish(cx);
                    return Poll::Ready(Ok(None));
                }
            };
            self.received += piece.len() as u64;
            if self.incoming.is_end_stream() {
                self.finish(cx);
            }
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
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

    /// Only what the EHR makes us wait counts, not the time that a slow client takes.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let earned = Duration::from_millis(self.received.saturating_mul(1_000) / limits::UPSTREAM_RATE);
        let patience = (limits::UPSTREAM_IDLE + earned).saturating_sub(self.waited).min(limits::UPSTREAM_IDLE);
        let deadline = self.end.min(now + patience);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if self.waiting.is_none() {
            self.waiting = Some(now);
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    fn fail<T>(&mut self, error: PoolError) -> Poll<Result<T, PoolError>> {
        self.state = State::Failed(error);
        Poll::Ready(Err(error))
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        if let State::Open(lease) = std::mem::replace(&mut self.state, State::Ended) {
            lease.give_back(cx);
        }
    }
}
