//! The search parameters that the tests know, judged on a resource.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::Dom;

/// One parameter and its values, of which one must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// A token parameter: each value a system (none is any) and a code.
    Token {
        /// Its name: `category`, `code`, `status`.
        parameter: &'static str,
        /// The values.
        values: Vec<(Option<String>, String)>,
    },
    /// A token parameter with `:not`.
    NotToken {
        /// Its name.
        parameter: &'static str,
        /// The values.
        values: Vec<(Option<String>, String)>,
    },
    /// `date=ge…`
    From(Date),
    /// `date=lt…`
    Before(Date),
}

impl Criterion {
    /// `name=value`, as it stands in a URL.
    pub fn pair(&self) -> String {
        let list = |values: &[(Option<String>, String)]| {
            let value = |(system, code): &(Option<String>, String)| match system {
                Some(system) => format!("{system}%7C{code}"),
                None => code.clone(),
            };
            values.iter().map(value).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Token { parameter, values } => format!("{parameter}={}", list(values)),
            Self::NotToken { parameter, values } => format!("{parameter}:not={}", list(values)),
            Self::From(day) => format!("date=ge{day}"),
            Self::Before(day) => format!("date=lt{day}"),
        }
    }

    /// The elements that it reads.
    pub fn reads(&self) -> Vec<&'static str> {
        match self {
            Self::Token { parameter, .. } | Self::NotToken { parameter, .. } => vec![parameter],
            Self::From(_) | Self::Before(_) => vec!["effective[x]", "period", "performed[x]", "occurrence[x]"],
        }
    }

    /// Whether the resource fulfils it.
    pub fn holds(&self, resource: &Dom) -> bool {
        match self {
            Self::Token { parameter, values } => has_token(resource, parameter, values),
            Self::NotToken { parameter, values } => !has_token(resource, parameter, values),
            Self::From(day) => times(resource).iter().any(|(_, end)| *end >= start_of(*day)),
            Self::Before(day) => times(resource).iter().any(|(start, _)| *start < start_of(*day)),
        }
    }
}

/// `category`, `code` and `status` read the elements of their names.
fn has_token(resource: &Dom, parameter: &str, values: &[(Option<String>, String)]) -> bool {
    let Some(element) = resource.get(parameter) else { return false };
    element.each().iter().any(|value| match value {
        Dom::Text(code) => values.iter().any(|(system, wanted)| system.is_none() && wanted.eq(code)),
        concept => concept.get("coding").map(Dom::each).unwrap_or_default().iter().any(|coding| {
            values.iter().any(|(system, wanted)| {
                coding.text_of("code") == Some(wanted)
                    && system.as_ref().is_none_or(|system| coding.text_of("system") == Some(system))
            })
        }),
    })
}

/// Where `date` reads its times, and how far each reaches; an open end reaches for ever.
fn times(resource: &Dom) -> Vec<(Timestamp, Timestamp)> {
    let at = |name: &str| resource.text_of(name).and_then(reach);
    let span = |name: &str| {
        let value = resource.get(name)?;
        let start = value.text_of("start").and_then(reach).map(|(start, _)| start);
        let end = value.text_of("end").and_then(reach).map(|(_, end)| end);
        (start.is_some() || end.is_some()).then(|| (start.unwrap_or(Timestamp::MIN), end.unwrap_or(Timestamp::MAX)))
    };
    let found = match resource.text_of("resourceType") {
        Some("Observation" | "DiagnosticReport") => [at("effectiveDateTime"), span("effectivePeriod")],
        Some("Encounter") => [span("period"), None],
        Some("Procedure") => [at("performedDateTime"), span("performedPeriod")],
        Some("Immunization") => [at("occurrenceDateTime"), None],
        _ => [None, None],
    };
    found.into_iter().flatten().collect()
}

/// The first and the last instant of a date, of a part of one, or of an instant with its offset.
pub(in super::super) fn reach(text: &str) -> Option<(Timestamp, Timestamp)> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"-T:.Z+".contains(&byte)) {
        return None;
    }
    let first: Date = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return text.parse().ok().map(|instant| (instant, instant)),
    }
    .parse()
    .ok()?;
    let next = match text.len() {
        4 => first.checked_add(1.year()),
        7 => first.checked_add(1.month()),
        _ => first.checked_add(1.day()),
    };
    Some((start_of(first), start_of(next.ok()?).checked_sub(1.nanosecond()).ok()?))
}

fn start_of(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).unwrap().timestamp()
}
