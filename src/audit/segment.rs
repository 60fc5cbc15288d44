//! The files of a log, and their lines.
//!
//! Takes: a directory. Gives: its segments in order, and the lines of one of them. Guarantees: memory for
//! one line, whatever the size of the file; nothing is written. Refuses: nothing; what is not a line is
//! reported as such, with its place.
//!
//! A segment is used bytes followed by zeros that wait to be used.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::chain::{LINE_BYTES, Line};

const BUFFER_BYTES: usize = 64 * 1024;

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) path: PathBuf,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By number.
    pub(super) segments: Vec<Segment>,
    /// Names that look like segments and are none.
    pub(super) strays: Vec<String>,
}

impl Segment {
    /// The segment of this number, whether it exists or not.
    pub(super) fn of(dir: &Path, number: u32) -> Self {
        Self { number, path: dir.join(format!("audit-{number:08}.ndjson")) }
    }

    /// All segments of a directory. One that does not exist has none.
    pub(super) fn list(dir: &Path) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for file in dir.read_dir()? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if !name.starts_with("audit-") {
                continue;
            }
            let number = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".ndjson")?.parse().ok());
            match number.map(|number| Self::of(dir, number)) {
                Some(segment) if segment.path.file_name() == Some(name.as_ref()) => listing.segments.push(segment),
                _ => listing.strays.push(name),
            }
        }
        listing.segments.sort_by_key(|segment| segment.number);
        listing.strays.sort();
        Ok(listing)
    }

    /// Reads the segment from its beginning.
    pub(super) fn lines(&self) -> io::Result<Lines> {
        let input = BufReader::with_capacity(BUFFER_BYTES, File::open(&self.path)?);
        Ok(Lines { input, offset: 0, line: Vec::new() })
    }

    /// Sequence number and predecessor of the first line, where it has one.
    pub(super) fn first(&self) -> io::Result<Option<(u64, super::Hash)>> {
        let mut lines = self.lines()?;
        let Step::Line { bytes, .. } = lines.step()? else { return Ok(None) };
        Ok(Line::parse(bytes).map(|line| (line.seq, line.prev)))
    }

    /// Where the last byte that is not zero ends, at or after an offset.
    pub(super) fn end_of_use(&self, from: u64) -> io::Result<u64> {
        let mut input = self.at(from)?;
        let (mut offset, mut end) = (from, from);
        loop {
            let piece = input.fill_buf()?;
            if piece.is_empty() {
                return Ok(end);
            }
            if let Some(place) = piece.iter().rposition(|byte| *byte != 0) {
                end = offset + place as u64 + 1;
            }
            let length = piece.len();
            offset += length as u64;
            input.consume(length);
        }
    }

    /// The bytes of a range, which the caller bounds.
    pub(super) fn bytes(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.at(from)?.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn at(&self, offset: u64) -> io::Result<BufReader<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, file))
    }
}

/// A segment being read.
#[derive(Debug)]
pub(super) struct Lines {
    input: BufReader<File>,
    offset: u64,
    line: Vec<u8>,
}

/// What stands at one place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Bytes that end in a line feed, which is left out here.
    Line { offset: u64, bytes: &'a [u8] },
    /// Used bytes without the line feed that should end them. The segment is not read further.
    Broken {
        offset: u64,
        /// Whether bytes are missing: zeros among them, or the file ends here. A writer that dies leaves such
        /// holes; an editor does not.
        hole: bool,
    },
    /// Only zeros from here to the end of the file.
    Unused { offset: u64 },
}

impl Lines {
    /// Reads on. After [`Step::Broken`] and [`Step::Unused`] there is nothing more to ask for.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        self.line.clear();
        let offset = self.offset;
        let length = self.input.by_ref().take(LINE_BYTES as u64).read_until(b'\n', &mut self.line)?;
        self.offset += length as u64;
        if self.line.iter().all(|byte| *byte == 0) {
            return Ok(if self.rest_is_zero()? {
                Step::Unused { offset }
            } else {
                Step::Broken { offset, hole: true }
            });
        }
        match self.line.strip_suffix(b"\n") {
            Some(bytes) => Ok(Step::Line { offset, bytes }),
            None => Ok(Step::Broken { offset, hole: length < LINE_BYTES || self.line.contains(&0) }),
        }
    }

    fn rest_is_zero(&mut self) -> io::Result<bool> {
        loop {
            let piece = self.input.fill_buf()?;
            if piece.is_empty() {
                return Ok(true);
            }
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            let length = piece.len();
            self.input.consume(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::scratch::Scratch;

    fn segment(dir: &Path, content: &[u8]) -> Segment {
        let segment = Segment::of(dir, 1);
        fs::write(&segment.path, content).unwrap();
        segment
    }

    #[test]
    fn lists_segments_by_number_and_names_strays() {
        let dir = Scratch::new();
        for name in [
            "audit-00000010.ndjson",
            "audit-00000002.ndjson",
            "audit-100000000.ndjson",
            "audit-3.ndjson",
            "audit-000000004.ndjson",
            "audit-00000002.ndjson.old",
            "checkpoint.json",
        ] {
            fs::write(dir.join(name), b"").unwrap();
        }
        let listing = Segment::list(&dir).unwrap();
        let numbers: Vec<_> = listing.segments.iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [2, 10, 100_000_000]);
        assert_eq!(listing.strays, ["audit-000000004.ndjson", "audit-00000002.ndjson.old", "audit-3.ndjson"]);
    }

    #[test]
    fn reads_lines_up_to_the_unused_zeros() {
        let dir = Scratch::new();
        let mut content = b"a\nbc\n".to_vec();
        content.resize(300_000, 0);
        let mut lines = segment(&dir, &content).lines().unwrap();
        assert_eq!(lines.step().unwrap(), Step::Line { offset: 0, bytes: b"a" });
        assert_eq!(lines.step().unwrap(), Step::Line { offset: 2, bytes: b"bc" });
        assert_eq!(lines.step().unwrap(), Step::Unused { offset: 5 });
    }

    #[test]
    fn tells_a_hole_from_an_overlong_line() {
        let dir = Scratch::new();
        for (content, hole) in [
            (b"a\nbc".to_vec(), true),
            (b"a\nbc\0\0\0".to_vec(), true),
            (b"a\n\0\0c".to_vec(), true),
            ([b"a\n".as_slice(), &[0; 100_000], b"c\n"].concat(), true),
            ([b"a\n".as_slice(), &[b'x'; LINE_BYTES], b"\n"].concat(), false),
        ] {
            let mut lines = segment(&dir, &content).lines().unwrap();
            lines.step().unwrap();
            assert_eq!(lines.step().unwrap(), Step::Broken { offset: 2, hole }, "{} bytes", content.len());
        }
    }

    #[test]
    fn finds_the_end_of_use() {
        let dir = Scratch::new();
        let segment = segment(&dir, &[b"ab\0c".as_slice(), &[0; 200_000], b"d", &[0; 70_000]].concat());
        assert_eq!(segment.end_of_use(0).unwrap(), 200_005);
        assert_eq!(segment.end_of_use(200_005).unwrap(), 200_005);
        assert_eq!(segment.bytes(2, 4).unwrap(), b"\0c");
    }
}
