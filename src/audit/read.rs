//! The entries of a log, for people who look something up.
//!
//! Takes: a directory. Gives: its lines in order. Guarantees: memory for one line; reads beside a running
//! gateway. Refuses: lines that do not match their own hash, which it counts; whether the chain holds is
//! asked of [`super::verify`].

use std::io;
use std::path::Path;
use std::vec::IntoIter;

use jiff::Timestamp;

use super::chain::Line;
use super::entry::Entry;
use super::segment::{Lines, Segment, Step};

/// Opens a log for reading.
///
/// # Errors
/// Where the directory cannot be listed.
pub fn records(dir: &Path) -> io::Result<Records> {
    Ok(Records { segments: Segment::list(dir)?.segments.into_iter(), lines: None, unreadable: 0 })
}

/// Visits the entries that were appended since an instant, and some before: from the last segment that begins earlier.
pub(super) fn records_since(dir: &Path, since: Timestamp, visit: &mut dyn FnMut(Entry)) -> io::Result<()> {
    let segments = Segment::list(dir)?.segments;
    let mut start = 0;
    for (index, segment) in segments.iter().enumerate().rev() {
        let first = Records { segments: vec![segment.clone()].into_iter(), lines: None, unreadable: 0 }.next();
        let time = first.transpose()?.and_then(|record| record.entry.time.parse::<Timestamp>().ok());
        if time.is_some_and(|time| time <= since) {
            start = index;
            break;
        }
    }
    let segments = segments.get(start..).unwrap_or_default().to_vec().into_iter();
    for record in (Records { segments, lines: None, unreadable: 0 }) {
        visit(record?.entry);
    }
    Ok(())
}

/// The records of a log, one at a time.
#[derive(Debug)]
pub struct Records {
    segments: IntoIter<Segment>,
    lines: Option<Lines>,
    unreadable: u64,
}

/// A record as it stands in the log.
#[derive(Debug)]
pub struct Record {
    /// Its place in the log.
    pub seq: u64,
    /// What it says.
    pub entry: Entry,
    /// The whole line, without its line feed.
    pub line: String,
}

impl Records {
    /// Lines left out so far because they are no intact record.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn read(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(lines) = &mut self.lines else {
                let Some(segment) = self.segments.next() else { return Ok(None) };
                self.lines = Some(segment.lines()?);
                continue;
            };
            match lines.step()? {
                Step::Line { bytes, .. } => match record(bytes) {
                    Some(record) => return Ok(Some(record)),
                    None => self.unreadable += 1,
                },
                Step::Broken { .. } => {
                    self.unreadable += 1;
                    self.lines = None;
                }
                Step::Unused { .. } => self.lines = None,
            }
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn record(bytes: &[u8]) -> Option<Record> {
    let line = Line::parse(bytes).filter(Line::is_intact)?;
    let entry = serde_json::from_str(line.entry).ok()?;
    Some(Record { seq: line.seq, entry, line: String::from_utf8(bytes.to_vec()).ok()? })
}
