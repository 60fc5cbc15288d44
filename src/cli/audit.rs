//! `portcullis audit verify` and `portcullis audit show`.
//!
//! Takes: a log's directory, and a place to write. Gives: a report, or records as JSON lines. Guarantees: only
//! reads; may run beside the gateway and on a copy, without the private key. Refuses: to call a log sound
//! that has any fault.
//!
//! Exit codes: 0 the log is sound, 1 it has faults, 2 it or the output could not be used.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::Exit;
use crate::audit::entry::{Effect, Entry};
use crate::audit::records;
use crate::audit::verify::{self, Summary, Trust};

/// Where `verify` finds the log and what it may trust.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Directory of the log
    pub dir: PathBuf,
    /// Public key kept elsewhere; without it the one in the directory is believed
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
    /// Checkpoint kept elsewhere, which the log must still contain
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
}

/// Where `show` finds the log and what it looks for.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Directory of the log
    pub dir: PathBuf,
    /// Which records to print; all conditions must hold
    #[command(flatten)]
    pub filters: Filters,
}

/// Conditions on a record.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// The exchange of this X-Request-Id, with its closing
    #[arg(long, value_name = "ID")]
    pub exchange: Option<String>,
    /// Exchanges of this client
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// Exchanges that released something about this patient
    #[arg(long, value_name = "ID")]
    pub patient: Option<String>,
    /// Exchanges that were refused by policy
    #[arg(long)]
    pub denied: bool,
    /// Records at or after this instant
    #[arg(long, value_name = "INSTANT")]
    pub since: Option<Timestamp>,
    /// Records before this instant
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<Timestamp>,
}

/// Checks a log and reports what was found.
pub fn verify(args: &VerifyArgs, out: &mut dyn Write) -> Exit {
    let trust = Trust { public_key: args.public_key.clone(), checkpoint: args.checkpoint.clone() };
    let (written, code) = match verify::verify(&args.dir, &trust) {
        Ok(summary) => (report(&summary, out), Exit::Ok),
        Err(findings) => (findings.iter().try_for_each(|finding| writeln!(out, "fault: {finding}")), Exit::Failed),
    };
    written.map_or(Exit::Unusable, |()| code)
}

/// Prints the records that meet all conditions, each as the line that stands in the log.
pub fn show(dir: &Path, filters: &Filters, out: &mut dyn Write) -> Exit {
    match print(dir, filters, out) {
        Ok(0) => Exit::Ok,
        Ok(_) => Exit::Failed,
        Err(_) => Exit::Unusable,
    }
}

fn report(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let Summary { origin, segments, records, head, signed, time, unfinished } = summary;
    writeln!(out, "sound: {records} records in {segments} segments of {origin}")?;
    writeln!(out, "head: {head}")?;
    writeln!(out, "signed: up to record {signed}, at {time}")?;
    if records > signed {
        writeln!(out, "note: {} records are newer than the checkpoint", records - signed)?;
    }
    if *unfinished > 0 {
        writeln!(out, "note: {unfinished} bytes of a record that was never finished follow; the next start cuts them")?;
    }
    Ok(())
}

/// Gives the number of lines that could not be read.
fn print(dir: &Path, filters: &Filters, out: &mut dyn Write) -> io::Result<u64> {
    let mut records = records(dir)?;
    for record in &mut records {
        let record = record?;
        if filters.meet(&record.entry) {
            writeln!(out, "{}", record.line)?;
        }
    }
    Ok(records.unreadable())
}

impl Filters {
    fn meet(&self, entry: &Entry) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let time = entry.time.parse::<Timestamp>().ok();
        same(&self.exchange, &entry.exchange)
            && same(&self.client, &entry.client)
            && self.patient.as_ref().is_none_or(|patient| entry.patients.contains(patient))
            && (!self.denied || entry.decision.as_ref().is_some_and(|decision| decision.effect == Effect::Deny))
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::audit::Audit;
    use crate::audit::entry::{Decision, Kind};
    use crate::clock::Clock;
    use crate::store::scratch::Scratch;

    /// A log with three exchanges, one second apart from 08:00:01.
    fn sample() -> Scratch {
        let dir = Scratch::new();
        let at = |second: u8| Clock::Fixed(format!("2026-11-23T08:00:0{second}Z").parse().unwrap());
        let audit = Audit::open(&dir, at(0)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (second, client, effect) in [(1, "a", Effect::Permit), (2, "b", Effect::Deny), (3, "a", Effect::Deny)] {
            let entry = Entry {
                exchange: Some(format!("e-{second}")),
                client: Some(client.to_owned()),
                patients: vec![format!("p-{second}")],
                decision: Some(Decision { id: String::new(), revision: String::new(), effect, reasons: Vec::new() }),
                ..Entry::new(Kind::Exchange, at(second).now())
            };
            let _receipt = runtime.block_on(audit.reserve().unwrap().record(entry)).unwrap();
        }
        audit.close();
        dir
    }

    fn shown(dir: &Path, filters: &Filters) -> Vec<u64> {
        let mut out = Vec::new();
        assert_eq!(show(dir, filters, &mut out), Exit::Ok);
        let seq = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap();
        String::from_utf8(out).unwrap().lines().map(seq).collect()
    }

    #[test]
    fn show_prints_what_meets_all_conditions() {
        let dir = sample();
        let text = |value: &str| Some(value.to_owned());
        let second = |second: u8| Some(format!("2026-11-23T08:00:0{second}Z").parse().unwrap());
        for (filters, seqs) in [
            (Filters::default(), vec![1, 2, 3, 4, 5]),
            (Filters { client: text("a"), ..Filters::default() }, vec![2, 4]),
            (Filters { exchange: text("e-2"), ..Filters::default() }, vec![3]),
            (Filters { patient: text("p-3"), ..Filters::default() }, vec![4]),
            (Filters { patient: text("p-"), ..Filters::default() }, vec![]),
            (Filters { denied: true, ..Filters::default() }, vec![3, 4]),
            (Filters { denied: true, client: text("a"), ..Filters::default() }, vec![4]),
            (Filters { since: second(2), until: second(3), ..Filters::default() }, vec![3]),
        ] {
            assert_eq!(shown(&dir, &filters), seqs, "{filters:?}");
        }
    }

    #[test]
    fn show_leaves_out_what_was_altered_and_says_so() {
        let dir = sample();
        let path = dir.join("audit-00000001.ndjson");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("e-2", "e-9")).unwrap();
        let mut out = Vec::new();
        assert_eq!(show(&dir, &Filters::default(), &mut out), Exit::Failed);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 4);
    }

    #[test]
    fn verify_reports_and_its_code_tells_sound_from_faulty() {
        let dir = sample();
        let args = VerifyArgs { dir: dir.to_path_buf(), public_key: None, checkpoint: None };
        let mut out = Vec::new();
        assert_eq!(verify(&args, &mut out), Exit::Ok);
        let report = String::from_utf8(out).unwrap();
        assert!(report.starts_with("sound: 5 records in 1 segments of portcullis-audit-"), "{report}");
        assert!(!report.contains("note:"), "{report}");

        let path = dir.join("audit-00000001.ndjson");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("e-2", "e-9")).unwrap();
        let mut out = Vec::new();
        assert_eq!(verify(&args, &mut out), Exit::Failed);
        let report = String::from_utf8(out).unwrap();
        assert!(report.starts_with("fault: record 3 was altered (segment 1, byte "), "{report}");
    }

    #[test]
    fn output_that_cannot_be_written_is_no_success() {
        let dir = sample();
        let args = VerifyArgs { dir: dir.to_path_buf(), public_key: None, checkpoint: None };
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(verify(&args, &mut full()), Exit::Unusable);
        assert_eq!(show(&dir, &Filters::default(), &mut full()), Exit::Unusable);
        assert_eq!(show(&dir.join("none"), &Filters::default(), &mut Vec::new()), Exit::Unusable);
    }
}
