//! Who is asking: a payer's system, proved by an access token, a client certificate, or both.
//!
//! Takes: the `Authorization` field and the certificate of the connection, as [`Presented`]. Gives: a [`Client`]
//! with one purpose and the scopes that both the token and the registration grant. Guarantees: only this module
//! makes a `Client`; a token counts only if it is signed by a key of its issuer, meant for this gateway, in
//! time, from a registered client, and bound to the connection where it says so; a token that was verified is
//! looked up by its digest, without parsing. Refuses: everything else, telling the client no more than RFC 6750.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use moka::sync::Cache;
use thiserror::Error;

use crate::clock::Now;
use crate::config::{Config, Proof, Registration};
use crate::limits;
use crate::outbound::OutboundError;

mod bearer;
mod claims;
mod client;
mod keys;
mod mtls;
#[cfg(test)]
mod tests;

pub use crate::oauth::{Grant, Permission, Purpose, Scopes};
pub use client::{Client, Method};
pub use mtls::PeerCertificate;

use bearer::{TrustedIssuer, Verified};

/// Why a request is from nobody that may ask. Texts are for the log, not for the client.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IdentifyError {
    /// The token is not acceptable, for this reason.
    #[error("token refused: {0}")]
    InvalidToken(&'static str),
    /// The `Authorization` field holds no bearer token in the form of a JWT.
    #[error("authorization is not a bearer token")]
    Malformed,
    /// Neither a token nor the certificate of a registered client.
    #[error("neither token nor registered certificate")]
    Missing,
    /// No purpose, several, or one that the client may not ask for.
    #[error("purpose refused: {0}")]
    PurposeNotAllowed(&'static str),
    /// The issuer's keys cannot be had at the moment.
    #[error("key set of the issuer unavailable")]
    Unavailable,
    /// Well proved, but not registered here; or a certificate that two registrations claim.
    #[error("client is not registered")]
    UnknownClient,
}

impl IdentifyError {
    /// The status to answer with: 401, 403 or 503.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidToken(_) | Self::Malformed | Self::Missing => StatusCode::UNAUTHORIZED,
            Self::PurposeNotAllowed(_) | Self::UnknownClient => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `WWW-Authenticate` field that belongs to the answer (RFC 6750 section 3): without an error code where no
    /// token was sent.
    pub fn www_authenticate(self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("Bearer"),
            Self::InvalidToken(_) | Self::Malformed => Some("Bearer error=\"invalid_token\""),
            Self::PurposeNotAllowed(_) | Self::Unavailable | Self::UnknownClient => None,
        }
    }
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'p> {
    /// The one `Authorization` field. A request with two is refused before.
    pub authorization: Option<&'p str>,
    /// The certificate that the connection was made with, if any; see [`Identities::peer`].
    pub certificate: Option<&'p PeerCertificate>,
}

/// Everyone who may ask, and the keys to recognise them by. Shared by all cores.
pub struct Identities {
    issuers: Vec<TrustedIssuer>,
    by_id: HashMap<String, Arc<Registration>>,
    by_certificate: mtls::Owners,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

impl Identities {
    /// The issuers and clients of a configuration. Key sets behind a URL are fetched when first needed, or by
    /// [`Self::renew`].
    ///
    /// # Errors
    /// Those of [`crate::outbound::tls::client_config`], for an issuer's `jwks_ca`.
    pub fn new(config: &Config) -> Result<Self, OutboundError> {
        let issuers = config.issuers.iter().map(TrustedIssuer::new).collect::<Result<_, _>>()?;
        Ok(Self::assemble(issuers, &config.clients))
    }

    fn assemble(issuers: Vec<TrustedIssuer>, clients: &[Registration]) -> Self {
        let clients: Vec<Arc<Registration>> = clients.iter().cloned().map(Arc::new).collect();
        Self {
            issuers,
            by_certificate: mtls::Owners::new(&clients),
            by_id: clients.into_iter().map(|client| (client.id.clone(), client)).collect(),
            verified: Cache::builder().max_capacity(limits::TOKEN_CACHE).time_to_live(limits::TOKEN_CACHE_LIFE).build(),
        }
    }

    /// Reads the leaf certificate of a connection, once for all its requests. The TLS layer has verified the chain.
    ///
    /// # Errors
    /// [`IdentifyError::UnknownClient`] for a certificate that cannot be read or that two registrations claim.
    pub fn peer(&self, leaf_der: &[u8]) -> Result<PeerCertificate, IdentifyError> {
        self.by_certificate.read(leaf_der)
    }

    /// Finds out who is asking. Waits only where an issuer's key set has to be fetched.
    ///
    /// # Errors
    /// [`IdentifyError`], by what was presented and why it does not do.
    pub async fn identify(&self, presented: Presented<'_>, now: Now) -> Result<Client, IdentifyError> {
        let Some(authorization) = presented.authorization else {
            return self.by_certificate_alone(presented.certificate);
        };
        let token = bearer::token(authorization)?;
        let key = sha256(token.as_bytes());
        let known = self.verified.get(&key).filter(|verified| verified.holds(now));
        let verified = match known {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(Box::pin(bearer::verify(&self.issuers, &self.by_id, token, now)).await?);
                self.verified.insert(key, Arc::clone(&verified));
                verified
            }
        };
        verified.check_connection(presented.certificate)?;
        Ok(verified.client().clone())
    }

    /// Fetches the key sets that are missing or about to expire. To be called now and then, beside the requests, so
    /// that they need not wait.
    pub async fn renew(&self, now: Now) {
        for issuer in &self.issuers {
            issuer.keys().renew(now).await;
        }
    }

    /// The issuers whose tokens cannot be verified at the moment.
    pub fn issuers_without_keys(&self, now: Now) -> impl Iterator<Item = &str> {
        self.issuers.iter().filter(move |issuer| !issuer.keys().is_usable(now)).map(TrustedIssuer::identifier)
    }

    fn by_certificate_alone(&self, certificate: Option<&PeerCertificate>) -> Result<Client, IdentifyError> {
        let owner = certificate.and_then(PeerCertificate::owner).ok_or(IdentifyError::Missing)?;
        match owner.proof {
            Proof::Certificate(_) => Client::of_certificate(owner),
            Proof::Token { .. } => Err(IdentifyError::Missing),
        }
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({} issuers, {} clients)", self.issuers.len(), self.by_id.len())
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
