//! The order that was asked for, held against the order that came.
//!
//! Takes: the matches that may leave, one after the other, and where they were written. Gives: the same searchset in the
//! order that was asked for, where all of it is at hand. Guarantees: it is sorted by what is released (see
//! [`crate::rewrite`]); equals keep the order they came in, and what comes along follows the matches. Refuses: nothing; an
//! order that is wrong and cannot be mended is told of.

use super::judge::Mode;
use crate::fhir::json::Value;
use crate::fhir::search::{Definition, Key, ParameterKind, Reach, compare_keys, key, lookup, reach};
use crate::fhir::subject;
use crate::rewrite::Question;

/// What is known of the order so far.
pub(super) struct Order {
    keys: Vec<(&'static Definition, bool)>,
    last: Option<Reach>,
    is_broken: bool,
    /// Where the entries were written, as long as all of them are there.
    entries: Option<Vec<Entry>>,
}

struct Entry {
    keys: Option<Vec<Option<Key>>>,
    begin: usize,
    end: usize,
}

impl Order {
    /// The order that a question asks for; `None` where it asks for none, or for one that only the EHR can tell: what
    /// references lead to may be withheld, but for the patient.
    pub(super) fn of(question: &Question) -> Option<Self> {
        let search = question.interaction().search().filter(|search| !search.shape().count_only)?;
        let resource_type = search.resource_type();
        let definition = |sort: &crate::understand::Sort| {
            let definition = lookup(resource_type, &sort.parameter)?;
            let is_told =
                definition.kind != ParameterKind::Reference || definition.paths == subject::paths(resource_type);
            is_told.then_some((definition, sort.descending))
        };
        let keys: Vec<_> = search.sort().iter().map(definition).collect::<Option<_>>()?;
        (!keys.is_empty()).then(|| Self { keys, last: None, is_broken: false, entries: Some(Vec::new()) })
    }

    /// Takes in a match that may leave, whether or not this page holds it; tells whether it is the first that shows that
    /// the order is another.
    pub(super) fn see(&mut self, resource: Value<'_>) -> bool {
        let Some((definition, descending)) = self.keys.first() else { return false };
        let Some(own) = reach(resource, definition) else { return false };
        let breaks = self.last.is_some_and(|last| last.contradicts(own, *descending));
        self.last = Some(own);
        let is_first = breaks && !self.is_broken;
        self.is_broken |= breaks;
        is_first
    }

    /// Takes in where an entry was written.
    pub(super) fn wrote(&mut self, mode: Mode, resource: Value<'_>, begin: usize, end: usize) {
        let Some(entries) = &mut self.entries else { return };
        let keys = (mode == Mode::Match)
            .then(|| self.keys.iter().map(|(definition, descending)| key(resource, definition, *descending)).collect());
        entries.push(Entry { keys, begin, end });
    }

    /// Takes in where an entry was written that is neither a match nor came along.
    pub(super) fn wrote_aside(&mut self, begin: usize, end: usize) {
        self.entries.iter_mut().for_each(|entries| entries.push(Entry { keys: None, begin, end }));
    }

    /// Something was sent: what is left can no longer be sorted.
    pub(super) fn sent(&mut self) {
        self.entries = None;
    }

    /// Whether the order that came is another, and stays so unless it is mended.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether all entries are at hand.
    pub(super) fn can_mend(&self) -> bool {
        self.entries.is_some()
    }

    /// Sorts the entries, which end where `out` does.
    pub(super) fn mend(&mut self, out: &mut Vec<u8>) {
        let Some(mut entries) = self.entries.take() else { return };
        let Some(first) = entries.first().map(|entry| entry.begin) else { return };
        entries.sort_by(|one, other| match (&one.keys, &other.keys) {
            (Some(one), Some(other)) => {
                let mut pairs = one.iter().zip(other).zip(&self.keys);
                let unequal = pairs.find_map(|((one, other), (_, descending))| {
                    Some(compare_keys(one.as_ref(), other.as_ref(), *descending)).filter(|order| order.is_ne())
                });
                unequal.unwrap_or(std::cmp::Ordering::Equal)
            }
            (one, other) => other.is_some().cmp(&one.is_some()),
        });
        let written = out.split_off(first);
        for entry in entries {
            if out.len() > first {
                out.push(b',');
            }
            let (begin, end) = (entry.begin - first, entry.end - first);
            out.extend_from_slice(written.get(begin..end).unwrap_or_default());
        }
    }
}
