//! What leaves the filter is what the slow reference lets out, under any policy.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::drawing;
use super::policy::{Drawn, drawn};
use super::records::{Records, own, patients};
use crate::fuzz::bundle::Case;
use crate::fuzz::stage::EHR;

const REGRESSIONS: &str = "tests/it/properties/regressions/filter.txt";

/// How often something was asked, and how much left.
#[derive(Debug, Default)]
struct Count {
    asked: Cell<usize>,
    sent: Cell<usize>,
    left: Cell<usize>,
}

fn agree(records: &Records, cases: u32, count: &Count) {
    let mut runner = TestRunner::new(drawing(cases, REGRESSIONS));
    let strategy = drawn(records);
    let property = |(decision, search, sent): Drawn| {
        let target = search.target();
        // Where a search reads what is not released, it is not asked.
        let Some(case) = Case::new(decision, search) else { return Ok(()) };
        let entry = |at: &usize| {
            format!(r#"{{"fullUrl":"{EHR}/x","resource":{},"search":{{"mode":"match"}}}}"#, records.texts[*at])
        };
        let entries: Vec<String> = sent.iter().map(entry).collect();
        let searchset = format!(
            r#"{{"resourceType":"Bundle","type":"searchset","total":{},"entry":[{}]}}"#,
            sent.len(),
            entries.join(",")
        );
        let whole = case.filtered(searchset.as_bytes(), usize::MAX);
        prop_assert!(whole.is_ok(), "{target}: {whole:?}");
        let left = whole.unwrap();
        let pieces = case.filtered(searchset.as_bytes(), 1 + searchset.len() / 7);
        prop_assert_eq!(pieces.as_ref(), Ok(&left));
        count.asked.set(count.asked.get() + 1);
        count.sent.set(count.sent.get() + sent.len());
        let same = case
            .compare(&searchset, &left)
            .map_err(|difference| TestCaseError::fail(format!("{target}{difference}")))?;
        count.left.set(count.left.get() + same);
        Ok(())
    };
    runner.run(&strategy, property).unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn lets_out_of_our_own_records_what_the_reference_does() {
    let count = Count::default();
    agree(&own(), 300, &count);
    assert!(count.asked.get() > 150 && count.left.get() > 200, "{count:?}");
}

#[test]
fn lets_out_of_ten_patients_what_the_reference_does() {
    let count = Count::default();
    let all = patients();
    for records in &all {
        agree(records, 15, &count);
    }
    assert!(all.is_empty() || (count.asked.get() > 50 && count.left.get() > 100), "{count:?}");
}
