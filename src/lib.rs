//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod accept;
pub mod admin;
pub mod clock;
pub mod fetch;
pub mod fhir;
pub mod id;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod outbound;
