//! The decision document, read strictly.
//!
//! Takes: the JSON of one evaluation. Gives: a [`Decided`], parsed to the last criterion, element and label.
//! Guarantees: a closed vocabulary (`policies/schema/decision.json` states the same); a document is
//! understood whole or not at all. Refuses: unknown, repeated, missing, misplaced or ill-typed members, a
//! reason without a basis, and numbers beyond their bounds. Errors name places, never values.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use super::elements::Elements;
use super::obligations::{AllowedInclude, Label, Reason, StatesChanges, TypeRule, Verdicts};
use crate::authorship::Verdict;
use crate::fhir::json::{Items, Kind, Tape, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::search::{Criterion, lookup};
use crate::limits;
use crate::understand::{Direction, Include, decode_query};

#[cfg(test)]
mod tests;

/// Why a decision is outside the vocabulary. Names the place in the document.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecisionError {
    /// Empty where that would be read in two ways.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// Of another JSON type than the vocabulary says.
    #[error("`{0}` is of the wrong type")]
    IllTyped(&'static str),
    /// Not JSON, repeated members, or too deep.
    #[error("not a json document without ambiguity")]
    Json,
    /// Stands in a refusal though it belongs to a permission, or the other way round.
    #[error("`{0}` is not for this kind of decision")]
    Misplaced(&'static str),
    /// Not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Permits, and says nothing about the type that was asked for.
    #[error("there is no rule for the type that was asked for")]
    Unanswered,
    /// A member that the vocabulary does not know.
    #[error("`{0}` has an unknown member")]
    Unknown(&'static str),
    /// Names nothing that exists, or is beyond its bounds.
    #[error("`{0}` has a value that is not understood")]
    Value(&'static str),
}

/// A decision, understood.
#[derive(Debug)]
pub(super) enum Decided {
    Permitted(Permitted),
    Refused { reasons: Vec<Reason>, conceal: bool },
}

/// A permission before it meets the caller's scopes.
#[derive(Debug)]
pub(super) struct Permitted {
    pub(super) reasons: Vec<Reason>,
    pub(super) patients: NamedPatients,
    pub(super) types: Vec<(ResourceType, TypeRule)>,
    /// The rule for every type that is not among `types`; `None` where only those are permitted.
    pub(super) every_other_type: Option<Box<TypeRule>>,
    pub(super) labels: BTreeSet<Label>,
    pub(super) includes: BTreeSet<AllowedInclude>,
    pub(super) page_cap: Option<u32>,
    pub(super) cache: Duration,
    pub(super) provenance: Option<StatesChanges>,
}

/// Whose records, as the policy names them.
#[derive(Debug)]
pub(super) enum NamedPatients {
    Listed(Box<[Id]>),
    Roster(Box<str>),
}

const PERMISSION: &[&str] = &[
    "allow",
    "reasons",
    "conceal",
    "patients",
    "types",
    "withhold_labels",
    "includes",
    "page_cap",
    "cache_seconds",
    "provenance",
];

/// What the fast engine writes for a value that is not there.
const UNDEFINED: &str = "\"<undefined>\"";

/// Understands the document in `text`.
pub(super) fn read(text: &str) -> Result<Decided, DecisionError> {
    if text.len() > limits::DECISION_BYTES || text.contains(UNDEFINED) {
        return Err(DecisionError::Json);
    }
    let mut tape = Tape::new();
    let document = tape.read(text.as_bytes()).map_err(|_| DecisionError::Json)?.root();
    object(document, "decision", PERMISSION)?;
    let allow = boolean(required(document, "allow")?, "allow")?;
    let reasons = reasons(required(document, "reasons")?)?;
    if allow {
        permitted(document, reasons).map(Decided::Permitted)
    } else {
        let stray = PERMISSION.iter().skip(3).find(|name| document.get(name).is_some());
        if let Some(name) = stray {
            return Err(DecisionError::Misplaced(name));
        }
        let conceal = document.get("conceal").map_or(Ok(false), |value| boolean(value, "conceal"))?;
        Ok(Decided::Refused { reasons, conceal })
    }
}

fn permitted(document: Value<'_>, reasons: Vec<Reason>) -> Result<Permitted, DecisionError> {
    if document.get("conceal").is_some() {
        return Err(DecisionError::Misplaced("conceal"));
    }
    let (types, every_other_type) = types(required(document, "types")?)?;
    let page_cap =
        document.get("page_cap").map(|value| number(value, "page_cap", 1, limits::DECISION_PAGE_CAP)).transpose()?;
    let cache = document
        .get("cache_seconds")
        .map_or(Ok(0), |value| number(value, "cache_seconds", 0, limits::DECISION_CACHE_SECONDS))?;
    Ok(Permitted {
        reasons,
        patients: patients(required(document, "patients")?)?,
        types,
        every_other_type,
        labels: labels(required(document, "withhold_labels")?)?,
        includes: includes(required(document, "includes")?)?,
        page_cap,
        cache: Duration::from_secs(u64::from(cache)),
        provenance: document.get("provenance").map(states_changes).transpose()?,
    })
}

fn reasons(value: Value<'_>) -> Result<Vec<Reason>, DecisionError> {
    let mut reasons = Vec::new();
    for item in list(value, "reasons", limits::DECISION_REASONS)? {
        object(item, "reasons", &["code", "text", "basis"])?;
        let part = |name: &'static str| {
            let text = string(required(item, name)?, name)?;
            match text.trim().is_empty() {
                true => Err(DecisionError::Empty(name)),
                false if text.len() > limits::DECISION_REASON_BYTES => Err(DecisionError::Value(name)),
                false => Ok(text.into_owned().into_boxed_str()),
            }
        };
        let reason = Reason { code: part("code")?, text: part("text")?, basis: part("basis")? };
        if !reason.code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(DecisionError::Value("code"));
        }
        reasons.push(reason);
    }
    if reasons.is_empty() { Err(DecisionError::Empty("reasons")) } else { Ok(reasons) }
}

fn patients(value: Value<'_>) -> Result<NamedPatients, DecisionError> {
    if value.kind() == Kind::Object {
        object(value, "patients", &["roster"])?;
        let name = string(required(value, "roster")?, "roster")?;
        return Ok(NamedPatients::Roster(name.into()));
    }
    let mut ids = Vec::new();
    for item in list(value, "patients", limits::DECISION_PATIENTS)? {
        ids.push(Id::parse(&string(item, "patients")?).map_err(|_| DecisionError::Value("patients"))?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(NamedPatients::Listed(ids.into()))
}

type Types = Vec<(ResourceType, TypeRule)>;

fn types(value: Value<'_>) -> Result<(Types, Option<Box<TypeRule>>), DecisionError> {
    if value.kind() != Kind::Object {
        return Err(DecisionError::IllTyped("types"));
    }
    let (mut types, mut every_other_type) = (Vec::new(), None);
    for member in value.members() {
        object(member.value, "types", &["where", "elements", "searchable", "authorship"])?;
        let mut rule = TypeRule::new(elements(required(member.value, "elements")?)?);
        rule.authorship = member.value.get("authorship").map(verdicts).transpose()?;
        if member.name == "*" {
            if let Some(name) = ["where", "searchable"].into_iter().find(|name| member.value.get(name).is_some()) {
                return Err(DecisionError::Misplaced(name));
            }
            every_other_type = Some(Box::new(rule));
            continue;
        }
        let resource_type = ResourceType::parse(member.name).map_err(|_| DecisionError::Value("types"))?;
        // Content goes with its document.
        if resource_type.as_str() == "Binary" && rule.authorship.is_some() {
            return Err(DecisionError::Misplaced("authorship"));
        }
        if let Some(value) = member.value.get("where") {
            rule.alternatives = alternatives(resource_type, value)?;
        }
        if let Some(value) = member.value.get("searchable") {
            rule.searchable = searchable(resource_type, value)?;
        }
        types.push((resource_type, rule));
    }
    Ok((types, every_other_type))
}

fn searchable(resource_type: ResourceType, value: Value<'_>) -> Result<BTreeSet<Box<str>>, DecisionError> {
    let name = |item| {
        let name = string(item, "searchable")?;
        lookup(resource_type, &name).map(|definition| definition.name.clone()).ok_or(DecisionError::Value("searchable"))
    };
    list(value, "searchable", limits::DECISION_SEARCHABLE)?.map(name).collect()
}

/// At least one; none would be a type of which nothing leaves.
fn verdicts(value: Value<'_>) -> Result<Verdicts, DecisionError> {
    let verdict = |item| Verdict::parse(&string(item, "authorship")?).ok_or(DecisionError::Value("authorship"));
    let listed: Vec<_> = list(value, "authorship", Verdict::ALL.len())?.map(verdict).collect::<Result<_, _>>()?;
    if listed.is_empty() { Err(DecisionError::Empty("authorship")) } else { Ok(Verdicts::of(listed.into_iter())) }
}

fn states_changes(value: Value<'_>) -> Result<StatesChanges, DecisionError> {
    StatesChanges::parse(&string(value, "provenance")?).ok_or(DecisionError::Value("provenance"))
}

fn elements(value: Value<'_>) -> Result<Elements, DecisionError> {
    let names = list(value, "elements", limits::DECISION_ELEMENTS)?
        .map(|item| string(item, "elements"))
        .collect::<Result<Vec<_>, _>>()?;
    Elements::parse(names.iter().map(|name| &**name)).ok_or(DecisionError::Value("elements"))
}

fn alternatives(resource_type: ResourceType, value: Value<'_>) -> Result<Vec<Vec<Criterion>>, DecisionError> {
    let mut alternatives = Vec::new();
    for item in list(value, "where", limits::DECISION_ALTERNATIVES)? {
        let text = string(item, "where")?;
        alternatives.push(conjunction(resource_type, &text).ok_or(DecisionError::Value("where"))?);
    }
    if alternatives.is_empty() { Err(DecisionError::Empty("where")) } else { Ok(alternatives) }
}

/// Understands `name=value&…` as criteria that must all be fulfilled. `None` where one is not a search parameter of the
/// type that can be evaluated, or where there is none at all.
pub(super) fn conjunction(resource_type: ResourceType, text: &str) -> Option<Vec<Criterion>> {
    let pairs = decode_query(text).ok()?;
    let criteria: Vec<Criterion> = pairs
        .iter()
        .map(|(key, value)| Criterion::parse(resource_type, key, value, &[]).ok())
        .collect::<Option<_>>()?;
    (!criteria.is_empty()).then_some(criteria)
}

fn labels(value: Value<'_>) -> Result<BTreeSet<Label>, DecisionError> {
    let label = |item| {
        let text = string(item, "withhold_labels")?;
        let (system, code) = text.split_once('|').ok_or(DecisionError::Value("withhold_labels"))?;
        if system.is_empty() || code.is_empty() || code.contains('|') {
            return Err(DecisionError::Value("withhold_labels"));
        }
        Ok(Label { system: system.into(), code: (code != "*").then(|| code.into()) })
    };
    list(value, "withhold_labels", limits::DECISION_LABELS)?.map(label).collect()
}

fn includes(value: Value<'_>) -> Result<BTreeSet<AllowedInclude>, DecisionError> {
    let include = |item| {
        let text = string(item, "includes")?;
        let include = Include::parse(Direction::Forward, &text).ok_or(DecisionError::Value("includes"))?;
        Ok(AllowedInclude { source: include.source, parameter: include.parameter, target: include.target })
    };
    list(value, "includes", limits::DECISION_INCLUDES)?.map(include).collect()
}

fn required<'d>(value: Value<'d>, name: &'static str) -> Result<Value<'d>, DecisionError> {
    value.get(name).ok_or(DecisionError::Missing(name))
}

fn object(value: Value<'_>, place: &'static str, known: &[&str]) -> Result<(), DecisionError> {
    if value.kind() != Kind::Object {
        return Err(DecisionError::IllTyped(place));
    }
    let all_known = value.members().all(|member| known.contains(&member.name));
    if all_known { Ok(()) } else { Err(DecisionError::Unknown(place)) }
}

fn list<'d>(value: Value<'d>, place: &'static str, most: usize) -> Result<Items<'d>, DecisionError> {
    if value.kind() != Kind::Array {
        return Err(DecisionError::IllTyped(place));
    }
    if value.items().count() > most { Err(DecisionError::Value(place)) } else { Ok(value.items()) }
}

fn string<'d>(value: Value<'d>, place: &'static str) -> Result<Cow<'d, str>, DecisionError> {
    value.text().ok_or(DecisionError::IllTyped(place))
}

fn boolean(value: Value<'_>, place: &'static str) -> Result<bool, DecisionError> {
    value.boolean().ok_or(DecisionError::IllTyped(place))
}

fn number(value: Value<'_>, place: &'static str, least: u32, most: u32) -> Result<u32, DecisionError> {
    if value.kind() != Kind::Number {
        return Err(DecisionError::IllTyped(place));
    }
    let number = value.raw().parse().map_err(|_| DecisionError::Value(place))?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(DecisionError::Value(place)) }
}
