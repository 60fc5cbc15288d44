//! Where a record comes from, and whether the registry lets that source speak and be spoken for.
//!
//! Takes: a record's statements and the registry. Gives: [`Origin`], the sources that are to be held to, and for each Provenance
//! whether what passed the record on may do so. Guarantees: every source that a Provenance, `meta.source` or a registered
//! keeper leads to is held to all of its rules; one that the registry does not know is a mismatch. Refuses: an exchange's own
//! work that leads to no original, or to one that is not known.

use super::evidence::{Evidence, Told};
use super::finding::{Answer, Code, Findings};
use super::record::Own;
use super::registry::{Registry, is_in_force, share};
use super::statement::{Statement, Who};
use crate::clock::Now;
use crate::config::Source;
use crate::fhir::name::ResourceType;

/// What the registry makes of a record.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// Places in the registry, each once.
    pub(super) sources: Vec<usize>,
    /// By the place of the Provenance among those that count.
    pub(super) told: Vec<Passed>,
    /// The record's own elements name exchanges, and nobody else.
    pub(super) is_exchanges: bool,
}

/// What the registry makes of one Provenance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// Whatever passed the record on may speak for the source.
    pub(super) is_vouched: bool,
    /// All of its organisations are exchanges: it tells of work of their own.
    pub(super) is_exchanges: bool,
    /// A registered source is among its organisations.
    pub(super) has_source: bool,
    /// It names an organisation of which nothing is known.
    pub(super) is_open: bool,
}

/// What is asked about.
pub(super) struct Inquiry<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) registry: &'a Registry,
    pub(super) resource_type: ResourceType,
    pub(super) now: Now,
    pub(super) told: &'a [&'a Told],
    pub(super) meta_source: Option<&'a str>,
    /// The authors by the record's own elements.
    pub(super) own: &'a Statement,
    /// Organisations that the record itself and its document name: keepers, and those behind authors.
    pub(super) keepers: &'a [&'a Statement],
}

impl Inquiry<'_> {
    pub(super) fn answer(&self, findings: &mut Findings) -> Origin {
        let mut origin = Origin::default();
        let mut is_unknown = false;
        for told in self.told {
            let mut own_sources = Vec::new();
            let passed = if self.are_exchanges(&told.authors) {
                let are_known = self.originals(told, &mut own_sources);
                findings.note(Code::OriginalKnown, if are_known { Answer::Match } else { Answer::Mismatch });
                Passed { is_exchanges: true, ..Passed::default() }
            } else {
                let unknown = self.collect(&told.authors.organisations, &mut own_sources);
                is_unknown |= unknown;
                let is_open = told.authors.organisations.iter().any(|who| who.party(&self.evidence.held).is_none());
                Passed { has_source: !own_sources.is_empty(), is_open, ..Passed::default() }
            };
            let is_vouched = self.are_vouched(told, &own_sources, findings);
            origin.told.push(Passed { is_vouched, ..passed });
            own_sources.into_iter().for_each(|place| add(&mut origin.sources, place));
        }
        let by_provenance = origin.sources.clone();
        if let Some(place) = self.meta_source.and_then(|source| self.registry.find_meta(source)) {
            if !by_provenance.is_empty() {
                let agrees = by_provenance.contains(&place);
                findings.note(Code::SourceAgrees, if agrees { Answer::Match } else { Answer::Mismatch });
            }
            add(&mut origin.sources, place);
        }
        origin.is_exchanges = self.own.persons.is_empty() && self.are_exchanges(self.own);
        let mut is_unknown_keeper = false;
        for statement in self.keepers {
            is_unknown_keeper |= self.collect(&statement.organisations, &mut origin.sources);
        }
        if origin.sources.is_empty() && !self.registry.upstream_is_exchange() {
            self.registry.find(self.registry.upstream()).for_each(|place| add(&mut origin.sources, place));
        }
        let known = match (is_unknown, origin.sources.is_empty(), is_unknown_keeper) {
            (true, ..) | (_, true, true) => Answer::Mismatch,
            (_, false, _) => Answer::Match,
            _ => Answer::CannotTell,
        };
        findings.note(Code::SourceKnown, known);
        for source in origin.sources.iter().filter_map(|place| self.registry.get(*place)) {
            self.hold(source, findings);
        }
        origin
    }

    /// What the registry says of a source itself.
    fn hold(&self, source: &Source, findings: &mut Findings) {
        let answer = |holds| if holds { Answer::Match } else { Answer::Mismatch };
        findings.note(Code::SourceValidatesType, answer(source.validates.holds(self.resource_type)));
        findings.note(Code::AgreementInForce, answer(is_in_force(source, self.now)));
        if self.registry.upstream_is_exchange() {
            let upstream = self.registry.upstream();
            let speaks = share(upstream, &source.speakers) || share(upstream, &source.identifiers);
            findings.note(Code::TransmitterSpeaksForSource, answer(speaks));
        }
    }

    /// Adds the sources among organisations; tells whether one of them is described, and neither a source nor an exchange.
    fn collect(&self, organisations: &[Who], sources: &mut Vec<usize>) -> bool {
        let mut is_unknown = false;
        for who in organisations.iter().filter(|who| who.party(&self.evidence.held).is_some()) {
            let identifiers = self.evidence.identifiers(who);
            is_unknown |= self.registry.find(identifiers).next().is_none() && !self.registry.is_exchange(identifiers);
            self.registry.find(identifiers).for_each(|place| add(sources, place));
        }
        is_unknown
    }

    /// Whether a statement names organisations, and all of them are exchanges.
    pub(super) fn are_exchanges(&self, statement: &Statement) -> bool {
        let mut all = statement.organisations.iter();
        let is_exchange = |who: &Who| self.registry.is_exchange(self.evidence.identifiers(who));
        !statement.organisations.is_empty() && all.all(is_exchange)
    }

    /// Adds the sources that the originals behind an exchange's work come from; tells whether there are originals and each of
    /// them is known: it is here, and whoever made it by its own Provenance, its own elements, its `meta.source` or the
    /// entity's agents is registered, and it is no exchange's work itself. What one of them is of, or who made it, may be a source that would not have it leave.
    fn originals(&self, told: &Told, sources: &mut Vec<usize>) -> bool {
        let mut are_known = !told.sources.is_empty();
        for source in &told.sources {
            let held = source.what.and_then(|name| self.evidence.held(name));
            let Some((held, original)) = held.and_then(|held| Some((held, held.original.as_ref()?))) else {
                are_known = false;
                continue;
            };
            let mut found = Vec::new();
            for about in held.about.iter().filter_map(|about| self.evidence.told.get(about.told?)) {
                are_known &= !self.are_exchanges(&about.authors);
                are_known &= !self.collect(&about.authors.organisations, &mut found);
            }
            are_known &= !self.collect(&source.agents.organisations, &mut found);
            are_known &= !self.collect(&statement(original, self.evidence).organisations, &mut found);
            let meta = original.source.as_deref().and_then(|source| self.registry.find_meta(source));
            meta.into_iter().for_each(|place| add(&mut found, place));
            are_known &= !found.is_empty();
            found.into_iter().for_each(|place| add(sources, place));
        }
        are_known
    }

    /// Whether everything that passed the record on, by this Provenance, may speak for its sources.
    fn are_vouched(&self, told: &Told, sources: &[usize], findings: &mut Findings) -> bool {
        let upstream = self.registry.upstream();
        let mut all = true;
        for transmitter in &told.transmitters {
            let identifiers = self.evidence.identifiers(transmitter);
            let is = |who: &Who| who.is(transmitter, &self.evidence.held) == Answer::Match;
            let is_source = told.authors.organisations.iter().any(is);
            let is_upstream = share(identifiers, upstream);
            let sources = || sources.iter().filter_map(|place| self.registry.get(*place));
            let speaks = sources().next().is_some() && sources().all(|source| share(identifiers, &source.speakers));
            let may = is_source || speaks || (is_upstream && !self.registry.upstream_is_exchange());
            let (is_upstream, may) = match (is_upstream, may) {
                (true, true) => (Answer::Match, Answer::Match),
                (false, true) => (Answer::CannotTell, Answer::Match),
                _ if identifiers.is_empty() => (Answer::CannotTell, Answer::CannotTell),
                (true, false) => (Answer::Match, self.mismatch_with(sources().next())),
                (false, false) if upstream.is_empty() => (Answer::CannotTell, self.mismatch_with(sources().next())),
                (false, false) => (Answer::Mismatch, self.mismatch_with(sources().next())),
            };
            findings.note(Code::TransmitterIsUpstream, is_upstream);
            findings.note(Code::TransmitterSpeaksForSource, may);
            all &= may == Answer::Match;
        }
        all
    }

    /// Nobody can be told not to speak for a source that is not known.
    fn mismatch_with(&self, source: Option<&Source>) -> Answer {
        if source.is_some() { Answer::Mismatch } else { Answer::CannotTell }
    }
}

/// The authors and keepers that a record's own elements name, in one.
fn statement(own: &Own, evidence: &Evidence) -> Statement {
    let mut statement = Statement::default();
    own.authors.iter().for_each(|link| statement.add_author(link, &evidence.held));
    own.custodians.iter().for_each(|link| statement.add_organisation(link, &evidence.held));
    statement
}

fn add(sources: &mut Vec<usize>, place: usize) {
    if !sources.contains(&place) {
        sources.push(place);
    }
}
