//! What the log says about one event.
//!
//! Takes: facts that the steps of an exchange hold. Gives: one JSON object on one line. Guarantees: ids,
//! codes, counts and digests, never clinical content (IHE BALP 1:52.4.1.3); at most
//! [`limits::AUDIT_RECORD_BYTES`] whatever the input holds. Refuses: nothing; what is too long is shortened
//! and says so.
//!
//! An entry that is too long is shortened in steps until it fits: texts are cut to 2,048, 512, 128 and 32
//! bytes, lists and maps to 64, 32, 16 and 4 members, and `truncated` is set. Totals are never changed, so
//! a reader sees how much is missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AuditError;
use crate::clock::Now;
use crate::id::ExchangeId;
use crate::limits;

/// One event. Every member but `kind` and `time` is left out where it does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// When, as a FHIR `instant` in UTC with milliseconds.
    pub time: String,
    /// The exchange, as the client sees it in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// For an entry of a batch, or a part of an operation: the exchange of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// For a closing: the sequence number of the exchange's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes: Option<u64>,
    /// The client's registered id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The organisation on whose behalf the client acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The purpose of use that was claimed and accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The access token's `jti` (RFC 7519 section 4.1.7); never the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The peer's network address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The interaction, a code of FHIR's `restful-interaction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction: Option<String>,
    /// The resource type the interaction is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// The request as it was understood, written canonically.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The request that was sent to the EHR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request: Option<String>,
    /// The status of the EHR's answer, where it was no answer to what was asked: the record is absent, deleted or refused,
    /// or the EHR failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// The policy's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Where the answer came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_from: Option<ServedFrom>,
    /// What the client was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How many resources came and went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Ids of the patients about whom something was released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<String>,
    /// SHA-256 of the body that was sent, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The signature on the body, where it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// From the request's head to this entry, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// For a closing: whether the answer was sent to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// For a start: the version of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// For a recovery: what was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Whether texts or lists of this entry were shortened.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A request and its answer, or its refusal.
    Exchange,
    /// The end of an answer that was sent in pieces.
    Closing,
    /// The gateway began to write this log.
    Start,
    /// The gateway ended in good order; a start without one follows a crash.
    Stop,
    /// An exchange that a gateway was at work on when it died. Whether it was answered is not known; it had no record, and
    /// without one there is no answer.
    Interrupted,
    /// An unfinished record was cut off at the start.
    Recovery,
    /// A policy was loaded or refused.
    PolicyLoad,
}

/// The decision and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Names the decision.
    pub id: String,
    /// The policy's revision.
    pub revision: String,
    /// What was decided.
    pub effect: Effect,
    /// Codes of the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The two ends of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Refused.
    Deny,
    /// Allowed, under the obligations that the policy set.
    Permit,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServedFrom {
    /// The gateway's own cache.
    Cache,
    /// The EHR.
    Ehr,
    /// The gateway itself: a refusal, or an answer that needs no data.
    None,
}

/// What the client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The HTTP status.
    pub status: u16,
    /// The code of the fault, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// How the gateway signed what it sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The edition of CDex: `ci` or `2.1.0`.
    pub edition: String,
    /// SHA-256 of the signer's certificate in DER, in hexadecimal.
    pub certificate: String,
}

/// How many resources came and went. For an operation that is made of parts: how many its parts released, and how many of
/// them are in its answer, each once; what was withheld is in the records of the parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Resources the EHR returned.
    pub received: u64,
    /// Resources the client was sent.
    pub released: u64,
    /// Resources held back, by the code of the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld: BTreeMap<String, u64>,
    /// Elements removed from what was sent.
    pub redacted: u64,
    /// Records by the verdict on who is responsible for them, where the decision asked for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorship: BTreeMap<String, u64>,
    /// Searches of the EHR for who is responsible, by type, beside the request itself; what was kept is not among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub look_ups: BTreeMap<String, u64>,
    /// Search parameters, by name, that should have narrowed or ordered what came and that the EHR ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

/// How an answer in pieces ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It broke off.
    #[default]
    Cut,
    /// It was sent to its end.
    Whole,
}

/// What recovery cut off the log: never acknowledged, hence never the ground of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Number of the segment.
    pub segment: u32,
    /// Where in it the cut begins.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// SHA-256 of these bytes, in hexadecimal.
    pub digest: String,
}

impl Entry {
    /// An entry with nothing but its kind and its time.
    pub fn new(kind: Kind, now: Now) -> Self {
        Self {
            kind,
            time: now.to_instant(),
            exchange: None,
            batch: None,
            closes: None,
            client: None,
            organization: None,
            purpose: None,
            token: None,
            peer: None,
            method: None,
            interaction: None,
            resource_type: None,
            request: None,
            upstream_request: None,
            upstream_status: None,
            decision: None,
            served_from: None,
            outcome: None,
            counts: None,
            patients: Vec::new(),
            digest: None,
            signature: None,
            duration_us: None,
            delivery: None,
            software: None,
            cut: None,
            truncated: false,
        }
    }

    /// An entry about one exchange.
    pub fn exchange(id: ExchangeId, now: Now) -> Self {
        Self { exchange: Some(id.to_string()), ..Self::new(Kind::Exchange, now) }
    }

    /// The entry as one line of JSON without its line feed, shortened where it must be.
    pub(super) fn encode(mut self) -> Result<Vec<u8>, AuditError> {
        let mut line = Vec::with_capacity(1_024);
        serde_json::to_writer(&mut line, &self).map_err(|_| AuditError::Encoding)?;
        for (text, members) in SHORTENINGS {
            if line.len() <= limits::AUDIT_RECORD_BYTES {
                break;
            }
            self.shorten(text, members);
            line.clear();
            serde_json::to_writer(&mut line, &self).map_err(|_| AuditError::Encoding)?;
        }
        if line.len() > limits::AUDIT_RECORD_BYTES { Err(AuditError::Encoding) } else { Ok(line) }
    }

    /// The entry as a note of an exchange at work, shortened where it must be.
    pub(super) fn note(&self) -> Option<Vec<u8>> {
        let mut line = Vec::with_capacity(1_024);
        serde_json::to_writer(&mut line, self).ok()?;
        if line.len() > limits::AUDIT_NOTE_BYTES {
            let mut short = self.clone();
            for (text, members) in SHORTENINGS {
                short.shorten(text, members);
                line.clear();
                serde_json::to_writer(&mut line, &short).ok()?;
                if line.len() <= limits::AUDIT_NOTE_BYTES {
                    break;
                }
            }
        }
        (line.len() <= limits::AUDIT_NOTE_BYTES).then_some(line)
    }

    fn shorten(&mut self, text: usize, members: usize) {
        self.truncated = true;
        let texts = [
            &mut self.exchange,
            &mut self.batch,
            &mut self.client,
            &mut self.organization,
            &mut self.purpose,
            &mut self.token,
            &mut self.peer,
            &mut self.method,
            &mut self.interaction,
            &mut self.resource_type,
            &mut self.request,
            &mut self.upstream_request,
            &mut self.digest,
            &mut self.software,
        ];
        for value in texts.into_iter().flatten() {
            shorten_text(value, text);
        }
        shorten_text(&mut self.time, text);
        shorten_list(&mut self.patients, text, members);
        if let Some(decision) = &mut self.decision {
            shorten_text(&mut decision.id, text);
            shorten_text(&mut decision.revision, text);
            shorten_list(&mut decision.reasons, text, members);
        }
        if let Some(fault) = self.outcome.as_mut().and_then(|outcome| outcome.fault.as_mut()) {
            shorten_text(fault, text);
        }
        if let Some(counts) = &mut self.counts {
            shorten_list(&mut counts.ignored, text, members);
            shorten_counts(&mut counts.withheld, text, members);
            shorten_counts(&mut counts.authorship, text, members);
            shorten_counts(&mut counts.look_ups, text, members);
        }
        if let Some(signature) = &mut self.signature {
            shorten_text(&mut signature.edition, text);
            shorten_text(&mut signature.certificate, text);
        }
        if let Some(cut) = &mut self.cut {
            shorten_text(&mut cut.digest, text);
        }
    }
}

fn shorten_text(value: &mut String, bytes: usize) {
    value.truncate(value.floor_char_boundary(bytes));
}

fn shorten_list(values: &mut Vec<String>, bytes: usize, members: usize) {
    values.truncate(members);
    for value in values {
        shorten_text(value, bytes);
    }
}

fn shorten_counts(counts: &mut BTreeMap<String, u64>, bytes: usize, members: usize) {
    *counts = std::mem::take(counts)
        .into_iter()
        .take(members)
        .map(|(mut name, count)| {
            shorten_text(&mut name, bytes);
            (name, count)
        })
        .collect();
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Bytes left of a text and members left of a list, step by step. After the last step even texts of
/// control characters, each six bytes in JSON, fit a record.
const SHORTENINGS: [(usize, usize); 4] = [(2_048, 64), (512, 32), (128, 16), (32, 4)];

#[cfg(test)]
mod tests;
