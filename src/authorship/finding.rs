//! What was looked at, what was found, and what follows from it.
//!
//! Takes: answers, one question at a time. Gives: [`Findings`], which lists them, and the highest verdict that they leave
//! room for. Guarantees: a mismatch once noted stays, whatever is noted after it; a finding has a code and an answer and no
//! text of the record. Refuses: nothing.

use std::fmt;

/// Who is known to answer for a record; a later one is better than an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// What is known of it contradicts itself.
    Contradicted,
    /// Nobody is known to answer for it.
    Unknown,
    /// The exchange that holds it answers for it, and its original is known.
    AssertedByHie,
    /// The organisation that it comes from answers for it.
    AssertedBySource,
    /// A signature of its author or of the author's organisation holds.
    Verified,
}

impl Verdict {
    /// From the lowest to the highest.
    pub const ALL: [Self; 5] =
        [Self::Contradicted, Self::Unknown, Self::AssertedByHie, Self::AssertedBySource, Self::Verified];

    /// The code, as policies, logs and `--json` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contradicted => "contradicted",
            Self::Unknown => "unknown",
            Self::AssertedByHie => "asserted-by-hie",
            Self::AssertedBySource => "asserted-by-source",
            Self::Verified => "verified",
        }
    }

    /// The verdict of a code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == code)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is as it should be.
    Match,
    /// It is not.
    Mismatch,
    /// What would be needed to tell is not there.
    CannotTell,
}

impl Answer {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::CannotTell => "cannot-tell",
        }
    }
}

/// What follows from a mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The record is contradicted.
    Contradicted,
    /// Nobody is taken to answer for the record.
    Unknown,
    /// What did not match is left out of account, as if it were not there.
    LeftOut,
}

impl Consequence {
    /// The highest verdict that it leaves room for.
    fn ceiling(self) -> Verdict {
        match self {
            Self::Contradicted => Verdict::Contradicted,
            Self::Unknown => Verdict::Unknown,
            Self::LeftOut => Verdict::Verified,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $consequence:ident, [$($basis:literal),*];)*) => {
        /// A question that is asked of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every question, in the order in which findings are listed.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code, as logs and `--json` write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What follows from a mismatch.
            pub fn consequence(self) -> Consequence {
                match self { $(Self::$name => Consequence::$consequence,)* }
            }

            /// The requirements that it comes from (`PRV-…`: Provenance and signatures in US Core, HRex and CDex).
            pub fn basis(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($basis),*],)* }
            }
        }
    };
}

codes! {
    /// Somebody is named as author, by the record, its Provenance or its document.
    AuthorStated = "author-stated", LeftOut, ["PRV-01"];
    /// An author leads to a person or an organisation that is known, and nothing beside the reference disagrees.
    AuthorResolvable = "author-resolvable", Unknown, ["PRV-01", "PRV-28"];
    /// Nobody who made, keeps or passed on the record goes by a name under which two are described that are not the same.
    AuthorUnambiguous = "author-unambiguous", Contradicted, ["PRV-28"];
    /// An author or its organisation has an identifier, and every NPI among them has its check digit.
    IdentifierWellFormed = "identifier-well-formed", Unknown, ["PRV-28"];
    /// The organisation behind the author is named.
    OrganisationNamed = "organisation-named", LeftOut, ["PRV-02"];
    /// The Provenance can be read, to its last agent.
    ProvenanceReadable = "provenance-readable", Unknown, ["PRV-01"];
    /// The Provenance is about this version.
    VersionBound = "version-bound", LeftOut, ["PRV-05"];
    /// Author of the Provenance and author of the record are the same person.
    AuthorAgrees = "author-agrees", Contradicted, ["PRV-03"];
    /// Where both name an organisation as author, it is the same.
    OrganisationAgrees = "organisation-agrees", Contradicted, ["PRV-03"];
    /// What happened, by the Provenance, happened when the record was made, by itself.
    CreationAgrees = "creation-agrees", Contradicted, ["PRV-03"];
    /// It happened before it was recorded, and that before now.
    TimesPlausible = "times-plausible", Contradicted, ["PRV-03"];
    /// Who passed the record on is the system that it was fetched from.
    TransmitterIsUpstream = "transmitter-is-upstream", Unknown, ["PRV-01"];
    /// The attachment has the SHA-1 that is stated of it.
    AttachmentHash = "attachment-hash", Contradicted, ["PRV-30"];
    /// The attachment has the size that is stated of it.
    AttachmentSize = "attachment-size", Contradicted, ["PRV-30"];
    /// The header of the document can be read.
    DocumentReadable = "document-readable", Unknown, ["PRV-01"];
    /// Author of the document and author of the record are the same person.
    DocumentAgrees = "document-agrees", Contradicted, ["PRV-03"];
    /// The registry knows the organisation that the record comes from.
    SourceKnown = "source-known", Unknown, ["PRV-28"];
    /// Provenance and `meta.source` lead to the same organisation.
    SourceAgrees = "source-agrees", Contradicted, ["PRV-03"];
    /// That organisation validates authorship of records of this type.
    SourceValidatesType = "source-validates-type", Unknown, ["PRV-28"];
    /// The agreement with it is in force.
    AgreementInForce = "agreement-in-force", Unknown, ["PRV-28"];
    /// Who passed the record on may speak for the organisation that it comes from.
    TransmitterSpeaksForSource = "transmitter-speaks-for-source", Unknown, ["PRV-01"];
    /// What the exchange made itself, it made of originals that are all known.
    OriginalKnown = "original-known", Unknown, ["PRV-06"];
    /// A signature was checked, and it holds.
    SignatureHolds = "signature-holds", Contradicted, ["PRV-27"];
    /// It holds without a warning.
    SignatureUnqualified = "signature-unqualified", LeftOut, ["PRV-27"];
    /// Whose it is, is the author or the author's organisation.
    SignatureBinds = "signature-binds", Unknown, ["PRV-14", "PRV-28"];
    /// Where the registry demands a signature, there is one that holds and binds; and where a record leads to no source,
    /// there is none that demands one.
    SignatureDemanded = "signature-demanded", Unknown, ["PRV-27"];
}

/// The answers to what was asked of one record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Findings {
    /// By code.
    answers: [Option<Answer>; Code::ALL.len()],
    /// The highest verdict that the mismatches leave room for.
    ceiling: Verdict,
}

impl Default for Findings {
    fn default() -> Self {
        Self { answers: [None; Code::ALL.len()], ceiling: Verdict::Verified }
    }
}

impl Findings {
    /// Notes an answer; a mismatch outweighs a match, and a match what could not be told.
    pub(super) fn note(&mut self, code: Code, answer: Answer) {
        let Some(slot) = self.answers.get_mut(code as usize) else { return };
        if answer == Answer::Mismatch {
            self.ceiling = self.ceiling.min(code.consequence().ceiling());
        }
        *slot = match (*slot, answer) {
            (Some(Answer::Mismatch), _) | (_, Answer::Mismatch) => Some(Answer::Mismatch),
            (Some(Answer::Match), _) | (_, Answer::Match) => Some(Answer::Match),
            _ => Some(Answer::CannotTell),
        };
    }

    /// Notes a match or what could not be told.
    pub(super) fn note_if(&mut self, code: Code, is_match: bool) {
        self.note(code, if is_match { Answer::Match } else { Answer::CannotTell });
    }

    /// The answer to a question; `None` where it did not come up.
    pub fn get(&self, code: Code) -> Option<Answer> {
        self.answers.get(code as usize).copied().flatten()
    }

    /// The questions that came up, with their answers.
    pub fn iter(&self) -> impl Iterator<Item = (Code, Answer)> {
        Code::ALL.iter().zip(self.answers).filter_map(|(code, answer)| Some((*code, answer?)))
    }

    /// The questions that were answered by a mismatch.
    pub fn mismatches(&self) -> impl Iterator<Item = Code> {
        self.iter().filter(|(_, answer)| *answer == Answer::Mismatch).map(|(code, _)| code)
    }

    /// The highest verdict that the mismatches leave room for.
    pub(super) fn ceiling(&self) -> Verdict {
        self.ceiling
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(code, answer)| (code.as_str(), answer.as_str()))).finish()
    }
}
