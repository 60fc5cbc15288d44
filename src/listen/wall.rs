//! HTTP/2 on its way out: answers of ours pass, one of h2's own does not.
//!
//! To a header list above [`crate::limits::H2_HEADER_LIST`] h2 answers 431 by itself, without an exchange and hence without
//! a record. That answer is known by its shape: a HEADERS frame that ends its stream and is too short to hold the id that
//! every answer of ours carries. Guarantees: such a frame is not sent; its connection ends instead.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::layer::{Layer, writes_through};

/// Length, type, flags and stream of a frame (RFC 9113 section 4.1).
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
/// An exchange's id is 26 characters, of which HPACK makes no fewer bytes than this.
const OWN_HEADERS: u32 = 16;

/// A connection whose frames are looked at as they leave.
#[derive(Debug)]
pub(super) struct Wall<S> {
    stream: S,
    frames: Frames,
}

/// Where in its frames a connection is.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    /// Bytes of the present frame's payload that are still to come.
    payload: u32,
    head: [u8; FRAME_HEAD],
    /// How much of the next frame's head has come.
    have: usize,
}

impl Frames {
    /// Passes over `bytes`; false where a frame among them is none of ours.
    fn pass(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = (self.payload as usize).min(bytes.len());
            self.payload -= u32::try_from(skipped).unwrap_or(self.payload);
            bytes = bytes.get(skipped..).unwrap_or_default();
            while let (Some(place), Some((byte, rest))) = (self.head.get_mut(self.have), bytes.split_first()) {
                *place = *byte;
                self.have += 1;
                bytes = rest;
            }
            if self.have == FRAME_HEAD {
                self.have = 0;
                let [high, middle, low, kind, flags, ..] = self.head;
                self.payload = u32::from_be_bytes([0, high, middle, low]);
                if kind == HEADERS && flags & END_STREAM != 0 && self.payload < OWN_HEADERS {
                    return false;
                }
            }
        }
        true
    }
}

impl<S> Wall<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, frames: Frames::default() }
    }

    fn looks_ours(&self, pieces: &[io::IoSlice<'_>]) -> bool {
        let mut frames = self.frames;
        pieces.iter().all(|piece| frames.pass(piece))
    }

    fn passed(&mut self, pieces: &[io::IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        let &Poll::Ready(Ok(mut count)) = written else { return };
        for piece in pieces {
            let part = piece.get(..count.min(piece.len())).unwrap_or_default();
            self.frames.pass(part);
            count -= part.len();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wall<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Layer for Wall<S> {
    fn check(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<()> {
        if self.looks_ours(pieces) { Ok(()) } else { Err(io::Error::other("an answer without an exchange")) }
    }

    fn wrote(&mut self, pieces: &[io::IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        self.passed(pieces, written);
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

writes_through!(Wall);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(FRAME_HEAD + payload, 0x88);
        bytes
    }

    #[test]
    fn an_answer_of_h2_itself_is_seen_however_it_is_cut() {
        let settings = frame(4, 0, 30);
        let answer = frame(HEADERS, 4, 9);
        let data = frame(0, 1, 70_000);
        let head_only = frame(HEADERS, 5, 60);
        let ours = [settings, answer, data, head_only].concat();
        let own = frame(HEADERS, 5, 5);
        for piece in [1, 2, 3, 9, 10, 4_096] {
            let mut frames = Frames::default();
            assert!(ours.chunks(piece).all(|bytes| frames.pass(bytes)), "{piece}");
            assert!(!own.chunks(piece).all(|bytes| frames.pass(bytes)), "{piece}");
        }
    }

    #[test]
    fn only_what_was_written_counts() {
        let mut wall = Wall::new(());
        let both = [frame(0, 0, 4), frame(HEADERS, 5, 5)].concat();
        let pieces = [io::IoSlice::new(&both[..6]), io::IoSlice::new(&both[6..])];
        assert!(!wall.looks_ours(&pieces));
        wall.passed(&pieces, &Poll::Ready(Ok(13)));
        assert!(!wall.looks_ours(&[io::IoSlice::new(&both[13..])]));
        wall.passed(&pieces, &Poll::Pending);
        assert!(wall.looks_ours(&[io::IoSlice::new(&frame(6, 1, 8))]));
    }
}
