//! The evidence of a decision: a [`Permit`], or a [`DecideError`], which is always a refusal.
//!
//! Takes: a checked decision. Gives: evidence that later steps demand. Guarantees: a permit is made by
//! [`super::decide`] and nowhere else; every outcome carries a decision id. Refuses: nothing itself.

use std::sync::Arc;

use thiserror::Error;

use super::obligations::{Obligations, Reason};
use crate::authorship::Registry;
use crate::id::DecisionId;

/// SHA-256 over the names and contents of the policy files, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(Arc<str>);

impl Revision {
    pub(super) fn new(hex: String) -> Self {
        Self(hex.into())
    }

    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which implementation of Rego evaluated a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The reference.
    Interpreter,
    /// The fast machine, proved equal for these policies when they were loaded.
    Machine,
}

impl Engine {
    /// The name in audit records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interpreter => "interpreter",
            Self::Machine => "machine",
        }
    }
}

/// Proof that the policy permits one interaction, and what it binds the answer to.
#[derive(Debug)]
pub struct Permit {
    pub(super) decision: DecisionId,
    pub(super) revision: Revision,
    pub(super) obligations: Arc<Obligations>,
    pub(super) engine: Engine,
    pub(super) cached: bool,
    pub(super) registry: Option<Arc<Registry>>,
}

impl Permit {
    /// Names this decision.
    pub fn decision(&self) -> DecisionId {
        self.decision
    }

    /// The policies that decided.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What the answer is bound to.
    pub fn obligations(&self) -> &Arc<Obligations> {
        &self.obligations
    }

    /// The registry of sources that goes with the policies, where there is one.
    pub fn registry(&self) -> Option<&Arc<Registry>> {
        self.registry.as_ref()
    }

    /// What evaluated the policies.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether the same input was decided shortly before, and that decision was used.
    pub fn cached(&self) -> bool {
        self.cached
    }
}

/// A refusal by the policy.
#[derive(Clone, Debug)]
pub struct Denial {
    /// Names this decision.
    pub decision: DecisionId,
    /// The policies that decided.
    pub revision: Revision,
    /// Why, at least one.
    pub reasons: Arc<[Reason]>,
    /// Whether the refusal must look like the absence of the record.
    pub conceal: bool,
}

/// Why nothing is permitted.
#[derive(Clone, Debug, Error)]
pub enum DecideError {
    /// The policy refuses.
    #[error("refused by policy")]
    Denied(Denial),
    /// The evaluation failed.
    #[error("the policy could not be evaluated")]
    Evaluation {
        /// Names this decision.
        decision: DecisionId,
    },
    /// The input would be larger than policies are given.
    #[error("the request is too large for a decision")]
    Input {
        /// Names this decision.
        decision: DecisionId,
    },
    /// The decision is not in the vocabulary.
    #[error("the policy gave a decision that is not understood: {fault}")]
    Malformed {
        /// Names this decision.
        decision: DecisionId,
        /// What is wrong with it.
        fault: super::decision::DecisionError,
    },
    /// The token's scopes do not reach the interaction.
    #[error("the scopes of the token do not allow the interaction")]
    Scope {
        /// Names this decision.
        decision: DecisionId,
    },
    /// The evaluation took too long, or came too late.
    #[error("the policy did not decide in time")]
    Timeout {
        /// Names this decision.
        decision: DecisionId,
    },
    /// The policies define no decision for this input.
    #[error("the policy gave no decision")]
    Undefined {
        /// Names this decision.
        decision: DecisionId,
    },
}

impl DecideError {
    /// Names the decision.
    pub fn decision(&self) -> DecisionId {
        match self {
            Self::Denied(denial) => denial.decision,
            Self::Evaluation { decision }
            | Self::Input { decision }
            | Self::Malformed { decision, .. }
            | Self::Scope { decision }
            | Self::Timeout { decision }
            | Self::Undefined { decision } => *decision,
        }
    }
}
