//! The decision document, read strictly.

use thiserror::Error;

/// Why a decision is outside the vocabulary.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecisionError {
    /// Not a JSON object.
    #[error("not an object")]
    Object,
}
