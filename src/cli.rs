//! The command line: one sub-command each for serving, checking, and preparing a development set-up.
//!
//! Takes: arguments and two streams. Gives: an exit code. Guarantees: results go to the one stream, mistakes to
//! the other; nothing here ends the process. Refuses: unknown arguments, with a suggestion.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use thiserror::Error;

use crate::config::{Config, Problem};
use crate::start::StartError;

pub mod attack;
pub mod audit;
pub mod certs;
pub mod check;
pub mod demo;
pub mod health;
pub mod provenance;
pub mod serve;
pub mod sign;
pub mod sources;
#[cfg(test)]
mod tests;
pub mod token;
pub mod verify;

/// Where the configuration is, unless `--config` says otherwise.
pub const CONFIG_FILE: &str = "portcullis.toml";

const EXAMPLES: &str = "\
Examples:
  portcullis demo                            see it at work on invented patients
  portcullis certs --out certs               make certificates and an issuer for development
  portcullis check --config portcullis.toml  report every mistake in the configuration at once
  portcullis serve --config portcullis.toml  run the gateway
  portcullis token --client payer-a          print a token for development
  portcullis attack                          play every attack of a corpus against it, and grade it
  portcullis verify bundle.json --anchors ca.pem  find out who signed it, and whether it still holds
  portcullis provenance patient.json         say of every record who answers for it
  curl --cacert certs/ca.pem -H \"Authorization: Bearer $(portcullis token --client payer-a)\" \\
       https://localhost:8443/fhir/Observation?patient=1

Exit codes: 0 done, 1 failed, 64 wrong arguments, 78 wrong configuration.";

/// A FHIR R4 gateway that releases the minimum necessary.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what the gateway does, on invented patients.
    Demo(demo::Arguments),
    /// Run the gateway.
    Serve(serve::Arguments),
    /// Load the configuration and every file it names, and report all mistakes at once.
    Check(check::Arguments),
    /// Ask a running gateway whether it lives, or is ready.
    Health(health::Arguments),
    /// Print an access token signed by a development issuer. Never for production.
    Token(token::Arguments),
    /// Play every attack of a corpus against this gateway, and grade it.
    Attack(attack::Arguments),
    /// Sign a Bundle as an organisation.
    Sign(sign::Arguments),
    /// Find out whether a resource was signed by whom it names. Exit code 0 for `verified` alone.
    Verify(verify::Arguments),
    /// Check the audit log, or look into it.
    #[command(subcommand)]
    Audit(Audit),
    /// Say of every record of a Bundle who answers for it, and why.
    Provenance(provenance::Arguments),
    /// Check the registry of sources: whose records may leave, and who may pass them on.
    #[command(subcommand)]
    Sources(SourcesCommand),
    /// Make a development authority, certificates and issuer key. Never for production.
    Certs(certs::Arguments),
}

/// What to do with a registry of sources.
#[derive(Debug, Subcommand)]
enum SourcesCommand {
    /// Report every mistake in a registry at once, or what it amounts to.
    Check(sources::CheckArguments),
}

/// What to do with an audit log.
#[derive(Debug, Subcommand)]
enum Audit {
    /// Find any changed, dropped, swapped or added record. Exit codes: 0 sound, 1 faults found, 2 not readable.
    Verify(audit::VerifyArgs),
    /// Print records as JSON lines.
    Show(audit::ShowArgs),
}

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum CliError {
    /// The configuration is wrong: every mistake.
    #[error("{}", lines(.0))]
    Config(Vec<Problem>),
    /// What the configuration names is not in order: policies, keys, the audit log.
    #[error("{0}")]
    Start(StartError),
    /// Something else went wrong.
    #[error("{0}")]
    Failed(String),
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// The exit code: those of `sysexits.h` where one fits.
    pub fn exit_code(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Start(_) => Exit::Config,
            Self::Failed(_) => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was to be examined is not there: no signature.
    Absent,
    /// `EX_CONFIG`
    Config,
    /// Anything that is nobody's mistake in writing.
    Failed,
    /// `EX_OK`
    Ok,
    /// What was to be examined could not be read.
    Unusable,
    /// `EX_USAGE`
    Usage,
    /// Sound as far as it goes, with warnings to be read.
    Warned,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Absent => 4.into(),
            Exit::Config => 78.into(),
            Exit::Failed => Self::FAILURE,
            Exit::Ok => Self::SUCCESS,
            Exit::Unusable => 2.into(),
            Exit::Usage => 64.into(),
            Exit::Warned => 3.into(),
        }
    }
}

/// Runs the command that the arguments name, the first of which is the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let (stated, exit) = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => (write!(out, "{error}"), Exit::Ok),
                _ => (write!(err, "{error}"), Exit::Usage),
            };
            return if stated.is_ok() { exit } else { Exit::Failed };
        }
    };
    let result = match arguments.command {
        Command::Demo(arguments) => demo::command(&arguments, out),
        Command::Serve(arguments) => serve::command(&arguments),
        Command::Check(arguments) => check::command(&arguments, out),
        Command::Health(arguments) => health::command(&arguments, out),
        Command::Token(arguments) => token::command(&arguments, out),
        Command::Certs(arguments) => certs::command(&arguments, out),
        Command::Attack(arguments) => attack::command(&arguments, out),
        Command::Sign(arguments) => sign::command(&arguments, out),
        Command::Verify(arguments) => return verify::command(&arguments, out),
        Command::Provenance(arguments) => provenance::command(&arguments, out),
        Command::Sources(SourcesCommand::Check(arguments)) => sources::check(&arguments, out),
        Command::Audit(Audit::Verify(arguments)) => return audit::verify(&arguments, out),
        Command::Audit(Audit::Show(arguments)) => return audit::show(&arguments.dir, &arguments.filters, out),
    };
    match result {
        Ok(()) => Exit::Ok,
        Err(error) => {
            let exit = error.exit_code();
            if writeln!(err, "{error}").is_ok() { exit } else { Exit::Failed }
        }
    }
}

/// `--config`, which most commands take.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgument {
    /// The configuration file; paths in it are relative to its folder.
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE)]
    config: PathBuf,
}

impl ConfigArgument {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.config
    }

    /// Loads the file.
    ///
    /// # Errors
    /// [`CliError::Config`] with every mistake.
    pub fn load(&self) -> Result<Config, CliError> {
        Config::load(&self.config).map_err(CliError::Config)
    }
}

fn lines(problems: &[Problem]) -> String {
    let count = problems.len();
    let mut text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    text.push_str(&format!("{count} {} in the configuration", if count == 1 { "mistake" } else { "mistakes" }));
    text
}

fn printed(result: std::io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| CliError::Failed(format!("cannot write the result: {error}")))
}
