//! Bodies: read on demand, bounded in size and in time.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{AcceptError, Accepted, Payload};
use crate::limits;

impl Payload {
    /// Whether nothing is to be read of it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Wire(body) => body.is_end_stream(),
            Self::Held(bytes) => bytes.is_empty(),
        }
    }
}

impl Accepted {
    /// Reads the body; a second call finds it empty. Trailers are dropped.
    ///
    /// A `Content-Length` above `limit` is refused before anything is read.
    ///
    /// # Errors
    /// [`AcceptError::BodyTooLarge`], [`AcceptError::BodyTimeout`] after [`limits::BODY_IDLE`] of silence or
    /// [`limits::BODY_TOTAL`] in all, [`AcceptError::BodyBroken`].
    pub async fn read_body(&mut self, limit: usize) -> Result<Bytes, AcceptError> {
        match std::mem::replace(&mut self.body, Payload::Held(Bytes::new())) {
            Payload::Held(bytes) if bytes.len() > limit => Err(AcceptError::BodyTooLarge),
            Payload::Held(bytes) => Ok(bytes),
            Payload::Wire(body) => read(body, limit).await,
        }
    }
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, AcceptError> {
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > limit) {
        return Err(AcceptError::BodyTooLarge);
    }
    let end = Instant::now() + limits::BODY_TOTAL;
    let mut whole = BytesMut::new();
    while !body.is_end_stream() {
        let deadline = end.min(Instant::now() + limits::BODY_IDLE);
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| AcceptError::BodyTimeout)?;
        let Some(frame) = frame else { break };
        let Ok(piece) = frame.map_err(|_| AcceptError::BodyBroken)?.into_data() else { continue };
        if piece.len() > limit.saturating_sub(whole.len()) {
            return Err(AcceptError::BodyTooLarge);
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
