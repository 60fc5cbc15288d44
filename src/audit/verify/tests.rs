use super::*;
use crate::audit::fixture::{entry_of, lines, now, put, rechain, sign, write};
use crate::store::scratch::Scratch;

fn check(dir: &Path) -> Result<Summary, Vec<Finding>> {
    verify(dir, &Trust::default())
}

fn sample(records: usize) -> Scratch {
    let dir = Scratch::new();
    write(&dir, records);
    dir
}

/// Applies a change to the lines of a fresh copy and gives the findings it must cause.
fn findings_after(change: impl FnOnce(&Path, &mut Vec<String>)) -> Vec<Finding> {
    let dir = sample(4);
    let mut changed = lines(&dir);
    change(&dir, &mut changed);
    put(&dir, &changed);
    check(&dir).unwrap_err()
}

fn copy(from: &Path, to: &Path) {
    for file in from.read_dir().unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_sound_log_is_summarised() {
    let dir = sample(20);
    let summary = check(&dir).unwrap();
    assert_eq!((summary.records, summary.signed, summary.unfinished), (22, 22, 0));
    assert_eq!(summary.time, now().to_instant());
    assert!(summary.segments > 1);
    assert!(lines(&dir)[21].contains(&format!("\"hash\":\"{}\"", summary.head)));
}

#[test]
fn a_flipped_byte_anywhere_is_found() {
    let dir = sample(8);
    assert!(Segment::list(&dir).unwrap().segments.len() > 1);
    for file in dir.read_dir().unwrap() {
        let path = file.unwrap().path();
        if ["audit.key", "audit.lock", "at-work"].iter().any(|other| path.ends_with(other)) {
            continue;
        }
        let content = fs::read(&path).unwrap();
        for place in 0..content.len() {
            let mut changed = content.clone();
            changed[place] ^= 1 << (place % 8);
            fs::write(&path, &changed).unwrap();
            assert!(check(&dir).is_err(), "{} byte {place}", path.display());
        }
        fs::write(&path, &content).unwrap();
    }
    check(&dir).unwrap();
}

#[test]
fn a_byte_in_unused_space_is_reported() {
    let dir = sample(2);
    let path = Segment::of(&dir, 1).path;
    let used = fs::read(&path).unwrap();
    for place in [0, 1, 499] {
        let mut unused = vec![0; 500];
        unused[place] = b'x';
        fs::write(&path, [used.as_slice(), &unused].concat()).unwrap();
        assert_eq!(check(&dir).unwrap().unfinished, place as u64 + 1);
    }
    fs::write(&path, [used.as_slice(), &[0; 500]].concat()).unwrap();
    assert_eq!(check(&dir).unwrap().unfinished, 0);
}

#[test]
fn a_dropped_record_is_found() {
    for place in 0..5 {
        let findings = findings_after(|_, lines| drop(lines.remove(place)));
        let expected = place as u64 + 1;
        assert!(
            matches!(findings[0], Finding::Sequence { expected: e, found, .. } if (e, found) == (expected, expected + 1))
        );
        assert_eq!(findings.len(), 1);
    }
}

#[test]
fn a_cut_tail_is_found_at_every_record() {
    for kept in 0..6 {
        let findings = findings_after(|_, lines| lines.truncate(kept));
        assert!(matches!(findings[..], [Finding::Short { records, signed: 6, .. }] if records == kept as u64));
    }
}

#[test]
fn a_cut_tail_is_found_at_every_byte() {
    let dir = sample(1);
    let path = Segment::of(&dir, 1).path;
    let content = fs::read(&path).unwrap();
    for kept in 0..content.len() {
        for zeros in [0, content.len() - kept] {
            fs::write(&path, [&content[..kept], &vec![0; zeros]].concat()).unwrap();
            assert!(check(&dir).is_err(), "{kept} bytes, {zeros} zeros");
        }
    }
}

#[test]
fn swapped_repeated_and_inserted_records_are_found() {
    for place in 0..5 {
        let swapped = findings_after(|_, lines| lines.swap(place, place + 1));
        assert!(matches!(swapped[0], Finding::Sequence { .. }), "{swapped:?}");
        let repeated = findings_after(|_, lines| lines.insert(place, lines[place].clone()));
        assert!(matches!(repeated[..], [Finding::Sequence { .. }]), "{repeated:?}");
        let inserted = findings_after(|dir, lines| {
            let mut entries: Vec<_> = lines.iter().map(|line| entry_of(line)).collect();
            entries.insert(place, entry_of(&lines[0]));
            lines.insert(place, rechain(dir, &entries)[place].clone());
        });
        assert!(matches!(inserted[0], Finding::Sequence { .. } | Finding::Link { .. }), "{inserted:?}");
    }
}

#[test]
fn an_edit_under_a_new_hash_breaks_the_link() {
    let findings = findings_after(|dir, lines| {
        let mut entries: Vec<_> = lines.iter().map(|line| entry_of(line)).collect();
        entries[2] = entries[2].replace("client-1", "client-9");
        lines[2] = rechain(dir, &entries)[2].clone();
    });
    assert!(matches!(findings[..], [Finding::Link { seq: 4, .. }]), "{findings:?}");
}

#[test]
fn a_log_chained_anew_contradicts_its_checkpoint() {
    for place in 0..6 {
        let edited = findings_after(|dir, lines| {
            let mut entries: Vec<_> = lines.iter().map(|line| entry_of(line)).collect();
            entries[place] = entries[place].replace("2026", "2025");
            *lines = rechain(dir, &entries);
        });
        assert!(matches!(edited[..], [Finding::Disagrees { seq: 6, .. }]), "{edited:?}");
        let dropped = findings_after(|dir, lines| {
            let mut entries: Vec<_> = lines.iter().map(|line| entry_of(line)).collect();
            entries.remove(place);
            *lines = rechain(dir, &entries);
        });
        assert!(matches!(dropped[..], [Finding::Short { records: 5, signed: 6, .. }]), "{dropped:?}");
    }
}

#[test]
fn an_entry_must_be_an_object() {
    for entry in ["1", "{", "{}{}", "[{}]"] {
        let findings = findings_after(|dir, lines| {
            let mut entries: Vec<_> = lines.iter().map(|line| entry_of(line)).collect();
            entries[1] = entry.to_owned();
            *lines = rechain(dir, &entries);
            sign(dir, &lines[5]);
        });
        assert!(matches!(findings[..], [Finding::Malformed { .. }]), "{entry}: {findings:?}");
    }
}

#[test]
fn a_missing_segment_is_found_wherever_it_was() {
    let count = Segment::list(&sample(20)).unwrap().segments.len() as u32;
    assert!(count >= 3);
    for number in 1..=count {
        let dir = sample(20);
        fs::remove_file(Segment::of(&dir, number).path).unwrap();
        let findings = check(&dir).unwrap_err();
        match findings[0] {
            Finding::Missing { number: missing } => assert_eq!(missing, number),
            Finding::Short { .. } => assert_eq!(number, count),
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn swapped_segments_and_strays_are_found() {
    let dir = sample(20);
    let (first, second) = (Segment::of(&dir, 1).path, Segment::of(&dir, 2).path);
    let content = fs::read(&first).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::write(&second, content).unwrap();
    assert!(check(&dir).is_err());

    let dir = sample(1);
    fs::copy(Segment::of(&dir, 1).path, dir.join("audit-1.ndjson")).unwrap();
    assert_eq!(check(&dir).unwrap_err(), [Finding::Stray { file: "audit-1.ndjson".to_owned() }]);
}

#[test]
fn a_missing_or_foreign_checkpoint_is_found() {
    let dir = sample(1);
    let file = dir.join(CHECKPOINT);
    fs::copy(sample(1).join(CHECKPOINT), &file).unwrap();
    let expected = [Finding::Checkpoint { file: file.display().to_string() }];
    assert_eq!(check(&dir).unwrap_err(), expected);
    fs::remove_file(&file).unwrap();
    assert_eq!(check(&dir).unwrap_err(), expected);
}

#[test]
fn a_set_back_log_is_found_with_a_checkpoint_kept_elsewhere() {
    let dir = sample(4);
    let kept = Scratch::new();
    copy(&dir, &kept);
    let mut lines = lines(&dir);
    lines.truncate(3);
    put(&dir, &lines);
    sign(&dir, &lines[2]);
    assert_eq!(check(&dir).unwrap().records, 3);
    let file = kept.join(CHECKPOINT);
    let trust = Trust { checkpoint: Some(file.clone()), ..Trust::default() };
    let short = Finding::Short { records: 3, signed: 6, file: file.display().to_string() };
    assert_eq!(verify(&dir, &trust).unwrap_err(), [short]);
    assert_eq!(verify(&kept, &trust).unwrap().records, 6);
}

#[test]
fn a_replaced_log_is_found_with_a_key_kept_elsewhere() {
    let (dir, other) = (sample(4), sample(4));
    let trust = Trust { public_key: Some(other.join(PUBLIC_KEY)), ..Trust::default() };
    check(&dir).unwrap();
    assert!(matches!(verify(&dir, &trust).unwrap_err()[0], Finding::Key { .. }));
    verify(&other, &trust).unwrap();
}

#[test]
fn the_private_key_is_not_needed() {
    let dir = sample(1);
    fs::remove_file(dir.join("audit.key")).unwrap();
    fs::remove_file(dir.join("audit.lock")).unwrap();
    check(&dir).unwrap();
}

#[test]
fn records_newer_than_the_checkpoint_are_counted() {
    let dir = sample(4);
    sign(&dir, &lines(&dir)[3]);
    let summary = check(&dir).unwrap();
    assert_eq!((summary.records, summary.signed), (6, 4));
}

#[test]
fn findings_are_bounded() {
    let dir = sample(1);
    put(&dir, &vec!["no record\n".to_owned(); 1_000]);
    let findings = check(&dir).unwrap_err();
    assert_eq!((findings.len(), findings.last()), (FINDINGS + 1, Some(&Finding::More)));
}

#[test]
fn an_empty_directory_is_no_log() {
    assert!(matches!(check(&Scratch::new()).unwrap_err()[..], [Finding::Key { .. }]));
}

#[test]
fn a_claimed_number_cannot_overflow() {
    let findings =
        findings_after(|_, lines| lines[2] = lines[2].replace("{\"seq\":3,", "{\"seq\":18446744073709551615,"));
    assert!(matches!(findings[0], Finding::Sequence { expected: 3, found: u64::MAX, .. }));
}

#[test]
fn a_torn_tail_is_a_fault_too_where_there_are_others() {
    let findings = findings_after(|dir, lines| {
        sign(dir, &lines[3]);
        lines[1] = lines[1].replace("2026", "2025");
        lines[5].truncate(40);
    });
    assert!(matches!(findings[..], [Finding::Altered { seq: 2, .. }, Finding::Malformed { .. }]), "{findings:?}");
}
