//! How the gateway proves itself to clients, and whom it believes.
//!
//! Takes: PEM text. Gives: a rustls server configuration with HTTP/2 and HTTP/1.1 by ALPN. Guarantees: TLS 1.2
//! and 1.3 only; where client certificates are asked for, each is verified and no session is resumed, because a
//! session outlives a revocation and could cross over from a listener that asked for none. Refuses: keys that
//! do not fit, an empty list of authorities, a requirement without authorities.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits;

/// Why a configuration could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The certificate chain is not PEM, or empty.
    #[error("certificate chain")]
    Chain,
    /// The private key is not PEM.
    #[error("private key")]
    Key,
    /// The certificate is not for this key.
    #[error("certificate and key do not fit")]
    Mismatch,
    /// The authorities for client certificates are not PEM, or none.
    #[error("client authorities")]
    ClientAuthorities,
    /// The provider does not offer the protocol versions.
    #[error("protocol versions")]
    Versions,
}

/// Builds a server configuration.
///
/// With `client_ca_pem`, clients are asked for a certificate of one of these authorities; `required` refuses
/// the handshake of those that have none.
///
/// # Errors
/// [`TlsError`], naming the part that did not fit.
pub fn server_config(
    cert_pem: &[u8],
    key_pem: &[u8],
    client_ca_pem: Option<&[u8]>,
    required: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(cert_pem).filter(|chain| !chain.is_empty()).ok_or(TlsError::Chain)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsError::Key)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError::Versions)?;
    let builder = match client_ca_pem {
        None if required => return Err(TlsError::ClientAuthorities),
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem).ok_or(TlsError::ClientAuthorities)? {
                roots.add(authority).map_err(|_| TlsError::ClientAuthorities)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|_| TlsError::ClientAuthorities)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|_| TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if client_ca_pem.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// What a handshake agreed on.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) is_http2: bool,
    /// The leaf of the verified client certificate, DER.
    pub(super) certificate: Option<Arc<[u8]>>,
}

/// Performs the handshake within [`limits::TLS_HANDSHAKE`]; `None` if it failed or took longer.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: Arc<ServerConfig>,
) -> Option<(TlsStream<S>, Session)> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = timeout(limits::TLS_HANDSHAKE, handshake).await.ok()?.ok()?;
    let (_, agreed) = stream.get_ref();
    let leaf = agreed.peer_certificates().and_then(|chain| chain.first());
    let session = Session {
        is_http2: agreed.alpn_protocol() == Some(b"h2"),
        certificate: leaf.map(|leaf| Arc::from(leaf.as_ref())),
    };
    Some((stream, session))
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// The configuration in force: connections that come after [`Self::replace`] use the new one.
#[derive(Clone, Debug)]
pub struct Live(Arc<Mutex<Arc<ServerConfig>>>);

impl Live {
    /// Puts a configuration in force.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(Mutex::new(config)))
    }

    /// The configuration for the next handshake.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration in force. Connections that are open keep theirs.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}
