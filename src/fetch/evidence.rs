//! Evidence of authorship, as the EHR has it.
//!
//! Takes: [`LookUp`]s and room for the record of their exchange. Gives: the bytes of a searchset for each. Guarantees: several
//! take one request, a batch of searches, where the EHR answers that; each is kept like any answer, below the decision, by its
//! own search, however it was asked. Refuses: more than [`limits::ATTRIBUTED_PAGE_BYTES`]; what answers another
//! search; a batch that is not answered entry for entry, of which nothing is used.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answers::CacheKey;
use super::body::{UpstreamBody, Whole};
use super::{Ehr, FetchError, RESOURCE, checked};
use crate::audit::HeldSpace;
use crate::fhir::json::{Tape, Value};
use crate::fhir::name::ResourceType;
use crate::fhir::reference::Reference;
use crate::id::ExchangeId;
use crate::limits;
use crate::rewrite::{LookUp, Together};

/// What came of looking several things up.
#[derive(Debug, Default)]
pub struct Learned {
    /// Of each, in order.
    pub found: Vec<Result<Bytes, FetchError>>,
    /// The types that the EHR was asked for; what was kept is not among them.
    pub asked: Vec<ResourceType>,
}

impl Ehr {
    /// Whether several things may be looked up in one request; not for [`limits::EHR_APART`] once the EHR did not answer one.
    pub fn answers_together(&self) -> bool {
        self.apart_since.get().is_none_or(|since| since.elapsed() > limits::EHR_APART)
    }

    /// Looks up, or finds in the cache, in one request at most; nothing is found of several where the EHR does not answer
    /// them together.
    pub async fn learn(
        &self,
        look_ups: &[LookUp],
        _space: &impl HeldSpace,
        exchange: ExchangeId,
    ) -> Result<Learned, FetchError> {
        let mut found: Vec<_> = look_ups.iter().map(|look_up| self.kept(look_up).map(Ok)).collect();
        let missing: Vec<&LookUp> =
            look_ups.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(look_up, _)| look_up).collect();
        let mut learned = Learned::default();
        learned.asked.extend(missing.iter().map(|look_up| look_up.resource_type()));
        let answers = match (Together::of(&missing), missing.first()) {
            (Some(together), _) => match self.ask_together(&together, &missing, exchange).await? {
                Some(answers) => answers,
                None => return Ok(learned),
            },
            (None, Some(look_up)) => vec![self.search_by(look_up, exchange).await],
            (None, None) => Vec::new(),
        };
        for (look_up, answer) in missing.iter().zip(&answers) {
            if let Ok(bytes) = answer {
                let (key, life) = self.keeping(look_up);
                self.answers.keep_for(key, bytes, life);
            }
        }
        let mut answers = answers.into_iter();
        found.iter_mut().filter(|found| found.is_none()).for_each(|found| *found = answers.next());
        learned.found = found.into_iter().flatten().collect();
        Ok(learned)
    }

    fn keeping(&self, look_up: &LookUp) -> (CacheKey, Duration) {
        let life = self.answers.keep(look_up.resource_type(), look_up.keep());
        (CacheKey::of(look_up.target(), look_up.form()), life)
    }

    fn kept(&self, look_up: &LookUp) -> Option<Bytes> {
        let (key, life) = self.keeping(look_up);
        self.answers.find(&key, life)
    }

    async fn search_by(&self, look_up: &LookUp, exchange: ExchangeId) -> Result<Bytes, FetchError> {
        let answer = self.send(look_up.target(), look_up.form().cloned(), exchange).await?;
        let found = whole(checked(answer)?).await?;
        if is_answer(&found, look_up) { Ok(found) } else { Err(FetchError::Mismatch) }
    }

    /// The answers to so many searches; `None` where the EHR does not answer them together, whatever it says instead.
    async fn ask_together(
        &self,
        together: &Together,
        look_ups: &[&LookUp],
        exchange: ExchangeId,
    ) -> Result<Option<Vec<Result<Bytes, FetchError>>>, FetchError> {
        let target = if self.origin.base_path().is_empty() { "/" } else { "" };
        let answer = self.send_as(target, Some((RESOURCE, together.body().clone())), exchange).await?;
        let parts = match checked(answer) {
            Ok(body) => parts(&whole(body).await?, look_ups.len()),
            Err(_) => None,
        };
        // Answers that were exchanged between the entries would each be kept as that to another search.
        let fits = |(part, look_up): (&Result<Bytes, FetchError>, &&LookUp)| {
            part.as_ref().map_or(true, |found| is_answer(found, look_up))
        };
        let parts = parts.filter(|parts| parts.iter().zip(look_ups).all(fits));
        self.apart_since.set(if parts.is_some() { None } else { Some(Instant::now()) });
        Ok(parts)
    }

    /// Holds the whole of an answer whose records' authorship is to be judged.
    pub async fn hold(&self, mut head: Vec<u8>, mut rest: UpstreamBody) -> Result<Bytes, FetchError> {
        while let Some(bytes) = rest.next().await? {
            if head.len() + bytes.len() > limits::ATTRIBUTED_PAGE_BYTES {
                return Err(FetchError::TooLarge);
            }
            head.extend_from_slice(&bytes);
        }
        Ok(head.into())
    }
}

async fn whole(body: UpstreamBody) -> Result<Bytes, FetchError> {
    match body.whole(limits::ATTRIBUTED_PAGE_BYTES).await? {
        Whole::Complete(bytes) => Ok(bytes),
        Whole::Larger { .. } => Err(FetchError::TooLarge),
    }
}

/// Whether a searchset can be the answer to this search.
fn is_answer(found: &Bytes, look_up: &LookUp) -> bool {
    let mut tape = Tape::new();
    let Ok(document) = tape.read(found) else { return false };
    let root = document.root();
    let entries = root.get("entry").into_iter().flat_map(Value::each).filter_map(|entry| entry.get("resource"));
    let found: Vec<_> = entries
        .map(|resource| {
            let text = |name: &str| resource.get(name).and_then(Value::text).unwrap_or_default();
            let (type_name, id) = (text("resourceType"), text("id"));
            let name = Reference::parse(&format!("{type_name}/{id}"), &[]);
            (type_name, name)
        })
        .collect();
    root.get("resourceType").and_then(Value::text).is_some_and(|stated| stated == "Bundle")
        && look_up.may_find(found.iter().map(|(type_name, name)| (&**type_name, name.clone())))
}

/// The answers in a `batch-response`: one for each that was asked, or none at all.
fn parts(answer: &Bytes, count: usize) -> Option<Vec<Result<Bytes, FetchError>>> {
    let mut tape = Tape::new();
    let bundle = tape.read(answer).ok()?.root();
    let is = |name: &str, text: &str| bundle.get(name).and_then(Value::text).is_some_and(|have| have == text);
    if !is("resourceType", "Bundle") || !is("type", "batch-response") {
        return None;
    }
    let part = |entry: Value<'_>| {
        let status = entry.get("response").and_then(|response| response.get("status")).and_then(Value::text)?;
        let status: u16 = status.get(..3)?.parse().ok()?;
        Some(match (status, entry.get("resource")) {
            (200, Some(resource)) => Ok(answer.slice_ref(resource.raw().as_bytes())),
            (200, None) => Err(FetchError::Mismatch),
            _ => Err(FetchError::Status(status)),
        })
    };
    let entries = bundle.get("entry").into_iter().flat_map(Value::each);
    let parts: Option<Vec<_>> = entries.map(part).collect();
    parts.filter(|parts| parts.len() == count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_search_of_a_batch_has_its_own_answer() {
        let entries = [
            r#"{"resource":{"resourceType":"Bundle","id":"a"},"response":{"status":"200 OK"}}"#,
            r#"{"response":{"status":"403"}}"#,
            r#"{"response":{"status":"200"}}"#,
        ];
        let of = |kind: &str, entries: &[&str]| {
            let text = format!(r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#, entries.join(","));
            parts(&Bytes::from(text), 3)
        };
        let found = of("batch-response", &entries).unwrap();
        assert_eq!(found[0].as_deref().unwrap(), br#"{"resourceType":"Bundle","id":"a"}"#);
        assert_eq!(found[1..], [Err(FetchError::Status(403)), Err(FetchError::Mismatch)]);
        assert_eq!(of("batch-response", &entries[..2]), None);
        assert_eq!(of("searchset", &entries), None);
        assert_eq!(of("batch-response", &[entries[0], "{}", entries[1]]), None);
        assert_eq!(parts(&Bytes::from_static(b"<html>"), 3), None);
    }
}
