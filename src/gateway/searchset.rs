//! Searchsets that are held whole: the common case, judged in one step.

use super::Shared;
use super::content::Links;
use super::pages::{About, beginning, own_link, own_link_sorted};
use super::trail::Trail;
use crate::clock::Now;
use crate::filter::{self, Assembler, BundleFilter, FilterError, Released, Tally};
use crate::id::Token128;
use crate::limits;
use crate::respond::refusal::Fault;
use crate::rewrite::Question;

/// Filters an answer that is held whole. `None` where the page is not complete with it, or too large to be held: then it
/// is gathered (see [`super::pages`]).
pub(super) fn whole(
    question: &Question,
    bytes: &[u8],
    shared: &Shared,
    trail: &Trail,
) -> Result<Option<(Released, Tally)>, Fault> {
    let links = Links::of(question, shared, trail);
    let assembler = assembler(question, shared, trail.now(), || trail.client().map(|client| client.purpose().code()))?;
    let filter = BundleFilter::linking(question, shared.bases(), &links).paged().stating(assembler);
    let (filter, continuation) = filter::searchset(bytes, filter)?;
    let settled = filter.further().is_some() || continuation.is_none();
    if !settled || filter.whole_len() > limits::WHOLE_ANSWER_BYTES {
        return Ok(None);
    }
    let next = match filter.further() {
        Some(passed) => {
            Some(About::of(trail).ok_or(Fault::Absent)?.next_link(beginning(question), passed, question, shared)?)
        }
        None if filter.continues() => return Err(FilterError::Astray.into()),
        None => None,
    };
    let is_sorted = !filter.is_out_of_order(next.is_none());
    let own = trail.search().map(|asked| own_link_sorted(&asked.canonical, is_sorted, shared)).unwrap_or_default();
    Ok(Some(filter.close(&own, next.as_deref())))
}

/// In whose name an answer says what was done to its records; `None` where it does not say it.
pub(super) fn assembler<'s>(
    question: &Question,
    shared: &'s Shared,
    now: Now,
    purpose: impl FnOnce() -> Option<&'static str>,
) -> Result<Option<Assembler<'s>>, Fault> {
    if !filter::states_changes(question) {
        return Ok(None);
    }
    let seed = Token128::random().ok_or(Fault::Randomness)?;
    let purpose = purpose().ok_or(Fault::Absent)?;
    Ok(Some(Assembler { organization: &shared.organization, purpose, now, seed }))
}

/// A searchset without entries, as [`whole`] would write it.
pub(super) fn nothing(trail: &Trail, shared: &Shared) -> Released {
    let asked = trail.search();
    let own = asked.map(|asked| own_link(&asked.canonical, shared)).unwrap_or_default();
    filter::empty_searchset(&own, asked.is_some_and(|asked| asked.states_total))
}
