//! One line of the log, and the chain that the lines form.
//!
//! Takes: encoded entries, or lines read back. Gives: sealed lines, or the line's parts. Guarantees: a line
//! is `{"seq":n,"prev":"…","entry":{…},"hash":"…"}` and a line feed; `hash` is SHA-256 over the line up to
//! and not including `,"hash"`, and `prev` is the `hash` of the line before. Refuses: any other spelling.

use std::fmt;

use aws_lc_rs::digest;

use crate::limits;

/// The longest line, line feed included: the longest entry and the frame around it.
pub(super) const LINE_BYTES: usize = limits::AUDIT_RECORD_BYTES + FRAME_BYTES;

/// `{"seq":`, twenty digits, `,"prev":"`, a hash, `","entry":`, the tail and the line feed.
const FRAME_BYTES: usize = 7 + 20 + 9 + HEX_BYTES + 10 + TAIL_BYTES + 1;
/// `,"hash":"`, a hash, `"}`.
const TAIL_BYTES: usize = 9 + HEX_BYTES + 2;
const HEX_BYTES: usize = 64;

/// A SHA-256 digest; displayed in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (slot, byte) in hash.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
            *slot = *byte;
        }
        Self(hash)
    }

    /// Reads what [`fmt::Display`] writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut hash = [0; 32];
        for (slot, [high, low]) in hash.iter_mut().zip(pairs) {
            *slot = value(*high)? << 4 | value(*low)?;
        }
        Some(Self(hash))
    }

    fn hex(self) -> [u8; HEX_BYTES] {
        let mut text = [0; HEX_BYTES];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The last line of a chain: what the next one must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) hash: Hash,
}

impl Head {
    /// Appends the next line, which holds this entry, to a buffer. The chain ends with it from now on.
    pub(super) fn seal(&mut self, entry: &[u8], into: &mut Vec<u8>) {
        let start = into.len();
        self.seq += 1;
        into.extend_from_slice(b"{\"seq\":");
        into.extend_from_slice(self.seq.to_string().as_bytes());
        into.extend_from_slice(b",\"prev\":\"");
        into.extend_from_slice(&self.hash.hex());
        into.extend_from_slice(b"\",\"entry\":");
        into.extend_from_slice(entry);
        self.hash = Hash::of(into.get(start..).unwrap_or_default());
        into.extend_from_slice(b",\"hash\":\"");
        into.extend_from_slice(&self.hash.hex());
        into.extend_from_slice(b"\"}\n");
    }
}

/// The parts of a line as it claims to be; whether the claims hold is asked separately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) prev: Hash,
    pub(super) entry: &'a str,
    pub(super) hash: Hash,
    covered: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let (covered, tail) = text.split_at_checked(text.len().checked_sub(TAIL_BYTES)?)?;
        let hash = tail.strip_prefix(",\"hash\":\"")?.strip_suffix("\"}")?;
        let (seq, rest) = covered.strip_prefix("{\"seq\":")?.split_once(',')?;
        let (prev, rest) = rest.strip_prefix("\"prev\":\"")?.split_at_checked(HEX_BYTES)?;
        let entry = rest.strip_prefix("\",\"entry\":")?;
        if !seq.bytes().all(|byte| byte.is_ascii_digit()) || seq.starts_with('0') {
            return None;
        }
        Some(Self {
            seq: seq.parse().ok()?,
            prev: Hash::parse(prev)?,
            entry,
            hash: Hash::parse(hash)?,
            covered: covered.as_bytes(),
        })
    }

    /// Whether the line is what was hashed when it was sealed.
    pub(super) fn is_intact(&self) -> bool {
        Hash::of(self.covered) == self.hash
    }

    /// The chain's end, were this line its last.
    pub(super) fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Head {
        Head { seq: 0, hash: Hash::of(b"start") }
    }

    #[test]
    fn hashes_are_sha_256_in_lower_case_hex() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc").to_string(), text);
        assert_eq!(Hash::parse(text), Some(Hash::of(b"abc")));
        assert_eq!(Hash::parse(&text.to_uppercase()), None);
        assert_eq!(Hash::parse(&text[1..]), None);
        assert_eq!(Hash::parse(&format!("{text}0")), None);
    }

    #[test]
    fn a_sealed_line_reads_back_and_the_next_one_names_it() {
        let mut head = start();
        let mut log = Vec::new();
        head.seal(b"{\"a\":1}", &mut log);
        let first = head;
        head.seal(b"{}", &mut log);
        let lines: Vec<_> = log.split(|byte| *byte == b'\n').filter_map(Line::parse).filter(Line::is_intact).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].seq, lines[0].prev, lines[0].entry), (1, start().hash, "{\"a\":1}"));
        assert_eq!(lines[0].head(), first);
        assert_eq!((lines[1].seq, lines[1].prev), (2, first.hash));
    }

    #[test]
    fn the_hash_covers_exactly_what_the_format_says() {
        let mut log = Vec::new();
        start().seal(b"{}", &mut log);
        let text = String::from_utf8(log).unwrap();
        let (covered, tail) = text.split_once(",\"hash\"").unwrap();
        assert_eq!(tail, format!(":\"{}\"}}\n", Hash::of(covered.as_bytes())));
    }

    #[test]
    fn the_longest_line_fits_its_bound() {
        let mut head = Head { seq: u64::MAX - 1, hash: Hash::of(b"") };
        let mut log = Vec::new();
        head.seal(&vec![b'x'; limits::AUDIT_RECORD_BYTES], &mut log);
        assert_eq!(log.len(), LINE_BYTES);
    }

    #[test]
    fn other_spellings_are_not_lines() {
        let mut log = Vec::new();
        start().seal(b"{}", &mut log);
        let line = std::str::from_utf8(&log).unwrap().trim_end();
        assert!(Line::parse(line.as_bytes()).is_some());
        for (from, to) in [
            ("{\"seq\":1", "{\"seq\":01"),
            ("{\"seq\":1", "{\"seq\":+1"),
            ("{\"seq\":1", "{\"seq\":"),
            ("{\"seq\":1", "{ \"seq\":1"),
            ("\"prev\":", "\"prev\": "),
            ("\"entry\"", "\"Entry\""),
            ("\"hash\"", "\"hask\""),
        ] {
            assert!(Line::parse(line.replace(from, to).as_bytes()).is_none(), "{from} -> {to}");
        }
        assert!(Line::parse(b"").is_none());
        assert!(Line::parse(format!("{line} ").as_bytes()).is_none());
    }
}
