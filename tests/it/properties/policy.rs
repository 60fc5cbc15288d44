//! Decisions and searches drawn at random for given records.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::records::Records;
use crate::fuzz::reference::{Criterion, Decision, Rule, Search};

/// A decision, a search, and which of the records the EHR sends, in which order.
pub(super) type Drawn = (Decision, Search, Vec<usize>);

const LABELS: [(&str, Option<&str>); 4] = [
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", Some("PSY")),
    ("http://terminology.hl7.org/CodeSystem/v3-ActCode", None),
    ("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", Some("R")),
    ("http://example.org/labels", Some("secret")),
];

/// What is drawn for one type.
#[derive(Clone, Debug)]
struct Plan {
    permitted: bool,
    whole: bool,
    elements: Vec<Index>,
    alternatives: Vec<Vec<(u8, Index, u16)>>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let criterion = (any::<u8>(), any::<Index>(), 1990..2026_u16);
    let alternatives = prop::collection::vec(prop::collection::vec(criterion, 1..3), 0..3);
    let elements = prop::collection::vec(any::<Index>(), 1..10);
    (prop::bool::weighted(0.8), prop::bool::weighted(0.25), elements, prop::option::weighted(0.5, alternatives))
        .prop_map(|(permitted, whole, elements, alternatives)| {
            let alternatives = alternatives.unwrap_or_default();
            Plan { permitted, whole, elements, alternatives }
        })
}

/// Everything that decides one case.
pub(super) fn drawn(records: &Records) -> impl Strategy<Value = Drawn> + '_ {
    let plans = prop::collection::vec(plan(), records.paths.len());
    let labels = prop::sample::subsequence(LABELS.to_vec(), 0..=LABELS.len());
    let asked = (any::<Index>(), prop::option::weighted(0.3, (any::<u8>(), any::<Index>(), 1990..2026_u16)));
    let along =
        (any::<bool>(), any::<bool>(), prop::option::weighted(0.2, prop::collection::vec(any::<Index>(), 1..4)));
    let all: Vec<usize> = (0..records.texts.len()).collect();
    let sent = prop::sample::subsequence(all, 0..=records.texts.len().min(60)).prop_shuffle();
    (plans, labels, asked, along, sent).prop_map(move |(plans, labels, (of, criterion), along, sent)| {
        let searched = of.get(&records.owned_types()).clone();
        let mut search = Search {
            criteria: criterion.and_then(|one| criterion_of(records, &searched, one)).into_iter().collect(),
            resource_type: searched.clone(),
            patient: records.patient.clone(),
            performers: along.0 && searched == "Observation",
            provenance: along.1 && searched != "Patient",
            elements: Vec::new(),
        };
        let mut types = BTreeMap::new();
        for ((name, paths), plan) in records.paths.iter().zip(&plans) {
            if plan.permitted || *name == searched {
                types.insert(name.clone(), rule(records, name, paths, plan, &search));
            }
        }
        if let Some(wanted) = along.2 {
            let paths = &records.paths[&searched];
            let first = |index: &Index| index.get(paths).split(['.', '[']).next().unwrap_or_default().to_owned();
            search.elements = wanted.iter().map(first).collect();
            search.elements.sort_unstable();
            search.elements.dedup();
        }
        let owned = |(system, code): (&str, Option<&str>)| (system.to_owned(), code.map(str::to_owned));
        let decision = Decision {
            patients: vec![records.patient.clone(), "somebody-else".to_owned()],
            types,
            labels: labels.into_iter().map(owned).collect(),
            includes: vec!["Observation:performer".to_owned(), "Provenance:target".to_owned()],
        };
        (decision, search, sent)
    })
}

fn rule(records: &Records, name: &str, paths: &[String], plan: &Plan, search: &Search) -> Rule {
    let alternative = |all: &Vec<(u8, Index, u16)>| -> Vec<Criterion> {
        all.iter().filter_map(|one| criterion_of(records, name, *one)).collect()
    };
    let alternatives: Vec<Vec<Criterion>> =
        plan.alternatives.iter().map(alternative).filter(|all: &Vec<Criterion>| !all.is_empty()).collect();
    if plan.whole || paths.is_empty() {
        return Rule { alternatives, elements: None };
    }
    let mut elements: Vec<String> = plan.elements.iter().map(|index| index.get(paths).clone()).collect();
    if name == search.resource_type {
        // What is asked by must be released.
        let read = search.criteria.iter().flat_map(Criterion::reads);
        elements.extend(read.map(str::to_owned));
        elements.extend(search.performers.then(|| "performer".to_owned()));
    }
    if name == "Provenance" && search.provenance {
        elements.push("target".to_owned());
    }
    elements.sort_unstable();
    elements.dedup();
    Rule { alternatives, elements: Some(elements) }
}

/// A criterion that records of the type can be held against.
fn criterion_of(records: &Records, name: &str, (kind, which, year): (u8, Index, u16)) -> Option<Criterion> {
    let parameters: &[&'static str] = match name {
        "Observation" => &["code", "category", "status", "date", "date"],
        "DiagnosticReport" | "Procedure" => &["code", "status", "date"],
        "Encounter" | "Immunization" => &["status", "date"],
        "Condition" => &["code", "category"],
        "CarePlan" | "DocumentReference" => &["category", "status"],
        "Coverage" | "Claim" | "MedicationRequest" | "ImagingStudy" => &["status"],
        _ => return None,
    };
    let parameter = parameters[usize::from(kind) % parameters.len()];
    if parameter == "date" {
        let day = format!("{year}-07-01").parse().unwrap();
        return Some(if kind % 2 == 0 { Criterion::From(day) } else { Criterion::Before(day) });
    }
    let known = records.codes.get(&(name.to_owned(), parameter)).filter(|known| !known.is_empty())?;
    let mut values = vec![which.get(known).clone()];
    if kind > 128 {
        values.push(known[usize::from(year) % known.len()].clone());
    }
    // Codes of FHIR's own have a system that a record does not state.
    values.retain(|(system, _)| parameter != "status" || system.is_none());
    Some(if kind % 5 == 0 { Criterion::NotToken { parameter, values } } else { Criterion::Token { parameter, values } })
}
