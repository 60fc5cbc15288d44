//! The verdict on one resource.

use std::collections::HashSet;

use memchr::memmem;

use super::Bases;
use super::tally::Withheld;
use crate::decide::{Elements, TypeRule};
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::fhir::search as fhir_search;
use crate::fhir::subject::{self, Subject};
use crate::rewrite::Question;
use crate::understand::{Direction, Include, Interaction, Search};

/// Inline labels (DS4P 1.0.0), on any element.
const INLINE_LABEL: &str = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";

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
    pub(super) patients: Vec<Id>,
    pub(super) keep_contained: bool,
    /// Whether an element that is kept holds nothing that redaction would take out of it.
    pub(super) verbatim: bool,
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
    referred_to: HashSet<Reference>,
}

impl<'q> Judge<'q> {
    pub(super) fn new(question: &'q Question, bases: Bases<'q>) -> Self {
        let ehr = memmem::Finder::new(bases.ehr);
        Self { question, bases, ehr, released: HashSet::new(), referred_to: HashSet::new() }
    }

    pub(super) fn bases(&self) -> Bases<'q> {
        self.bases
    }

    pub(super) fn question(&self) -> &'q Question {
        self.question
    }

    fn ehr(&self) -> [&'q str; 1] {
        [self.bases.ehr]
    }

    /// Whether a resource may hold a URL below the EHR's base: a cheap question before a thorough one.
    pub(super) fn mentions_ehr(&self, resource: Value<'_>) -> bool {
        resource.is_veiled() || self.ehr.find(resource.raw().as_bytes()).is_some()
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
                    self.remember(identity, resource);
                }
                Verdict::Release(release)
            }
            Err(reason) => Verdict::Withhold(reason),
        }
    }

    fn verdict(&self, identity: &Reference, resource: Value<'_>) -> Result<Release<'q>, Withheld> {
        let resource_type = identity.resource_type;
        let rule = self.question.rule(resource_type).ok_or(Withheld::Type)?;
        let outline = Outline::of(resource);
        self.check_labels(resource, outline)?;
        let patients = self.check_subject(resource_type, resource)?;
        self.check_constraints(rule, resource)?;
        if outline.modifier_extension && !matches!(rule.elements, Elements::All) {
            return Err(Withheld::Modifier);
        }
        let mode = match self.question.interaction() {
            Interaction::Read(_) => Mode::Match,
            Interaction::Search(search) => self.mode(search, identity, resource)?,
            Interaction::Page(page) => self.mode(page.search(), identity, resource)?,
        };
        let keep_contained = resource.get("contained").is_none_or(|contained| self.permits_contained(contained));
        let shape = self.question.interaction().shape();
        let asked_elements = if mode == Mode::Match { shape.elements.as_slice() } else { &[] };
        let (elements, verbatim) = (&rule.elements, outline.verbatim);
        Ok(Release { resource_type, mode, elements, asked_elements, patients, keep_contained, verbatim })
    }

    fn check_labels(&self, resource: Value<'_>, outline: Outline) -> Result<(), Withheld> {
        let own = resource.get("meta").and_then(|meta| meta.get("security"));
        let withheld = own.is_some_and(|labels| labels.each().any(|label| self.withholds(label)));
        if withheld || (outline.inline_label && self.has_inline_label(resource)) {
            return Err(Withheld::Label);
        }
        Ok(())
    }

    pub(super) fn withholds(&self, label: Value<'_>) -> bool {
        let member = |name: &str| label.get(name).and_then(Value::text).unwrap_or_default();
        self.question.permit().obligations().withholds_label(&member("system"), &member("code"))
    }

    /// Whether any element below carries an inline label that is withheld.
    fn has_inline_label(&self, value: Value<'_>) -> bool {
        let mut found = false;
        self.inline_labels(value, &mut |label| found |= self.withholds(label));
        found
    }

    /// Visits the inline labels of all elements below.
    pub(super) fn inline_labels<'v>(&self, value: Value<'v>, visit: &mut dyn FnMut(Value<'v>)) {
        if value.get("url").and_then(Value::text).is_some_and(|url| url == INLINE_LABEL) {
            value.members().filter(|member| member.name.starts_with("value")).for_each(|member| visit(member.value));
        }
        value.members().for_each(|member| self.inline_labels(member.value, visit));
        value.items().for_each(|item| self.inline_labels(item, visit));
    }

    fn check_subject(&self, resource_type: ResourceType, resource: Value<'_>) -> Result<Vec<Id>, Withheld> {
        match subject::of(resource_type, resource, &self.ehr()) {
            Subject::Patients(patients) => {
                let admitted = patients.iter().all(|patient| self.question.admits(patient));
                if admitted { Ok(patients) } else { Err(Withheld::Patient) }
            }
            Subject::NotPatientData => Ok(Vec::new()),
            // About many parties: its own rule is that everything it is about was released (see `comes_along`).
            Subject::Unprovable if self.may_come_along(resource_type) => Ok(Vec::new()),
            Subject::Unprovable | Subject::Unstated => Err(Withheld::Subject),
        }
    }

    fn may_come_along(&self, resource_type: ResourceType) -> bool {
        let asked = self.question.interaction().search().map(Search::includes).unwrap_or_default();
        let reverse = |include: &Include| include.direction == Direction::Reverse && include.source == resource_type;
        resource_type.as_str() == "Provenance" && asked.iter().any(reverse)
    }

    fn check_constraints(&self, rule: &TypeRule, resource: Value<'_>) -> Result<(), Withheld> {
        let holds = rule.alternatives.is_empty()
            || rule.alternatives.iter().any(|all| all.iter().all(|criterion| criterion.matches(resource, &self.ehr())));
        if holds { Ok(()) } else { Err(Withheld::Constraint) }
    }

    fn mode(&self, search: &Search, identity: &Reference, resource: Value<'_>) -> Result<Mode, Withheld> {
        let of_type = identity.resource_type == search.resource_type();
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
                let mut references = Vec::new();
                let all_known = include.source == identity.resource_type
                    && self.references(include, resource, &mut |reference| references.push(reference));
                let known = |reference: &Reference| self.released.contains(reference);
                let about_all =
                    identity.resource_type.as_str() != "Provenance" || (all_known && references.iter().all(known));
                about_all && include.source == identity.resource_type && references.iter().any(known)
            }
        }
    }

    /// Visits the references at an include's parameter; tells whether every one of them could be read.
    fn references(&self, include: &Include, resource: Value<'_>, visit: &mut dyn FnMut(Reference)) -> bool {
        let Some(definition) = fhir_search::lookup(include.source, &include.parameter) else { return false };
        let mut readable = true;
        for path in &definition.paths {
            path.any(resource, &mut |value| {
                let text = value.get("reference").and_then(Value::text);
                match text.and_then(|text| Reference::parse(&text, &self.ehr())) {
                    Some(reference) => visit(reference),
                    None => readable = false,
                }
                false
            });
        }
        readable
    }

    fn remember(&mut self, identity: &Reference, resource: Value<'_>) {
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
    }

    /// Contained resources are resources: each must be permitted on its own, or none of them leaves.
    fn permits_contained(&self, contained: Value<'_>) -> bool {
        contained.each().all(|resource| {
            let Some(resource_type) = type_of(resource) else { return false };
            let Some(rule) = self.question.rule(resource_type) else { return false };
            let owned = match subject::of(resource_type, resource, &self.ehr()) {
                Subject::Patients(patients) => patients.iter().all(|patient| self.question.admits(patient)),
                Subject::NotPatientData | Subject::Unstated => true,
                Subject::Unprovable => false,
            };
            let plain = resource.get("contained").is_none();
            let unlabelled = self.check_labels(resource, Outline::of(resource)).is_ok();
            owned && plain && unlabelled && self.check_constraints(rule, resource).is_ok()
        })
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

/// What one look over everything in a resource tells.
#[derive(Clone, Copy)]
struct Outline {
    /// Some element has a modifier extension.
    modifier_extension: bool,
    /// Some extension has the URL of an inline label.
    inline_label: bool,
    /// There are no extensions, none of primitives, nothing that is null or empty.
    verbatim: bool,
}

impl Outline {
    fn of(resource: Value<'_>) -> Self {
        let mut outline = Self { modifier_extension: false, inline_label: false, verbatim: true };
        for (name, value) in resource.below() {
            match name {
                Some("modifierExtension") => outline.modifier_extension = true,
                Some("extension") => outline.verbatim = false,
                Some("url") => outline.inline_label |= value.text().is_some_and(|url| url == INLINE_LABEL),
                Some(name) if name.starts_with('_') => outline.verbatim = false,
                _ => {}
            }
            outline.verbatim &= value.kind() != Kind::Null && !value.is_empty();
        }
        outline
    }
}
