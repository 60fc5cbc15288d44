//! Narrowing: which patients, which constraints.

use crate::decide::{ElementTree, Elements, Kept, Patients};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::path::Path;
use crate::fhir::search::{Criterion, Modifier};
use crate::fhir::subject;

/// The patients to search for: those asked for that are permitted; where none is named, those the decision lists.
/// `None` is a population (a roster), judged record by record.
pub(super) fn patients(permitted: &Patients, asked_about: &[Id]) -> Option<Vec<Id>> {
    match permitted {
        Patients::Listed(listed) if asked_about.is_empty() => Some(listed.to_vec()),
        Patients::Roster { .. } if asked_about.is_empty() => None,
        Patients::Listed(_) | Patients::Roster { .. } => {
            Some(asked_about.iter().filter(|id| permitted.admits(id)).cloned().collect())
        }
    }
}

/// Whether a criterion says whose record it is, in any of the spellings R4 has for that.
pub(super) fn names_subject(resource_type: ResourceType, criterion: &Criterion) -> bool {
    let plain = !matches!(criterion.modifier(), Some(Modifier::Not));
    let rule = subject::parameter(resource_type).and_then(|name| crate::fhir::search::lookup(resource_type, name));
    plain && rule.is_some_and(|rule| rule.paths == criterion.definition().paths)
}

/// The criteria that every alternative holds, and where the alternatives differ in one parameter only, that parameter
/// with the values of all: what can be sent to the EHR without losing a resource that some alternative permits.
pub(super) fn common(alternatives: &[Vec<Criterion>]) -> Vec<Criterion> {
    let Some((first, others)) = alternatives.split_first() else { return Vec::new() };
    let everywhere = |criterion: &Criterion| {
        let text = criterion.to_string();
        alternatives.iter().all(|alternative| alternative.iter().any(|other| other.to_string() == text))
    };
    let mut shared: Vec<Criterion> = first.iter().filter(|criterion| everywhere(criterion)).cloned().collect();
    let rest: Option<Vec<&Criterion>> = alternatives
        .iter()
        .map(|alternative| {
            let mut own = alternative.iter().filter(|criterion| !everywhere(criterion));
            own.next().filter(|_| own.next().is_none())
        })
        .collect();
    let merged = rest.and_then(|rest| {
        let (head, tail) = rest.split_first()?;
        tail.iter().try_fold((*head).clone(), |all, one| all.or(one))
    });
    shared.extend(merged.filter(|_| !others.is_empty()));
    shared
}

/// Whether everything that `path` reads is released.
pub(super) fn releases(elements: &Elements, path: &Path) -> bool {
    match elements {
        Elements::All => true,
        Elements::Only(tree) => tree_releases(tree, path),
    }
}

fn tree_releases(tree: &ElementTree, path: &Path) -> bool {
    let mut below = tree;
    for step in path.steps() {
        let kept = match below.child(step) {
            Kept::No => below.child(&format!("{step}[x]")),
            found => found,
        };
        match kept {
            Kept::No => return false,
            Kept::Whole => return true,
            Kept::Part(part) => below = part,
        }
    }
    false
}
