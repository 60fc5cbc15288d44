//! What the gateway believes about servers it connects to, and how it names itself to them.
//!
//! Takes: PEM text. Gives: a rustls client configuration for HTTP/1.1. Guarantees: certificates are always
//! verified; TLS 1.2 and 1.3 only; one cryptographic provider. Refuses: empty trust, keys without
//! certificates that fit.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::OutboundError;

/// The trust anchors of the system, as Debian and most container images lay them down.
pub const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Builds a client configuration.
///
/// `ca_pem` replaces the system's trust anchors. `identity` is a certificate chain and its private key, both
/// PEM, shown to servers that ask for one.
///
/// # Errors
/// [`OutboundError::Material`], naming the part that did not fit.
pub fn client_config(
    ca_pem: Option<&[u8]>,
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<ClientConfig>, OutboundError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = ca_pem {
        for anchor in certificates(pem)? {
            roots.add(anchor).map_err(|_| OutboundError::Material("trust anchor"))?;
        }
    } else {
        let pem = std::fs::read(SYSTEM_BUNDLE).map_err(|_| OutboundError::Material("system bundle unreadable"))?;
        roots.add_parsable_certificates(certificates(&pem)?);
    }
    if roots.is_empty() {
        return Err(OutboundError::Material("no trust anchor"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| OutboundError::Material("protocol versions"))?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => {
            let chain = certificates(chain)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| OutboundError::Material("private key"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| OutboundError::Material("certificate and key do not fit"))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, OutboundError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| OutboundError::Material("certificate is not pem"))
}
