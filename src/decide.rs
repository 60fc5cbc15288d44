//! Step 4: what may be released.
//!
//! Takes: who asks, what is asked, what is known about the patients, and the policies. Gives: a [`Permit`]
//! whose [`Obligations`] rewriting and filtering obey. Guarantees: scopes and policy must both permit; the
//! same input under the same revision is decided alike. Refuses: everything else, evaluation failures and
//! decisions outside the vocabulary included. No I/O but loading.

mod admission;
mod cache;
mod certainty;
mod decision;
mod elements;
mod engine;
mod facts;
mod files;
mod gate;
mod input;
mod obligations;
mod permit;
mod policy;
pub mod policy_tests;
mod roster;
mod scope;
mod sensitivity;
mod syntax;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use admission::PolicyProblem;
pub use cache::DecisionCache;
pub use decision::DecisionError;
pub use elements::{ElementTree, Elements, Kept, Slices};
pub use facts::{Code, ConsentFact, CoverageFact, Facts, PatientFacts, Provision};
pub use input::{Caller, LookBack};
pub use obligations::{Obligations, Patients, Reason, StatesChanges, TypeRule, Verdicts};
pub use permit::{DecideError, Denial, Engine, Permit, Revision};
pub use policy::{EngineSetting, Policies, PolicySet, PolicySettings};
pub use roster::{Membership, Roster, RosterError};
pub use scope::ScopeGrant;
pub use sensitivity::{ComputedLabel, Sensitivity};

use cache::{Key, Outcome};
use decision::Decided;
use engine::Failure;
use input::Question;
use scope::Unbound;

use crate::clock::Now;
use crate::fhir::name::Id;
use crate::id::DecisionId;
use crate::understand::Interaction;

/// Whether the scopes reach an interaction at all. [`decide`] asks the same; asked beforehand, nothing is looked up for
/// a client that may not ask.
pub fn check_scopes(
    scopes: &[ScopeGrant<'_>],
    interaction: &Interaction,
    decision: DecisionId,
) -> Result<(), DecideError> {
    if scope::permit(scopes, interaction) { Ok(()) } else { Err(DecideError::Scope { decision }) }
}

/// Decides an interaction. `patients` are those it is about, as far as they are known before anything is fetched.
#[expect(clippy::too_many_arguments, reason = "a decision depends on all of these and on nothing else")]
pub fn decide(
    policies: &PolicySet,
    cache: &DecisionCache,
    caller: &Caller<'_>,
    interaction: &Interaction,
    patients: &[Id],
    facts: &Facts,
    lookback: &LookBack,
    now: Now,
    id: DecisionId,
) -> Result<Permit, DecideError> {
    check_scopes(caller.scopes, interaction, id)?;
    let today = now.date();
    let question = Question { caller, interaction, patients, facts, lookback, today };
    let input = input::shape(&question).ok_or(DecideError::Input { decision: id })?;
    let key = Key::of(policies.fingerprint(), &input);
    let (outcome, cached) = match cache.find(&key) {
        Some(outcome) => (outcome, true),
        None => {
            let outcome = evaluate(policies, &question, &input, id)?;
            cache.keep(key, outcome.clone());
            (outcome, false)
        }
    };
    let revision = policies.revision().clone();
    match outcome {
        Outcome::Permitted { obligations, engine } => {
            let registry = policies.registry().cloned();
            Ok(Permit { decision: id, revision, obligations, engine, cached, registry })
        }
        Outcome::Refused { reasons, conceal } => {
            Err(DecideError::Denied(Denial { decision: id, revision, reasons, conceal }))
        }
    }
}

fn evaluate(
    policies: &PolicySet,
    question: &Question<'_>,
    input: &[u8],
    decision: DecisionId,
) -> Result<Outcome, DecideError> {
    let text = policies.evaluate(input).map_err(|failure| match failure {
        Failure::Evaluation => DecideError::Evaluation { decision },
        Failure::Timeout => DecideError::Timeout { decision },
        Failure::Undefined => DecideError::Undefined { decision },
    })?;
    let malformed = |fault| DecideError::Malformed { decision, fault };
    let permitted = match decision::read(&text).map_err(malformed)? {
        Decided::Permitted(permitted) => permitted,
        Decided::Refused { reasons, conceal } => return Ok(Outcome::Refused { reasons: reasons.into(), conceal }),
    };
    let set = policies.holdings();
    let bound = scope::bind(permitted, question.caller.scopes, question.interaction, &set, question.today);
    match bound {
        Ok(obligations) => Ok(Outcome::Permitted { obligations: Arc::new(obligations), engine: policies.engine() }),
        Err(Unbound::Malformed(fault)) => Err(malformed(fault)),
        Err(Unbound::TooMany) => Err(DecideError::Input { decision }),
    }
}
