//! What the gateway promises, asked of it over real sockets: one module a promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has found something and ends"
)]

mod attacks;
mod audit;
mod cache;
mod careless;
mod direct_query;
mod evidence;
mod identity;
mod layers;
mod limits;
mod lossless;
mod operators;
mod page_links;
mod policies;
mod refusals;
mod starter;
mod streaming;
mod support;
mod upstream_faults;
