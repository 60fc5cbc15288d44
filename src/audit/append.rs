//! The one writer of a log.
//!
//! Takes: encoded entries from a bounded queue. Gives: for each the place it has in the chain. Guarantees: an
//! entry is on the device before its sender hears of it; entries that wait together share one `fdatasync`;
//! space is prepared behind the used bytes while no one waits for it. Refuses: to go on after a failed
//! write or sync, because what the device then holds is not known (as PostgreSQL does since 2018).

use std::io::{self, ErrorKind};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;

use tokio::sync::oneshot;

use super::AuditError;
use super::chain::Head;
use super::checkpoint::Notary;
use super::entry::{Entry, Kind};
use super::segment::Segment;
use super::slot::{Slot, State};
use crate::clock::{Clock, Now};
use crate::limits;
use crate::store::{Lock, Region};

/// The numbers that a log is run with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) outstanding: usize,
    pub(super) batch: usize,
    pub(super) segment: u64,
    pub(super) headroom: u64,
    pub(super) step: u64,
}

impl Bounds {
    pub(super) const STANDARD: Self = Self {
        outstanding: limits::AUDIT_OUTSTANDING,
        batch: limits::AUDIT_BATCH,
        segment: limits::AUDIT_SEGMENT_BYTES,
        headroom: limits::AUDIT_HEADROOM_BYTES,
        step: limits::AUDIT_HEADROOM_STEP,
    };
}

/// What the writer is sent.
#[derive(Debug)]
pub(super) enum Message {
    Record(Pending),
    Stop,
}

/// An entry on its way to the device.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) entry: Vec<u8>,
    pub(super) slot: Slot,
    /// Who waits for it. Where the writer drops this, the entry is not durable.
    pub(super) reply: Option<oneshot::Sender<Durable>>,
}

/// An entry that is on the device.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) head: Head,
    pub(super) slot: Slot,
}

/// The segments at the end of a log.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    number: u32,
    current: Region,
    /// The segment after this one, while its space is being prepared.
    next: Option<Region>,
    bounds: Bounds,
}

impl Log {
    pub(super) fn new(dir: &Path, number: u32, current: Region, bounds: Bounds) -> Self {
        Self { dir: dir.to_path_buf(), number, current, next: None, bounds }
    }

    /// The directory of the log.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is work for [`Self::grow`].
    fn is_short(&self) -> bool {
        self.current.room() < self.bounds.headroom || self.current.used() >= self.bounds.segment
    }

    /// Prepares one step of space, and moves on to the next segment where that is due and ready.
    fn grow(&mut self) -> io::Result<()> {
        let Bounds { segment, headroom, step, .. } = self.bounds;
        if self.current.used() < segment {
            return self.current.prepare(self.current.room() + step);
        }
        let next = match &mut self.next {
            Some(next) => next,
            None => self.next.insert(Region::create(&Segment::of(&self.dir, self.number + 1).path, 0)?),
        };
        next.prepare((next.room() + step).min(headroom))?;
        if next.room() >= headroom
            && let Some(next) = self.next.take()
        {
            self.number += 1;
            mem::replace(&mut self.current, next).finish()?;
        }
        Ok(())
    }
}

/// The state of the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) log: Log,
    pub(super) head: Head,
    pub(super) notary: Notary,
    pub(super) state: Arc<State>,
    pub(super) clock: Clock,
    /// Held for as long as there is a writer.
    pub(super) _lock: Lock,
}

impl Writer {
    /// Makes the space that [`Bounds`] demand and the first entries of this run durable.
    pub(super) fn begin(&mut self, entries: Vec<Entry>) -> Result<(), AuditError> {
        while self.log.is_short() {
            self.log.grow().map_err(|error| match is_full(&error) {
                true => AuditError::Space,
                false => AuditError::io("prepare space", &error),
            })?;
        }
        for entry in entries {
            let line = entry.encode()?;
            self.write_own(&line).map_err(|error| AuditError::io("write the first entry", &error))?;
        }
        self.state.set_room(self.log.current.room());
        Ok(())
    }

    /// Writes until it is told to stop, no sender is left, or a write fails.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let state = Arc::clone(&self.state);
        let ended = self.serve(inbox).and_then(|()| self.end());
        state.fail();
        if let Err(error) = ended {
            tracing::error!(kind = %error.kind(), "the audit log cannot be written; no further exchange is accepted");
        }
    }

    fn serve(&mut self, inbox: &Receiver<Message>) -> io::Result<()> {
        let mut batch = Vec::with_capacity(self.log.bounds.batch);
        let mut lines = Vec::new();
        let mut unsynced = false;
        let mut synced = self.clock.now();
        loop {
            let mut going = true;
            let first = if unsynced || self.log.is_short() {
                inbox.recv_timeout(limits::AUDIT_CHECKPOINT_SYNC)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let idle = first.is_err();
            if self.state.outstanding() >= limits::AUDIT_LINGER_FROM {
                thread::sleep(limits::AUDIT_LINGER);
            }
            let waiting = inbox.try_iter().take(self.log.bounds.batch - 1);
            match first {
                Ok(first) => {
                    for message in std::iter::once(first).chain(waiting) {
                        match message {
                            Message::Record(pending) => batch.push(pending),
                            Message::Stop => going = false,
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => going = false,
            }
            let now = self.clock.now();
            if !batch.is_empty() {
                // The failure is known before anybody who waits for this batch hears of it.
                self.commit(&mut batch, &mut lines, now).inspect_err(|_| self.state.fail())?;
                unsynced = true;
            }
            if unsynced && (idle || !going || is_due(synced, now)) {
                self.notary.sync()?;
                (unsynced, synced) = (false, now);
            }
            if !going {
                return Ok(());
            }
            self.make_room()?;
        }
    }

    /// Makes a batch durable, then answers each of its senders.
    fn commit(&mut self, batch: &mut Vec<Pending>, lines: &mut Vec<u8>, now: Now) -> io::Result<()> {
        lines.clear();
        let mut heads = Vec::with_capacity(batch.len());
        for pending in batch.iter() {
            self.head.seal(&pending.entry, lines);
            heads.push(self.head);
        }
        self.log.current.append(lines)?;
        self.log.current.sync()?;
        self.state.set_room(self.log.current.room());
        self.notary.state(self.head, now)?;
        for (Pending { slot, reply, .. }, head) in batch.drain(..).zip(heads) {
            if let Some(reply) = reply {
                // A caller that no longer waits needs no answer; its slot is given back with the message.
                let _ = reply.send(Durable { head, slot });
            }
        }
        Ok(())
    }

    /// Keeps the space ahead of the log. A full disk is not a failure: it ends the giving of slots, which
    /// resumes when there is space again.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        if self.log.is_short() {
            match self.log.grow() {
                Err(error) if !is_full(&error) => return Err(error),
                _ => self.state.set_room(self.log.current.room()),
            }
        }
        Ok(())
    }

    /// Records the stop and gives the space ahead back.
    fn end(mut self) -> io::Result<()> {
        let entry = Entry::new(Kind::Stop, self.clock.now()).encode().map_err(io::Error::other)?;
        self.write_own(&entry)?;
        self.log.current.finish()
    }

    fn write_own(&mut self, entry: &[u8]) -> io::Result<()> {
        let mut line = Vec::new();
        self.head.seal(entry, &mut line);
        self.log.current.append(&line)?;
        self.log.current.sync()?;
        self.notary.state(self.head, self.clock.now())?;
        self.notary.sync()
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether the checkpoint has waited long enough, also where the clock was set back.
fn is_due(synced: Now, now: Now) -> bool {
    now.timestamp().duration_since(synced.timestamp()).unsigned_abs() >= limits::AUDIT_CHECKPOINT_SYNC
}
