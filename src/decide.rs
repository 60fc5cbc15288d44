//! Step 4: what may be released.
//!
//! Takes: who asks, what is asked, what is known about the patients, and the policies. Gives: a [`Permit`]
//! whose [`Obligations`] rewriting and filtering obey. Guarantees: scopes and policy must both permit; the
//! same input under the same revision is decided alike. Refuses: everything else, evaluation failures and
//! decisions outside the vocabulary included. No I/O but loading.

mod decision;
mod elements;
mod obligations;
mod permit;
mod roster;
mod scope;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use decision::DecisionError;
pub use elements::{ElementTree, Elements, Kept};
pub use obligations::{Obligations, Patients, Reason, TypeRule};
pub use permit::{DecideError, Denial, Engine, Permit, Revision};
pub use roster::{Membership, Roster, RosterError};
pub use scope::ScopeGrant;
