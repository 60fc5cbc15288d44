//! The attack suite: every case of a corpus, run against a gateway in front of a permissive EHR.
//!
//! Takes: the program, a folder, and what of a site's configuration is to be tried. Gives: a line for each finding, a
//! table of the classes, and a [`Report`] with a grade. Guarantees: only loopback addresses are used, beside a server
//! that was named; a case that cannot be run and a key that cannot be judged count as unsupported, never as passed.
//! Refuses: files that hold no cases.
//!
//! The harness is an interpreter of the format that `tests/hostile/data` is written in: `case` reads it, `world` plans
//! a case, `scene` plays it, `hold` judges it. Each case has a gateway of its own, a process of this very program.

mod any_policy;
mod case;
mod crowd;
mod ehr;
mod fault;
mod grade;
mod grant;
mod gzip;
mod h2;
mod hold;
mod members;
mod pack;
mod scene;
mod send;
mod stage;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod token;
mod wire;
mod world;

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value as Json;
use thiserror::Error;

use case::{Case, Data, Verdict};
pub use grade::{Grade, Report};
pub use stage::{OwnPolicies, Settings};
use world::World;

/// The corpus, and cases for what of its vocabulary it does not use.
const CASES: [(&str, &str); 2] = [
    ("attacks.jsonl", include_str!("../tests/hostile/data/attacks.jsonl")),
    ("more.jsonl", include_str!("../tests/hostile/data/more.jsonl")),
];
/// The records of the test EHR.
pub const FIXTURES: &str = include_str!("../tests/hostile/data/attack-fixtures.json");
const EARLIER: &str = include_str!("../tests/hostile/data/attack-fixtures-v1.json");
/// Files that a process may have open: thousands of connections at once are part of the suite.
const OPEN_FILES: u64 = 16_384;

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The gateway's program.
    pub program: PathBuf,
    /// Where gateways keep their files while they run.
    pub folder: PathBuf,
    /// Other cases than the built-in ones: a file of one JSON object a line.
    pub cases: Option<PathBuf>,
    /// Only cases whose ids begin so; all where it is empty.
    pub only: Vec<String>,
    /// The FHIR base of a server to stand in for the test EHR, `http://` only; it holds [`FIXTURES`].
    pub upstream: Option<String>,
    /// No gateway, but a forwarder of bytes: what the suite must find out.
    pub open_door: bool,
    /// What of a configuration is tried.
    pub settings: Settings,
}

/// Why a run did not come about.
#[derive(Debug, Error)]
pub enum AttackError {
    /// A file of cases cannot be read.
    #[error("cases: {0}")]
    Cases(String),
    /// The EHR, the attacker's listener, keys or certificates are not to be had.
    #[error("the stage cannot be set: {0}")]
    Stage(String),
    /// What was found cannot be written.
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
}

/// Runs the suite, and writes what it finds as it finds it.
///
/// # Errors
/// [`AttackError`], where there was no run.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Report, AttackError> {
    let cases = cases(options)?;
    let world = World::new(data()?, options).map_err(AttackError::Stage)?;
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    if let Ok((_, most)) = nix::sys::resource::getrlimit(limit) {
        // Where it is refused, the cases that need it fail and say so.
        let _ = nix::sys::resource::setrlimit(limit, OPEN_FILES.min(most), most);
    }
    let mut report = Report::default();
    for case in &cases {
        let verdict = world.run(case);
        let line = match &verdict {
            Verdict::LeftOut(why) if why.starts_with("does not apply") => Some(format!("LEFT OUT {}: {why}", case.id)),
            Verdict::Passed(None) | Verdict::LeftOut(_) | Verdict::NotApplicable(_) => None,
            Verdict::Passed(Some(note)) => Some(format!("PASSED {}: {note}", case.id)),
            Verdict::Failed(why) => {
                Some(format!("FAILED {} ({}) {}: {}", case.id, case.severity, case.title, why.join("; ")))
            }
            Verdict::Unsupported(what) => Some(format!("UNSUPPORTED {} {}: {}", case.id, case.title, what.join(", "))),
        };
        if let Some(line) = line {
            writeln!(out, "{line}").map_err(AttackError::Output)?;
        }
        report.add(case, &verdict);
    }
    if options.settings.own_policies.is_some() {
        report.decided(world.decided());
    }
    Ok(report)
}

/// The cases that are wanted.
fn cases(options: &Options) -> Result<Vec<Case>, AttackError> {
    let mut cases = match &options.cases {
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file).map_err(|error| AttackError::Cases(format!("{name}: {error}")))?;
            case::read(&text, &name).map_err(AttackError::Cases)?
        }
        None => own_cases()?,
    };
    let only = &options.only;
    cases.retain(|case| only.is_empty() || only.iter().any(|beginning| case.id.starts_with(beginning)));
    Ok(cases)
}

fn own_cases() -> Result<Vec<Case>, AttackError> {
    let mut cases = Vec::new();
    for (name, text) in CASES {
        cases.extend(case::read(text, name).map_err(AttackError::Cases)?);
    }
    Ok(cases)
}

fn data() -> Result<Data, AttackError> {
    let json = |text: &str| -> Result<Json, AttackError> {
        serde_json::from_str(text).map_err(|error| AttackError::Cases(error.to_string()))
    };
    Ok(Data { fixtures: json(FIXTURES)?, earlier: json(EARLIER)?, grants: case::grants(&own_cases()?) })
}

/// Whether every request and answer is printed, to find out why a case fails.
fn is_shown() -> bool {
    std::env::var_os("HOSTILE_SHOW").is_some()
}
