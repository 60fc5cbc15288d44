//! SMART App Launch v2 scopes, enforced beside the policy: both must permit.
//!
//! Takes: the grants of a token. Gives: whether they reach an interaction, and what of a permission they
//! leave. Guarantees: a granular constraint is ANDed to what the policy demands; several constraints on one
//! type are alternatives; a grant without constraint lifts them. Refuses: a constraint that cannot be
//! evaluated grants nothing, and a type that no grant reaches is not released.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;

use super::decision::{DecisionError, NamedPatients, Permitted, conjunction};
use super::obligations::{Obligations, Patients, TypeRule};
use super::permit::Revision;
use super::roster::Roster;
use super::sensitivity::Sensitivity;
use crate::fhir::name::ResourceType;
use crate::fhir::search::Criterion;
use crate::limits;
use crate::understand::Interaction;

#[cfg(test)]
mod tests;

/// One resource scope of a token, such as `system/Observation.rs?category=laboratory`.
#[derive(Clone, Copy, Debug)]
pub struct ScopeGrant<'a> {
    /// The type; `None` is every type.
    pub resource_type: Option<ResourceType>,
    /// Reads by id.
    pub read: bool,
    /// Searches.
    pub search: bool,
    /// What stands after the question mark, still encoded.
    pub constraint: Option<&'a str>,
}

/// How a grant may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Read,
    Search,
    Any,
}

impl Letter {
    fn is_in(self, grant: &ScopeGrant<'_>) -> bool {
        match self {
            Self::Read => grant.read,
            Self::Search => grant.search,
            Self::Any => grant.read || grant.search,
        }
    }
}

/// What the grants leave of one type.
enum Reach {
    Nothing,
    Everything,
    /// What matches one of these.
    Some(Vec<Vec<Criterion>>),
}

/// Whether the grants reach the interaction's own type with the interaction's own letter.
pub(super) fn permit(grants: &[ScopeGrant<'_>], interaction: &Interaction) -> bool {
    !matches!(reach(grants, interaction.resource_type(), letter(interaction)), Reach::Nothing)
}

/// Why a permission and scopes do not go together.
pub(super) enum Unbound {
    /// The permission is outside the vocabulary.
    Malformed(DecisionError),
    /// Policy and scopes multiply to more alternatives than [`limits::DECISION_ALTERNATIVES`].
    TooMany,
}

/// Binds a permission to what the scopes leave of it.
pub(super) fn bind(
    permitted: Permitted,
    grants: &[ScopeGrant<'_>],
    interaction: &Interaction,
    holdings: &Holdings,
    on: Date,
) -> Result<Obligations, Unbound> {
    let patients = match permitted.patients {
        NamedPatients::Listed(ids) => Patients::Listed(ids),
        NamedPatients::Roster(name) if holdings.roster.has(&name) => {
            Patients::Roster { name, roster: Arc::clone(&holdings.roster), on }
        }
        NamedPatients::Roster(_) => return Err(Unbound::Malformed(DecisionError::Value("roster"))),
    };
    let asked = interaction.resource_type();
    let letter = |resource_type| if resource_type == asked { letter(interaction) } else { Letter::Any };
    let mut types = Vec::new();
    let listed: BTreeSet<ResourceType> = permitted.types.iter().map(|(resource_type, _)| *resource_type).collect();
    for (resource_type, rule) in permitted.types {
        let reach = reach(grants, resource_type, letter(resource_type));
        types.extend(narrowed(rule, reach)?.map(|rule| (resource_type, rule)));
    }
    if let Some(rule) = permitted.every_other_type {
        for resource_type in ResourceType::all().filter(|resource_type| !listed.contains(resource_type)) {
            let reach = reach(grants, resource_type, letter(resource_type));
            types.extend(narrowed((*rule).clone(), reach)?.map(|rule| (resource_type, rule)));
        }
    }
    if !types.iter().any(|(resource_type, _)| *resource_type == asked) {
        return Err(Unbound::Malformed(DecisionError::Unanswered));
    }
    Ok(Obligations::new(
        permitted.reasons,
        patients,
        types,
        permitted.labels,
        permitted.includes,
        permitted.page_cap,
        permitted.cache,
        permitted.provenance,
        holdings,
    ))
}

/// What came with the policies, and binds what they decide.
pub(super) struct Holdings {
    pub(super) roster: Arc<Roster>,
    pub(super) sensitivity: Arc<Sensitivity>,
    pub(super) revision: Revision,
}

fn letter(interaction: &Interaction) -> Letter {
    match interaction {
        Interaction::Read(_) => Letter::Read,
        Interaction::Search(_) | Interaction::Page(_) => Letter::Search,
    }
}

fn reach(grants: &[ScopeGrant<'_>], resource_type: ResourceType, letter: Letter) -> Reach {
    let mut alternatives: Vec<Vec<Criterion>> = Vec::new();
    for grant in grants {
        let of_type = grant.resource_type.is_none_or(|granted| granted == resource_type);
        if !of_type || !letter.is_in(grant) {
            continue;
        }
        match grant.constraint {
            None => return Reach::Everything,
            Some(constraint) => alternatives.extend(conjunction(resource_type, constraint)),
        }
    }
    if alternatives.is_empty() { Reach::Nothing } else { Reach::Some(alternatives) }
}

fn narrowed(rule: TypeRule, reach: Reach) -> Result<Option<TypeRule>, Unbound> {
    let scoped = match reach {
        Reach::Nothing => return Ok(None),
        Reach::Everything => return Ok(Some(rule)),
        Reach::Some(scoped) => scoped,
    };
    let policy = &rule.alternatives;
    let product: Vec<Vec<Criterion>> = if policy.is_empty() {
        scoped
    } else if policy.len().saturating_mul(scoped.len()) > limits::DECISION_ALTERNATIVES {
        return Err(Unbound::TooMany);
    } else {
        policy.iter().flat_map(|policy| scoped.iter().map(|scope| [&policy[..], scope].concat())).collect()
    };
    if product.len() > limits::DECISION_ALTERNATIVES { Err(Unbound::TooMany) } else { Ok(Some(rule.with(product))) }
}
