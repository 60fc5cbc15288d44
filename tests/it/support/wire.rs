//! HTTP/1.1 by hand, so that a test sees every byte and may send any.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::answer::{Answer, Ending};

/// Longer than any deadline of the gateway that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a connection ends that does not end well.
const ENDED: [ErrorKind; 3] = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof, ErrorKind::InvalidData];

/// A stream of bytes in both directions: TCP, or TLS on it.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    held: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A request as it goes over the wire.
pub(crate) fn request(method: &str, target: &str, headers: &[(String, String)], body: Option<&[u8]>) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if let Some(body) = body {
        write!(text, "content-length: {}\r\n", body.len()).unwrap();
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

impl Wire {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), held: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A gateway that refuses early may close before it has read everything; what it said is still to be read.
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Reads more; zero is the end of the connection.
    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = match self.stream.read(&mut piece) {
            // The last is an alert of TLS.
            Err(error) if ENDED.contains(&error.kind()) => 0,
            other => other?,
        };
        self.held.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// The head of the next answer; `None` where the connection ended without one.
    pub(crate) fn head(&mut self) -> Option<Head> {
        let end = loop {
            match self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.more().expect("an answer in time") == 0 => return None,
                None => {}
            }
        };
        let head: Vec<u8> = self.held.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Some(Head { status, headers: lines.map(field).collect() })
    }

    /// Takes `count` bytes off the stream; fewer where it ends.
    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count && self.more().expect("a body in time") > 0 {}
        let count = count.min(self.held.len());
        self.held.drain(..count).collect()
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.held.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.held.drain(..at + 2).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if self.more().expect("a body in time") == 0 {
                return None;
            }
        }
    }

    /// The next chunk of a chunked body; empty is its end, `None` a connection that broke off.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).expect("the size of a chunk");
        let piece = self.take(size);
        (piece.len() == size && self.line()?.is_empty()).then_some(piece)
    }

    /// The rest of an answer whose head was read.
    pub(crate) fn body(&mut self, head: &Head, bodyless: bool) -> (Vec<u8>, Ending) {
        if bodyless || head.status == 204 || head.status == 304 {
            return (Vec::new(), Ending::Whole);
        }
        if let Some(length) = head.header("content-length") {
            let length: usize = length.parse().unwrap();
            let body = self.take(length);
            let ending = if body.len() == length { Ending::Whole } else { Ending::Cut };
            return (body, ending);
        }
        assert_eq!(head.header("transfer-encoding"), Some("chunked"), "a body whose end can be told: {head:?}");
        let mut body = Vec::new();
        loop {
            match self.chunk() {
                None => return (body, Ending::Cut),
                Some(piece) if piece.is_empty() => return (body, Ending::Whole),
                Some(piece) => body.extend_from_slice(&piece),
            }
        }
    }

    /// A whole answer; `None` where the connection ended without one.
    pub(crate) fn answer(&mut self, bodyless: bool) -> Option<Answer> {
        let head = self.head()?;
        let (body, ending) = self.body(&head, bodyless);
        Some(Answer { head, body, ending })
    }
}
