//! How long a peer may take: one clock for each connection.
//!
//! Takes: what happens on a connection, as its parts notice it. Gives: the one instant at which it will have taken
//! too long. hyper's own timer is not used, because it has one limit for an idle connection and for a head that
//! trickles in, and none for a client that does not read.
//!
//! The timer behind it is set anew only when the instant moves closer; the rest is noticed when it fires.
//! Whatever is noted here is noted while the connection is driven, or by a stream that wakes its driver.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::layer::{Layer, writes_through};
use crate::accept::AcceptError;
use crate::limits;

/// What the peer of one connection owes us, and since when.
#[derive(Debug)]
pub(super) struct Pace {
    /// Exchanges whose request has come and whose answer has not gone.
    active: Cell<usize>,
    /// End of the wait for the next request; counts while no exchange is active.
    request_due: Cell<Instant>,
    /// On HTTP/1: bytes of the next request have come.
    has_begun: Cell<bool>,
    /// A write found no room since.
    blocked: Cell<Option<Instant>>,
    /// Answers of which a piece was ready since, and nobody fetched it. In the order of time.
    unfetched: RefCell<Vec<(u64, Instant)>>,
    next_answer: Cell<u64>,
    retire_at: Instant,
    is_retiring: Cell<bool>,
    is_http1: bool,
    /// On HTTP/1: the peer may still be sending what nobody will read.
    is_owed: Cell<bool>,
    /// The last answer was given to hyper, and may not be written yet.
    is_unflushed: Cell<bool>,
    /// On HTTP/1: a next request has come, and waits for the exchange before it.
    is_held: Cell<bool>,
    /// On HTTP/1: more came than the request that is being handed on.
    is_followed: Cell<bool>,
    /// On HTTP/1: heads that were handed to hyper, and exchanges that it began with them.
    heads: Cell<usize>,
    begun: Cell<usize>,
    /// On HTTP/1: what was wrong with the head that was not handed on, and its method.
    refused: RefCell<Option<Refused>>,
    armed: Cell<Instant>,
    driver: RefCell<Option<Waker>>,
}

/// A head that cannot be read in one way.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: AcceptError,
    /// Where that much could be read of it.
    pub(super) method: Option<Method>,
}

/// What a connection has to do when its time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet; look again then.
    Later(Instant),
    /// Finish what is going on and close.
    Retire,
    /// Close now: the peer took too long.
    Slow,
}

impl Pace {
    /// A connection that was opened now. `salt` spreads the ages at which connections retire.
    pub(super) fn new(is_http1: bool, salt: u16) -> Rc<Self> {
        let now = Instant::now();
        let first = now + limits::REQUEST_HEAD;
        Rc::new(Self {
            active: Cell::new(0),
            request_due: Cell::new(first),
            has_begun: Cell::new(true),
            blocked: Cell::new(None),
            unfetched: RefCell::default(),
            next_answer: Cell::new(0),
            retire_at: now + limits::CONNECTION_AGE * (90 + u32::from(salt % 21)) / 100,
            is_retiring: Cell::new(false),
            is_http1,
            is_owed: Cell::new(false),
            is_unflushed: Cell::new(false),
            is_held: Cell::new(false),
            is_followed: Cell::new(false),
            heads: Cell::new(0),
            begun: Cell::new(0),
            refused: RefCell::default(),
            armed: Cell::new(first),
            driver: RefCell::new(None),
        })
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        if self.peer_due().is_some_and(|end| end <= now) {
            Due::Slow
        } else if !self.is_retiring.get() && self.retire_at <= now {
            Due::Retire
        } else {
            Due::Later(self.next().unwrap_or(now + limits::KEEP_ALIVE_IDLE))
        }
    }

    /// The next instant at which something is due; none while a retiring connection waits for us alone.
    pub(super) fn next(&self) -> Option<Instant> {
        let age = (!self.is_retiring.get()).then_some(self.retire_at);
        [self.peer_due(), age].into_iter().flatten().min()
    }

    fn peer_due(&self) -> Option<Instant> {
        let request = (self.active.get() == 0).then(|| self.request_due.get());
        let blocked = self.blocked.get().map(|since| since + limits::RESPONSE_STALL);
        let unfetched = self.unfetched.borrow().first().map(|(_, since)| *since + limits::RESPONSE_STALL);
        [request, blocked, unfetched].into_iter().flatten().min()
    }

    /// The timer is set to `instant`, and this task waits for it.
    pub(super) fn arm(&self, instant: Instant) {
        self.armed.set(instant);
    }

    /// When the timer fires.
    pub(super) fn armed(&self) -> Instant {
        self.armed.get()
    }

    /// The task that drives the connection.
    pub(super) fn driven_by(&self, waker: &Waker) {
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *driver = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    /// The connection finishes what it is doing and closes.
    pub(super) fn retire(&self) {
        if !self.is_retiring.replace(true) {
            let end = Instant::now() + limits::REQUEST_HEAD;
            self.request_due.set(end.min(self.request_due.get()));
            self.wake();
        }
    }

    /// The core is ending. A connection that has not carried a request may have one on its way, which nobody
    /// would send again; it is given a moment for it.
    pub(super) fn drain(&self) {
        if self.next_answer.get() == 0 {
            let end = Instant::now() + limits::DRAIN_FIRST_REQUEST;
            self.request_due.set(end.min(self.request_due.get()));
        } else {
            self.retire();
        }
    }

    pub(super) fn is_retiring(&self) -> bool {
        self.is_retiring.get()
    }

    /// A head is handed to hyper.
    pub(super) fn head(&self) {
        self.heads.set(self.heads.get().wrapping_add(1));
    }

    /// A head is not handed on: what hyper is given in its place leads to its refusal.
    pub(super) fn refuse(&self, refused: Refused) {
        *self.refused.borrow_mut() = Some(refused);
        self.head();
    }

    /// hyper has read a head. What is wrong with it, if anything is.
    pub(super) fn begin(&self) -> Option<Refused> {
        self.begun.set(self.begun.get().wrapping_add(1));
        self.refused.borrow_mut().take()
    }

    /// Whether the answer to an earlier request is still on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.active.get() > 0 || self.is_unflushed.get() || self.is_unread()
    }

    /// Whether hyper has a head of which it has made no exchange.
    pub(super) fn is_unread(&self) -> bool {
        self.heads != self.begun
    }

    /// The next request has come early: whoever waits for it is woken when it may be read.
    pub(super) fn hold(&self, waker: &Waker) {
        self.driven_by(waker);
        self.is_held.set(true);
        self.is_owed.set(true);
    }

    /// Everything that hyper had to write is written.
    pub(super) fn flushed(&self) {
        if self.active.get() == 0 && self.is_unflushed.take() && self.is_held.take() {
            self.wake();
        }
    }

    /// More came than one request.
    pub(super) fn follow(&self) {
        self.is_followed.set(true);
    }

    /// A request has come, of which a body may follow.
    pub(super) fn exchange(self: &Rc<Self>, body_follows: bool) -> Active {
        self.is_owed.set(self.is_http1 && (body_follows || self.is_followed.take()));
        self.active.set(self.active.get() + 1);
        Active { pace: Rc::clone(self), number: self.next_answer.replace(self.next_answer.get().wrapping_add(1)) }
    }

    fn read(&self) {
        if !self.is_http1 || self.active.get() > 0 {
            return;
        }
        self.is_owed.set(true);
        if !self.has_begun.replace(true) {
            let end = Instant::now() + limits::REQUEST_HEAD;
            self.request_due.set(end.min(self.request_due.get()));
        }
    }

    /// Everything was said. Where the peer may not have finished, it is listened to for a moment: closing on bytes that
    /// are not read resets the connection, and the peer may lose the answer (RFC 9112 section 9.6).
    fn linger(&self) -> bool {
        let is_owed = self.is_owed.get() && self.active.get() == 0;
        if is_owed {
            let end = Instant::now() + limits::LINGER;
            self.request_due.set(end.min(self.request_due.get()));
        }
        is_owed
    }

    fn wrote(&self, is_stuck: bool) {
        if !is_stuck {
            self.blocked.set(None);
        } else if self.blocked.get().is_none() {
            self.blocked.set(Some(Instant::now()));
        }
    }
}

/// One exchange, from its request to the end of its answer.
#[derive(Debug)]
pub(super) struct Active {
    pace: Rc<Pace>,
    number: u64,
}

impl Active {
    /// A piece of the answer is ready: from now on the client is waited for.
    pub(super) fn offered(&self) {
        self.pace.unfetched.borrow_mut().push((self.number, Instant::now()));
    }

    /// The piece was fetched: from now on the client waits for us.
    pub(super) fn fetched(&self) {
        self.pace.unfetched.borrow_mut().retain(|(number, _)| *number != self.number);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.fetched();
        let active = self.pace.active.get().saturating_sub(1);
        self.pace.active.set(active);
        if active == 0 {
            let wait = if self.pace.is_retiring() { limits::REQUEST_HEAD } else { limits::KEEP_ALIVE_IDLE };
            self.pace.request_due.set(Instant::now() + wait);
            self.pace.has_begun.set(false);
            self.pace.is_unflushed.set(true);
        }
    }
}

/// A stream whose peer is timed.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Rc<Pace>,
    /// What may still be discarded, once everything was said.
    lingering: Option<usize>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Rc<Pace>) -> Self {
        Self { stream, pace, lingering: None }
    }
}

impl<S: AsyncRead + Unpin> Paced<S> {
    /// Reads and discards until the peer has finished too, or has sent enough.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 8 * 1024];
        while let Some(left) = self.lingering.filter(|left| *left > 0) {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.lingering = Some(left.saturating_sub(buffer.filled().len()));
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.read();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Layer for Paced<S> {
    fn wrote(&mut self, _pieces: &[io::IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        self.pace.wrote(written.is_pending());
    }

    fn flushed(&mut self, flushed: &Poll<io::Result<()>>) {
        self.pace.wrote(flushed.is_pending());
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
            self.pace.wrote(closed.is_pending());
            ready!(closed)?;
            self.lingering = Some(if self.pace.linger() { limits::LINGER_BYTES } else { 0 });
        }
        self.poll_discard(cx).map(Ok)
    }
}

writes_through!(Paced);
