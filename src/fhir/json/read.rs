//! The reader behind [`super::Tape`]: one pass, recursive descent, eight bytes of a string at a time.

use super::{JsonError, Kind, Node};
use crate::limits;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Reads one value that starts at or after `start` into `nodes`; gives the position after it.
pub(super) fn document(bytes: &[u8], start: usize, nodes: &mut Vec<Node>) -> Result<usize, JsonError> {
    nodes.clear();
    if u32::try_from(bytes.len()).is_err() {
        return Err(JsonError::Values);
    }
    let at = skip_space(bytes, start).ok_or(JsonError::Incomplete)?;
    let mut reader = Reader { bytes, at, nodes };
    reader.value(0)?;
    Ok(reader.at)
}

/// The first position from `at` on that holds no white space; `None` at the end.
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(byte) = bytes.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Some(at);
        }
        at += 1;
    }
    None
}

struct Reader<'r> {
    bytes: &'r [u8],
    at: usize,
    nodes: &'r mut Vec<Node>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        let byte = self.peek()?;
        match byte {
            b'"' => {
                let node = self.string()?;
                self.push(node).map(drop)
            }
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true", Kind::Boolean),
            b'f' => self.literal(b"false", Kind::Boolean),
            b'n' => self.literal(b"null", Kind::Null),
            _ => Err(JsonError::Syntax(self.at)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        let index = self.open(Kind::Object, depth)?;
        let mut seen = 0_u64;
        self.space();
        if self.peek()? == b'}' {
            return self.close(index);
        }
        loop {
            if self.peek()? != b'"' {
                return Err(JsonError::Syntax(self.at));
            }
            let name = self.string()?;
            if name.escaped {
                return Err(JsonError::EscapedName(name.start as usize));
            }
            self.refuse_duplicate(index, &mut seen, &name)?;
            self.push(name)?;
            self.space();
            if self.peek()? != b':' {
                return Err(JsonError::Syntax(self.at));
            }
            self.at += 1;
            self.space();
            self.value(depth)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return self.close(index),
                _ => return Err(JsonError::Syntax(self.at)),
            }
            self.space();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        let index = self.open(Kind::Array, depth)?;
        self.space();
        if self.peek()? == b']' {
            return self.close(index);
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return self.close(index),
                _ => return Err(JsonError::Syntax(self.at)),
            }
            self.space();
        }
    }

    /// Compares a name with its elder siblings, but only when a 64-bit sketch of them says that it may be there.
    fn refuse_duplicate(&self, object: usize, seen: &mut u64, name: &Node) -> Result<(), JsonError> {
        let text = self.span(name);
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        let edge = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
        let mixed = edge(inner.first()).wrapping_mul(31)
            ^ edge(inner.last()).wrapping_mul(17)
            ^ edge(inner.get(inner.len() / 2)).wrapping_mul(7)
            ^ (inner.len() as u32).wrapping_mul(3);
        let bit = 1_u64 << (mixed & 63);
        if *seen & bit != 0 {
            let mut at = object + 1;
            while let Some(sibling) = self.nodes.get(at) {
                if self.span(sibling) == text {
                    return Err(JsonError::Duplicate(name.start as usize));
                }
                at = self.nodes.get(at + 1).map_or(usize::MAX, |value| value.next as usize);
            }
        }
        *seen |= bit;
        Ok(())
    }

    fn span(&self, node: &Node) -> &[u8] {
        self.bytes.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    fn string(&mut self) -> Result<Node, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            self.plain_run();
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(self.node(Kind::String, start, escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                byte if byte < 0x20 => return Err(JsonError::Syntax(self.at)),
                _ => self.at += 1,
            }
        }
    }

    /// Moves over bytes of a string that are neither quote, backslash nor control character.
    fn plain_run(&mut self) {
        while let Some(chunk) = self.bytes.get(self.at..self.at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
            let word = u64::from_le_bytes(chunk);
            let quote = word ^ (ONES * b'"' as u64);
            let backslash = word ^ (ONES * b'\\' as u64);
            let stop = (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (word.wrapping_sub(ONES * 0x20) & !word);
            let stop = stop & HIGHS;
            if stop != 0 {
                self.at += (stop.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let kind = self.bytes.get(self.at + 1).ok_or(JsonError::Incomplete)?;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let unit = self.unit(start)?;
                match unit {
                    0xD800..=0xDBFF => {
                        if self.peek()? != b'\\' {
                            return Err(JsonError::Escape(start));
                        }
                        match self.bytes.get(self.at + 1) {
                            None => return Err(JsonError::Incomplete),
                            Some(b'u') => {}
                            Some(_) => return Err(JsonError::Escape(start)),
                        }
                        if !(0xDC00..=0xDFFF).contains(&self.unit(start)?) {
                            return Err(JsonError::Escape(start));
                        }
                    }
                    0xDC00..=0xDFFF => return Err(JsonError::Escape(start)),
                    _ => {}
                }
            }
            _ => return Err(JsonError::Escape(start)),
        }
        Ok(())
    }

    /// Reads `\uXXXX` at the current position.
    fn unit(&mut self, start: usize) -> Result<u32, JsonError> {
        let digits = self.bytes.get(self.at + 2..self.at + 6).ok_or(JsonError::Incomplete)?;
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or(JsonError::Escape(start))?;
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(JsonError::Syntax(self.at)),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits()?;
        }
        if self.at == self.bytes.len() {
            return Err(JsonError::Incomplete);
        }
        let node = self.node(Kind::Number, start, false);
        self.push(node).map(drop)
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(JsonError::Syntax(self.at));
        }
        self.digits();
        Ok(())
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(if word.starts_with(rest) { JsonError::Incomplete } else { JsonError::Syntax(start) });
        }
        self.at += word.len();
        let node = self.node(kind, start, false);
        self.push(node).map(drop)
    }

    fn open(&mut self, kind: Kind, depth: usize) -> Result<usize, JsonError> {
        if depth > limits::JSON_DEPTH {
            return Err(JsonError::Depth(self.at));
        }
        let node = self.node(kind, self.at, false);
        self.at += 1;
        self.push(node)
    }

    fn close(&mut self, index: usize) -> Result<(), JsonError> {
        self.at += 1;
        let (end, next) = (self.at as u32, self.nodes.len() as u32);
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end;
            node.next = next;
        }
        Ok(())
    }

    fn node(&self, kind: Kind, start: usize, escaped: bool) -> Node {
        Node { start: start as u32, end: self.at as u32, next: 0, kind, escaped }
    }

    fn push(&mut self, mut node: Node) -> Result<usize, JsonError> {
        let index = self.nodes.len();
        if index >= limits::JSON_VALUES {
            return Err(JsonError::Values);
        }
        node.next = index as u32 + 1;
        self.nodes.push(node);
        Ok(index)
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, JsonError> {
        self.bytes.get(self.at).copied().ok_or(JsonError::Incomplete)
    }
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
