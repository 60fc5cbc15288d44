//! Key sets (RFC 7517): the public keys that an issuer signs with.
//!
//! Takes: the bytes of a JWKS. Gives: [`KeySet`], in which a key is found by `kid` and algorithm.
//! Guarantees: every key in it is public, for signatures, named once, of sufficient strength and a valid point.
//! Refuses: symmetric keys, private members, RSA below 2048 bits, repeated `kid`; the rest of the set stays usable.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use thiserror::Error;

use super::algorithm::{Algorithm, KeyKind};
use crate::fhir::json::{JsonError, Kind, Tape, Value};
use crate::limits;

#[cfg(test)]
mod tests;

/// Members that only a private or symmetric key has (RFC 7518 section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
/// RSA moduli of fewer bits are refused (RFC 7518 section 3.3).
const RSA_BITS: usize = 2_048;

/// Why a document is no key set.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeySetError {
    /// No key in it can be used.
    #[error("key set holds no usable key")]
    Empty,
    /// Not JSON.
    #[error("key set is not acceptable json: {0}")]
    Json(#[from] JsonError),
    /// No object with an array `keys`.
    #[error("not a key set: `keys` is missing")]
    NotAKeySet,
    /// Larger than [`limits::KEY_SET_BYTES`].
    #[error("key set is too large")]
    TooLarge,
}

/// Why one key of a set is not used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyFault {
    /// Two keys bear the same `kid`.
    #[error("`kid` occurs more than once")]
    DuplicateKid,
    /// A member is missing, has the wrong type, or the point or modulus is not valid.
    #[error("malformed key")]
    Malformed,
    /// No `kid`, so no token can name it.
    #[error("`kid` is missing")]
    NoKid,
    /// `use` or `key_ops` say that it does not verify signatures. Normal beside signature keys.
    #[error("not for signatures")]
    NotForSignatures,
    /// A private member is published.
    #[error("holds private members")]
    Private,
    /// `kty` is `oct`.
    #[error("symmetric key")]
    Symmetric,
    /// A `kty`, `crv` or `alg` that is not supported.
    #[error("unsupported kind of key")]
    Unsupported,
    /// RSA of fewer than 2048 bits.
    #[error("rsa key is too short")]
    WeakRsa,
}

/// A key that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// Its `kid`, where it has one.
    pub kid: Option<String>,
    /// Why it is not used.
    pub fault: KeyFault,
}

/// The usable public keys of one issuer.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<PublicKey>,
    refused: Vec<RefusedKey>,
}

impl KeySet {
    /// Reads a JWKS document and keeps the keys that can be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        if bytes.len() > limits::KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let mut tape = Tape::new();
        let document = tape.read(bytes)?;
        let keys = document.root().get("keys").filter(|keys| keys.kind() == Kind::Array);
        let mut set = Self { keys: Vec::new(), refused: Vec::new() };
        for jwk in keys.ok_or(KeySetError::NotAKeySet)?.items() {
            match PublicKey::parse(jwk) {
                Ok(key) => set.keys.push(key),
                Err(fault) => {
                    let kid = jwk.get("kid").and_then(Value::text).map(|kid| kid.into_owned());
                    set.refused.push(RefusedKey { kid, fault });
                }
            }
        }
        set.refuse_duplicates();
        if set.keys.is_empty() { Err(KeySetError::Empty) } else { Ok(set) }
    }

    /// The one key that bears `kid`, if it fits `algorithm`.
    pub fn find(&self, kid: &str, algorithm: Algorithm) -> Option<&PublicKey> {
        self.keys.iter().find(|key| &*key.kid == kid).filter(|key| key.fits(algorithm))
    }

    /// Whether some key bears `kid`, fitting or not: then fetching the set again would not help.
    pub fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| &*key.kid == kid)
            || self.refused.iter().any(|refused| refused.kid.as_deref() == Some(kid))
    }

    /// The usable keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The keys that were left out.
    pub fn refused(&self) -> &[RefusedKey] {
        &self.refused
    }

    fn refuse_duplicates(&mut self) {
        let kids: Vec<Box<str>> = self.keys.iter().map(|key| key.kid.clone()).collect();
        let of_refused: Vec<String> = self.refused.iter().filter_map(|refused| refused.kid.clone()).collect();
        self.keys.retain(|key| {
            let seen = kids.iter().filter(|kid| **kid == key.kid).count();
            let once = seen == 1 && !of_refused.iter().any(|kid| **kid == *key.kid);
            if !once {
                self.refused.push(RefusedKey { kid: Some(key.kid.to_string()), fault: KeyFault::DuplicateKid });
            }
            once
        });
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

/// One public key.
#[derive(Clone)]
pub struct PublicKey {
    kid: Box<str>,
    kind: KeyKind,
    algorithm: Option<Algorithm>,
    /// EC: the uncompressed point; RSA: the modulus; Ed25519: the key.
    public: Vec<u8>,
    decoding: DecodingKey,
}

impl PublicKey {
    fn parse(jwk: Value<'_>) -> Result<Self, KeyFault> {
        let text = |name: &str| jwk.get(name).map(|value| value.text().ok_or(KeyFault::Malformed)).transpose();
        let bytes = |name: &str| {
            let encoded = text(name)?.ok_or(KeyFault::Malformed)?;
            URL_SAFE_NO_PAD.decode(encoded.as_bytes()).map_err(|_| KeyFault::Malformed)
        };
        if jwk.kind() != Kind::Object {
            return Err(KeyFault::Malformed);
        }
        let kty = text("kty")?.ok_or(KeyFault::Malformed)?;
        if kty == "oct" {
            return Err(KeyFault::Symmetric);
        }
        if PRIVATE_MEMBERS.iter().any(|member| jwk.get(member).is_some()) {
            return Err(KeyFault::Private);
        }
        if !is_for_signatures(jwk)? {
            return Err(KeyFault::NotForSignatures);
        }
        let kid = text("kid")?.filter(|kid| !kid.is_empty()).ok_or(KeyFault::NoKid)?;
        let (kind, public, decoding) = match (&*kty, text("crv")?.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                check_rsa(&modulus, &exponent)?;
                let decoding = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                (KeyKind::Rsa, modulus, decoding)
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (kind, size) = if curve == "P-256" { (KeyKind::P256, 32) } else { (KeyKind::P384, 48) };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != size || y.len() != size {
                    return Err(KeyFault::Malformed);
                }
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let scheme = if kind == KeyKind::P256 { &ECDSA_P256_SHA256_FIXED } else { &ECDSA_P384_SHA384_FIXED };
                ParsedPublicKey::new(scheme, &point).map_err(|_| KeyFault::Malformed)?;
                let decoding = DecodingKey::from_ec_der(&point);
                (kind, point, decoding)
            }
            ("OKP", Some("Ed25519")) => {
                let key = bytes("x")?;
                ParsedPublicKey::new(&ED25519, &key).map_err(|_| KeyFault::Malformed)?;
                let decoding = DecodingKey::from_ed_der(&key);
                (KeyKind::Ed25519, key, decoding)
            }
            _ => return Err(KeyFault::Unsupported),
        };
        let algorithm = match text("alg")? {
            Some(name) => {
                Some(Algorithm::parse(&name).filter(|alg| alg.key_kind() == kind).ok_or(KeyFault::Unsupported)?)
            }
            None => None,
        };
        Ok(Self { kid: (&*kid).into(), kind, algorithm, public, decoding })
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that the key set binds it to.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// The public value: an uncompressed EC point, an RSA modulus, an Ed25519 key.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Whether a signature of `algorithm` can be checked with it.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.key_kind() && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether `signature`, in base64url, is a signature of `message` under `algorithm`.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm.jws()).unwrap_or(false)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {:?})", self.kid, self.kind)
    }
}

fn is_for_signatures(jwk: Value<'_>) -> Result<bool, KeyFault> {
    let use_allows = match jwk.get("use") {
        Some(value) => value.text().ok_or(KeyFault::Malformed)? == "sig",
        None => true,
    };
    let operations_allow = match jwk.get("key_ops") {
        Some(value) if value.kind() != Kind::Array => return Err(KeyFault::Malformed),
        Some(value) => value.items().any(|item| item.text().as_deref() == Some("verify")),
        None => true,
    };
    Ok(use_allows && operations_allow)
}

fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyFault> {
    let leading = modulus.iter().position(|byte| *byte != 0).ok_or(KeyFault::Malformed)?;
    let first = modulus.get(leading).copied().unwrap_or_default();
    let bits = (modulus.len() - leading) * 8 - first.leading_zeros() as usize;
    if bits < RSA_BITS {
        return Err(KeyFault::WeakRsa);
    }
    RsaPublicKeyComponents { n: modulus, e: exponent }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map(drop)
        .map_err(|_| KeyFault::Malformed)
}
