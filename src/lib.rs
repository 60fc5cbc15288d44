//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod accept;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod decide;
pub mod demo;
pub mod fhir;
pub mod filter;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod outbound;
pub mod rewrite;
pub mod store;
pub mod understand;
