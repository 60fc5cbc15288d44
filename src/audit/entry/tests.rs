use super::*;
use crate::clock::Clock;

fn now() -> Now {
    Clock::Fixed("2026-11-23T08:00:00.123Z".parse().unwrap()).now()
}

fn full(text: &str, members: usize) -> Entry {
    let text = text.to_owned();
    let list = || (0..members).map(|n| format!("{n}{text}")).collect::<Vec<_>>();
    Entry {
        kind: Kind::Exchange,
        time: now().to_instant(),
        exchange: Some(text.clone()),
        batch: Some(text.clone()),
        closes: Some(u64::MAX),
        client: Some(text.clone()),
        organization: Some(text.clone()),
        purpose: Some(text.clone()),
        token: Some(text.clone()),
        peer: Some(text.clone()),
        method: Some(text.clone()),
        interaction: Some(text.clone()),
        resource_type: Some(text.clone()),
        request: Some(text.clone()),
        upstream_request: Some(text.clone()),
        upstream_status: Some(u16::MAX),
        decision: Some(Decision { id: text.clone(), revision: text.clone(), effect: Effect::Permit, reasons: list() }),
        served_from: Some(ServedFrom::Ehr),
        outcome: Some(Outcome { status: 200, fault: Some(text.clone()) }),
        counts: Some(Counts {
            received: u64::MAX,
            released: u64::MAX,
            withheld: list().into_iter().map(|reason| (reason, u64::MAX)).collect(),
            redacted: u64::MAX,
            authorship: list().into_iter().map(|verdict| (verdict, u64::MAX)).collect(),
            look_ups: list().into_iter().map(|name| (name, u64::MAX)).collect(),
            ignored: list(),
        }),
        patients: list(),
        digest: Some(text.clone()),
        signature: Some(Signature { edition: text.clone(), certificate: text.clone() }),
        duration_us: Some(u64::MAX),
        delivery: Some(Delivery::Whole),
        software: Some(text.clone()),
        cut: Some(Cut { segment: u32::MAX, offset: u64::MAX, bytes: u64::MAX, digest: text }),
        truncated: false,
    }
}

fn decode(line: &[u8]) -> Entry {
    serde_json::from_slice(line).unwrap()
}

#[test]
fn members_that_do_not_apply_are_left_out() {
    let line = Entry::new(Kind::PolicyLoad, now()).encode().unwrap();
    assert_eq!(std::str::from_utf8(&line).unwrap(), r#"{"kind":"policy-load","time":"2026-11-23T08:00:00.123Z"}"#);
}

#[test]
fn an_entry_reads_back_as_it_was() {
    let entry = full("text", 3);
    assert_eq!(decode(&entry.clone().encode().unwrap()), entry);
}

#[test]
fn any_text_stays_on_one_line_and_reads_back() {
    let hostile: String = (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '\u{feff}', '"', '\\']).collect();
    let entry = Entry { client: Some(hostile), request: Some("a\r\nb\",\"hash\":\"".into()), ..full("x", 1) };
    let line = entry.clone().encode().unwrap();
    assert!(line.iter().all(|byte| *byte >= 0x20));
    assert_eq!(decode(&line), entry);
}

#[test]
fn the_longest_entry_is_kept_whole_and_one_byte_more_is_shortened() {
    let sized = |bytes: usize| Entry { request: Some("q".repeat(bytes)), ..Entry::new(Kind::Exchange, now()) };
    let frame = sized(0).encode().unwrap().len();
    let whole = sized(limits::AUDIT_RECORD_BYTES - frame).encode().unwrap();
    assert_eq!(whole.len(), limits::AUDIT_RECORD_BYTES);
    assert!(!decode(&whole).truncated);
    let cut = decode(&sized(limits::AUDIT_RECORD_BYTES - frame + 1).encode().unwrap());
    assert!(cut.truncated);
    assert_eq!(cut.request.unwrap(), "q".repeat(2_048));
}

#[test]
fn lists_are_shortened_and_counts_are_not() {
    let entry = full("p", 5_000);
    let line = entry.clone().encode().unwrap();
    assert!(line.len() <= limits::AUDIT_RECORD_BYTES);
    let short = decode(&line);
    assert!(short.truncated);
    assert_eq!(short.patients, entry.patients[..64]);
    assert_eq!(short.decision.unwrap().reasons.len(), 64);
    let counts = short.counts.unwrap();
    assert_eq!((counts.withheld.len(), counts.released), (64, u64::MAX));
}

#[test]
fn the_worst_entry_fits_after_the_last_step() {
    for text in ["\u{1}", "\"", "é", "\u{10ffff}"] {
        let line = full(&text.repeat(10_000), 50).encode().unwrap();
        assert!(line.len() <= limits::AUDIT_RECORD_BYTES, "{text:?}: {}", line.len());
        assert!(decode(&line).truncated);
    }
}

#[test]
fn an_exchange_carries_its_id() {
    let id = ExchangeId(crate::id::Token128::from_bytes([7; 16]));
    let entry = Entry::exchange(id, now());
    assert_eq!((entry.kind, entry.exchange), (Kind::Exchange, Some(id.to_string())));
}
