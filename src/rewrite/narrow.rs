//! Narrowing: which patients, which constraints.

use std::cmp::Reverse;

use crate::decide::{ElementTree, Elements, Kept, Patients};
use crate::fhir::name::Id;
use crate::fhir::path::Path;
use crate::fhir::search::{Criterion, Operand, Prefix};

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

/// Which side a date criterion bounds; of one side, the greater is the tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Lower(Option<jiff::Timestamp>),
    Upper(Reverse<Option<jiff::Timestamp>>),
    Both,
    /// Several dates, or all but one.
    Loose,
}

impl Bound {
    fn of(criterion: &Criterion) -> Option<Self> {
        let Some(Operand::Date { prefix, span, .. }) = criterion.operands().first() else { return None };
        Some(match prefix {
            _ if criterion.operands().len() > 1 => Self::Loose,
            Some(Prefix::Ge | Prefix::Gt | Prefix::Sa) => Self::Lower(span.start),
            Some(Prefix::Le | Prefix::Lt | Prefix::Eb) => Self::Upper(Reverse(span.end)),
            Some(Prefix::Eq) | None => Self::Both,
            Some(Prefix::Ne) => Self::Loose,
        })
    }

    /// Whether one search says enough with `self` and without `other`.
    fn replaces(self, other: Self) -> bool {
        match (self, other) {
            (Self::Both, _) | (Self::Lower(_) | Self::Upper(_), Self::Loose) => self != other,
            (Self::Lower(_), Self::Lower(_)) | (Self::Upper(_), Self::Upper(_)) => self > other,
            _ => false,
        }
    }
}

/// Of each date parameter one date, or else the latest lower and the earliest upper bound, or else one criterion: HAPI
/// refuses a second bound on one side, and here the client's dates meet those of the decision. What is left out widens
/// the question to the EHR and not the answer, which is held against every criterion.
pub(super) fn plain_dates(criteria: Vec<&Criterion>) -> Vec<&Criterion> {
    let mut kept: Vec<(&Criterion, Option<Bound>)> = Vec::with_capacity(criteria.len());
    for criterion in criteria {
        let own = Bound::of(criterion);
        let rivals = |(other, bound): &&(&Criterion, Option<Bound>)| {
            bound.is_some() && other.definition().name == criterion.definition().name
        };
        let one_side = |bound: Bound, own: Bound| std::mem::discriminant(&bound) == std::mem::discriminant(&own);
        let is_needless = own.is_some_and(|own| {
            let mut bounds = kept.iter().filter(rivals).filter_map(|(_, bound)| *bound);
            bounds.any(|bound| bound.replaces(own) || (one_side(bound, own) && !own.replaces(bound)))
        });
        if is_needless {
            continue;
        }
        kept.retain(|entry| !(rivals(&entry) && entry.1.zip(own).is_some_and(|(bound, own)| own.replaces(bound))));
        kept.push((criterion, own));
    }
    kept.into_iter().map(|(criterion, _)| criterion).collect()
}

/// Whether everything that `path` reads is released. Where single repetitions of an element are, a path that ends there
/// reads no other if it is compared with `systems` only.
pub(super) fn releases(elements: &Elements, path: &Path, systems: Option<&[&str]>) -> bool {
    match elements {
        Elements::All => true,
        Elements::Only(tree) => tree_releases(tree, path, systems),
    }
}

fn tree_releases(tree: &ElementTree, path: &Path, systems: Option<&[&str]>) -> bool {
    let mut below = tree;
    let mut steps = path.conditioned().peekable();
    while let Some((step, only)) = steps.next() {
        let kept = match below.child(step) {
            Kept::No => below.child(&format!("{step}[x]")),
            found => found,
        };
        let kept = match (kept, only) {
            (Kept::Some(slices), Some((member, text))) => slices.named(member, text),
            (Kept::Some(slices), None) => {
                let named =
                    |systems: &[&str]| systems.iter().all(|system| slices.named("system", system) == Kept::Whole);
                return steps.peek().is_none() && systems.is_some_and(named);
            }
            (kept, _) => kept,
        };
        match kept {
            Kept::No | Kept::Some(_) => return false,
            Kept::Whole => return true,
            Kept::Part(part) => below = part,
        }
    }
    false
}

/// The systems that a criterion of tokens is about; `None` where it is about others as well.
pub(super) fn systems(criterion: &Criterion) -> Option<Vec<&str>> {
    let system = |operand| match operand {
        &Operand::Token { system: Some(ref system), .. } if !system.is_empty() => Some(&**system),
        _ => None,
    };
    criterion.operands().iter().map(system).collect::<Option<Vec<_>>>().filter(|_| criterion.modifier().is_none())
}
