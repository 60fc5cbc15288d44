//! A permissive FHIR server, or one that follows a script. It records every byte that it receives.
//!
//! It is as wide as a server may be: what it does not know it ignores, and every operation gives everything. What a
//! caller does not get through the gateway in front of it, the gateway has held back. It can also stand before a FHIR
//! server of one's own and pass on what it is asked.

mod decoded;
mod relay;
mod script;
mod search;
mod store;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::attack::gzip;
pub(crate) use relay::Behind;
pub(crate) use script::unknown;
pub(crate) use store::Store;

/// One request as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Silence after the first byte of an answer, where a case needs time to end the gateway.
const FIRST_BYTE_PAUSE: Duration = Duration::from_millis(500);
/// One look at a connection whose answer is delayed.
const LOOK: Duration = Duration::from_millis(10);

/// How the server behaves for now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    pub(crate) quirks: Vec<String>,
    pub(crate) delay: Duration,
    pub(crate) headers: Vec<(String, String)>,
    /// What every request is answered with.
    pub(crate) script: Option<Json>,
    /// The script is played for the next request only.
    pub(crate) once: bool,
    /// Connections are closed as soon as they are made.
    pub(crate) is_down: bool,
    /// Stops for a while after the first byte of each answer.
    pub(crate) pauses: bool,
    /// Patients that every identifier leads to.
    pub(crate) resolves_to: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    received: Vec<Received>,
    /// When requests were given up by who sent them.
    cancelled: Vec<Instant>,
    has_begun: bool,
    at_once: usize,
    most_at_once: usize,
}

/// A server at work.
#[derive(Clone, Debug)]
pub(crate) struct Ehr {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    store: Arc<Mutex<Store>>,
    behind: Option<Behind>,
}

impl Ehr {
    /// Starts a server with these records, or one that asks the server behind it.
    pub(crate) fn start(store: Store, behind: Option<Behind>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let ehr =
            Self { address: listener.local_addr()?, state: Arc::default(), store: Arc::new(Mutex::new(store)), behind };
        let server = ehr.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                let thread = std::thread::Builder::new().stack_size(512 * 1024);
                let _ = thread.spawn(move || server.serve(stream));
            }
        });
        Ok(ehr)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves so from now on, and forgets what it received.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        let mut state = self.state();
        let at_once = state.at_once;
        *state = State { behaviour, at_once, most_at_once: at_once, ..State::default() };
    }

    /// Holds these records from now on.
    pub(crate) fn hold(&self, store: Store) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = store;
    }

    /// Changes what it holds.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Store) -> Result<(), String>) -> Result<(), String> {
        change(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    pub(crate) fn cancelled(&self) -> Vec<Instant> {
        self.state().cancelled.clone()
    }

    /// Whether the first byte of an answer was sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.state().has_begun
    }

    /// The most requests that were at work at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut held = Vec::new();
        while !self.state().behaviour.is_down
            && let Some(request) = next_request(&mut stream, &mut held)
        {
            let behaviour = {
                let mut state = self.state();
                if state.behaviour.is_down {
                    break;
                }
                state.received.push(request.clone());
                state.at_once += 1;
                state.most_at_once = state.most_at_once.max(state.at_once);
                let behaviour = state.behaviour.clone();
                if behaviour.once {
                    (state.behaviour.script, state.behaviour.once) = (None, false);
                }
                behaviour
            };
            if crate::attack::is_shown() {
                println!("  ehr {} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body));
            }
            self.delay(&stream, behaviour.delay);
            let goes_on = match &behaviour.script {
                Some(respond) => script::play(respond, &mut stream).is_ok_and(|goes_on| goes_on),
                None => self.answer(&request, &behaviour, &mut stream).is_ok(),
            };
            let mut state = self.state();
            state.at_once = state.at_once.saturating_sub(1);
            if !goes_on {
                break;
            }
        }
    }

    /// Waits, and notes where the other end goes away meanwhile.
    fn delay(&self, stream: &TcpStream, delay: Duration) {
        let began = Instant::now();
        while began.elapsed() < delay {
            let _ = stream.set_read_timeout(Some(LOOK));
            match stream.peek(&mut [0]) {
                Ok(0) => break,
                Ok(_) => std::thread::sleep(LOOK),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        if began.elapsed() < delay {
            self.state().cancelled.push(Instant::now());
        }
        let _ = stream.set_read_timeout(None);
    }

    fn answer(&self, request: &Received, behaviour: &Behaviour, stream: &mut TcpStream) -> io::Result<()> {
        let base = format!("http://{}/fhir", self.address);
        let has = |quirk: &str| behaviour.quirks.iter().any(|have| have == quirk);
        let (mut status, media, mut body) = match &self.behind {
            Some(behind) => behind.ask(request, &base)?,
            None => {
                let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
                search::answer(&store, request, behaviour, &base)
            }
        };
        let mut fields = String::new();
        if has("use_first_accept_encoding")
            && request.header("accept-encoding").is_some_and(|codings| codings.trim().starts_with("gzip"))
        {
            body = gzip::stored(&body);
            fields.push_str("Content-Encoding: gzip\r\n");
        }
        if has("honour_range")
            && let Some((from, to)) = request.header("range").and_then(|range| piece(range, body.len()))
        {
            fields.push_str(&format!("Content-Range: bytes {from}-{to}/{}\r\n", body.len()));
            body = body.get(from..=to).unwrap_or_default().to_vec();
            status = 206;
        }
        for (name, value) in &behaviour.headers {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nContent-Length: {}\r\nServer: SECRET-EHR/9.9\r\n\
             X-Powered-By: SECRET-EHR\r\nETag: W/\"1\"\r\nSet-Cookie: SECRET-SESSION=1\r\n{fields}\r\n",
            body.len()
        )
        .into_bytes();
        if request.method != "HEAD" {
            bytes.extend_from_slice(&body);
        }
        if behaviour.pauses {
            let first = bytes.drain(..1).collect::<Vec<u8>>();
            stream.write_all(&first)?;
            self.state().has_begun = true;
            std::thread::sleep(FIRST_BYTE_PAUSE);
        }
        stream.write_all(&bytes)
    }
}

/// First and last byte that a Range field asks for (RFC 9110 section 14.1.2), of so many.
fn piece(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split(',').next()?.split_once('-')?;
    let last = length.checked_sub(1)?;
    let to = to.parse().unwrap_or(last).min(last);
    let from = from.parse().unwrap_or(0);
    (from <= to).then_some((from, to))
}

fn next_request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<Received> {
    let mut more = |held: &mut Vec<u8>| {
        let mut bytes = [0; 16 * 1024];
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        held.extend_from_slice(bytes.get(..count)?);
        Some(())
    };
    let end = loop {
        match held.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => more(held)?,
        }
    };
    let head = String::from_utf8_lossy(held.get(..end)?).into_owned();
    held.drain(..end);
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let mut words = lines.next()?.split(' ');
    let mut request = Received { method: words.next()?.into(), target: words.next()?.into(), ..Received::default() };
    let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    request.headers = lines.filter_map(field).collect();
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while held.len() < length {
        more(held)?;
    }
    request.body = held.drain(..length).collect();
    Some(request)
}
