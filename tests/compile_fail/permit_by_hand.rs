//! A permit is made by a decision.
use std::sync::Arc;

use portcullis::decide::{Engine, Obligations, Permit, Revision};
use portcullis::id::DecisionId;

fn permit(decision: DecisionId, revision: Revision, obligations: Arc<Obligations>) -> Permit {
    Permit { decision, revision, obligations, engine: Engine::Interpreter, cached: false, registry: None }
}

fn main() {}
