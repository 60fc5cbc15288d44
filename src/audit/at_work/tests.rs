use std::fs;

use super::*;
use crate::audit::fixture::{block_on, clock, open};
use crate::audit::verify::{Trust, verify};
use crate::audit::{Audit, Record, records};
use crate::id::{ExchangeId, Token128};
use crate::store::scratch::Scratch;

fn exchange(number: u8) -> Entry {
    let entry = Entry::exchange(ExchangeId(Token128::from_bytes([number; 16])), clock().now());
    Entry { client: Some("payer-a".to_owned()), request: Some("Observation?patient=p1".to_owned()), ..entry }
}

/// What is on the disk at this moment, as a crash would leave it, opened anew.
fn after_a_crash(dir: &Path) -> (Scratch, Vec<Entry>) {
    let image = Scratch::new();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), image.join(file.file_name())).unwrap();
    }
    open(&image).close();
    assert!(verify(&image, &Trust::default()).is_ok());
    let entries = records(&image).unwrap().map(Result::unwrap).map(|Record { entry, .. }| entry).collect();
    (image, entries)
}

fn interrupted_of(entries: &[Entry]) -> Vec<Option<&str>> {
    let interrupted = entries.iter().filter(|entry| entry.kind == Kind::Interrupted);
    interrupted.map(|entry| entry.exchange.as_deref()).collect()
}

#[test]
fn what_was_at_work_and_has_no_record_is_told_of_once() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let (lost, done) = (exchange(1), exchange(2));
    let kept = audit.reserve().unwrap();
    kept.note(&lost).unwrap();
    let room = audit.reserve().unwrap();
    room.note(&done).unwrap();
    let _receipt = block_on(async { room.record(done.clone()).await.unwrap() });

    let (image, entries) = after_a_crash(&dir);
    assert_eq!(interrupted_of(&entries), [lost.exchange.as_deref()]);
    let told = entries.iter().find(|entry| entry.kind == Kind::Interrupted).unwrap();
    assert_eq!((&told.client, &told.request, &told.outcome), (&lost.client, &lost.request, &None));
    let (_, entries) = after_a_crash(&image);
    assert_eq!(interrupted_of(&entries), [lost.exchange.as_deref()], "a second start adds nothing");
    drop(kept);
}

#[test]
fn a_note_of_old_is_not_asked_after() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let old = clock().now().timestamp() - SignedDuration::try_from(2 * limits::EXCHANGE_TOTAL).unwrap();
    let rooms: Vec<_> = (0..2).map(|_| audit.reserve().unwrap()).collect();
    rooms[0].note(&Entry { time: old.to_string(), ..exchange(1) }).unwrap();
    let (_, entries) = after_a_crash(&dir);
    assert_eq!(interrupted_of(&entries).len(), 1, "the only note is the youngest");
    rooms[1].note(&exchange(2)).unwrap();
    let (_, entries) = after_a_crash(&dir);
    assert_eq!(interrupted_of(&entries), [exchange(2).exchange.as_deref()]);
}

#[test]
fn a_place_is_used_again_and_a_long_request_is_shortened() {
    let dir = Scratch::new();
    let audit = open(&dir);
    for number in 1..9 {
        let long = Some("x".repeat(100 * usize::from(number) * usize::from(number)));
        let room = audit.reserve().unwrap();
        room.note(&Entry { request: long, patients: vec!["\u{1}".repeat(9_000); 20], ..exchange(number) }).unwrap();
    }
    let (_, entries) = after_a_crash(&dir);
    assert_eq!(interrupted_of(&entries), [exchange(8).exchange.as_deref()]);
    assert!(entries.iter().any(|entry| entry.kind == Kind::Interrupted && entry.truncated));
}

#[test]
fn a_note_that_cannot_be_read_is_still_told_of() {
    let dir = Scratch::new();
    open(&dir).close();
    fs::write(dir.join(NAME), b"{\"kind\":\"exch\n").unwrap();
    let (_, entries) = after_a_crash(&dir);
    assert_eq!(interrupted_of(&entries), [None]);
}

#[test]
fn a_note_that_cannot_be_read_takes_no_other_with_it() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let earlier = clock().now().timestamp() - SignedDuration::from_hours(30);
    let lost = Entry { time: earlier.to_string(), ..exchange(1) };
    let rooms = [audit.reserve().unwrap(), audit.reserve().unwrap()];
    rooms[0].note(&lost).unwrap();
    rooms[1].note(&lost).unwrap();
    let mut notes = fs::read(dir.join(NAME)).unwrap();
    let torn = rooms[1].slot.place() * PLACE_BYTES;
    notes[torn..torn + 8].copy_from_slice(b"{\"kind\":");
    notes[torn + 8] = b'\n';
    fs::write(dir.join(NAME), notes).unwrap();
    let (_, entries) = after_a_crash(&dir);
    assert_eq!(interrupted_of(&entries), [lost.exchange.as_deref(), None]);
}

#[test]
fn a_log_that_ended_in_good_order_has_nothing_at_work() {
    let dir = Scratch::new();
    let audit: Audit = open(&dir);
    let room = audit.reserve().unwrap();
    room.note(&exchange(1)).unwrap();
    let _receipt = block_on(async { room.record(exchange(1)).await.unwrap() });
    audit.close();
    let (_, entries) = after_a_crash(&dir);
    assert!(interrupted_of(&entries).is_empty());
}
