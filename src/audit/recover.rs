//! Opening a log that may have been left in any state.
//!
//! Takes: a directory. Gives: its lock, its key, and the end of its chain. Guarantees: a log that opens is one
//! that `verify` accepts from the segment of the last checkpoint on; what a dead writer left unfinished is
//! cut off and reported. Refuses: a log that another process writes, one with a fault, one that lacks
//! its checkpoint or key, and one that ends before its checkpoint.
//!
//! Segments older than the checkpoint's are checked by name only, so that a start takes the same time after
//! a year as after a day; `portcullis audit verify` reads them all.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::AuditError;
use super::append::{Bounds, Log};
use super::chain::{Hash, Head, LINE_BYTES};
use super::checkpoint::{CHECKPOINT, Checkpoint, Notary, PRIVATE_KEY, SigningKey};
use super::entry::Cut;
use super::segment::Segment;
use super::verify::{Findings, Signed, Torn, check_names, walk};
use crate::clock::Now;
use crate::store::{self, Lock, Region};

/// A log ready to be written.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) notary: Notary,
    pub(super) head: Head,
    pub(super) log: Log,
    pub(super) cut: Option<Cut>,
}

/// Opens the log in a directory, or begins one.
pub(super) fn open(dir: &Path, now: Now, bounds: Bounds) -> Result<Opened, AuditError> {
    store::private_directory(dir).map_err(|error| AuditError::io("create the directory", &error))?;
    let lock = Lock::take(&dir.join("audit.lock")).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => AuditError::Locked,
        _ => AuditError::io("lock the directory", &error),
    })?;
    let listing = Segment::list(dir).map_err(|error| AuditError::io("list the directory", &error))?;
    let key = open_key(dir, !listing.segments.is_empty(), now)?;
    let checkpoint = fs::read(dir.join(CHECKPOINT))
        .ok()
        .and_then(|bytes| Checkpoint::read(&bytes, key.public()))
        .ok_or(AuditError::Checkpoint)?;

    let mut findings = Findings::default();
    check_names(&listing, &mut findings);
    let (start, head) = starting_point(&listing.segments, checkpoint.seq, key.public().genesis())?;
    let signed = [Signed { checkpoint, file: CHECKPOINT.to_owned() }];
    let walked = walk(listing.segments.get(start..).unwrap_or_default(), head, &signed, findings);
    if let Some(finding) = walked.findings.first() {
        return Err(AuditError::Damaged(finding));
    }

    let cut = walked.torn.map(|torn| cut(dir, torn, bounds)).transpose()?;
    let (number, region) = match walked.tail {
        Some(tail) => (tail.segment, Region::open(&Segment::of(dir, tail.segment).path, tail.offset)),
        None => (1, Region::create(&Segment::of(dir, 1).path, 0)),
    };
    let region = region.map_err(|error| AuditError::io("open the last segment", &error))?;
    let notary = Notary::new(dir, key).map_err(|error| AuditError::io("open the checkpoint", &error))?;
    Ok(Opened { lock, notary, head: walked.head, log: Log::new(dir, number, region, bounds), cut })
}

/// The key, made together with the first checkpoint where the directory holds no log yet. The checkpoint comes
/// before the first segment, so that segments without one are always a fault.
fn open_key(dir: &Path, has_segments: bool, now: Now) -> Result<SigningKey, AuditError> {
    let exists = |name| dir.join(name).exists();
    let begun = has_segments || exists(CHECKPOINT);
    let key = match (exists(PRIVATE_KEY), begun) {
        (true, _) => SigningKey::load(dir)?,
        (false, false) => SigningKey::create(dir)?,
        (false, true) => return Err(AuditError::Key),
    };
    if !begun {
        Notary::begin(dir, &key, now).map_err(|error| AuditError::io("write the first checkpoint", &error))?;
    }
    Ok(key)
}

/// The last segment that begins at or before the checkpoint, and the head of the chain before it. That head is
/// as good as signed: the walk compares what follows from it with the checkpoint.
fn starting_point(segments: &[Segment], signed: u64, genesis: Head) -> Result<(usize, Head), AuditError> {
    for (index, segment) in segments.iter().enumerate().skip(1).rev() {
        match segment.first().map_err(|error| AuditError::io("read a segment", &error))? {
            Some((seq, prev)) if seq <= signed => return Ok((index, Head { seq: seq - 1, hash: prev })),
            _ => {}
        }
    }
    Ok((0, genesis))
}

/// Cuts off what a dead writer left unfinished: at most one batch.
fn cut(dir: &Path, torn: Torn, bounds: Bounds) -> Result<Cut, AuditError> {
    let bytes = torn.end - torn.place.offset;
    if bytes > (bounds.batch * LINE_BYTES) as u64 {
        return Err(AuditError::Damaged(super::verify::Finding::Malformed { place: torn.place }));
    }
    let segment = Segment::of(dir, torn.place.segment);
    let digest = || -> io::Result<String> {
        let digest = Hash::of(&segment.bytes(torn.place.offset, torn.end)?).to_string();
        Region::open(&segment.path, torn.place.offset)?.finish()?;
        Ok(digest)
    };
    let digest = digest().map_err(|error| AuditError::io("cut an unfinished record", &error))?;
    Ok(Cut { segment: torn.place.segment, offset: torn.place.offset, bytes, digest })
}

#[cfg(test)]
mod tests;
