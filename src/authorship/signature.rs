//! What became of a signature, as far as authorship asks.
//!
//! Takes: the outcome of a check that was made elsewhere. Gives: [`Outcome`]. Guarantees: nothing here calls a signature
//! good; it only compares whose it is with who the author is. Refuses: nothing.

use crate::fhir::identifier::Identifier;

/// The four states of a checked signature (PRV-27). A signature that is not there has none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Whatever is needed to tell is missing: the authority is unknown, the form is not implemented.
    CannotVerify,
    /// It is wrong: the content was changed, the certificate was revoked, the signer is somebody else.
    Failed,
    /// It holds.
    Verified,
    /// It holds, and there is something to say about it.
    VerifiedWithWarnings,
}

/// Who signed (PRV-17): an organisation's signature does not say that a clinician read the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signer {
    /// A clinician.
    Person,
    /// A system, for its organisation.
    System,
}

/// A signature that was checked.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of it.
    pub state: State,
    /// The identifiers of its certificate's subject alternative names, which agree with `Signature.who`.
    pub signers: Vec<Identifier>,
    /// Who signed.
    pub signer: Signer,
    /// An identifier of the source to whose trust anchors the certificate leads; `None` where it was checked against others.
    /// For a source that has anchors of its own, no other signature counts.
    pub anchored: Option<Identifier>,
}

impl Outcome {
    /// Whether it holds, with or without a warning.
    pub fn holds(&self) -> bool {
        matches!(self.state, State::Verified | State::VerifiedWithWarnings)
    }
}
