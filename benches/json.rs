//! Reading JSON into an index (`fhir::json`) against serde_json only validating the same bytes.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis::fhir::json::Tape;
use serde::de::IgnoredAny;

#[path = "data/ratio.rs"]
mod ratio;
#[path = "data/searchset.rs"]
#[expect(dead_code, reason = "only entries are read here, not Bundles")]
mod searchset;

use searchset::{Layout, entry};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for layout in [Layout::Compact, Layout::Pretty] {
        let entries: Vec<String> = (0..100).map(|number| entry(number, layout)).collect();
        let bytes = entries.iter().map(String::len).sum();
        let mut tape = Tape::new();
        let mut index = || {
            for entry in &entries {
                black_box(tape.read_first(black_box(entry.as_bytes())).expect("the template is JSON"));
            }
        };
        let mut validate = || {
            for entry in &entries {
                serde_json::from_slice::<IgnoredAny>(black_box(entry.as_bytes())).expect("the template is JSON");
            }
        };
        ratio::report(&format!("json/index/{layout:?}"), bytes, &mut index, &mut validate);
        let mut group = criterion.benchmark_group(format!("json/{layout:?}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("index", |bencher| bencher.iter(&mut index));
        group.bench_function("validate", |bencher| bencher.iter(&mut validate));
        group.finish();
    }
    criterion.final_summary();
}
