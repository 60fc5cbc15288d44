//! What became of the resources of one answer: counts and ids, never content.

use std::collections::{BTreeMap, BTreeSet};

use crate::fhir::name::Id;

/// Why a resource is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// Outside the constraints of the decision.
    Constraint,
    /// Comes along with nothing that is released, or was not asked for.
    Include,
    /// Carries a security label that the decision withholds.
    Label,
    /// Not a resource with a type and an id.
    Malformed,
    /// Holds a modifier extension, whose removal would change the meaning of the rest.
    Modifier,
    /// Belongs to a patient who is not permitted or was not asked for.
    Patient,
    /// Does not match what the client itself asked.
    Query,
    /// Nothing in it proves whose record it is.
    Subject,
    /// Of a type that the decision does not permit.
    Type,
}

impl Withheld {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Constraint,
        Self::Include,
        Self::Label,
        Self::Malformed,
        Self::Modifier,
        Self::Patient,
        Self::Query,
        Self::Subject,
        Self::Type,
    ];

    /// The code in audit records, metrics and the demo.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Include => "include",
            Self::Label => "label",
            Self::Malformed => "malformed",
            Self::Modifier => "modifier-extension",
            Self::Patient => "patient",
            Self::Query => "query",
            Self::Subject => "subject",
            Self::Type => "type",
        }
    }

    /// The reason in words, for people who may see the whole answer.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Constraint => "outside what the decision permits for this resource type",
            Self::Include => "not referred to by a released resource",
            Self::Label => "carries a security label that is withheld",
            Self::Malformed => "has no usable type or id",
            Self::Modifier => "holds a modifier extension that could not be removed safely",
            Self::Patient => "is the record of a patient who is not covered by the decision",
            Self::Query => "does not match the search that was asked",
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

    pub(super) fn withhold(&mut self, reason: Withheld) {
        *self.withheld.entry(reason).or_default() += 1;
    }
}
