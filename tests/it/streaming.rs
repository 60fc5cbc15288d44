//! Answers too large to hold: judged while they are sent, recorded when they end, and never ended as if whole.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis::audit::entry::Delivery;
use portcullis::demo::ehr::{Behaviour, Ehr};

use crate::support::gateway::hex;
use crate::support::{Ending, Gateway, clinic, gateway};

/// A hundred records of Maren's, of three kilobytes each.
fn with_a_large_record(ehr: &Ehr) {
    let mut bundle = r#"{"resourceType":"Bundle","type":"collection","entry":["#.to_owned();
    for number in 0..100 {
        let comma = if number == 0 { "" } else { "," };
        let note = "x".repeat(3_000);
        write!(
            bundle,
            r#"{comma}{{"resource":{{"resourceType":"Observation","id":"large-{number}","status":"final","code":{{"coding":[{{"system":"http://example.org","code":"large"}}]}},"subject":{{"reference":"Patient/maren"}},"note":[{{"text":"{note}"}}]}}}}"#
        )
        .unwrap();
    }
    bundle.push_str("]}");
    ehr.put(&bundle).unwrap();
}

const LARGE: &str = "/Observation?patient=maren&code=http://example.org|large";

/// The record of how an exchange ended, which may follow the end of its connection by a moment.
fn closing(gateway: &mut Gateway, id: &str) -> portcullis::audit::Entry {
    let log = gateway.stop();
    let record = log.exchange(id);
    assert_eq!(record.outcome.as_ref().map(|outcome| outcome.status), Some(200));
    assert!(record.digest.is_none() && record.counts.is_none(), "the beginning cannot know the end");
    let closing = log.closing(id).expect("a record of the end").clone();
    let seq = log.entries.iter().find(|(_, entry)| entry == record).map(|(seq, _)| *seq);
    assert_eq!(closing.closes, seq);
    closing
}

#[test]
fn a_large_answer_is_whole_and_its_end_is_recorded() {
    let ehr = clinic();
    with_a_large_record(&ehr);
    let mut gateway = gateway().in_front_of(&ehr);
    let answer = gateway.payer("lanternfield").get(LARGE);
    assert_eq!(answer.header("transfer-encoding"), "chunked");
    let found = answer.searchset();
    assert_eq!((found.entries.len(), found.total), (100, Some(100)));
    let closing = closing(&mut gateway, answer.header("x-request-id"));
    assert_eq!(closing.delivery, Some(Delivery::Whole));
    assert_eq!(closing.digest, Some(hex(digest(&SHA256, &answer.body).as_ref())));
    assert_eq!(closing.patients, ["maren"]);
    let counts = closing.counts.unwrap();
    assert_eq!((counts.received, counts.released), (100, 100));
}

#[test]
fn a_huge_answer_of_a_careless_ehr_is_judged_entry_by_entry() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().huge(2_000));
    let found = payer.search("/Observation?patient=maren&code=4548-4&date=2025-03-05");
    assert_eq!(found.entries.len(), 2_000 / 28 + 1);
    assert!(found.entries.iter().all(|entry| entry.text.contains("2025-03-05")));
    let log = gateway.stop();
    // What leaves is small, so it is answered like any small answer.
    assert!(log.of(portcullis::audit::entry::Kind::Closing).is_empty());
    let record = log.of(portcullis::audit::entry::Kind::Exchange)[0];
    assert_eq!(record.counts.as_ref().unwrap().withheld["query"], 2_000 - 72);
}

#[test]
fn an_ehr_that_fails_midway_leaves_a_connection_that_breaks_off() {
    let whole = r#"{"resourceType":"Bundle","type":"searchset","entry":["#.to_owned();
    let entry = format!(
        r#"{{"resource":{{"resourceType":"Observation","id":"x","status":"final","code":{{"text":"{}"}},"subject":{{"reference":"Patient/maren"}}}}}}"#,
        "x".repeat(3_000),
    );
    let garbled = format!("{whole}{},}}{{ canary ]]", vec![entry.as_str(); 50].join(","));
    for (name, behaviour) in [
        ("truncated", Behaviour::faithful().truncated(200_000)),
        ("cut", Behaviour::faithful().cut(200_000)),
        ("garbled", Behaviour::faithful().status(200, &garbled)),
    ] {
        let ehr = clinic();
        with_a_large_record(&ehr);
        let mut gateway = gateway().in_front_of(&ehr);
        ehr.behave(behaviour);
        let target = if name == "garbled" { "/Observation?patient=maren" } else { LARGE };
        let answer = gateway.payer("lanternfield").get(target);
        assert_eq!((answer.status(), answer.ending), (200, Ending::Cut), "{name}");
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err(), "{name}");
        assert!(!answer.text().contains("canary"), "{name}");
        let closing = closing(&mut gateway, answer.header("x-request-id"));
        assert_eq!(closing.delivery, Some(Delivery::Cut), "{name}");
        assert!(closing.counts.unwrap().released >= 10, "{name}");
    }
}

#[test]
fn a_payer_that_leaves_is_recorded_as_cut_off() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().huge(1_000_000));
    let mut begun = payer.ask("GET", "/Observation?patient=maren").begin();
    let id = begun.head.header("x-request-id").unwrap().to_owned();
    // The first bytes come long before the EHR has said the last.
    assert!(!begun.wire.chunk().unwrap().is_empty());
    drop(begun);
    assert_eq!(closing(&mut gateway, &id).delivery, Some(Delivery::Cut));
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

#[test]
fn memory_does_not_grow_with_the_answer() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().huge(1_000_000));
    let mut begun = payer.ask("GET", "/Observation?patient=maren").begin();
    let (before, mut read) = (resident(), 0);
    while read < 24 << 20 {
        read += begun.wire.chunk().expect("more").len();
    }
    // The other tests of this process have a share in it.
    assert!(resident().saturating_sub(before) < 16 << 20, "{} for {read}", resident() - before);
    let id = begun.head.header("x-request-id").unwrap().to_owned();
    drop(begun);
    assert_eq!(closing(&mut gateway, &id).delivery, Some(Delivery::Cut));
}

#[test]
fn the_head_of_a_large_answer_is_that_of_the_answer() {
    let ehr = clinic();
    with_a_large_record(&ehr);
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let (whole, head) = (payer.get(LARGE), payer.ask("HEAD", LARGE).send());
    let lasting = |answer: &crate::support::Answer| {
        let mut headers = answer.head.headers.clone();
        // How a body is framed need not be said where there is none (RFC 9110 section 9.3.2).
        headers.retain(|(name, _)| !["x-request-id", "date", "transfer-encoding"].contains(&&**name));
        headers
    };
    assert_eq!((head.status(), head.ending, head.body.len()), (200, Ending::Whole, 0));
    assert_eq!(lasting(&head), lasting(&whole));
    assert!(closing(&mut gateway, head.header("x-request-id")).delivery.is_some());
}

#[test]
fn what_was_not_counted_is_not_stated() {
    let ehr = clinic();
    with_a_large_record(&ehr);
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let first = payer.search("/Observation?patient=maren");
    assert_eq!(first.total, None, "more matches than the gateway has seen");
    assert!(first.next.is_some());
    // Where only the number is wanted, all pages are seen.
    let counted = payer.search("/Observation?patient=maren&_summary=count");
    assert_eq!((counted.total, counted.next, counted.entries.len()), (Some(118), None, 0));
    assert_eq!(payer.search(&format!("{LARGE}&_summary=count")).total, Some(100));
}
