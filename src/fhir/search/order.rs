//! The order of resources by a search parameter (R4 3.1.1.5.1 `_sort`).
//!
//! Takes: resources. Gives: a [`Key`] to sort by, and a [`Reach`] that tells of two resources which comes first whatever a
//! server makes of repetitions and of times without a zone. Guarantees: of several values the lowest counts, and where the
//! order descends the highest; a period counts by its start. Refuses: to compare values of two kinds.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::evaluate::{fold, time_of};
use super::{Definition, ParameterKind};
use crate::fhir::json::{Kind, Value};

/// What two servers may differ by over when something was: that of the zones of a date without one.
const ZONES: SignedDuration = SignedDuration::from_hours(26);

/// One value that a sort compares. Values of one parameter are of one kind.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Key {
    /// A time, by its beginning.
    Instant(Timestamp),
    /// A number, or a quantity without its unit.
    Number(f64),
    /// A code, the id of a reference, or a text without regard to case and accents.
    Text(String),
}

/// What a resource is sorted by; `None` where it has no value.
pub fn key(resource: Value<'_>, definition: &Definition, descending: bool) -> Option<Key> {
    let mut best: Option<Key> = None;
    each(resource, definition, &mut |value| {
        let Some(found) = key_of(value, definition.kind) else { return };
        let is_better = best.as_ref().is_none_or(|best| (found > *best) == descending && found != *best);
        if is_better {
            best = Some(found);
        }
    });
    best
}

/// Which of two keys comes first; what has no value comes last.
pub fn compare(one: Option<&Key>, other: Option<&Key>, descending: bool) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => {
            let ascending = one.partial_cmp(other).unwrap_or(Ordering::Equal);
            if descending { ascending.reverse() } else { ascending }
        }
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

/// From where to where the values of a resource reach. Only times and numbers are in one order for all servers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// From the first instant to the one after the last.
    Time(Timestamp, Timestamp),
    /// From the lowest to the highest.
    Number(f64, f64),
}

/// How far the values of a resource reach; `None` where it has none, or where they are open or in no order that is certain.
pub fn reach(resource: Value<'_>, definition: &Definition) -> Option<Reach> {
    let mut whole: Option<Reach> = None;
    let mut is_certain = true;
    each(resource, definition, &mut |value| {
        let own = match definition.kind {
            ParameterKind::Date => time_of(value).and_then(|span| Some(Reach::Time(span.start?, span.end?))),
            ParameterKind::Number => number(value).map(|number| Reach::Number(number, number)),
            _ => None,
        };
        whole = match (whole, own) {
            (None, own) => own,
            (Some(Reach::Time(a, b)), Some(Reach::Time(c, d))) => Some(Reach::Time(a.min(c), b.max(d))),
            (Some(Reach::Number(a, b)), Some(Reach::Number(c, d))) => Some(Reach::Number(a.min(c), b.max(d))),
            (whole, _) => whole,
        };
        is_certain &= own.is_some();
    });
    whole.filter(|_| is_certain)
}

impl Reach {
    /// Whether what reaches so far may not come before `next`, by any reading.
    pub fn contradicts(self, next: Self, descending: bool) -> bool {
        let (low, high) = if descending { (self, next) } else { (next, self) };
        match (low, high) {
            (Self::Time(_, end), Self::Time(start, _)) => start.duration_since(end) > ZONES,
            (Self::Number(_, highest), Self::Number(lowest, _)) => lowest > highest,
            _ => false,
        }
    }
}

fn each<'v>(resource: Value<'v>, definition: &Definition, visit: &mut dyn FnMut(Value<'v>)) {
    for path in &definition.paths {
        path.any(resource, &mut |value| {
            visit(value);
            false
        });
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    let number = value.get("value").unwrap_or(value);
    (number.kind() == Kind::Number).then(|| number.raw().parse().ok()).flatten()
}

fn key_of(value: Value<'_>, kind: ParameterKind) -> Option<Key> {
    let member = |name: &str| value.get(name).and_then(Value::text);
    match kind {
        ParameterKind::Date => time_of(value).and_then(|span| span.start.or(span.end)).map(Key::Instant),
        ParameterKind::Number | ParameterKind::Quantity => number(value).map(Key::Number),
        ParameterKind::Token => {
            let coding = value.get("coding").and_then(|codings| codings.items().next()).unwrap_or(value);
            let inner = coding.get("code").or_else(|| coding.get("value")).unwrap_or(coding);
            Some(Key::Text(inner.text().map_or_else(|| inner.raw().to_owned(), Into::into)))
        }
        ParameterKind::Reference => {
            member("reference").map(|text| Key::Text(text.rsplit('/').next().unwrap_or_default().to_owned()))
        }
        ParameterKind::Canonical | ParameterKind::Uri => value.text().map(|text| Key::Text(text.into_owned())),
        ParameterKind::String => {
            let text = value.text().or_else(|| member("family")).or_else(|| member("text"))?;
            Some(Key::Text(fold(&text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lookup;
    use super::*;
    use crate::fhir::json::Tape;
    use crate::fhir::name::ResourceType;

    fn with<T>(text: &str, name: &str, of: impl Fn(Value<'_>, &Definition) -> T) -> T {
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes()).unwrap().root();
        let resource_type = ResourceType::parse(&root.get("resourceType").unwrap().text().unwrap()).unwrap();
        of(root, lookup(resource_type, name).unwrap())
    }

    fn observed(effective: &str) -> Option<Reach> {
        let text = format!(r#"{{"resourceType":"Observation",{effective}}}"#);
        with(&text, "date", reach)
    }

    #[test]
    fn an_order_is_contradicted_only_where_every_reading_does() {
        let day = |day: &str| observed(&format!(r#""effectiveDateTime":"{day}""#)).unwrap();
        let period = observed(r#""effectivePeriod":{"start":"2024-01-01","end":"2024-06-30"}"#).unwrap();
        assert!(day("2025-03-01").contradicts(day("2024-03-01"), false));
        assert!(!day("2025-03-01").contradicts(day("2024-03-01"), true));
        assert!(day("2024-03-01").contradicts(day("2025-03-01"), true));
        for (one, other) in [
            (day("2024"), day("2024-03-01")),
            (day("2024-03-01"), day("2024")),
            (day("2024-03-02"), day("2024-03-01")),
            (day("2024-03-02"), day("2024-03-01T23:00:00-12:00")),
            (day("2024-03-01"), day("2024-03-01")),
            (period, day("2024-05-01")),
        ] {
            for descending in [true, false] {
                assert!(!one.contradicts(other, descending), "{one:?} {other:?}");
            }
        }
        assert!(period.contradicts(day("2023-05-01"), false) && !period.contradicts(day("2023-05-01"), true));
        for uncertain in
            [r#""effectivePeriod":{"start":"2024-01-01"}"#, r#""effectiveDateTime":"soon""#, r#""status":"final""#]
        {
            assert_eq!(observed(uncertain), None, "{uncertain}");
        }
        assert_eq!(with(r#"{"resourceType":"Observation","code":{"coding":[{"code":"a"}]}}"#, "code", reach), None);
    }

    #[test]
    fn of_several_values_the_outermost_counts() {
        let patient = r#"{"resourceType":"Patient","name":[{"family":"Müller"},{"family":"Abel"}]}"#;
        let text = |descending| with(patient, "family", |value, definition| key(value, definition, descending));
        assert_eq!(text(false), Some(Key::Text("abel".into())));
        assert_eq!(text(true), Some(Key::Text("muller".into())));
        let (low, high) = (Key::Number(1.0), Key::Number(2.0));
        assert_eq!(compare(Some(&low), Some(&high), false), Ordering::Less);
        assert_eq!(compare(Some(&low), Some(&high), true), Ordering::Greater);
        for descending in [true, false] {
            assert_eq!(compare(None, Some(&low), descending), Ordering::Greater);
            assert_eq!(compare(Some(&low), None, descending), Ordering::Less);
        }
    }
}
