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
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

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
    armed: Cell<Instant>,
    driver: RefCell<Option<Waker>>,
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

    /// A request has come.
    pub(super) fn exchange(self: &Rc<Self>) -> Active {
        self.active.set(self.active.get() + 1);
        Active { pace: Rc::clone(self), number: self.next_answer.replace(self.next_answer.get().wrapping_add(1)) }
    }

    fn read(&self) {
        if self.is_http1 && self.active.get() == 0 && !self.has_begun.replace(true) {
            let end = Instant::now() + limits::REQUEST_HEAD;
            self.request_due.set(end.min(self.request_due.get()));
        }
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
        }
    }
}

/// A stream whose peer is timed.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Rc<Pace>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Rc<Pace>) -> Self {
        Self { stream, pace }
    }

    fn noting<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.pace.wrote(result.is_pending());
        result
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noting(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.noting(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.noting(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.noting(result)
    }
}
