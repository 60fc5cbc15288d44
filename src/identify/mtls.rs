//! Client certificates (RFC 8705): whose they are, and the thumbprint that tokens are bound to.
//!
//! Takes: a leaf certificate in DER whose chain the TLS layer has verified. Gives: [`PeerCertificate`].
//! Guarantees: names are compared whole; a wildcard in a certificate matches nothing.
//! Refuses: a certificate that two registrations claim.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::{IdentifyError, sha256};
use crate::config::{CertificateMatch, Proof, Registration};

/// The certificate that a connection was made with.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    thumbprint: [u8; 32],
    owner: Option<Arc<Registration>>,
}

impl PeerCertificate {
    /// SHA-256 of the certificate in DER: `x5t#S256`, decoded.
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    pub(super) fn owner(&self) -> Option<&Arc<Registration>> {
        self.owner.as_ref()
    }
}

/// The registered clients by their certificates.
pub(super) struct Owners(HashMap<CertificateMatch, Arc<Registration>>);

impl Owners {
    pub(super) fn new(clients: &[Arc<Registration>]) -> Self {
        let owned = clients.iter().filter_map(|client| match &client.proof {
            Proof::Certificate(certificate) | Proof::Token { certificate: Some(certificate), .. } => {
                Some((certificate.clone(), Arc::clone(client)))
            }
            Proof::Token { certificate: None, .. } => None,
        });
        Self(owned.collect())
    }

    pub(super) fn read(&self, leaf_der: &[u8]) -> Result<PeerCertificate, IdentifyError> {
        let der = CertificateDer::from(leaf_der);
        let leaf = EndEntityCert::try_from(&der).map_err(|_| IdentifyError::UnknownClient)?;
        let thumbprint = sha256(leaf_der);
        let dns_names = leaf.valid_dns_names().map(|name| CertificateMatch::SanDns(name.to_ascii_lowercase()));
        let uris = leaf.valid_uri_names().map(|uri| CertificateMatch::SanUri(uri.to_owned()));
        let names = std::iter::once(CertificateMatch::Sha256(thumbprint)).chain(dns_names).chain(uris);
        let mut owner: Option<&Arc<Registration>> = None;
        for claimant in names.filter_map(|name| self.0.get(&name)) {
            if owner.is_some_and(|owner| !Arc::ptr_eq(owner, claimant)) {
                return Err(IdentifyError::UnknownClient);
            }
            owner = Some(claimant);
        }
        Ok(PeerCertificate { thumbprint, owner: owner.cloned() })
    }
}
