//! Verdicts on the records of a searchset with its Provenance, against filtering the same searchset.
//!
//! The goal: verdicts take at most 15 % of the filter's time for the same page, where nobody asks for them.
//!
//! The filter reads each entry before it judges it, so the verdict's share is the time for records that are read already. What
//! evidence costs, Provenance read from its bytes included, is told apart: one Provenance for each encounter of five results,
//! and one for each result.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::Criterion;
use portcullis::authorship::{Evidence, Gathered, Record, Trust, Verdict, judge};
use portcullis::clock::Now;
use portcullis::decide::{DecisionCache, EngineSetting};
use portcullis::fhir::json::Tape;
use portcullis::filter::{Bases, BundleFilter};
use portcullis::limits;
use portcullis::rewrite::{Question, rewrite};

#[path = "data/payer.rs"]
mod payer;
#[path = "data/ratio.rs"]
mod ratio;
#[path = "data/searchset.rs"]
#[expect(dead_code, reason = "one layout and single entries are enough here")]
mod searchset;

use payer::{Payer, policies};
use searchset::{EHR, Layout, entry};

const BASES: Bases<'static> = Bases { ehr: EHR, gateway: "https://gateway.example.org/fhir" };
const ENTRIES: usize = 100;
/// What verdicts may take at most, in percent of the time that the filter takes for the same page without them.
const GOAL: f64 = 15.0;

fn filter(question: &Question, bundle: &[u8]) {
    let mut filter = BundleFilter::new(question, BASES);
    for piece in bundle.chunks(limits::CONNECTION_BUFFER) {
        filter.feed(piece).expect("a searchset that is accepted");
        if filter.output_len() >= limits::STREAM_PIECE_BYTES {
            black_box(filter.take_output());
        }
    }
    filter.end().expect("a whole searchset");
    black_box(filter.close("https://gateway.example.org/fhir/Observation", None));
}

/// Whom the results name, and one Provenance for so many results.
fn beside(each: usize) -> Vec<String> {
    let npi =
        |value: &str| format!(r#""identifier":[{{"system":"http://hl7.org/fhir/sid/us-npi","value":"{value}"}}]"#);
    let mut all = vec![
        format!(r#"{{"resourceType":"Organization","id":"hospital","name":"Hospital",{}}}"#, npi("1474179235")),
        format!(
            r#"{{"resourceType":"Practitioner","id":"dr-3021","name":[{{"family":"Ada"}}],{}}}"#,
            npi("1136090283")
        ),
    ];
    for first in (0..ENTRIES).step_by(each) {
        let mut targets = String::new();
        for number in first..first + each {
            write!(
                targets,
                r#"{}{{"reference":"Observation/lab-{number:06}"}}"#,
                if number > first { "," } else { "" }
            )
            .expect("memory");
        }
        all.push(format!(
            r#"{{"resourceType":"Provenance","id":"pv-{first}","meta":{{"versionId":"1","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance"]}},"target":[{targets}],"recorded":"2026-03-04T09:00:00Z","agent":[{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/provenance-participant-type","code":"author","display":"Author"}}],"text":"Author"}},"who":{{"reference":"Practitioner/dr-3021","display":"Dr. Ada"}},"onBehalfOf":{{"reference":"Organization/hospital","display":"Hospital"}}}},{{"type":{{"coding":[{{"system":"http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type","code":"transmitter"}}]}},"who":{{"reference":"Organization/hospital"}}}}]}}"#
        ));
    }
    all
}

fn evidence(beside: &[String]) -> Evidence {
    let mut gathered = Gathered::new(&[EHR]);
    let mut tape = Tape::new();
    for text in beside {
        gathered.add(tape.read(text.as_bytes()).expect("the template is JSON").root());
    }
    gathered.finish()
}

fn bundle(records: &[String], beside: &[String]) -> String {
    let included = beside.iter().map(|text| format!(r#"{{"resource":{text},"search":{{"mode":"include"}}}}"#));
    let entries: Vec<String> = records.iter().cloned().chain(included).collect();
    format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{}]}}"#, entries.join(","))
}

fn main() {
    let payer = Payer::of_the_first_contract();
    let search = payer.search();
    let policies = policies(EngineSetting::Interpreter).current();
    let permit = payer.decide(&policies, &DecisionCache::new(), &search);
    let prepared = rewrite(search, permit, payer.patients()).expect("a search that can be carried out");
    let question = prepared.into_question();
    let now = Now::at("2026-11-27T12:00:00Z".parse().expect("an instant"));

    let mut criterion = Criterion::default().configure_from_args();
    let entries: Vec<String> = (0..ENTRIES).map(|number| entry(number, Layout::Compact)).collect();
    let mut tapes: Vec<Tape> = std::iter::repeat_with(Tape::new).take(ENTRIES).collect();
    let read = |(tape, text): (&'static mut Tape, &'static String)| {
        let root = tape.read(text.as_bytes()).expect("the template is JSON").root();
        root.get("resource").expect("an entry")
    };
    // They live as long as the program: a benchmark has no other.
    let entries: &'static [String] = Box::leak(entries.into_boxed_slice());
    let tapes: &'static mut [Tape] = Box::leak(std::mem::take(&mut tapes).into_boxed_slice());
    let records: Vec<_> = tapes.iter_mut().zip(entries).map(read).collect();

    for (name, each) in [("per encounter", 5), ("per result", 1)] {
        let beside = beside(each);
        let bundle = bundle(entries, &beside);
        let known = evidence(&beside);
        let verdicts = |evidence: &Evidence| {
            let judged = records.iter().filter_map(|resource| {
                let record = Record::read(*resource)?;
                Some(judge(&record, evidence, &Trust::of_the_ehr(), now).verdict)
            });
            judged.filter(|verdict| *verdict == Verdict::AssertedBySource).count()
        };
        assert_eq!(verdicts(&known), ENTRIES, "every result is asserted by its source");
        let filtering = || filter(&question, black_box(bundle.as_bytes()));
        // The ratio that is printed is the filter's time as a multiple of ours.
        let times = ratio::report(
            &format!("authorship/{name}/verdicts"),
            bundle.len(),
            || {
                black_box(verdicts(black_box(&known)));
            },
            filtering,
        );
        let (share, verb) = (100.0 / times, if times * GOAL < 100.0 { "MISSED" } else { "reached" });
        println!("authorship/{name}: verdicts take {share:.1} % of the filter's time, goal at most {GOAL} %: {verb}");
        let all = || {
            let evidence = evidence(black_box(&beside));
            black_box(verdicts(&evidence));
        };
        ratio::report(&format!("authorship/{name}/evidence and verdicts"), bundle.len(), all, filtering);
        let mut group = criterion.benchmark_group(format!("authorship/{name}"));
        group.bench_function("filter", |bencher| bencher.iter(filtering));
        group.bench_function("evidence", |bencher| bencher.iter(|| black_box(evidence(black_box(&beside)))));
        group.bench_function("verdicts", |bencher| bencher.iter(|| black_box(verdicts(black_box(&known)))));
        group.finish();
    }
    criterion.final_summary();
}
