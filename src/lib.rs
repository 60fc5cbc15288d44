//! Portcullis: a FHIR R4 gateway that releases the minimum necessary.

#![forbid(unsafe_code)]

pub mod accept;
pub mod admin;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decide;
pub mod demo;
pub mod fetch;
pub mod fhir;
pub mod filter;
pub mod gateway;
pub mod id;
pub mod identify;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod oauth;
pub mod outbound;
pub mod publish;
pub mod respond;
pub mod rewrite;
pub mod start;
pub mod store;
pub mod understand;
