//! Looking on, for demonstrations.

use std::fmt::Debug;

use crate::filter::Bases;
use crate::id::ExchangeId;
use crate::rewrite::Question;

/// Is shown what the answer of each exchange will be judged by, before it is. Nothing in a configuration makes a
/// gateway have one: what a witness learns leads to patients.
pub trait Witness: Debug + Send + Sync {
    /// The question of one exchange.
    fn asked(&self, exchange: ExchangeId, question: &Question, bases: Bases<'_>);
}
