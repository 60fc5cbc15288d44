//! The folder of the policies.
//!
//! Takes: a folder. Gives: its policies, tests and data, by relative name. Guarantees: sorted, so that equal
//! folders have equal revisions; nothing is left out silently. Refuses: data outside `data/`, links, files that
//! are too large, text that is not UTF-8.

use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::admission::PolicyProblem;
use super::permit::Revision;
use crate::limits;

/// Names and texts, sorted by name.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// `*.rego` but tests.
    pub(super) policies: Vec<(String, String)>,
    /// `*_test.rego`.
    pub(super) tests: Vec<(String, String)>,
    /// `data/*.json`.
    pub(super) data: Vec<(String, String)>,
    /// `sensitivity/*.csv`.
    pub(super) lists: Vec<(String, String)>,
}

impl Files {
    /// Reads a folder and those in it.
    pub(super) fn read(dir: &Path) -> Result<Self, Vec<PolicyProblem>> {
        let (mut files, mut problems) = (Self::default(), Vec::new());
        files.folder(dir, "", &mut problems);
        if files.policies.is_empty() && problems.is_empty() {
            problems.push(PolicyProblem::in_file(dir.display().to_string(), "there are no policies"));
        }
        for list in [&mut files.policies, &mut files.tests, &mut files.data, &mut files.lists] {
            list.sort();
        }
        if problems.is_empty() { Ok(files) } else { Err(problems) }
    }

    /// SHA-256 over names and contents of policies, data and lists; tests decide nothing.
    pub(super) fn revision(&self) -> Revision {
        let mut context = Context::new(&SHA256);
        let mut all: Vec<&(String, String)> = self.policies.iter().chain(&self.data).chain(&self.lists).collect();
        all.sort();
        for part in all.into_iter().flat_map(|(name, text)| [name, text]) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Revision::new(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn folder(&mut self, dir: &Path, below: &str, problems: &mut Vec<PolicyProblem>) {
        let unreadable = |name: &str| PolicyProblem::in_file(name, "cannot be read");
        let Ok(entries) = fs::read_dir(dir) else { return problems.push(unreadable(&dir.display().to_string())) };
        for entry in entries {
            let Some((entry, name)) = entry.ok().and_then(|entry| {
                let name = entry.file_name().to_str().map(|name| format!("{below}{name}"))?;
                Some((entry, name))
            }) else {
                problems.push(unreadable(below));
                continue;
            };
            let hidden = entry.file_name().to_str().is_some_and(|name| name.starts_with('.'));
            match entry.file_type() {
                _ if hidden => {}
                Ok(kind) if kind.is_dir() && name == "schema" => {}
                Ok(kind) if kind.is_dir() && name.matches('/').count() < limits::POLICY_FOLDERS => {
                    self.folder(&entry.path(), &format!("{name}/"), problems);
                }
                Ok(kind) if kind.is_file() => self.file(&entry.path(), name, problems),
                Ok(_) => problems.push(PolicyProblem::in_file(name, "is a link, or lies too deep")),
                Err(_) => problems.push(unreadable(&name)),
            }
        }
    }

    fn file(&mut self, path: &Path, name: String, problems: &mut Vec<PolicyProblem>) {
        let in_data = name.starts_with("data/");
        let list = match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
            Some("rego") if in_data => return problems.push(PolicyProblem::in_file(name, "a policy among the data")),
            Some("rego") if name.ends_with("_test.rego") => &mut self.tests,
            Some("rego") => &mut self.policies,
            Some("json") if in_data => &mut self.data,
            Some("csv") if name.starts_with("sensitivity/") => &mut self.lists,
            Some("json") => return problems.push(PolicyProblem::in_file(name, "data must lie in `data/`")),
            _ => return,
        };
        let limit = if in_data || name.starts_with("sensitivity/") {
            limits::POLICY_DATA_BYTES
        } else {
            limits::POLICY_FILE_BYTES
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > limit => problems.push(PolicyProblem::in_file(name, "is too large")),
            Ok(_) => match fs::read_to_string(path) {
                Ok(text) => list.push((name, text)),
                Err(_) => problems.push(PolicyProblem::in_file(name, "cannot be read as UTF-8")),
            },
            Err(_) => problems.push(PolicyProblem::in_file(name, "cannot be read")),
        }
    }
}
