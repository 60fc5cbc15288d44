//! What a search finds: matches by the matcher that the gateway's filter uses, their order, and what comes along.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::query::Query;
use super::records::{Record, Records};
use crate::fhir::date::Span;
use crate::fhir::json::{Kind, Tape, Value};
use crate::fhir::reference::Reference;
use crate::fhir::search::{Definition, ParameterKind, lookup};
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

/// One value that a sort compares. Values of one parameter are of one kind.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Key {
    Instant(jiff::Timestamp),
    Number(f64),
    Text(String),
}

/// Sorts by one key and keeps the order of equals; what has no value comes last (R4 3.1.1.5.1).
fn order(records: &mut Vec<Arc<Record>>, sort: &Sort, query: &Query) {
    let Some(definition) = lookup(query.resource_type, &sort.parameter) else { return };
    let mut keyed: Vec<(Option<Key>, Arc<Record>)> =
        records.drain(..).map(|record| (key(&record, definition, sort.descending), record)).collect();
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => {
            let ascending = a.partial_cmp(b).unwrap_or(Ordering::Equal);
            if sort.descending { ascending.reverse() } else { ascending }
        }
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    records.extend(keyed.into_iter().map(|(_, record)| record));
}

/// The lowest value, or the highest where the order is descending.
fn key(record: &Record, definition: &Definition, descending: bool) -> Option<Key> {
    let mut tape = Tape::new();
    let document = tape.read(record.json.as_bytes()).ok()?;
    let mut best: Option<Key> = None;
    for path in &definition.paths {
        path.any(document.root(), &mut |value| {
            let found = key_of(value, definition.kind);
            let better = match (&best, &found) {
                (Some(best), Some(found)) => (found > best) == descending && found != best,
                (None, found) => found.is_some(),
                (Some(_), None) => false,
            };
            if better {
                best = found;
            }
            false
        });
    }
    best
}

fn key_of(value: Value<'_>, kind: ParameterKind) -> Option<Key> {
    let member = |name: &str| value.get(name).and_then(Value::text);
    match kind {
        ParameterKind::Date => {
            let text = value.text().or_else(|| member("start")).or_else(|| member("end"))?;
            Span::parse(&text)?.start.map(Key::Instant)
        }
        ParameterKind::Number | ParameterKind::Quantity => {
            let number = value.get("value").unwrap_or(value);
            (number.kind() == Kind::Number).then(|| number.raw().parse().ok()).flatten().map(Key::Number)
        }
        ParameterKind::Token => {
            let coding = value.get("coding").and_then(|codings| codings.items().next()).unwrap_or(value);
            let inner = coding.get("code").or_else(|| coding.get("value")).unwrap_or(coding);
            Some(Key::Text(inner.text().map_or_else(|| inner.raw().to_owned(), Into::into)))
        }
        ParameterKind::Reference => member("reference").map(|text| Key::Text(text.into_owned())),
        ParameterKind::Canonical | ParameterKind::String | ParameterKind::Uri => {
            let text = value.text().or_else(|| member("family")).or_else(|| member("text"))?;
            Some(Key::Text(text.to_lowercase()))
        }
    }
}
