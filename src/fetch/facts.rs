//! Facts about patients that a decision needs, gathered before it is taken.
//!
//! Takes: patient ids. Gives: [`Facts`]: coverage, consents and roster memberships. Guarantees: each fact was proved
//! to be about that very patient; all pages or none; remembered for a short, stated time. Refuses: to decide on half a
//! list: an EHR that answers in part is a failure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use moka::sync::Cache;

use super::answers::CacheKey;
use super::{Ehr, FetchError};
use crate::audit::Noted;
use crate::decide::{ConsentFact, CoverageFact, Facts, PatientFacts, Roster};
use crate::fhir::json::{Kind, Tape, Value};
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
    /// The resource, or the status by which the EHR shows none.
    pub(super) found: Result<Bytes, u16>,
    /// Whether the EHR was asked for it just now.
    pub(super) is_fresh: bool,
    owners: Vec<Id>,
}

impl Look {
    /// The patients whose record it is; none where the EHR shows no such resource or nothing proves whose it is.
    pub fn owners(&self) -> &[Id] {
        &self.owners
    }

    /// The status by which the EHR shows no such resource, where it shows none.
    pub fn hidden(&self) -> Option<u16> {
        self.found.as_ref().err().copied()
    }
}

impl Ehr {
    /// Gathers the facts about `patients`. Where the EHR refuses them for a patient (403), there are none of that patient,
    /// as there are none of one who is not there, and the status is given: what is permitted without them must not leave.
    pub async fn facts(
        &self,
        source: &FactSource,
        roster: &Roster,
        patients: &[Id],
        noted: Noted<'_>,
        exchange: ExchangeId,
    ) -> Result<(Facts, Option<u16>), FetchError> {
        let (mut facts, mut hidden) = (Facts::default(), None);
        for patient in patients {
            let known = match source.known.get(patient) {
                Some(known) => known,
                None => match Box::pin(self.gather(source, patient, noted, exchange)).await {
                    Ok(found) => {
                        let found = Arc::new(found);
                        source.known.insert(patient.clone(), Arc::clone(&found));
                        found
                    }
                    Err(FetchError::Hidden(status)) => {
                        hidden = Some(status);
                        Arc::default()
                    }
                    Err(error) => return Err(error),
                },
            };
            let mut known = (*known).clone();
            if source.roster {
                known.roster = roster.memberships(patient);
            }
            facts.patients.insert(patient.clone(), known);
        }
        Ok((facts, hidden))
    }

    /// Looks a resource up, to learn whose record it is before anything is decided.
    pub async fn look_up(
        &self,
        resource: &Reference,
        _noted: Noted<'_>,
        exchange: ExchangeId,
    ) -> Result<Look, FetchError> {
        let target: Box<str> = format!("/{resource}").into();
        let kept = self.answers.find(&CacheKey::of(&target, None), Duration::MAX);
        let is_fresh = kept.is_none();
        let found = match kept {
            Some(kept) => Ok(kept),
            None => self.ask(&target, limits::RESOURCE_BYTES, exchange).await?,
        };
        let mut owners = Vec::new();
        if let Ok(bytes) = &found {
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
        _noted: Noted<'_>,
        exchange: ExchangeId,
    ) -> Result<PatientFacts, FetchError> {
        let mut facts = PatientFacts::default();
        if source.coverage {
            self.about(patient, "Coverage", exchange, &mut |resource| {
                facts.coverage.extend(CoverageFact::of(resource));
                Some(())
            })
            .await?;
        }
        if source.consent {
            self.about(patient, "Consent", exchange, &mut |resource| {
                facts.consents.push(ConsentFact::of(resource)?);
                Some(())
            })
            .await?;
        }
        Ok(facts)
    }

    async fn about(
        &self,
        patient: &Id,
        type_name: &str,
        exchange: ExchangeId,
        visit: &mut dyn FnMut(Value<'_>) -> Option<()>,
    ) -> Result<(), FetchError> {
        let target = format!("/{type_name}?patient={patient}&_count=200");
        let bytes = match self.ask(&target, limits::RESOURCE_BYTES, exchange).await? {
            Ok(bytes) => bytes,
            Err(status) if status == StatusCode::FORBIDDEN.as_u16() => return Err(FetchError::Hidden(status)),
            // An EHR without such a type has no facts to decide by.
            Err(_) => return Err(FetchError::Facts),
        };
        let resource_type = ResourceType::parse(type_name).map_err(|_| FetchError::Facts)?;
        let mut tape = Tape::new();
        let bundle = tape.read(&bytes).map_err(|_| FetchError::Media)?.root();
        visit_records(bundle, resource_type, patient, self.base(), visit).ok_or(FetchError::Facts)
    }
}

/// Visits the records of `patient` in a searchset. `None` where it is none, is not all, or holds what could forbid a
/// release and cannot be read: a Consent of nobody knows whom.
fn visit_records(
    bundle: Value<'_>,
    resource_type: ResourceType,
    patient: &Id,
    base: &str,
    visit: &mut dyn FnMut(Value<'_>) -> Option<()>,
) -> Option<()> {
    let is = |value: Option<Value<'_>>, text: &str| value.and_then(Value::text).is_some_and(|have| have == text);
    let is_array = |name: &str| bundle.get(name).is_none_or(|value| value.kind() == Kind::Array);
    let is_searchset = is(bundle.get("resourceType"), "Bundle") && is(bundle.get("type"), "searchset");
    if !is_searchset || !is_array("link") || !is_array("entry") {
        return None;
    }
    if bundle.get("link").into_iter().flat_map(Value::items).any(|link| is(link.get("relation"), "next")) {
        return None;
    }
    let owner = Subject::Patients(vec![patient.clone()]);
    for entry in bundle.get("entry").into_iter().flat_map(Value::items) {
        let Some(resource) = entry.get("resource") else { continue };
        if !is(resource.get("resourceType"), resource_type.as_str()) {
            continue;
        }
        match subject::of(resource_type, resource, &[base]) {
            subject if subject == owner => visit(resource)?,
            Subject::Patients(_) => {}
            _ if resource_type.as_str() == "Consent" => return None,
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consents(bundle: &str) -> Option<usize> {
        let (mut tape, mut count) = (Tape::new(), 0);
        let consent = ResourceType::parse("Consent").unwrap();
        let bundle = tape.read(bundle.as_bytes()).unwrap().root();
        visit_records(bundle, consent, &Id::parse("p1").unwrap(), "http://ehr/fhir", &mut |resource| {
            count += 1;
            ConsentFact::of(resource).map(|_| ())
        })?;
        Some(count)
    }

    #[test]
    fn a_consent_that_cannot_be_read_is_no_absence_of_one() {
        let bundle = |patient: &str, more: &str| {
            format!(
                r#"{{"resourceType":"Bundle","type":"searchset","entry":[
                    {{"resource":{{"resourceType":"Consent","status":"active","patient":{patient}}}}}]{more}}}"#
            )
        };
        let own = bundle(r#"{"reference":"Patient/p1"}"#, "");
        assert_eq!(consents(&own), Some(1));
        assert_eq!(consents(&bundle(r#"{"reference":"Patient/p2"}"#, "")), Some(0));
        assert_eq!(consents(r#"{"resourceType":"Bundle","type":"searchset"}"#), Some(0));
        for bad in [
            bundle(r#"{"reference":"https://public.example/fhir/Patient/p1"}"#, ""),
            bundle(r#"{"identifier":{"value":"MRN-1"}}"#, ""),
            bundle("null", ""),
            bundle(r#"{"reference":"Patient/p1"}"#, r#","link":[{"relation":"next","url":"http://ehr/fhir?p=2"}]"#),
            bundle(r#"{"reference":"Patient/p1"}"#, r#","link":{"relation":"next","url":"http://ehr/fhir?p=2"}"#),
            own.replace(r#""entry":["#, r#""entry":{"0":"#).replace("]}", "}}"),
            own.replace(r#""status":"active","#, ""),
            own.replace("searchset", "collection"),
        ] {
            assert_eq!(consents(&bad), None, "{bad}");
        }
    }
}
