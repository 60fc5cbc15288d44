//! What is known of an exchange so far: for its record, its log line and its counters.
//!
//! Grows with each step, so that a refusal at any of them is recorded with all that was known by then.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tracing::info;

use super::crowd::Place;
use crate::accept::Arrival;
use crate::audit::entry::{Counts, Decision, Delivery, Effect, Outcome, ServedFrom, Signature};
use crate::audit::{AuditError, Entry, Noted, Reservation};
use crate::clock::Now;
use crate::decide::{DecideError, Permit};
use crate::fetch::{FetchError, Source};
use crate::fhir::name::Id;
use crate::filter::Tally;
use crate::id::ExchangeId;
use crate::identify::Client;
use crate::metrics::{self, Metrics};
use crate::respond::refusal::Fault;
use crate::rewrite::Prepared;
use crate::signature::Dialect;
use crate::understand::{Everything, Interaction, TotalWanted};

/// The search an exchange is about, as far as an answer without resources needs it.
#[derive(Clone, Debug)]
pub(super) struct AskedSearch {
    pub(super) canonical: String,
    pub(super) states_total: bool,
}

/// What an exchange is a piece of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whole {
    /// A batch, of which it is an entry.
    Batch(ExchangeId),
    /// An operation, of which it is a part; what a client is sent is the operation's answer.
    Operation(ExchangeId),
}

#[derive(Debug)]
pub(super) struct Trail {
    exchange: ExchangeId,
    now: Now,
    began: Instant,
    entry: Box<Entry>,
    client: Option<Client>,
    asked: metrics::Asked,
    search: Option<AskedSearch>,
    condition: Option<Box<str>>,
    redacted: u32,
    concealed: bool,
    /// Whether its answer is only a part of what the client is sent.
    is_part: bool,
    /// Held until the answer is made, and where it is made in pieces, until the last.
    place: Option<Place>,
}

impl Trail {
    /// The trail of a request; `whole` is what it is a piece of.
    pub(super) fn begin(exchange: ExchangeId, now: Now, arrival: &Arrival, whole: Option<Whole>) -> Self {
        let mut trail = Self::bare(exchange, now);
        trail.entry.batch = whole.map(|(Whole::Batch(id) | Whole::Operation(id))| id.to_string());
        trail.is_part = matches!(whole, Some(Whole::Operation(_)));
        trail.entry.peer = Some(arrival.peer.ip().to_string());
        trail.entry.method = Some(method_name(&arrival.parts.method).to_owned());
        trail
    }

    /// Whether the request is an entry of a batch or a part of an operation.
    pub(super) fn is_entry(&self) -> bool {
        self.entry.batch.is_some()
    }

    /// The trail of an entry of a batch that is no request.
    pub(super) fn of_entry(exchange: ExchangeId, batch: &Self) -> Self {
        let mut trail = Self::bare(exchange, batch.now);
        trail.entry.batch = Some(batch.exchange.to_string());
        trail.entry.peer.clone_from(&batch.entry.peer);
        if let Some(client) = &batch.client {
            trail.identified(client);
        }
        trail
    }

    /// The trail of an exchange of which nothing else is known.
    pub(super) fn bare(exchange: ExchangeId, now: Now) -> Self {
        Self {
            exchange,
            now,
            began: Instant::now(),
            entry: Box::new(Entry::exchange(exchange, now)),
            client: None,
            asked: metrics::Asked::Unknown,
            search: None,
            condition: None,
            redacted: 0,
            concealed: false,
            is_part: false,
            place: None,
        }
    }

    /// Takes a place among the client's exchanges.
    pub(super) fn takes(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Notes what is known so far, before anybody is asked.
    pub(super) fn note<'r>(&self, room: &'r Reservation) -> Result<Noted<'r>, AuditError> {
        room.note(&self.entry)
    }

    pub(super) fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// When the exchange began, for what it takes.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The edition of CDex in which the answer is to be signed, where that was agreed.
    pub(super) fn signs(&self) -> Option<Dialect> {
        self.client.as_ref().filter(|_| !self.is_part).and_then(Client::signed_answers)
    }

    pub(super) fn search(&self) -> Option<&AskedSearch> {
        self.search.as_ref()
    }

    /// Notes what a client says it has (`If-None-Match`).
    pub(super) fn expects(&mut self, condition: Option<String>) {
        self.condition = condition.map(Into::into);
    }

    pub(super) fn condition(&self) -> Option<&str> {
        self.condition.as_deref()
    }

    pub(super) fn batch(&mut self) {
        self.asked = metrics::Asked::Batch;
        self.entry.interaction = Some("batch".to_owned());
        self.entry.served_from = Some(ServedFrom::None);
    }

    pub(super) fn operation(&mut self, asked: &Everything) {
        self.asked = metrics::Asked::Operation;
        self.entry.interaction = Some("operation".to_owned());
        self.entry.resource_type = Some("Patient".to_owned());
        self.entry.request = Some(asked.canonical());
        self.entry.served_from = Some(ServedFrom::None);
    }

    pub(super) fn public(&mut self, interaction: &'static str) {
        self.asked = metrics::Asked::Capabilities;
        self.entry.interaction = Some(interaction.to_owned());
        self.entry.served_from = Some(ServedFrom::None);
    }

    pub(super) fn identified(&mut self, client: &Client) {
        self.entry.client = Some(client.id().to_owned());
        self.entry.organization = Some(client.organization().to_owned());
        self.entry.purpose = Some(client.purpose().code().to_owned());
        self.entry.token = client.token_id().map(ToOwned::to_owned);
        self.client = Some(client.clone());
    }

    pub(super) fn understood(&mut self, interaction: &Interaction) {
        self.asked = match interaction {
            Interaction::Read(_) => metrics::Asked::Read,
            Interaction::Search(_) => metrics::Asked::Search,
            Interaction::Page(_) => metrics::Asked::Page,
        };
        let canonical = interaction.canonical();
        self.entry.interaction = Some(interaction.code().to_owned());
        self.entry.resource_type = Some(interaction.resource_type().to_string());
        self.entry.request = Some(canonical.clone());
        self.search = interaction.search().map(|search| AskedSearch {
            canonical,
            states_total: matches!(interaction, Interaction::Search(_)) && search.shape().total != TotalWanted::None,
        });
    }

    pub(super) fn permitted(&mut self, permit: &Permit) {
        self.entry.decision = Some(Decision {
            id: permit.decision().to_string(),
            revision: permit.revision().to_string(),
            effect: Effect::Permit,
            reasons: permit.obligations().reasons().iter().map(|reason| reason.code.to_string()).collect(),
        });
    }

    pub(super) fn prepared(&mut self, prepared: &Prepared) {
        let form = prepared.form().map(|form| format!("?{}", String::from_utf8_lossy(form))).unwrap_or_default();
        self.entry.upstream_request = Some(format!("{}{form}", prepared.target()));
    }

    /// Notes where the EHR was asked to go on, or for what a link leads to, behind what it was asked first.
    pub(super) fn followed(&mut self, targets: &[Box<str>]) {
        if let Some(asked) = &mut self.entry.upstream_request {
            targets.iter().for_each(|target| asked.extend([" ", target]));
        }
    }

    pub(super) fn fetched(&mut self, from: Source) {
        self.entry.served_from = Some(match from {
            Source::Cache => ServedFrom::Cache,
            Source::Ehr => ServedFrom::Ehr,
        });
    }

    /// Notes the status by which the EHR shows nothing of what was asked for; callers are not told which.
    pub(super) fn hidden(&mut self, status: u16) {
        self.entry.upstream_status = Some(status);
    }

    pub(super) fn filtered(&mut self, tally: &Tally) {
        self.entry.counts = Some(counts(tally));
        self.entry.patients = tally.patients.iter().map(ToString::to_string).collect();
        self.redacted = tally.redacted;
    }

    /// Notes what of an operation's parts is in its answer: so many resources of those that came, about this patient.
    pub(super) fn merged(&mut self, received: u64, released: u64, patient: &Id) {
        self.entry.counts = Some(Counts { received, released, ..Counts::default() });
        self.entry.patients = if released > 0 { vec![patient.to_string()] } else { Vec::new() };
    }

    /// Notes that what was judged and may leave does not, after all.
    pub(super) fn unreleased(&mut self) {
        if let Some(counts) = &mut self.entry.counts {
            (counts.released, counts.redacted) = (0, 0);
        }
        self.entry.patients.clear();
    }

    /// Notes that what is sent is signed.
    pub(super) fn signed(&mut self, dialect: Dialect, thumbprint: &[u8]) {
        self.entry.signature = Some(Signature { edition: dialect.as_str().to_owned(), certificate: hex(thumbprint) });
    }

    /// Notes a fault before it becomes an answer.
    pub(super) fn refused(&mut self, fault: &Fault, policy_revision: &str) {
        if let Fault::Decide(error) = fault {
            let (revision, reasons) = match error {
                DecideError::Denied(denial) => {
                    (denial.revision.to_string(), denial.reasons.iter().map(|reason| reason.code.to_string()).collect())
                }
                _ => (policy_revision.to_owned(), Vec::new()),
            };
            self.entry.decision =
                Some(Decision { id: error.decision().to_string(), revision, effect: Effect::Deny, reasons });
        }
        if let Fault::Fetch(FetchError::Status(status)) = fault {
            self.entry.upstream_status = Some(*status);
        }
    }

    pub(super) fn concealed(&mut self) {
        self.concealed = true;
    }

    /// The record, with what the client is told. There is one; what is asked for afterwards is empty.
    pub(super) fn entry(&mut self, status: u16, fault: Option<&'static str>, body: Option<&[u8]>) -> Box<Entry> {
        let mut entry = std::mem::replace(&mut self.entry, Box::new(Entry::exchange(self.exchange, self.now)));
        let fault = fault.or(self.concealed.then_some("concealed"));
        entry.outcome = Some(Outcome { status, fault: fault.map(ToOwned::to_owned) });
        entry.digest = body.map(|body| hex(digest(&SHA256, body).as_ref()));
        entry.duration_us = Some(self.microseconds());
        entry
    }

    pub(super) fn microseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// One line a request, without anything about a patient, and the counters.
    pub(super) fn log(&self, status: u16, fault: Option<(&Fault, &'static str)>, metrics: &Metrics) {
        let outcome = match fault {
            None if self.concealed => metrics::Outcome::Denied,
            None => metrics::Outcome::Answered,
            Some((fault, _)) => super::measure::outcome(fault),
        };
        metrics.exchange(self.asked, outcome, self.elapsed());
        let counts = self.entry.counts.as_ref();
        let decision = self.entry.decision.as_ref();
        info!(
            request = %self.exchange,
            client = self.entry.client.as_deref(),
            interaction = self.entry.interaction.as_deref(),
            resource_type = self.entry.resource_type.as_deref(),
            decision = decision.map(|decision| decision.id.as_str()),
            released = counts.map(|counts| counts.released),
            withheld = counts.map(|counts| counts.withheld.values().sum::<u64>()),
            status,
            fault = fault.map(|(_, label)| label),
            detail = fault.map(|(fault, _)| fault.log_text()),
            microseconds = self.microseconds(),
            "exchange"
        );
    }
}

/// The counts of a tally, as the log has them.
pub(super) fn counts(tally: &Tally) -> Counts {
    Counts {
        received: tally.received.into(),
        released: tally.released.into(),
        withheld: tally
            .withheld
            .iter()
            .map(|(reason, count)| (reason.as_str().to_owned(), u64::from(*count)))
            .collect(),
        redacted: tally.redacted.into(),
        authorship: tally
            .verdicts
            .iter()
            .map(|(verdict, count)| (verdict.as_str().to_owned(), u64::from(*count)))
            .collect(),
        look_ups: tally.look_ups.iter().map(|(name, count)| (name.to_string(), u64::from(*count))).collect(),
        ignored: tally.ignored().into_iter().map(ToOwned::to_owned).collect(),
    }
}

/// How a streamed answer ended.
pub(super) fn delivery(complete: bool) -> Delivery {
    if complete { Delivery::Whole } else { Delivery::Cut }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or_default());
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The method, where it is one that has a name in HTTP; a client's own word is not repeated.
fn method_name(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "GET",
        http::Method::HEAD => "HEAD",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::PATCH => "PATCH",
        http::Method::DELETE => "DELETE",
        http::Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
