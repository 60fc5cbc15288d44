//! HTTP/1 read once more, before hyper reads it.
//!
//! Takes: the bytes of a connection. Gives hyper: whole heads that can be read in one way, their bodies, and nothing of
//! the next request before the exchange with this one is over. In place of a head that is refused hyper is given one of
//! our own, so that the refusal is made, recorded and written like every other, and the connection ends with it.
//! Guarantees: hyper never answers by itself; should it try, the connection ends without an answer.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::layer::{Layer, writes_through};
use super::pace::{Pace, Paced, Refused};
use crate::accept::AcceptError;
use crate::accept::framing::Framing;
use crate::accept::head::{Head, HeadReader};

/// Stands for a head that was refused. Nobody reads more of it than that the connection ends.
const INSTEAD: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
/// The same, where no body may follow the answer.
const INSTEAD_OF_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n";

/// Where in its messages a connection is.
#[derive(Debug)]
enum State {
    /// Before or in a head.
    Head(HeadReader),
    /// In a body.
    Body(Framing),
    /// Where the framing of a body was not kept. hyper tells whoever reads the body.
    Broken,
    /// After the last message that has a meaning.
    Over,
}

/// A connection of which hyper sees what was found good.
#[derive(Debug)]
pub(super) struct Tap<S> {
    stream: Paced<S>,
    pace: Rc<Pace>,
    state: State,
    /// What has come and was not handed on yet.
    held: Vec<u8>,
    /// How much of it may be.
    cleared: usize,
}

impl<S> Tap<S> {
    pub(super) fn new(stream: Paced<S>, pace: Rc<Pace>) -> Self {
        Self { stream, pace, state: State::Head(HeadReader::default()), held: Vec::new(), cleared: 0 }
    }

    /// Looks at `bytes`, the first that hyper has not been given; tells how many of them it may have.
    fn clear(&mut self, bytes: &[u8]) -> usize {
        let mut cleared = 0;
        if let State::Head(reader) = &mut self.state {
            match reader.read(bytes) {
                Ok(Head::Incomplete) => return 0,
                Ok(Head::Complete { length, body }) => {
                    self.pace.head();
                    self.state = State::Body(body);
                    cleared = length;
                }
                Err(error) => {
                    let method = reader.method().cloned();
                    self.refuse(error, method);
                    return 0;
                }
            }
        }
        if let State::Body(framing) = &mut self.state {
            let taken = framing.take(bytes.get(cleared..).unwrap_or_default());
            let is_complete = framing.is_complete();
            match taken {
                Ok(taken) => cleared += taken,
                Err(_) => self.state = State::Broken,
            }
            if is_complete {
                self.state = State::Head(HeadReader::default());
            }
        }
        cleared
    }

    fn refuse(&mut self, error: AcceptError, method: Option<Method>) {
        let instead = if method == Some(Method::HEAD) { INSTEAD_OF_HEAD } else { INSTEAD };
        self.held = instead.to_vec();
        self.cleared = instead.len();
        self.state = State::Over;
        self.pace.refuse(Refused { error, method });
    }

    /// Whether what comes now belongs to a request that has to wait.
    fn must_wait(&self) -> bool {
        matches!(self.state, State::Head(_)) && self.pace.is_busy()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.cleared > 0 {
                let count = this.cleared.min(buffer.remaining());
                buffer.put_slice(this.held.get(..count).unwrap_or_default());
                this.held.drain(..count);
                this.cleared -= count;
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Over => return Poll::Pending,
                State::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                State::Head(_) | State::Body(_) => {}
            }
            let must_wait = this.must_wait();
            if must_wait && !this.held.is_empty() {
                this.pace.hold(cx.waker());
                return Poll::Pending;
            }
            if !this.held.is_empty() {
                let held = std::mem::take(&mut this.held);
                let cleared = this.clear(&held);
                if this.cleared == 0 {
                    if cleared > 0 && cleared < held.len() {
                        this.pace.follow();
                    }
                    this.held = held;
                    this.cleared = cleared;
                }
                if this.cleared > 0 {
                    continue;
                }
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let come = buffer.filled().get(before..).unwrap_or_default();
            if come.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !this.held.is_empty() || must_wait {
                this.held.extend_from_slice(come);
                buffer.set_filled(before);
                continue;
            }
            let cleared = this.clear(come);
            if this.cleared == 0 {
                this.held.extend_from_slice(come.get(cleared..).unwrap_or_default());
                if cleared > 0 && !this.held.is_empty() {
                    this.pace.follow();
                }
            }
            buffer.set_filled(before + cleared);
            if cleared > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Layer for Tap<S> {
    /// An answer goes out while hyper has a head of which it has made no exchange: it is hyper's own.
    fn check(&self, _pieces: &[io::IoSlice<'_>]) -> io::Result<()> {
        if self.pace.is_unread() { Err(io::Error::other("an answer without an exchange")) } else { Ok(()) }
    }

    fn flushed(&mut self, flushed: &Poll<io::Result<()>>) {
        if let Poll::Ready(Ok(())) = flushed {
            self.pace.flushed();
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

writes_through!(Tap);

#[cfg(test)]
mod tests;
