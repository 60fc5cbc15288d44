//! `portcullis sign` and `portcullis verify`: what they print, and what their exit codes say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portcullis::cli;
use portcullis::id::Token128;
use serde_json::{Value, json};

use super::gateway::{about, condition, directory, forge, registry};
use super::stage::{AT, ORGANISATION, SEARCHSET, authority, other_person, party};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("portcullis-signature-{}", Token128::random().unwrap()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(words: &[&str]) -> (String, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("portcullis").chain(words.iter().copied()).map(std::ffi::OsString::from);
    let exit = ExitCode::from(cli::run(arguments, &mut out, &mut err));
    (format!("{exit:?}"), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn exit(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[test]
fn a_file_is_signed_and_its_verdict_is_the_exit_code() {
    let folder = Folder::new();
    let party = party();
    let bundle = folder.write("bundle.json", SEARCHSET);
    let key = folder.write("key.pem", party.key_pem());
    let chain = folder.write("chain.pem", party.chain_pem());
    let anchors = folder.write("ca.pem", authority().chain_pem());
    let who = format!("{}|{}", ORGANISATION.0, ORGANISATION.1);
    let signed = folder.path("signed.json");
    let sign = ["sign", &bundle, "--key", &key, "--certificate", &chain, "--who", &who, "--when", AT];
    assert_eq!(run(&[&sign[..], &["-o", &signed]].concat()), (exit(0), String::new(), String::new()));
    assert!(run(&sign).1.starts_with(&SEARCHSET[..SEARCHSET.len() - 1]));

    let text = fs::read_to_string(&signed).unwrap();
    let changed = folder.write("changed.json", text.replace("13.2", "13.3"));
    let rounded = folder.write("rounded.json", text.replace("13.2", "13.20"));
    let broken = folder.write("broken.json", "{");
    let missing = folder.path("missing.json");
    for (file, anchors, at, code, verdict, finding) in [
        (&signed, &anchors, Some(AT), 0, "verified", "content-unchanged"),
        (&changed, &anchors, Some(AT), 1, "failed", "content-changed"),
        (&broken, &anchors, Some(AT), 2, "cannot-verify", "json-unreadable"),
        (&missing, &anchors, Some(AT), 2, "cannot-verify", "file-unreadable"),
        (&signed, &key, Some(AT), 2, "cannot-verify", "anchors-unusable"),
        (&signed, &missing, Some(AT), 2, "cannot-verify", "anchors-unusable"),
        (&signed, &anchors, None, 3, "verified-with-warnings", "time-claimed"),
        (&rounded, &anchors, Some(AT), 3, "verified-with-warnings", "number-rewritten"),
        (&bundle, &anchors, Some(AT), 4, "absent", "signature-absent"),
    ] {
        let mut words = vec!["verify", file, "--anchors", anchors];
        words.extend(at.map(|at| ["--at", at]).into_iter().flatten());
        let (status, out, err) = run(&words);
        assert_eq!((status, err.as_str()), (exit(code), ""), "{words:?}");
        assert!(out.starts_with(&format!("{verdict}\n")) && out.contains(finding), "{out}");
        words.push("--json");
        let (status, out, _) = run(&words);
        let shown: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((status, &shown["verdict"]), (exit(code), &Value::from(verdict)), "{words:?}");
        let found = shown["findings"].as_array().unwrap().iter().find(|one| one["code"] == finding).expect(finding);
        assert!(["match", "mismatch", "cannot-tell"].contains(&found["outcome"].as_str().unwrap()), "{found}");
        assert!(!found["text"].as_str().unwrap().is_empty(), "{found}");
    }
    let (status, out, _) = run(&["verify", &signed, "--anchors", &anchors, "--at", AT, "--crl", &key, "--json"]);
    assert_eq!(status, exit(2));
    assert!(out.contains("crl-unusable"), "{out}");
}

#[test]
fn what_cannot_be_signed_leaves_no_file() {
    let folder = Folder::new();
    let party = party();
    let bundle = folder.write("bundle.json", SEARCHSET.replace("13.2", "9007199254740993"));
    let good = folder.write("good.json", SEARCHSET);
    let key = folder.write("key.pem", party.key_pem());
    let chain = folder.write("chain.pem", party.chain_pem());
    let other = folder.write("other.pem", other_person().chain_pem());
    let who = format!("{}|{}", ORGANISATION.0, ORGANISATION.1);
    let out = folder.path("signed.json");
    for (words, code, says) in [
        (vec![bundle.as_str(), "--certificate", &chain, "--who", &who], 1, "1 numbers have more digits"),
        (vec![good.as_str(), "--certificate", &other, "--who", &who], 1, "no name in the certificate"),
        (vec![good.as_str(), "--certificate", &chain, "--who", "1234567893"], 64, "SYSTEM|VALUE"),
        (vec![good.as_str(), "--certificate", &chain, "--who", &who, "--when", "2020-01-01T00:00:00Z"], 1, "not valid"),
        (vec![good.as_str(), "--certificate", &chain, "--who", &who, "--algorithm", "none"], 64, "RS256"),
        (vec![good.as_str(), "--certificate", &chain, "--who", &who, "--algorithm", "RS256"], 64, "kind of key"),
        (vec![good.as_str(), "--certificate", &chain, "--who", &who, "--dialect", "2"], 64, "ci or 2.1.0"),
    ] {
        let (status, shown, err) = run(&[&["sign", "--key", &key, "-o", &out][..], &words].concat());
        assert_eq!((status, shown.as_str()), (exit(code), ""), "{words:?}: {err}");
        assert!(err.contains(says), "{words:?}: {err}");
        assert!(!PathBuf::from(&out).exists());
    }
}

#[test]
fn help_teaches() {
    for command in ["sign", "verify"] {
        let (status, out, _) = run(&[command, "--help"]);
        assert!(status == exit(0) && out.contains("Examples:"), "{command}: {out}");
    }
    let (_, out, _) = run(&["verify", "--help"]);
    for word in ["verified-with-warnings", "cannot-verify", "absent", "failed"] {
        assert!(out.contains(word), "{out}");
    }
}

/// Texts such as `content-changed`, between quotes in the code and between back-ticks in the README's tables.
fn codes(text: &str, quote: char) -> BTreeSet<&str> {
    let is_code = |part: &&str| {
        part.contains('-')
            && part
                .split('-')
                .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    };
    text.split(quote).filter(is_code).collect()
}

#[test]
fn the_readme_lists_every_code_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Signatures\n").expect("a section");
    let (_, table) = section.split_once("| codes | about |").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("an end");
    let listed = codes(table, '`');
    let mut files: Vec<PathBuf> =
        fs::read_dir(root.join("src/signature")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(root.join("src/cli/verify.rs"));
    let sources: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap().split("#[cfg(test)]").next().unwrap().to_owned())
        .collect();
    let others = ["kebab-case", "verified-with-warnings", "cannot-verify", "cannot-tell"];
    let known: BTreeSet<&str> =
        sources.iter().flat_map(|text| codes(text, '"')).filter(|code| !others.contains(code)).collect();
    assert_eq!(listed, known);
    assert!(listed.len() > 50);
}

#[test]
fn provenance_verifies_signatures_by_the_anchors_of_the_registry() {
    let folder = Folder::new();
    folder.write("anchors.pem", authority().chain_pem());
    let sources = folder.write("sources.toml", registry("demanded"));
    let record = condition("one", "headache");
    let signature = forge(&party(), &record).signed_element();
    let bundle = |record: &Value| {
        let all = [directory(), vec![record.clone(), about(std::slice::from_ref(&signature))]].concat();
        let entries: Vec<Value> = all.iter().map(|resource| json!({"resource": resource})).collect();
        json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()
    };
    let good = folder.write("good.json", bundle(&record));
    let changed = folder.write("changed.json", bundle(&condition("one", "headachf")));
    for (file, sources, verdict, finding) in [
        (&good, Some(&sources), "verified", ("signature-holds", "match")),
        (&good, None, "asserted-by-source", ("signature-holds", "cannot-tell")),
        (&changed, Some(&sources), "contradicted", ("signature-holds", "mismatch")),
    ] {
        let more = sources.map(|sources| ["--sources", sources]);
        let words = ["provenance", file, "--json"].into_iter().chain(more.into_iter().flatten());
        let (exited, out, err) = run(&words.collect::<Vec<_>>());
        assert_eq!((exited, err), (exit(0), String::new()));
        let report: Value = serde_json::from_str(&out).unwrap();
        let line = report["resources"].as_array().unwrap().iter().find(|line| line["reference"] == "Condition/one");
        let line = line.unwrap();
        assert_eq!(line["verdict"], verdict, "{line:#}");
        let findings = line["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(|one| (&one["code"], &one["answer"]) == (&json!(finding.0), &json!(finding.1))),
            "{line:#}"
        );
    }
}
