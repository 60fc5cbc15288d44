//! Fuzz targets, as plain functions of bytes.
//!
//! Takes: any bytes. Gives: nothing, or a panic that names the promise that was broken. Guarantees: only public entry
//! points of the gateway are called, no network, no state kept from one input to the next. The programs in
//! `fuzz_targets` feed these functions from libFuzzer; `tests/it/corpora.rs` feeds them every file of `corpus`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target that meets what must not be has found something and ends"
)]

pub mod audit;
pub mod authorship;
pub mod bundle;
pub mod dom;
pub mod form;
pub mod json;
pub mod jwt;
pub mod page;
pub mod reference;
pub mod signature;
pub mod stage;
pub mod url;

/// What is fed with bytes.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 9] = [
    ("audit", audit::run),
    ("authorship", authorship::run),
    ("bundle", bundle::run),
    ("form", form::run),
    ("json", json::run),
    ("jwt", jwt::run),
    ("page", page::run),
    ("signature", signature::run),
    ("url", url::run),
];
