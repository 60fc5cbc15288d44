//! Signing a Bundle as an organisation (CDex "Signatures", signing).
//!
//! Takes: the bytes of a finished Bundle, a [`Signer`], the instant. Gives: the same bytes with `signature` as the last member.
//! Guarantees: everything else keeps its text to the byte; the signature holds by its own certificate, checked before it is
//! given away; certificate, key and `who` belong together. Refuses: a Bundle that is signed already, numbers that a double
//! cannot hold, a certificate that is not valid. The only randomness is what ECDSA and PSS ask for.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use thiserror::Error;

use super::canonical::{CanonicalError, Omitted, canonical};
use super::certificate::Certificate;
use super::element::{PURPOSES, SIG_FORMAT, TARGET_FORMAT, VERIFICATION};
use super::who::{Identities, is_named};
use super::{Dialect, algorithm};
use crate::clock::Now;
use crate::fhir::json::{Tape, Value};
use crate::limits;
use crate::oauth::algorithm::Algorithm;

/// What the purpose is called.
const PURPOSE: &str = "Verification Signature";
/// What a key and a certificate are tried on.
const TRIAL: &str = "portcullis";

/// Why there is no signer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SignerError {
    /// The chain is no PEM, has too many certificates, or too large ones.
    #[error("the certificate chain is no pem of certificates that can be used")]
    Chain,
    /// The key is no PEM private key for one of the algorithms: RSA from 2,048 bits, P-256, P-384.
    #[error("the key is no private key that can be used: rsa of at least 2048 bits, p-256 or p-384")]
    Key,
    /// The first certificate is not of this key.
    #[error("the first certificate is not that of the key")]
    KeyAndCertificate,
    /// The first certificate is not for signatures, or is that of an authority.
    #[error("the certificate is not for digital signatures")]
    KeyUsage,
    /// No name in the certificate is `who`.
    #[error("no name in the certificate is that of the signer, or none is agreed on for its system")]
    Who,
}

/// Why a Bundle was not signed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SignError {
    /// There is a signature. It is not replaced, nor signed over.
    #[error("the bundle is signed already")]
    AlreadySigned,
    /// The cryptographic library failed.
    #[error("the signature could not be made")]
    Cryptography,
    /// So many numbers have more digits than a double can hold, and would not be protected.
    #[error("{0} numbers have more digits than a signature can protect")]
    Numbers(usize),
    /// A number is beyond the range of a double.
    #[error("a number is beyond what can be signed")]
    NumberRange,
    /// Larger than [`limits::SIGNED_BYTES`].
    #[error("the bundle is larger than accepted")]
    Size,
    /// Not JSON that can be read in one way only.
    #[error("not json that can be read in one way only")]
    Unreadable,
    /// Not a Bundle of type `searchset` or `document`.
    #[error("not a bundle of type searchset or document")]
    Unsignable,
    /// The certificate is not valid at the time of signing.
    #[error("the certificate is not valid at the time of signing")]
    Validity,
}

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

/// An organisation that signs.
pub struct Signer {
    key: Key,
    algorithm: Algorithm,
    /// Base64 of DER, leaf first.
    chain: Vec<String>,
    leaf: Certificate,
    thumbprint: [u8; 32],
    who: (String, String),
    display: Option<String>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).field("who", &self.who).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer by PEM of its private key and of its certificates, its own first; `who` is system and value of its identifier.
    ///
    /// RSA signs by RS256, P-256 by ES256, P-384 by ES384; see [`Signer::with_algorithm`].
    ///
    /// # Errors
    /// [`SignerError`]: what does not belong together.
    pub fn new(key: &[u8], chain: &[u8], who: (&str, &str), identities: &Identities) -> Result<Self, SignerError> {
        let chain: Vec<CertificateDer<'_>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| SignerError::Chain)?;
        if chain.len() > limits::SIGNATURE_CHAIN || chain.iter().any(|der| Certificate::read(der).is_err()) {
            return Err(SignerError::Chain);
        }
        let leaf = chain.first().and_then(|der| Certificate::read(der).ok()).ok_or(SignerError::Chain)?;
        let (key, algorithm) = private_key(key).ok_or(SignerError::Key)?;
        if leaf.signs == Some(false) || leaf.is_authority {
            return Err(SignerError::KeyUsage);
        }
        let (system, value) = who;
        if !identities.kind_of(system).is_some_and(|kind| is_named(&leaf.names, kind, value)) {
            return Err(SignerError::Who);
        }
        let display = leaf.display.clone();
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, chain.first().ok_or(SignerError::Chain)?).as_ref());
        let signer = Self {
            key,
            algorithm,
            chain: chain.iter().map(|der| STANDARD.encode(der)).collect(),
            leaf,
            thumbprint,
            who: (system.to_owned(), value.to_owned()),
            display,
        };
        signer.signature(TRIAL, &[]).map_err(|_| SignerError::KeyAndCertificate)?;
        Ok(signer)
    }

    /// The same with another algorithm of its kind of key; `None` if it is of another kind, or not allowed.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Option<Self> {
        match &mut self.key {
            Key::Rsa(_, encoding) => {
                *encoding = match algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    _ => return None,
                };
            }
            Key::Ec(_) if self.algorithm == algorithm => {}
            Key::Ec(_) => return None,
        }
        self.algorithm = algorithm;
        Some(self)
    }

    /// The same with another name for people than its certificate has.
    #[must_use]
    pub fn with_display(mut self, display: String) -> Self {
        self.display = Some(display);
        self
    }

    /// SHA-256 of its certificate in DER.
    pub fn thumbprint(&self) -> [u8; 32] {
        self.thumbprint
    }

    /// The last instant at which its certificate is valid.
    pub fn valid_until(&self) -> Now {
        Now::at(self.leaf.valid_until())
    }

    /// Whether its certificate is valid.
    pub fn is_valid_at(&self, now: Now) -> bool {
        self.leaf.is_valid_at(now.timestamp())
    }

    /// The signature of a header and a payload, known to hold by the certificate.
    fn signature(&self, header: &str, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        let digest = algorithm::digest(self.algorithm, header, payload).ok_or(SignError::Cryptography)?;
        let signature = match &self.key {
            Key::Ec(pair) => pair.sign_digest(&digest).map_err(|_| SignError::Cryptography)?.as_ref().to_vec(),
            Key::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(*encoding, &digest, &mut signature).map_err(|_| SignError::Cryptography)?;
                signature
            }
        };
        let holds = algorithm::is_signed(self.algorithm, &self.leaf.key, &digest, &signature);
        holds.then_some(signature).ok_or(SignError::Cryptography)
    }

    fn header(&self, when: &str, dialect: Dialect) -> String {
        let header = match dialect {
            Dialect::Ci => json!({
                "alg": self.algorithm.as_str(),
                "sigT": when,
                "srCms": [{"commId": {"id": format!("urn:oid:{VERIFICATION}"), "desc": PURPOSE}}],
                "x5c": self.chain,
            }),
            Dialect::Published => json!({
                "alg": self.algorithm.as_str(),
                "kty": match self.key { Key::Ec(_) => "EC", Key::Rsa(..) => "RS" },
                "x5c": self.chain,
            }),
        };
        URL_SAFE_NO_PAD.encode(header.to_string())
    }

    fn element(&self, when: &str, data: String) -> String {
        let (system, value) = &self.who;
        let mut who = json!({"identifier": {"system": system, "value": value}});
        if let (Some(display), Some(who)) = (&self.display, who.as_object_mut()) {
            who.insert("display".to_owned(), json!(display));
        }
        json!({
            "type": [{"system": PURPOSES, "code": VERIFICATION, "display": PURPOSE}],
            "when": when,
            "who": who,
            "targetFormat": TARGET_FORMAT,
            "sigFormat": SIG_FORMAT,
            "data": data,
        })
        .to_string()
    }
}

/// Signs a Bundle of type `searchset` or `document`.
///
/// # Errors
/// [`SignError`]; nothing is signed then.
pub fn sign(bundle: &[u8], signer: &Signer, when: Now, dialect: Dialect) -> Result<Vec<u8>, SignError> {
    if bundle.len() > limits::SIGNED_BYTES {
        return Err(SignError::Size);
    }
    if !signer.is_valid_at(when) {
        return Err(SignError::Validity);
    }
    let mut tape = Tape::new();
    let root = tape.read(bundle).map_err(|_| SignError::Unreadable)?.root();
    let is = |name: &str, values: &[&str]| {
        root.get(name).and_then(Value::text).is_some_and(|text| values.contains(&text.as_ref()))
    };
    if !is("resourceType", &["Bundle"]) || !is("type", &["searchset", "document"]) {
        return Err(SignError::Unsignable);
    }
    if root.get("signature").is_some() {
        return Err(SignError::AlreadySigned);
    }
    let form = canonical(root, Omitted::Bundle).map_err(|CanonicalError::Number| SignError::NumberRange)?;
    if form.damaged > 0 {
        return Err(SignError::Numbers(form.damaged));
    }
    let when = when.to_instant();
    let header = signer.header(&when, dialect);
    let signature = signer.signature(&header, &form.bytes)?;
    let data = STANDARD.encode(format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature)));
    with_last_member(bundle, "signature", &signer.element(&when, data)).ok_or(SignError::Unreadable)
}

/// The text of an object with a member more at its end, and all of it else as it was.
fn with_last_member(object: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    let (inside, end) = object.split_at_checked(object.iter().rposition(|byte| *byte == b'}')?)?;
    let (members, space) = inside.split_at_checked(inside.trim_ascii_end().len())?;
    Some([members, b",\"", name.as_bytes(), b"\":", value.as_bytes(), space, end].concat())
}

fn private_key(pem: &[u8]) -> Option<(Key, Algorithm)> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    let der = key.secret_der();
    let rsa = match &key {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der).ok(),
        PrivateKeyDer::Pkcs8(_) => RsaKeyPair::from_pkcs8(der).ok(),
        _ => None,
    };
    if let Some(pair) = rsa {
        return Some((Key::Rsa(pair, &RSA_PKCS1_SHA256), Algorithm::Rs256));
    }
    let curves =
        [(&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::Es256), (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::Es384)];
    curves.into_iter().find_map(|(curve, algorithm)| {
        let pair = match &key {
            PrivateKeyDer::Sec1(_) => EcdsaKeyPair::from_private_key_der(curve, der).ok(),
            PrivateKeyDer::Pkcs8(_) => EcdsaKeyPair::from_pkcs8(curve, der).ok(),
            _ => None,
        };
        Some((Key::Ec(pair?), algorithm))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_added_and_nothing_else_touched() {
        for (object, expected) in
            [(r#"{"a":6.30}"#, r#"{"a":6.30,"s":1}"#), ("{\n  \"a\": [1]\n}\n", "{\n  \"a\": [1],\"s\":1\n}\n")]
        {
            let with = with_last_member(object.as_bytes(), "s", "1").unwrap();
            assert_eq!(String::from_utf8(with).unwrap(), expected);
        }
    }
}
