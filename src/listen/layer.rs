//! A layer of a connection: what it adds to the writing of the stream below it, and no more.
//!
//! Takes: what a layer looks at before bytes go, and notes after they went. Gives: `AsyncWrite`. Guarantees: what is written
//! in one piece and what is written in several go the same way. Refuses: what the layer refuses.

use std::io::{IoSlice, Result};
use std::task::{Context, Poll};

/// What a layer adds to writing.
pub(super) trait Layer {
    /// Looks at what is about to be written; an error ends the connection before it is.
    fn check(&self, _pieces: &[IoSlice<'_>]) -> Result<()> {
        Ok(())
    }

    /// Notes what was written of it.
    fn wrote(&mut self, _pieces: &[IoSlice<'_>], _written: &Poll<Result<usize>>) {}

    /// Notes what became of a flush.
    fn flushed(&mut self, _flushed: &Poll<Result<()>>) {}

    /// Closes the stream below.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
}

/// `AsyncWrite` of a [`Layer`] over its `stream`.
macro_rules! writes_through {
    ($layer:ident) => {
        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $layer<S> {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let pieces = [io::IoSlice::new(bytes)];
                self.check(&pieces)?;
                let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
                self.wrote(&pieces, &written);
                written
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let flushed = Pin::new(&mut self.stream).poll_flush(cx);
                self.flushed(&flushed);
                flushed
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_close(cx)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.check(pieces)?;
                let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
                self.wrote(pieces, &written);
                written
            }
        }
    };
}

pub(super) use writes_through;
