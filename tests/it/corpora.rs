//! Whatever fuzzing was given to begin with, and whatever it once found, passes through its target again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fuzz::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Feeds every file of a target's corpus to the target.
fn replay(name: &str) {
    let run = TARGETS.iter().find(|(of, _)| *of == name).map(|(_, run)| run).expect("a target of this name");
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpora().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{name} has {} files", files.len());
    for file in files {
        let data = fs::read(&file).unwrap();
        let outcome = std::panic::catch_unwind(|| run(&data));
        assert!(outcome.is_ok(), "{}", file.display());
    }
}

#[test]
fn changed_logs() {
    replay("audit");
}

#[test]
fn authorship() {
    replay("authorship");
}

#[test]
fn searchsets() {
    replay("bundle");
}

#[test]
fn forms() {
    replay("form");
}

#[test]
fn json() {
    replay("json");
}

#[test]
fn tokens() {
    replay("jwt");
}

#[test]
fn page_links() {
    replay("page");
}

#[test]
fn signatures() {
    replay("signature");
}

#[test]
fn targets_and_queries() {
    replay("url");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let folder = |name: &str| -> Vec<String> {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.map(|name| name.trim_end_matches(".rs").to_owned()).collect();
        names.sort();
        names
    };
    let targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folder("fuzz/fuzz_targets"), targets);
    assert_eq!(folder("fuzz/corpus"), targets);
}
