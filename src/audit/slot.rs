//! How much the log can still promise.
//!
//! Takes: what the writer knows of its room. Gives: slots, each a promise of space for one exchange's record
//! and its closing. Guarantees: the slots given out never promise more than the room that is prepared.
//! Refuses: a slot beyond the limit or the room, and every slot once the writer has failed.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AuditError;
use super::chain::LINE_BYTES;
use crate::limits;

/// The longest record and the longest closing.
const SLOT_BYTES: u64 = 2 * LINE_BYTES as u64;

const _: () = assert!(
    limits::AUDIT_HEADROOM_BYTES >= (limits::AUDIT_OUTSTANDING as u64 + 1) * SLOT_BYTES,
    "the space written ahead holds all that may be outstanding, and the writer's own entries"
);

/// What the writer and its callers share.
#[derive(Debug)]
pub(super) struct State {
    failed: AtomicBool,
    outstanding: AtomicUsize,
    room: AtomicU64,
    limit: usize,
    /// Places for notes that no slot has; the last given back is the first taken, so that few are ever used.
    places: Mutex<Vec<usize>>,
}

impl State {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            failed: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            room: AtomicU64::new(0),
            limit,
            places: Mutex::new((0..limit).rev().collect()),
        }
    }

    fn places(&self) -> MutexGuard<'_, Vec<usize>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot. One more is kept back for the writer's own entries.
    pub(super) fn slot(self: &Arc<Self>) -> Result<Slot, AuditError> {
        if self.has_failed() {
            return Err(AuditError::Failed);
        }
        let outstanding = self.outstanding.fetch_add(1, Ordering::AcqRel) + 1;
        let place = if outstanding > self.limit { None } else { self.places().pop() };
        let slot = Slot { state: Arc::clone(self), place };
        if place.is_none() {
            return Err(AuditError::Busy);
        }
        if self.room.load(Ordering::Acquire) < (outstanding as u64 + 1) * SLOT_BYTES {
            return Err(AuditError::Space);
        }
        Ok(slot)
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// For good: there is no way back.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::Release);
    }
}

/// Space for one exchange, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    state: Arc<State>,
    place: Option<usize>,
}

impl Slot {
    /// The place of this exchange's note, which no other exchange has.
    pub(super) fn place(&self) -> usize {
        self.place.unwrap_or_default()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.state.places().extend(self.place);
        self.state.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_end_at_the_limit_and_come_back() {
        let state = Arc::new(State::new(2));
        state.set_room(1_000 * SLOT_BYTES);
        let first = state.slot().unwrap();
        let second = state.slot().unwrap();
        assert!(matches!(state.slot(), Err(AuditError::Busy)));
        assert_eq!(state.outstanding(), 2);
        drop(first);
        let third = state.slot().unwrap();
        drop((second, third));
        assert_eq!(state.outstanding(), 0);
    }

    #[test]
    fn slots_end_with_the_room() {
        let state = Arc::new(State::new(10));
        state.set_room(3 * SLOT_BYTES);
        let _first = state.slot().unwrap();
        let _second = state.slot().unwrap();
        assert!(matches!(state.slot(), Err(AuditError::Space)));
        state.set_room(4 * SLOT_BYTES - 1);
        assert!(matches!(state.slot(), Err(AuditError::Space)));
        state.set_room(4 * SLOT_BYTES);
        state.slot().unwrap();
    }

    #[test]
    fn there_are_none_after_a_failure() {
        let state = Arc::new(State::new(10));
        state.set_room(100 * SLOT_BYTES);
        state.fail();
        assert!(matches!(state.slot(), Err(AuditError::Failed)));
        assert_eq!(state.outstanding(), 0);
    }
}
