//! The head of an HTTP/1 message as bytes, read strictly and before anything else reads it.
//!
//! Takes: what has come of a connection since the last message. Gives: where the head ends and how its body is framed.
//! Guarantees: a head that is accepted here can be read in one way (RFC 9112), and hyper accepts it too, so that hyper
//! never has to answer in our place. Refuses: bare line feeds, folded lines, a second framing, control characters,
//! fragments, other versions, and whatever is larger than [`limits::REQUEST_HEAD_BYTES`]. No I/O.

use http::Method;

use super::AcceptError;
use super::framing::Framing;
use crate::limits;

/// How far a head has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// More bytes are needed.
    Incomplete,
    /// It is complete.
    Complete {
        /// Its length in bytes, the empty line included.
        length: usize,
        /// What follows it.
        body: Framing,
    },
}

/// Reads one head, over as many calls as it takes to arrive.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Where the line that is being read begins.
    line: usize,
    /// What was already searched for the end of that line.
    searched: usize,
    method: Option<Method>,
    fields: usize,
    is_http10: bool,
    length: Option<u64>,
    chunked: bool,
}

impl HeadReader {
    /// Reads on. `bytes` begins with the first byte of the head, and holds all that has come since.
    ///
    /// # Errors
    /// The first [`AcceptError`] found. What follows in the connection has no meaning then.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Head, AcceptError> {
        loop {
            let rest = bytes.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', rest) else {
                self.searched = bytes.len();
                return self.incomplete(bytes);
            };
            let end = self.searched + found;
            let line = bytes.get(self.line..end).unwrap_or_default();
            let is_first_line = self.line == 0;
            (self.line, self.searched) = (end + 1, end + 1);
            if self.line > limits::REQUEST_HEAD_BYTES {
                return Err(self.too_large());
            }
            let line = line.strip_suffix(b"\r").ok_or(AcceptError::Syntax("line end"))?;
            match (self.method.is_some(), line) {
                // One empty line before a request may be the end of what came before it (RFC 9112 section 2.2).
                (false, []) if is_first_line => {}
                (false, line) => self.request_line(line)?,
                (true, []) => return Ok(Head::Complete { length: self.line, body: self.framing() }),
                (true, line) => self.field(line)?,
            }
        }
    }

    /// The method, once its line was read.
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    fn incomplete(&self, bytes: &[u8]) -> Result<Head, AcceptError> {
        if bytes.len() >= limits::REQUEST_HEAD_BYTES {
            return Err(self.too_large());
        }
        // A TLS handshake, for one, has no lines to wait for.
        match bytes.get(self.line).filter(|_| self.method.is_none()) {
            Some(byte) if !is_token(*byte) && *byte != b'\r' => Err(AcceptError::Syntax("method")),
            _ => Ok(Head::Incomplete),
        }
    }

    fn too_large(&self) -> AcceptError {
        if self.method.is_some() { AcceptError::HeadTooLarge } else { AcceptError::TargetTooLong }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), AcceptError> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(AcceptError::Syntax("request line"));
        };
        if !is_token_of(method) {
            return Err(AcceptError::Syntax("method"));
        }
        let method = Method::from_bytes(method).map_err(|_| AcceptError::Syntax("method"))?;
        self.is_http10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(AcceptError::Version),
            _ => return Err(AcceptError::Syntax("version")),
        };
        self.method = Some(method);
        check_target(target)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), AcceptError> {
        self.fields += 1;
        if self.fields > limits::REQUEST_HEADERS {
            return Err(AcceptError::HeadTooLarge);
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(AcceptError::Syntax("folded line"));
        }
        let colon = memchr::memchr(b':', line).ok_or(AcceptError::Syntax("header line"))?;
        let (name, value) = line.split_at_checked(colon).ok_or(AcceptError::Syntax("header line"))?;
        if !is_token_of(name) {
            return Err(AcceptError::Syntax("header name"));
        }
        let value = value.get(1..).unwrap_or_default();
        if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
            return Err(AcceptError::Syntax("header value"));
        }
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value.trim_ascii()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_coding(value.trim_ascii()),
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), AcceptError> {
        if self.length.is_some() {
            return Err(AcceptError::Repeated("content-length"));
        }
        // Eighteen digits are below every limit of arithmetic that a reader may have.
        if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
            return Err(AcceptError::Framing("content length"));
        }
        self.length = Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        self.check_framing()
    }

    fn transfer_coding(&mut self, value: &[u8]) -> Result<(), AcceptError> {
        if self.chunked || self.is_http10 || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(AcceptError::TransferCoding);
        }
        self.chunked = true;
        self.check_framing()
    }

    /// A message that is framed in two ways ends at two places, whatever RFC 9112 section 6.3 prefers.
    fn check_framing(&self) -> Result<(), AcceptError> {
        if self.chunked && self.length.is_some() { Err(AcceptError::Framing("two framings")) } else { Ok(()) }
    }

    fn framing(&self) -> Framing {
        match self.length {
            _ if self.chunked => Framing::chunked(),
            Some(length) => Framing::Length(length),
            None => Framing::Length(0),
        }
    }
}

/// A target in any of the forms of RFC 9112 section 3.2, in visible ASCII and without a fragment, which belongs to no
/// request and would be dropped silently. What its parts may hold is looked at later.
fn check_target(target: &[u8]) -> Result<(), AcceptError> {
    if target.len() > limits::REQUEST_TARGET_BYTES {
        return Err(AcceptError::TargetTooLong);
    }
    if target.first() == Some(&b'/') && target.iter().all(|byte| is_plain(*byte)) {
        return Ok(());
    }
    if target.contains(&b'#') {
        return Err(AcceptError::Target("fragment"));
    }
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(AcceptError::Target("outside visible ascii"));
    }
    http::Uri::try_from(target).map(drop).map_err(|_| AcceptError::Target("not a uri"))
}

/// What every reader takes for a part of a path or query: RFC 3986, and the bar of FHIR tokens.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/?=&%-._~|,:$!'()*+;@".contains(&byte)
}

fn is_token_of(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| is_token(*byte))
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What no field value may hold (RFC 9110 section 5.5).
fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') | (byte == 0x7f)
}

#[cfg(test)]
mod tests;
