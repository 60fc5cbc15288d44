//! `portcullis attack`: the gateway's own program, attacked on this machine.
//!
//! Takes: a configuration, if there is one. Gives: findings, a table and a grade. Guarantees: nothing but loopback and the
//! server that was named is asked; a folder of its own, removed at the end. Refuses: cases that cannot be read.

use std::io::Write;
use std::path::PathBuf;

use super::{CliError, printed};
use crate::attack::{self, Options, OwnPolicies, Settings};
use crate::config::Config;

/// Arguments of `attack`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis attack
  portcullis attack --config portcullis.toml
  portcullis attack --config portcullis.toml --own-policies
  portcullis attack --upstream http://127.0.0.1:8080/fhir --only A1- --only G-

Starts gateways on this machine in front of a test EHR that refuses nothing, and plays every attack against them. Of the
configuration it takes listen.threads, policy.engine and [cache]. Policies, clients, keys and certificates are its own,
because what an attack must not find presupposes them; your policies have their own tests (*_test.rego).

With --own-policies, your policies decide: [policy] with roster and data, and your first two [[client]] stand for the
suite's. Then only that is demanded which holds under any policy: what is refused before anybody decides, what the EHR
never sees, that no record leaves which proves to be nobody's or whose patient the audit record does not name, that
nothing of the EHR's own is told, that every request has its record, that nothing ends in a 5xx or a crash. Attacks of
which nothing is left are counted as not applicable. The patients are the fixtures' (p1, p2): put them on a copy of your
roster, with what else your policies ask for, or they refuse nearly everything. How much they permitted is printed.

With --upstream, a FHIR server of yours stands in for the test EHR. Load it with the fixtures first (--fixtures prints
them): invented patients, so use a test server. Only the attacks by query are played then.

Grades: A nothing failed; B nothing worse than medium; C nothing worse than high; D at most 3 critical findings;
E at most 10; F more, or more than half of the positive controls failed. Exit code 0 if all passed, else 1.")]
pub struct Arguments {
    /// The configuration to try; without it, defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let the configuration's policies decide, and demand what holds under any policy.
    #[arg(long, requires = "config")]
    own_policies: bool,
    /// The FHIR base of a test server that holds the fixtures, instead of the test EHR.
    #[arg(long, value_name = "BASE")]
    upstream: Option<String>,
    /// Other attacks than the built-in ones, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Only attacks whose id begins so. May be repeated.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Print the fixtures as a FHIR transaction, and do nothing else.
    #[arg(long)]
    fixtures: bool,
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    if arguments.fixtures {
        return printed(writeln!(out, "{}", attack::FIXTURES.trim_end()));
    }
    let settings = match &arguments.config {
        Some(path) => {
            let config = Config::load(path).map_err(CliError::Config)?;
            let own_policies = arguments.own_policies.then(|| OwnPolicies::of(&config));
            Settings { own_policies, ..Settings::of(&config) }
        }
        None => Settings::default(),
    };
    let failed = |error: std::io::Error| CliError::Failed(format!("cannot begin: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let folder = std::env::temp_dir().join(format!("portcullis-attack-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let options = Options {
        program,
        folder: folder.clone(),
        cases: arguments.cases.clone(),
        only: arguments.only.clone(),
        upstream: arguments.upstream.clone(),
        open_door: false,
        settings,
    };
    let report = attack::run(&options, out);
    // What is left there are copies of what the suite made itself.
    let _ = std::fs::remove_dir_all(&folder);
    let report = report.map_err(|error| CliError::Failed(error.to_string()))?;
    printed(writeln!(out, "{report}\ngrade: {}", report.grade()))?;
    let (_, failed, unsupported) = report.totals();
    if report.is_clean() {
        return Ok(());
    }
    Err(CliError::Failed(format!("{failed} attacks failed to be held off, {unsupported} could not be played")))
}
