//! `portcullis sources check`: the registry of sources, with every mistake at once.
//!
//! Takes: a registry file. Gives: a summary for people. Refuses: what the gateway would refuse to load.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{CliError, printed};
use crate::clock::Clock;
use crate::config::{Source, Sources, UpstreamKind, Validates};

/// Arguments of `sources check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A registry says who the upstream is, and whose records it may hold:

  [upstream]
  kind = \"exchange\"                        # or \"ehr\": then its records are its own
  identifiers = [\"http://hl7.org/fhir/sid/us-npi|1216407266\"]

  [[source]]
  identifiers = [\"http://hl7.org/fhir/sid/us-npi|1474179235\"]
  name = \"Anna Jaques Hospital\"
  validates_authorship = true              # false: known, and nothing of it goes to payers
  types = [\"Condition\", \"Observation\"]     # left out: all
  speakers = [\"http://hl7.org/fhir/sid/us-npi|1216407266\"]  # who may pass its records on
  meta_sources = [\"https://ajh.example/fhir\"]               # values of meta.source that mean it
  anchors = \"ajh-ca.pem\"                   # the authorities that its signatures come from
  signatures = \"demanded\"                  # or \"accepted\", the default
  exchange_asserts = false                 # may what an exchange made of its records go to payers?
  agreement = \"QHIN participation 2025-04\"
  valid_from = \"2025-04-01\"
  valid_to = \"2027-03-31\"                  # left out: without end

Examples:
  portcullis sources check sources.toml
  portcullis sources check sources.toml && kill -HUP \"$(pidof portcullis)\"

Exit codes: 0 the registry is good, 78 it is not.")]
pub struct CheckArguments {
    /// The registry
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn check(arguments: &CheckArguments, out: &mut dyn Write) -> Result<(), CliError> {
    let sources = Sources::load(&arguments.file).map_err(CliError::Config)?;
    printed(summary(&sources, arguments, out))
}

fn summary(sources: &Sources, arguments: &CheckArguments, out: &mut dyn Write) -> io::Result<()> {
    let kind = match sources.upstream.kind {
        UpstreamKind::Ehr => "an ehr",
        UpstreamKind::Exchange => "an exchange",
    };
    let count = sources.sources.len();
    writeln!(out, "{}: registry is good", arguments.file.display())?;
    writeln!(out, "  upstream   {kind} that goes by {}", names(sources.upstream.identifiers.len()))?;
    writeln!(out, "  knows      {count} {}", if count == 1 { "source" } else { "sources" })?;
    let today = Clock::System.now().date();
    for source in &sources.sources {
        let state = match source {
            Source { valid_from, .. } if today < *valid_from => "not yet in force",
            Source { valid_to: Some(last), .. } if *last < today => "no longer in force",
            _ => "in force",
        };
        let validates = match &source.validates {
            Validates::All => "all types".to_owned(),
            Validates::Nothing => "nothing".to_owned(),
            Validates::Types(types) => types.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let signatures = if source.demands_signature { "; signatures demanded" } else { "" };
        writeln!(out, "  {}: validates {validates}; agreement {state}{signatures}", source.name)?;
    }
    Ok(())
}

fn names(count: usize) -> String {
    match count {
        0 => "no identifier".to_owned(),
        1 => "1 identifier".to_owned(),
        count => format!("{count} identifiers"),
    }
}
