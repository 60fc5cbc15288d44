//! Facts about patients that a decision needs, gathered before it is taken.
//!
//! Takes: patient ids. Gives: [`Facts`]: coverage, consents and roster memberships. Guarantees: each fact was proved
//! to be about that very patient; all pages or none; remembered for a short, stated time. Refuses: to decide on half a
//! list: an EHR that answers in part is a failure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;

use super::answers::CacheKey;
use super::{Ehr, FetchError};
use crate::audit::Reservation;
use crate::decide::{ConsentFact, CoverageFact, Facts, PatientFacts, Roster};
use crate::fhir::json::{Tape, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::fhir::subject::{self, Subject};
use crate::id::ExchangeId;
use crate::limits;

/// Which facts the policy wants, and where they are remembered.
#[derive(Debug)]
pub struct FactSource {
    coverage: bool,
    consent: bool,
    roster: bool,
    known: Cache<Id, Arc<PatientFacts>>,
}

impl FactSource {
    /// A source of the facts that are named.
    pub fn new(coverage: bool, consent: bool, roster: bool) -> Self {
        let known = Cache::builder().max_capacity(limits::FACT_CACHE).time_to_live(limits::FACT_CACHE_LIFE).build();
        Self { coverage, consent, roster, known }
    }
}

/// A resource that was fetched before the decision, for whose record it is; released only as the answer to a prepared
/// request that asks for the same.
#[derive(Debug)]
pub struct Look {
    pub(super) target: Box<str>,
    pub(super) found: Option<Bytes>,
    /// Whether the EHR was asked for it just now.
    pub(super) is_fresh: bool,
    owners: Vec<Id>,
}

impl Look {
    /// The patients whose record it is; none where the EHR has no such resource or nothing proves whose it is.
    pub fn owners(&self) -> &[Id] {
        &self.owners
    }
}

impl Ehr {
    /// Gathers the facts about `patients`.
    pub async fn facts(
        &self,
        source: &FactSource,
        roster: &Roster,
        patients: &[Id],
        room: &Reservation,
        exchange: ExchangeId,
    ) -> Result<Facts, FetchError> {
        let mut facts = Facts::default();
        for patient in patients {
            let known = match source.known.get(patient) {
                Some(known) => known,
                None => {
                    let found = Arc::new(self.gather(source, patient, room, exchange).await?);
                    source.known.insert(patient.clone(), Arc::clone(&found));
                    found
                }
            };
            let mut known = (*known).clone();
            if source.roster {
                known.roster = roster.memberships(patient);
            }
            facts.patients.insert(patient.clone(), known);
        }
        Ok(facts)
    }

    /// Looks a resource up, to learn whose record it is before anything is decided.
    pub async fn look_up(
        &self,
        resource: &Reference,
        _room: &Reservation,
        exchange: ExchangeId,
    ) -> Result<Look, FetchError> {
        let target: Box<str> = format!("/{resource}").into();
        let kept = self.answers.find(&CacheKey::of(&target, None), Duration::MAX);
        let is_fresh = kept.is_none();
        let found = match kept {
            Some(kept) => Some(kept),
            None => self.ask(&target, limits::RESOURCE_BYTES, exchange).await?,
        };
        let mut owners = Vec::new();
        if let Some(bytes) = &found {
            let mut tape = Tape::new();
            let root = tape.read(bytes).map_err(|_| FetchError::Media)?.root();
            let is = |name: &str, text: &str| root.get(name).and_then(Value::text).is_some_and(|have| have == text);
            if !is("resourceType", resource.resource_type.as_str()) || !is("id", resource.id.as_str()) {
                return Err(FetchError::Mismatch);
            }
            if let Subject::Patients(patients) = subject::of(resource.resource_type, root, &[self.base()]) {
                owners = patients;
            }
        }
        Ok(Look { target, found, is_fresh, owners })
    }

    async fn gather(
        &self,
        source: &FactSource,
        patient: &Id,
        _room: &Reservation,
        exchange: ExchangeId,
    ) -> Result<PatientFacts, FetchError> {
        let mut facts = PatientFacts::default();
        if source.coverage {
            self.about(patient, "Coverage", exchange, &mut |resource| {
                facts.coverage.extend(CoverageFact::of(resource))
            })
            .await?;
        }
        if source.consent {
            self.about(patient, "Consent", exchange, &mut |resource| facts.consents.extend(ConsentFact::of(resource)))
                .await?;
        }
        Ok(facts)
    }

    async fn about(
        &self,
        patient: &Id,
        type_name: &str,
        exchange: ExchangeId,
        visit: &mut dyn FnMut(Value<'_>),
    ) -> Result<(), FetchError> {
        let target = format!("/{type_name}?patient={patient}&_count=200");
        let bytes = self.ask(&target, limits::RESOURCE_BYTES, exchange).await?.ok_or(FetchError::Facts)?;
        let resource_type = ResourceType::parse(type_name).map_err(|_| FetchError::Facts)?;
        let mut tape = Tape::new();
        let bundle = tape.read(&bytes).map_err(|_| FetchError::Media)?.root();
        let is = |value: Option<Value<'_>>, text: &str| value.and_then(Value::text).is_some_and(|have| have == text);
        if !is(bundle.get("resourceType"), "Bundle") || !is(bundle.get("type"), "searchset") {
            return Err(FetchError::Facts);
        }
        if bundle.get("link").into_iter().flat_map(Value::items).any(|link| is(link.get("relation"), "next")) {
            return Err(FetchError::Facts);
        }
        let owner = Subject::Patients(vec![patient.clone()]);
        for entry in bundle.get("entry").into_iter().flat_map(Value::items) {
            let Some(resource) = entry.get("resource") else { continue };
            if is(resource.get("resourceType"), type_name)
                && subject::of(resource_type, resource, &[self.base()]) == owner
            {
                visit(resource);
            }
        }
        Ok(())
    }
}
