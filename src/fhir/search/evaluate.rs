//! Does a resource match a criterion? (R4 3.1.1.4, per kind of parameter.)
//!
//! An element that is absent, or of a shape the parameter's kind cannot compare, matches nothing.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::criterion::{Criterion, Modifier};
use super::operand::{Decimal, Operand, Prefix};
use crate::fhir::date::Span;
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::ResourceType;
use crate::fhir::reference::Reference;

pub(super) fn matches(criterion: &Criterion, resource: Value<'_>, bases: &[&str]) -> bool {
    let modifier = criterion.modifier();
    let targets = &criterion.definition().targets;
    let fits = |operand: &Operand, value: Value<'_>| match operand {
        Operand::Canonical { url, version } => value.text().is_some_and(|have| {
            let (name, stated) = have.split_once('|').map_or((&*have, None), |(name, of)| (name, Some(of)));
            name == &**url && (version.is_none() || version.as_deref() == stated)
        }),
        Operand::Date { prefix, span, .. } => time_of(value).is_some_and(|time| date(*prefix, *span, time)),
        Operand::Number { prefix, number } => number_of(value).is_some_and(|have| compare(*prefix, number, &have)),
        Operand::Quantity { prefix, number, system, code } => {
            quantity(*prefix, number, system.as_deref(), code.as_deref(), value)
        }
        Operand::Reference { resource_type, id } => refers(value, bases).is_some_and(|found| {
            let allowed = |name: &str| targets.iter().any(|target| &**target == name || &**target == "Resource");
            let typed = |wanted: &ResourceType| found.resource_type == *wanted;
            found.id == *id && resource_type.as_ref().is_none_or(typed) && allowed(found.resource_type.as_str())
        }),
        Operand::String(text) => string(modifier, text, value),
        Operand::Uri(text) => value.text().is_some_and(|have| have == **text),
        Operand::Token { .. } => token(std::slice::from_ref(operand), value),
    };
    let tokens = criterion.operands().iter().all(|operand| matches!(operand, Operand::Token { .. }));
    let found = criterion.definition().paths.iter().any(|path| {
        path.any(resource, &mut |value| match tokens {
            true => token(criterion.operands(), value),
            false => criterion.operands().iter().any(|operand| fits(operand, value)),
        })
    });
    if modifier == Some(Modifier::Not) { !found && is_readable(criterion, resource) } else { found }
}

/// Whether every value that `:not` has to rule out is of a shape that can be compared: what cannot be read rules out
/// nothing.
fn is_readable(criterion: &Criterion, resource: Value<'_>) -> bool {
    let text = |value: Value<'_>, name: &str| value.get(name).is_none_or(|member| member.kind() == Kind::String);
    let coding = |value: Value<'_>| {
        value.kind() == Kind::Object && ["system", "code", "value"].iter().all(|name| text(value, name))
    };
    let readable = |value: Value<'_>| match (value.kind(), value.get("coding")) {
        (Kind::Object, Some(codings)) => codings.kind() == Kind::Array && codings.items().all(coding),
        (Kind::Object, None) => coding(value),
        (Kind::String | Kind::Boolean, _) => true,
        (Kind::Array | Kind::Null | Kind::Number, _) => false,
    };
    !criterion.definition().paths.iter().any(|path| path.any(resource, &mut |value| !readable(value)))
}

fn refers(value: Value<'_>, bases: &[&str]) -> Option<Reference> {
    let text = match value.kind() {
        Kind::Object => value.get("reference")?.text()?,
        _ => value.text()?,
    };
    Reference::parse(&text, bases)
}

/// The time a date, dateTime, instant, Period or Timing stands for.
pub(super) fn time_of(value: Value<'_>) -> Option<Span> {
    if let Some(text) = value.text() {
        return Span::parse(&text);
    }
    let member = |name: &str| value.get(name).and_then(Value::text);
    if let Some(events) = value.get("event") {
        let mut spans = events.items().filter_map(|event| event.text().and_then(|text| Span::parse(&text)));
        let first = spans.next()?;
        return Some(spans.fold(first, |all, one| Span { start: all.start.min(one.start), end: all.end.max(one.end) }));
    }
    if ["start", "end"].iter().any(|name| value.get(name).is_some_and(|bound| bound.kind() != Kind::String)) {
        return None;
    }
    Span::period(member("start").as_deref(), member("end").as_deref())
}

/// R4 3.1.1.4.9, `wanted` being the range of the search value and `have` that of the resource.
fn date(prefix: Option<Prefix>, wanted: Span, have: Span) -> bool {
    let ends_after = |bound| have.end.is_none_or(|end| Some(end) > bound);
    let starts_before = |bound| have.start.is_none_or(|start| Some(start) < bound);
    match prefix.unwrap_or(Prefix::Eq) {
        Prefix::Eq => have.is_within(wanted),
        Prefix::Ne => !have.is_within(wanted),
        Prefix::Gt => ends_after(wanted.end),
        Prefix::Lt => starts_before(wanted.start),
        Prefix::Ge => {
            ends_after(wanted.end) || have.is_within(wanted) || (starts_before(wanted.end) && ends_after(wanted.start))
        }
        Prefix::Le => {
            starts_before(wanted.start)
                || have.is_within(wanted)
                || (starts_before(wanted.end) && ends_after(wanted.start))
        }
        Prefix::Sa => have.start.is_some() && have.start >= wanted.end,
        Prefix::Eb => have.end.is_some() && have.end <= wanted.start,
    }
}

fn number_of(value: Value<'_>) -> Option<Decimal> {
    (value.kind() == Kind::Number).then(|| Decimal::parse(value.raw())).flatten()
}

/// `eq` and `ne` honour the precision of the search value; the others compare the numbers themselves.
fn compare(prefix: Option<Prefix>, wanted: &Decimal, have: &Decimal) -> bool {
    let same = have.value >= wanted.value - wanted.half && have.value < wanted.value + wanted.half;
    match prefix.unwrap_or(Prefix::Eq) {
        Prefix::Eq => same,
        Prefix::Ne => !same,
        Prefix::Gt | Prefix::Sa => have.value > wanted.value,
        Prefix::Lt | Prefix::Eb => have.value < wanted.value,
        Prefix::Ge => have.value >= wanted.value,
        Prefix::Le => have.value <= wanted.value,
    }
}

fn quantity(
    prefix: Option<Prefix>,
    wanted: &Decimal,
    system: Option<&str>,
    code: Option<&str>,
    value: Value<'_>,
) -> bool {
    let member = |name: &str| value.get(name).and_then(Value::text);
    // A comparator (`<5`) makes the number a bound, not a value.
    let plain = value.get("comparator").is_none();
    let unit = match (system, code) {
        (None, None) => true,
        (Some(system), None) => member("system").is_some_and(|have| have == system),
        (None, Some(code)) => [member("code"), member("unit")].iter().flatten().any(|have| have == code),
        (Some(system), Some(code)) => {
            member("system").is_some_and(|have| have == system) && member("code").is_some_and(|have| have == code)
        }
    };
    plain && unit && value.get("value").and_then(number_of).is_some_and(|have| compare(prefix, wanted, &have))
}

/// Coding, CodeableConcept, Identifier, ContactPoint, code, string and boolean (R4 3.1.1.4.10): whether one of them is
/// among those wanted. Each is read once, however many are wanted. A plain code is of the system that its element is bound
/// to, which is not looked up: whatever system is wanted, it is taken for that one, so that `:not` rules it out.
fn token(wanted: &[Operand], value: Value<'_>) -> bool {
    if let Some(codings) = value.get("coding") {
        return codings.items().any(|coding| token(wanted, coding));
    }
    let member = |name: &str| value.get(name).and_then(Value::text);
    let (have_system, have) = match value.kind() {
        Kind::Object => (member("system"), member("code").or_else(|| member("value"))),
        Kind::Boolean => (None, Some(value.raw().into())),
        _ => (None, value.text()),
    };
    let Some(have) = have else { return false };
    let is_plain = value.kind() != Kind::Object;
    wanted.iter().any(|operand| {
        let Operand::Token { system, code } = operand else { return false };
        let code_fits = code.as_deref().is_none_or(|code| code == have);
        code_fits
            && match system.as_deref() {
                None => true,
                Some("") => have_system.is_none(),
                Some(system) => is_plain || have_system.as_deref() == Some(system),
            }
    })
}

/// Strings, and the text parts of HumanName and Address (R4 3.1.1.4.7).
fn string(modifier: Option<Modifier>, wanted: &str, value: Value<'_>) -> bool {
    if let Some(have) = value.text() {
        return match modifier {
            Some(Modifier::Exact) => have == wanted,
            Some(Modifier::Contains) => fold(&have).contains(&fold(wanted)),
            _ => fold(&have).starts_with(&fold(wanted)),
        };
    }
    const PARTS: &[&str] =
        &["text", "family", "given", "prefix", "suffix", "line", "city", "district", "state", "postalCode", "country"];
    value
        .members()
        .filter(|member| PARTS.contains(&member.name))
        .any(|member| member.value.each().any(|part| part.kind() == Kind::String && string(modifier, wanted, part)))
}

/// Without regard to case and accents.
pub(super) fn fold(text: &str) -> String {
    text.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase).collect()
}
