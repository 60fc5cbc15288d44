//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod audit;
pub mod cli;
pub mod clock;
pub mod fhir;
pub mod id;
pub mod limits;
pub mod store;
