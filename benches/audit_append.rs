//! Durable audit records per second: 64 callers on one runtime thread, each waiting for its receipt before it
//! sends the next, as the exchanges of one core do. The log is in the system's temporary directory; put
//! `TMPDIR` on the disk that is to be measured.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis::audit::entry::{Counts, Decision, Effect, Outcome, ServedFrom};
use portcullis::audit::{Audit, Entry};
use portcullis::clock::{Clock, Now};
use portcullis::id::{ExchangeId, Token128};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

fn entry(now: Now) -> Entry {
    let id = Token128::random().expect("the system has randomness");
    Entry {
        client: Some("payer-northwind-prior-auth".to_owned()),
        organization: Some("https://northwind.example/organization/1".to_owned()),
        purpose: Some("COVAUTH".to_owned()),
        token: Some("b7b2c3b8-4b6e-4f0e-9f5d-0f6f5a0d6c11".to_owned()),
        peer: Some("192.0.2.17".to_owned()),
        method: Some("GET".to_owned()),
        interaction: Some("search-type".to_owned()),
        resource_type: Some("Observation".to_owned()),
        request: Some("Observation?category=laboratory&patient=Patient/p-1001".to_owned()),
        decision: Some(Decision {
            id: id.to_string(),
            revision: "2026-11-01.4".to_owned(),
            effect: Effect::Permit,
            reasons: vec!["coverage-active".to_owned()],
        }),
        served_from: Some(ServedFrom::Ehr),
        outcome: Some(Outcome { status: 200, fault: None }),
        counts: Some(Counts {
            received: 12,
            released: 11,
            withheld: BTreeMap::from([("sensitive".to_owned(), 1)]),
            redacted: 22,
            look_ups: BTreeMap::new(),
            authorship: BTreeMap::new(),
            ignored: Vec::new(),
        }),
        patients: vec!["p-1001".to_owned()],
        duration_us: Some(1_812),
        ..Entry::exchange(ExchangeId(id), now)
    }
}

fn record(runtime: &Runtime, audit: &Audit, callers: u64, records: u64) -> Duration {
    let start = Instant::now();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let audit = audit.clone();
            let share = records / callers + u64::from(caller < records % callers);
            tasks.spawn(async move {
                for _ in 0..share {
                    let entry = entry(Clock::System.now());
                    let _receipt = black_box(audit.reserve().unwrap().record(entry).await.unwrap());
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    start.elapsed()
}

fn durable(criterion: &mut Criterion) {
    let dir = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
    let runtime = Builder::new_current_thread().build().unwrap();
    let audit = Audit::open(&dir, Clock::System).unwrap();
    let mut group = criterion.benchmark_group("audit_append");
    group.throughput(Throughput::Elements(1));
    for callers in [1, 16, 64, 256] {
        group.bench_function(format!("durable/{callers}"), |bencher| {
            bencher.iter_custom(|records| record(&runtime, &audit, callers, records));
        });
    }
    group.finish();
    audit.close();
    fs::remove_dir_all(&dir).unwrap();
}

criterion_group!(benches, durable);
criterion_main!(benches);
