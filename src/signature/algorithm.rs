//! The signature algorithms that a Signature may be made with, in the terms of the cryptographic library.
//!
//! Takes: an [`Algorithm`], a header and a payload; a public key as a certificate states it. Gives: the digest that is signed,
//! and whether a signature of it is of that key.
//! Guarantees: a key is used only with the algorithms of its kind; RSA from 2,048 to 8,192 bits. Refuses: everything that is
//! not in [`ALLOWED`], by having no value for it.

use aws_lc_rs::digest::{self, Context, Digest, SHA256, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::oauth::algorithm::Algorithm;

/// What is accepted unless the caller says less (SHA-1, SHA-512 and EdDSA are outside of what CDex and its partners use).
pub const ALLOWED: [Algorithm; 6] =
    [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Ps256, Algorithm::Ps384, Algorithm::Es256, Algorithm::Es384];

/// Bytes that are encoded at a time: a multiple of three, so that pieces join without padding.
const PIECE: usize = 3 * 4_096;

fn verification(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa | Algorithm::Ps512 | Algorithm::Rs512 => return None,
    })
}

fn hash(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    Some(match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => &SHA256,
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => &SHA384,
        Algorithm::EdDsa | Algorithm::Ps512 | Algorithm::Rs512 => return None,
    })
}

/// The digest of what is signed (RFC 7515 section 5.1): the header as it is sent, and the payload that is not.
pub(super) fn digest(algorithm: Algorithm, protected: &str, payload: &[u8]) -> Option<Digest> {
    let mut context = Context::new(hash(algorithm)?);
    context.update(protected.as_bytes());
    context.update(b".");
    let mut encoded = String::new();
    for piece in payload.chunks(PIECE) {
        encoded.clear();
        URL_SAFE_NO_PAD.encode_string(piece, &mut encoded);
        context.update(encoded.as_bytes());
    }
    Some(context.finish())
}

/// Whether `signature` over `digest` was made with the private half of `key`, a DER SubjectPublicKeyInfo.
pub(super) fn is_signed(algorithm: Algorithm, key: &[u8], digest: &Digest, signature: &[u8]) -> bool {
    verification(algorithm)
        .is_some_and(|algorithm| UnparsedPublicKey::new(algorithm, key).verify_digest(digest, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_payload_is_encoded_as_one() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 2] {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let whole = format!("header.{}", URL_SAFE_NO_PAD.encode(&payload));
            let digest = digest(Algorithm::Es384, "header", &payload).unwrap();
            assert_eq!(digest.as_ref(), digest::digest(&SHA384, whole.as_bytes()).as_ref(), "{length}");
        }
        for algorithm in Algorithm::ALL {
            let is_known = ALLOWED.contains(&algorithm);
            assert_eq!((hash(algorithm).is_some(), verification(algorithm).is_some()), (is_known, is_known));
        }
    }
}
