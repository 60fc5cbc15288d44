//! What a search finds: matches by the matcher that the gateway's filter uses, their order, and what comes along.

use std::collections::HashSet;
use std::sync::Arc;

use super::query::Query;
use super::records::{Record, Records};
use crate::fhir::json::{Tape, Value};
use crate::fhir::reference::Reference;
use crate::fhir::search::{self as fhir_search, Definition, compare_keys, lookup};
use crate::understand::{Direction, Include, Sort};

/// The matches of a search, in order.
pub(super) fn matches(records: &Records, query: &Query, base: &str) -> Vec<Arc<Record>> {
    let mut tape = Tape::new();
    let mut found: Vec<Arc<Record>> = records
        .of_type(query.resource_type)
        .filter(|record| {
            let document = tape.read(record.json.as_bytes());
            let matches = |root| query.criteria.iter().all(|criterion| criterion.matches(root, &[base]));
            document.is_ok_and(|document| matches(document.root()))
        })
        .cloned()
        .collect();
    for sort in query.sort.iter().rev() {
        order(&mut found, sort, query);
    }
    found
}

/// What `matches` refer to or are referred to by, as the includes say; never a match itself.
pub(super) fn included(
    records: &Records,
    includes: &[Include],
    matches: &[Arc<Record>],
    base: &str,
) -> Vec<Arc<Record>> {
    let mut seen: HashSet<Reference> = matches.iter().map(|record| record.identity.clone()).collect();
    let own = seen.clone();
    let mut found = Vec::new();
    for include in includes {
        let Some(definition) = lookup(include.source, &include.parameter) else { continue };
        let fits = |reference: &Reference| include.target.is_none_or(|target| target == reference.resource_type);
        match include.direction {
            Direction::Forward => {
                for record in matches.iter().filter(|record| record.identity.resource_type == include.source) {
                    let referred = references(record, definition, base);
                    let records =
                        referred.iter().filter(|reference| fits(reference)).filter_map(|one| records.find(one));
                    found.extend(records.filter(|record| seen.insert(record.identity.clone())).cloned());
                }
            }
            Direction::Reverse => {
                let refers = |record: &&Arc<Record>| {
                    references(record, definition, base)
                        .iter()
                        .any(|reference| fits(reference) && own.contains(reference))
                };
                let records = records.of_type(include.source).filter(refers);
                found.extend(records.filter(|record| seen.insert(record.identity.clone())).cloned());
            }
        }
    }
    found
}

/// The resources of this server that a record refers to at a parameter's elements.
fn references(record: &Record, definition: &Definition, base: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut tape = Tape::new();
    let Ok(document) = tape.read(record.json.as_bytes()) else { return found };
    for path in &definition.paths {
        path.any(document.root(), &mut |value| {
            let text = value.get("reference").and_then(Value::text);
            found.extend(text.and_then(|text| Reference::parse(&text, &[base])));
            false
        });
    }
    found
}

/// Sorts by one key and keeps the order of equals.
fn order(records: &mut Vec<Arc<Record>>, sort: &Sort, query: &Query) {
    let Some(definition) = lookup(query.resource_type, &sort.parameter) else { return };
    let mut tape = Tape::new();
    let mut key = |record: &Record| {
        let document = tape.read(record.json.as_bytes()).ok()?;
        fhir_search::key(document.root(), definition, sort.descending)
    };
    let mut keyed: Vec<_> = records.drain(..).map(|record| (key(&record), record)).collect();
    keyed.sort_by(|(one, _), (other, _)| compare_keys(one.as_ref(), other.as_ref(), sort.descending));
    records.extend(keyed.into_iter().map(|(_, record)| record));
}
