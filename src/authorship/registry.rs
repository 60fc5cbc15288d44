//! The registry of sources, ready to be asked.
//!
//! Takes: checked [`Sources`]. Gives: a [`Registry`], and [`Trust`] in it. Guarantees: an identifier leads to one source;
//! an identity that is a source's own is never one of those that merely speak. Refuses: nothing; what is wrong with a
//! registry is found where it is loaded.

use std::collections::{HashMap, HashSet};

use crate::clock::Now;
use crate::config::{Source, Sources, UpstreamKind};
use crate::fhir::identifier::Identifier;
use crate::signature::{self, Rules};

/// Sources by what they are called.
#[derive(Debug)]
pub struct Registry {
    sources: Sources,
    by_identifier: HashMap<Identifier, usize>,
    by_meta_source: HashMap<String, usize>,
    /// Who passes on or assembles what is others'.
    exchanges: HashSet<Identifier>,
    /// What the signatures of each source are held to; `None` where it has no anchors.
    rules: Vec<Option<Rules>>,
    demands_signatures: bool,
}

impl Registry {
    /// The registry of these sources.
    pub fn new(sources: Sources) -> Self {
        let mut by_identifier = HashMap::new();
        let mut by_meta_source = HashMap::new();
        for (place, source) in sources.sources.iter().enumerate() {
            by_identifier.extend(source.identifiers.iter().map(|identifier| (identifier.clone(), place)));
            by_meta_source.extend(source.meta_sources.iter().map(|text| (text.clone(), place)));
        }
        let speakers = sources.sources.iter().flat_map(|source| &source.speakers);
        let is_exchange = sources.upstream.kind == UpstreamKind::Exchange;
        let upstream = sources.upstream.identifiers.iter().filter(|_| is_exchange);
        let exchanges = speakers.chain(upstream).filter(|identifier| !by_identifier.contains_key(*identifier));
        let exchanges = exchanges.cloned().collect();
        // Anchors and lists that cannot be used are found where the registry is loaded; here they would verify nothing.
        let rules = |source: &Source| {
            let anchors = signature::Trust::new(source.anchors.as_ref()?.pem()).ok()?;
            let trust = match &source.revocation_lists {
                Some(lists) => anchors.with_revocation(lists.bytes()).ok()?,
                None => anchors,
            };
            Some(Rules { dialect: source.signature_dialect, ..Rules::new(trust) })
        };
        let rules = sources.sources.iter().map(rules).collect();
        let demands_signatures = sources.sources.iter().any(|source| source.demands_signature);
        Self { sources, by_identifier, by_meta_source, exchanges, rules, demands_signatures }
    }

    /// What it was made of.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The sources with one of these identifiers: more than one, where somebody goes by the names of several.
    pub(super) fn find(&self, identifiers: &[Identifier]) -> impl Iterator<Item = usize> {
        identifiers.iter().filter_map(|identifier| self.by_identifier.get(identifier)).copied()
    }

    /// The source that this `meta.source` means.
    pub(super) fn find_meta(&self, source: &str) -> Option<usize> {
        self.by_meta_source.get(source).copied()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Source> {
        self.sources.sources.get(place)
    }

    /// What the signatures of a source are held to.
    pub(super) fn rules(&self, place: usize) -> Option<&Rules> {
        self.rules.get(place)?.as_ref()
    }

    /// Whether there is a source whose signatures could be verified.
    pub(super) fn has_anchors(&self) -> bool {
        self.rules.iter().any(Option::is_some)
    }

    /// Whether some source demands that its records are signed.
    pub(super) fn demands_signatures(&self) -> bool {
        self.demands_signatures
    }

    /// Whether somebody passes on or assembles what is others', and is no source.
    pub(super) fn is_exchange(&self, identifiers: &[Identifier]) -> bool {
        self.find(identifiers).next().is_none()
            && identifiers.iter().any(|identifier| self.exchanges.contains(identifier))
    }

    /// Whether somebody is a source or an exchange.
    pub(super) fn is_registered(&self, identifiers: &[Identifier]) -> bool {
        self.find(identifiers).next().is_some() || self.is_exchange(identifiers)
    }

    pub(super) fn upstream_is_exchange(&self) -> bool {
        self.sources.upstream.kind == UpstreamKind::Exchange
    }

    /// What the upstream's organisation is called.
    pub(super) fn upstream(&self) -> &[Identifier] {
        &self.sources.upstream.identifiers
    }
}

/// Whether two lists have an identifier in common.
pub(super) fn share(ours: &[Identifier], theirs: &[Identifier]) -> bool {
    ours.iter().any(|identifier| theirs.contains(identifier))
}

/// Whether the agreement with a source is in force.
pub(super) fn is_in_force(source: &Source, now: Now) -> bool {
    let today = now.date();
    source.valid_from <= today && source.valid_to.is_none_or(|last| today <= last)
}

/// What a gateway is told about who may answer for records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'r> {
    pub(super) registry: Option<&'r Registry>,
}

impl<'r> Trust<'r> {
    /// Nothing: the upstream is an EHR, and the source of what it holds.
    pub fn of_the_ehr() -> Self {
        Self::default()
    }

    /// What a registry says.
    pub fn by(registry: &'r Registry) -> Self {
        Self { registry: Some(registry) }
    }
}
