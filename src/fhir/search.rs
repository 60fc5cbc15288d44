//! FHIR search (R4 3.1.1): parameters understood, written back, and evaluated on a resource.
//!
//! Takes: a resource type and one `name[:modifier]=value` pair. Gives: a [`Criterion`], an AND-member of a
//! search whose values are ORed. Guarantees: the criterion that is sent to the EHR is the criterion that
//! its answer is judged by; both come from one parsed value. Refuses: parameters, modifiers, prefixes and
//! values that it cannot evaluate itself, by name.

mod criterion;
pub(crate) mod definition;
mod evaluate;
mod operand;
mod order;
#[cfg(test)]
mod tests;

pub use criterion::{Criterion, Modifier, SearchError};
pub use definition::{Definition, ParameterKind, lookup, names};
pub use operand::{Operand, Prefix};
pub use order::{Key, Reach, compare as compare_keys, key, reach};

/// The generated table of R4 search parameters; see `definitions.py` beside it.
pub(crate) const DEFINITIONS: &str = include_str!("search/definitions.tsv");
