//! One search three ways: what an open door gives, what the gateway gives, and why the rest stays.
//!
//! Takes: both answers, the filter's account and the audit record of the exchange. Gives: a [`Comparison`].
//! Guarantees: every resource of the open door is either released or withheld for a reason that the gateway gave;
//! both answers are kept byte for byte. Refuses: accounts and answers that contradict each other.

use std::collections::HashSet;

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use super::onlooker::Account;
use crate::audit::entry::Entry;
use crate::fhir::json::{Kind, Tape, Value};
use crate::filter::Withheld;

/// Why there is no comparison: one of the parts is not what it should be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ComparisonError(pub &'static str);

/// One search three ways.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// What the EHR says to whoever asks it directly: a Bundle.
    pub upstream: Box<RawValue>,
    /// What the payer got: a Bundle.
    pub released: Box<RawValue>,
    /// What it did not get.
    pub withheld: Vec<Held>,
    /// The request as the gateway understood it.
    pub request: String,
    /// What the gateway asked the EHR.
    pub upstream_request: String,
    /// The decision, as the audit log names it.
    pub decision_id: String,
    /// The exchange, as the audit log names it.
    #[serde(skip)]
    pub exchange: String,
    /// The digest of the policies that decided.
    #[serde(skip)]
    pub revision: String,
    /// How many resources the EHR answered the narrowed question with.
    #[serde(skip)]
    pub received: u64,
}

/// Something that was withheld.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `Type/id`, or `Type/id.element`.
    pub what: String,
    /// The code of the reason.
    pub code: &'static str,
    /// The reason in words.
    pub explanation: &'static str,
    /// What it failed on.
    pub failed: Vec<String>,
}

impl Held {
    fn resource(what: String, reason: Withheld, failed: Vec<String>) -> Self {
        let fails = matches!(reason, Withheld::Constraint | Withheld::Query);
        let failed = failed.into_iter().map(|text| if fails { format!("fails {text}") } else { text }).collect();
        Self { what, code: reason.as_str(), explanation: reason.explanation(), failed }
    }

    fn element(what: String) -> Self {
        Self {
            what,
            code: "element",
            explanation: "not among the elements that the decision releases",
            failed: Vec::new(),
        }
    }

    /// Whether it is a part of a resource whose rest was released.
    pub fn is_element(&self) -> bool {
        self.code == "element"
    }

    /// Code, words and what it failed on, in one line.
    pub fn reason(&self) -> String {
        let failed = if self.failed.is_empty() { String::new() } else { format!(" ({})", self.failed.join(", ")) };
        format!("{}: {}{failed}", self.code, self.explanation)
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Held", 2)?;
        object.serialize_field("what", &self.what)?;
        object.serialize_field("reason", &self.reason())?;
        object.end()
    }
}

impl Comparison {
    /// Puts the parts together.
    pub fn new(open_door: &[u8], released: &[u8], account: Account, entry: Entry) -> Result<Self, ComparisonError> {
        let judged = account.judged.map_err(|_| ComparisonError("the filter does not accept the EHR's answer"))?;
        let (mut before, mut after) = (Tape::new(), Tape::new());
        let unreadable = |_| ComparisonError("an answer is not json");
        let before = before.read(open_door).map_err(unreadable)?.root();
        let after = after.read(released).map_err(unreadable)?.root();
        let there: HashSet<String> = resources(before).map(name).collect();
        let left: HashSet<String> = resources(after).map(name).collect();
        if !left.is_subset(&there) {
            return Err(ComparisonError("the gateway's answer holds what the EHR's does not"));
        }
        let mut withheld = Vec::new();
        for resource in resources(before) {
            let name = name(resource);
            let verdict = judged.iter().find(|one| one.resource.as_ref().is_some_and(|one| one.to_string() == name));
            match verdict.map(|verdict| (verdict.withheld, left.contains(&name))) {
                Some((None, true)) => {
                    let kept = resources(after).find(|one| self::name(*one) == name);
                    let mut removed = Vec::new();
                    compare(resource, kept, &name, &mut removed);
                    withheld.extend(removed.into_iter().map(Held::element));
                }
                Some((Some(reason), false)) => {
                    let failed = verdict.map(|verdict| verdict.failed.clone()).unwrap_or_default();
                    withheld.push(Held::resource(name, reason, failed));
                }
                _ => return Err(ComparisonError("the gateway's answer contradicts its own account")),
            }
        }
        let recorded = ComparisonError("the audit record of the exchange is incomplete");
        let decision = entry.decision.ok_or(recorded)?;
        Ok(Self {
            upstream: raw(before)?,
            released: raw(after)?,
            withheld,
            request: entry.request.ok_or(recorded)?,
            upstream_request: entry.upstream_request.ok_or(recorded)?,
            decision_id: decision.id,
            exchange: account.exchange.to_string(),
            revision: decision.revision,
            received: entry.counts.ok_or(recorded)?.received,
        })
    }
}

/// The resources of a searchset.
pub(super) fn resources(bundle: Value<'_>) -> impl Iterator<Item = Value<'_>> {
    bundle.get("entry").into_iter().flat_map(Value::items).filter_map(|entry| entry.get("resource"))
}

/// `Type/id`
pub(super) fn name(resource: Value<'_>) -> String {
    let text = |name: &str| resource.get(name).and_then(Value::text).unwrap_or_default();
    format!("{}/{}", text("resourceType"), text("id"))
}

fn raw(value: Value<'_>) -> Result<Box<RawValue>, ComparisonError> {
    RawValue::from_string(value.raw().to_owned()).map_err(|_| ComparisonError("an answer is not json"))
}

/// Notes the path of everything in `before` that has no counterpart in `after`.
fn compare(before: Value<'_>, after: Option<Value<'_>>, path: &str, removed: &mut Vec<String>) {
    let Some(after) = after else { return removed.push(path.to_owned()) };
    match before.kind() {
        Kind::Object => {
            for member in before.members() {
                compare(member.value, after.get(member.name), &format!("{path}.{}", member.name), removed);
            }
        }
        Kind::Array if before.items().count() == after.items().count() => {
            before.items().zip(after.items()).for_each(|(before, after)| compare(before, Some(after), path, removed));
        }
        Kind::Array => removed.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::{Counts, Decision, Effect, Kind as EntryKind};
    use crate::clock::Clock;
    use crate::fhir::reference::Reference;
    use crate::filter::Judged;
    use crate::id::{ExchangeId, Token128};

    fn entry() -> Entry {
        Entry {
            request: Some("Observation?x=1".to_owned()),
            upstream_request: Some("/Observation?x=1".to_owned()),
            decision: Some(Decision {
                id: "d".to_owned(),
                revision: String::new(),
                effect: Effect::Permit,
                reasons: Vec::new(),
            }),
            counts: Some(Counts::default()),
            ..Entry::new(EntryKind::Exchange, Clock::System.now())
        }
    }

    fn account(verdicts: &[(&str, Option<Withheld>)]) -> Account {
        let judged = |(name, withheld): &(&str, Option<Withheld>)| Judged {
            resource: Reference::parse(name, &[]),
            withheld: *withheld,
            failed: vec!["date=ge2024".to_owned()],
        };
        Account {
            exchange: ExchangeId(Token128::from_bytes([7; 16])),
            judged: Ok(verdicts.iter().map(judged).collect()),
            is_attributed: false,
        }
    }

    fn bundle(resources: &[&str]) -> Vec<u8> {
        let entries: Vec<String> = resources.iter().map(|resource| format!(r#"{{"resource":{resource}}}"#)).collect();
        format!(r#"{{"entry":[{}]}}"#, entries.join(",")).into_bytes()
    }

    const A: &str = r#"{"resourceType":"Observation","id":"a","value":6.30,"note":[{"text":"x"}],"code":{"coding":[{"code":"c","display":"d"}]}}"#;
    const A_LESS: &str = r#"{"resourceType":"Observation","id":"a","value":6.30,"code":{"coding":[{"code":"c"}]}}"#;
    const B: &str = r#"{"resourceType":"Observation","id":"b"}"#;
    const C: &str = r#"{"resourceType":"Observation","id":"c"}"#;

    #[test]
    fn every_difference_has_a_reason() {
        let verdicts = account(&[("Observation/a", None), ("Observation/b", Some(Withheld::Constraint))]);
        let comparison = Comparison::new(&bundle(&[A, B]), &bundle(&[A_LESS]), verdicts, entry()).unwrap();
        let json = serde_json::to_string(&comparison).unwrap();
        let element = "element: not among the elements that the decision releases";
        let constraint = "constraint: outside what the decision permits for this resource type (fails date=ge2024)";
        let held = [("a.note", element), ("a.code.coding.display", element), ("b", constraint)];
        let held: Vec<String> = held
            .iter()
            .map(|(what, reason)| format!(r#"{{"what":"Observation/{what}","reason":"{reason}"}}"#))
            .collect();
        let (upstream, released) = (bundle(&[A, B]), bundle(&[A_LESS]));
        let expected = format!(
            r#"{{"upstream":{},"released":{},"withheld":[{}],"request":"Observation?x=1","upstream_request":"/Observation?x=1","decision_id":"d"}}"#,
            String::from_utf8(upstream).unwrap(),
            String::from_utf8(released).unwrap(),
            held.join(",")
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn an_answer_that_contradicts_the_account_is_not_explained_away() {
        let compare = |released: &[&str], verdicts: &[(&str, Option<Withheld>)]| {
            Comparison::new(&bundle(&[A, B]), &bundle(released), account(verdicts), entry())
        };
        let (a, b) = (("Observation/a", None), ("Observation/b", Some(Withheld::Label)));
        assert!(compare(&[A], &[a, b]).is_ok());
        for (released, verdicts) in [
            (vec![A, B], vec![a, b]),
            (vec![], vec![a, b]),
            (vec![A], vec![a]),
            (vec![A, C], vec![a, b]),
            (vec![A], vec![a, ("Observation/b", None)]),
        ] {
            assert!(compare(&released, &verdicts).is_err(), "{released:?} {verdicts:?}");
        }
        let recorded = Entry { decision: None, ..entry() };
        assert!(Comparison::new(&bundle(&[]), &bundle(&[]), account(&[]), recorded).is_err());
    }
}
