//! Exchanges at work: what a gateway that dies was asked and has no record of.
//!
//! Takes: what is known of an exchange before the EHR is asked. Gives: after a crash, an entry for each exchange that was
//! noted and has no record. Guarantees: a note is with the operating system before [`AtWork::note`] returns, and so
//! outlives the process, though not the machine. Refuses: nothing; a note that cannot be read is told of without its details.
//!
//! The file `at-work` has a place for each slot. A note is overwritten by the next exchange of its place and otherwise
//! stays, which spares a write: after a crash only notes as young as an exchange can be old are asked after in the log.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::entry::{Entry, Kind};
use super::read::records_since;
use crate::clock::Now;
use crate::limits;

const NAME: &str = "at-work";
/// A note's longest text and the line feed that ends it.
const PLACE_BYTES: usize = limits::AUDIT_NOTE_BYTES + 1;

/// The file of notes.
#[derive(Debug)]
pub(super) struct AtWork(File);

impl AtWork {
    /// Opens the file in a directory, empty from now on, for as many notes as `places`.
    pub(super) fn open(dir: &Path, places: usize) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join(NAME))?;
        file.set_len(0)?;
        file.set_len((places * PLACE_BYTES) as u64)?;
        Ok(Self(file))
    }

    /// Notes an exchange in one of the places.
    pub(super) fn note(&self, place: usize, entry: &Entry) -> io::Result<()> {
        let mut line = entry.note().ok_or(ErrorKind::InvalidData)?;
        line.push(b'\n');
        self.0.write_all_at(&line, (place * PLACE_BYTES) as u64)
    }
}

/// The exchanges that a dead writer of this directory had at work, by the notes it left. How old a note is counts from the
/// youngest that can be read, not from `now`, which may be days later.
pub(super) fn interrupted(dir: &Path, now: Now) -> io::Result<Vec<Entry>> {
    let notes = match std::fs::read(dir.join(NAME)) {
        Ok(notes) => notes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines: Vec<&[u8]> = notes.chunks(PLACE_BYTES).filter_map(line).collect();
    let mut noted: Vec<Entry> = lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let unreadable = lines.len() - noted.len();
    let time = |entry: &Entry| entry.time.parse::<Timestamp>().ok();
    if let Some(last) = noted.iter().filter_map(time).max() {
        let since = last.saturating_sub(SignedDuration::try_from(limits::EXCHANGE_TOTAL).unwrap_or_default());
        let since = since.unwrap_or(last);
        noted.retain(|entry| time(entry).is_none_or(|time| time >= since));
        let mut recorded = HashSet::new();
        records_since(dir, since, &mut |entry| {
            if matches!(entry.kind, Kind::Exchange | Kind::Interrupted) {
                recorded.extend(entry.exchange);
            }
        })?;
        noted.retain(|entry| entry.exchange.as_ref().is_none_or(|exchange| !recorded.contains(exchange)));
    }
    let told = noted.into_iter().map(|entry| Entry { kind: Kind::Interrupted, ..entry });
    Ok(told.chain((0..unreadable).map(|_| Entry::new(Kind::Interrupted, now))).collect())
}

/// The text of one place; `None` where nothing was noted.
fn line(place: &[u8]) -> Option<&[u8]> {
    let line = place.split(|byte| *byte == b'\n').next()?;
    line.first().is_some_and(|byte| *byte != 0).then_some(line)
}

#[cfg(test)]
mod tests;
