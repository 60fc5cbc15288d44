//! The life of a request.
//!
//! Takes: an [`Arrival`]. Gives: a response. Each step is a plain function that consumes the evidence of the one before:
//!
//! `Arrival → Accepted → Client → Interaction → Permit → Prepared → Fetched → Filtered → Receipt → Answer`
//!
//! Guarantees: nothing is answered without a durable record, and once the head of a request is read its exchange runs
//! to its record whether or not the client stays. Refuses: by [`crate::respond::refusal`], one table.

mod attribution;
mod batch;
mod conditional;
mod content;
mod crowd;
mod ending;
mod everything;
mod measure;
mod pages;
mod patients;
mod public;
mod searchset;
mod signing;
mod trail;
mod witness;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::Response;
use http::header::{ACCEPT, CONTENT_TYPE, IF_NONE_MATCH};

use crate::accept::{AcceptRules, Accepted, Arrival, Method, accept};
use crate::audit::{Audit, Reservation};
use crate::clock::{Clock, Now};
use crate::config::Organization;
use crate::decide::{
    Caller, DecideError, DecisionCache, Facts, LookBack, Permit, Policies, PolicySet, ScopeGrant, check_scopes, decide,
};
use crate::fetch::facts::FactSource;
use crate::fetch::{Content, Ehr, FetchError, Source};
use crate::fhir::name::Id;
use crate::filter::{self, Attached, Attribution, Bases, Released};
use crate::id::{DecisionId, ExchangeId, Token128};
use crate::identify::{Client, Grant, Identities, Permission, Presented};
use crate::limits;
use crate::listen::Handler;
use crate::metrics::{self, Metrics};
use crate::publish::Document;
use crate::respond::body::Body;
use crate::respond::refusal::{Fault, Refusal};
use crate::respond::{self, Answer};
use crate::rewrite::{ProvenanceFrom, Question, rewrite};
use crate::understand::{self, Asked, Interaction, PageKey, Setting, UnderstandError, understand};
use content::Links;
use trail::{Trail, Whole};

pub use crowd::Crowd;
pub use public::PublicDocuments;
pub use signing::Signatory;
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
    /// How much each client has at work.
    pub crowd: Crowd,
    /// The log.
    pub audit: Audit,
    /// The key of page links.
    pub pages: PageKey,
    /// The gateway's base URL, without a slash at the end.
    pub base: Box<str>,
    /// The EHR's base URL, without a slash at the end.
    pub ehr_base: Box<str>,
    /// How the EHR is asked for Provenance.
    pub provenance: ProvenanceFrom,
    /// Who signs answers, where that was agreed.
    pub signatory: Option<Signatory>,
    /// Whose gateway it is.
    pub organization: Organization,
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
    /// The content of a document.
    Attached(Attached),
    /// A searchset that takes more than one piece: several pages of the EHR, or more than can be held.
    InPieces(Question, pages::Piece),
    /// A search that finds nothing, or must look so.
    Nothing,
    /// Several requests, none of them judged yet.
    Batch(Vec<batch::Entry>),
    /// All about one patient, none of it judged yet.
    Everything(everything::Plan),
}

impl Handler for Gateway {
    type Body = Body;

    async fn handle(self: Rc<Self>, arrival: Arrival) -> Response<Body> {
        let now = self.shared.clock.now();
        let Some(exchange) = Token128::random().map(ExchangeId) else {
            return respond::unrecorded(ExchangeId(Token128::from_bytes([0; 16]))).into_http();
        };
        let mut attempt = std::pin::pin!(Rc::clone(&self).exchange(arrival, exchange, now, None));
        let attempted = poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(context)));
            polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
        });
        let answer = match attempted.await {
            Some(answer) => answer,
            None => Box::pin(self.panicked(exchange, now)).await,
        };
        answer.into_http()
    }
}

impl Gateway {
    /// The gateway of one core.
    pub fn new(shared: Arc<Shared>, ehr: Ehr) -> Self {
        Self { shared, ehr }
    }

    /// One request and its answer; `whole` is what it is a piece of.
    async fn exchange(
        self: Rc<Self>,
        arrival: Arrival,
        exchange: ExchangeId,
        now: Now,
        whole: Option<Whole>,
    ) -> Answer {
        let mut trail = Box::new(Trail::begin(exchange, now, &arrival, whole));
        let Ok(room) = self.shared.audit.reserve() else {
            self.shared.metrics.audit_failure();
            return respond::unrecorded(exchange);
        };
        let envelope = batch::Envelope::of(&arrival, &self.shared).map(Box::new);
        let judged = match accept(arrival, &self.shared.rules, exchange, now) {
            Ok(accepted) => self.judge(accepted, &room, &mut trail).await,
            Err((error, _)) => Err(Fault::from(error)),
        };
        match (judged, envelope) {
            (Ok(Judged::Batch(entries)), Some(envelope)) => self.batch(entries, *envelope, room, trail).await,
            (Ok(Judged::Everything(plan)), Some(envelope)) => self.everything(plan, *envelope, room, trail).await,
            (judged, _) => self.record_and_respond(judged, room, trail).await,
        }
    }

    /// The steps from the client to what may leave.
    async fn judge(&self, mut accepted: Accepted, room: &Reservation, trail: &mut Trail) -> Result<Judged, Fault> {
        if let Some(document) = self.public_document(&accepted, trail).await? {
            return Ok(Judged::Public(document));
        }
        let client = self.identify(&accepted, trail).await?;
        trail.takes(self.shared.crowd.enter(client.id()).ok_or(Fault::Crowded)?);
        if accepted.method() == Method::Post && accepted.segments().next().is_none() {
            trail.batch();
            return Box::pin(batch::entries(&mut accepted)).await.map(Judged::Batch);
        }
        if accepted.segments().last() == Some("$everything")
            && let Some(asked) = Box::pin(everything::asked(&mut accepted, trail)).await?
        {
            return Box::pin(self.plan(asked, &client, room, trail)).await.map(Judged::Everything);
        }
        let interaction = self.understand(&mut accepted, &client, trail).await?;
        signing::check(&interaction, trail)?;
        let decision = Token128::random().map(DecisionId).ok_or(Fault::Randomness)?;
        let scopes: Vec<ScopeGrant<'_>> = client.scopes().grants().iter().map(scope_grant).collect();
        check_scopes(&scopes, &interaction, decision)?;
        let policies = self.shared.policies.current();
        content::check_revision(&interaction, &policies)?;
        let noted = trail.note(room)?;
        let Some((patients, look)) = self.patients_of(&interaction, noted, trail).await? else {
            return Ok(Judged::Nothing);
        };
        let source = &self.shared.facts;
        let (facts, hidden) = self.ehr.facts(source, policies.roster(), &patients, noted, trail.exchange()).await?;
        if let Some(status) = hidden {
            trail.hidden(status);
        }
        let shared = &self.shared;
        let permit = self.decide(&policies, &client, &scopes, &interaction, &patients, &facts, trail.now(), decision);
        measure::decision(&shared.metrics, permit.as_ref(), policies.engine());
        let permit = permit?;
        trail.permitted(&permit);
        if hidden.is_some() {
            return if trail.search().is_some() { Ok(Judged::Nothing) } else { Err(Fault::Absent) };
        }
        let prepared = rewrite(interaction, permit, &patients).map_err(|error| Fault::Rewrite { error, decision })?;
        let prepared = prepared.with_provenance(shared.provenance);
        trail.prepared(&prepared);
        content::check_release(prepared.question())?;
        let fetched = self.ehr.fetch(prepared, look, noted, trail.exchange()).await?;
        trail.fetched(fetched.from());
        shared.metrics.cache(if fetched.from() == Source::Cache { metrics::Cache::Hit } else { metrics::Cache::Miss });
        let (question, content, keeping) = fetched.into_parts();
        if let Some(witness) = &shared.witness {
            witness.asked(trail.exchange(), &question, shared.bases());
        }
        match content {
            Content::Absent(status) => {
                trail.hidden(status);
                Err(Fault::Absent)
            }
            Content::Whole(..) | Content::Streamed(..) if is_gathered(&question, &content) => {
                Ok(Judged::InPieces(question, pages::Piece { content, keeping }))
            }
            Content::Streamed(..) => Err(FetchError::TooLarge.into()),
            Content::Whole(bytes) if asks_for_content(&question) => {
                Box::pin(self.content(question, bytes, keeping, noted, trail)).await
            }
            Content::Whole(bytes) => {
                let attribution = self.attribution(&question, &bytes, &noted, trail.exchange(), trail.now()).await?;
                let judged = self.filter(&question, &bytes, attribution, trail);
                if matches!(judged, Ok(None)) {
                    let content = Content::Whole(bytes);
                    return Ok(Judged::InPieces(question, pages::Piece { content, keeping }));
                }
                // What is withheld is asked for anew each time, as what is not there is: the time taken tells nothing.
                if let Some(keeping) = keeping.filter(|_| judged.is_ok()) {
                    self.ehr.keep(keeping, &bytes);
                }
                judged?.map(Judged::Whole).ok_or(Fault::Absent)
            }
        }
    }

    /// What the policies say to an interaction of a client.
    #[expect(clippy::too_many_arguments, reason = "a decision depends on all of these and on nothing else")]
    fn decide(
        &self,
        policies: &PolicySet,
        client: &Client,
        scopes: &[ScopeGrant<'_>],
        interaction: &Interaction,
        patients: &[Id],
        facts: &Facts,
        now: Now,
        decision: DecisionId,
    ) -> Result<Permit, DecideError> {
        let caller = Caller {
            id: client.id(),
            organization: client.organization(),
            purpose: client.purpose().code(),
            scopes,
            attributes: client.attributes(),
        };
        let (cache, lookback) = (&self.shared.decisions, &self.shared.lookback);
        decide(policies, cache, &caller, interaction, patients, facts, lookback, now, decision)
    }

    /// What surrounds a client's request; `bases` mean this server.
    fn setting<'a>(&'a self, bases: &'a [&'a str], client: &'a Client, now: Now) -> Setting<'a> {
        let (pages, purpose) = (&self.shared.pages, client.purpose().code());
        Setting { bases, pages, client: client.id(), purpose, now }
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
        let wants_content = accepted.segments().next() == Some("_content");
        if wants_content && trail.is_entry() {
            // What stands in a batch is JSON, and content is whatever it is.
            return Err(UnderstandError::ContentLink.into());
        }
        if !wants_content {
            takes_json(accepted)?;
        }
        let form = match accepted.method() {
            Method::Post if accepted.segments().last() == Some("_search") => Some(Box::pin(form_of(accepted)).await?),
            // Whatever else is posted is refused by its name; what it says is not looked at.
            Method::Post => Some(Bytes::new()),
            Method::Get | Method::Head => None,
        };
        let path: Vec<&str> = accepted.segments().collect();
        let asked = Asked { post: form.is_some(), path: &path, query: accepted.query(), form: form.as_deref() };
        let bases = [&*self.shared.base];
        let interaction = understand(asked, self.setting(&bases, client, accepted.now()))?;
        trail.understood(&interaction);
        trail.expects(joined(accepted.header_values(&IF_NONE_MATCH)));
        Ok(interaction)
    }

    /// Filters an answer that is held whole; `None` where that is not all of it.
    fn filter(
        &self,
        question: &Question,
        bytes: &[u8],
        attribution: Option<Arc<Attribution>>,
        trail: &mut Trail,
    ) -> Result<Option<Released>, Fault> {
        let shared = &self.shared;
        let (body, tally) = if let Interaction::Read(_) = question.interaction() {
            let links = Links::of(question, shared, trail);
            let filtered = filter::read_linking(bytes, question, shared.bases(), &links, attribution)?;
            let tally = filtered.tally().clone();
            (filtered.into_body(), tally)
        } else {
            let Some((body, tally)) = searchset::whole(question, bytes, shared, trail)? else { return Ok(None) };
            (Some(body), tally)
        };
        trail.filtered(&tally);
        measure::resources(&shared.metrics, &tally);
        body.map(Some).ok_or(Fault::Absent)
    }

    /// Makes the record durable; only then is there an answer.
    async fn record_and_respond(
        self: Rc<Self>,
        judged: Result<Judged, Fault>,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        let released = match judged {
            Ok(Judged::InPieces(question, first)) => return Box::pin(self.gather(question, first, room, trail)).await,
            Ok(Judged::Public(document)) => return self.publish(&document, room, trail).await,
            Ok(Judged::Attached(attached)) => return self.attach(attached, room, trail).await,
            Ok(Judged::Whole(released)) => released,
            // Neither comes without the head of the request.
            Ok(Judged::Batch(_) | Judged::Everything(_)) => {
                return self.refuse(Fault::Panic, Refusal::internal(), room, trail).await;
            }
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
        self.release(released, room, trail).await
    }
}

/// Whether a searchset takes more than one look: because it is streamed, or because evidence goes with each of its pages.
fn is_gathered(question: &Question, content: &Content) -> bool {
    let is_search = !matches!(question.interaction(), Interaction::Read(_));
    is_search && (matches!(content, Content::Streamed(..)) || question.asks_authorship())
}

fn asks_for_content(question: &Question) -> bool {
    matches!(question.interaction(), Interaction::Read(read) if read.content().is_some())
}

fn takes_json(accepted: &Accepted) -> Result<(), UnderstandError> {
    let accept = joined(accepted.header_values(&ACCEPT));
    if understand::accepts_json(accept.as_deref()) { Ok(()) } else { Err(UnderstandError::Format) }
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
