//! Deciding one search by the policies of this repository: in the interpreter, in the machine where it is admitted,
//! and from the cache.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portcullis::decide::{DecisionCache, Engine, EngineSetting};

#[path = "data/payer.rs"]
#[expect(dead_code, reason = "the patients are for later steps")]
mod payer;
#[path = "data/searchset.rs"]
#[expect(dead_code, reason = "only the name of the patient is used here")]
mod searchset;

use payer::{Payer, policies};

fn decisions(criterion: &mut Criterion) {
    let payer = Payer::of_the_first_contract();
    let search = payer.search();
    let mut group = criterion.benchmark_group("decide");
    for (name, setting) in [("interpreter", EngineSetting::Interpreter), ("machine", EngineSetting::Auto)] {
        let policies = policies(setting).current();
        if setting == EngineSetting::Auto && policies.engine() != Engine::Machine {
            println!("decide/machine is left out: {}", policies.engine_reason());
            continue;
        }
        group.bench_function(name, |bencher| {
            let decide = |cache: &mut DecisionCache| black_box(payer.decide(&policies, cache, black_box(&search)));
            bencher.iter_batched_ref(DecisionCache::new, decide, BatchSize::SmallInput);
        });
    }
    let policies = policies(EngineSetting::Auto).current();
    let cache = DecisionCache::new();
    payer.decide(&policies, &cache, &search);
    assert!(payer.decide(&policies, &cache, &search).cached(), "the second decision comes from the cache");
    group.bench_function("cached", |bencher| {
        bencher.iter(|| black_box(payer.decide(&policies, &cache, black_box(&search))));
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
