//! The gateway's own credential for the EHR: none, a fixed bearer token, or one from client credentials (RFC 6749 4.4).
//!
//! The client's token never goes upstream.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use serde::Deserialize;
use thiserror::Error;

use crate::limits;
use crate::outbound::{self, Origin};
use crate::understand::encode_pair;

/// A token is renewed this long before it ends, so that none ends on the way.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// Why there is no credential.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CredentialError {
    /// The token endpoint could not be reached in time.
    #[error("the token endpoint cannot be reached")]
    Unreachable,
    /// The token endpoint refused, or its answer is not a token response.
    #[error("the token endpoint gave no token")]
    Refused,
}

/// How the gateway shows the EHR who it is, as one core uses it.
pub enum Credential {
    /// Not at all, or by client certificate alone.
    None,
    /// A bearer token from a file.
    Bearer(HeaderValue),
    /// Tokens from a token endpoint.
    ClientCredentials(Box<ClientCredentials>),
}

/// The client credentials grant at one token endpoint.
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_endpoint: Origin,
    /// How to trust it, for https.
    pub tls: Option<Arc<ClientConfig>>,
    /// Our client id there.
    pub client_id: Box<str>,
    /// Our secret.
    pub client_secret: Box<str>,
    /// The scope asked for.
    pub scope: Option<Box<str>>,
    /// The token in use and when to renew it.
    pub current: RefCell<Option<(HeaderValue, Instant)>>,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl Credential {
    /// The value of `Authorization`, where there is one.
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, CredentialError> {
        match self {
            Self::None => Ok(None),
            Self::Bearer(value) => Ok(Some(value.clone())),
            Self::ClientCredentials(grant) => Box::pin(grant.token()).await.map(Some),
        }
    }
}

impl ClientCredentials {
    async fn token(&self) -> Result<HeaderValue, CredentialError> {
        let current =
            self.current.borrow().as_ref().filter(|(_, until)| Instant::now() < *until).map(|(value, _)| value.clone());
        if let Some(value) = current {
            return Ok(value);
        }
        let answer = outbound::once(
            &self.token_endpoint,
            self.tls.as_ref(),
            self.request()?,
            limits::KEY_SET_BYTES,
            limits::KEY_SET_FETCH,
        )
        .await
        .map_err(|_| CredentialError::Unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(CredentialError::Refused);
        }
        let token: TokenResponse = serde_json::from_slice(answer.body()).map_err(|_| CredentialError::Refused)?;
        if !token.token_type.eq_ignore_ascii_case("bearer") {
            return Err(CredentialError::Refused);
        }
        let value = bearer(&token.access_token).ok_or(CredentialError::Refused)?;
        let life = Duration::from_secs(token.expires_in.unwrap_or(60)).saturating_sub(RENEW_BEFORE);
        *self.current.borrow_mut() = Some((value.clone(), Instant::now() + life));
        Ok(value)
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, CredentialError> {
        let mut form = String::new();
        encode_pair("grant_type", "client_credentials", &mut form);
        if let Some(scope) = &self.scope {
            encode_pair("scope", scope, &mut form);
        }
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let basic = STANDARD.encode(format!("{}:{}", part(&self.client_id), part(&self.client_secret)));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {basic}")).map_err(|_| CredentialError::Refused)?;
        authorization.set_sensitive(true);
        Request::builder()
            .method(Method::POST)
            .uri(self.token_endpoint.target().as_str())
            .header(HOST, self.token_endpoint.authority())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, authorization)
            .body(Full::new(form.into()))
            .map_err(|_| CredentialError::Refused)
    }
}

/// A bearer token as a header value that no log shows.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Credential::None",
            Self::Bearer(_) => "Credential::Bearer",
            Self::ClientCredentials(_) => "Credential::ClientCredentials",
        })
    }
}
