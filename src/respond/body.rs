//! The body of an answer: whole, or in pieces as they are judged.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::filter::Released;

/// The error that makes the connection break off instead of ending a body as if it were complete.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// A body.
#[derive(Debug)]
pub enum Body {
    /// All of it, or what is left.
    Whole(Option<Bytes>),
    /// Pieces to come.
    Stream(Pieces),
}

/// The answer cannot be completed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the answer was cut")]
pub struct Cut;

/// The end that pieces are taken out at. Complete only once it was told so: a sender that vanishes has cut the answer.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    complete: bool,
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
}

/// The end that pieces are put in at.
#[derive(Debug)]
pub struct Sender(mpsc::Sender<Piece>);

impl Sender {
    /// Hands over the next piece, once the last but one is taken. False when nobody takes it any more.
    pub async fn send(&self, piece: Released) -> bool {
        self.0.send(Piece::Data(piece.into())).await.is_ok()
    }

    /// Says that the body is complete. False when nobody takes it any more. Without it, the body breaks off, visibly.
    pub async fn complete(self) -> bool {
        self.0.send(Piece::End).await.is_ok()
    }
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    pub(super) fn stream() -> (Sender, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (Sender(sender), Self::Stream(Pieces { receiver, complete: false }))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(pieces) if pieces.complete => Poll::Ready(None),
            Self::Stream(pieces) => pieces.receiver.poll_recv(context).map(|piece| match piece {
                Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Piece::End) => {
                    pieces.complete = true;
                    None
                }
                None => Some(Err(Broken::from(Cut))),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(pieces) => pieces.complete,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
