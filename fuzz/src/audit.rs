//! A log that was changed: the verifier never calls another sequence of records sound, and a log that is opened all the
//! same has kept what was signed.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use portcullis::audit::entry::Kind;
use portcullis::audit::verify::{Trust, verify};
use portcullis::audit::{Audit, Entry, records};
use portcullis::clock::Clock;
use tokio::runtime::Builder;

use super::stage::{Folder, now};

const SEGMENT: &str = "audit-00000001.ndjson";
const FILES: [&str; 5] = [SEGMENT, "checkpoint.json", "audit.pub", "audit-00000002.ndjson", "audit-2.ndjson"];
const KEY: &str = "audit.key";
/// A file does not grow beyond this by repeating lines.
const LARGEST: usize = 64 * 1024;
/// A copy of the early checkpoint.
const EARLY: &str = "early.json";

/// A sound log, and its checkpoint from before its last records were written.
struct Sound {
    kept: Folder,
    signed_early: u64,
    lines: Vec<String>,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let kept = Folder::empty();
    write(kept.path(), 3);
    fs::copy(kept.path().join("checkpoint.json"), kept.path().join(EARLY)).unwrap();
    let signed_early = verify(kept.path(), &Trust::default()).expect("a sound log").signed;
    write(kept.path(), 3);
    let lines = lines(kept.path());
    assert_eq!(verify(kept.path(), &Trust::default()).expect("a sound log").records, lines.len() as u64);
    Sound { kept, signed_early, lines }
});

fn write(dir: &Path, exchanges: usize) {
    let audit = Audit::open(dir, Clock::Fixed(now().timestamp())).expect("a log");
    let runtime = Builder::new_current_thread().build().unwrap();
    for number in 0..exchanges {
        let entry = Entry {
            client: Some(format!("client-{number}")),
            patients: vec!["p1".to_owned()],
            ..Entry::new(Kind::Exchange, now())
        };
        let receipt = runtime.block_on(audit.reserve().expect("room").record(entry)).expect("a receipt");
        assert!(receipt.seq() > 0);
    }
    audit.close();
}

/// The lines of all segments, up to the zeros that end each.
fn lines(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for file in [SEGMENT, "audit-00000002.ndjson"] {
        let Ok(content) = fs::read(dir.join(file)) else { continue };
        let used = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
        let text = String::from_utf8_lossy(&content[..used]).into_owned();
        lines.extend(text.split_inclusive('\n').map(str::to_owned));
    }
    lines
}

/// The first byte chooses: with an early checkpoint or the last, verified only or opened too. The rest are edits.
pub fn run(data: &[u8]) {
    let Some((first, edits)) = data.split_first() else { return };
    let (is_early, opens) = (first & 1 != 0, first & 6 == 2);
    let changed = Folder::empty();
    let mut files: Vec<(&str, Option<Vec<u8>>)> =
        FILES.iter().map(|name| (*name, fs::read(SOUND.kept.path().join(name)).ok())).collect();
    if is_early {
        files[1].1 = fs::read(SOUND.kept.path().join(EARLY)).ok();
    }
    edit(&mut files, edits);
    for (name, content) in &files {
        if let Some(content) = content {
            fs::write(changed.path().join(name), content).unwrap();
        }
    }
    let signed = if is_early { SOUND.signed_early } else { SOUND.lines.len() as u64 };
    sound_only_if_unchanged(changed.path(), &Trust::default(), signed);
    let kept = |name: &str| Some(SOUND.kept.path().join(name));
    let trust = Trust { public_key: kept("audit.pub"), checkpoint: kept("checkpoint.json") };
    sound_only_if_unchanged(changed.path(), &trust, SOUND.lines.len() as u64);
    read(changed.path());
    if opens {
        fs::copy(SOUND.kept.path().join(KEY), changed.path().join(KEY)).unwrap();
        open(changed.path(), if is_early { EARLY } else { "checkpoint.json" }, signed);
    }
}

fn sound_only_if_unchanged(dir: &Path, trust: &Trust, signed: u64) {
    let Ok(summary) = verify(dir, trust) else { return };
    assert!(summary.records >= signed, "{summary:?} lacks what is signed");
    let own = lines(dir);
    let records = usize::try_from(summary.records).unwrap();
    assert_eq!(own.get(..records), SOUND.lines.get(..records), "{summary:?} of other records");
    if summary.unfinished == 0 {
        assert_eq!(own.len(), records, "{summary:?} leaves out what stands there");
    }
    let same = |name: &str| fs::read(dir.join(name)).ok() == fs::read(SOUND.kept.path().join(name)).ok();
    assert!(same("audit.pub"), "another key");
}

/// Every record that is shown is one of the log's.
fn read(dir: &Path) {
    for record in records(dir).expect("a folder") {
        let Ok(record) = record else { continue };
        let line = format!("{}\n", record.line);
        assert!(SOUND.lines.contains(&line), "a record that was never written: {line}");
    }
}

/// A log that opens goes on from what was signed; opening launders nothing. Where even the checkpoint is gone, it is the
/// copy kept elsewhere that tells.
fn open(dir: &Path, checkpoint: &str, signed: u64) {
    let Ok(audit) = Audit::open(dir, Clock::Fixed(now().timestamp())) else { return };
    assert!(audit.healthy());
    audit.close();
    let kept = |name: &str| Some(SOUND.kept.path().join(name));
    let trust = Trust { public_key: kept("audit.pub"), checkpoint: kept(checkpoint) };
    let Ok(summary) = verify(dir, &trust) else { return };
    let (own, signed) = (lines(dir), usize::try_from(signed).unwrap());
    assert_eq!(own.get(..signed), SOUND.lines.get(..signed), "{summary:?} of other records");
    assert_eq!(summary.records, own.len() as u64);
    assert_eq!((summary.unfinished, summary.signed), (0, summary.records));
}

/// Each edit: what is done to which file, where (two bytes), how much, and as many bytes as it needs.
fn edit(files: &mut [(&str, Option<Vec<u8>>)], mut edits: &[u8]) {
    while let [what, high, low, much, rest @ ..] = edits {
        let which = usize::from(what >> 3) % FILES.len();
        let content = files[which].1.get_or_insert_default();
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (content.len() + 1);
        let end = (at + usize::from(*much)).min(content.len());
        let (bytes, after) = rest.split_at(rest.len().min(usize::from(*much)));
        edits = rest;
        match what & 7 {
            0 => content.truncate(at),
            1 => drop(content.drain(at..end)),
            2 => {
                content.splice(at..at, bytes.iter().copied());
                edits = after;
            }
            3 => {
                content.splice(at..end, bytes.iter().copied());
                edits = after;
            }
            4 => content.resize(content.len() + usize::from(*much), 0),
            5 => lines_moved(content, usize::from(*high), usize::from(*low), *much),
            6 => files[which].1 = None,
            _ => {
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= much;
                }
            }
        }
    }
}

/// Swaps two lines, repeats one, or takes one out.
fn lines_moved(content: &mut Vec<u8>, one: usize, other: usize, how: u8) {
    let mut lines: Vec<Vec<u8>> = content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() || content.len() > LARGEST {
        return;
    }
    let (one, other) = (one % lines.len(), other % lines.len());
    match how % 3 {
        0 => lines.swap(one, other),
        1 => lines.insert(one, lines[other].clone()),
        _ => drop(lines.remove(one)),
    }
    *content = lines.concat();
}
