//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod fhir;
pub mod id;
pub mod limits;
pub mod oauth;
pub mod outbound;
