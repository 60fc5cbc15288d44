//! One core: a thread, a runtime, a listener, and everything that came in through it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol as Transport, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::drain::{Counted, Drain, Tally};
use super::http::{self, Ended, Peer, Protocol};
use super::rim::Rim;
use super::slots::{Slot, Slots};
use super::{Handler, tls};
use crate::limits;
use crate::metrics::{Metrics, Rim as Event};

/// What a core is given to begin with. Everything here may cross threads.
pub(super) struct Seat {
    pub(super) tls: Option<tls::Live>,
    pub(super) slots: Arc<Slots>,
    pub(super) in_flight: usize,
    pub(super) metrics: Arc<Metrics>,
    /// The grace period, once it is time to stop.
    pub(super) stop: watch::Receiver<Option<Duration>>,
}

/// Binds one of several listeners to the same address; the kernel spreads connections over them.
pub(super) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Transport::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Runs a core until it is told to stop and has finished. Gives the number of exchanges it had to abandon.
pub(super) fn run<H: Handler>(
    listener: StdListener,
    seat: Seat,
    handler: impl FnOnce() -> Rc<H>,
    ready: impl FnOnce(),
) -> io::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(listener)?;
        let in_flight = Tally::new(seat.in_flight);
        let core = Rc::new(Core {
            rim: Rc::new(Rim::new(handler(), &in_flight, Arc::clone(&seat.metrics))),
            connections: Tally::new(usize::MAX),
            in_flight,
            drain: Rc::default(),
            seat,
        });
        ready();
        Ok(core.work(listener).await)
    })
}

struct Core<H> {
    rim: Rc<Rim<H>>,
    connections: Rc<Tally>,
    in_flight: Rc<Tally>,
    drain: Rc<Drain>,
    seat: Seat,
}

impl<H: Handler> Core<H> {
    async fn work(self: Rc<Self>, listener: TcpListener) -> usize {
        let mut stop = self.seat.stop.clone();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(Option::is_some) => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => recover(&error).await,
                },
            }
        }
        // Connections that the kernel had already established are served; they would be reset otherwise.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    self.admit(stream, peer);
                }
            }
        }
        self.drain.begin();
        let grace = stop.borrow().unwrap_or_default();
        let finished = async {
            self.connections.empty().await;
            // Exchanges whose clients left.
            self.in_flight.empty().await;
        };
        // What is left after the grace period is cut off when the runtime goes.
        let _ = timeout(grace, finished).await;
        self.in_flight.count()
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        if let Some(slot) = self.seat.slots.take(peer.ip()) {
            let place = (slot, self.connections.enter());
            spawn_local(Rc::clone(self).connection(stream, peer, place));
        }
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, address: SocketAddr, _place: (Slot, Counted)) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let rim = Rc::clone(&self.rim);
        let Some(tls) = &self.seat.tls else {
            let peer = Peer { address, certificate: None, tls: false };
            self.ended(http::serve(stream, Protocol::Http1, peer, rim, &self.drain).await);
            return;
        };
        let Some((stream, session)) = tls::handshake(stream, tls.current()).await else {
            self.seat.metrics.rim(Event::Handshake);
            return;
        };
        let peer = Peer { address, certificate: session.certificate, tls: true };
        let protocol = if session.is_http2 { Protocol::Http2 } else { Protocol::Http1 };
        self.ended(http::serve(stream, protocol, peer, rim, &self.drain).await);
    }

    fn ended(&self, how: Ended) {
        if how == Ended::Slow {
            self.seat.metrics.rim(Event::Slow);
        }
    }
}

/// A connection that was gone before it was accepted says nothing about the next one; running out of file
/// descriptors does, and is waited for.
async fn recover(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        tracing::warn!(kind = %error.kind(), "accept failed");
        sleep(limits::ACCEPT_PAUSE).await;
    }
}
