//! What needs no token: the CapabilityStatement and the SMART configuration.
//!
//! Both are written by the gateway; nothing of the EHR's own documents is passed through (SMART App Launch 2.2.0,
//! conformance; R4 3.1.0.1.9 capabilities).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::Gateway;
use super::capability;
use super::trail::Trail;
use crate::accept::{Accepted, Method};
use crate::respond::Media;
use crate::respond::refusal::Fault;

/// The EHR's statement is looked at anew after this time.
const CAPABILITIES_LIFE: Duration = Duration::from_secs(600);

/// Where tokens come from, as the configuration names it.
#[derive(Clone, Debug, Default)]
pub struct TokenSource {
    /// The token endpoint of the first issuer that has one.
    pub token_endpoint: Option<String>,
    /// The issuer's key set, where it is published.
    pub jwks_uri: Option<String>,
    /// Scopes worth asking for.
    pub scopes: Vec<String>,
}

/// The public documents of one gateway.
#[derive(Debug)]
pub struct PublicDocuments {
    tokens: TokenSource,
    smart_configuration: Bytes,
    /// RFC 3339 time of the start: the `date` of the CapabilityStatement.
    date: String,
    capabilities: Mutex<Option<(Bytes, Instant)>>,
}

impl PublicDocuments {
    /// The documents of a gateway that started at `date`.
    pub fn new(tokens: TokenSource, date: String) -> Self {
        let smart_configuration = Bytes::from(smart_configuration(&tokens));
        Self { tokens, smart_configuration, date, capabilities: Mutex::new(None) }
    }

    fn known_capabilities(&self) -> Option<Bytes> {
        let known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(_, since)| since.elapsed() < CAPABILITIES_LIFE).map(|(bytes, _)| bytes.clone())
    }

    fn learn_capabilities(&self, bytes: &Bytes) {
        let mut known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((bytes.clone(), Instant::now()));
    }
}

/// SMART App Launch 2.2.0, `.well-known/smart-configuration`, for clients that authenticate by signed assertion.
fn smart_configuration(tokens: &TokenSource) -> Vec<u8> {
    let mut document = json!({
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    });
    if let Some(object) = document.as_object_mut() {
        if let Some(token_endpoint) = &tokens.token_endpoint {
            object.insert("token_endpoint".to_owned(), json!(token_endpoint));
        }
        if let Some(jwks_uri) = &tokens.jwks_uri {
            object.insert("jwks_uri".to_owned(), json!(jwks_uri));
        }
        if !tokens.scopes.is_empty() {
            object.insert("scopes_supported".to_owned(), json!(tokens.scopes));
        }
    }
    document.to_string().into_bytes()
}

impl Gateway {
    /// The public document that is asked for, where it is one.
    pub(super) async fn public_document(
        &self,
        accepted: &Accepted,
        trail: &mut Trail,
    ) -> Result<Option<(Media, Bytes)>, Fault> {
        if accepted.method() == Method::Post {
            return Ok(None);
        }
        let path: Vec<&str> = accepted.segments().collect();
        match path.as_slice() {
            ["metadata"] => {
                trail.public("capabilities");
                Ok(Some((Media::FhirJson, self.capabilities(trail).await?)))
            }
            [".well-known", "smart-configuration"] => {
                trail.public("smart-configuration");
                Ok(Some((Media::Json, self.shared.public.smart_configuration.clone())))
            }
            _ => Ok(None),
        }
    }

    async fn capabilities(&self, trail: &Trail) -> Result<Bytes, Fault> {
        let public = &self.shared.public;
        if let Some(known) = public.known_capabilities() {
            return Ok(known);
        }
        let of_ehr = self.ehr.capabilities(trail.exchange()).await?;
        let base = &self.shared.base;
        let statement = capability::narrowed(&of_ehr, base, &public.date, public.tokens.token_endpoint.as_deref())?;
        let bytes = Bytes::from(statement);
        public.learn_capabilities(&bytes);
        Ok(bytes)
    }
}
