//! Who is responsible for a record, as far as that is known.
//!
//! Takes: evidence that was gathered beside an answer, and the registry of sources. Gives: a verdict on each record of the
//! answer. Guarantees: the same evidence gives the same verdict. Refuses: to call asserted by an exchange what the registry does not let
//! an exchange assert.

use std::sync::Arc;

use crate::authorship::{self, Answer, Code, Evidence, Judged, Record, Registry, Trust, Verdict};
use crate::clock::Now;
use crate::fhir::json::Value;
use crate::fhir::name::ResourceType;
use crate::fhir::reference::Reference;

/// What is known beside the records of one answer.
#[derive(Debug)]
pub struct Attribution {
    evidence: Evidence,
    is_whole: bool,
    registry: Option<Arc<Registry>>,
    now: Now,
    look_ups: Vec<ResourceType>,
}

impl Attribution {
    /// What was gathered; `is_whole` tells whether all was that could contradict it. `registry` is `None` where the upstream is
    /// the source of all that it holds.
    pub fn new(evidence: Evidence, is_whole: bool, registry: Option<Arc<Registry>>, now: Now) -> Self {
        Self { evidence, is_whole, registry, now, look_ups: Vec::new() }
    }

    /// The same, gathered by searches of the EHR for these types.
    #[must_use]
    pub fn sought(self, look_ups: Vec<ResourceType>) -> Self {
        Self { look_ups, ..self }
    }

    /// The types that the EHR was searched for to gather it.
    pub(super) fn look_ups(&self) -> &[ResourceType] {
        &self.look_ups
    }

    /// The same, and the content of a document: the bytes of the Binary of this name.
    pub(super) fn with_content(&self, binary: &Reference, bytes: &[u8]) -> Self {
        Self {
            evidence: self.evidence.with_content(&binary.to_string(), bytes),
            is_whole: self.is_whole,
            registry: self.registry.clone(),
            now: self.now,
            look_ups: Vec::new(),
        }
    }

    /// The verdict on a record.
    pub(super) fn verdict(&self, resource: Value<'_>) -> Verdict {
        let Some(judged) = self.judged(resource) else { return Verdict::Unknown };
        let is_allowed = self.registry.is_none() || judged.exchange_allowed;
        match judged.verdict {
            verdict if !self.is_whole => verdict.min(Verdict::Unknown),
            Verdict::AssertedByHie if !is_allowed => Verdict::Unknown,
            verdict => verdict,
        }
    }

    fn judged(&self, resource: Value<'_>) -> Option<Judged> {
        let record = Record::read(resource)?;
        let trust = self.registry.as_deref().map_or_else(Trust::of_the_ehr, Trust::by);
        Some(authorship::judge(&record, &self.evidence, &trust, self.now))
    }

    /// What a verdict rests on, finding by finding: what does not match; where all does, whether somebody is named at all.
    pub(super) fn grounds(&self, resource: Value<'_>) -> Vec<String> {
        let Some(judged) = self.judged(resource) else { return Vec::new() };
        let mut grounds: Vec<Code> = judged.findings.mismatches().collect();
        if grounds.is_empty() {
            let nobody = [Code::AuthorStated, Code::AuthorResolvable].into_iter();
            grounds.extend(nobody.filter(|code| judged.findings.get(*code) == Some(Answer::CannotTell)).take(1));
        }
        let answer = |code: &Code| judged.findings.get(*code).map(Answer::as_str).unwrap_or_default();
        grounds.iter().map(|code| format!("{}: {}", code.as_str(), answer(code))).collect()
    }
}
