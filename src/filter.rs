//! Step 7: what of the EHR's answer may leave.
//!
//! Takes: the bytes that were fetched and the question they answer. Gives: [`Filtered`], made only here.
//! Guarantees: every resource, wherever it stands in the answer, was judged by the decision that shaped the
//! request, on its own content; nothing the EHR says about itself is believed (`search.mode`, `total`, links).
//! Refuses: answers that are not what was asked for. No I/O.

mod attribution;
mod bundle;
mod changes;
mod closure;
mod content;
mod explain;
mod honesty;
mod judge;
mod labels;
mod order;
mod outline;
mod redact;
mod signed;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

pub use attribution::Attribution;
pub use bundle::{BundleFilter, empty_searchset, searchset};
pub use changes::{Assembler, states_changes};
pub use closure::ContentLinks;
pub use content::{Attached, content, offers};
pub use explain::{Judged, explain};
pub use tally::{Tally, Withheld};

use crate::fhir::json::{JsonError, Tape};
use crate::fhir::reference::Reference;
use crate::rewrite::Question;
use crate::understand::Interaction;
use judge::{Judge, Verdict};

/// Why an answer of the EHR cannot be used. Whose fault: the EHR's, always.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FilterError {
    /// Not JSON, or JSON that two readers could read differently.
    #[error("the answer is not acceptable json: {0}")]
    Json(#[from] JsonError),
    /// Not the resource or the searchset that was asked for.
    #[error("the answer is not what was asked for")]
    Mismatch,
    /// Goes on in a place that is not the EHR's, or where it has been before.
    #[error("the answer goes on where it cannot be followed")]
    Astray,
    /// Ends early.
    #[error("the answer ends before it is complete")]
    Truncated,
    /// A single entry beyond [`crate::limits::ENTRY_BYTES`].
    #[error("an entry of the answer is too large")]
    EntryTooLarge,
}

/// The absolute URLs involved.
#[derive(Clone, Copy, Debug)]
pub struct Bases<'a> {
    /// The EHR's base URL, without a slash at the end.
    pub ehr: &'a str,
    /// The gateway's base URL, without a slash at the end.
    pub gateway: &'a str,
}

/// Bytes that may leave. Made in this step only, of resources that were judged.
#[derive(Debug)]
pub struct Released(Vec<u8>);

impl Released {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Released> for Bytes {
    fn from(released: Released) -> Self {
        released.0.into()
    }
}

/// A resource that may leave, or the fact that none may.
#[derive(Debug)]
pub struct Filtered {
    body: Option<Released>,
    tally: Tally,
}

impl Filtered {
    /// The resource as it may leave; `None` where it is withheld or absent, which look alike.
    pub fn body(&self) -> Option<&Released> {
        self.body.as_ref()
    }

    /// The body, given up.
    pub fn into_body(self) -> Option<Released> {
        self.body
    }

    /// What was received, released and withheld.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Judges the one resource that a read fetched. No link leads to the content of a document.
pub fn read(bytes: &[u8], question: &Question, bases: Bases<'_>) -> Result<Filtered, FilterError> {
    judged(bytes, question, Judge::new(question, bases, None))
}

/// Judges the one resource that a read fetched; `links` lead to the content of a document, and `attribution` tells who is
/// responsible for it. Without it, nothing leaves of which that is asked.
pub fn read_linking(
    bytes: &[u8],
    question: &Question,
    bases: Bases<'_>,
    links: &dyn ContentLinks,
    attribution: Option<Arc<Attribution>>,
) -> Result<Filtered, FilterError> {
    let mut judge = Judge::new(question, bases, Some(links));
    judge.attribute(attribution.clone());
    let mut filtered = judged(bytes, question, judge)?;
    filtered.tally.look_up(attribution.as_deref());
    Ok(filtered)
}

/// The resources of an answer of which nothing but the authorship is still to be judged, and those that come along with them.
pub fn unattributed(bytes: &[u8], question: &Question, bases: Bases<'_>) -> Result<HashSet<Reference>, FilterError> {
    if let Interaction::Read(asked) = question.interaction() {
        let judged = read(bytes, question, bases)?;
        let own = Reference { resource_type: asked.resource_type(), id: asked.id().clone() };
        let is_left = judged.body().is_some() || judged.tally().withheld.contains_key(&Withheld::Authorship);
        return Ok(is_left.then_some(own).into_iter().collect());
    }
    let mut filter = BundleFilter::presuming(question, bases);
    filter.feed(bytes)?;
    filter.end()?;
    let judged = filter.into_account().into_iter();
    let left = judged.filter(|one| one.withheld.is_none_or(|reason| reason == Withheld::Authorship));
    Ok(left.filter_map(|one| one.resource).collect())
}

fn judged(bytes: &[u8], question: &Question, mut judge: Judge<'_>) -> Result<Filtered, FilterError> {
    let Interaction::Read(asked) = question.interaction() else { return Err(FilterError::Mismatch) };
    let mut tape = Tape::new();
    let resource = tape.read(bytes)?.root();
    let mut tally = Tally::default();
    let identity = judge.identity(resource).ok_or(FilterError::Mismatch)?;
    if identity != (Reference { resource_type: asked.resource_type(), id: asked.id().clone() }) {
        return Err(FilterError::Mismatch);
    }
    tally.received += 1;
    let body = match judge.resource(&identity, resource) {
        Verdict::Release(release) => {
            let mut body = Vec::with_capacity(bytes.len());
            redact::write(resource, &release, &judge, &mut body, &mut tally);
            tally.release(&release.patients);
            tally.judge(release.authorship);
            Some(Released(body))
        }
        Verdict::Withhold(reason) => {
            if reason == Withheld::Authorship {
                tally.judge(judge.authorship(identity.resource_type, resource));
            }
            tally.withhold(reason);
            None
        }
    };
    Ok(Filtered { body, tally })
}
