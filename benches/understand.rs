//! Understanding requests: a read, searches as GET and as form, a page link.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis::clock::Now;
use portcullis::understand::{Asked, Interaction, PageKey, PageLink, Setting, understand};

const SEARCH: &str = "patient=Patient/p1&category=http://terminology.hl7.org/CodeSystem/observation-category%7Claboratory\
                      &code=http://loinc.org%7C2823-3,http://loinc.org%7C2951-2&date=ge2026-01-01&date=lt2026-07-01\
                      &_count=50&_sort=-date&_include=Observation:performer";

fn requests(criterion: &mut Criterion) {
    let pages = PageKey::random().expect("randomness");
    let now = Now::at("2026-11-23T12:00:00Z".parse().expect("an instant"));
    let bases = ["https://gateway.example.org/fhir"];
    let setting = Setting { bases: &bases, pages: &pages, client: "payer-a", purpose: "HPAYMT", now };
    let get = |path, query| Asked { post: false, path, query, form: None };
    let search = get(&["Observation"], Some(SEARCH));
    let form = Asked { post: true, path: &["Observation", "_search"], query: None, form: Some(SEARCH.as_bytes()) };
    let Ok(Interaction::Search(understood)) = understand(search, setting) else { return };
    let link = PageLink {
        search: &understood,
        continuation: "?_getpages=1d0a5b8e-0b6f-4f2e-8a55-0f4d6a1b9f10&_getpagesoffset=50&_count=50",
        passed: 0,
        decision: [7; 16],
        client: "payer-a",
        purpose: "HPAYMT",
        now,
    };
    let sealed = pages.seal(&link).expect("a short link");
    let page = ["_page", sealed.as_str()];

    let mut group = criterion.benchmark_group("understand");
    for (name, asked) in [
        ("read", get(&["Observation", "lab-000017"], None)),
        ("search/small", get(&["Observation"], Some("patient=p1&category=laboratory&_count=100"))),
        ("search/large", search),
        ("search/form", form),
        ("page", get(&page, None)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| understand(black_box(asked), setting).expect("a request that is served"));
        });
    }
    group.bench_function("page/seal", |bencher| bencher.iter(|| pages.seal(black_box(&link))));
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
