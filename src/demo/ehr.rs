//! An EHR's FHIR server, in memory.
//!
//! Takes: resources as JSON text. Gives: [`Ehr`], a server on the loopback interface with its own thread, which stops
//! when it is dropped: R4 read and search, evaluated by the matcher that the gateway's filter uses, paged and linked as
//! HAPI does. Guarantees: a resource is sent as it was loaded, byte for byte; every request is recorded for assertions.
//! Refuses: nothing that a permissive server takes, and, told to ([`Behaviour`]), it does what no server should.

mod answer;
mod batch;
mod behaviour;
mod body;
mod query;
mod records;
mod search;
mod serve;
#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::oneshot;

pub use behaviour::Behaviour;
pub use records::{RecordError, Records};

use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use answer::{Answer, Asked, Pages, ROOT};

/// Requests remembered: a test looks at a few, a load test must not fill memory.
const REQUESTS_REMEMBERED: usize = 10_000;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which connection it came on, counted from 1.
    pub connection: u64,
    /// The method.
    pub method: Method,
    /// Path and query, as they were sent.
    pub target: String,
    /// All header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What the threads of an EHR share.
#[derive(Debug)]
struct Shared {
    authority: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Records,
    behaviour: Behaviour,
    received: VecDeque<Received>,
    pages: Pages,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behaviour_for(&self, path: &str) -> Behaviour {
        self.state().behaviour.apply(path)
    }

    fn record(&self, received: Received) {
        let mut state = self.state();
        if state.received.len() == REQUESTS_REMEMBERED {
            state.received.pop_front();
        }
        state.received.push_back(received);
    }

    fn answer(&self, asked: &Asked<'_>, behaviour: &Behaviour) -> Answer {
        let State { records, pages, behaviour: of_entries, .. } = &mut *self.state();
        if asked.method == Method::POST && asked.path.trim_matches('/') == ROOT && !behaviour.refuses_batches {
            return batch::batch(asked, records, pages, of_entries);
        }
        answer::answer(asked, records, pages, behaviour)
    }

    fn first_id(&self, resource_type: ResourceType) -> Option<String> {
        self.state().records.of_type(resource_type).next().map(|record| record.identity.id.to_string())
    }
}

/// A running FHIR server. Stops when dropped.
#[derive(Debug)]
pub struct Ehr {
    shared: Arc<Shared>,
    address: SocketAddr,
    loaded: Records,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ehr {
    /// Serves `records` on a free port of 127.0.0.1, under `/fhir`. The error is the operating system's: no port, no thread.
    pub fn start(records: Records) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = State { records: records.clone(), ..State::default() };
        let shared = Arc::new(Shared { authority: address.to_string(), state: Mutex::new(state) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = shared.clone();
        let thread = std::thread::Builder::new().name("ehr".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = stopped => {}
                    () = serve::serve(listener, served) => {}
                }
            });
        })?;
        Ok(Self { shared, address, loaded: records, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    pub fn base(&self) -> String {
        format!("http://{}/{ROOT}", self.address)
    }

    /// From now on, behaves like this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.state().behaviour = behaviour;
    }

    /// Every request received since the start or the last [`Ehr::reset`], oldest first; the latest ten thousand of them.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.state().received.iter().cloned().collect()
    }

    /// Forgets requests, pages and changes of the records, and is faithful again.
    pub fn reset(&self) {
        *self.shared.state() = State { records: self.loaded.clone(), ..State::default() };
    }

    /// Adds or replaces a resource, or every entry of a Bundle.
    pub fn put(&self, text: &str) -> Result<(), RecordError> {
        self.shared.state().records.load(text)
    }

    /// Deletes a resource, which is `410 Gone` from then on; tells whether there was one.
    pub fn delete(&self, resource_type: ResourceType, id: &Id) -> bool {
        self.shared.state().records.delete(&Reference { resource_type, id: id.clone() })
    }

    /// What a door without a gateway would answer: status and body of a GET of `target`, which is path and query below
    /// the base (`/Observation?patient=p1`). No connection is made and nothing is recorded.
    pub fn open_door(&self, target: &str) -> (StatusCode, Vec<u8>) {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let path = format!("/{ROOT}{path}");
        let behaviour = self.shared.behaviour_for(&path);
        let asked = Asked {
            method: &Method::GET,
            path: &path,
            query,
            headers: &HeaderMap::new(),
            body: &[],
            authority: &self.shared.authority,
        };
        let answer = self.shared.answer(&asked, &behaviour);
        (answer.status, answer.body)
    }
}

impl Drop for Ehr {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            drop(thread.join());
        }
    }
}
