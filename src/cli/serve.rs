//! `portcullis serve`: the gateway itself.
//!
//! Takes: a configuration file. Gives: nothing until it is told to stop. Refuses: a configuration with a mistake.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use super::{CliError, ConfigArgument};
use crate::clock::Clock;
use crate::config::{Config, LogLevel};
use crate::limits;
use crate::start::{self, Running};

/// Key sets and the audit log are looked after this often.
const WATCH: Duration = Duration::from_secs(5);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis serve
  portcullis serve --config /etc/portcullis/portcullis.toml

SIGTERM stops accepting, finishes what is in flight, and ends with code 0.
SIGHUP loads the policies anew; if they are wrong, the earlier ones stay in force.")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

pub(super) fn command(arguments: &Arguments) -> Result<(), CliError> {
    let config = arguments.config.load()?;
    log_to_standard_error(config.log.level);
    log_panics();
    run(config)
}

/// Serves until told to stop, or until the audit log fails.
pub fn run(config: Config) -> Result<(), CliError> {
    let running = start::start(Arc::new(config), Clock::System).map_err(CliError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Failed(format!("cannot wait for signals: {error}")))?;
    runtime.block_on(until_stopped(running))
}

async fn until_stopped(running: Running) -> Result<(), CliError> {
    let listen = |kind| signal(kind).map_err(|error| CliError::Failed(format!("cannot wait for signals: {error}")));
    let (mut terminate, mut interrupt, mut hang_up) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
    let mut watch = tokio::time::interval(WATCH);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Whether it succeeds is logged and recorded there.
            _ = hang_up.recv() => drop(running.reload_policies().await),
            _ = watch.tick() => {
                if !running.is_recording() {
                    running.stop(Duration::ZERO).await;
                    return Err(CliError::Failed("the audit log cannot be written; stopped".to_owned()));
                }
                running.renew_keys().await;
            }
        }
    }
    running.stop(limits::DRAIN).await;
    Ok(())
}

/// A panic is logged by its place alone: its text may hold what was being read.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// One JSON object a line. A second call changes nothing.
fn log_to_standard_error(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // A line that cannot be written is lost; to complain about it on the same stream would end the exchange.
    let subscriber =
        tracing_subscriber::fmt().json().with_writer(std::io::stderr).log_internal_errors(false).with_max_level(filter);
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
}
