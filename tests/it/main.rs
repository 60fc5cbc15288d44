//! What the gateway promises, asked of it over real sockets: one module a promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect has found something and ends"
)]

mod attacks;
mod attribution;
mod audit;
mod authorship;
mod batch;
mod cache;
mod careless;
mod content;
mod corpora;
mod desync;
mod direct_query;
mod everything;
mod evidence;
#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "there it is a library")]
mod fuzz;
mod honesty;
mod identity;
mod layers;
mod limits;
mod lossless;
mod operators;
mod overlooked;
mod own_policies;
mod own_provenance;
mod page_links;
mod paging;
mod policies;
mod properties;
mod refusals;
mod scenarios;
mod sensitivity;
mod signature;
mod signed_answers;
mod starter;
mod streaming;
mod support;
mod surface;
mod upstream_faults;
