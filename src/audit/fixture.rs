//! Small logs to test on.

use std::fs;
use std::path::Path;

use super::append::Bounds;
use super::chain::{Head, Line};
use super::checkpoint::{CHECKPOINT, SigningKey};
use super::entry::{Counts, Entry, Kind};
use super::segment::Segment;
use super::{Audit, AuditError, Receipt};
use crate::clock::{Clock, Now};
use crate::store::SECTOR_BYTES;

/// Four slots, and segments of a few records.
pub(super) const SMALL: Bounds = Bounds { outstanding: 4, batch: 4, segment: 1_500, headroom: 200_000, step: 100_000 };

pub(super) fn clock() -> Clock {
    Clock::Fixed("2026-11-23T08:00:00Z".parse().unwrap())
}

pub(super) fn now() -> Now {
    clock().now()
}

/// Opens a log. Another test's child may hold the lock of one that was just closed, between its fork and its exec.
pub(super) fn open(dir: &Path) -> Audit {
    for _ in 0..10_000 {
        match Audit::open_within(dir, clock(), SMALL) {
            Err(AuditError::Locked) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("the log stays locked")
}

/// An entry that can be told from others.
pub(super) fn entry(client: &str) -> Entry {
    Entry { client: Some(client.to_owned()), counts: Some(Counts::default()), ..Entry::new(Kind::Exchange, now()) }
}

pub(super) async fn record(audit: &Audit, client: &str) -> Receipt {
    audit.reserve().unwrap().record(entry(client)).await.unwrap()
}

/// A log with a start, so many records, each in a batch of its own, and a stop.
pub(super) fn write(dir: &Path, records: usize) {
    let audit = open(dir);
    block_on(async {
        for number in 0..records {
            let _receipt = record(&audit, &format!("client-{number}")).await;
        }
    });
    audit.close();
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The lines of all segments, each with its line feed.
pub(super) fn lines(dir: &Path) -> Vec<String> {
    let segments = Segment::list(dir).unwrap().segments;
    let text: String = segments.iter().map(|segment| fs::read_to_string(&segment.path).unwrap()).collect();
    text.trim_end_matches('\0').split_inclusive('\n').map(str::to_owned).collect()
}

/// Puts these lines into the first segment and removes the others.
pub(super) fn put(dir: &Path, lines: &[String]) {
    for segment in Segment::list(dir).unwrap().segments {
        fs::remove_file(segment.path).unwrap();
    }
    fs::write(Segment::of(dir, 1).path, lines.concat()).unwrap();
}

/// Signs a checkpoint that ends with this line, as the gateway would have done at that time.
pub(super) fn sign(dir: &Path, line: &str) {
    let line = Line::parse(line.trim_end().as_bytes()).unwrap();
    let key = SigningKey::load(dir).unwrap();
    let head = Head { seq: line.seq, hash: line.hash };
    let signed: [u8; SECTOR_BYTES] = key.sign(head, now()).sector().unwrap();
    fs::write(dir.join(CHECKPOINT), signed).unwrap();
}

/// The same entries, numbered and chained anew from genesis: what an editor with all but the key can make.
pub(super) fn rechain(dir: &Path, entries: &[String]) -> Vec<String> {
    let mut head = SigningKey::load(dir).unwrap().public().genesis();
    let seal = |entry: &String| {
        let mut line = Vec::new();
        head.seal(entry.as_bytes(), &mut line);
        String::from_utf8(line).unwrap()
    };
    entries.iter().map(seal).collect()
}

/// The entry of a line.
pub(super) fn entry_of(line: &str) -> String {
    Line::parse(line.trim_end().as_bytes()).unwrap().entry.to_owned()
}
