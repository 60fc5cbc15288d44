//! What happened, as it is counted: codes of a fixed list, never an id.

use crate::authorship;
use crate::decide::{DecideError, Engine, Permit};
use crate::filter::{Tally, Withheld};
use crate::metrics::{self, Authorship, Evidence, Metrics, Outcome, Reason, Verdict};
use crate::respond::refusal::Fault;
use crate::signature::SignError;

/// Counts a decision.
pub(super) fn decision(metrics: &Metrics, outcome: Result<&Permit, &DecideError>, engine: Engine) {
    let effect = match outcome {
        Ok(_) => metrics::Effect::Permit,
        Err(DecideError::Denied(_) | DecideError::Scope { .. }) => metrics::Effect::Deny,
        Err(_) => metrics::Effect::Error,
    };
    let engine = match engine {
        _ if outcome.is_ok_and(Permit::cached) => metrics::Engine::Remembered,
        Engine::Interpreter => metrics::Engine::Reference,
        Engine::Machine => metrics::Engine::Fast,
    };
    metrics.decision(effect, engine);
}

/// Counts what became of the resources of one answer.
pub(super) fn resources(metrics: &Metrics, tally: &Tally) {
    metrics.resources(Verdict::Released, u64::from(tally.released.saturating_sub(tally.redacted)));
    metrics.resources(Verdict::Redacted, u64::from(tally.redacted));
    for (withheld, count) in &tally.withheld {
        metrics.resources(Verdict::Withheld, u64::from(*count));
        metrics.withheld(reason(*withheld), u64::from(*count));
    }
    for (verdict, count) in &tally.verdicts {
        metrics.authorship(authorship(*verdict), u64::from(*count));
    }
    for (names, evidence) in [(&tally.unstated, Evidence::SelfLink), (&tally.unheeded, Evidence::Content)] {
        if !names.is_empty() {
            metrics.ignored(evidence);
        }
    }
}

/// How an exchange ended that ended in a fault.
pub(super) fn outcome(fault: &Fault) -> Outcome {
    match fault {
        Fault::Accept(_) | Fault::Understand(_) | Fault::Unsigned => Outcome::Malformed,
        Fault::Identify(_) => Outcome::Unidentified,
        Fault::Crowded => Outcome::Crowded,
        Fault::Decide(DecideError::Denied(_) | DecideError::Scope { .. })
        | Fault::Rewrite { .. }
        | Fault::Absent
        | Fault::Sign(SignError::Size | SignError::Unreadable)
        | Fault::TooCostly => Outcome::Denied,
        Fault::Fetch(_)
        | Fault::Filter(_)
        | Fault::Part(_)
        | Fault::Sign(SignError::Numbers(_) | SignError::NumberRange) => Outcome::Upstream,
        Fault::Decide(_) | Fault::Audit(_) | Fault::Panic | Fault::Randomness | Fault::Sign(_) => Outcome::Failed,
    }
}

fn authorship(verdict: authorship::Verdict) -> Authorship {
    match verdict {
        authorship::Verdict::AssertedByHie => Authorship::Hie,
        authorship::Verdict::AssertedBySource => Authorship::Source,
        authorship::Verdict::Contradicted => Authorship::Contradicted,
        authorship::Verdict::Unknown => Authorship::Unknown,
        authorship::Verdict::Verified => Authorship::Verified,
    }
}

fn reason(withheld: Withheld) -> Reason {
    match withheld {
        Withheld::Authorship => Reason::Authorship,
        Withheld::Computed => Reason::Computed,
        Withheld::Constraint => Reason::Constraint,
        Withheld::Include => Reason::Include,
        Withheld::Label => Reason::Label,
        Withheld::Malformed => Reason::Malformed,
        Withheld::Modifier => Reason::Modifier,
        Withheld::Patient => Reason::Patient,
        Withheld::Query => Reason::Query,
        Withheld::Signed => Reason::Signed,
        Withheld::Subject => Reason::Subject,
        Withheld::Type => Reason::Type,
    }
}
