//! Whether a certificate is to be believed: a path to a configured authority, valid at an instant, not revoked (RFC 5280).
//!
//! Takes: PEM of authorities and revocation lists; a leaf, what came with it, an instant. Gives: findings. Guarantees: names,
//! signatures, basic constraints, path length, name constraints and validity as rustls-webpki checks them; SHA-2 signatures by
//! RSA of at least 2,048 bits or on P-256 and P-384 only; issuers may sign certificates. A leaf that is itself configured is
//! believed within its validity. Refuses: unknown critical extensions, an authority as a signer.

use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use thiserror::Error;
use webpki::aws_lc_rs::{
    ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    RSA_PSS_2048_8192_SHA384_LEGACY_KEY, RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
    VerifiedPath, anchor_from_trusted_cert,
};

use super::certificate::Certificate;
use super::finding::{Check, Finding, Outcome};
use crate::limits;

/// Signatures on certificates and revocation lists that count.
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 10] = [
    RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    ECDSA_P256_SHA256,
    ECDSA_P256_SHA384,
    ECDSA_P384_SHA256,
    ECDSA_P384_SHA384,
];

/// Why nothing can be believed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    /// No certificate, one that cannot be read, or more than [`limits::SIGNATURE_ANCHORS`].
    #[error("the authorities are no PEM certificates that can be used")]
    Anchors,
    /// No revocation list, or one that cannot be read.
    #[error("the revocation lists are no PEM CRLs that can be used")]
    Revocation,
}

/// The authorities that are believed, and what they revoked.
#[derive(Debug)]
pub struct Trust {
    /// As configured, for a leaf that is one of them.
    pinned: Vec<CertificateDer<'static>>,
    /// Those of them that may issue certificates. One that may not is believed for itself and for nobody else.
    anchors: Vec<TrustAnchor<'static>>,
    lists: Vec<CertRevocationList<'static>>,
}

impl Trust {
    /// The authorities in `anchors`, PEM certificates.
    ///
    /// # Errors
    /// [`TrustError::Anchors`].
    pub fn new(anchors: &[u8]) -> Result<Self, TrustError> {
        let pinned: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(anchors)
            .take(limits::SIGNATURE_ANCHORS + 1)
            .collect::<Result<_, _>>()
            .map_err(|_| TrustError::Anchors)?;
        if pinned.is_empty() || pinned.len() > limits::SIGNATURE_ANCHORS {
            return Err(TrustError::Anchors);
        }
        let mut anchors = Vec::new();
        for der in &pinned {
            let certificate = Certificate::read(der).map_err(|_| TrustError::Anchors)?;
            if certificate.is_authority && certificate.issues != Some(false) {
                anchors.push(anchor_from_trusted_cert(der).map_err(|_| TrustError::Anchors)?.to_owned());
            }
        }
        Ok(Self { pinned, anchors, lists: Vec::new() })
    }

    /// The same with the revocation lists in `lists`, PEM CRLs. From here on a leaf counts only if one of them is of its
    /// issuer and in force.
    ///
    /// # Errors
    /// [`TrustError::Revocation`].
    pub fn with_revocation(mut self, lists: &[u8]) -> Result<Self, TrustError> {
        for der in CertificateRevocationListDer::pem_slice_iter(lists) {
            let der = der.map_err(|_| TrustError::Revocation)?;
            let list = OwnedCertRevocationList::from_der(&der).map_err(|_| TrustError::Revocation)?;
            self.lists.push(CertRevocationList::Owned(list));
        }
        if self.lists.is_empty() { Err(TrustError::Revocation) } else { Ok(self) }
    }

    /// What is found about `leaf`, whose DER is the first of `chain`, at `at`.
    pub(super) fn judge(&self, leaf: &Certificate, chain: &[CertificateDer<'_>], at: Timestamp) -> Vec<Finding> {
        let mut findings = vec![validity(leaf, at)];
        let Some((der, others)) = chain.split_first() else { return findings };
        if leaf.is_authority {
            findings.push(Finding::fails("signer-is-authority", "the signer's certificate is that of an authority"));
        }
        if self.pinned.contains(der) {
            findings.push(Finding::agrees(
                Check::Chain,
                "chain-trusted",
                "the signer's certificate is itself configured as trusted",
            ));
            findings.push(if self.lists.is_empty() {
                unasked()
            } else {
                Finding::undecided(
                    "revocation-unknown",
                    "no revocation list can speak of a certificate trusted by itself",
                )
            });
            return findings;
        }
        let entity = match EndEntityCert::try_from(der) {
            Ok(entity) => entity,
            Err(error) => {
                findings.push(untrusted(&error));
                return findings;
            }
        };
        let path = Path { trust: self, entity: &entity, others, at };
        match path.build(None) {
            Ok(()) => {
                findings.push(Finding::agrees(
                    Check::Chain,
                    "chain-trusted",
                    "the certificate leads to a configured authority",
                ));
                path.revocation(&mut findings);
            }
            Err(error) => findings.push(untrusted(&error)),
        }
        findings
    }
}

struct Path<'p> {
    trust: &'p Trust,
    entity: &'p EndEntityCert<'p>,
    others: &'p [CertificateDer<'p>],
    at: Timestamp,
}

impl Path<'_> {
    fn build(&self, revocation: Option<RevocationOptions<'_>>) -> Result<(), Error> {
        let since = Duration::from_secs(u64::try_from(self.at.as_second()).map_err(|_| Error::BadDerTime)?);
        let time = UnixTime::since_unix_epoch(since);
        let Trust { anchors, .. } = self.trust;
        let issuers = Some(&issuers_may_sign as &dyn Fn(&VerifiedPath<'_>) -> Result<(), Error>);
        self.entity
            .verify_for_usage(&ALGORITHMS, anchors, self.others, time, AnyPurpose, revocation, issuers)
            .map(|_| ())
    }

    /// The leaf must be known not to be revoked, if there is a list at all; that an authority is not known to be warns.
    fn revocation(&self, findings: &mut Vec<Finding>) {
        let lists: Vec<&CertRevocationList<'_>> = self.trust.lists.iter().collect();
        let with = |depth, unknown| {
            let options = RevocationOptionsBuilder::new(&lists).ok()?;
            let options = options.with_depth(depth).with_status_policy(unknown);
            Some(self.build(Some(options.with_expiration_policy(ExpirationPolicy::Enforce).build())))
        };
        let Some(leaf) = with(RevocationCheckDepth::EndEntity, UnknownStatusPolicy::Deny) else {
            findings.push(unasked());
            return;
        };
        let known = with(RevocationCheckDepth::Chain, UnknownStatusPolicy::Allow).unwrap_or(Ok(()));
        let whole = with(RevocationCheckDepth::Chain, UnknownStatusPolicy::Deny).unwrap_or(Ok(()));
        findings.push(match (leaf, known, whole) {
            (Err(Error::CertRevoked), ..) | (_, Err(Error::CertRevoked), _) | (.., Err(Error::CertRevoked)) => {
                Finding::fails("revoked", "a revocation list names a certificate of the chain")
            }
            (Err(Error::CrlExpired { .. }), ..) | (_, Err(Error::CrlExpired { .. }), _) => {
                Finding::undecided("revocation-stale", "the revocation list is older than its next update")
            }
            (Err(Error::UnknownRevocationStatus), ..) => {
                Finding::undecided("revocation-unknown", "no revocation list is of the certificate's issuer")
            }
            (Err(_), ..) | (_, Err(_), _) => {
                Finding::undecided("revocation-unknown", "the revocation list could not be used")
            }
            (.., Err(_)) => Finding::warns(
                "revocation-partial",
                Outcome::CannotTell,
                "the certificate is not revoked; nothing is known of the authorities between",
            ),
            (.., Ok(())) => {
                Finding::note("not-revoked", Outcome::Match, "no revocation list names a certificate of the chain")
            }
        });
    }
}

fn unasked() -> Finding {
    Finding::note("revocation-not-checked", Outcome::CannotTell, "no revocation list was given")
}

fn validity(leaf: &Certificate, at: Timestamp) -> Finding {
    let (from, to) = leaf.validity;
    if leaf.is_valid_at(at) {
        Finding::agrees(Check::Validity, "certificate-valid", format!("the certificate is valid from {from} to {to}"))
    } else if at < from {
        Finding::fails("certificate-not-yet-valid", format!("at {at} the certificate was not valid before {from}"))
    } else {
        Finding::fails("certificate-expired", format!("at {at} the certificate was expired since {to}"))
    }
}

fn untrusted(error: &Error) -> Finding {
    let (code, text) = match error {
        Error::CertExpired { .. } => ("certificate-expired", "a certificate of the chain is expired"),
        Error::CertNotValidYet { .. } => ("certificate-not-yet-valid", "a certificate of the chain is not valid yet"),
        Error::CaUsedAsEndEntity => ("signer-is-authority", "the signer's certificate is that of an authority"),
        Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => {
            ("chain-untrusted", "a certificate of the chain may not issue certificates")
        }
        Error::CertNotValidForName(_) | Error::NameConstraintViolation => {
            ("chain-untrusted", "an authority of the chain may not issue certificates for this name")
        }
        Error::UnsupportedCriticalExtension => {
            ("certificate-extension-unknown", "a certificate of the chain has a critical extension that is not known")
        }
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            (
                "chain-algorithm-refused",
                "a certificate of the chain is signed by SHA-1, a weak key, or another algorithm that is refused",
            )
        }
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            ("beyond-limits", "the chain takes more work than is given to it")
        }
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            ("chain-untrusted", "the certificate does not lead to a configured authority")
        }
        _ => ("chain-untrusted", "the certificate chain cannot be used"),
    };
    Finding::fails(code, text)
}

/// RFC 5280 section 4.2.1.3: whose key usage is stated must have `keyCertSign` in it to issue. rustls-webpki leaves that out.
fn issuers_may_sign(path: &VerifiedPath<'_>) -> Result<(), Error> {
    for issuer in path.intermediate_certificates() {
        let issuer = Certificate::read(&issuer.der()).map_err(|_| Error::BadDer)?;
        if issuer.issues == Some(false) {
            return Err(Error::EndEntityUsedAsCa);
        }
    }
    Ok(())
}

/// Extended key usage is judged apart, see [`Certificate`].
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}
