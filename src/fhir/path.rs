//! Element paths: the part of FHIRPath that search parameters and subject rules need.
//!
//! Takes: `name.family`, `telecom[system=phone].value`. Gives: a [`Path`] that visits every value it leads
//! to. Guarantees: repetitions are looked through; a choice element (`effective[x]`) is found under its
//! type-suffixed name. Refuses: anything else of FHIRPath.

use crate::fhir::json::Value;

/// The data types that a choice element may be suffixed with (R4 2.1.23, `[x]`).
const CHOICES: &[&str] = &[
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "Base64Binary",
    "Boolean",
    "Canonical",
    "Code",
    "CodeableConcept",
    "Coding",
    "ContactPoint",
    "Count",
    "Date",
    "DateTime",
    "Decimal",
    "Distance",
    "Dosage",
    "Duration",
    "HumanName",
    "Id",
    "Identifier",
    "Instant",
    "Integer",
    "Markdown",
    "Money",
    "Oid",
    "Period",
    "PositiveInt",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "SampledData",
    "Signature",
    "String",
    "Time",
    "Timing",
    "UnsignedInt",
    "Uri",
    "Url",
    "Uuid",
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: Box<str>,
    /// Keep only repetitions whose element has this code.
    only: Option<(Box<str>, Box<str>)>,
}

/// A path of element names below a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// Reads a path; `None` where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let step = |text: &str| {
            let (name, only) = match text.split_once('[') {
                None => (text, None),
                Some((name, condition)) => {
                    let (element, code) = condition.strip_suffix(']')?.split_once('=')?;
                    (name, Some((element.into(), code.into())))
                }
            };
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            plain.then(|| Step { name: name.into(), only })
        };
        text.split('.').map(step).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The name of the outermost element.
    pub fn first(&self) -> &str {
        self.0.first().map_or("", |step| &step.name)
    }

    /// The element names, outermost first.
    pub fn steps(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|step| &*step.name)
    }

    /// The element names with the condition on each, outermost first: the member and its text.
    pub fn conditioned(&self) -> impl Iterator<Item = (&str, Option<(&str, &str)>)> + Clone {
        self.0.iter().map(|step| (&*step.name, step.only.as_ref().map(|(member, text)| (&**member, &**text))))
    }

    /// Calls `visit` with every value at this path until it answers `true`; tells whether it did.
    pub fn any<'d>(&self, resource: Value<'d>, visit: &mut dyn FnMut(Value<'d>) -> bool) -> bool {
        descend(&self.0, resource, visit)
    }
}

fn descend<'d>(steps: &[Step], value: Value<'d>, visit: &mut dyn FnMut(Value<'d>) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else { return visit(value) };
    let Some(found) = element(value, &step.name) else { return false };
    found.each().any(|item| {
        let kept = step
            .only
            .as_ref()
            .is_none_or(|(element, code)| item.get(element).and_then(Value::text).is_some_and(|text| text == **code));
        kept && descend(rest, item, visit)
    })
}

/// The choice elements that a member's name may be a type-suffixed form of: `effectiveDateTime` of `effective`.
pub fn choice_bases(member: &str) -> impl Iterator<Item = &str> {
    CHOICES.iter().filter_map(move |choice| member.strip_suffix(choice)).filter(|base| !base.is_empty())
}

/// The member of this name, or the choice element that begins with it; two of them are one too many.
fn element<'d>(value: Value<'d>, name: &str) -> Option<Value<'d>> {
    value.get(name).or_else(|| {
        let choice = |member: &str| member.strip_prefix(name).is_some_and(is_choice_suffix);
        let mut found = value.members().filter(|member| choice(member.name));
        found.next().filter(|_| found.next().is_none()).map(|member| member.value)
    })
}

/// Whether `suffix` names a data type that a choice element may be suffixed with.
pub(crate) fn is_choice_suffix(suffix: &str) -> bool {
    CHOICES.contains(&suffix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes()).unwrap().root();
        let mut all = Vec::new();
        Path::parse(path).unwrap().any(root, &mut |value| {
            all.push(value.raw().to_owned());
            false
        });
        all
    }

    #[test]
    fn looks_through_repetitions_choices_and_conditions() {
        let text = r#"{"name":[{"family":"a"},{"family":"b","given":["c","d"]}],"effectivePeriod":{"start":"2024"},
            "telecom":[{"system":"phone","value":"1"},{"system":"email","value":"2"}],"valueSet":"x"}"#;
        assert_eq!(found("name.family", text), [r#""a""#, r#""b""#]);
        assert_eq!(found("name.given", text), [r#""c""#, r#""d""#]);
        assert_eq!(found("effective.start", text), [r#""2024""#]);
        assert_eq!(found("telecom[system=email].value", text), [r#""2""#]);
        assert!(found("value", text).is_empty());
        assert!(found("value", r#"{"valueString":"a","valueCode":"b"}"#).is_empty());
        assert!(found("nothing.at", text).is_empty());
    }

    #[test]
    fn refuses_more_than_a_path() {
        for bad in ["", "a..b", "a[0]", "a.where(x=1)", "a b", "a[x=1"] {
            assert!(Path::parse(bad).is_none(), "{bad}");
        }
    }
}
