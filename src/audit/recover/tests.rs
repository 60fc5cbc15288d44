use super::*;
use crate::audit::checkpoint::PUBLIC_KEY;
use crate::audit::entry::Kind;
use crate::audit::fixture::{self, SMALL, clock, entry_of, lines, put, rechain, sign, write};
use crate::audit::verify::{Finding, Trust, verify};
use crate::audit::{Audit, Record, records};
use crate::store::scratch::Scratch;

fn refused(dir: &Path) -> AuditError {
    Audit::open_within(dir, clock(), SMALL).unwrap_err()
}

/// A log of one segment whose checkpoint vouches for its first `signed` lines; gives all of its lines.
fn log_signed_up_to(dir: &Path, records: usize, signed: usize) -> Vec<String> {
    write(dir, records);
    let lines = lines(dir);
    put(dir, &lines);
    sign(dir, &lines[signed - 1]);
    lines
}

/// Opens and closes the log, which must then be sound; gives the entries after the first `kept`.
fn reopened(dir: &Path, kept: usize) -> Vec<Record> {
    fixture::open(dir).close();
    assert_eq!(verify(dir, &Trust::default()).unwrap().unfinished, 0);
    records(dir).unwrap().map(Result::unwrap).skip(kept).collect()
}

fn kinds(records: &[Record]) -> Vec<Kind> {
    records.iter().map(|record| record.entry.kind).collect()
}

#[test]
fn a_torn_last_record_is_cut_at_every_byte_and_the_cut_is_recorded() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 1, 2);
    let path = Segment::of(&dir, 1).path;
    let sound: Vec<u8> = lines[..2].concat().into_bytes();
    let last = lines[2].as_bytes();
    for length in 1..last.len() {
        let torn = &last[..length];
        let unused = if length % 2 == 0 { [0; 1_000].as_slice() } else { &[] };
        fs::write(&path, [&sound, torn, unused].concat()).unwrap();
        sign(&dir, &lines[1]);
        let new = reopened(&dir, 2);
        assert_eq!(kinds(&new), [Kind::Recovery, Kind::Start, Kind::Stop], "{length} bytes");
        let digest = Hash::of(torn).to_string();
        let cut = Cut { segment: 1, offset: sound.len() as u64, bytes: length as u64, digest };
        assert_eq!(new[0].entry.cut, Some(cut), "{length} bytes");
    }
    fs::write(&path, [&sound, last].concat()).unwrap();
    sign(&dir, &lines[1]);
    assert_eq!(kinds(&reopened(&dir, 3)), [Kind::Start, Kind::Stop], "a whole record is kept");
}

#[test]
fn a_last_record_that_does_not_match_its_hash_is_cut() {
    let dir = Scratch::new();
    let mut lines = log_signed_up_to(&dir, 2, 3);
    lines[3] = lines[3].replace("2026", "2025");
    put(&dir, &lines);
    assert_eq!(kinds(&reopened(&dir, 3)), [Kind::Recovery, Kind::Start, Kind::Stop]);
}

#[test]
fn a_batch_with_a_hole_is_cut_from_the_hole_on() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 4, 2);
    let text = lines.concat();
    let third = lines[..2].concat().len();
    for (from, to) in [(third, third + 100), (third + 50, third + 60), (third - 1 + lines[2].len(), third + 500)] {
        let mut bytes = text.clone().into_bytes();
        bytes[from..to].fill(0);
        fs::write(Segment::of(&dir, 1).path, bytes).unwrap();
        sign(&dir, &lines[1]);
        let new = reopened(&dir, 2);
        assert_eq!(kinds(&new), [Kind::Recovery, Kind::Start, Kind::Stop], "{from}..{to}");
        assert_eq!(new[0].entry.cut.as_ref().unwrap().bytes, (text.len() - third) as u64);
    }
}

#[test]
fn a_hole_longer_than_a_batch_is_damage() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 2, 3);
    let path = Segment::of(&dir, 1).path;
    let limit = SMALL.batch * LINE_BYTES;
    for (bytes, sound) in [(limit, true), (limit + 1, false)] {
        fs::write(&path, [lines[..3].concat().as_bytes(), &vec![0; bytes - 1], b"x"].concat()).unwrap();
        sign(&dir, &lines[2]);
        match Audit::open_within(&dir, clock(), SMALL) {
            Ok(audit) if sound => audit.close(),
            Err(AuditError::Damaged(Finding::Malformed { .. })) if !sound => {}
            other => panic!("{bytes}: {other:?}"),
        }
    }
}

#[test]
fn a_torn_record_before_an_unused_segment_is_cut() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 2, 3);
    let torn = &lines[3].as_bytes()[..40];
    fs::write(Segment::of(&dir, 1).path, [lines[..3].concat().as_bytes(), torn].concat()).unwrap();
    fs::write(Segment::of(&dir, 2).path, [0; 5_000]).unwrap();
    let new = reopened(&dir, 3);
    assert_eq!(kinds(&new), [Kind::Recovery, Kind::Start, Kind::Stop]);
    assert_eq!(fs::read_to_string(Segment::of(&dir, 1).path).unwrap(), lines[..3].concat());
    assert_eq!(new[0].entry.cut.as_ref().unwrap().segment, 1);
}

#[test]
fn a_torn_record_before_a_used_segment_is_damage() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 3, 2);
    let torn = &lines[3].as_bytes()[..40];
    fs::write(Segment::of(&dir, 1).path, [lines[..3].concat().as_bytes(), torn].concat()).unwrap();
    fs::write(Segment::of(&dir, 2).path, &lines[4]).unwrap();
    assert!(matches!(refused(&dir), AuditError::Damaged(Finding::Malformed { .. })));
}

#[test]
fn a_bad_record_in_the_middle_is_refused_and_stays_untouched() {
    let dir = Scratch::new();
    let mut lines = log_signed_up_to(&dir, 3, 2);
    for (place, signed) in [(1, true), (2, false), (3, false)] {
        let sound = lines[place].clone();
        lines[place] = sound.replace("2026", "2025");
        put(&dir, &lines);
        assert!(matches!(refused(&dir), AuditError::Damaged(Finding::Altered { .. })), "record {place} {signed}");
        assert_eq!(fixture::lines(&dir), lines);
        lines[place] = sound;
    }
    put(&dir, &lines);
    fixture::open(&dir).close();
}

#[test]
fn a_torn_record_that_a_checkpoint_vouches_for_is_refused() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 2, 4);
    let path = Segment::of(&dir, 1).path;
    let content = lines.concat().into_bytes();
    for kept in content.len() - lines[3].len() + 1..content.len() {
        fs::write(&path, [&content[..kept], &[0; 100]].concat()).unwrap();
        assert!(matches!(refused(&dir), AuditError::Damaged(Finding::Malformed { .. })), "{kept}");
    }
}

#[test]
fn a_checkpoint_ahead_of_the_log_is_refused() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 2, 4);
    put(&dir, &lines[..3]);
    assert!(matches!(refused(&dir), AuditError::Damaged(Finding::Short { records: 3, signed: 4, .. })));
}

#[test]
fn a_checkpoint_that_disagrees_is_refused() {
    let dir = Scratch::new();
    let lines = log_signed_up_to(&dir, 2, 4);
    let mut entries: Vec<_> = lines.iter().map(|line| entry_of(line)).collect();
    entries[1] = entries[1].replace("client-0", "client-7");
    put(&dir, &rechain(&dir, &entries));
    assert!(matches!(refused(&dir), AuditError::Damaged(Finding::Disagrees { seq: 4, .. })));
}

#[test]
fn a_log_without_its_checkpoint_or_key_is_refused() {
    let dir = Scratch::new();
    write(&dir, 1);
    let checkpoint = fs::read(dir.join(CHECKPOINT)).unwrap();
    fs::remove_file(dir.join(CHECKPOINT)).unwrap();
    assert!(matches!(refused(&dir), AuditError::Checkpoint));
    fs::write(dir.join(CHECKPOINT), b"").unwrap();
    assert!(matches!(refused(&dir), AuditError::Checkpoint));
    fs::write(dir.join(CHECKPOINT), checkpoint).unwrap();
    let key = fs::read(dir.join(PRIVATE_KEY)).unwrap();
    fs::remove_file(dir.join(PRIVATE_KEY)).unwrap();
    assert!(matches!(refused(&dir), AuditError::Key));
    fs::write(dir.join(PRIVATE_KEY), key).unwrap();
    fixture::open(&dir).close();
}

#[test]
fn a_log_without_a_segment_is_refused() {
    let dir = Scratch::new();
    write(&dir, 20);
    let count = Segment::list(&dir).unwrap().segments.len() as u32;
    for number in 1..=count {
        let path = Segment::of(&dir, number).path;
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(refused(&dir), AuditError::Damaged(_)), "segment {number}");
        fs::write(&path, content).unwrap();
    }
    fixture::open(&dir).close();
}

#[test]
fn a_crash_at_any_point_of_the_first_start_is_overcome() {
    let made = Scratch::new();
    let key = SigningKey::create(&made).unwrap();
    Notary::begin(&made, &key, clock().now()).unwrap();
    let files = [PRIVATE_KEY, PUBLIC_KEY, CHECKPOINT];
    for done in 0..=files.len() {
        for segment in [None, Some(0), Some(3_000)] {
            let dir = Scratch::new();
            for file in &files[..done] {
                fs::copy(made.join(file), dir.join(file)).unwrap();
            }
            if let Some(zeros) = segment.filter(|_| done == files.len()) {
                fs::write(Segment::of(&dir, 1).path, vec![0; zeros]).unwrap();
            }
            assert_eq!(kinds(&reopened(&dir, 0)), [Kind::Start, Kind::Stop], "{done} files, {segment:?}");
        }
    }
}

#[test]
fn segments_older_than_the_checkpoints_are_left_to_the_verifier() {
    let dir = Scratch::new();
    write(&dir, 20);
    let path = Segment::of(&dir, 1).path;
    let damaged = fs::read_to_string(&path).unwrap().replacen("2026", "2025", 1);
    fs::write(&path, damaged).unwrap();
    fixture::open(&dir).close();
    assert!(matches!(verify(&dir, &Trust::default()).unwrap_err()[..], [Finding::Altered { seq: 1, .. }]));
}

#[test]
fn the_log_goes_on_after_records_newer_than_the_checkpoint() {
    let dir = Scratch::new();
    write(&dir, 20);
    let all = lines(&dir);
    for signed in [1, 2, 10, 21] {
        sign(&dir, &all[signed - 1]);
        let before = lines(&dir).len();
        assert_eq!(kinds(&reopened(&dir, before)), [Kind::Start, Kind::Stop], "signed up to {signed}");
    }
}
