//! What is to be seen of a record, before anybody is asked whom to trust.
//!
//! Takes: a record and the evidence beside it. Gives: [`Seen`], its statements, and findings about them: readable, bound to the
//! version, in agreement, plausible in time, attachments as stated, authors found. Guarantees: each statement is held against
//! the record's own elements by itself, so that no other one can heal what it says. Refuses: a Provenance of another version.

use jiff::Timestamp;

use super::document::{Content, DocumentError, Header};
use super::elements::{Elements, Says};
use super::evidence::Told;
use super::finding::{Answer, Code};
use super::judge::Case;
use super::party::Link;
use super::record::Own;
use super::statement::{Statement, Who, compare};
use crate::fhir::date::Span;
use crate::fhir::json::Value;
use crate::limits;

/// Whom a record, its documents and its Provenance name.
pub(super) struct Seen<'a> {
    /// The authors by the record's own elements.
    pub(super) own: Statement,
    /// Organisations that keep the record.
    pub(super) keepers: Statement,
    /// The authors by the headers of its documents.
    pub(super) document: Statement,
    /// The Provenance that counts.
    pub(super) told: Vec<&'a Told>,
    /// `meta.source`
    pub(super) meta_source: Option<Box<str>>,
}

/// Looks at a record.
pub(super) fn look<'a>(case: &mut Case<'a, '_>) -> Seen<'a> {
    let held = &case.evidence.held;
    let links = Own::read(case.record.resource, case.record.resource_type, &mut &case.evidence.index);
    let (mut own, mut keepers) = (Statement::default(), Statement::default());
    links.authors.iter().for_each(|link| own.add_author(link, held));
    links.custodians.iter().for_each(|link| keepers.add_organisation(link, held));
    let told = case.told(&own);
    let document = case.contents(&own, &mut keepers);
    case.authors(&own, &told, &document, &keepers);
    Seen { own, keepers, document, told, meta_source: links.source }
}

impl<'a> Case<'a, '_> {
    /// The Provenance that counts: about this version, or about none in particular.
    fn told(&mut self, own: &Statement) -> Vec<&'a Told> {
        let Some(held) = self.held else { return Vec::new() };
        let version = self.record.version();
        let mut all: Vec<&Told> = Vec::new();
        let mut bound = None;
        // A Provenance is what its own agents say; whatever is about it counts as well.
        if let Some(itself) = &held.itself {
            let told = itself.told.and_then(|place| self.evidence.told.get(place));
            self.findings.note(Code::ProvenanceReadable, if told.is_some() { Answer::Match } else { Answer::Mismatch });
            all.extend(told);
        }
        for about in held.about.iter().take(limits::PROVENANCES_PER_RECORD) {
            let answer = match (about.version.as_deref(), version.as_deref()) {
                (None, _) => Answer::CannotTell,
                (Some(of), Some(version)) if of == version => Answer::Match,
                (Some(_), Some(_)) => Answer::Mismatch,
                // A version is stated, and which one this is cannot be told: it may be another.
                (Some(_), None) => {
                    bound.get_or_insert(Answer::CannotTell);
                    continue;
                }
            };
            bound = match (bound, answer) {
                (Some(Answer::Match), _) | (_, Answer::Match) => Some(Answer::Match),
                (Some(Answer::CannotTell), _) | (_, Answer::CannotTell) => Some(Answer::CannotTell),
                _ => Some(Answer::Mismatch),
            };
            if answer == Answer::Mismatch {
                continue;
            }
            let told = about.told.and_then(|place| self.evidence.told.get(place));
            self.findings.note(Code::ProvenanceReadable, if told.is_some() { Answer::Match } else { Answer::Mismatch });
            all.extend(told);
        }
        if held.about.len() > limits::PROVENANCES_PER_RECORD {
            self.findings.note(Code::ProvenanceReadable, Answer::Mismatch);
        }
        if let Some(bound) = bound {
            self.findings.note(Code::VersionBound, bound);
        }
        for told in all.iter().filter(|told| !told.authors.is_empty()) {
            self.agreement(own, told);
            self.times(told);
        }
        all
    }

    /// Whether a Provenance says the same as the record.
    fn agreement(&mut self, own: &Statement, told: &Told) {
        if let Some(answer) = compare(&own.persons, &told.authors.persons, &self.evidence.held) {
            self.findings.note(Code::AuthorAgrees, answer);
        }
        // An exchange that made a record of another's names itself, and leaves whose it was in the record.
        let registry = self.trust.registry;
        let is_exchange =
            |who: &Who| registry.is_some_and(|registry| registry.is_exchange(self.evidence.identifiers(who)));
        let bodies: Vec<Who> = told.authors.bodies.iter().filter(|who| !is_exchange(who)).cloned().collect();
        if let Some(answer) = compare(&own.bodies, &bodies, &self.evidence.held) {
            self.findings.note(Code::OrganisationAgrees, answer);
        }
        let Some(occurred) = told.occurred else { return };
        let mut answer = None;
        Elements::of(self.record.resource_type).each(self.record.resource, Says::Created, &mut |value| {
            let created = value.text().and_then(|text| Span::parse(&text));
            let near = created.map_or(Answer::CannotTell, |created| near(created, occurred));
            answer = Some(match answer {
                Some(Answer::Match) => Answer::Match,
                _ => near,
            });
        });
        if let Some(answer) = answer {
            self.findings.note(Code::CreationAgrees, answer);
        }
    }

    /// Whether the times of a Provenance can be. `meta.lastUpdated` is no measure of them: what is attested, amended or passed on
    /// is so after the record was last written, and a server that makes Provenance when it is asked records it then.
    fn times(&mut self, told: &Told) {
        let latest = |than: Timestamp| than.as_second().saturating_add(limits::PROVENANCE_SKEW_SECONDS);
        let begun = told.occurred.and_then(|occurred| occurred.start);
        let recorded = told.recorded.as_second();
        let mut plausible = recorded <= latest(self.now.timestamp());
        plausible &= begun.is_none_or(|begun| begun.as_second() <= latest(told.recorded));
        self.findings.note(Code::TimesPlausible, if plausible { Answer::Match } else { Answer::Mismatch });
    }

    /// Holds attachments to what is stated of them, and reads who wrote them.
    fn contents(&mut self, own: &Statement, keepers: &mut Statement) -> Statement {
        let mut document = Statement::default();
        for attachment in self.record.attachments() {
            let text = |name: &str| attachment.get(name).and_then(Value::text);
            let inline = text("data").map(|data| Content::read_base64(&data));
            if matches!(inline, Some(None)) {
                self.findings.note(Code::DocumentReadable, Answer::Mismatch);
            }
            let name = text("url").and_then(|url| self.evidence.index.get(&url).0);
            let linked = name.and_then(|name| self.evidence.held(name)).and_then(|held| held.content.as_deref());
            let (hash, size) = (text("hash"), attachment.get("size").map(|stated| stated.raw().parse::<usize>().ok()));
            let is_document = text("contentType").is_some_and(|stated| stated.to_ascii_lowercase().contains("xml"));
            // R4: where there are both, they are the same content.
            let contents: Vec<&Content> = inline.iter().flatten().chain(linked).collect();
            let mut hold = |code, stated: bool, holds: &dyn Fn(&Content) -> bool| {
                if stated && contents.is_empty() {
                    self.findings.note(code, Answer::CannotTell);
                }
                for content in contents.iter().filter(|_| stated) {
                    self.findings.note(code, if holds(content) { Answer::Match } else { Answer::Mismatch });
                }
            };
            hold(Code::AttachmentHash, hash.is_some(), &|content| hash.as_deref() == Some(&content.hash));
            hold(Code::AttachmentSize, size.is_some(), &|content| size.flatten() == Some(content.size));
            for content in contents {
                match &content.header {
                    Some(Ok(header)) => self.header(own, header, &mut document, keepers),
                    Some(Err(DocumentError::Other)) => {}
                    Some(Err(_)) => self.findings.note(Code::DocumentReadable, Answer::Mismatch),
                    None if is_document => self.findings.note(Code::DocumentReadable, Answer::Mismatch),
                    None => {}
                }
            }
        }
        document
    }

    fn header(&mut self, own: &Statement, header: &Header, document: &mut Statement, keepers: &mut Statement) {
        self.findings.note(Code::DocumentReadable, Answer::Match);
        let mut stated = Statement::default();
        for party in header.authors.iter().chain(&header.authenticator) {
            stated.add_author(&Link::Stated(Box::new(party.clone())), &self.evidence.held);
        }
        if let Some(answer) = compare(&own.persons, &stated.persons, &self.evidence.held) {
            self.findings.note(Code::DocumentAgrees, answer);
        }
        if let Some(party) = &header.custodian {
            keepers.add_organisation(&Link::Stated(Box::new(party.clone())), &self.evidence.held);
        }
        document.persons.append(&mut stated.persons);
        document.bodies.append(&mut stated.bodies);
        document.organisations.append(&mut stated.organisations);
    }

    /// What can be said of those who are named.
    fn authors(&mut self, own: &Statement, told: &[&Told], document: &Statement, keepers: &Statement) {
        let held = &self.evidence.held;
        let statements = || [own, document].into_iter().chain(told.iter().map(|told| &told.authors));
        let persons = || statements().flat_map(|statement| statement.persons.iter().chain(&statement.bodies));
        let organisations =
            || statements().flat_map(|statement| &statement.organisations).chain(&keepers.organisations);
        let parties = || persons().chain(organisations()).filter_map(|who| who.party(held));
        let findings = &mut self.findings;
        findings.note_if(Code::AuthorStated, persons().next().is_some());
        findings.note_if(Code::AuthorResolvable, persons().any(|who| who.party(held).is_some()));
        if keepers.is_broken || statements().any(|statement| statement.is_broken) {
            findings.note(Code::AuthorResolvable, Answer::Mismatch);
        }
        if keepers.is_ambiguous || statements().any(|statement| statement.is_ambiguous) {
            findings.note(Code::AuthorUnambiguous, Answer::Mismatch);
        }
        findings.note_if(Code::IdentifierWellFormed, parties().any(|party| !party.identifiers.is_empty()));
        if parties().any(|party| party.is_misidentified) {
            findings.note(Code::IdentifierWellFormed, Answer::Mismatch);
        }
        findings.note_if(Code::OrganisationNamed, organisations().any(|who| who.party(held).is_some()));
    }
}

/// Whether two times can be the same, dates without a time zone taken in any.
fn near(created: Span, occurred: Span) -> Answer {
    let apart = |end: Option<Timestamp>, start: Option<Timestamp>| {
        let gap = end.zip(start).map(|(end, start)| start.as_second().saturating_sub(end.as_second()));
        gap.is_some_and(|gap| gap > limits::PROVENANCE_CREATION_SECONDS)
    };
    if apart(created.end, occurred.start) || apart(occurred.end, created.start) {
        Answer::Mismatch
    } else {
        Answer::Match
    }
}
