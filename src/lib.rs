//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod fhir;
pub mod id;
pub mod identify;
pub mod limits;
pub mod oauth;
pub mod outbound;
