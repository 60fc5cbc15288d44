//! What is known beside a record: Provenance, people and organisations, originals, contents and signatures.
//!
//! Takes: resources, one by one. Gives: [`Gathered`], which tells what is still wanted, and of it [`Evidence`], in which each
//! Provenance is read and resolved once, however many records it is about. Guarantees: nothing of it borrows from what was
//! added, so that it may be kept; what cannot be read is kept as a fact about its targets. Refuses: nothing.

use std::collections::HashSet;

use aws_lc_rs::digest;

use super::document::Content;
use super::elements::is_attributable;
use super::names::{Index, Name, own};
use super::party::{Class, Link, Party};
use super::provenance::{self, Provenance};
use super::record::{Own, Record};
use super::signature::Outcome;
use super::statement::{Statement, Who};
use crate::fhir::date::Span;
use crate::fhir::identifier::Identifier;
use crate::fhir::json::Value;
use crate::fhir::name::ResourceType;

/// All that is known of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) party: Option<Party>,
    /// Two descriptions that are not the same came under this name, so that none of them counts.
    pub(super) is_ambiguous: bool,
    pub(super) about: Vec<About>,
    /// Of a Provenance: itself.
    pub(super) itself: Option<About>,
    pub(super) original: Option<Box<Own>>,
    pub(super) content: Option<Box<Content>>,
    pub(super) signatures: Vec<Outcome>,
}

impl Held {
    /// The one description of somebody.
    pub(super) fn description(&self) -> Option<&Party> {
        self.party.as_ref().filter(|_| !self.is_ambiguous)
    }
}

/// A Provenance that has this name among its targets.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its place, or that it cannot be read.
    pub(super) told: Option<usize>,
    pub(super) version: Option<Box<str>>,
}

/// A Provenance and whom its references lead to.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) name: Option<Name>,
    pub(super) authors: Statement,
    pub(super) transmitters: Vec<Who>,
    pub(super) sources: Vec<Source>,
    pub(super) occurred: Option<Span>,
    pub(super) recorded: jiff::Timestamp,
    /// The text of its `signature`.
    pub(super) signature: Option<Box<str>>,
    /// How many `target`s it states.
    pub(super) targets: usize,
}

/// What the target of a Provenance was made of.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) what: Option<Name>,
    pub(super) agents: Statement,
}

/// Evidence that is being gathered.
#[derive(Debug, Default)]
pub struct Gathered {
    index: Index,
    held: Vec<Held>,
    provenances: Vec<(Option<Name>, Provenance)>,
    /// The texts of Provenance that were added: one that comes along and is found by a look-up as well is one.
    read: HashSet<TextDigest>,
}

impl Gathered {
    /// Nothing yet, from an EHR whose resources have these absolute base URLs.
    pub fn new(bases: &[&str]) -> Self {
        Self { index: Index::new(bases), ..Self::default() }
    }

    /// Has references to this `fullUrl` mean the resource of this type and id. To be called for all entries of a Bundle
    /// before any is added.
    pub fn alias(&mut self, full_url: &str, resource: Value<'_>) {
        let text = |name: &str| resource.get(name).and_then(Value::text);
        if let (Some(resource_type), Some(id)) = (text("resourceType"), text("id")) {
            self.index.alias(full_url, &own(&resource_type, &id));
        }
    }

    /// Adds a Provenance, person, role, organisation or device; tells whether it was one.
    pub fn add(&mut self, resource: Value<'_>) -> bool {
        let text = |name: &str| resource.get(name).and_then(Value::text);
        let Some(resource_type) = text("resourceType") else { return false };
        let reference = text("id").map(|id| own(&resource_type, &id));
        if resource_type == "Provenance" {
            let name = reference.map(|reference| self.index.intern(&reference).0);
            self.add_provenance(name, resource);
            return true;
        }
        let Some(reference) = reference else { return false };
        let Some(party) = Party::read(resource, &mut self.index) else { return false };
        self.note(&reference, |held| {
            held.is_ambiguous |= held.party.as_ref().is_some_and(|other| *other != party);
            held.party.get_or_insert(party);
        });
        true
    }

    /// Adds a record that others may have been made of; what nobody authors is none.
    pub fn add_original(&mut self, resource: Value<'_>) {
        let text = |name: &str| resource.get(name).and_then(Value::text);
        let Some(Ok(read)) = text("resourceType").map(|stated| ResourceType::parse(&stated)) else { return };
        if let Some(id) = text("id").filter(|_| is_attributable(read)) {
            let (own_elements, resource_type) = (Own::read(resource, read, &mut self.index), read.as_str());
            self.note(&own(resource_type, &id), |held| held.original = Some(Box::new(own_elements)));
        }
    }

    /// Adds the bytes that an attachment's `url` leads to.
    pub fn add_content(&mut self, url: &str, bytes: &[u8]) {
        self.note(url, |held| held.content = Some(Box::new(Content::read(bytes))));
    }

    /// Adds the same where they stand in base64, as in a Binary; what is no base64 leads to nothing.
    pub fn add_base64_content(&mut self, url: &str, data: &str) {
        let content = Content::read_base64(data).map(Box::new);
        self.note(url, |held| held.content = content);
    }

    /// Adds what became of a signature on the resource of this literal reference: a record, or the Provenance of one. Whoever
    /// checked it answers for there being no other record of that name; [`super::Verifier`] needs nobody to.
    pub fn add_signature(&mut self, reference: &str, outcome: Outcome) {
        self.note(reference, |held| held.signatures.push(outcome));
    }

    /// `Type/id` of what others were made of and is not here as an original.
    pub fn originals(&self) -> Vec<&str> {
        let sources = self.provenances.iter().flat_map(|(_, provenance)| &provenance.sources);
        let mut names: Vec<Name> = sources.filter_map(|source| source.what).collect();
        names.sort_unstable();
        names.dedup();
        let here = |name: &Name| self.held.get(name.0 as usize).is_some_and(|held| held.original.is_some());
        names.into_iter().filter(|name| !here(name)).filter_map(|name| self.index.resource(name)).collect()
    }

    /// `Type/id` of people and organisations that are spoken of and not here, by originals as well, and of originals: what may
    /// be asked for next.
    pub fn wanted(&self) -> Vec<&str> {
        let mut names: Vec<Name> = Vec::new();
        let mut link = |link: &Link| match link {
            Link::Held { name, .. } => names.push(*name),
            Link::Stated(party) => {
                let further = [&party.practitioner, &party.organization].into_iter().flatten();
                names.extend(
                    further.filter_map(|link| if let Link::Held { name, .. } = link { Some(*name) } else { None }),
                );
            }
            Link::Absent(_) | Link::Broken => {}
        };
        for held in &self.held {
            let party = held.party.as_ref();
            party
                .into_iter()
                .flat_map(|party| [&party.practitioner, &party.organization])
                .flatten()
                .for_each(&mut link);
            let original = held.original.iter().flat_map(|own| own.authors.iter().chain(&own.custodians));
            original.for_each(&mut link);
        }
        for (_, provenance) in &self.provenances {
            let agents = provenance.sources.iter().flat_map(|source| &source.agents).chain(&provenance.agents);
            agents.flat_map(|agent| agent.on_behalf_of.iter().chain([&agent.who])).for_each(&mut link);
        }
        let originals = self.provenances.iter().flat_map(|(_, provenance)| &provenance.sources);
        names.extend(originals.filter_map(|source| source.what));
        names.sort_unstable();
        names.dedup();
        let here = |name: &Name| {
            let held = self.held.get(name.0 as usize);
            held.is_some_and(|held| held.party.is_some() || held.original.is_some())
        };
        names.into_iter().filter(|name| !here(name)).filter_map(|name| self.index.resource(name)).collect()
    }

    /// All of it, with every Provenance resolved.
    pub fn finish(mut self) -> Evidence {
        self.held.resize_with(self.index.len().max(self.held.len()), Held::default);
        let told = |(name, provenance): (Option<Name>, Provenance)| {
            let mut authors = Statement::default();
            for agent in provenance.agents.iter().filter(|agent| agent.acts.authored) {
                authors.add_author(&agent.who, &self.held);
                agent.on_behalf_of.iter().for_each(|link| authors.add_organisation(link, &self.held));
            }
            let mut transmitters = Vec::new();
            for agent in provenance.agents.iter().filter(|agent| agent.acts.transmitted) {
                let mut one = Statement::default();
                one.add_author(&agent.who, &self.held);
                authors.is_broken |= one.is_broken;
                authors.is_ambiguous |= one.is_ambiguous;
                transmitters.push(one.organisations.pop().or(one.persons.pop()).unwrap_or(Who::Absent(Class::Other)));
            }
            let source = |source: &provenance::Source| {
                let mut agents = Statement::default();
                for agent in &source.agents {
                    agents.add_author(&agent.who, &self.held);
                    agent.on_behalf_of.iter().for_each(|link| agents.add_organisation(link, &self.held));
                }
                Source { what: source.what, agents }
            };
            let Provenance { occurred, recorded, signature, targets, .. } = provenance;
            let sources = provenance.sources.iter().map(source).collect();
            Told { name, authors, transmitters, sources, occurred, recorded, signature, targets }
        };
        let told = std::mem::take(&mut self.provenances).into_iter().map(told).collect();
        Evidence { index: self.index, held: self.held, told, checked: Vec::new() }
    }

    fn add_provenance(&mut self, name: Option<Name>, resource: Value<'_>) {
        if !self.read.insert(TextDigest::of(resource)) {
            return;
        }
        let (targets, complete) = provenance::targets(resource, &mut self.index);
        let read = Provenance::read(resource, &mut self.index).ok().filter(|_| complete);
        let told = read.map(|provenance| {
            self.provenances.push((name, provenance));
            self.provenances.len() - 1
        });
        self.held.resize_with(self.index.len().max(self.held.len()), Held::default);
        if let Some(held) = name.and_then(|name| self.held.get_mut(name.0 as usize)) {
            // Two that go by one name are none that could be told apart.
            let told = told.filter(|_| held.itself.is_none());
            held.itself = Some(About { told, version: None });
        }
        for target in targets {
            let Some(held) = self.held.get_mut(target.name.0 as usize) else { continue };
            held.about.push(About { told, version: target.version });
        }
    }

    fn note(&mut self, reference: &str, note: impl FnOnce(&mut Held)) {
        let place = self.index.intern(reference).0.0 as usize;
        self.held.resize_with(self.index.len().max(self.held.len()), Held::default);
        if let Some(held) = self.held.get_mut(place) {
            note(held);
        }
    }
}

/// All that is known beside the records.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub(super) index: Index,
    pub(super) held: Vec<Held>,
    pub(super) told: Vec<Told>,
    /// What became of signatures, each with the text that it was held against.
    pub(super) checked: Vec<Checked>,
}

/// A signature that was verified here.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) of: TextDigest,
    /// The place of the Provenance that carries it; `None` where it is the record's own, or that of the answer it came in.
    pub(super) told: Option<usize>,
    pub(super) outcome: Outcome,
}

/// SHA-256 of the text of a resource: two that go by one name are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TextDigest([u8; 32]);

impl TextDigest {
    pub(super) fn of(resource: Value<'_>) -> Self {
        let mut digest = [0; 32];
        let full = digest::digest(&digest::SHA256, resource.raw().as_bytes());
        digest.iter_mut().zip(full.as_ref()).for_each(|(to, from)| *to = *from);
        Self(digest)
    }
}

impl Evidence {
    /// The same, and the bytes that an attachment's `url` leads to.
    #[must_use]
    pub fn with_content(&self, url: &str, bytes: &[u8]) -> Self {
        let mut more = self.clone();
        let place = more.index.intern(url).0.0 as usize;
        more.held.resize_with(more.index.len().max(more.held.len()), Held::default);
        if let Some(held) = more.held.get_mut(place) {
            held.content = Some(Box::new(Content::read(bytes)));
        }
        more
    }

    /// What is known of a name.
    pub(super) fn held(&self, name: Name) -> Option<&Held> {
        self.held.get(name.0 as usize)
    }

    /// What is known of a record; nothing where it has no id.
    pub(super) fn of(&self, record: &Record<'_>) -> Option<&Held> {
        let reference = record.reference()?;
        self.held(self.index.get(reference).0?)
    }

    /// The identifiers of somebody.
    pub(super) fn identifiers<'e>(&'e self, who: &'e Who) -> &'e [Identifier] {
        who.party(&self.held).map_or(&[], |party| &party.identifiers)
    }
}
