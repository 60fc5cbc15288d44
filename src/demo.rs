//! The demonstration: an EHR in the same process, and what a gateway in front of it changes.
//!
//! Takes: nothing from the outside. Gives: [`ehr::Ehr`], a small FHIR server that answers faithfully or misbehaves on
//! request, [`data`], the invented patients it holds, [`contract`], the agreement with their payer, and a
//! [`comparison`] of one search with and without the gateway. The integration tests stand on the first two.
//! Guarantees: every person, number and note here was made up for this project.

pub mod comparison;
pub mod contract;
pub mod data;
pub mod ehr;
pub mod onlooker;
pub mod show;
