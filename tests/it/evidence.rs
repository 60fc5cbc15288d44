//! Roads around a step do not compile; the road itself does.
//!
//! Each file of `tests/compile_fail` is given to the compiler with the library that this test was built with. Where the
//! compiler must complain, and with which code, the file beside it says (`line code`); how it words that is its own
//! affair.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::folder::Folder;

/// The compiler that belongs to the running cargo.
fn compiler() -> PathBuf {
    let beside = std::env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustc"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| "rustc".into())
}

/// The library as the tests of this folder link it: the newest there is.
fn library(folder: &Path) -> PathBuf {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libportcullis-") && name.ends_with(".rlib")
    };
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_library);
    found.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).expect("the library beside its tests")
}

/// What the compiler says about a file: `line code` for each error.
fn complaints(case: &Path, out: &Folder) -> String {
    let executable = std::env::current_exe().unwrap();
    let dependencies = executable.parent().unwrap();
    let output = Command::new(compiler())
        .args(["--edition", "2024", "--emit", "metadata", "--error-format", "short", "--cap-lints", "allow"])
        .arg("--out-dir")
        .arg(out.path())
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .arg("--extern")
        .arg(format!("portcullis={}", library(dependencies).display()))
        .arg(case)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let mut said = Vec::new();
    for (place, error) in text.lines().filter_map(|line| line.split_once(": error")) {
        let line: u32 = place.rsplit(':').nth(1).unwrap().parse().unwrap();
        let code = error.strip_prefix('[').and_then(|error| error.split(']').next()).unwrap_or("without code");
        said.push((line, code));
    }
    assert_eq!(said.is_empty(), output.status.success(), "{}: {text}", case.display());
    said.sort_unstable();
    said.iter().map(|(line, code)| format!("{line} {code}\n")).collect()
}

#[test]
fn there_is_one_road() {
    let out = Folder::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let mut cases = 0;
    for case in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if case.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let expected = fs::read_to_string(case.with_extension("stderr")).unwrap_or_default();
        assert_eq!(expected.is_empty(), case.ends_with("the_road.rs"), "{}", case.display());
        assert_eq!(complaints(&case, &out), expected, "{}", case.display());
        cases += 1;
    }
    assert!(cases > 10, "{cases}");
}
