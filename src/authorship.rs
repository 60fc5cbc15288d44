//! Who is responsible for a record: a verdict on each, and the findings that it rests on.
//!
//! Takes: a [`Record`], the [`Evidence`] gathered beside it (Provenance, people and organisations, originals, contents of
//! documents, outcomes of signatures), the [`Trust`] of a registry of sources, and the time. Gives: [`Judged`], a [`Verdict`]
//! with its [`Findings`]. Guarantees: no I/O and no clock; the EHR is not believed, only compared with itself and with what
//! the registry says. Refuses: to call anybody the author who is not named, found and free of contradiction.
//!
//! # The verdicts
//!
//! *contradicted* < *unknown* < *asserted-by-hie* < *asserted-by-source* < *verified*.
//!
//! A record's own elements, each of its Provenance and the header of its document are statements. One that leads to somebody
//! who can be looked up supports a verdict: by the source, where the upstream is an EHR, or where a Provenance names a
//! registered source and what passed the record on may speak for it; by the exchange, where an exchange merely says so, or
//! made the record itself of an original that is known. A signature of the author, or of the author's organisation, raises what a
//! source asserts to *verified*: the [`Verifier`] holds each to the anchors of the sources of its record. The best statement counts.
//!
//! Then mismatches put a ceiling on it ([`Code::consequence`]): two statements that cannot both be true make the record
//! *contradicted*, a rule that is not met makes it *unknown*. What cannot be told counts as if it were not there.
//!
//! # What holds of evidence
//!
//! 1. A verdict rises by the removal of a piece of evidence only if a mismatch goes with that piece. So nothing that supports a
//!    verdict can be taken away to get a better one.
//! 2. A piece that adds a mismatch and takes none away never raises a verdict.
//!
//! Both are tried on random evidence in `tests/it/properties/authorship.rs`.
//!
//! | PRV | rule | finding |
//! |---|---|---|
//! | 01 | a Provenance has real targets, `recorded`, agents with `author` and `transmitter` | `provenance-readable`, `author-stated`, `author-resolvable`, `transmitter-*` |
//! | 02 | `onBehalfOf` beside a practitioner or device, or a role | `organisation-named` |
//! | 03 | author, performer and time agree with the target | `author-agrees`, `organisation-agrees`, `creation-agrees`, `document-agrees`, `source-agrees`, `times-plausible` |
//! | 04 | no Provenance that names what was withheld | [`passage`] |
//! | 05 | bound to a version, or of some version | `version-bound` |
//! | 06 | what was transformed has an entity with role source | `original-known` |
//! | 14, 28 | signer, certificate and author are one | `signature-binds`, `identifier-well-formed`, `source-known` |
//! | 10 to 16 | what is signed, and how | [`Verifier`] |
//! | 17 | a system's signature is no clinician's | [`Signer`] |
//! | 27 | four states, never a boolean | [`State`], `signature-holds`, `signature-unqualified`, `signature-demanded` |
//! | 30, 31 | bytes of a document whole; nothing signed is cut | `attachment-hash`, `attachment-size`, [`passage`] |

mod document;
mod elements;
mod evidence;
mod finding;
mod judge;
mod look;
mod names;
mod origin;
mod party;
mod provenance;
mod record;
mod registry;
mod release;
mod signature;
mod signed;
mod statement;
#[cfg(test)]
mod tests;
mod verifier;

pub use document::DocumentError;
pub use elements::{Elements, Says, is_attributable};
pub use evidence::{Evidence, Gathered};
pub use finding::{Answer, Code, Consequence, Findings, Verdict};
pub use judge::{Judged, judge, sources};
pub use provenance::{Passage, ProvenanceError, is_about, passage};
pub use record::Record;
pub use registry::{Registry, Trust};
pub use release::{Release, default_release};
pub use signature::{Outcome, Signer, State};
pub use verifier::Verifier;
