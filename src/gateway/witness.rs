//! Looking on, for demonstrations.

use std::fmt::Debug;
use std::sync::Arc;

use crate::filter::{Attribution, Bases};
use crate::id::ExchangeId;
use crate::rewrite::Question;

/// Is shown what the answer of each exchange will be judged by, before it is. Nothing in a configuration makes a
/// gateway have one: what a witness learns leads to patients.
pub trait Witness: Debug + Send + Sync {
    /// The question of one exchange.
    fn asked(&self, exchange: ExchangeId, question: &Question, bases: Bases<'_>);

    /// The same question, once it is known who answers for the records of a page of its answer.
    fn attributed(&self, exchange: ExchangeId, question: &Question, bases: Bases<'_>, attribution: &Arc<Attribution>);
}
