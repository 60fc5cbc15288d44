//! The record of every exchange, durable before its answer.
//!
//! Takes: entries. Gives: a [`Receipt`] for each, which only this module can make. Guarantees: the log is
//! append-only and hash-chained, its head is signed, and an entry is on the device before its receipt
//! exists. Refuses: a [`Reservation`] where the entry that must follow could not be written, so that
//! nothing is fetched that could not be accounted for.
//!
//! The life of an entry: [`Audit::reserve`] when a request arrives; [`Reservation::note`] before the EHR is asked; [`Reservation::record`] when the answer is
//! ready; the [`Receipt`] lets it be sent. Where it is sent in pieces, [`Receipt::into_closer`] gives the duty to
//! record its end. Everything is written by one thread (`append`); its callers only wait, on any runtime.
//!
//! A log is a directory: `audit-00000001.ndjson` and so on hold the entries (`chain`), `checkpoint.json`
//! says how far they go (`checkpoint`), and [`verify`] needs nothing but these and the public key.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::clock::Clock;
use append::{Bounds, Durable, Message, Pending, Writer};
use at_work::AtWork;
use recover::Opened;
use slot::{Slot, State};

mod append;
mod at_work;
mod chain;
mod checkpoint;
mod closing;
pub mod entry;
mod read;
mod recover;
mod segment;
mod slot;
pub mod verify;

pub use chain::Hash;
pub use closing::{Closed, Closer, Closing};
pub use entry::Entry;
pub use read::{Record, Records, records};

/// The log of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit {
    state: Arc<State>,
    desk: Desk,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Audit {
    /// Opens the log in a directory, which is made if need be, and records the start. Blocks until the start is
    /// durable and the space for all that may be outstanding is prepared.
    ///
    /// # Errors
    /// Where another process writes this log, where it has a fault, and where space or a file is missing.
    pub fn open(dir: &Path, clock: Clock) -> Result<Self, AuditError> {
        Self::open_within(dir, clock, Bounds::STANDARD)
    }

    fn open_within(dir: &Path, clock: Clock, bounds: Bounds) -> Result<Self, AuditError> {
        let now = clock.now();
        let Opened { lock, notary, head, log, cut } = recover::open(dir, now, bounds)?;
        let interrupted =
            at_work::interrupted(dir, now).map_err(|error| AuditError::io("read what was at work", &error))?;
        let recovery = cut.map(|cut| Entry { cut: Some(cut), ..Entry::new(entry::Kind::Recovery, now) });
        let software = Some(env!("CARGO_PKG_VERSION").to_owned());
        let start = Entry { software, ..Entry::new(entry::Kind::Start, now) };
        let state = Arc::new(State::new(bounds.outstanding));
        let mut writer = Writer { log, head, notary, state, clock, _lock: lock };
        writer.begin(recovery.into_iter().chain(interrupted).chain([start]).collect())?;
        Self::start(writer, bounds)
    }

    fn start(writer: Writer, bounds: Bounds) -> Result<Self, AuditError> {
        // An exchange has one message in the queue at a time, so this holds all of them and the stop.
        let (queue, inbox) = mpsc::sync_channel(bounds.outstanding + 1);
        let state = Arc::clone(&writer.state);
        let clock = writer.clock.clone();
        let at_work = AtWork::open(writer.log.dir(), bounds.outstanding)
            .map_err(|error| AuditError::io("note what is at work", &error))?;
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| AuditError::io("start the writer", &error))?;
        let desk = Desk { queue, clock, at_work: Arc::new(at_work) };
        Ok(Self { state, desk, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Promises space for one exchange: its record and its closing.
    ///
    /// # Errors
    /// [`AuditError::Busy`] and [`AuditError::Space`] pass; [`AuditError::Failed`] does not.
    pub fn reserve(&self) -> Result<Reservation, AuditError> {
        Ok(Reservation { slot: self.state.slot()?, desk: self.desk.clone() })
    }

    /// Whether entries can be written. Once this is false it stays so, and the process must be replaced.
    pub fn healthy(&self) -> bool {
        !self.state.has_failed()
    }

    /// Exchanges that hold a slot: reserved, being recorded, or being answered.
    pub fn outstanding(&self) -> usize {
        self.state.outstanding()
    }

    /// Makes all that was sent durable, records the stop and signs the end. Blocks until that is done.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Either may find the writer gone already, which is what is wanted.
            let _ = self.desk.queue.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

/// The way to the writer.
#[derive(Clone, Debug)]
struct Desk {
    queue: SyncSender<Message>,
    clock: Clock,
    at_work: Arc<AtWork>,
}

impl Desk {
    fn send(&self, entry: Entry, slot: Slot) -> Result<oneshot::Receiver<Durable>, AuditError> {
        let (reply, durable) = oneshot::channel();
        let pending = Pending { entry: entry.encode()?, slot, reply: Some(reply) };
        self.queue.try_send(Message::Record(pending)).map_err(|_| AuditError::Failed)?;
        Ok(durable)
    }
}

/// Space promised for one exchange. Given back when dropped.
#[derive(Debug)]
#[must_use = "nothing may be fetched without it"]
pub struct Reservation {
    slot: Slot,
    desk: Desk,
}

impl Reservation {
    /// Notes that the exchange is at work, so that a crash leaves a trace of it: the log then says that it was interrupted.
    ///
    /// # Errors
    /// [`AuditError::Io`] where the note cannot be written; then nothing may be fetched.
    pub fn note(&self, entry: &Entry) -> Result<Noted<'_>, AuditError> {
        let noted = self.desk.at_work.note(self.slot.place(), entry);
        noted.map_err(|error| AuditError::io("note an exchange", &error))?;
        Ok(Noted { _room: self })
    }

    /// Records the exchange. The entry is on its way when this returns, also where the future is then
    /// dropped, and durable when the future resolves.
    ///
    /// # Errors
    /// [`AuditError::Failed`] where the log can no longer be written; then nothing may be answered.
    pub fn record(self, entry: Entry) -> impl Future<Output = Result<Receipt, AuditError>> + Send + 'static {
        let Self { slot, desk } = self;
        let exchange = entry.exchange.clone();
        let sent = desk.send(entry, slot);
        async move {
            let Durable { head, slot } = sent?.await.map_err(|_| AuditError::Failed)?;
            Ok(Receipt { seq: head.seq, hash: head.hash, exchange, slot, desk })
        }
    }
}

/// The proof that an exchange has room in the log and is noted as being at work. Whoever wants to ask the EHR must show one.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'r> {
    _room: &'r Reservation,
}

/// Space in the log that an exchange holds, from its reservation until its closing is durable. Whoever wants to ask the EHR
/// for more of an answer must show it.
pub trait HeldSpace: held::Sealed {}

impl HeldSpace for Reservation {}
impl HeldSpace for Closer {}
impl HeldSpace for Noted<'_> {}

mod held {
    pub trait Sealed {}
    impl Sealed for super::Reservation {}
    impl Sealed for super::Closer {}
    impl Sealed for super::Noted<'_> {}
}

/// The proof that an exchange is recorded durably. An answer needs one.
#[derive(Debug)]
#[must_use = "the answer must be sent with it"]
pub struct Receipt {
    seq: u64,
    hash: Hash,
    exchange: Option<String>,
    slot: Slot,
    desk: Desk,
}

impl Receipt {
    /// The entry's place in the log, from 1.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The entry's hash, which the next one names.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The exchange that is recorded; empty for an entry about none.
    pub fn exchange(&self) -> &str {
        self.exchange.as_deref().unwrap_or_default()
    }

    /// Takes on the duty to record how the answer ended.
    pub fn into_closer(self) -> Closer {
        Closer::new(self.seq, self.exchange, self.slot, self.desk)
    }
}

/// Why an entry cannot be recorded, or a log not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// As many exchanges as may be are waiting for their record.
    #[error("too many exchanges wait for their audit record")]
    Busy,
    /// The checkpoint is missing, malformed or signed by another key.
    #[error("the audit checkpoint is missing or not valid")]
    Checkpoint,
    /// The record was not durable in time.
    #[error("the audit log takes too long")]
    Late,
    /// The log has a fault.
    #[error("the audit log is damaged: {0}")]
    Damaged(verify::Finding),
    /// An entry cannot be written as JSON of bounded size.
    #[error("an audit entry cannot be encoded")]
    Encoding,
    /// A write failed, or the log was closed. There is no way back.
    #[error("the audit log can no longer be written")]
    Failed,
    /// The operating system refused.
    #[error("cannot {what}: {kind}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// How it was refused.
        kind: ErrorKind,
    },
    /// The signing key is missing, malformed, or not the one that belongs to the log.
    #[error("the audit signing key is missing or not valid")]
    Key,
    /// Another process writes this log.
    #[error("the audit log is in use by another process")]
    Locked,
    /// There is not enough space on the disk.
    #[error("the audit log has no space left")]
    Space,
}

impl AuditError {
    fn io(what: &'static str, error: &io::Error) -> Self {
        Self::Io { what, kind: error.kind() }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
