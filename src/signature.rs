//! Digital signatures on resources, as the Da Vinci CDex guide has them: JWS over canonical JSON, with X.509 certificates.
//!
//! Takes: bytes of a resource, authorities or a signer, an instant. Gives: a [`Report`] of what was found about its
//! signatures, or a signed Bundle. Guarantees: no I/O and no clock; what was signed is found out from the text as it was
//! received; a [`Verdict`] has four states and is `verified` only where every check was made. Refuses: to trust anything that
//! a signature says of itself, such as keys, payloads and algorithms.
//!
//! Read `verify.rs` and `checks.rs` for the checks, `jose.rs` for what a JWS may be, `chain.rs` for certificates, `canonical.rs` for what is
//! signed.

use std::str::FromStr;

pub mod algorithm;
mod canonical;
mod carrier;
mod certificate;
mod chain;
mod checks;
mod element;
mod finding;
mod jose;
mod number;
mod role;
mod sign;
mod verify;
mod who;

pub use canonical::{Canonical, CanonicalError, Omitted, SIGNATURE_EXTENSION, canonical};
pub use carrier::has_own_signature;
pub use certificate::{Certificate, CertificateError};
pub use chain::{Trust, TrustError};
pub use finding::{Finding, Outcome, Verdict, Weight};
pub use role::Role;
pub use sign::{SignError, Signer, SignerError, sign};
pub use verify::{Examined, Report, Rules, SignerNote, examine_apart, examine_within, verify};
pub use who::{Identities, NPI, NameKind, SubjectName, TAX_ID};

/// An edition of the CDex guide, where they differ about signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The CI build towards 3.0.0: formats, `sigT`, `srCms` and an identifier of the signer are mandatory.
    #[default]
    Ci,
    /// The published 2.1.0: none of them is.
    Published,
}

impl Dialect {
    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Published => "2.1.0",
        }
    }
}

impl FromStr for Dialect {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Ci, Self::Published].into_iter().find(|dialect| dialect.as_str() == text).ok_or("ci or 2.1.0")
    }
}
