//! OAuth and SMART vocabulary: algorithms, key sets, scopes and purposes of use.
//!
//! Takes: text. Gives: typed values that the configuration is checked with and that identification compares.
//! Guarantees: no I/O and no clock; only asymmetric algorithms and sound public keys can be expressed.
//! Refuses: whatever RFC 7515 to 7519, SMART App Launch 2.2 or v3-ActReason does not define.

pub mod algorithm;
pub mod key_set;
pub mod purpose;
pub mod scope;

pub use algorithm::Algorithm;
pub use key_set::{KeySet, KeySetError};
pub use purpose::Purpose;
pub use scope::{Grant, Permission, Permissions, ScopeError, Scopes};
