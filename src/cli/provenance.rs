//! `portcullis provenance`: who answers for each record of a Bundle.
//!
//! Takes: a Bundle (or one resource) in a file or on standard input, and perhaps a registry of sources. Gives: a table for people
//! or JSON. Guarantees: only reads; what is beside the records in the Bundle is all the evidence there is; signatures are verified
//! as the gateway does it, by the anchors of the registry's sources, as of now. Refuses: what is no FHIR JSON, and a registry
//! with a mistake.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{CliError, printed};
use crate::authorship::{
    Answer, Code, Evidence, Gathered, Judged, Record, Registry, Release, Trust, Verdict, Verifier, default_release,
    is_attributable, judge,
};
use crate::clock::{Clock, Now};
use crate::config::Sources;
use crate::fhir::json::{Tape, Value};
use crate::limits;
use crate::oauth::Purpose;

/// Arguments of `provenance`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For every record of the Bundle, from its own elements, the Provenance that is about it, the practitioners, roles and
organisations beside it, and the documents in it:

  verified            a signature of the author or of the author's organisation holds
  asserted-by-source  the organisation that it comes from answers for it
  asserted-by-hie     an exchange answers for it
  unknown             nobody is known to answer for it
  contradicted        what is known contradicts itself

In the column of findings, `!` is a mismatch and `?` is what could not be told; `--json` has all of them. PAYMENT says
whether the record would leave for payment and operations by default; for treatment all leave, marked. Directories and
records that an office keeps (Practitioner, Organization, Patient, Coverage) have no author, and are not judged unless
`--all` is given.

Signatures (of a Provenance over its target, of a form, of the Bundle as a whole) are verified by the anchors that the
registry gives for the source of the record; without `--sources` none can be.

Examples:
  portcullis provenance patient.json
  portcullis provenance patient.json --sources sources.toml --json | jq '.counts'
  curl -s 'http://localhost:8080/fhir/Condition?patient=1&_include=Condition:recorder&_revinclude=Provenance:target' \\
    | portcullis provenance -

Exit codes: 0 judged, 1 the Bundle cannot be read, 78 the registry has mistakes.")]
pub struct Arguments {
    /// A Bundle or a resource in FHIR JSON; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The registry of sources; without it the Bundle is taken to come from the source itself
    #[arg(long, value_name = "FILE")]
    sources: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Judge what nobody authors as well
    #[arg(long)]
    all: bool,
}

/// The whole of what is printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    counts: Vec<Count>,
    resources: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Count {
    verdict: &'static str,
    resources: usize,
}

#[derive(Debug, Serialize)]
struct Line {
    reference: String,
    version: Option<String>,
    verdict: &'static str,
    leaves: Leaves,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Leaves {
    payment: bool,
    treatment: bool,
}

#[derive(Debug, Serialize)]
struct Finding {
    code: &'static str,
    answer: &'static str,
    requirements: &'static [&'static str],
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let registry = match &arguments.sources {
        Some(path) => Some(Registry::new(Sources::load(path).map_err(CliError::Config)?)),
        None => None,
    };
    let bytes = read(&arguments.file).map_err(CliError::Failed)?;
    let trust = registry.as_ref().map_or_else(Trust::of_the_ehr, Trust::by);
    let report = report(&bytes, &trust, arguments.all, Clock::System.now()).map_err(CliError::Failed)?;
    printed(if arguments.json { print_json(&report, out) } else { print_table(&report, out) })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let limit = limits::PROVENANCE_FILE_BYTES;
    let failed = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(limit + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes)
    };
    read.map_err(failed)?;
    if bytes.len() as u64 > limit { Err(format!("{} is larger than {limit} bytes", path.display())) } else { Ok(bytes) }
}

fn report(bytes: &[u8], trust: &Trust<'_>, all: bool, now: Now) -> Result<Report, String> {
    let mut tape = Tape::new();
    let root = tape.read(bytes).map_err(|error| format!("not fhir json: {error}"))?.root();
    let entries = entries(root);
    let mut evidence = evidence(&entries);
    let records: Vec<Record<'_>> = entries.iter().map(|entry| record(*entry)).collect::<Result<_, _>>()?;
    let is_whole = root.get("resourceType").and_then(Value::text).is_some_and(|stated| stated == "Bundle");
    if let Some(mut verifier) = Verifier::new(*trust, now).map(Verifier::unbounded) {
        for record in &records {
            verifier.verify(record, Some(root).filter(|_| is_whole), &mut evidence);
        }
    }
    let payment = Purpose::parse("HPAYMT").map(default_release);
    let treatment = Purpose::parse("TREAT").map(default_release);
    let mut resources = Vec::new();
    for record in records.iter().filter(|record| all || is_attributable(record.resource_type())) {
        let judged = judge(record, &evidence, trust, now);
        resources.push(line(record, &judged, payment, treatment));
    }
    let count = |verdict: &Verdict| resources.iter().filter(|line| line.verdict == verdict.as_str()).count();
    let counts =
        Verdict::ALL.iter().rev().map(|verdict| Count { verdict: verdict.as_str(), resources: count(verdict) });
    Ok(Report { counts: counts.collect(), resources })
}

/// What an entry holds.
fn record(entry: Value<'_>) -> Result<Record<'_>, String> {
    let full_url = entry.get("fullUrl").and_then(Value::text);
    let resource = entry.get("resource").unwrap_or(entry);
    Record::at(resource, full_url).ok_or_else(|| "an entry holds no resource of r4".to_owned())
}

/// The entries of a Bundle that hold something, or what is no Bundle as the only one.
fn entries(root: Value<'_>) -> Vec<Value<'_>> {
    let is_bundle = root.get("resourceType").and_then(Value::text).is_some_and(|stated| stated == "Bundle");
    if is_bundle {
        let all = root.get("entry").into_iter().flat_map(Value::each);
        all.filter(|entry| entry.get("resource").is_some()).collect()
    } else {
        vec![root]
    }
}

/// Everything in the Bundle that says something of something else in it.
fn evidence(entries: &[Value<'_>]) -> Evidence {
    let mut gathered = Gathered::new(&[]);
    let resources = || entries.iter().map(|entry| entry.get("resource").unwrap_or(*entry));
    for entry in entries {
        let full_url = entry.get("fullUrl").and_then(Value::text);
        if let Some((full_url, resource)) = full_url.zip(entry.get("resource")) {
            gathered.alias(&full_url, resource);
        }
    }
    for resource in resources() {
        if !gathered.add(resource) {
            gathered.add_original(resource);
        }
    }
    // A Binary is the content of the documents that name it.
    for binary in resources() {
        let text = |name: &str| binary.get(name).and_then(Value::text);
        if text("resourceType").is_some_and(|stated| stated == "Binary")
            && let (Some(id), Some(data)) = (text("id"), text("data"))
        {
            gathered.add_base64_content(&format!("Binary/{id}"), &data);
        }
    }
    gathered.finish()
}

fn line(record: &Record<'_>, judged: &Judged, payment: Option<Release>, treatment: Option<Release>) -> Line {
    let permits = |release: Option<Release>| release.is_some_and(|release| release.permits(judged));
    let finding = |(code, answer): (Code, Answer)| Finding {
        code: code.as_str(),
        answer: answer.as_str(),
        requirements: code.basis(),
    };
    Line {
        reference: record.reference().unwrap_or(record.resource_type().as_str()).to_owned(),
        version: record.version().map(Into::into),
        verdict: judged.verdict.as_str(),
        leaves: Leaves { payment: permits(payment), treatment: permits(treatment) },
        findings: judged.findings.iter().map(finding).collect(),
    }
}

fn print_json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

fn print_table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let width = report.resources.iter().map(|line| line.reference.len()).max().unwrap_or_default().max(8);
    writeln!(out, "{:<width$}  {:<18}  {:<7}  FINDINGS", "RESOURCE", "VERDICT", "PAYMENT")?;
    for line in &report.resources {
        let marked = |answer: Answer, mark: char| {
            let all = line.findings.iter().filter(move |finding| finding.answer == answer.as_str());
            all.map(move |finding| format!("{mark}{}", finding.code))
        };
        let findings: Vec<String> = marked(Answer::Mismatch, '!').chain(marked(Answer::CannotTell, '?')).collect();
        let leaves = if line.leaves.payment { "leaves" } else { "stays" };
        let Line { reference, verdict, .. } = line;
        writeln!(out, "{reference:<width$}  {verdict:<18}  {leaves:<7}  {}", findings.join(" "))?;
    }
    writeln!(out)?;
    report.counts.iter().try_for_each(|count| writeln!(out, "{:<18}  {}", count.verdict, count.resources))
}
