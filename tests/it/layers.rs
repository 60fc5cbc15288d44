//! Imports run one way: from the rim to the vocabulary, and along the life of a request.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From what everything may use to what nothing may use. Rooms of one line do not know each other, but for the steps,
/// each of which may know the steps before it.
const LAYERS: &[&[&str]] = &[
    &["clock", "id"],
    &["limits"],
    &["fhir"],
    &["oauth", "metrics"],
    &["signature"],
    &["config"],
    &["authorship"],
    &["outbound", "store"],
    &["accept"],
    &["identify"],
    &["understand"],
    &["decide"],
    &["rewrite"],
    &["audit"],
    &["fetch"],
    &["filter"],
    &["publish"],
    &["respond"],
    &["listen"],
    &["admin"],
    &["gateway"],
    &["start"],
    &["demo", "attack"],
    &["cli"],
];

fn level(room: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&room))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The room a file belongs to, and the rooms it names.
fn imports(root: &Path, file: &Path) -> (String, Vec<String>) {
    let inside = file.strip_prefix(root).unwrap().to_str().unwrap();
    let room = inside.split(['/', '.']).next().unwrap().to_owned();
    let text = fs::read_to_string(file).unwrap();
    let mut named = Vec::new();
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            named.extend(group.split(',').map(|part| part.trim().split("::").next().unwrap_or_default().to_owned()));
        } else {
            named.push(
                rest.split(|next: char| !(next.is_alphanumeric() || next == '_')).next().unwrap_or_default().to_owned(),
            );
        }
    }
    named.retain(|name| !name.is_empty() && *name != room);
    (room, named)
}

#[test]
fn imports_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut rooms: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in &files {
        let (room, named) = imports(&root, file);
        let Some(own) = level(&room) else {
            assert!(matches!(room.as_str(), "lib" | "main"), "{room} has no place in the layers");
            continue;
        };
        *rooms.entry(room.clone()).or_default() += 1;
        for other in named {
            match level(&other) {
                Some(below) if below < own => {}
                _ => wrong.push(format!("{} names {other}", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for room in LAYERS.iter().flat_map(|layer| layer.iter()) {
        assert!(rooms.contains_key(*room), "{room} is in the layers and not in src");
    }
}

#[test]
fn an_upward_import_is_found() {
    let folder = std::env::temp_dir().join(format!("portcullis-layers-{}", std::process::id()));
    fs::create_dir_all(folder.join("fhir")).unwrap();
    let file = folder.join("fhir/name.rs");
    fs::write(
        &file,
        "use crate::{clock, gateway::Gateway};\n// crate::filter in a comment\nfn f() { crate::fetch::x() }\n",
    )
    .unwrap();
    let (room, named) = imports(&folder, &file);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(room, "fhir");
    assert_eq!(named, ["clock", "gateway", "fetch"]);
    assert!(level("gateway") > level("fhir") && level("clock") < level("fhir"));
}
