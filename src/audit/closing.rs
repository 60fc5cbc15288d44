//! The second record of an answer that is sent in pieces.
//!
//! Takes: the receipt of the first. Gives: a record that names it and says how the answer ended. Guarantees: one
//! such record for each [`Closer`], whatever becomes of it: one that is dropped records that the answer was
//! cut and what had been sent by then. Refuses: nothing; the space was promised at the start.

use std::future::Future;

use super::append::{Message, Pending};
use super::entry::{Counts, Delivery, Entry, Kind};
use super::slot::Slot;
use super::{AuditError, Desk, Hash};

/// What is known of an answer at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// Whether it was sent to its end.
    pub delivery: Delivery,
    /// How many resources came and went.
    pub counts: Counts,
    /// Ids of the patients about whom something was released.
    pub patients: Vec<String>,
    /// SHA-256 of what was sent, in hexadecimal.
    pub digest: Option<String>,
    /// From the request's head to the end, in microseconds.
    pub duration_us: Option<u64>,
}

/// A closing that is on the device.
#[derive(Debug)]
pub struct Closed {
    seq: u64,
    hash: Hash,
}

impl Closed {
    /// Its place in the log.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Its hash, which the next record names.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

/// The duty to record how an answer ended.
#[derive(Debug)]
#[must_use = "dropping it records that the answer was cut"]
pub struct Closer {
    so_far: Closing,
    duty: Option<Duty>,
}

#[derive(Debug)]
struct Duty {
    closes: u64,
    exchange: Option<String>,
    slot: Slot,
    desk: Desk,
}

impl Closer {
    pub(super) fn new(closes: u64, exchange: Option<String>, slot: Slot, desk: Desk) -> Self {
        Self { so_far: Closing::default(), duty: Some(Duty { closes, exchange, slot, desk }) }
    }

    /// What is recorded if the answer breaks off now. The sender keeps it up with what it has sent.
    pub fn so_far(&mut self) -> &mut Closing {
        &mut self.so_far
    }

    /// Records the end. The record is on its way when this returns and durable when the future resolves.
    ///
    /// # Errors
    /// [`AuditError::Failed`] where the log can no longer be written.
    pub fn finish(mut self, closing: Closing) -> impl Future<Output = Result<Closed, AuditError>> + Send + 'static {
        let sent = self.duty.take().ok_or(AuditError::Failed).and_then(|duty| {
            let entry = duty.entry(closing);
            duty.desk.send(entry, duty.slot)
        });
        async move {
            let durable = sent?.await.map_err(|_| AuditError::Failed)?;
            Ok(Closed { seq: durable.head.seq, hash: durable.head.hash })
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let Some(duty) = self.duty.take() else { return };
        let closing = Closing { delivery: Delivery::Cut, ..std::mem::take(&mut self.so_far) };
        if let Ok(entry) = duty.entry(closing).encode() {
            // A writer that has failed takes nothing more, and the gateway has stopped with it.
            let _ = duty.desk.queue.try_send(Message::Record(Pending { entry, slot: duty.slot, reply: None }));
        }
    }
}

impl Duty {
    fn entry(&self, closing: Closing) -> Entry {
        Entry {
            exchange: self.exchange.clone(),
            closes: Some(self.closes),
            counts: Some(closing.counts),
            patients: closing.patients,
            digest: closing.digest,
            duration_us: closing.duration_us,
            delivery: Some(closing.delivery),
            ..Entry::new(Kind::Closing, self.desk.clock.now())
        }
    }
}
