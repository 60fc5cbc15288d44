use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::append::Log;
use super::entry::{Delivery, Kind};
use super::fixture::{SMALL, block_on, clock, entry, open, record, write};
use super::segment::Segment;
use super::verify::{Trust, verify};
use super::*;
use crate::limits;
use crate::store::Region;
use crate::store::scratch::Scratch;

fn read(dir: &Path) -> Vec<Record> {
    records(dir).unwrap().map(Result::unwrap).collect()
}

fn kinds(dir: &Path) -> Vec<Kind> {
    read(dir).into_iter().map(|record| record.entry.kind).collect()
}

/// A writer whose segment is this device, with room for so many bytes.
fn writer_on(dir: &Path, device: &str, room: u64) -> Writer {
    let Opened { lock, notary, head, .. } = recover::open(dir, clock().now(), SMALL).unwrap();
    let file = OpenOptions::new().write(true).open(device).unwrap();
    let log = Log::new(dir, 1, Region::on(file, room), SMALL);
    let state = Arc::new(State::new(SMALL.outstanding));
    state.set_room(room);
    Writer { log, head, notary, state, clock: clock(), _lock: lock }
}

#[test]
fn a_log_begins_with_a_start_and_ends_with_a_stop() {
    let dir = Scratch::new();
    let log = dir.join("log");
    write(&log, 2);
    assert_eq!(kinds(&log), [Kind::Start, Kind::Exchange, Kind::Exchange, Kind::Stop]);
    assert_eq!(verify(&log, &Trust::default()).unwrap().records, 4);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(Segment::of(&log, 1).path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_log_continues_where_it_ended() {
    let dir = Scratch::new();
    write(&dir, 1);
    write(&dir, 1);
    let seqs: Vec<_> = read(&dir).into_iter().map(|record| record.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    assert_eq!(verify(&dir, &Trust::default()).unwrap().signed, 6);
}

#[test]
fn a_receipt_names_a_record_that_is_written_and_signed() {
    let dir = Scratch::new();
    let audit = open(&dir);
    block_on(async {
        for number in 0..30 {
            let receipt = record(&audit, &number.to_string()).await;
            let summary = verify(&dir, &Trust::default()).unwrap();
            assert_eq!((summary.records, summary.signed), (receipt.seq(), receipt.seq()));
            assert_eq!(summary.head, receipt.hash().to_string());
        }
    });
    audit.close();
}

#[test]
fn a_log_goes_on_over_many_segments() {
    let dir = Scratch::new();
    write(&dir, 40);
    let segments = Segment::list(&dir).unwrap().segments;
    assert!(segments.len() > 3);
    let (_last, sealed) = segments.split_last().unwrap();
    for segment in sealed {
        assert!(fs::read(&segment.path).unwrap().ends_with(b"}\n"));
        assert!(fs::metadata(&segment.path).unwrap().len() >= SMALL.segment);
    }
    assert_eq!(verify(&dir, &Trust::default()).unwrap().records, 42);
}

#[test]
fn records_of_many_threads_form_one_chain_and_each_has_its_receipt() {
    let dir = Scratch::new();
    let audit = Audit::open(&dir, clock()).unwrap();
    let receipts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let audit = &audit;
                scope.spawn(move || {
                    block_on(async {
                        let mut tasks = tokio::task::JoinSet::new();
                        for number in 0..125 {
                            let client = format!("{thread}/{number}");
                            let recording = audit.reserve().unwrap().record(entry(&client));
                            tasks.spawn(async move {
                                let receipt = recording.await.unwrap();
                                (receipt.seq(), client, receipt.hash())
                            });
                        }
                        tasks.join_all().await
                    })
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    audit.close();
    assert_eq!(verify(&dir, &Trust::default()).unwrap().records, 1_002);
    let seqs: BTreeSet<_> = receipts.iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(seqs, (2..=1_001).collect());
    let log = read(&dir);
    for (seq, client, hash) in receipts {
        let record = &log[seq as usize - 1];
        assert_eq!((record.seq, record.entry.client.as_ref()), (seq, Some(&client)));
        assert!(record.line.ends_with(&format!(",\"hash\":\"{hash}\"}}")));
    }
}

#[test]
fn two_writers_cannot_share_a_log() {
    let dir = Scratch::new();
    let audit = open(&dir);
    assert!(matches!(Audit::open_within(&dir, clock(), SMALL), Err(AuditError::Locked)));
    audit.close();
    open(&dir).close();
}

#[test]
fn reservations_end_at_the_limit_and_come_back() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let mut held: Vec<_> = (0..SMALL.outstanding).map(|_| audit.reserve().unwrap()).collect();
    assert!(matches!(audit.reserve(), Err(AuditError::Busy)));
    drop(held.pop());
    let receipt = block_on(audit.reserve().unwrap().record(entry("x"))).unwrap();
    assert!(matches!(audit.reserve(), Err(AuditError::Busy)));
    drop(receipt);
    drop(audit.reserve().unwrap());
    drop(held);
    assert_eq!(audit.outstanding(), 0);
    assert!(audit.healthy());
    audit.close();
}

#[test]
fn a_record_is_written_also_where_no_one_waits_for_it() {
    let dir = Scratch::new();
    let audit = open(&dir);
    drop(audit.reserve().unwrap().record(entry("gone")));
    audit.close();
    assert_eq!(kinds(&dir), [Kind::Start, Kind::Exchange, Kind::Stop]);
    assert_eq!(audit.outstanding(), 0);
}

#[test]
fn a_reservation_that_is_dropped_writes_nothing() {
    let dir = Scratch::new();
    let audit = open(&dir);
    drop(audit.reserve().unwrap());
    audit.close();
    assert_eq!(kinds(&dir), [Kind::Start, Kind::Stop]);
}

#[test]
fn a_closed_log_takes_nothing_more() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let reservation = audit.reserve().unwrap();
    audit.close();
    audit.close();
    assert!(!audit.healthy());
    assert!(matches!(audit.reserve(), Err(AuditError::Failed)));
    assert!(matches!(block_on(reservation.record(entry("late"))), Err(AuditError::Failed)));
    assert_eq!(kinds(&dir), [Kind::Start, Kind::Stop]);
}

#[test]
fn a_log_whose_handles_are_all_gone_ends_in_good_order() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let thread = audit.thread.lock().unwrap().take().unwrap();
    drop(audit);
    thread.join().unwrap();
    assert_eq!(kinds(&dir), [Kind::Start, Kind::Stop]);
}

#[test]
fn a_failed_write_or_sync_ends_the_log_for_all() {
    for device in ["/dev/full", "/dev/null"] {
        let dir = Scratch::new();
        let audit = Audit::start(writer_on(&dir, device, SMALL.headroom), SMALL).unwrap();
        let waiting: Vec<_> = (0..3).map(|_| audit.reserve().unwrap()).collect();
        let waiting: Vec<_> = waiting.into_iter().map(|reservation| reservation.record(entry("x"))).collect();
        let late = audit.reserve();
        for recording in waiting {
            assert!(matches!(block_on(recording), Err(AuditError::Failed)), "{device}");
        }
        audit.close();
        assert!(!audit.healthy(), "{device}");
        assert!(matches!(audit.reserve(), Err(AuditError::Failed)), "{device}");
        if let Ok(late) = late {
            assert!(matches!(block_on(late.record(entry("late"))), Err(AuditError::Failed)), "{device}");
        }
        assert_eq!(audit.outstanding(), 0, "{device}");
        let signed = fs::read_to_string(dir.join("checkpoint.json")).unwrap();
        assert!(signed.contains("\"seq\":0,"), "{device}: nothing may be signed that is not written");
    }
}

#[test]
fn a_full_disk_ends_the_reservations_and_not_the_log() {
    let dir = Scratch::new();
    let slot = 2 * chain::LINE_BYTES as u64;
    let mut writer = writer_on(&dir, "/dev/full", 3 * slot);
    writer.make_room().unwrap();
    let state = Arc::clone(&writer.state);
    let first = state.slot().unwrap();
    let _second = state.slot().unwrap();
    assert!(matches!(state.slot(), Err(AuditError::Space)));
    drop(first);
    state.slot().unwrap();
    assert!(matches!(writer.begin(Vec::new()), Err(AuditError::Space)), "a log does not open without its space");
}

#[test]
fn space_that_cannot_be_synced_is_a_failure() {
    let dir = Scratch::new();
    assert!(writer_on(&dir, "/dev/null", 0).make_room().is_err());
}

#[test]
fn the_space_for_all_reservations_is_on_the_disk_beforehand() {
    let dir = Scratch::new();
    let audit = Audit::open(&dir, clock()).unwrap();
    let written = || fs::metadata(Segment::of(&dir, 1).path).unwrap().len();
    assert!(written() >= limits::AUDIT_HEADROOM_BYTES);
    let held: Vec<_> = (0..limits::AUDIT_OUTSTANDING).map(|_| audit.reserve().unwrap()).collect();
    assert!(matches!(audit.reserve(), Err(AuditError::Busy)));
    drop(held);
    audit.close();
    assert_eq!(written(), fs::read_to_string(Segment::of(&dir, 1).path).unwrap().len() as u64);
}

#[test]
fn an_oversize_record_is_shortened_and_stays_one_line() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let patients = (0..10_000).map(|number| format!("patient-{number}\n\"\u{0}")).collect();
    let receipt = block_on(audit.reserve().unwrap().record(Entry { patients, ..entry("x") })).unwrap();
    let seq = receipt.seq();
    drop(receipt);
    audit.close();
    let log = read(&dir);
    let record = &log[seq as usize - 1];
    assert!(record.entry.truncated);
    assert_eq!(record.entry.patients.len(), 64);
    assert_eq!(log.len(), 3);
    verify(&dir, &Trust::default()).unwrap();
}

#[test]
fn a_closer_records_the_end_and_names_the_beginning() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let closed = block_on(async {
        let first = Entry { exchange: Some("e-1".to_owned()), ..entry("x") };
        let receipt = audit.reserve().unwrap().record(first).await.unwrap();
        let closer = receipt.into_closer();
        assert_eq!(audit.outstanding(), 1);
        let closing = Closing {
            delivery: Delivery::Whole,
            patients: vec!["p-1".to_owned()],
            digest: Some(Hash::of(b"body").to_string()),
            ..Closing::default()
        };
        closer.finish(closing).await.unwrap()
    });
    audit.close();
    assert_eq!(audit.outstanding(), 0);
    let log = read(&dir);
    let entry = &log[closed.seq() as usize - 1].entry;
    assert_eq!((entry.kind, entry.closes, entry.exchange.as_deref()), (Kind::Closing, Some(2), Some("e-1")));
    assert_eq!((entry.delivery, entry.patients.as_slice()), (Some(Delivery::Whole), ["p-1".to_owned()].as_slice()));
    assert!(log[closed.seq() as usize - 1].line.contains(&closed.hash().to_string()));
    assert_eq!(log.len(), 4, "a finished closer records once");
}

#[test]
fn a_dropped_closer_records_that_the_answer_was_cut_and_how_far_it_came() {
    let dir = Scratch::new();
    let audit = open(&dir);
    let mut closer = block_on(record(&audit, "x")).into_closer();
    *closer.so_far() = Closing { delivery: Delivery::Whole, patients: vec!["p-1".to_owned()], ..Closing::default() };
    drop(closer);
    audit.close();
    let log = read(&dir);
    let entry = &log[2].entry;
    assert_eq!((entry.kind, entry.closes, entry.delivery), (Kind::Closing, Some(2), Some(Delivery::Cut)));
    assert_eq!(entry.patients, ["p-1"]);
    assert_eq!(audit.outstanding(), 0);
}

/// Runs twice: once here, and for each round once more as a child that writes until it is killed.
#[test]
fn a_receipt_outlives_the_process_that_got_it() {
    const CHILD: &str = "PORTCULLIS_AUDIT_CHILD";
    if let Some(dir) = std::env::var_os(CHILD) {
        let audit = open(Path::new(&dir));
        block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for client in 0..SMALL.outstanding {
                let audit = audit.clone();
                tasks.spawn(async move {
                    loop {
                        let receipt = record(&audit, &client.to_string()).await;
                        writeln!(io::stdout(), "receipt {} {}", receipt.seq(), receipt.hash()).unwrap();
                    }
                });
            }
            tasks.join_all().await
        });
    }
    let dir = Scratch::new();
    let mut receipts = Vec::new();
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "audit::tests::a_receipt_outlives_the_process_that_got_it", "--nocapture"])
            .env(CHILD, &*dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut lines = lines.filter_map(|line| line.strip_prefix("receipt ").map(str::to_owned));
        receipts.extend(lines.by_ref().take(20 + 7 * round));
        child.kill().unwrap();
        receipts.extend(lines.filter(|line| line.split(' ').nth(1).is_some_and(|hash| hash.len() == 64)));
        child.wait().unwrap();
        verify(&dir, &Trust::default()).unwrap();
    }
    open(&dir).close();
    verify(&dir, &Trust::default()).unwrap();
    let log: BTreeSet<_> = read(&dir)
        .into_iter()
        .map(|record| format!("{} {}", record.seq, &record.line[record.line.len() - 66..record.line.len() - 2]))
        .collect();
    assert!(receipts.len() > 300);
    for receipt in receipts {
        assert!(log.contains(&receipt), "{receipt}");
    }
}
