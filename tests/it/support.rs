//! The stage that promises are tested on: an EHR, a gateway in front of it, payers that ask.
//!
//! A gateway that is dropped at the end of its test is stopped and held to account: its log must verify, and hold
//! exactly one record of each exchange that was answered.

pub(crate) mod answer;
pub(crate) mod ehr;
pub(crate) mod folder;
pub(crate) mod gateway;
pub(crate) mod log;
pub(crate) mod payer;
pub(crate) mod policy;
pub(crate) mod wire;

pub(crate) use answer::{Answer, Ending, Searchset};
pub(crate) use ehr::{clinic, resources};
pub(crate) use gateway::{Gateway, gateway};
pub(crate) use payer::Payer;
pub(crate) use policy::{Policy, everything, permitting, policy, starter};
