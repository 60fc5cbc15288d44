//! `portcullis health`: asks a running gateway how it is, for containers and scripts without another HTTP client.
//!
//! Takes: the address of health and metrics. Gives: what the gateway says, and an exit code. Refuses: to call a
//! gateway healthy that does not answer.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{CliError, printed};
use crate::outbound::{self, Origin};

/// Below the three seconds after which container engines give up by custom.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the gateway says is one short line.
const ANSWER_BYTES: usize = 4 * 1024;

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis health
  portcullis health --ready --address 127.0.0.1:9090

Exit codes: 0 yes, 1 no or no answer.")]
pub struct Arguments {
    /// Where health and metrics are: `address` of `[admin]`.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9090")]
    address: SocketAddr,
    /// Ask whether it can answer requests now, not only whether it runs.
    #[arg(long)]
    ready: bool,
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("{}: {error}", arguments.address));
    let path = if arguments.ready { "/health/ready" } else { "/health/live" };
    let origin = Origin::parse(&format!("http://{}", arguments.address)).map_err(|error| failed(&error))?;
    let request = Request::get(path).body(Full::<Bytes>::default()).map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let answer = runtime.block_on(outbound::once(&origin, None, request, ANSWER_BYTES, PATIENCE));
    let answer = answer.map_err(|error| failed(&error))?;
    let text = String::from_utf8_lossy(answer.body());
    if answer.status().is_success() {
        printed(writeln!(out, "{}", text.trim_end()))
    } else {
        Err(failed(&text.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::admin;
    use crate::metrics::Metrics;

    fn ask(address: SocketAddr, ready: bool) -> Result<String, String> {
        let mut out = Vec::new();
        let answer = command(&Arguments { address, ready }, &mut out);
        answer.map(|()| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_gateway_that_lacks_something_is_live_and_not_ready() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let lacking = || vec!["a writable audit log"];
        let running = admin::serve("127.0.0.1:0".parse().unwrap(), metrics, Arc::new(lacking)).unwrap();
        let address = running.address();
        assert_eq!(ask(address, false).unwrap(), "{\"live\":true}\n");
        let refused = ask(address, true).unwrap_err();
        assert!(refused.starts_with(&address.to_string()) && refused.contains("a writable audit log"), "{refused}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(running.stop(Duration::ZERO));
        assert!(ask(address, false).unwrap_err().contains("connect"));
    }
}
