//! Where the body of an HTTP/1 message ends.
//!
//! Takes: the framing that a head declares. Gives: how much of what comes is body, so that nothing behind it is taken for
//! a part of it. Guarantees: a chunked body is followed byte by byte (RFC 9112 section 7.1). Refuses: chunk sizes that
//! are no plain hexadecimal number, line ends that are not CR LF, extensions and trailers without end. No I/O.

use super::AcceptError;
use crate::limits;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
}

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the size of a chunk.
    Size {
        /// Digits read.
        digits: u8,
        /// Their value.
        size: u32,
    },
    /// In an extension, which means nothing here; how many bytes of it were read, and the size before it.
    Extension {
        /// Bytes read.
        read: usize,
        /// The size of the chunk.
        size: u32,
    },
    /// Before the line feed after a size.
    SizeEnd {
        /// The size of the chunk.
        size: u32,
    },
    /// In the data of a chunk, with so much to come.
    Data {
        /// Bytes to come.
        left: u32,
    },
    /// Before the carriage return after the data.
    DataReturn,
    /// Before the line feed after the data.
    DataEnd,
    /// At the begin of a trailer line, or of the last line.
    Trailer {
        /// Bytes of trailers read.
        read: usize,
    },
    /// Within a trailer line.
    TrailerLine {
        /// Bytes of trailers read.
        read: usize,
    },
    /// Before the line feed after a trailer line.
    TrailerEnd {
        /// Bytes of trailers read.
        read: usize,
    },
    /// Before the line feed of the last line.
    LastEnd,
    /// After the body.
    Done,
}

impl Framing {
    /// A chunked body from its begin.
    pub fn chunked() -> Self {
        Self::Chunked(Chunk::Size { digits: 0, size: 0 })
    }

    /// Whether nothing of the body is to come.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// How many of `bytes` belong to the body; they are then behind us.
    ///
    /// # Errors
    /// [`AcceptError::BodyBroken`] where the framing is not kept.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, AcceptError> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunk) => chunk.take(bytes),
        }
    }
}

impl Chunk {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, AcceptError> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if let Self::Data { left } = self {
                let data = (*left as usize).min(rest.len());
                rest = rest.get(data..).unwrap_or_default();
                *left -= u32::try_from(data).unwrap_or(*left);
                if *left == 0 {
                    *self = Self::DataReturn;
                }
                continue;
            }
            if *self == Self::Done {
                break;
            }
            *self = self.next(*byte).ok_or(AcceptError::BodyBroken)?;
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Where a byte that is no data leads; none where it has no place.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { digits, size }, byte) if byte.is_ascii_hexdigit() => {
                // Seven digits are more than any body may hold.
                let digit = char::from(byte).to_digit(16).filter(|_| digits < 7)?;
                Self::Size { digits: digits + 1, size: size << 4 | digit }
            }
            (Self::Size { digits: 1.., size }, b';') => Self::Extension { read: 0, size },
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeEnd { size },
            (Self::Extension { size, .. }, b'\r') => Self::SizeEnd { size },
            (Self::Extension { read, size }, b'\t' | b' '..=b'~') if read < limits::CHUNK_EXTENSION_BYTES => {
                Self::Extension { read: read + 1, size }
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailer { read: 0 },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataReturn, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size { digits: 0, size: 0 },
            (Self::Trailer { .. }, b'\r') => Self::LastEnd,
            (Self::TrailerLine { read }, b'\r') => Self::TrailerEnd { read },
            (Self::TrailerEnd { read }, b'\n') => Self::Trailer { read },
            (Self::Trailer { read } | Self::TrailerLine { read }, b'\t' | b' '..=b'~')
                if read < limits::TRAILER_BYTES =>
            {
                Self::TrailerLine { read: read + 1 }
            }
            (Self::LastEnd, b'\n') => Self::Done,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of `text` is body, fed in pieces of every size.
    #[track_caller]
    fn taken(text: &str) -> Option<usize> {
        let mut results = Vec::new();
        for piece in 1..=text.len() {
            let (mut framing, mut sum) = (Framing::chunked(), Ok(0));
            for bytes in text.as_bytes().chunks(piece) {
                let Ok(so_far) = sum else { break };
                sum = framing.take(bytes).map(|taken| so_far + taken);
                if framing.is_complete() {
                    break;
                }
            }
            results.push(sum.ok().filter(|_| framing.is_complete()));
        }
        assert!(results.windows(2).all(|two| two[0] == two[1]), "{text:?}: {results:?}");
        results[0]
    }

    #[test]
    fn a_chunked_body_ends_where_it_ends() {
        for (body, behind) in [
            ("0\r\n\r\n", ""),
            ("0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("4\r\nname\r\n3\r\n=ab\r\n0\r\n\r\n", "x"),
            ("A\r\n0\r\n\r\n0123\n\r\n00\r\n\r\n", "x"),
            ("1;a=b;c=\"d e\"\r\nx\r\n0\r\nX-Trailer: y\r\nZ: y\r\n\r\n", "\r\n"),
        ] {
            assert_eq!(taken(&format!("{body}{behind}")), Some(body.len()), "{body:?}");
        }
    }

    #[test]
    fn a_chunk_that_two_readers_read_differently_is_no_chunk() {
        for body in [
            "\r\n",
            "0x1\r\nx\r\n0\r\n\r\n",
            " 1\r\nx\r\n0\r\n\r\n",
            "1 \r\nx\r\n0\r\n\r\n",
            "+1\r\nx\r\n0\r\n\r\n",
            "1\nx\r\n0\r\n\r\n",
            "1;a\nx\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "1;\u{1}\r\nx\r\n0\r\n\r\n",
            "00000001\r\nx\r\n0\r\n\r\n",
            "0\r\nX: \n\r\n",
            "0\r\n\rx",
            "0\r\n\n",
            ";a\r\n",
        ] {
            assert_eq!(taken(body), None, "{body:?}");
        }
        assert_eq!(taken(&format!("0;{}\r\n\r\n", "x".repeat(limits::CHUNK_EXTENSION_BYTES + 1))), None);
        let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(limits::TRAILER_BYTES / 4 + 1));
        assert_eq!(Framing::chunked().take(trailers.as_bytes()), Err(AcceptError::BodyBroken));
    }

    #[test]
    fn a_length_is_counted_down() {
        let mut framing = Framing::Length(5);
        assert_eq!((framing.take(b"abc"), framing.is_complete()), (Ok(3), false));
        assert_eq!((framing.take(b"abc"), framing.is_complete()), (Ok(2), true));
        assert_eq!(framing.take(b"abc"), Ok(0));
        assert!(Framing::Length(0).is_complete());
    }
}
