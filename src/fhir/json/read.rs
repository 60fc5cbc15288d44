//! The reader behind [`super::Tape`]: one pass, recursive descent, eight bytes of a string at a time.
//!
//! Speed comes from three habits: what is left to read is a slice that is split, so that there is no index to check;
//! strings and indentation are passed word by word; names are compared only where a sketch of them collides.

use super::{JsonError, Kind, Node, Tape, Traits};
use crate::limits;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// Odd and without pattern: multiplication by it carries every bit of a 32-bit word into the highest.
const SPREAD: u32 = 0x9E37_79B1;
/// An object with more members than this has its names sorted when it ends, rather than compared as they come.
const FEW_MEMBERS: usize = 64;
/// What a name or a value takes of a text without indentation, and for how many of them there is room from the beginning.
const BYTES_OF_A_VALUE: usize = 16;
const FIRST_VALUES: usize = 256;

/// Reads one value that starts at or after `start` into `tape`; gives the position after it.
pub(super) fn document(bytes: &[u8], start: usize, tape: &mut Tape) -> Result<usize, JsonError> {
    tape.nodes.clear();
    tape.traits = Traits::default();
    tape.pointers.clear();
    tape.codes.clear();
    if u32::try_from(bytes.len()).is_err() {
        return Err(JsonError::Values);
    }
    let rest = after_space(bytes.get(start..).unwrap_or_default());
    let Tape { nodes, traits, pointers, codes } = tape;
    nodes.reserve((bytes.len() / BYTES_OF_A_VALUE).min(FIRST_VALUES));
    let mut reader = Reader { bytes, rest, nodes, traits, pointers, codes };
    reader.value(0)?;
    Ok(reader.at())
}

/// The first position from `at` on that holds no white space; `None` at the end.
pub(super) fn skip_space(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = after_space(bytes.get(at..)?);
    (!rest.is_empty()).then(|| bytes.len() - rest.len())
}

fn after_space(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest {
            [b' ' | b'\n' | b'\r' | b'\t', after @ ..] => after,
            _ => return rest,
        };
        while let Some(after) = rest.strip_prefix(b"        ") {
            rest = after;
        }
    }
}

struct Reader<'r> {
    bytes: &'r [u8],
    /// What is not read yet: the end of `bytes`.
    rest: &'r [u8],
    nodes: &'r mut Vec<Node>,
    traits: &'r mut Traits,
    pointers: &'r mut Vec<u32>,
    codes: &'r mut Vec<u32>,
}

impl<'r> Reader<'r> {
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.rest {
            [b'"', after @ ..] => self.string(after),
            [b'{', after @ ..] => self.object(after, depth + 1),
            [b'[', after @ ..] => self.array(after, depth + 1),
            [b'-' | b'0'..=b'9', ..] => self.number(),
            [b't', ..] => self.literal(b"true", Kind::Boolean),
            [b'f', ..] => self.literal(b"false", Kind::Boolean),
            [b'n', ..] => {
                self.traits.hollow = true;
                self.literal(b"null", Kind::Null)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn object(&mut self, inside: &'r [u8], depth: usize) -> Result<(), JsonError> {
        let index = self.open(Kind::Object, inside, depth)?;
        let (mut names, mut says, mut attached) = (Names::default(), false, false);
        if let [b'}', after @ ..] = self.rest {
            self.traits.hollow = true;
            return self.close(index, after);
        }
        loop {
            let [b'"', after @ ..] = self.rest else { return Err(self.unexpected()) };
            let start = self.at();
            let name = self.name(after)?;
            let traits = traits(name);
            if names.may_hold(traits) {
                self.refuse_elder(index, name, start)?;
            }
            match name {
                b"extension" | b"modifierExtension" => self.traits.extended = true,
                b"url"
                | b"uri"
                | b"valueUrl"
                | b"valueUri"
                | b"valueCanonical"
                | b"valueOid"
                | b"instantiatesUri"
                | b"instantiatesCanonical"
                | b"implicitRules" => self.traits.extended = true,
                b"code" => {
                    attached = true;
                    self.codes.push(self.nodes.len() as u32);
                }
                b"valueCode" => self.codes.push(self.nodes.len() as u32),
                b"reference" | b"identifier" => {
                    attached = true;
                    self.pointers.push(self.nodes.len() as u32);
                }
                b"system" => attached = true,
                b"display" => says = true,
                b"resourceType" => self.traits.resources += 1,
                _ => self.traits.extended |= name.contains(&b'_'),
            }
            self.push(Kind::String, start, Holds::Name(short(traits)))?;
            self.rest = after_space(self.rest);
            let [b':', after @ ..] = self.rest else { return Err(self.unexpected()) };
            self.rest = after_space(after);
            self.value(depth)?;
            self.rest = after_space(self.rest);
            match self.rest {
                [b',', after @ ..] => self.rest = after_space(after),
                [b'}', after @ ..] => {
                    self.traits.unattached |= says && !attached;
                    if names.count > FEW_MEMBERS {
                        self.refuse_duplicates(index)?;
                    }
                    return self.close(index, after);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn array(&mut self, inside: &'r [u8], depth: usize) -> Result<(), JsonError> {
        let index = self.open(Kind::Array, inside, depth)?;
        if let [b']', after @ ..] = self.rest {
            self.traits.hollow = true;
            return self.close(index, after);
        }
        loop {
            self.value(depth)?;
            self.rest = after_space(self.rest);
            match self.rest {
                [b',', after @ ..] => self.rest = after_space(after),
                [b']', after @ ..] => return self.close(index, after),
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// Reads a member name from after its opening quote; gives it without quotes.
    fn name(&mut self, inside: &'r [u8]) -> Result<&'r [u8], JsonError> {
        let start = self.at();
        self.rest = after_plain(inside);
        match self.rest {
            [b'"', after @ ..] => {
                let name = inside.get(..inside.len() - self.rest.len()).unwrap_or_default();
                self.rest = after;
                Ok(name)
            }
            [b'\\', ..] => Err(JsonError::EscapedName(start)),
            _ => Err(self.unexpected()),
        }
    }

    /// Refuses a name that one of the members before it has.
    fn refuse_elder(&self, object: usize, name: &[u8], start: usize) -> Result<(), JsonError> {
        if self.names(object).any(|(elder, _)| elder == name) {
            return Err(JsonError::Duplicate(start));
        }
        Ok(())
    }

    /// Compares all names of an object, in less than the square of their number.
    #[cold]
    fn refuse_duplicates(&self, object: usize) -> Result<(), JsonError> {
        let mut names: Vec<_> = self.names(object).collect();
        names.sort_unstable();
        let twice = names.iter().zip(names.iter().skip(1)).find(|((name, _), (next, _))| name == next);
        twice.map_or(Ok(()), |(_, (_, start))| Err(JsonError::Duplicate(*start)))
    }

    /// The names read so far of an object that is still open, without quotes, and where they start.
    fn names(&self, object: usize) -> impl Iterator<Item = (&'r [u8], usize)> {
        let mut at = object + 1;
        std::iter::from_fn(move || {
            let name = self.nodes.get(at)?;
            at = self.nodes.get(at + 1).map_or(usize::MAX, |value| value.next as usize);
            let span = self.bytes.get(name.start as usize + 1..(name.end as usize).checked_sub(1)?)?;
            Some((span, name.start as usize))
        })
    }

    /// Reads a string from after its opening quote.
    fn string(&mut self, inside: &'r [u8]) -> Result<(), JsonError> {
        let start = self.at();
        let mut holds = Holds::Text;
        self.rest = inside;
        loop {
            self.rest = after_plain(self.rest);
            match self.rest {
                [b'"', after @ ..] => {
                    self.rest = after;
                    return self.push(Kind::String, start, holds);
                }
                [b'\\', ..] => {
                    holds = Holds::Escapes;
                    self.escape()?;
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at();
        self.traits.veiled |= matches!(self.rest, [_, b'u' | b'/', ..]);
        match self.rest {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => self.rest = after,
            [_, b'u', ..] => match self.unit(start)? {
                0xD800..=0xDBFF => self.low_surrogate(start)?,
                0xDC00..=0xDFFF => return Err(JsonError::Escape(start)),
                _ => {}
            },
            [_] => return Err(JsonError::Incomplete),
            _ => return Err(JsonError::Escape(start)),
        }
        Ok(())
    }

    fn low_surrogate(&mut self, start: usize) -> Result<(), JsonError> {
        match self.rest {
            [b'\\', b'u', ..] => match self.unit(start)? {
                0xDC00..=0xDFFF => Ok(()),
                _ => Err(JsonError::Escape(start)),
            },
            [] | [b'\\'] => Err(JsonError::Incomplete),
            _ => Err(JsonError::Escape(start)),
        }
    }

    /// Reads `\uXXXX`, of which the first two characters are known.
    fn unit(&mut self, start: usize) -> Result<u32, JsonError> {
        let Some(([_, _, digits @ ..], after)) = self.rest.split_first_chunk::<6>() else {
            return Err(JsonError::Incomplete);
        };
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(JsonError::Escape(start))?;
        }
        self.rest = after;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at();
        if let [b'-', after @ ..] = self.rest {
            self.rest = after;
        }
        match self.rest {
            [b'0', after @ ..] => self.rest = after,
            _ => self.digits()?,
        }
        if let [b'.', after @ ..] = self.rest {
            self.rest = after;
            self.digits()?;
        }
        if let [b'e' | b'E', after @ ..] = self.rest {
            self.rest = match after {
                [b'+' | b'-', after @ ..] => after,
                _ => after,
            };
            self.digits()?;
        }
        if self.rest.is_empty() {
            return Err(JsonError::Incomplete);
        }
        self.push(Kind::Number, start, Holds::Text)
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let [b'0'..=b'9', rest @ ..] = self.rest else { return Err(self.unexpected()) };
        self.rest = rest;
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        let start = self.at();
        let Some(after) = self.rest.strip_prefix(word) else {
            return Err(if word.starts_with(self.rest) { JsonError::Incomplete } else { JsonError::Syntax(start) });
        };
        self.rest = after;
        self.push(kind, start, Holds::Text)
    }

    /// Enters an array or object; gives the index of its node.
    fn open(&mut self, kind: Kind, inside: &'r [u8], depth: usize) -> Result<usize, JsonError> {
        let start = self.at();
        if depth > limits::JSON_DEPTH {
            return Err(JsonError::Depth(start));
        }
        let index = self.nodes.len();
        self.rest = after_space(inside);
        self.push(kind, start, Holds::Text)?;
        Ok(index)
    }

    fn close(&mut self, index: usize, after: &'r [u8]) -> Result<(), JsonError> {
        self.rest = after;
        let (end, next) = (self.at() as u32, self.nodes.len() as u32);
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end;
            node.next = next;
        }
        Ok(())
    }

    /// Notes a value that ends here.
    fn push(&mut self, kind: Kind, start: usize, holds: Holds) -> Result<(), JsonError> {
        let index = self.nodes.len();
        if index >= limits::JSON_VALUES {
            return Err(JsonError::Values);
        }
        let (start, end, next) = (start as u32, self.at() as u32, index as u32 + 1);
        let (escaped, name, sketch) = match holds {
            Holds::Text => (false, false, 0),
            Holds::Escapes => (true, false, 0),
            Holds::Name(sketch) => (false, true, sketch),
        };
        self.nodes.push(Node { start, end, next, kind, escaped, name, sketch });
        Ok(())
    }

    fn at(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    #[cold]
    fn unexpected(&self) -> JsonError {
        if self.rest.is_empty() { JsonError::Incomplete } else { JsonError::Syntax(self.at()) }
    }
}

/// What is special about the text of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Escapes,
    /// With its sketch.
    Name(u8),
}

/// What an object that is being read remembers of its member names.
#[derive(Default)]
struct Names {
    count: usize,
    sketch: u64,
}

impl Names {
    /// Adds a name by its traits; false where it is surely the first of its kind, or where that is found out later.
    fn may_hold(&mut self, traits: u32) -> bool {
        let bit = 1_u64 << (traits >> 26);
        let held = self.sketch & bit != 0;
        self.sketch |= bit;
        self.count += 1;
        held && self.count <= FEW_MEMBERS
    }
}

/// What names that differ are likely to differ in.
fn traits(name: &[u8]) -> u32 {
    let byte = |at: usize| u32::from(name.get(at).copied().unwrap_or_default());
    let last = byte(name.len().wrapping_sub(1));
    (byte(0) ^ last << 8 ^ byte(name.len() / 2) << 16 ^ (name.len() as u32) << 24).wrapping_mul(SPREAD)
}

fn short(traits: u32) -> u8 {
    (traits >> 24) as u8
}

/// The sketch that nodes carry of a name.
pub(super) fn sketch(name: &[u8]) -> u8 {
    short(traits(name))
}

/// What follows the bytes of a string that are neither quote, backslash nor control character.
#[inline]
fn after_plain(mut rest: &[u8]) -> &[u8] {
    // Names and codes end within two words; narrative goes on.
    for _ in 0..2 {
        let Some((chunk, after)) = rest.split_first_chunk::<8>() else { break };
        let stop = stops(u64::from_le_bytes(*chunk));
        if stop != 0 {
            return rest.get((stop.trailing_zeros() / 8) as usize..).unwrap_or_default();
        }
        rest = after;
    }
    after_long(rest)
}

#[inline(never)]
fn after_long(mut rest: &[u8]) -> &[u8] {
    while let Some((chunk, after)) = rest.split_first_chunk::<32>() {
        if chunk.iter().fold(false, |stop, byte| stop | ends_plain(*byte)) {
            break;
        }
        rest = after;
    }
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let stop = stops(u64::from_le_bytes(*chunk));
        if stop != 0 {
            return rest.get((stop.trailing_zeros() / 8) as usize..).unwrap_or_default();
        }
        rest = after;
    }
    while let [byte, after @ ..] = rest {
        if ends_plain(*byte) {
            break;
        }
        rest = after;
    }
    rest
}

fn ends_plain(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The bytes of a word that [`ends_plain`], the first of them exactly.
fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let stop = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    stop & HIGHS
}

/// Resolves the escapes of a string that [`Reader`] has accepted.
pub(super) fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut characters = after.chars();
        let kind = characters.next().unwrap_or('\\');
        rest = characters.as_str();
        match kind {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let high = unit_of(rest);
                rest = rest.get(4..).unwrap_or_default();
                let mut code = high;
                if (0xD800..0xDC00).contains(&high) {
                    let low = unit_of(rest.get(2..).unwrap_or_default());
                    rest = rest.get(6..).unwrap_or_default();
                    code = 0x1_0000 + ((high - 0xD800) << 10) + (low & 0x3FF);
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    out
}

fn unit_of(text: &str) -> u32 {
    u32::from_str_radix(text.get(..4).unwrap_or_default(), 16).unwrap_or(0xFFFD)
}
