//! The audit log, read as an auditor reads it.

use std::path::Path;

use portcullis::audit::entry::{Entry, Kind};
use portcullis::audit::records;
use portcullis::audit::verify::{Trust, verify};

/// The records of a log.
pub(crate) struct Log {
    pub(crate) lines: Vec<String>,
    pub(crate) entries: Vec<(u64, Entry)>,
}

impl Log {
    /// What is in the log by now.
    pub(crate) fn read(folder: &Path) -> Self {
        let found: Vec<_> = records(folder).unwrap().map(Result::unwrap).collect();
        let lines = found.iter().map(|record| record.line.clone()).collect();
        Self { lines, entries: found.into_iter().map(|record| (record.seq, record.entry)).collect() }
    }

    /// The records of exchanges, in order.
    pub(crate) fn exchanges(&self) -> Vec<&Entry> {
        self.of(Kind::Exchange)
    }

    pub(crate) fn of(&self, kind: Kind) -> Vec<&Entry> {
        self.entries.iter().map(|(_, entry)| entry).filter(|entry| entry.kind == kind).collect()
    }

    /// The one record of an exchange, by its request id.
    #[track_caller]
    pub(crate) fn exchange(&self, id: &str) -> &Entry {
        let mut found = self.exchanges().into_iter().filter(|entry| entry.exchange.as_deref() == Some(id));
        let entry = found.next().unwrap_or_else(|| panic!("no record of {id}"));
        assert!(found.next().is_none(), "two records of {id}");
        entry
    }

    /// The record that closes an exchange.
    #[track_caller]
    pub(crate) fn closing(&self, id: &str) -> Option<&Entry> {
        let mut found = self.of(Kind::Closing).into_iter().filter(|entry| entry.exchange.as_deref() == Some(id));
        let entry = found.next();
        assert!(found.next().is_none(), "two closings of {id}");
        entry
    }
}

/// The log must be whole and unchanged.
#[track_caller]
pub(crate) fn assert_sound(folder: &Path) {
    if let Err(findings) = verify(folder, &Trust::default()) {
        panic!("the log is not sound: {findings:?}");
    }
}
