//! What needs no token: the CapabilityStatement and the SMART configuration.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Gateway;
use super::trail::Trail;
use crate::accept::{Accepted, Method};
use crate::publish::{Document, TokenSource, capability_statement, smart_configuration};
use crate::respond::refusal::Fault;

/// The EHR's statement is looked at anew after this time.
const CAPABILITIES_LIFE: Duration = Duration::from_secs(600);

/// The public documents of one gateway.
#[derive(Debug)]
pub struct PublicDocuments {
    tokens: TokenSource,
    smart_configuration: Document,
    /// RFC 3339 time of the start: the `date` of the CapabilityStatement.
    date: String,
    capabilities: Mutex<Option<(Document, Instant)>>,
}

impl PublicDocuments {
    /// The documents of a gateway that started at `date`.
    pub fn new(tokens: TokenSource, date: String) -> Self {
        let smart_configuration = smart_configuration(&tokens);
        Self { tokens, smart_configuration, date, capabilities: Mutex::new(None) }
    }

    fn known_capabilities(&self) -> Option<Document> {
        let known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(_, since)| since.elapsed() < CAPABILITIES_LIFE).map(|(document, _)| document.clone())
    }

    fn learn_capabilities(&self, document: &Document) {
        let mut known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((document.clone(), Instant::now()));
    }
}

impl Gateway {
    /// The public document that is asked for, where it is one.
    pub(super) async fn public_document(
        &self,
        accepted: &Accepted,
        trail: &mut Trail,
    ) -> Result<Option<Document>, Fault> {
        if accepted.method() == Method::Post {
            return Ok(None);
        }
        let path: Vec<&str> = accepted.segments().collect();
        match path.as_slice() {
            ["metadata"] => {
                trail.public("capabilities");
                self.capabilities(trail).await.map(Some)
            }
            [".well-known", "smart-configuration"] => {
                trail.public("smart-configuration");
                Ok(Some(self.shared.public.smart_configuration.clone()))
            }
            _ => Ok(None),
        }
    }

    async fn capabilities(&self, trail: &Trail) -> Result<Document, Fault> {
        let public = &self.shared.public;
        if let Some(known) = public.known_capabilities() {
            return Ok(known);
        }
        let of_ehr = Box::pin(self.ehr.capabilities(trail.exchange())).await?;
        let endpoint = public.tokens.token_endpoint.as_deref();
        let document = capability_statement(&of_ehr, &self.shared.base, &public.date, endpoint)?;
        public.learn_capabilities(&document);
        Ok(document)
    }
}
