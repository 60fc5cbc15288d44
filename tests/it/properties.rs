//! What holds of any request, policy and record, tried on many drawn at random.
//!
//! The draw is the same in every run. `PROPTEST_CASES=10000 cargo test properties` draws as many, and others each time;
//! what fails is kept in `properties/regressions` and tried first from then on.

mod authorship;
mod filter;
mod policy;
mod records;
mod request;
mod spelling;
mod verdict;

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};

/// How many are drawn, and from where on.
fn drawing(cases: u32, regressions: &'static str) -> Config {
    let wished = std::env::var("PROPTEST_CASES").ok().and_then(|wished| wished.parse().ok());
    Config {
        cases: wished.unwrap_or(cases),
        rng_seed: if wished.is_some() { RngSeed::Random } else { RngSeed::Fixed(0x9E37_79B9) },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 2_000,
        ..Config::default()
    }
}
