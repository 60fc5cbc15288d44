//! The verdict on one resource.

use std::collections::HashSet;
use std::sync::Arc;

use memchr::memmem;

use super::Bases;
use super::attribution::Attribution;
use super::closure::{ContentLinks, WithheldNames};
use super::tally::Withheld;
use crate::authorship;
use crate::decide::{Elements, Kept, TypeRule};
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::fhir::search as fhir_search;
use crate::fhir::subject::{self, Subject};
use crate::rewrite::Question;
use crate::understand::{Direction, Include, Interaction, Search, Summary};

/// How a released resource came to be in the answer (R4 `search-entry-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Match,
    Include,
}

impl Mode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Include => "include",
        }
    }
}

/// Permission for one resource to leave, and what of it.
pub(super) struct Release<'q> {
    pub(super) resource_type: ResourceType,
    pub(super) mode: Mode,
    pub(super) elements: &'q Elements,
    pub(super) asked_elements: &'q [Box<str>],
    pub(super) summary: Summary,
    pub(super) patients: Vec<Id>,
    pub(super) keep_contained: bool,
    /// Whether what is contained leaves, so that references to it lead somewhere.
    pub(super) inside: bool,
    /// Whether of something that is contained only a part leaves.
    pub(super) redacts_contained: bool,
    /// Whether an element that is kept holds nothing that redaction would take out of it.
    pub(super) verbatim: bool,
    /// Whether some reference or link in it must not leave as it is.
    pub(super) astray: bool,
    /// Who is responsible for it, where that was asked.
    pub(super) authorship: Option<authorship::Verdict>,
}

impl Release<'_> {
    /// Whether nothing is taken out of the resource by its writer.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.elements, Elements::All)
            && self.asked_elements.is_empty()
            && self.keep_contained
            && !self.redacts_contained
            && !self.astray
    }
}

pub(super) enum Verdict<'q> {
    Release(Release<'q>),
    Withhold(Withheld),
}

/// Judges the resources of one answer, one after another; remembers which matches it released.
pub(super) struct Judge<'q> {
    question: &'q Question,
    bases: Bases<'q>,
    ehr: memmem::Finder<'q>,
    released: HashSet<Reference>,
    /// Of those, the ones that left as they were, but for `id` and `meta`.
    intact: HashSet<Reference>,
    referred_to: HashSet<Reference>,
    withheld: WithheldNames,
    links: Option<&'q dyn ContentLinks>,
    attribution: Option<Arc<Attribution>>,
    /// Everything counts as answered for, to learn what is to be asked about.
    presumes: bool,
}

impl<'q> Judge<'q> {
    pub(super) fn new(question: &'q Question, bases: Bases<'q>, links: Option<&'q dyn ContentLinks>) -> Self {
        let ehr = memmem::Finder::new(bases.ehr);
        let (released, intact, referred_to) = Default::default();
        let withheld = WithheldNames::default();
        Self {
            question,
            bases,
            ehr,
            released,
            intact,
            referred_to,
            withheld,
            links,
            attribution: None,
            presumes: false,
        }
    }

    /// Judges what follows by this, where the decision asks who is responsible.
    pub(super) fn attribute(&mut self, attribution: Option<Arc<Attribution>>) {
        self.attribution = attribution;
    }

    /// Takes everything for answered for: of what is judged so, nothing leaves.
    pub(super) fn presume(&mut self) {
        self.presumes = true;
    }

    /// The verdict on who is responsible for a resource, where the decision asks for it; nobody, where nothing was gathered.
    pub(super) fn authorship(&self, resource_type: ResourceType, resource: Value<'_>) -> Option<authorship::Verdict> {
        self.question.rule(resource_type)?.authorship?;
        if self.presumes {
            return Some(authorship::Verdict::Verified);
        }
        let known = self.attribution.as_ref();
        Some(known.map_or(authorship::Verdict::Unknown, |known| known.verdict(resource)))
    }

    /// Whether somebody answers for a resource, where the decision asks for that.
    pub(super) fn check_answered(&self, resource_type: ResourceType, resource: Value<'_>) -> Result<(), Withheld> {
        match self.question.rule(resource_type) {
            Some(rule) => self.check_authorship(rule, resource_type, resource).map(drop),
            None => Err(Withheld::Type),
        }
    }

    /// Whether the decision asks who is responsible for resources of a type.
    pub(super) fn asks_authorship(&self, resource_type: ResourceType) -> bool {
        self.question.rule(resource_type).is_some_and(|rule| rule.authorship.is_some())
    }

    /// What the verdict on a resource rests on, in codes of findings.
    pub(super) fn authorship_grounds(&self, resource: Value<'_>) -> Vec<String> {
        self.attribution.as_ref().map(|known| known.grounds(resource)).unwrap_or_default()
    }

    fn check_authorship(
        &self,
        rule: &TypeRule,
        resource_type: ResourceType,
        resource: Value<'_>,
    ) -> Result<Option<authorship::Verdict>, Withheld> {
        let verdict = self.authorship(resource_type, resource);
        match rule.authorship.zip(verdict) {
            Some((accepted, verdict)) if !accepted.admit(verdict) => Err(Withheld::Authorship),
            _ => Ok(verdict),
        }
    }

    /// A judge of the same answer who knows from the beginning what this one withheld.
    pub(super) fn again(self) -> Self {
        Self { withheld: self.withheld, ..Self::new(self.question, self.bases, self.links) }
    }

    pub(super) fn withheld_names(&self) -> &WithheldNames {
        &self.withheld
    }

    pub(super) fn links(&self) -> Option<&'q dyn ContentLinks> {
        self.links
    }

    pub(super) fn bases(&self) -> Bases<'q> {
        self.bases
    }

    pub(super) fn question(&self) -> &'q Question {
        self.question
    }

    pub(super) fn ehr(&self) -> [&'q str; 1] {
        [self.bases.ehr]
    }

    /// Whether a resource may hold a URL below the EHR's base: a cheap question before a thorough one.
    pub(super) fn mentions_ehr(&self, resource: Value<'_>) -> bool {
        resource.traits().veiled || self.ehr.find(resource.raw().as_bytes()).is_some()
    }

    /// Type and id of a resource.
    pub(super) fn identity(&self, resource: Value<'_>) -> Option<Reference> {
        let resource_type = type_of(resource)?;
        let id = Id::parse(&resource.get("id")?.text()?).ok()?;
        Some(Reference { resource_type, id })
    }

    /// The verdict on a resource; a released match opens the way for what it includes.
    pub(super) fn resource(&mut self, identity: &Reference, resource: Value<'_>) -> Verdict<'q> {
        match self.verdict(identity, resource) {
            Ok(release) => {
                if release.mode == Mode::Match {
                    self.remember(identity, resource, &release);
                }
                Verdict::Release(release)
            }
            Err(reason) => {
                self.withheld.note(reason, identity);
                Verdict::Withhold(reason)
            }
        }
    }

    /// The verdict on a resource that this page does not hold: it opens no way.
    pub(super) fn aside(&mut self, identity: &Reference, resource: Value<'_>) -> Verdict<'q> {
        match self.verdict(identity, resource) {
            Ok(release) => Verdict::Release(release),
            Err(reason) => {
                self.withheld.note(reason, identity);
                Verdict::Withhold(reason)
            }
        }
    }

    fn verdict(&self, identity: &Reference, resource: Value<'_>) -> Result<Release<'q>, Withheld> {
        let resource_type = identity.resource_type;
        let rule = self.question.rule(resource_type).ok_or(Withheld::Type)?;
        let outline = self.outline(resource);
        self.check_labels(resource, outline)?;
        let owners = self.check_subject(resource_type, resource)?;
        let is_proven = owners.is_some();
        let patients = owners.unwrap_or_default();
        self.check_constraints(rule, resource)?;
        let contained = resource.get("contained");
        if self.embeds(resource, contained) {
            return Err(Withheld::Malformed);
        }
        let redacts_contained = contained.is_some_and(|contained| self.redacts_contained(contained));
        if outline.modifier_extension && (redacts_contained || !matches!(rule.elements, Elements::All)) {
            return Err(Withheld::Modifier);
        }
        let mode = match self.question.interaction() {
            Interaction::Read(_) => Mode::Match,
            Interaction::Search(search) => self.mode(search, identity, resource, is_proven)?,
            Interaction::Page(page) => self.mode(page.search(), identity, resource, is_proven)?,
        };
        let attributed = self.check_authorship(rule, resource_type, resource);
        let authorship = attributed.unwrap_or_default();
        // Whoever answers for the whole answers for what is in it; of what nobody answers for, nothing leaves.
        let answers = |inside: &TypeRule| {
            attributed.is_err()
                || inside.authorship.is_none_or(|accepted| authorship.is_some_and(|known| accepted.admit(known)))
        };
        let keep_contained = contained.is_none_or(|contained| self.permits_contained(contained, &answers));
        let inside = contained.is_some() && keep_contained && rule.elements.child("contained") == Kept::Whole;
        let shape = self.question.interaction().shape();
        let asked_elements = if mode == Mode::Match { shape.elements.as_slice() } else { &[] };
        let astray = outline.linked || self.leads_astray(resource, &patients, inside);
        let release = Release {
            resource_type,
            mode,
            elements: &rule.elements,
            asked_elements,
            summary: shape.summary,
            patients,
            keep_contained,
            inside,
            redacts_contained,
            verbatim: outline.verbatim,
            astray,
            authorship,
        };
        // Before anybody is asked who answers for it.
        self.check_signed(resource, &release)?;
        attributed.map(|_| release)
    }

    /// The patients whose record it is; `None` for a record about many parties, which may come along and is no match.
    fn check_subject(&self, resource_type: ResourceType, resource: Value<'_>) -> Result<Option<Vec<Id>>, Withheld> {
        match subject::of(resource_type, resource, &self.ehr()) {
            Subject::Patients(patients) => {
                let admitted = patients.iter().all(|patient| self.question.admits(patient));
                if admitted { Ok(Some(patients)) } else { Err(Withheld::Patient) }
            }
            Subject::NotPatientData => Ok(Some(Vec::new())),
            // About many parties: its own rule is that everything it is about was released (see `comes_along`).
            Subject::Unprovable if self.may_come_along(resource_type) => Ok(None),
            Subject::Unprovable | Subject::Unstated => Err(Withheld::Subject),
        }
    }

    fn may_come_along(&self, resource_type: ResourceType) -> bool {
        let asked = self.question.interaction().search().map(Search::includes).unwrap_or_default();
        let reverse = |include: &Include| include.direction == Direction::Reverse && include.source == resource_type;
        resource_type.as_str() == "Provenance" && asked.iter().any(reverse)
    }

    pub(super) fn check_constraints(&self, rule: &TypeRule, resource: Value<'_>) -> Result<(), Withheld> {
        let holds = rule.alternatives.is_empty()
            || rule.alternatives.iter().any(|all| all.iter().all(|criterion| criterion.matches(resource, &self.ehr())));
        if holds { Ok(()) } else { Err(Withheld::Constraint) }
    }

    fn mode(
        &self,
        search: &Search,
        identity: &Reference,
        resource: Value<'_>,
        is_proven: bool,
    ) -> Result<Mode, Withheld> {
        let of_type = is_proven && identity.resource_type == search.resource_type();
        if of_type && search.criteria().iter().all(|criterion| criterion.matches(resource, &self.ehr())) {
            return Ok(Mode::Match);
        }
        if search.includes().iter().any(|include| self.comes_along(include, identity, resource)) {
            return Ok(Mode::Include);
        }
        Err(if of_type { Withheld::Query } else { Withheld::Include })
    }

    fn comes_along(&self, include: &Include, identity: &Reference, resource: Value<'_>) -> bool {
        match include.direction {
            Direction::Forward => {
                let fits = include.target.is_none_or(|target| target == identity.resource_type);
                fits && self.referred_to.contains(identity)
            }
            Direction::Reverse => {
                if include.source != identity.resource_type {
                    return false;
                }
                let mut references = Vec::new();
                self.references(include, resource, &mut |reference| references.push(reference));
                let about_all = identity.resource_type.as_str() != "Provenance" || self.is_about_released(resource);
                about_all && references.iter().any(|reference| self.released.contains(reference))
            }
        }
    }

    /// Whether every target of a Provenance was released, whatever parameter brought it along.
    fn is_about_released(&self, provenance: Value<'_>) -> bool {
        let targets = provenance.get("target").into_iter().flat_map(Value::each);
        let mut targets = targets.map(|target| target.get("reference").and_then(Value::text)).peekable();
        let released = |text: std::borrow::Cow<'_, str>| {
            Reference::parse(&text, &self.ehr()).is_some_and(|target| self.released.contains(&target))
        };
        targets.peek().is_some() && targets.all(|target| target.is_some_and(released))
    }

    /// Visits the references at an include's parameter that can be read.
    fn references(&self, include: &Include, resource: Value<'_>, visit: &mut dyn FnMut(Reference)) {
        let Some(definition) = fhir_search::lookup(include.source, &include.parameter) else { return };
        for path in &definition.paths {
            path.any(resource, &mut |value| {
                let text = value.get("reference").and_then(Value::text);
                if let Some(reference) = text.and_then(|text| Reference::parse(&text, &self.ehr())) {
                    visit(reference);
                }
                false
            });
        }
    }

    /// Whether a match was released as it was, but for its `id` and `meta`.
    pub(super) fn left_intact(&self, match_of_page: &Reference) -> bool {
        self.intact.contains(match_of_page)
    }

    fn remember(&mut self, identity: &Reference, resource: Value<'_>, release: &Release<'_>) {
        let Some(search) = self.question.interaction().search() else { return };
        if search.includes().is_empty() {
            return;
        }
        let mut found = Vec::new();
        for include in search.includes().iter().filter(|include| include.direction == Direction::Forward) {
            if include.source == identity.resource_type {
                self.references(include, resource, &mut |reference| found.push(reference));
            }
        }
        self.referred_to.extend(found);
        self.released.insert(identity.clone());
        if self.is_intact(resource, release) {
            self.intact.insert(identity.clone());
        } else {
            self.intact.remove(identity);
        }
    }

    /// Whether a resource holds another where R4 has none: what is there has an owner and labels that nobody asks for.
    fn embeds(&self, resource: Value<'_>, contained: Option<Value<'_>>) -> bool {
        let own = 1 + contained.map_or(0, |contained| contained.each().count());
        let is_resource = |(name, _): &(Option<&str>, Value<'_>)| *name == Some("resourceType");
        resource.traits().resources as usize > own && resource.below().filter(is_resource).count() > own
    }

    /// Contained resources are resources: each must be permitted on its own, or none of them leaves.
    fn permits_contained(&self, contained: Value<'_>, answers: &dyn Fn(&TypeRule) -> bool) -> bool {
        contained.each().all(|resource| {
            let Some(resource_type) = type_of(resource) else { return false };
            let Some(rule) = self.question.rule(resource_type) else { return false };
            let owned = match subject::of(resource_type, resource, &self.ehr()) {
                // The id of what is contained is its own affair, and proves nothing.
                Subject::Patients(_) if subject::is_by_id(resource_type) => false,
                Subject::Patients(patients) => patients.iter().all(|patient| self.question.admits(patient)),
                Subject::NotPatientData | Subject::Unstated => true,
                Subject::Unprovable => false,
            };
            owned && answers(rule) && self.check_constraints(rule, resource).is_ok()
        })
    }

    /// Whether of some contained resource only a part may leave.
    fn redacts_contained(&self, contained: Value<'_>) -> bool {
        let mut elements = contained.each().filter_map(|resource| self.contained_elements(resource));
        elements.any(|(_, elements)| !matches!(elements, Elements::All))
    }

    /// The type of a contained resource, and its elements that may leave.
    pub(super) fn contained_elements(&self, resource: Value<'_>) -> Option<(ResourceType, &'q Elements)> {
        let resource_type = type_of(resource)?;
        self.question.rule(resource_type).map(|rule| (resource_type, &rule.elements))
    }
}

fn type_of(resource: Value<'_>) -> Option<ResourceType> {
    if resource.kind() != Kind::Object {
        return None;
    }
    ResourceType::parse(&resource.get("resourceType")?.text()?).ok()
}
