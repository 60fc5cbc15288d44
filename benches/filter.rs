//! Filtering a searchset under the first contract of this repository, against serde_json only validating the same bytes.
//!
//! The Bundle comes in pieces as large as the buffer of a connection, and what is ready leaves in frames, as in the
//! gateway. Every entry is a match and is redacted.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis::decide::{DecisionCache, EngineSetting};
use portcullis::filter::{Bases, BundleFilter, Tally};
use portcullis::limits;
use portcullis::rewrite::{Question, rewrite};
use serde::de::IgnoredAny;

#[path = "data/payer.rs"]
mod payer;
#[path = "data/ratio.rs"]
mod ratio;
#[path = "data/searchset.rs"]
mod searchset;

use payer::{Payer, policies};
use searchset::{EHR, Layout, searchset};

const BASES: Bases<'static> = Bases { ehr: EHR, gateway: "https://gateway.example.org/fhir" };

/// How many bytes leave, and the account of them.
fn filter(question: &Question, bundle: &[u8]) -> (usize, Tally) {
    let mut filter = BundleFilter::new(question, BASES);
    let mut sent = 0;
    for piece in bundle.chunks(limits::CONNECTION_BUFFER) {
        filter.feed(piece).expect("a searchset that is accepted");
        if filter.output_len() >= limits::STREAM_PIECE_BYTES {
            sent += black_box(filter.take_output()).as_bytes().len();
        }
    }
    filter.end().expect("a whole searchset");
    let (rest, tally) = filter.close("https://gateway.example.org/fhir/Observation", None);
    (sent + black_box(rest).as_bytes().len(), tally)
}

fn main() {
    let payer = Payer::of_the_first_contract();
    let search = payer.search();
    let policies = policies(EngineSetting::Interpreter).current();
    let permit = payer.decide(&policies, &DecisionCache::new(), &search);
    let prepared = rewrite(search, permit, payer.patients()).expect("a search that can be carried out");
    let question = prepared.into_question();

    let mut criterion = Criterion::default().configure_from_args();
    for (size, entries) in [("300 KB", 100), ("5 MB", 1_700)] {
        for layout in [Layout::Compact, Layout::Pretty] {
            let bundle = searchset(entries, layout);
            let name = format!("filter/{size}/{layout:?}");
            let (sent, tally) = filter(&question, bundle.as_bytes());
            assert_eq!((tally.released, tally.redacted), (tally.received, tally.received), "every entry, redacted");
            println!("{name}: {} bytes, of which {sent} leave", bundle.len());
            let ours = || drop(black_box(filter(&question, black_box(bundle.as_bytes()))));
            let validate = || {
                serde_json::from_slice::<IgnoredAny>(black_box(bundle.as_bytes())).expect("the template is JSON");
            };
            ratio::report(&name, bundle.len(), ours, validate);
            let mut group = criterion.benchmark_group(&name);
            group.throughput(Throughput::Bytes(bundle.len() as u64));
            group.bench_function("filter", |bencher| bencher.iter(ours));
            group.bench_function("validate", |bencher| bencher.iter(validate));
            group.finish();
        }
    }
    criterion.final_summary();
}
