//! The life of a request.
//!
//! Takes: an [`Arrival`]. Gives: a response. Each step is a plain function that consumes the evidence of the one before:
//!
//! `Arrival → Accepted → Client → Interaction → Permit → Prepared → Fetched → Filtered → Receipt → Answer`
//!
//! Guarantees: nothing is answered without a durable record, and once the head of a request is read its exchange runs
//! to its record whether or not the client stays. Refuses: by [`crate::respond::refusal`], one table.

mod measure;
mod public;
mod searchset;
mod trail;
mod witness;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::accept::{AcceptRules, Accepted, Arrival, Method, accept};
use crate::audit::{Audit, AuditError, Entry, Receipt, Reservation};
use crate::clock::{Clock, Now};
use crate::decide::{Caller, DecisionCache, LookBack, Policies, ScopeGrant, check_scopes, decide};
use crate::fetch::body::UpstreamBody;
use crate::fetch::facts::{FactSource, Look};
use crate::fetch::{Content, Ehr, Source};
use crate::fhir::name::Id;
use crate::fhir::reference::Reference;
use crate::fhir::search::Operand;
use crate::fhir::subject;
use crate::filter::{self, Bases, Released};
use crate::id::{DecisionId, ExchangeId, Token128};
use crate::identify::{Client, Grant, Identities, Permission, Presented};
use crate::limits;
use crate::listen::Handler;
use crate::metrics::{self, Metrics};
use crate::publish::Document;
use crate::respond::body::Body;
use crate::respond::refusal::{Fault, Refusal};
use crate::respond::{self, Answer};
use crate::rewrite::{Question, rewrite};
use crate::understand::{self, Asked, Interaction, PageKey, Setting, UnderstandError, understand};
use trail::Trail;

pub use public::PublicDocuments;
pub use witness::Witness;

/// What all cores share.
#[derive(Debug)]
pub struct Shared {
    /// What HTTP must look like.
    pub rules: AcceptRules,
    /// Who may ask.
    pub identities: Identities,
    /// The policies in force.
    pub policies: Arc<Policies>,
    /// Decisions taken shortly before.
    pub decisions: DecisionCache,
    /// Look-back windows that policies are given.
    pub lookback: LookBack,
    /// Facts that policies are given.
    pub facts: FactSource,
    /// The log.
    pub audit: Audit,
    /// The key of page links.
    pub pages: PageKey,
    /// The gateway's base URL, without a slash at the end.
    pub base: Box<str>,
    /// The EHR's base URL, without a slash at the end.
    pub ehr_base: Box<str>,
    /// Documents that need no token.
    pub public: PublicDocuments,
    /// Time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who looks on; nobody, but in a demonstration.
    pub witness: Option<Arc<dyn Witness>>,
}

impl Shared {
    fn bases(&self) -> Bases<'_> {
        Bases { ehr: &self.ehr_base, gateway: &self.base }
    }
}

/// The gateway as one core runs it.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    ehr: Ehr,
}

/// What the steps up to the filter lead to.
#[expect(clippy::large_enum_variant, reason = "there is one for each exchange, and it is moved once")]
enum Judged {
    /// A document that is the same for everybody.
    Public(Document),
    /// One resource, or the whole of a searchset.
    Whole(Released),
    /// A searchset to be judged while it is sent: its beginning and the rest.
    InPieces(Question, Bytes, UpstreamBody),
    /// A search that finds nothing, or must look so.
    Nothing,
}

impl Handler for Gateway {
    type Body = Body;

    async fn handle(self: Rc<Self>, arrival: Arrival) -> Response<Body> {
        let now = self.shared.clock.now();
        let Some(exchange) = Token128::random().map(ExchangeId) else {
            return respond::unrecorded(ExchangeId(Token128::from_bytes([0; 16]))).into_http();
        };
        let mut attempt = std::pin::pin!(Rc::clone(&self).exchange(arrival, exchange, now));
        let attempted = poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
            polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
        });
        let answer = match attempted.await {
            Some(answer) => answer,
            None => self.panicked(exchange, now).await,
        };
        answer.into_http()
    }
}

impl Gateway {
    /// The gateway of one core.
    pub fn new(shared: Arc<Shared>, ehr: Ehr) -> Self {
        Self { shared, ehr }
    }

    /// One request and its answer.
    async fn exchange(self: Rc<Self>, arrival: Arrival, exchange: ExchangeId, now: Now) -> Answer {
        let mut trail = Box::new(Trail::begin(exchange, now, &arrival));
        let Ok(room) = self.shared.audit.reserve() else {
            self.shared.metrics.audit_failure();
            return respond::unrecorded(exchange);
        };
        let judged = match accept(arrival, &self.shared.rules, exchange, now) {
            Ok(accepted) => self.judge(accepted, &room, &mut trail).await,
            Err((error, _)) => Err(Fault::from(error)),
        };
        self.record_and_respond(judged, room, trail).await
    }

    /// The steps from the client to what may leave.
    async fn judge(&self, mut accepted: Accepted, room: &Reservation, trail: &mut Trail) -> Result<Judged, Fault> {
        if let Some(document) = self.public_document(&accepted, trail).await? {
            return Ok(Judged::Public(document));
        }
        let client = self.identify(&accepted, trail).await?;
        let interaction = self.understand(&mut accepted, &client, trail).await?;
        let decision = Token128::random().map(DecisionId).ok_or(Fault::Randomness)?;
        let scopes: Vec<ScopeGrant<'_>> = client.scopes().grants().iter().map(scope_grant).collect();
        check_scopes(&scopes, &interaction, decision)?;
        let Some((patients, look)) = self.patients_of(&interaction, room, trail).await? else {
            return Ok(Judged::Nothing);
        };
        let policies = self.shared.policies.current();
        let facts = self.ehr.facts(&self.shared.facts, policies.roster(), &patients, room, trail.exchange()).await?;
        let shared = &self.shared;
        let caller = Caller {
            id: client.id(),
            organization: client.organization(),
            purpose: client.purpose().code(),
            scopes: &scopes,
            attributes: client.attributes(),
        };
        let permit = decide(
            &policies,
            &shared.decisions,
            &caller,
            &interaction,
            &patients,
            &facts,
            &shared.lookback,
            trail.now(),
            decision,
        );
        measure::decision(&shared.metrics, permit.as_ref(), policies.engine());
        let permit = permit?;
        trail.permitted(&permit);
        let prepared = rewrite(interaction, permit, &patients).map_err(|error| Fault::Rewrite { error, decision })?;
        trail.prepared(&prepared);
        let fetched = self.ehr.fetch(prepared, look, room, trail.exchange()).await?;
        trail.fetched(fetched.from());
        shared.metrics.cache(if fetched.from() == Source::Cache { metrics::Cache::Hit } else { metrics::Cache::Miss });
        let (question, content, keeping) = fetched.into_parts();
        if let Some(witness) = &shared.witness {
            witness.asked(trail.exchange(), &question, shared.bases());
        }
        match content {
            Content::Absent => Err(Fault::Absent),
            Content::Streamed(head, mut rest) => {
                let head = searchset::beginning(&question, head, &mut rest, shared).await?;
                Ok(Judged::InPieces(question, head, rest))
            }
            Content::Whole(bytes) => {
                let judged = self.filter(&question, &bytes, trail);
                if let Some(keeping) = keeping.filter(|_| matches!(judged, Ok(_) | Err(Fault::Absent))) {
                    self.ehr.keep(keeping, &bytes);
                }
                judged
            }
        }
    }

    async fn identify(&self, accepted: &Accepted, trail: &mut Trail) -> Result<Client, Fault> {
        let identities = &self.shared.identities;
        let certificate = accepted.certificate().map(|leaf| identities.peer(leaf)).transpose()?;
        let presented = Presented { authorization: accepted.authorization(), certificate: certificate.as_ref() };
        let client = identities.identify(presented, accepted.now()).await?;
        trail.identified(&client);
        Ok(client)
    }

    async fn understand(
        &self,
        accepted: &mut Accepted,
        client: &Client,
        trail: &mut Trail,
    ) -> Result<Interaction, Fault> {
        if !understand::accepts_json(joined(accepted.header_values(&ACCEPT)).as_deref()) {
            return Err(UnderstandError::Format.into());
        }
        let form = match accepted.method() {
            Method::Post if accepted.segments().last() == Some("_search") => Some(form_of(accepted).await?),
            // Whatever else is posted is refused by its name; what it says is not looked at.
            Method::Post => Some(Bytes::new()),
            Method::Get | Method::Head => None,
        };
        let path: Vec<&str> = accepted.segments().collect();
        let setting = Setting {
            bases: &[&self.shared.base],
            pages: &self.shared.pages,
            client: client.id(),
            purpose: client.purpose().code(),
            now: accepted.now(),
        };
        let asked = Asked { post: form.is_some(), path: &path, query: accepted.query(), form: form.as_deref() };
        let interaction = understand(asked, setting)?;
        trail.understood(&interaction);
        Ok(interaction)
    }

    /// The patients that a request is about: named in a search, or the owners of the resource that is to be read,
    /// which is then looked up. `None` where a search names patients in ways that exclude each other.
    async fn patients_of(
        &self,
        interaction: &Interaction,
        room: &Reservation,
        trail: &Trail,
    ) -> Result<Option<(Vec<Id>, Option<Look>)>, Fault> {
        let resource_type = interaction.resource_type();
        match interaction {
            Interaction::Read(read) if resource_type.as_str() == "Patient" => Ok(Some((vec![read.id().clone()], None))),
            Interaction::Read(_) if subject::parameter(resource_type).is_none() => Ok(Some((Vec::new(), None))),
            Interaction::Read(read) => {
                let resource = Reference { resource_type, id: read.id().clone() };
                let look = self.ehr.look_up(&resource, room, trail.exchange()).await?;
                Ok(Some((look.owners().to_vec(), Some(look))))
            }
            Interaction::Search(_) | Interaction::Page(_) => {
                Ok(named_patients(interaction)?.map(|patients| (patients, None)))
            }
        }
    }

    fn filter(&self, question: &Question, bytes: &[u8], trail: &mut Trail) -> Result<Judged, Fault> {
        let bases = self.shared.bases();
        if let Interaction::Read(_) = question.interaction() {
            let filtered = filter::read(bytes, question, bases)?;
            trail.filtered(filtered.tally());
            measure::resources(&self.shared.metrics, filtered.tally());
            return filtered.into_body().map(Judged::Whole).ok_or(Fault::Absent);
        }
        let (body, tally) = searchset::whole(question, bytes, &self.shared, trail)?;
        trail.filtered(&tally);
        measure::resources(&self.shared.metrics, &tally);
        Ok(Judged::Whole(body))
    }

    /// Makes the record durable; only then is there an answer.
    async fn record_and_respond(
        self: Rc<Self>,
        judged: Result<Judged, Fault>,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        let released = match judged {
            Ok(Judged::InPieces(question, head, rest)) => {
                return Box::pin(self.stream(question, head, rest, room, trail)).await;
            }
            Ok(Judged::Public(document)) => return self.publish(&document, room, trail).await,
            Ok(Judged::Whole(released)) => released,
            Ok(Judged::Nothing) => searchset::nothing(&trail, &self.shared),
            Err(fault) => {
                trail.refused(&fault, self.shared.policies.current().revision().as_str());
                match Refusal::of(&fault, trail.search().is_some()) {
                    Some(refusal) => return self.refuse(fault, refusal, room, trail).await,
                    None => {
                        trail.concealed();
                        searchset::nothing(&trail, &self.shared)
                    }
                }
            }
        };
        trail.log(200, None, &self.shared.metrics);
        match self.record(room, trail.entry(200, None, Some(released.as_bytes()))).await {
            Ok(receipt) => respond::released(released, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    async fn publish(&self, document: &Document, room: Reservation, mut trail: Box<Trail>) -> Answer {
        trail.log(200, None, &self.shared.metrics);
        match self.record(room, trail.entry(200, None, Some(document.bytes()))).await {
            Ok(receipt) => respond::document(document, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    async fn refuse(&self, fault: Fault, refusal: Refusal, room: Reservation, mut trail: Box<Trail>) -> Answer {
        let status = refusal.status().as_u16();
        trail.log(status, Some((&fault, refusal.label())), &self.shared.metrics);
        match self.record(room, trail.entry(status, Some(refusal.label()), None)).await {
            Ok(receipt) => respond::refused(&refusal, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    /// Records the beginning, then sends what may leave as it is judged; the end gets a record of its own.
    async fn stream(
        &self,
        question: Question,
        head: Bytes,
        rest: UpstreamBody,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        trail.log(200, None, &self.shared.metrics);
        let Ok(receipt) = self.record(room, trail.entry(200, None, None)).await else { return self.unrecorded(&trail) };
        let (answer, sender) = respond::streamed(&receipt);
        let closer = receipt.into_closer();
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_local(async move {
            searchset::in_pieces(question, head, rest, sender, closer, &shared, trail).await;
        });
        answer
    }

    /// A step that panicked released nothing; that it was tried is recorded all the same.
    async fn panicked(&self, exchange: ExchangeId, now: Now) -> Answer {
        let trail = Box::new(Trail::bare(exchange, now));
        match self.shared.audit.reserve() {
            Ok(room) => self.refuse(Fault::Panic, Refusal::internal(), room, trail).await,
            Err(_) => self.unrecorded(&trail),
        }
    }

    async fn record(&self, room: Reservation, entry: Box<Entry>) -> Result<Receipt, AuditError> {
        let metrics = &self.shared.metrics;
        metrics.audit_outstanding(self.shared.audit.outstanding());
        let began = Instant::now();
        let receipt = room.record(*entry).await;
        metrics.audit_record(began.elapsed());
        receipt
    }

    fn unrecorded(&self, trail: &Trail) -> Answer {
        self.shared.metrics.audit_failure();
        respond::unrecorded(trail.exchange())
    }
}

/// A scope, as decisions take it.
fn scope_grant(grant: &Grant) -> ScopeGrant<'_> {
    ScopeGrant {
        resource_type: grant.resource_type(),
        read: grant.permissions().has(Permission::Read),
        search: grant.permissions().has(Permission::Search),
        constraint: grant.constraint(),
    }
}

/// The patients that a search names; several parameters that do narrow each other.
fn named_patients(interaction: &Interaction) -> Result<Option<Vec<Id>>, Fault> {
    let Some(search) = interaction.search() else { return Ok(None) };
    let rule = subject::parameter(search.resource_type())
        .and_then(|name| crate::fhir::search::lookup(search.resource_type(), name));
    let mut named: Option<Vec<Id>> = None;
    for criterion in search.criteria() {
        if criterion.modifier().is_some_and(|modifier| modifier == crate::fhir::search::Modifier::Not)
            || rule.is_none_or(|rule| rule.paths != criterion.definition().paths)
        {
            continue;
        }
        let ids: Vec<Id> = criterion.operands().iter().filter_map(patient_of).collect();
        named = Some(match named {
            None => ids,
            Some(known) => known.into_iter().filter(|id| ids.contains(id)).collect(),
        });
    }
    match named {
        None => Ok(Some(Vec::new())),
        Some(named) if named.is_empty() => Ok(None),
        Some(named) if named.len() > limits::PATIENTS_PER_SEARCH => Err(UnderstandError::Parameters.into()),
        named => Ok(named),
    }
}

fn patient_of(operand: &Operand) -> Option<Id> {
    match operand {
        Operand::Reference { resource_type, id } => {
            resource_type.is_none_or(|resource_type| resource_type.as_str() == "Patient").then(|| id.clone())
        }
        Operand::Token { code: Some(code), .. } => Id::parse(code).ok(),
        _ => None,
    }
}

async fn form_of(accepted: &mut Accepted) -> Result<Bytes, Fault> {
    let content_type = accepted.header(&CONTENT_TYPE).map(ToOwned::to_owned);
    let body = accepted.read_body(limits::SEARCH_FORM_BYTES).await?;
    let ascii_only = match content_type {
        None if body.is_empty() => false,
        None => return Err(UnderstandError::Body.into()),
        Some(content_type) => understand::is_form(&content_type).ok_or(UnderstandError::Body)?,
    };
    if ascii_only && !body.is_ascii() {
        return Err(UnderstandError::Body.into());
    }
    Ok(body)
}

fn joined<'a>(values: impl Iterator<Item = &'a str>) -> Option<String> {
    let values: Vec<&str> = values.collect();
    (!values.is_empty()).then(|| values.join(","))
}
