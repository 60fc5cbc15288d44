//! What the gateway says about itself: the same for everybody, with or without a token.
//!
//! Takes: where tokens come from, and the EHR's own CapabilityStatement. Gives: [`Document`], made only here.
//! Guarantees: written by the gateway; nothing of the EHR's documents is passed through. Refuses: a statement of the
//! EHR that is none. No I/O.

mod capability;

use bytes::Bytes;
use serde_json::json;

pub use capability::capability_statement;

/// What a document is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/fhir+json`
    FhirJson,
    /// `application/json`, exactly, as SMART App Launch wants its configuration.
    Json,
}

/// A document that needs no permit, because no record is in it.
#[derive(Clone, Debug)]
pub struct Document {
    media: Media,
    bytes: Bytes,
}

impl Document {
    /// What it is called.
    pub fn media(&self) -> Media {
        self.media
    }

    /// The document.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

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

/// `.well-known/smart-configuration` for clients that authenticate by signed assertion (SMART App Launch 2.2.0,
/// conformance).
pub fn smart_configuration(tokens: &TokenSource) -> Document {
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
    Document { media: Media::Json, bytes: document.to_string().into() }
}
