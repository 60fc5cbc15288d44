//! Whether a record is signed by whom it names as author.
//!
//! Takes: the outcomes of the signatures on a record and on its Provenance. Gives: whether one holds that is the author's or the
//! author's organisation's, and leads to the trust anchors of every source that has some, for each of them by itself or by
//! somebody who is no other source and no exchange. Guarantees: a signature on a
//! Provenance is held to the authors of that Provenance alone, one on the record itself or on the answer that it came in also to
//! the sources that it comes from; and one that was verified over another text counts for nothing.
//! Refuses: to take an exchange's signature for an author's, and what a Provenance carries for a signature on itself.

use super::evidence::{Checked, Held, TextDigest, Told};
use super::finding::{Answer, Code};
use super::judge::Case;
use super::look::Seen;
use super::origin::Origin;
use super::registry::{Registry, share};
use super::signature::{Outcome, State};
use super::statement::Statement;
use crate::config::Source;

impl<'a> Case<'a, '_> {
    /// Whether a signature holds that is the author's.
    pub(super) fn signatures(&mut self, seen: &Seen<'_>, origin: &Origin) -> bool {
        let Seen { own, document, told, .. } = seen;
        let is_signed = |held: &Held| !held.signatures.is_empty();
        let told_signed = |told: &&Told| {
            told.signature.is_some() || told.name.and_then(|name| self.evidence.held(name)).is_some_and(is_signed)
        };
        let registry = self.trust.registry;
        // Of which source a record is that leads to none is not known: it may be one that demands.
        if origin.sources.is_empty() && registry.is_some_and(Registry::demands_signatures) {
            self.findings.note(Code::SignatureDemanded, Answer::Mismatch);
        }
        let is_checked = !self.evidence.checked.is_empty();
        if origin.sources.is_empty()
            && !is_checked
            && !self.held.is_some_and(is_signed)
            && !told.iter().any(told_signed)
        {
            return false;
        }
        let all: Vec<&Statement> = [own, document].into_iter().chain(told.iter().map(|told| &told.authors)).collect();
        let sources: Vec<&Source> = origin.sources.iter().filter_map(|place| registry?.get(*place)).collect();
        let mut outcomes: Vec<(&Outcome, &[&Statement], &[&Source])> = Vec::new();
        let evidence = self.evidence;
        outcomes.extend(
            self.held.into_iter().flat_map(|held| &held.signatures).map(|outcome| (outcome, &all[..], &sources[..])),
        );
        let checked = self.checked();
        let own_checked = checked.iter().filter(|checked| checked.told.is_none());
        outcomes.extend(own_checked.map(|checked| (&checked.outcome, &all[..], &sources[..])));
        for (told, statement) in told.iter().zip(all.get(2..).unwrap_or_default()) {
            let is_it = |place: usize| evidence.told.get(place).is_some_and(|other| std::ptr::eq(other, *told));
            let held = told.name.and_then(|name| evidence.held(name));
            let stated = held.map_or(&[][..], |held| &held.signatures).iter();
            let of_it = checked.iter().filter(|checked| checked.told.is_some_and(is_it));
            let signatures: Vec<&Outcome> = stated.chain(of_it.map(|checked| &checked.outcome)).collect();
            if told.signature.is_some() && signatures.is_empty() {
                self.findings.note(Code::SignatureHolds, Answer::CannotTell);
            }
            outcomes.extend(signatures.into_iter().map(|outcome| (outcome, std::slice::from_ref(statement), &[][..])));
        }
        let mut bound = Vec::new();
        for (outcome, statements, sources) in outcomes {
            let holds = match outcome.state {
                State::Verified | State::VerifiedWithWarnings => Answer::Match,
                State::Failed => Answer::Mismatch,
                State::CannotVerify => Answer::CannotTell,
            };
            self.findings.note(Code::SignatureHolds, holds);
            if outcome.holds() {
                self.findings.note_if(Code::SignatureUnqualified, outcome.state == State::Verified);
                let binds = self.binds(outcome, statements, sources);
                self.findings.note(Code::SignatureBinds, binds);
                bound.extend((binds == Answer::Match).then_some(outcome));
            }
        }
        // One authority certifies many: that it is the source's does not make every signature below it the source's.
        let is_anothers = |outcome: &Outcome, source: &Source| {
            registry.is_some_and(|registry| registry.is_registered(&outcome.signers))
                && !share(&source.identifiers, &outcome.signers)
        };
        let is_anchored = |source: &Source| match &source.anchors {
            Some(_) => bound.iter().any(|outcome| {
                outcome.anchored.as_ref().is_some_and(|of| source.identifiers.contains(of))
                    && !is_anothers(outcome, source)
            }),
            None => !bound.is_empty(),
        };
        let mut is_anchored_everywhere = true;
        for source in &sources {
            let holds = is_anchored(source);
            is_anchored_everywhere &= holds;
            if source.demands_signature {
                self.findings.note(Code::SignatureDemanded, if holds { Answer::Match } else { Answer::Mismatch });
            }
        }
        !self.is_provenance() && !bound.is_empty() && is_anchored_everywhere
    }

    /// What was verified over the text of this record; of a Provenance also over that of its target, which is what it signs.
    fn checked(&self) -> Vec<&'a Checked> {
        let all = &self.evidence.checked;
        if all.is_empty() {
            return Vec::new();
        }
        let of = TextDigest::of(self.record.resource);
        let itself = self.held.and_then(|held| held.itself.as_ref()).and_then(|about| about.told);
        let itself = itself.filter(|_| self.is_provenance());
        all.iter().filter(|checked| checked.of == of || (itself.is_some() && checked.told == itself)).collect()
    }

    /// A Provenance signs what it is about. Its own verdict is not raised by it.
    fn is_provenance(&self) -> bool {
        self.record.resource_type.as_str() == "Provenance"
    }

    /// Whether a signature is that of an author, of the author's organisation or of one of `sources`; an exchange's own says
    /// nothing of it.
    fn binds(&self, outcome: &Outcome, statements: &[&Statement], sources: &[&Source]) -> Answer {
        if sources.iter().any(|source| share(&source.identifiers, &outcome.signers)) {
            return Answer::Match;
        }
        let whos = statements.iter().flat_map(|of| of.persons.iter().chain(&of.bodies).chain(&of.organisations));
        let mut authors =
            whos.map(|who| self.evidence.identifiers(who)).filter(|identifiers| !identifiers.is_empty()).peekable();
        let is_exchange = self.trust.registry.is_some_and(|registry| registry.is_exchange(&outcome.signers));
        if authors.peek().is_none() || outcome.signers.is_empty() {
            return Answer::CannotTell;
        }
        match authors.any(|identifiers| share(identifiers, &outcome.signers)) {
            true => Answer::Match,
            false if is_exchange => Answer::CannotTell,
            false => Answer::Mismatch,
        }
    }
}
