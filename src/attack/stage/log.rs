//! What the gateway's audit log says, while it runs and afterwards.

use std::fs;
use std::path::Path;

use crate::audit::Entry;
use crate::audit::entry::{Effect, Kind};
use crate::audit::verify::{Trust, verify};

use super::Gateway;

/// One record and its line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) entry: Entry,
    pub(crate) text: String,
}

impl Gateway {
    fn lines(&self) -> Vec<Line> {
        if self.is_open_door() {
            return Vec::new();
        }
        let records = crate::audit::records(&self.folder.join("audit")).into_iter().flatten().flatten();
        records.map(|record| Line { entry: record.entry, text: record.line }).collect()
    }

    /// The records of HTTP requests so far; what a batch had in it has records of its own beside them.
    pub(crate) fn exchanges(&self) -> Vec<Line> {
        let is_request =
            |line: &Line| matches!(line.entry.kind, Kind::Exchange | Kind::Interrupted) && line.entry.batch.is_none();
        self.lines().into_iter().filter(is_request).collect()
    }

    /// The records so far, but for those about the gateway itself.
    pub(crate) fn about_requests(&self) -> Vec<Line> {
        let itself = |kind| matches!(kind, Kind::Start | Kind::Stop | Kind::Recovery | Kind::PolicyLoad);
        self.lines().into_iter().filter(|line| !itself(line.entry.kind)).collect()
    }

    /// For each time that policies were loaded anew, whether they were taken.
    pub(super) fn policy_loads(&self) -> Vec<bool> {
        let lines = self.lines().into_iter().filter(|line| line.entry.kind == Kind::PolicyLoad);
        lines.map(|line| line.entry.decision.is_some_and(|decision| decision.effect == Effect::Permit)).collect()
    }

    /// Everything that the verifier finds.
    pub(crate) fn log_findings(&self) -> Vec<String> {
        if self.is_open_door() {
            return Vec::new();
        }
        findings(&self.folder.join("audit"))
    }

    /// Applies an edit to a copy of the log, and tells whether the verifier finds it. The gateway has ended.
    pub(crate) fn detects(&self, edit: &str) -> Result<bool, String> {
        let copy = self.folder.join("tampered");
        let _ = fs::remove_dir_all(&copy);
        let failed = |error: std::io::Error| error.to_string();
        fs::create_dir_all(&copy).map_err(failed)?;
        let mut segments = Vec::new();
        for file in fs::read_dir(self.folder.join("audit")).map_err(failed)?.flatten() {
            let to = copy.join(file.file_name());
            fs::copy(file.path(), &to).map_err(failed)?;
            if to.extension().is_some_and(|ending| ending == "ndjson") {
                segments.push(to);
            }
        }
        segments.sort();
        let segment = segments.first().ok_or("no log")?;
        let text = fs::read_to_string(segment).map_err(failed)?;
        let whole = text.trim_end_matches('\0');
        let mut lines: Vec<String> = whole.lines().map(ToOwned::to_owned).collect();
        if lines.len() < 3 {
            return Err("a log of three lines at least".to_owned());
        }
        change(&mut lines, edit)?;
        fs::write(segment, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).map_err(failed)?;
        Ok(!findings(&copy).is_empty())
    }
}

fn findings(log: &Path) -> Vec<String> {
    match verify(log, &Trust::default()) {
        Ok(_) => Vec::new(),
        Err(findings) => vec![format!("{findings:?}")],
    }
}

/// Edits by the words that name them.
fn change(lines: &mut Vec<String>, edit: &str) -> Result<(), String> {
    let edit = edit.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| edit.contains(word));
    let middle = lines.len() / 2;
    let last = lines.len() - 1;
    let place = if says(&["first"]) {
        0
    } else if says(&["last", "tail", "end"]) {
        last
    } else {
        middle
    };
    if says(&["swap", "reorder", "order"]) {
        lines.swap(middle, middle - 1);
    } else if says(&["duplicat", "repeat", "replay", "copy"]) {
        let line = lines.get(place).cloned().unwrap_or_default();
        lines.insert(place, line);
    } else if says(&["insert", "append", "add", "forge"]) {
        let line = lines.get(place).cloned().unwrap_or_default();
        lines.insert(place + usize::from(place == last), altered(&line));
    } else if says(&["truncat", "cut"]) {
        lines.truncate(last);
    } else if says(&["delet", "remov", "drop", "missing"]) {
        lines.remove(place);
    } else if says(&["chang", "edit", "modif", "flip", "alter", "replac", "byte", "bit", "field", "rewrit"]) {
        if let Some(line) = lines.get_mut(place) {
            *line = altered(line);
        }
    } else {
        return Err(format!("tamper {edit}"));
    }
    Ok(())
}

/// Another digit in the record's time: it still reads well.
fn altered(line: &str) -> String {
    let at = line.find("\"time\":\"").map_or(0, |at| at + "\"time\":\"2026-11-2".len());
    let Some((before, rest)) = line.split_at_checked(at) else { return format!("{line} ") };
    let mut rest = rest.chars();
    let other = if rest.next() == Some('1') { '2' } else { '1' };
    format!("{before}{other}{}", rest.as_str())
}
