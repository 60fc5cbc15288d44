//! The verdict on one record.
//!
//! Takes: a record, the evidence beside it, what is trusted, and the time. Gives: [`Judged`]. Guarantees: no I/O, no clock;
//! above *unknown* there is no verdict with a mismatch, but for what was left out of account; a verdict rises with the removal
//! of a piece of evidence only if a mismatch goes with it. Refuses: to believe a Provenance about another version.

use super::evidence::{Evidence, Held, Told};
use super::finding::{Answer, Code, Findings, Verdict};
use super::look::{Seen, look};
use super::origin::{Inquiry, Origin, Passed};
use super::record::Record;
use super::registry::Trust;
use super::statement::{Statement, Who};
use crate::clock::Now;
use crate::config::Source;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Who is known to answer for it.
    pub verdict: Verdict,
    /// What was found.
    pub findings: Findings,
    /// Whether every source that it comes from lets what an exchange asserts leave for payment and operations.
    pub exchange_allowed: bool,
}

/// Judges a record.
pub fn judge(record: &Record<'_>, evidence: &Evidence, trust: &Trust<'_>, now: Now) -> Judged {
    let mut case = Case::new(record, evidence, trust, now);
    let seen = look(&mut case);
    let origin = case.origin(&seen);
    let base = case.support(&seen, &origin);
    let is_signed = case.signatures(&seen, &origin);
    let raised = if is_signed && base == Verdict::AssertedBySource { Verdict::Verified } else { base };
    let sources = || origin.sources.iter().filter_map(|place| trust.registry?.get(*place));
    Judged {
        verdict: raised.min(case.findings.ceiling()),
        findings: case.findings,
        exchange_allowed: sources().next().is_some() && sources().all(|source| source.exchange_asserts),
    }
}

/// The sources whose rules a record is held to: whose trust anchors its signatures must lead to.
pub fn sources<'r>(record: &Record<'_>, evidence: &Evidence, trust: &Trust<'r>, now: Now) -> Vec<&'r Source> {
    places(record, evidence, trust, now).into_iter().filter_map(|place| trust.registry?.get(place)).collect()
}

/// Their places in the registry.
pub(super) fn places(record: &Record<'_>, evidence: &Evidence, trust: &Trust<'_>, now: Now) -> Vec<usize> {
    let mut case = Case::new(record, evidence, trust, now);
    let seen = look(&mut case);
    case.origin(&seen).sources
}

/// A record on trial.
pub(super) struct Case<'a, 'd> {
    pub(super) record: &'a Record<'d>,
    pub(super) evidence: &'a Evidence,
    pub(super) trust: &'a Trust<'a>,
    pub(super) now: Now,
    /// What is known under the record's own name.
    pub(super) held: Option<&'a Held>,
    pub(super) findings: Findings,
}

impl<'a, 'd> Case<'a, 'd> {
    fn new(record: &'a Record<'d>, evidence: &'a Evidence, trust: &'a Trust<'a>, now: Now) -> Self {
        Self { record, evidence, trust, now, held: evidence.of(record), findings: Findings::default() }
    }

    /// What the registry makes of the record.
    fn origin(&mut self, seen: &Seen<'_>) -> Origin {
        let Some(registry) = self.trust.registry else {
            return Origin {
                told: seen.told.iter().map(|told| self.without_registry(told)).collect(),
                ..Origin::default()
            };
        };
        let inquiry = Inquiry {
            evidence: self.evidence,
            registry,
            resource_type: self.record.resource_type,
            now: self.now,
            told: &seen.told,
            meta_source: seen.meta_source.as_deref(),
            own: &seen.own,
            keepers: &[&seen.keepers, &seen.own, &seen.document],
        };
        inquiry.answer(&mut self.findings)
    }

    /// Without a registry an EHR passes on what is its own; whatever else passed a record on, nothing vouches for.
    fn without_registry(&mut self, told: &Told) -> Passed {
        let is_source = |transmitter: &Who| {
            let is = |who: &Who| who.is(transmitter, &self.evidence.held) == Answer::Match;
            told.authors.organisations.iter().any(is)
        };
        let is_vouched = told.transmitters.iter().all(is_source);
        if !told.transmitters.is_empty() {
            self.findings.note(Code::TransmitterIsUpstream, Answer::CannotTell);
        }
        Passed { is_vouched, ..Passed::default() }
    }

    /// The best verdict that a statement supports.
    fn support(&self, seen: &Seen<'_>, origin: &Origin) -> Verdict {
        let Seen { own, document, keepers, told, .. } = seen;
        let by_itself = (!origin.is_exchanges && self.is_known(own, keepers)) || self.is_known(document, keepers);
        let in_exchange = self.trust.registry.is_some_and(|registry| registry.upstream_is_exchange());
        let has_registry = self.trust.registry.is_some();
        let is_sources = |passed: &Passed| {
            let is_traced = (!in_exchange || passed.has_source) && !(has_registry && passed.is_open);
            passed.is_vouched && !passed.is_exchanges && is_traced
        };
        let of_told = |told: &&Told, passed: &Passed| {
            if !self.is_known(&told.authors, keepers) || (in_exchange && origin.sources.is_empty()) {
                Verdict::Unknown
            } else if is_sources(passed) {
                Verdict::AssertedBySource
            } else {
                Verdict::AssertedByHie
            }
        };
        let best = told.iter().zip(&origin.told).map(|(told, passed)| of_told(told, passed)).max();
        let itself = match (by_itself, in_exchange) {
            (true, false) => Verdict::AssertedBySource,
            (true, true) if !origin.sources.is_empty() => Verdict::AssertedByHie,
            _ => Verdict::Unknown,
        };
        itself.max(best.unwrap_or(Verdict::Unknown))
    }

    /// Whether a statement leads to somebody who can be looked up: who has an identifier, or is described and acts for
    /// an organisation that has one.
    fn is_known(&self, statement: &Statement, keepers: &Statement) -> bool {
        let known = |who: &Who| who.party(&self.evidence.held).is_some_and(|party| party.is_identified);
        let is_described = statement.persons.iter().any(|who| who.party(&self.evidence.held).is_some());
        statement.persons.iter().chain(&statement.bodies).chain(&statement.organisations).any(known)
            && !statement.is_empty()
            || is_described && keepers.organisations.iter().any(known)
    }
}
