//! `Patient/[id]/$everything`: the reads and searches that it stands for, each of which takes the whole road by itself.
//!
//! Takes: what was asked, and the head it came with. Gives: one searchset of all that was answered. Guarantees: the EHR
//! hears of no operation; a part is an exchange like any other, with its own decision, filter and record, which names the
//! operation's, whose own record says of which patient it is and how much came together; the answer is whole, or there is none. Refuses: a patient whom the client may not read, as the read is
//! refused; more than [`limits::EVERYTHING_PARTS`], [`limits::EVERYTHING_BYTES`] or [`limits::EVERYTHING_TIME`] hold.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::batch::Envelope;
use super::trail::{Trail, Whole};
use super::{Gateway, pages, scope_grant, takes_json};
use crate::accept::{Accepted, Method};
use crate::audit::Reservation;
use crate::clock::Now;
use crate::decide::{DecideError, PolicySet, ScopeGrant, check_scopes};
use crate::fetch::pool::PoolError;
use crate::fhir::name::{Id, ResourceType};
use crate::id::{DecisionId, ExchangeId, Token128};
use crate::identify::Client;
use crate::limits;
use crate::respond::refusal::{Fault, Refusal};
use crate::respond::{self, Answer, Finished, Merging, Unmerged};
use crate::rewrite::{RewriteError, rewrite};
use crate::understand::{self, Asked, BatchEntry, Everything, Interaction, UnderstandError, understand};

/// What is going to be asked, and what is not.
#[derive(Debug)]
pub(super) struct Plan {
    asked: Everything,
    searches: Vec<BatchEntry>,
    /// Types that scopes or policy do not permit, and whose searches would be told so.
    left_out: Vec<ResourceType>,
}

/// What is asked, where it is all about one patient. A batch cannot hold it: it is one itself.
pub(super) async fn asked(accepted: &mut Accepted, trail: &Trail) -> Result<Option<Everything>, Fault> {
    if !matches!(accepted.segments().collect::<Vec<_>>()[..], ["Patient", _, "$everything"]) {
        return Ok(None);
    }
    let body = match accepted.method() {
        Method::Post => Some(body_of(accepted).await?),
        Method::Get | Method::Head => None,
    };
    let path: Vec<&str> = accepted.segments().collect();
    let asked = Asked { post: body.is_some(), path: &path, query: accepted.query(), form: body.as_deref() };
    let Some(everything) = understand::everything(asked).transpose()? else { return Ok(None) };
    takes_json(accepted)?;
    let is_entry = trail.is_entry();
    if is_entry { Err(UnderstandError::Operation("$everything in a batch").into()) } else { Ok(Some(everything)) }
}

async fn body_of(accepted: &mut Accepted) -> Result<Bytes, Fault> {
    let is_json = accepted.header(&CONTENT_TYPE).is_some_and(understand::is_json);
    let body = accepted.read_body(limits::SEARCH_FORM_BYTES).await?;
    if is_json || body.is_empty() { Ok(body) } else { Err(UnderstandError::OperationBody.into()) }
}

impl Gateway {
    /// Plans the parts: the read of the patient, without which there is nothing, and a search for each type that the
    /// scopes and the policy permit.
    pub(super) async fn plan(
        &self,
        asked: Everything,
        client: &Client,
        room: &Reservation,
        trail: &mut Trail,
    ) -> Result<Plan, Fault> {
        trail.operation(&asked);
        let scopes: Vec<ScopeGrant<'_>> = client.scopes().grants().iter().map(scope_grant).collect();
        let read = self.part(&asked.read_path(), None, client, trail.now())?;
        check_scopes(&scopes, &read, decision()?)?;
        let noted = trail.note(room)?;
        let patients = [asked.patient().clone()];
        let policies = self.shared.policies.current();
        let source = &self.shared.facts;
        let (facts, hidden) = self.ehr.facts(source, policies.roster(), &patients, noted, trail.exchange()).await?;
        if let Some(status) = hidden {
            trail.hidden(status);
        }
        let permits = |interaction: Interaction| {
            self.permits(&policies, client, &scopes, interaction, &patients, &facts, trail.now())
        };
        permits(read)?;
        if hidden.is_some() {
            return Err(Fault::Absent);
        }
        let query = asked.search_query();
        let (mut searches, mut left_out) = (Vec::new(), Vec::new());
        for resource_type in asked.types() {
            if asked.shows_patient() && resource_type.as_str() == "Patient" {
                continue;
            }
            let path = asked.search_path(resource_type);
            match permits(self.part(&path, query.as_deref(), client, trail.now())?) {
                Ok(()) => searches.push(target(&path, query.as_deref())),
                Err(fault) => match Unplanned::of(fault)? {
                    Unplanned::Said => left_out.push(resource_type),
                    Unplanned::Concealed => {}
                },
            }
            // Decisions take time, and others share the core.
            tokio::task::yield_now().await;
        }
        Ok(Plan { asked, searches, left_out })
    }

    /// A part as it will be understood when its turn comes.
    fn part(&self, path: &[&str], query: Option<&str>, client: &Client, now: Now) -> Result<Interaction, Fault> {
        let bases = [&*self.shared.base];
        Ok(understand(Asked { post: false, path, query, form: None }, self.setting(&bases, client, now))?)
    }

    /// Whether a part would be asked of the EHR. It is decided again, and for the record, when its turn comes.
    #[expect(clippy::too_many_arguments, reason = "a decision depends on all of these and on nothing else")]
    fn permits(
        &self,
        policies: &PolicySet,
        client: &Client,
        scopes: &[ScopeGrant<'_>],
        interaction: Interaction,
        patients: &[Id],
        facts: &crate::decide::Facts,
        now: Now,
    ) -> Result<(), Fault> {
        let decision = decision()?;
        let permit = self.decide(policies, client, scopes, &interaction, patients, facts, now, decision)?;
        rewrite(interaction, permit, patients).map(drop).map_err(|error| Fault::Rewrite { error, decision })
    }

    /// Answers the parts one after the other, then records the operation itself.
    pub(super) fn everything(
        self: Rc<Self>,
        plan: Plan,
        envelope: Envelope,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Pin<Box<dyn Future<Output = Answer>>> {
        Box::pin(async move {
            let mut merging = Merging::new(&self.shared.base);
            let mut walk = Walk { gateway: &self, envelope: &envelope, trail: &trail, begun: 0 };
            match walk.all(&plan, &mut merging).await {
                Ok(()) => {
                    let own = pages::own_link(&plan.asked.canonical(), &self.shared);
                    let left_out: Vec<&str> = plan.left_out.iter().map(|one| one.as_str()).collect();
                    let (received, released) = merging.counts();
                    trail.merged(received, released, plan.asked.patient());
                    let merged = merging.close(&own, &left_out);
                    if let Some(dialect) = trail.signs() {
                        return self.release_signed(Finished::Merged(merged), dialect, room, trail).await;
                    }
                    trail.log(200, None, &self.shared.metrics);
                    match self.record(room, trail.entry(200, None, Some(merged.as_bytes()))).await {
                        Ok(receipt) => respond::merged(merged, &receipt),
                        Err(_) => self.unrecorded(&trail),
                    }
                }
                Err(fault) => {
                    let refusal = Refusal::of(&fault, false).unwrap_or_else(Refusal::internal);
                    self.refuse(fault, refusal, room, trail).await
                }
            }
        })
    }
}

/// Why a type has no part.
enum Unplanned {
    /// Its search would be refused, and say so.
    Said,
    /// Its search would look as if it found nothing.
    Concealed,
}

impl Unplanned {
    /// A decision that could not be made leaves nothing out: there is no answer then.
    fn of(fault: Fault) -> Result<Self, Fault> {
        match fault {
            Fault::Decide(DecideError::Denied(denial)) if denial.conceal => Ok(Self::Concealed),
            Fault::Rewrite { error: RewriteError::NoPatient, .. } => Ok(Self::Concealed),
            Fault::Decide(
                DecideError::Denied(_)
                | DecideError::Scope { .. }
                | DecideError::Malformed { .. }
                | DecideError::Undefined { .. },
            )
            | Fault::Rewrite { .. } => Ok(Self::Said),
            other => Err(other),
        }
    }
}

/// The way through the parts.
struct Walk<'w> {
    gateway: &'w Rc<Gateway>,
    envelope: &'w Envelope,
    trail: &'w Trail,
    begun: usize,
}

impl Walk<'_> {
    async fn all(&mut self, plan: &Plan, merging: &mut Merging) -> Result<(), Fault> {
        let read = self.ask(&target(&plan.asked.read_path(), None)).await?;
        merging.resource(read, plan.asked.shows_patient()).await.map_err(|unmerged| match unmerged {
            Unmerged::Refused(StatusCode::NOT_FOUND) => Fault::Absent,
            other => fault(other),
        })?;
        for search in &plan.searches {
            let mut next = merging.searchset(self.ask(search).await?).await.map_err(fault)?;
            while let Some(target) = next {
                let page = BatchEntry { target, if_none_match: None };
                next = merging.searchset(self.ask(&page).await?).await.map_err(fault)?;
            }
        }
        Ok(())
    }

    /// One part, from its arrival to its own record.
    async fn ask(&mut self, part: &BatchEntry) -> Result<Answer, Fault> {
        if self.begun >= limits::EVERYTHING_PARTS {
            return Err(Fault::TooCostly);
        }
        if self.trail.began().elapsed() > limits::EVERYTHING_TIME {
            return Err(Fault::Fetch(PoolError::Timeout.into()));
        }
        self.begun += 1;
        let exchange = Token128::random().map(ExchangeId).ok_or(Fault::Randomness)?;
        let arrival = self.envelope.arrival(part).ok_or(Fault::TooCostly)?;
        let whole = Some(Whole::Operation(self.trail.exchange()));
        Ok(Rc::clone(self.gateway).exchange(arrival, exchange, self.trail.now(), whole).await)
    }
}

fn fault(unmerged: Unmerged) -> Fault {
    match unmerged {
        Unmerged::Refused(status) => Fault::Part(status),
        Unmerged::Cut => Fault::Part(StatusCode::BAD_GATEWAY),
        Unmerged::TooLarge => Fault::TooCostly,
    }
}

fn decision() -> Result<DecisionId, Fault> {
    Token128::random().map(DecisionId).ok_or(Fault::Randomness)
}

fn target(path: &[&str], query: Option<&str>) -> BatchEntry {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    BatchEntry { target: format!("{}{query}", path.join("/")).into(), if_none_match: None }
}
