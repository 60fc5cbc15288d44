//! HTTP/1.1 by hand: any bytes go out, and everything that comes back is seen.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

/// Longer than any deadline of the gateway that a case waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(70);
/// Silence after which a connection that had its answer says nothing more.
const SILENCE: Duration = Duration::from_millis(250);
/// One look at a connection between two pieces that are sent slowly.
const LOOK: Duration = Duration::from_millis(1);

/// One answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Fields after the body.
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether the body ended as its framing promises.
    pub(crate) is_whole: bool,
}

/// What came back over one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) replies: Vec<Reply>,
    pub(crate) closed: bool,
    pub(crate) elapsed: Duration,
    /// There was no connection: TLS refused it.
    pub(crate) handshake_failed: bool,
    /// HTTP/2: the stream was reset, or the connection with it.
    pub(crate) stream_error: bool,
    /// When the client broke off, where it was told to.
    pub(crate) aborted: Option<Instant>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A connection, with TLS or without.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects from an address of one's own, so that clients can be told apart.
    pub(crate) fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect(&to.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// How one request is sent and listened to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// The answer has no body, whatever its head says.
    pub(crate) head: bool,
    /// All answers are read, until the connection is silent or closed.
    pub(crate) everything: bool,
    /// The client goes away after this time.
    pub(crate) abort_after: Option<Duration>,
}

/// Sends `pieces`, each after a pause, and reads what comes back.
pub(crate) fn exchange(stream: &mut Stream, pieces: &[(Duration, Vec<u8>)], manner: &Manner) -> Exchange {
    let mut talk = Talk { began: Instant::now(), seen: Exchange::default(), held: Vec::new() };
    for (pause, piece) in pieces {
        if !pause.is_zero() && !talk.wait(stream, *pause, manner) {
            break;
        }
        if let Err(error) = stream.write_all(piece).and_then(|()| stream.flush()) {
            talk.failed(&error, false);
            break;
        }
    }
    if let Some(after) = manner.abort_after {
        std::thread::sleep(after.saturating_sub(talk.began.elapsed()));
        talk.seen.aborted = Some(Instant::now());
        talk.seen.elapsed = talk.began.elapsed();
        return talk.seen;
    }
    talk.listen(stream, manner);
    talk.seen
}

struct Talk {
    began: Instant,
    seen: Exchange,
    held: Vec<u8>,
}

impl Talk {
    /// Waits before the next piece; tells whether the connection is still there.
    fn wait(&mut self, stream: &mut Stream, pause: Duration, manner: &Manner) -> bool {
        let until = Instant::now() + pause;
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            match self.read(stream, rest.max(LOOK)) {
                Some(true) => self.take(manner),
                Some(false) => {}
                None => return false,
            }
            if rest.is_zero() {
                return true;
            }
        }
    }

    fn listen(&mut self, stream: &mut Stream, manner: &Manner) {
        loop {
            self.take(manner);
            if self.seen.closed || (!manner.everything && !self.seen.replies.is_empty()) {
                break;
            }
            let wait = if self.seen.replies.is_empty() { PATIENCE } else { SILENCE };
            if self.read(stream, wait) == Some(false) {
                break;
            }
        }
        if self.seen.replies.is_empty() {
            self.seen.elapsed = self.began.elapsed();
        }
        if !self.seen.closed && !manner.everything {
            // An answer that says that the connection closes is followed by its end.
            self.seen.closed = self.seen.replies.last().and_then(|reply| reply.header("connection")) == Some("close");
        }
    }

    /// Reads once: whether something came, `None` at the end.
    fn read(&mut self, stream: &mut Stream, wait: Duration) -> Option<bool> {
        let _ = stream.tcp().set_read_timeout(Some(wait));
        let mut bytes = [0; 64 * 1024];
        match stream.read(&mut bytes) {
            Ok(0) => self.seen.closed = true,
            Ok(count) => {
                self.held.extend_from_slice(bytes.get(..count).unwrap_or_default());
                return Some(true);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Some(false),
            Err(error) => self.failed(&error, true),
        }
        None
    }

    /// What a failure says of the connection. Where writing failed, an answer may still wait to be read.
    fn failed(&mut self, error: &io::Error, reading: bool) {
        let refused = error.kind() == ErrorKind::InvalidData;
        self.seen.handshake_failed |= refused && self.held.is_empty() && self.seen.replies.is_empty();
        self.seen.closed |= reading || refused;
    }

    fn take(&mut self, manner: &Manner) {
        while let Some((reply, used)) = parse(&self.held, manner.head, self.seen.closed) {
            self.held.drain(..used);
            if reply.status != 100 {
                if self.seen.replies.is_empty() {
                    self.seen.elapsed = self.began.elapsed();
                }
                self.seen.replies.push(reply);
            }
        }
    }
}

type Fields = Vec<(String, String)>;

fn fields<'l>(lines: impl Iterator<Item = &'l str>) -> Fields {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
    lines.filter_map(|line| line.split_once(':')).map(pair).collect()
}

/// The first answer in what was received, and how many bytes it took.
pub(crate) fn parse(held: &[u8], head: bool, is_end: bool) -> Option<(Reply, usize)> {
    let (first, rest) = held.split_at(held.windows(4).position(|four| four == b"\r\n\r\n")? + 4);
    let end = first.len();
    let text = String::from_utf8_lossy(first).into_owned();
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut reply = Reply { status, headers: fields(lines), is_whole: true, ..Reply::default() };
    if head || status < 200 || matches!(status, 204 | 304) {
        return Some((reply, end));
    }
    if reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return match chunks(rest) {
            Some((body, trailers, used)) => {
                (reply.body, reply.trailers) = (body, trailers);
                Some((reply, end + used))
            }
            None if is_end => {
                reply.body = rest.to_vec();
                reply.is_whole = false;
                Some((reply, held.len()))
            }
            None => None,
        };
    }
    let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
    match length.and_then(|length| rest.get(..length)) {
        Some(body) => {
            reply.body = body.to_vec();
            Some((reply, end + body.len()))
        }
        None if is_end => {
            reply.is_whole = length.is_none();
            reply.body = rest.to_vec();
            Some((reply, held.len()))
        }
        None => None,
    }
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, Fields, usize)> {
    let (mut body, all) = (Vec::new(), rest.len());
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            if rest.starts_with(b"\r\n") {
                return Some((body, Vec::new(), all - rest.len() + 2));
            }
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            let text = String::from_utf8_lossy(rest.get(..end)?).into_owned();
            return Some((body, fields(text.split("\r\n")), all - rest.len() + end));
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
