//! The rim towards clients: sockets, TLS, HTTP, and how long and how much of each.
//!
//! Takes: an address and a handler for each core. Gives: [`Arrival`]s to the handler and its answers to clients.
//! Guarantees: every wait for a client has an end and every count a limit; an exchange that was handed over
//! runs to its end even if its client leaves; every answer is the handler's, also to what is no HTTP and to what comes
//! when too much is in flight. Refuses: connections above the limits (closed); a handler that panics (no answer).
//!
//! Each core is one thread with a runtime and a listening socket of its own. A connection never leaves its core.

mod core;
mod drain;
mod http;
mod layer;
mod pace;
mod rim;
mod slots;
mod tap;
pub mod tls;
mod wall;

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as threads;
use std::thread;
use std::time::Duration;

use ::http::Response;
use bytes::Bytes;
use http_body::Body;
use tokio::sync::{mpsc, watch};

use self::core::Seat;
use self::slots::Slots;
use crate::accept::Arrival;
use crate::limits;
use crate::metrics::Metrics;

/// Stack of a core's thread: a policy may nest deeply, and a stack overflow cannot be caught.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// What answers requests, those that the rim refuses ([`Arrival::refused`]) too. There is one per core, and it stays there.
pub trait Handler: 'static {
    /// The body of an answer. An error while it is sent closes the connection without a clean end.
    type Body: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin + 'static;

    /// Answers one request. The future is polled to its end even if the client is gone.
    fn handle(self: Rc<Self>, arrival: Arrival) -> impl Future<Output = Response<Self::Body>>;
}

/// Why nothing could be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could not be bound.
    #[error("bind {0}: {1}")]
    Bind(SocketAddr, io::ErrorKind),
    /// A core did not start.
    #[error("a core did not start")]
    Core,
}

/// Where to listen, and within which limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Cores to use.
    pub cores: NonZeroUsize,
    /// Without it, HTTP/1.1 in plain text.
    pub tls: Option<tls::Live>,
    /// Where connections and refusals are counted.
    pub metrics: Arc<Metrics>,
    /// Connections open at once, over all cores.
    pub connections: usize,
    /// Connections open at once from one address.
    pub connections_per_peer: usize,
    /// Exchanges in flight on one core.
    pub in_flight_per_core: usize,
}

impl Settings {
    /// All cores, plain text, the limits of [`limits`].
    pub fn new(address: SocketAddr, metrics: Arc<Metrics>) -> Self {
        Self {
            address,
            cores: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            tls: None,
            metrics,
            connections: limits::CONNECTIONS,
            connections_per_peer: limits::CONNECTIONS_PER_PEER,
            in_flight_per_core: limits::IN_FLIGHT_PER_CORE,
        }
    }
}

/// Cores that are serving. Dropping it stops them without grace.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<Option<Duration>>,
    ended: mpsc::UnboundedReceiver<usize>,
}

impl Running {
    /// The address in use.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, finishes what is in flight within [`limits::DRAIN`], closes. Gives the number of
    /// exchanges that were abandoned.
    pub async fn drain(self) -> usize {
        self.stop(limits::DRAIN).await
    }

    /// Like [`Self::drain`], with another grace period.
    pub async fn stop(mut self, grace: Duration) -> usize {
        self.stop.send_replace(Some(grace));
        let mut abandoned = 0;
        while let Some(count) = self.ended.recv().await {
            abandoned += count;
        }
        abandoned
    }
}

/// Starts listening. `make_handler` is called once on each core, with its number.
///
/// # Errors
/// [`ListenError::Bind`], and [`ListenError::Core`] if a thread, a runtime or a handler could not be made.
pub fn serve<H: Handler>(
    settings: Settings,
    make_handler: impl Fn(usize) -> Rc<H> + Send + Clone + 'static,
) -> Result<Running, ListenError> {
    let failed = |error: io::Error| ListenError::Bind(settings.address, error.kind());
    let first = core::bind(settings.address).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..settings.cores.get() {
        listeners.push(core::bind(address).map_err(failed)?);
    }
    let slots = Slots::new(settings.connections, settings.connections_per_peer, Arc::clone(&settings.metrics));
    let (stop, stopped) = watch::channel(None);
    let (end, ended) = mpsc::unbounded_channel();
    let (ready, begun) = threads::channel();
    let cores = listeners.len();
    for (number, listener) in listeners.into_iter().enumerate() {
        let seat = Seat {
            tls: settings.tls.clone(),
            slots: Arc::clone(&slots),
            in_flight: settings.in_flight_per_core,
            metrics: Arc::clone(&settings.metrics),
            stop: stopped.clone(),
        };
        let (make_handler, end, ready) = (make_handler.clone(), end.clone(), ready.clone());
        let work = move || {
            let begun = move || {
                let _ = ready.send(());
            };
            match core::run(listener, seat, || make_handler(number), begun) {
                Ok(abandoned) => {
                    let _ = end.send(abandoned);
                }
                Err(error) => tracing::error!(number, kind = %error.kind(), "core failed"),
            }
        };
        let thread = thread::Builder::new().name(format!("core-{number}")).stack_size(STACK_BYTES);
        thread.spawn(work).map_err(|_| ListenError::Core)?;
    }
    drop(ready);
    if begun.iter().take(cores).count() == cores {
        Ok(Running { address, stop, ended })
    } else {
        Err(ListenError::Core)
    }
}

#[cfg(test)]
mod tests;
