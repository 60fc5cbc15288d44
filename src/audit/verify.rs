//! The proof that a log is whole and unchanged.
//!
//! Takes: a directory, and where they are kept elsewhere the public key and a checkpoint. Gives: a summary,
//! or every fault found. Guarantees: memory for one line, whatever the size of the log; only reads, needs no
//! private key and may run beside the gateway. Refuses: an edit, a gap, a swap, a repeat, an insertion, a
//! cut tail, a missing segment, a foreign checkpoint.
//!
//! Not found without help from elsewhere: a log that was replaced as a whole together with its key (keep
//! `audit.pub` on another machine), and one that was set back to an older checkpoint (keep a checkpoint).
//! Records newer than the checkpoint are chained and not yet signed; the summary counts them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::chain::{Head, Line};
use super::checkpoint::{CHECKPOINT, Checkpoint, PUBLIC_KEY, PublicKey};
use super::segment::{Listing, Segment, Step};

/// What is trusted because it was kept outside the log's directory.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// File of the public key.
    pub public_key: Option<PathBuf>,
    /// File of a checkpoint that the log must still contain.
    pub checkpoint: Option<PathBuf>,
}

/// A log in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The log's name.
    pub origin: String,
    /// Files.
    pub segments: usize,
    /// Records, and so the sequence number of the last one.
    pub records: u64,
    /// Hash of the last record.
    pub head: String,
    /// The last record that the checkpoint vouches for.
    pub signed: u64,
    /// When the checkpoint was signed.
    pub time: String,
    /// Bytes of a record that was never finished; the next start cuts it off and records that.
    pub unfinished: u64,
}

/// A fault in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A record does not match its own hash.
    #[error("record {seq} was altered ({place})")]
    Altered {
        /// The record.
        seq: u64,
        /// Where it stands.
        place: Place,
    },
    /// The checkpoint is missing, malformed, or not signed with the log's key.
    #[error("checkpoint `{file}` is missing or not valid")]
    Checkpoint {
        /// The checkpoint's file.
        file: String,
    },
    /// A record differs from the one that was signed.
    #[error("record {seq} is not the one that checkpoint `{file}` vouches for")]
    Disagrees {
        /// The record.
        seq: u64,
        /// The checkpoint's file.
        file: String,
    },
    /// A public key is missing, malformed, or differs from the one held elsewhere.
    #[error("public key `{file}` is missing, not valid, or not the trusted one")]
    Key {
        /// The key's file.
        file: String,
    },
    /// A record names another predecessor than the record before it.
    #[error("record {seq} does not follow the record before it ({place})")]
    Link {
        /// The record.
        seq: u64,
        /// Where it stands.
        place: Place,
    },
    /// Bytes that are no record.
    #[error("no record can be read ({place})")]
    Malformed {
        /// Where they stand.
        place: Place,
    },
    /// A segment is not there.
    #[error("segment {number} is missing")]
    Missing {
        /// Its number.
        number: u32,
    },
    /// There are more findings than are listed.
    #[error("further findings are left out")]
    More,
    /// A record has another number than its place demands: one was dropped, repeated, moved or inserted.
    #[error("record {expected} should stand where record {found} is ({place})")]
    Sequence {
        /// The number that should be here.
        expected: u64,
        /// The number that is here.
        found: u64,
        /// Where it stands.
        place: Place,
    },
    /// The log ends before the record that a checkpoint vouches for.
    #[error("the log ends with record {records}, and checkpoint `{file}` vouches for {signed}")]
    Short {
        /// The last record there is.
        records: u64,
        /// The last record there was.
        signed: u64,
        /// The checkpoint's file.
        file: String,
    },
    /// A file's name looks like a segment's and is none.
    #[error("file `{file}` does not belong to the log")]
    Stray {
        /// Its name.
        file: String,
    },
    /// A file cannot be read.
    #[error("`{file}` cannot be read")]
    Unreadable {
        /// Its name.
        file: String,
    },
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment}, byte {offset}")]
pub struct Place {
    /// Number of the segment.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// Checks a whole log.
///
/// # Errors
/// All faults, in the order of the log; at most 100, then [`Finding::More`].
pub fn verify(dir: &Path, trust: &Trust) -> Result<Summary, Vec<Finding>> {
    let mut findings = Findings::default();
    let Some(key) = read_key(dir, trust, &mut findings) else { return Err(findings.list) };
    let signed = read_checkpoints(dir, trust, &key, &mut findings);
    let listing = Segment::list(dir).unwrap_or_else(|_| {
        findings.add(Finding::Unreadable { file: dir.display().to_string() });
        Listing::default()
    });
    check_names(&listing, &mut findings);
    let walked = walk(&listing.segments, key.genesis(), &signed, findings);
    let Some(local) = signed.first().filter(|_| walked.findings.list.is_empty()) else {
        return Err(walked.findings.list);
    };
    Ok(Summary {
        origin: key.origin(),
        segments: listing.segments.len(),
        records: walked.head.seq,
        head: walked.head.hash.to_string(),
        signed: local.checkpoint.seq,
        time: local.checkpoint.time.clone(),
        unfinished: walked.torn.map_or(0, |torn| torn.end - torn.place.offset),
    })
}

/// Faults found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        match self.list.len() {
            0..FINDINGS => self.list.push(finding),
            FINDINGS => self.list.push(Finding::More),
            _ => {}
        }
    }

    /// The first fault.
    pub(super) fn first(self) -> Option<Finding> {
        self.list.into_iter().next()
    }
}

/// A checkpoint whose signature holds, and the file it came from.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    pub(super) file: String,
}

/// What a walk along the chain met.
#[derive(Debug)]
pub(super) struct Walked {
    /// The last good record.
    pub(super) head: Head,
    /// Where the used bytes of the last segment end.
    pub(super) tail: Option<Place>,
    /// A record that was being written when the writer died.
    pub(super) torn: Option<Torn>,
    pub(super) findings: Findings,
}

/// Bytes of a record, or of one batch, that were not on the device when the writer died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) place: Place,
    /// Where the last byte that is not zero ends.
    pub(super) end: u64,
}

/// Follows the chain from the record after `head` through these segments to the end.
///
/// A fault is taken for a torn write, and not for a finding, where no checkpoint vouches for it, nothing
/// good follows, and it is a hole in bytes that a writer left behind or the very last line.
pub(super) fn walk(segments: &[Segment], head: Head, signed: &[Signed], findings: Findings) -> Walked {
    let mut walk = Walk { head, linked: true, torn: None, signed, findings };
    let mut tail = None;
    for segment in segments {
        match walk.segment(segment) {
            Ok(offset) => tail = Some(Place { segment: segment.number, offset }),
            Err(_) => walk.findings.add(Finding::Unreadable { file: segment.path.display().to_string() }),
        }
    }
    for signed in signed.iter().filter(|signed| signed.checkpoint.seq > walk.head.seq) {
        let (records, file) = (walk.head.seq, signed.file.clone());
        walk.findings.add(Finding::Short { records, signed: signed.checkpoint.seq, file });
    }
    Walked { head: walk.head, tail, torn: walk.torn, findings: walk.findings }
}

struct Walk<'a> {
    head: Head,
    /// Whether the next record's predecessor is known. It is not after bytes that are no record.
    linked: bool,
    torn: Option<Torn>,
    signed: &'a [Signed],
    findings: Findings,
}

impl Walk<'_> {
    /// Reads one segment; gives the offset at which its good records end.
    fn segment(&mut self, segment: &Segment) -> io::Result<u64> {
        let mut lines = segment.lines()?;
        loop {
            let before = self.head;
            let step = lines.step()?;
            let (Step::Line { offset, .. } | Step::Broken { offset, .. } | Step::Unused { offset }) = step;
            let place = Place { segment: segment.number, offset };
            let (finding, hole, end) = match step {
                Step::Unused { .. } => return Ok(offset),
                Step::Broken { hole, .. } => (Finding::Malformed { place }, hole, None),
                Step::Line { bytes, .. } => {
                    self.nothing_may_follow_a_torn_write();
                    let Err(finding) = self.line(bytes, place) else { continue };
                    (finding, bytes.contains(&0), Some(offset + bytes.len() as u64 + 1))
                }
            };
            let last = segment.end_of_use(offset)?;
            if (hole || end == Some(last)) && self.findings.list.is_empty() && self.is_unsigned_after(before) {
                self.head = before;
                self.torn = Some(Torn { place, end: last });
                return Ok(offset);
            }
            self.findings.add(finding);
            if end.is_none() {
                self.linked = false;
                return Ok(offset);
            }
        }
    }

    /// Checks one line and takes it, good or bad, for the predecessor of the next.
    fn line(&mut self, bytes: &[u8], place: Place) -> Result<(), Finding> {
        let Some(line) = Line::parse(bytes) else {
            self.linked = false;
            return Err(Finding::Malformed { place });
        };
        let (seq, expected) = (line.seq, self.head.seq.saturating_add(1));
        let (before, linked) = (self.head, self.linked);
        self.head = line.head();
        self.linked = true;
        if linked && seq != expected {
            return Err(Finding::Sequence { expected, found: seq, place });
        }
        if linked && line.prev != before.hash {
            return Err(Finding::Link { seq, place });
        }
        if !line.is_intact() {
            return Err(Finding::Altered { seq, place });
        }
        if !line.entry.starts_with('{') || serde_json::from_str::<IgnoredAny>(line.entry).is_err() {
            return Err(Finding::Malformed { place });
        }
        let hash = line.hash.to_string();
        let other = |signed: &&Signed| signed.checkpoint.seq == seq && signed.checkpoint.hash != hash;
        match self.signed.iter().find(other) {
            Some(signed) => Err(Finding::Disagrees { seq, file: signed.file.clone() }),
            None => Ok(()),
        }
    }

    /// Whether no checkpoint vouches for what comes after this record.
    fn is_unsigned_after(&self, head: Head) -> bool {
        self.signed.iter().all(|signed| signed.checkpoint.seq <= head.seq)
    }

    fn nothing_may_follow_a_torn_write(&mut self) {
        if let Some(torn) = self.torn.take() {
            self.findings.add(Finding::Malformed { place: torn.place });
            self.linked = false;
        }
    }
}

fn read_key(dir: &Path, trust: &Trust, findings: &mut Findings) -> Option<PublicKey> {
    let local = dir.join(PUBLIC_KEY);
    let trusted = trust.public_key.as_deref().unwrap_or(&local);
    let read = |path: &Path| PublicKey::from_pem(&fs::read_to_string(path).ok()?);
    let key = read(trusted);
    if key.is_none() || read(&local) != key {
        let file = if key.is_none() { trusted } else { &local };
        findings.add(Finding::Key { file: file.display().to_string() });
    }
    key
}

/// The checkpoints to hold the log against, the log's own first. It is read before the log, which may grow
/// meanwhile.
fn read_checkpoints(dir: &Path, trust: &Trust, key: &PublicKey, findings: &mut Findings) -> Vec<Signed> {
    let local = dir.join(CHECKPOINT);
    let mut signed = Vec::new();
    for path in [Some(&local), trust.checkpoint.as_ref()].into_iter().flatten() {
        let file = path.display().to_string();
        match read_checkpoint(path, key) {
            Some(checkpoint) => signed.push(Signed { checkpoint, file }),
            None => findings.add(Finding::Checkpoint { file }),
        }
    }
    signed
}

/// Reads again where the bytes do not hold, because a running gateway may be rewriting them.
fn read_checkpoint(path: &Path, key: &PublicKey) -> Option<Checkpoint> {
    (0..CHECKPOINT_READS).find_map(|_| Checkpoint::read(&fs::read(path).ok()?, key))
}

/// Reports segments that are not there and files that should not be.
pub(super) fn check_names(listing: &Listing, findings: &mut Findings) {
    let mut next = 1;
    for segment in &listing.segments {
        for number in (next..segment.number).take(FINDINGS) {
            findings.add(Finding::Missing { number });
        }
        next = segment.number.saturating_add(1);
    }
    for file in &listing.strays {
        findings.add(Finding::Stray { file: file.clone() });
    }
}

const FINDINGS: usize = 100;
/// A rewrite takes well below a microsecond; that it is met this often in a row means damage.
const CHECKPOINT_READS: usize = 8;

#[cfg(test)]
mod tests;
