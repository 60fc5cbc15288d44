//! What a signer's certificate says of its owner and its use (RFC 5280).
//!
//! Takes: DER. Gives: a [`Certificate`]: public key, validity, key usage, names. Guarantees: bounded size and number of names;
//! an extension that cannot be read, or is there twice, is no absent extension. Refuses: what is no certificate.
//! Whether it is to be believed is the matter of [`super::chain`].

use std::borrow::Cow;

use jiff::Timestamp;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use super::who::{NameKind, SubjectName};
use crate::limits;

/// Why DER is no usable certificate.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CertificateError {
    /// Larger than [`limits::SIGNATURE_CERTIFICATE_BYTES`], or with more names than [`limits::SIGNATURE_NAMES`].
    #[error("a certificate is larger than accepted")]
    Size,
    /// Not a certificate, or an extension that cannot be read.
    #[error("not a certificate that can be read")]
    Unreadable,
}

/// Extended key usages that fit a signed document.
const DOCUMENT_SIGNING: [&str; 3] = ["1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.311.10.3.12", "1.2.840.113583.1.1.5"];
/// Smallest RSA modulus (NIST SP 800-131A).
const RSA_BITS: usize = 2_048;

/// What is asked of a certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// SubjectPublicKeyInfo, DER.
    pub(super) key: Vec<u8>,
    /// An RSA key below 2,048 bits.
    pub(super) is_weak: bool,
    /// First and last instant of its validity.
    pub(super) validity: (Timestamp, Timestamp),
    /// `digitalSignature` of its key usage; `None` without that extension.
    pub(super) signs: Option<bool>,
    /// `keyCertSign` of its key usage; `None` without that extension.
    pub(super) issues: Option<bool>,
    /// It says it is an authority.
    pub(super) is_authority: bool,
    /// Its extended key usage, if it has one, names something that fits a signed document.
    pub(super) fits_documents: bool,
    /// Names that can identify a signer.
    pub(super) names: Vec<SubjectName>,
    /// Organisation, else common name, of its subject.
    pub(super) display: Option<String>,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > limits::SIGNATURE_CERTIFICATE_BYTES {
            return Err(CertificateError::Size);
        }
        let (rest, read) = X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
        if !rest.is_empty() {
            return Err(CertificateError::Unreadable);
        }
        let unreadable = |_| CertificateError::Unreadable;
        let instant = |seconds: i64| Timestamp::from_second(seconds).map_err(|_| CertificateError::Unreadable);
        let validity = read.validity();
        let usage = read.key_usage().map_err(unreadable)?;
        let basic = read.basic_constraints().map_err(unreadable)?;
        let extended = read.extended_key_usage().map_err(unreadable)?;
        let alternative = read.subject_alternative_name().map_err(unreadable)?;
        let names = alternative.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        if names.len() > limits::SIGNATURE_NAMES {
            return Err(CertificateError::Size);
        }
        let subject = read.subject();
        let display = subject.iter_organization().chain(subject.iter_common_name()).find_map(|name| name.as_str().ok());
        Ok(Self {
            key: read.public_key().raw.to_vec(),
            is_weak: match read.public_key().parsed() {
                Ok(PublicKey::RSA(key)) => key.key_size() < RSA_BITS,
                Ok(_) => false,
                Err(_) => return Err(CertificateError::Unreadable),
            },
            validity: (instant(validity.not_before.timestamp())?, instant(validity.not_after.timestamp())?),
            signs: usage.as_ref().map(|usage| usage.value.digital_signature()),
            issues: usage.as_ref().map(|usage| usage.value.key_cert_sign()),
            is_authority: basic.is_some_and(|basic| basic.value.ca),
            fits_documents: extended.is_none_or(|extended| fits_documents(extended.value)),
            names: names.iter().filter_map(subject_name).collect(),
            display: display.map(str::to_owned),
        })
    }

    /// The last instant of its validity.
    pub(super) fn valid_until(&self) -> Timestamp {
        self.validity.1
    }

    /// Whether `instant` is within its validity, both ends included.
    pub(super) fn is_valid_at(&self, instant: Timestamp) -> bool {
        self.validity.0 <= instant && instant <= self.validity.1
    }
}

fn fits_documents(usage: &ExtendedKeyUsage<'_>) -> bool {
    usage.any
        || usage.email_protection
        || usage.other.iter().any(|oid| DOCUMENT_SIGNING.contains(&oid.to_id_string().as_str()))
}

fn subject_name(name: &GeneralName<'_>) -> Option<SubjectName> {
    match name {
        GeneralName::URI(uri) => Some(SubjectName { kind: NameKind::Uri, value: (*uri).to_owned() }),
        GeneralName::OtherName(oid, value) => Some(SubjectName {
            kind: NameKind::Other(Cow::Owned(oid.to_id_string())),
            value: other_text(value)?.to_owned(),
        }),
        _ => None,
    }
}

/// The text in the value of an `otherName`: `[0] EXPLICIT` of a UTF8String, PrintableString or IA5String.
fn other_text(value: &[u8]) -> Option<&str> {
    let text = tagged(value, &[0xa0])?;
    std::str::from_utf8(tagged(text, &[0x0c, 0x13, 0x16])?).ok()
}

/// The contents of the one DER element that `der` must be, of one of these tags and less than 256 bytes.
fn tagged<'d>(der: &'d [u8], tags: &[u8]) -> Option<&'d [u8]> {
    let (tag, rest) = der.split_first()?;
    let (length, content) = match rest.split_first()? {
        (0x81, rest) => rest.split_first().filter(|(length, _)| **length >= 0x80)?,
        short => short,
    };
    let is_short = *length < 0x80 || rest.first() == Some(&0x81);
    (is_short && tags.contains(tag) && content.len() == usize::from(*length)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_other_names_are_read_strictly() {
        for (der, expected) in [
            (&b"\xa0\x05\x0c\x03abc"[..], Some("abc")),
            (b"\xa0\x05\x13\x03abc", Some("abc")),
            (b"\xa0\x05\x16\x03abc", Some("abc")),
            (b"\xa0\x05\x04\x03abc", None),
            (b"\xa1\x05\x0c\x03abc", None),
            (b"\xa0\x05\x0c\x03abcd", None),
            (b"\xa0\x06\x0c\x03abcd", None),
            (b"\xa0\x05\x0c\x02ab\x00", None),
            (b"\xa0\x81\x05\x0c\x03abc", None),
            (b"\xa0\x05\x0c\x03\xff\xfe\xfd", None),
            (b"\xa0\x80", None),
            (b"\xa0", None),
            (b"", None),
        ] {
            assert_eq!(other_text(der), expected, "{der:x?}");
        }
        let long = "x".repeat(200);
        let der = [&[0xa0, 0x81, 203, 0x0c, 0x81, 200], long.as_bytes()].concat();
        assert_eq!(other_text(&der), Some(long.as_str()));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for der in [&b""[..], b"\x30\x00", b"not a certificate", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(Certificate::read(der).err(), Some(CertificateError::Unreadable));
        }
        let large = vec![0x30; limits::SIGNATURE_CERTIFICATE_BYTES + 1];
        assert_eq!(Certificate::read(&large).err(), Some(CertificateError::Size));
    }
}
