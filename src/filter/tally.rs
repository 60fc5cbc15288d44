//! What became of the resources of one answer: counts and ids, never content.

use std::collections::{BTreeMap, BTreeSet};

use super::Attribution;
use crate::authorship::Verdict;
use crate::fhir::name::{Id, ResourceType};

/// Why a resource is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// Nobody is known to answer for it whom the decision accepts.
    Authorship,
    /// Holds a code that means a label which the decision withholds: the gateway's own label, by its sensitivity lists.
    Computed,
    /// Outside the constraints of the decision.
    Constraint,
    /// Comes along with nothing that is released, or was not asked for.
    Include,
    /// Carries a security label that the decision withholds.
    Label,
    /// Not a resource with a type and an id, or one with another in it where R4 has none.
    Malformed,
    /// Holds a modifier extension, whose removal would change the meaning of the rest.
    Modifier,
    /// Belongs to a patient who is not permitted or was not asked for.
    Patient,
    /// Does not match what the client itself asked.
    Query,
    /// Is signed, and could not leave as it was signed.
    Signed,
    /// Nothing in it proves whose record it is.
    Subject,
    /// Of a type that the decision does not permit.
    Type,
}

impl Withheld {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Authorship,
        Self::Computed,
        Self::Constraint,
        Self::Include,
        Self::Label,
        Self::Malformed,
        Self::Modifier,
        Self::Patient,
        Self::Query,
        Self::Signed,
        Self::Subject,
        Self::Type,
    ];

    /// The code in audit records, metrics and the demo.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorship => "authorship",
            Self::Computed => "computed-label",
            Self::Constraint => "constraint",
            Self::Include => "include",
            Self::Label => "label",
            Self::Malformed => "malformed",
            Self::Modifier => "modifier-extension",
            Self::Patient => "patient",
            Self::Query => "query",
            Self::Signed => "signed",
            Self::Subject => "subject",
            Self::Type => "type",
        }
    }

    /// The reason in words, for people who may see the whole answer.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Authorship => "has nobody responsible for it whom the decision accepts",
            Self::Computed => "holds a code that means a security label which is withheld",
            Self::Constraint => "outside what the decision permits for this resource type",
            Self::Include => "not referred to by a released resource",
            Self::Label => "carries a security label that is withheld",
            Self::Malformed => "has no usable type or id, or another resource where none can be",
            Self::Modifier => "holds a modifier extension that could not be removed safely",
            Self::Patient => "is the record of a patient who is not covered by the decision",
            Self::Query => "does not match the search that was asked",
            Self::Signed => "is signed, and could leave only in part or altered",
            Self::Subject => "does not prove whose record it is",
            Self::Type => "is of a resource type that is not permitted",
        }
    }
}

/// The account of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Resources the EHR sent.
    pub received: u32,
    /// Resources released.
    pub released: u32,
    /// Of those, matches of the search.
    pub matches: u32,
    /// Released resources from which something was removed.
    pub redacted: u32,
    /// Resources withheld, by reason.
    pub withheld: BTreeMap<Withheld, u32>,
    /// Patients whose data was released.
    pub patients: BTreeSet<Id>,
    /// Parameters by which the EHR was asked for less, and which it ignored by its own self link.
    pub unstated: BTreeSet<Box<str>>,
    /// The same by what it sent; and `_sort`, where that shows another order.
    pub unheeded: BTreeSet<Box<str>>,
    /// Records by the verdict on who is responsible for them, where that was asked.
    pub verdicts: BTreeMap<Verdict, u32>,
    /// Resources that came as evidence of that, and that nobody had asked for.
    pub evidence: u32,
    /// Searches of the EHR for such evidence, by type.
    pub look_ups: BTreeMap<ResourceType, u32>,
    /// Links of the EHR that led elsewhere and were not followed.
    pub foreign_links: u32,
}

impl Tally {
    pub(super) fn release(&mut self, patients: &[Id]) {
        self.released += 1;
        for patient in patients {
            if !self.patients.contains(patient) {
                self.patients.insert(patient.clone());
            }
        }
    }

    /// Counts what is in `other` as well.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.released += other.released;
        self.matches += other.matches;
        self.redacted += other.redacted;
        self.foreign_links += other.foreign_links;
        self.patients.extend(other.patients.iter().cloned());
        self.evidence += other.evidence;
        for (resource_type, count) in &other.look_ups {
            *self.look_ups.entry(*resource_type).or_default() += count;
        }
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(*verdict).or_default() += count;
        }
        for (reason, count) in &other.withheld {
            *self.withheld.entry(*reason).or_default() += count;
        }
        self.unstated.extend(other.unstated.iter().cloned());
        self.unheeded.extend(other.unheeded.iter().cloned());
    }

    /// Every narrowing parameter that the EHR ignored, whatever shows it.
    pub fn ignored(&self) -> BTreeSet<&str> {
        self.unstated.union(&self.unheeded).map(|name| &**name).collect()
    }

    /// Counts a verdict on who is responsible for a record, where there is one.
    /// Counts what was searched for to gather this.
    pub(super) fn look_up(&mut self, attribution: Option<&Attribution>) {
        for resource_type in attribution.into_iter().flat_map(Attribution::look_ups) {
            *self.look_ups.entry(*resource_type).or_default() += 1;
        }
    }

    pub(super) fn judge(&mut self, verdict: Option<Verdict>) {
        if let Some(verdict) = verdict {
            *self.verdicts.entry(verdict).or_default() += 1;
        }
    }

    pub(super) fn withhold(&mut self, reason: Withheld) {
        *self.withheld.entry(reason).or_default() += 1;
    }
}
