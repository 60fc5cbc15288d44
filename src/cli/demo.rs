//! `portcullis demo`: an EHR, a gateway in front of it, and one search with and without the gateway.
//!
//! Takes: nothing that must exist. Gives: the comparison, as text or JSON, and commands to go on with.
//! Guarantees: listens on this machine only; a folder of its own for keys and records, removed at the end.
//! Refuses: a port that is taken.

mod invitation;
mod stage;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, printed};
use crate::demo::comparison::Comparison;
use crate::demo::show::{Style, show};
use stage::Stage;

/// The port that is tried first where the gateway stays up.
const PORT: u16 = 8_443;
/// Time for what is in flight when the demonstration ends.
const GRACE: Duration = Duration::from_secs(2);
/// The token in the folder is replaced this often, long before it ends.
const RENEWAL: Duration = Duration::from_secs(20 * 60);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis demo                       compare, then stay up for questions until Ctrl-C
  portcullis demo --once                compare and end
  portcullis demo --once --json | jq .  the comparison as one JSON object

All patients are invented. Everything listens on 127.0.0.1 only.")]
pub struct Arguments {
    /// End after the comparison.
    #[arg(long)]
    once: bool,
    /// Print the comparison as one JSON object, and nothing else.
    #[arg(long, requires = "once")]
    json: bool,
    /// The gateway's port [default: 8443, or another that is free].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Failed(format!("cannot begin: {error}")))?;
    runtime.block_on(perform(arguments, style(), out))
}

/// Colour for people who look at a terminal and have not said that they want none (<https://no-color.org>).
fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !unwanted { Style::Colour } else { Style::Plain }
}

async fn perform(arguments: &Arguments, style: Style, out: &mut dyn Write) -> Result<(), CliError> {
    let stage = match (arguments.port, arguments.once) {
        (Some(port), _) => Stage::set(port)?,
        (None, true) => Stage::set(0)?,
        (None, false) => Stage::set(PORT).or_else(|_| Stage::set(0))?,
    };
    if !arguments.json {
        printed(introduce(style, out))?;
    }
    let comparison = stage.compare().await?;
    if arguments.json {
        printed(serde_json::to_writer(&mut *out, &comparison).map_err(io::Error::from).and_then(|()| writeln!(out)))?;
    } else {
        printed(show(&comparison, style, out))?;
    }
    if !arguments.once {
        stay(&stage, &comparison, style, out).await?;
    }
    stage.strike().await;
    Ok(())
}

fn introduce(style: Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", style.heading("Portcullis: one search, three ways"))?;
    writeln!(out, "  The EHR of Alder Creek Clinic runs in this process, with three invented")?;
    writeln!(out, "  patients. Lanternfield Health Plan has covered Maren Holt since 2024-01-01")?;
    writeln!(out, "  and asks, for the purpose of payment, for her laboratory results:\n")?;
    writeln!(out, "    GET /fhir/{}", stage::SEARCH)
}

/// Says what can be done, and stays up while it is done.
async fn stay(stage: &Stage, comparison: &Comparison, style: Style, out: &mut dyn Write) -> Result<(), CliError> {
    printed(invitation::write(stage, comparison, style, out).and_then(|()| out.flush()))?;
    let listen = |kind| signal(kind).map_err(|error| CliError::Failed(format!("cannot wait for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut renewal = tokio::time::interval(RENEWAL);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = renewal.tick() => stage.renew_token()?,
        }
    }
    printed(writeln!(out, "\nStopped. {} is removed.", stage.folder().display()))
}
