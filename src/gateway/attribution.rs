//! Who is responsible for the records of an answer: what is known of it is gathered before the answer is judged.
//!
//! Takes: a question whose decision asks for it, and the EHR's answer, held whole. Gives: an [`Attribution`], which the filter
//! judges by. Guarantees: at most [`limits::EVIDENCE_LOOKUPS`] requests to the EHR beside the answer's own, however many records
//! it holds, and two where the EHR answers batches and gives along what roles are of; only what passes every other check of the
//! filter is asked about, so that nothing else shows in requests, times and failures; where something was not asked, or answered
//! in part, nobody answers for anything; signatures on those records are verified over the bytes that came, one after the other
//! with a pause for others in between. Refuses: an EHR that fails.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Gateway;
use crate::audit::HeldSpace;
use crate::authorship::{Evidence, Gathered, Record, Registry, Trust, Verifier};
use crate::clock::Now;
use crate::fetch::FetchError;
use crate::fhir::json::{Kind, Tape, Value};
use crate::fhir::reference::Reference;
use crate::filter::{self, Attribution, Bases, FilterError};
use crate::id::ExchangeId;
use crate::limits;
use crate::respond::refusal::Fault;
use crate::rewrite::{LookUp, ProvenanceFrom, Question};
use crate::understand::Interaction;

/// The types of directories, in the order in which they are asked for: roles bring the others along.
const DIRECTORY: [&str; 3] = ["PractitionerRole", "Organization", "Practitioner"];

impl Gateway {
    /// What is known of the records in `answer`; `None` where the decision does not ask.
    pub(super) async fn attribution(
        &self,
        question: &Question,
        answer: &Bytes,
        space: &impl HeldSpace,
        exchange: ExchangeId,
        now: Now,
    ) -> Result<Option<Arc<Attribution>>, Fault> {
        if !question.asks_authorship() {
            return Ok(None);
        }
        let mut inquiry = Inquiry::of(question, answer, self.shared.bases())?;
        let (mut left, mut look_ups_made) = (limits::EVIDENCE_LOOKUPS, Vec::new());
        let comes_along = self.shared.provenance == ProvenanceFrom::Include && inquiry.comes_along;
        let mut next: Vec<LookUp> =
            LookUp::provenance(question, &inquiry.records).filter(|_| !comes_along).into_iter().collect();
        loop {
            if next.is_empty() {
                next = inquiry.next(question);
                next.truncate(if self.ehr.answers_together() { DIRECTORY.len() } else { 1 });
            }
            if next.is_empty() {
                break;
            }
            if left == 0 {
                inquiry.is_whole = false;
                break;
            }
            left -= 1;
            let learned = self.ehr.learn(&next, space, exchange).await?;
            look_ups_made.extend(learned.asked);
            let look_ups = std::mem::take(&mut next);
            for (look_up, found) in look_ups.iter().zip(learned.found) {
                inquiry.asked.extend(look_up.names().iter().cloned());
                match found {
                    Ok(found) => inquiry.add(&found, look_up)?,
                    // What the EHR does not show is not known; that it fails is another matter.
                    Err(FetchError::Status(400..=499) | FetchError::Hidden(_)) => inquiry.is_whole = false,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let registry = question.permit().registry().cloned();
        let Inquiry { gathered, records, is_whole, .. } = inquiry;
        let mut evidence = gathered.finish();
        if let Some(registry) = registry.as_deref().filter(|_| is_whole) {
            signatures(answer, question, &records, registry, now, &mut evidence).await?;
        }
        let attribution = Arc::new(Attribution::new(evidence, is_whole, registry, now).sought(look_ups_made));
        if let Some(witness) = &self.shared.witness {
            witness.attributed(exchange, question, self.shared.bases(), &attribution);
        }
        Ok(Some(attribution))
    }
}

/// Adds what becomes of the signatures on `records`, as `answer` holds them. Others are served in between.
async fn signatures(
    answer: &Bytes,
    question: &Question,
    records: &[Reference],
    registry: &Registry,
    now: Now,
    evidence: &mut Evidence,
) -> Result<(), Fault> {
    let Some(mut verifier) = Verifier::new(Trust::by(registry), now) else { return Ok(()) };
    let mut tape = Tape::new();
    let root = tape.read(answer).map_err(FilterError::from)?.root();
    let wanted: HashSet<&Reference> = records.iter().collect();
    let (whole, entries) = match question.interaction() {
        Interaction::Read(_) => (None, vec![root]),
        Interaction::Page(_) | Interaction::Search(_) => (Some(root), resources(root).collect()),
    };
    for record in entries.into_iter().filter_map(Record::read) {
        let own = record.reference().and_then(|name| Reference::parse(name, &[]));
        if own.is_some_and(|own| wanted.contains(&own)) && verifier.verify(&record, whole, evidence) {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// What was gathered, and what for.
struct Inquiry {
    gathered: Gathered,
    /// Records whose authors are asked for.
    records: Vec<Reference>,
    /// People and organisations that the records name themselves.
    named: Vec<Reference>,
    /// People and organisations that are there.
    here: HashSet<Reference>,
    /// People and organisations that were asked for.
    asked: HashSet<Reference>,
    /// Whether originals were asked for.
    asked_originals: bool,
    /// Whether nothing that is wanted was left out.
    is_whole: bool,
    /// Whether the EHR gives Provenance along with what it is searched for.
    comes_along: bool,
    ehr: Box<str>,
}

impl Inquiry {
    fn of(question: &Question, answer: &[u8], bases: Bases<'_>) -> Result<Self, Fault> {
        let mut inquiry = Self {
            gathered: Gathered::new(&[bases.ehr]),
            records: Vec::new(),
            named: Vec::new(),
            here: HashSet::new(),
            asked: HashSet::new(),
            asked_originals: false,
            is_whole: true,
            comes_along: false,
            ehr: bases.ehr.into(),
        };
        let wanted = filter::unattributed(answer, question, bases)?;
        let mut tape = Tape::new();
        let root = tape.read(answer).map_err(FilterError::from)?.root();
        if let Interaction::Read(_) = question.interaction() {
            inquiry.resource(root, question, &wanted);
            return Ok(inquiry);
        }
        resources(root).for_each(|resource| inquiry.resource(resource, question, &wanted));
        let links = root.get("link").into_iter().flat_map(Value::each);
        let mut own =
            links.filter(|link| link.get("relation").and_then(Value::text).is_some_and(|name| name == "self"));
        let states = |link: Value<'_>| {
            link.get("url").and_then(Value::text).is_some_and(|url| url.contains("_revinclude=Provenance"))
        };
        inquiry.comes_along |= own.any(states);
        Ok(inquiry)
    }

    fn resource(&mut self, resource: Value<'_>, question: &Question, wanted: &HashSet<Reference>) {
        self.gather(resource);
        let Some(record) = Record::read(resource) else { return };
        self.comes_along |= record.resource_type().as_str() == "Provenance";
        let bases = [&*self.ehr];
        let Some(own) = record.reference().and_then(|name| Reference::parse(name, &bases)) else { return };
        let asks = question.rule(own.resource_type).is_some_and(|rule| rule.authorship.is_some());
        if asks && wanted.contains(&own) {
            self.named.extend(record.names().iter().filter_map(|name| Reference::parse(name, &bases)));
            self.records.push(own);
        }
    }

    /// Adds what the EHR found; all of it or none.
    fn add(&mut self, found: &[u8], look_up: &LookUp) -> Result<(), Fault> {
        let mut tape = Tape::new();
        let bundle = tape.read(found).map_err(FilterError::from)?.root();
        let is = |name: &str, text: &str| bundle.get(name).and_then(Value::text).is_some_and(|have| have == text);
        if !is("resourceType", "Bundle") || !is("type", "searchset") {
            return Err(FilterError::Mismatch.into());
        }
        let goes_on = |link: Value<'_>| link.get("relation").and_then(Value::text).is_some_and(|name| name == "next");
        if bundle.get("link").into_iter().flat_map(Value::each).any(goes_on) {
            self.is_whole = false;
        }
        for resource in resources(bundle) {
            self.gather(resource);
            if look_up.is_of_originals() && named(resource).is_some_and(|name| look_up.names().contains(&name)) {
                self.gathered.add_original(resource);
            }
        }
        Ok(())
    }

    fn gather(&mut self, resource: Value<'_>) {
        if self.gathered.add(resource) {
            self.here.extend(named(resource));
        }
    }

    /// What is asked for next: originals, which lead to further organisations, then the people and organisations that are
    /// wanted and were not asked for, one search for each type of them.
    fn next(&mut self, question: &Question) -> Vec<LookUp> {
        if let Some(originals) = self.originals(question) {
            return vec![originals];
        }
        let bases = [&*self.ehr];
        let wanted: Vec<Reference> =
            self.gathered.wanted().into_iter().filter_map(|name| Reference::parse(name, &bases)).collect();
        let is_open = |name: &&Reference| !self.here.contains(*name) && !self.asked.contains(*name);
        let all: Vec<&Reference> = wanted.iter().chain(&self.named).filter(is_open).collect();
        let mut look_ups = Vec::new();
        for type_name in DIRECTORY {
            let mut names: Vec<Reference> = all
                .iter()
                .filter(|name| name.resource_type.as_str() == type_name)
                .map(|name| (*name).clone())
                .collect();
            names.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            names.dedup();
            self.is_whole &= names.len() <= limits::EVIDENCE_COUNT as usize;
            names.truncate(limits::EVIDENCE_COUNT as usize);
            look_ups.extend(LookUp::directory(question, names));
        }
        look_ups
    }

    /// What an exchange made records of, where a registry says whose word is taken for that; of one type, that of most.
    fn originals(&mut self, question: &Question) -> Option<LookUp> {
        if std::mem::replace(&mut self.asked_originals, true) || question.permit().registry().is_none() {
            return None;
        }
        let bases = [&*self.ehr];
        let names = self.gathered.originals().into_iter().filter_map(|name| Reference::parse(name, &bases));
        let mut by_type: BTreeMap<&str, Vec<Reference>> = BTreeMap::new();
        names.for_each(|name| by_type.entry(name.resource_type.as_str()).or_default().push(name));
        let mut names = by_type.into_values().max_by_key(Vec::len)?;
        names.truncate(limits::EVIDENCE_COUNT as usize);
        LookUp::originals(question, names)
    }
}

fn named(resource: Value<'_>) -> Option<Reference> {
    Record::read(resource).and_then(|record| Reference::parse(record.reference()?, &[]))
}

fn resources<'v>(bundle: Value<'v>) -> impl Iterator<Item = Value<'v>> {
    let entries = bundle.get("entry").into_iter().flat_map(Value::each);
    entries.filter_map(|entry| entry.get("resource")).filter(|resource| resource.kind() == Kind::Object)
}
