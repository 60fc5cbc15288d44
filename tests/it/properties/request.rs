//! Searches drawn at random, as pairs of name and value that are not encoded yet.

use proptest::prelude::*;
use proptest::sample::select;

/// A type and the pairs of its query.
pub(super) type Asked = (&'static str, Vec<(String, String)>);

/// Parameters by type and kind.
const PARAMETERS: [(&str, &[(&str, Kind)]); 4] = [
    (
        "Observation",
        &[
            ("code", Kind::Token),
            ("category", Kind::Token),
            ("status", Kind::Token),
            ("code:not", Kind::Token),
            ("_id", Kind::Token),
            ("date", Kind::Date),
            ("_lastUpdated", Kind::Date),
            ("value-date", Kind::Date),
            ("value-quantity", Kind::Quantity),
            ("value-string", Kind::Text),
            ("value-string:contains", Kind::Text),
            ("patient", Kind::Patient),
            ("subject", Kind::Patient),
            ("subject:Patient", Kind::Patient),
            ("performer", Kind::Reference),
            ("encounter", Kind::Reference),
            ("_profile", Kind::Uri),
        ],
    ),
    (
        "Patient",
        &[
            ("_id", Kind::Token),
            ("identifier", Kind::Token),
            ("gender", Kind::Token),
            ("birthdate", Kind::Date),
            ("family", Kind::Text),
            ("family:exact", Kind::Text),
            ("given:contains", Kind::Text),
            ("address", Kind::Text),
        ],
    ),
    (
        "RiskAssessment",
        &[("patient", Kind::Patient), ("probability", Kind::Number), ("date", Kind::Date), ("method", Kind::Token)],
    ),
    (
        "CarePlan",
        &[
            ("patient", Kind::Patient),
            ("status", Kind::Token),
            ("date", Kind::Date),
            ("instantiates-uri", Kind::Uri),
            ("instantiates-canonical", Kind::Uri),
        ],
    ),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Date,
    Number,
    Patient,
    Quantity,
    Reference,
    Text,
    Token,
    Uri,
}

/// A search that is understood, but for a few of its values.
pub(super) fn search() -> impl Strategy<Value = Asked> {
    select(&PARAMETERS[..]).prop_flat_map(|(resource_type, parameters)| {
        let pair = select(parameters).prop_flat_map(|(name, kind)| (Just(name.to_owned()), values(kind)));
        let criteria = prop::collection::vec(pair, 0..6);
        (Just(resource_type), criteria, shape(resource_type)).prop_map(|(resource_type, mut pairs, shape)| {
            pairs.extend(shape);
            (resource_type, pairs)
        })
    })
}

fn values(kind: Kind) -> BoxedStrategy<String> {
    let one = match kind {
        Kind::Date => date().boxed(),
        Kind::Number => number().boxed(),
        Kind::Patient => r"(Patient/|https://gateway\.example\.org/fhir/Patient/)?[A-Za-z0-9.-]{1,12}".boxed(),
        Kind::Quantity => (number(), r"(\|(http://unitsofmeasure\.org)?\|[a-z%/]{1,5})?")
            .prop_map(|(number, unit)| number + &unit)
            .boxed(),
        Kind::Reference => r"(Practitioner|Encounter|Organization)/[A-Za-z0-9.-]{1,12}(/_history/[0-9]{1,2})?".boxed(),
        Kind::Text => text().boxed(),
        Kind::Token => token().boxed(),
        Kind::Uri => r"(http://example\.org|urn:oid)[/:a-z0-9.]{1,12}".boxed(),
    };
    prop::collection::vec(one, 1..4).prop_map(|values| values.join(",")).boxed()
}

fn date() -> impl Strategy<Value = String> {
    let time = r"(-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8])(T[01][0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,3})?)?(Z|[+-]0[0-9]:[03]0))?)?)?";
    (select(&["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"][..]), 1900..2100_u32, time)
        .prop_map(|(prefix, year, rest)| format!("{prefix}{year}{rest}"))
}

fn number() -> impl Strategy<Value = String> {
    (select(&["", "eq", "ne", "gt", "lt", "ge", "le"][..]), r"-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?(e-?[0-9])?")
        .prop_map(|(prefix, number)| format!("{prefix}{number}"))
}

/// A text in which what separates values is escaped.
fn text() -> impl Strategy<Value = String> {
    r#"[ -~äßéあ😀]{1,12}"#.prop_filter("not blank", |text| !text.trim().is_empty()).prop_map(|text| escaped(&text))
}

fn token() -> impl Strategy<Value = String> {
    let system = prop_oneof![Just(None), Just(Some(String::new())), "http://[a-z]{1,6}/[a-z]{0,4}".prop_map(Some)];
    (system, text()).prop_map(|(system, code)| system.map_or(code.clone(), |system| format!("{system}|{code}")))
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|character| ['\\'; 1].into_iter().filter(move |_| r"\,|$".contains(character)).chain([character]))
        .collect()
}

/// Parameters that shape the result, each at most once.
fn shape(resource_type: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = |name: &'static str, value: BoxedStrategy<String>| {
        prop::option::weighted(0.2, value.prop_map(move |value| (name.to_owned(), value))).boxed()
    };
    let sorts = if resource_type == "Patient" { "-?(birthdate|family|_id)(,-?gender)?" } else { "-?(date|_id)" };
    let includes = if resource_type == "Observation" {
        r"Observation:(performer(:Practitioner)?|encounter|subject)"
    } else {
        r"(CarePlan|Provenance):patient"
    };
    let totals = select(&["none", "estimate", "accurate"][..]).prop_map(str::to_owned);
    (
        pair("_count", (0..2_000_u32).prop_map(|count| count.to_string()).boxed()),
        pair("_summary", select(&["false", "count"][..]).prop_map(str::to_owned).boxed()),
        pair("_elements", "[a-z]{1,8}(,[a-z]{1,8}){0,3}".boxed()),
        pair("_sort", sorts.boxed()),
        pair("_total", totals.boxed()),
        pair("_format", Just("application/fhir+json".to_owned()).boxed()),
        pair("_include", includes.boxed()),
        pair("_revinclude", "Provenance:(target|patient)(:Observation)?".boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].into_iter().flatten().collect())
}
