//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod accept;
pub mod clock;
pub mod decide;
pub mod fhir;
pub mod filter;
pub mod id;
pub mod limits;
pub mod outbound;
pub mod rewrite;
pub mod understand;
