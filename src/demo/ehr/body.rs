//! Bodies: whole, in pieces with pauses, breaking off, generated, gzipped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::limits;

/// Pieces that may wait for the connection to take them.
const WAITING: usize = 2;
/// The most that a stored block of DEFLATE can hold (RFC 1951, 3.2.4).
const STORED_BLOCK: usize = 0xffff;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// Known before it is sent.
    Whole(Option<Bytes>),
    /// Comes from a task, which ends when nobody takes its pieces any more.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body {
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self::Whole((!bytes.is_empty()).then(|| bytes.into()))
    }

    /// `bytes` in pieces of `piece`, with `pause` before each; the connection breaks where `complete` is false.
    pub(super) fn pieces(bytes: Vec<u8>, piece: usize, pause: Duration, complete: bool) -> Self {
        Self::produced(move |sender| async move {
            let mut rest = Bytes::from(bytes);
            while !rest.is_empty() {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                let next = rest.split_to(piece.min(rest.len()));
                if sender.send(Ok(next)).await.is_err() {
                    return;
                }
            }
            if complete {
                return;
            }
            // Room for all means that the connection has taken, and so sent, what came before the break.
            if let Ok(room) = sender.reserve_many(WAITING).await {
                drop(room);
                drop(sender.send(Err(io::ErrorKind::ConnectionAborted.into())).await);
            }
        })
    }

    /// A searchset of `entries` Observations about `patient`, made while it is sent.
    pub(super) fn generated(entries: u64, base: String, patient: String) -> Self {
        Self::produced(move |sender| async move {
            let mut held = format!(
                r#"{{"resourceType":"Bundle","type":"searchset","total":{entries},"link":[{{"relation":"self","url":"{base}/Observation"}}],"entry":["#
            );
            for number in 0..entries {
                if number > 0 {
                    held.push(',');
                }
                held.push_str(&observation(number, &base, &patient));
                if held.len() >= limits::STREAM_BITE_BYTES {
                    let frame = std::mem::take(&mut held);
                    if sender.send(Ok(frame.into())).await.is_err() {
                        return;
                    }
                }
            }
            held.push_str("]}");
            drop(sender.send(Ok(held.into())).await);
        })
    }

    fn produced<F>(produce: impl FnOnce(mpsc::Sender<io::Result<Bytes>>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(produce(sender));
        Self::Pieces(receiver)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => bytes.take().map(Ok),
            Self::Pieces(receiver) => ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

fn observation(number: u64, base: &str, patient: &str) -> String {
    let (tenths, day) = (number % 60, number % 28 + 1);
    format!(
        r#"{{"fullUrl":"{base}/Observation/huge-{number}","resource":{{"resourceType":"Observation","id":"huge-{number}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"4548-4","display":"HbA1c"}}]}},"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"2025-03-{day:02}","valueQuantity":{{"value":{}.{}0,"unit":"%","system":"http://unitsofmeasure.org","code":"%"}}}},"search":{{"mode":"match"}}}}"#,
        4 + tenths / 10,
        tenths % 10,
    )
}

/// A gzip member (RFC 1952) that stores `bytes` without making them smaller.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(STORED_BLOCK).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 255, 255]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    #[test]
    fn crc_is_the_one_of_rfc_1952() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn gzip_stores_blocks_of_any_length() {
        for length in [0, 1, STORED_BLOCK, STORED_BLOCK + 1] {
            let packed = gzip(&vec![b'x'; length]);
            let blocks = length.div_ceil(STORED_BLOCK).max(1);
            assert_eq!(packed.len(), 10 + 5 * blocks + length + 8, "{length}");
            assert_eq!(packed[10] == 1, blocks == 1);
        }
    }

    #[test]
    fn generated_entries_are_json() {
        for number in [0, 27, 59, 1_000_000] {
            let entry = observation(number, "http://ehr/fhir", "p1");
            assert!(Tape::new().read(entry.as_bytes()).is_ok(), "{entry}");
        }
    }
}
