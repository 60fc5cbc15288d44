//! `portcullis demo`: an EHR in the same process, and what a gateway in front of it changes.
//!
//! Takes: nothing from the outside. Gives: [`ehr::Ehr`], a small FHIR server that answers faithfully or misbehaves on
//! request, and [`data`], the invented patients it holds; the integration tests stand on both.
//! Guarantees: every person, number and note here was made up for this project.

pub mod data;
pub mod ehr;
