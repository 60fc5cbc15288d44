//! Ending without cutting anything off: who is still there, and how all of them hear of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use super::pace::Pace;

/// The connections of one core.
#[derive(Debug, Default)]
pub(super) struct Drain {
    is_draining: Cell<bool>,
    connections: RefCell<HashMap<u64, Weak<Pace>>>,
    next: Cell<u64>,
}

/// A connection that will be told.
#[derive(Debug)]
pub(super) struct Member {
    drain: Rc<Drain>,
    number: u64,
}

impl Drain {
    pub(super) fn join(self: &Rc<Self>, pace: &Rc<Pace>) -> Member {
        let number = self.next.replace(self.next.get().wrapping_add(1));
        self.connections.borrow_mut().insert(number, Rc::downgrade(pace));
        Member { drain: Rc::clone(self), number }
    }

    /// Tells every connection to finish what it is doing and close.
    pub(super) fn begin(&self) {
        self.is_draining.set(true);
        for pace in self.connections.borrow().values().filter_map(Weak::upgrade) {
            pace.wake();
        }
    }
}

impl Member {
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_draining.get()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.drain.connections.borrow_mut().remove(&self.number);
    }
}

/// Counts things that are going on, up to a limit, and tells when there are none.
#[derive(Debug)]
pub(super) struct Tally {
    limit: usize,
    count: Cell<usize>,
    waiting: RefCell<Option<Waker>>,
}

/// One of the things counted.
#[derive(Debug)]
pub(super) struct Counted(Rc<Tally>);

impl Tally {
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { limit, count: Cell::new(0), waiting: RefCell::default() })
    }

    pub(super) fn is_full(&self) -> bool {
        self.count.get() >= self.limit
    }

    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    pub(super) fn enter(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        Counted(Rc::clone(self))
    }

    /// Waits until nothing is counted. One task at a time.
    pub(super) async fn empty(&self) {
        poll_fn(|cx| {
            if self.count.get() == 0 {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = self.0.count.get().saturating_sub(1);
        self.0.count.set(count);
        if count == 0
            && let Some(waker) = self.0.waiting.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
