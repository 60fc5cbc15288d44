//! Who is responsible for the records of an answer: what is known of it is gathered before the answer is judged.
//!
//! Takes: a question whose decision asks for it, and the EHR's answer, held whole. Gives: an [`Attribution`], which the filter
//! judges by. Guarantees: at most [`limits::EVIDENCE_LOOKUPS`] requests to the EHR beside the answer's own, however many records
//! it holds, and two where the EHR answers batches and gives along what roles are of (three where records came along with others:
//! an EHR does not give along the Provenance of those); only what passes every other check of the filter is asked about, so that
//! nothing else shows in requests, times and failures; where something was not asked, or answered in part, nobody answers for
//! anything; signatures on those records are verified over the bytes that came, one after the other with a pause for others in
//! between. Refuses: an EHR that fails.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::Gateway;
use crate::audit::HeldSpace;
use crate::authorship::{Evidence, Gathered, Record, Registry, Trust, Verifier, is_about};
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
        let unproven = if comes_along { &inquiry.included } else { &inquiry.records };
        let mut next: Vec<LookUp> = LookUp::provenance(question, unproven).into_iter().collect();
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
                inquiry.asked_originals |= look_up.is_of_originals();
                match found {
                    Ok(found) => inquiry.add(&found, look_up)?,
                    // What the EHR does not show, or answers by something else, is not known; that it fails is another matter.
                    Err(FetchError::Status(400..=499) | FetchError::Hidden(_) | FetchError::Mismatch) => {
                        inquiry.is_whole = false;
                    }
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
    /// Of those, the ones that came along with others: an EHR gives along the Provenance of what it was searched for alone.
    included: Vec<Reference>,
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
            included: Vec::new(),
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
            inquiry.resource(root, false, question, &wanted);
            return Ok(inquiry);
        }
        let search = question.interaction().search();
        let brings_own =
            search.is_some_and(|search| search.includes().iter().any(|include| include.brings(search.resource_type())));
        let is_included = |entry: Value<'_>| {
            let mode = entry.get("search").and_then(|search| search.get("mode")).and_then(Value::text);
            brings_own && mode.is_none_or(|mode| mode != "match")
        };
        entries(root).for_each(|(entry, resource)| {
            inquiry.resource(resource, is_included(entry), question, &wanted);
        });
        let links = root.get("link").into_iter().flat_map(Value::each);
        let mut own =
            links.filter(|link| link.get("relation").and_then(Value::text).is_some_and(|name| name == "self"));
        let states = |link: Value<'_>| {
            link.get("url").and_then(Value::text).is_some_and(|url| url.contains("_revinclude=Provenance"))
        };
        inquiry.comes_along |= own.any(states);
        Ok(inquiry)
    }

    fn resource(&mut self, resource: Value<'_>, is_included: bool, question: &Question, wanted: &HashSet<Reference>) {
        self.gather(resource, &|name| wanted.contains(name));
        let Some(record) = Record::read(resource) else { return };
        self.comes_along |= record.resource_type().as_str() == "Provenance";
        let bases = [&*self.ehr];
        let Some(own) = record.reference().and_then(|name| Reference::parse(name, &bases)) else { return };
        let asks = question.rule(own.resource_type).is_some_and(|rule| rule.authorship.is_some());
        if asks && wanted.contains(&own) {
            self.named.extend(record.names().iter().filter_map(|name| Reference::parse(name, &bases)));
            if is_included || own.resource_type != question.interaction().resource_type() {
                self.included.push(own.clone());
            }
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
        let asked: HashSet<Reference> =
            if look_up.is_of_originals() { look_up.names() } else { &self.records }.iter().cloned().collect();
        for resource in resources(bundle) {
            self.gather(resource, &|name| asked.contains(name));
            if look_up.is_of_originals() && named(resource).is_some_and(|name| look_up.names().contains(&name)) {
                self.gathered.add_original(resource);
            }
        }
        Ok(())
    }

    /// Takes in people, organisations, and the Provenance of what `concerns` anybody: whom other Provenance names, nobody asks for.
    fn gather(&mut self, resource: Value<'_>, concerns: &dyn Fn(&Reference) -> bool) {
        let is_of = |name: &str| Reference::parse(name, &[&self.ehr]).is_some_and(|name| concerns(&name));
        let is_provenance = resource.get("resourceType").and_then(Value::text).is_some_and(|of| of == "Provenance");
        if is_provenance && !is_about(resource, is_of) && !named(resource).is_some_and(|name| concerns(&name)) {
            return;
        }
        if self.gathered.add(resource) {
            self.here.extend(named(resource));
        }
    }

    /// What is asked for next: originals, which lead to further organisations, then the people and organisations that are
    /// wanted and were not asked for, one search for each type of them.
    fn next(&mut self, question: &Question) -> Vec<LookUp> {
        let originals = self.originals(question);
        if !originals.is_empty() {
            return originals;
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

    /// What an exchange made records of, where a registry says whose word is taken for that; those of most come first. What is
    /// not asked for is no original that is known.
    fn originals(&mut self, question: &Question) -> Vec<LookUp> {
        if self.asked_originals || question.permit().registry().is_none() {
            return Vec::new();
        }
        let bases = [&*self.ehr];
        let names = self.gathered.originals().into_iter().filter_map(|name| Reference::parse(name, &bases));
        let mut by_type: BTreeMap<&str, Vec<Reference>> = BTreeMap::new();
        names.for_each(|name| by_type.entry(name.resource_type.as_str()).or_default().push(name));
        let mut by_type: Vec<Vec<Reference>> = by_type.into_values().collect();
        by_type.sort_by_key(|names| Reverse(names.len()));
        let look_up = |mut names: Vec<Reference>| {
            names.truncate(limits::EVIDENCE_COUNT as usize);
            LookUp::originals(question, names)
        };
        by_type.into_iter().filter_map(look_up).collect()
    }
}

fn named(resource: Value<'_>) -> Option<Reference> {
    Record::read(resource).and_then(|record| Reference::parse(record.reference()?, &[]))
}

fn resources<'v>(bundle: Value<'v>) -> impl Iterator<Item = Value<'v>> {
    entries(bundle).map(|(_, resource)| resource)
}

/// The entries that hold a resource.
fn entries<'v>(bundle: Value<'v>) -> impl Iterator<Item = (Value<'v>, Value<'v>)> {
    let entries = bundle.get("entry").into_iter().flat_map(Value::each);
    let held = entries.filter_map(|entry| Some((entry, entry.get("resource")?)));
    held.filter(|(_, resource)| resource.kind() == Kind::Object)
}
