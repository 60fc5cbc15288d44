//! A payer's system.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::answer::{Answer, Searchset};
use super::gateway::{BASE, HOST};
use super::wire::{Wire, connect, request};

/// The requests that were answered, by the id that the gateway gave them.
pub(crate) type Answered = Arc<Mutex<Vec<String>>>;

/// Who asks, and with what token.
#[derive(Clone)]
pub(crate) struct Payer {
    pub(super) address: SocketAddr,
    pub(super) token: Option<String>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) answered: Answered,
}

/// A request that is being written.
pub(crate) struct Ask<'p> {
    payer: &'p Payer,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// An answer whose body is still to be read.
pub(crate) struct Begun {
    pub(crate) wire: Wire,
    pub(crate) head: super::wire::Head,
}

impl Payer {
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// The same payer without its token.
    pub(crate) fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The same payer with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same payer over TLS.
    pub(crate) fn over_tls(&self, tls: Arc<ClientConfig>) -> Self {
        Self { tls: Some(tls), ..self.clone() }
    }

    /// A fresh connection.
    pub(crate) fn connect(&self) -> Wire {
        let stream = connect(self.address);
        match &self.tls {
            None => Wire::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(HOST).unwrap();
                Wire::new(StreamOwned::new(ClientConnection::new(Arc::clone(tls), name).unwrap(), stream))
            }
        }
    }

    /// A request of a path and query below the base, or of an absolute URL of the gateway.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Ask<'_> {
        let target = target.strip_prefix(BASE).unwrap_or(target);
        let mut headers = vec![("host".to_owned(), HOST.to_owned())];
        headers.extend(self.token.as_ref().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
        Ask { payer: self, method: method.to_owned(), target: format!("/fhir{target}"), headers, body: None }
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target).send()
    }

    /// A search by form.
    pub(crate) fn post(&self, target: &str, form: &str) -> Answer {
        self.ask("POST", target).header("content-type", "application/x-www-form-urlencoded").body(form).send()
    }

    #[track_caller]
    pub(crate) fn search(&self, target: &str) -> Searchset {
        self.get(target).searchset()
    }

    /// A search and all its further pages.
    #[track_caller]
    pub(crate) fn every_page(&self, target: &str) -> Vec<Searchset> {
        let mut pages = vec![self.search(target)];
        while let Some(next) = pages.last().unwrap().next.clone() {
            assert!(next.starts_with(BASE), "{next}");
            assert!(pages.len() < 100, "pages without end");
            pages.push(self.search(&next));
        }
        pages
    }

    /// Sends bytes as they are on a fresh connection; gives the first answer, where there is one.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Option<Answer> {
        let mut wire = self.connect();
        wire.send(bytes);
        let answer = wire.answer(false)?;
        self.note(&answer.head);
        Some(answer)
    }

    /// Notes an answer that came another way.
    pub(crate) fn answered(&self, id: &str) {
        self.answered.lock().unwrap().push(id.to_owned());
    }

    fn note(&self, head: &super::wire::Head) {
        if let Some(id) = head.header("x-request-id") {
            self.answered(id);
        }
    }
}

impl Ask<'_> {
    /// Adds a header, as written.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(have, _)| have != name);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// Puts the target in another form than below the base.
    pub(crate) fn target(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    /// The request as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        request(&self.method, &self.target, &self.headers, self.body.as_deref())
    }

    /// Sends it and waits for the head of the answer.
    #[track_caller]
    pub(crate) fn begin(self) -> Begun {
        self.try_begin().expect("an answer")
    }

    /// Sends it; `None` where the connection ends without an answer.
    pub(crate) fn try_begin(self) -> Option<Begun> {
        let mut wire = self.payer.connect();
        wire.send(&self.bytes());
        let head = wire.head()?;
        self.payer.note(&head);
        Some(Begun { wire, head })
    }

    /// Sends it and waits for the whole answer.
    #[track_caller]
    pub(crate) fn send(self) -> Answer {
        let bodyless = self.method == "HEAD";
        let Begun { mut wire, head } = self.begin();
        let (body, ending) = wire.body(&head, bodyless);
        Answer { head, body, ending }
    }
}
