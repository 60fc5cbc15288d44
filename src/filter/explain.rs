//! The verdicts of the filter one by one, for a person who may see the whole answer.
//!
//! Takes: what [`super::BundleFilter`] takes, and who is known to answer for the records. Gives: what became of each resource, and what it failed on. Guarantees:
//! the verdicts are the filter's own, from the same pass over the same bytes. Refuses: what the filter refuses. What
//! it gives names records and their labels: it is for people at the EHR, never for logs and never for clients.

use std::sync::Arc;

use super::judge::Judge;
use super::{Attribution, Bases, BundleFilter, FilterError, Withheld};
use crate::fhir::json::Value;
use crate::fhir::reference::Reference;
use crate::fhir::search::Criterion;
use crate::rewrite::Question;

/// What became of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its type and id; `None` where it has none.
    pub resource: Option<Reference>,
    /// Why it is withheld; `None` where it is released.
    pub withheld: Option<Withheld>,
    /// What it failed on: labels as `system|code`, criteria in FHIR search syntax, a verdict on its authorship with the findings
    /// that it rests on.
    pub failed: Vec<String>,
}

/// Filters a searchset and tells of every resource in it. Without `attribution` nobody answers for anything.
pub fn explain(
    bytes: &[u8],
    question: &Question,
    bases: Bases<'_>,
    attribution: Option<Arc<Attribution>>,
) -> Result<Vec<Judged>, FilterError> {
    let mut filter = BundleFilter::explaining(question, bases);
    filter.attribute(attribution);
    filter.feed(bytes)?;
    filter.end()?;
    Ok(filter.into_account())
}

impl Judge<'_> {
    /// What a withheld resource failed on, where the reason alone does not say it.
    pub(super) fn failed(&self, reason: Withheld, identity: &Reference, resource: Value<'_>) -> Vec<String> {
        let unmet = |criteria: &[Criterion]| -> Vec<String> {
            let unmet = criteria.iter().filter(|criterion| !criterion.matches(resource, &[self.bases().ehr]));
            unmet.map(ToString::to_string).collect()
        };
        match reason {
            Withheld::Constraint => {
                let rule = self.question().rule(identity.resource_type);
                let alternatives = rule.map(|rule| rule.alternatives.as_slice()).unwrap_or_default();
                // Of several alternatives, the one that comes closest is the one to speak of.
                alternatives.iter().map(|all| unmet(all)).min_by_key(Vec::len).unwrap_or_default()
            }
            Withheld::Label => self.labels(resource),
            Withheld::Computed => {
                let mut found = Vec::new();
                self.computed_labels(resource, &mut |label| {
                    let text = format!("{}|{}", label.system, label.code);
                    if !found.contains(&text) {
                        found.push(text);
                    }
                });
                found
            }
            Withheld::Query => {
                self.question().interaction().search().map(|search| unmet(search.criteria())).unwrap_or_default()
            }
            Withheld::Authorship => {
                let verdict = self.authorship(identity.resource_type, resource);
                let verdict = verdict.map(|verdict| verdict.to_string());
                verdict.into_iter().chain(self.authorship_grounds(resource)).collect()
            }
            Withheld::Include
            | Withheld::Malformed
            | Withheld::Modifier
            | Withheld::Patient
            | Withheld::Signed
            | Withheld::Subject
            | Withheld::Type => Vec::new(),
        }
    }

    /// The labels of a resource and in it that are withheld.
    fn labels(&self, resource: Value<'_>) -> Vec<String> {
        let contained = resource.get("contained").into_iter().flat_map(Value::each);
        let metas = std::iter::once(resource).chain(contained).filter_map(|resource| resource.get("meta"));
        let own = metas.filter_map(|meta| meta.get("security")).flat_map(Value::each);
        let mut found = Vec::new();
        own.for_each(|label| self.note(label, &mut found));
        self.inline_labels(resource, &mut |label| self.note(label, &mut found));
        found
    }

    fn note(&self, label: Value<'_>, found: &mut Vec<String>) {
        let member = |name: &str| label.get(name).and_then(Value::text).unwrap_or_default();
        let text = format!("{}|{}", member("system"), member("code"));
        if self.withholds(label) && !found.contains(&text) {
            found.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::permit;
    use crate::fhir::name::Id;
    use crate::rewrite::rewrite;
    use crate::understand::testing::interaction;

    const BASES: Bases<'static> = Bases { ehr: "http://ehr/fhir", gateway: "https://gw/fhir" };

    const DECISION: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
        "types":{"Observation":{"elements":["*"],"where":["category=laboratory&date=ge2024-01-01","category=vital-signs&date=ge2025-01-01"]},
                 "Practitioner":{"elements":["*"]}},
        "withhold_labels":["http://labels|HIV","http://labels|R"],"includes":["Observation:performer"]}"#;

    fn observation(id: &str, more: &str) -> String {
        format!(
            r#"{{"resource":{{"resourceType":"Observation","id":"{id}","subject":{{"reference":"Patient/p1"}},
                "code":{{"coding":[{{"code":"4548-4"}}]}},"performer":[{{"reference":"Practitioner/x"}}],{more}}}}}"#
        )
    }

    fn judged(asked: &str, entries: &[String]) -> Vec<(String, Option<Withheld>, Vec<String>)> {
        let interaction = interaction(asked);
        let permit = permit(DECISION, &interaction);
        let question = rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question();
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{}]}}"#, entries.join(","));
        let account = explain(bundle.as_bytes(), &question, BASES, None).unwrap();
        let name = |resource: Option<Reference>| resource.map(|resource| resource.to_string()).unwrap_or_default();
        account.into_iter().map(|judged| (name(judged.resource), judged.withheld, judged.failed)).collect()
    }

    #[test]
    fn every_resource_is_told_of_with_what_it_failed_on() {
        let lab = r#""category":[{"coding":[{"code":"laboratory"}]}]"#;
        let vital = lab.replace("laboratory", "vital-signs");
        let dated = |day: &str| format!(r#"{lab},"effectiveDateTime":"{day}""#);
        let label = |code: &str| format!(r#"{{"system":"http://labels","code":"{code}"}}"#);
        let labels = format!(
            r#""meta":{{"security":[{},{},{}]}},{}"#,
            label("N"),
            label("R"),
            label("HIV"),
            dated("2024-05-01")
        );
        let inline = format!(
            r#"{},"note":[{{"extension":[{{"url":"http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label","valueCoding":{}}}]}}]"#,
            dated("2024-05-01"),
            label("HIV")
        );
        let practitioner = r#"{"resource":{"resourceType":"Practitioner","id":"x"}}"#.to_owned();
        let entries = [
            practitioner,
            observation("good", &dated("2024-05-01")),
            observation("early", &dated("2023-05-01")),
            observation("undated", lab),
            observation("vital", &format!(r#"{vital},"effectiveDateTime":"2023-05-01""#)),
            observation("labelled", &labels),
            observation("inline", &inline),
            observation("other", &dated("2024-05-01")).replace("4548-4", "718-7"),
            r#"{"resource":{"resourceType":"Observation"}}"#.to_owned(),
        ];
        let constraint = Some(Withheld::Constraint);
        let expected = [
            ("Observation/good", None, vec![]),
            ("Observation/early", constraint, vec!["date=ge2024-01-01"]),
            ("Observation/undated", constraint, vec!["date=ge2024-01-01"]),
            ("Observation/vital", constraint, vec!["date=ge2025-01-01"]),
            ("Observation/labelled", Some(Withheld::Label), vec!["http://labels|R", "http://labels|HIV"]),
            ("Observation/inline", Some(Withheld::Label), vec!["http://labels|HIV"]),
            ("Observation/other", Some(Withheld::Query), vec!["code=4548-4"]),
            ("", Some(Withheld::Malformed), vec![]),
        ];
        let owned = |(name, withheld, failed): &(&str, Option<Withheld>, Vec<&str>)| {
            ((*name).to_owned(), *withheld, failed.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let mut wanted: Vec<_> = expected.iter().map(owned).collect();
        let included = judged("Observation?patient=p1&code=4548-4&_include=Observation:performer", &entries);
        wanted.push(("Practitioner/x".to_owned(), None, Vec::new()));
        assert_eq!(included, wanted);
        let plain = judged("Observation?patient=p1&code=4548-4", &entries);
        wanted.pop();
        wanted.insert(0, ("Practitioner/x".to_owned(), Some(Withheld::Include), Vec::new()));
        assert_eq!(plain, wanted);
    }
}
