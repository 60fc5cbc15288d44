//! `portcullis check`: everything that `serve` would load, and what it amounts to.
//!
//! Takes: a configuration file. Gives: a summary for people. Refuses: what `serve` would refuse.

use std::io::{self, Write};
use std::sync::Arc;

use super::{CliError, ConfigArgument, printed};
use crate::clock::Clock;
use crate::config::{ClientCertificates, Config, Organization, Registration, UpstreamCredential};
use crate::start;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis check
  portcullis check --config /etc/portcullis/portcullis.toml && systemctl restart portcullis")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let config = arguments.config.load()?;
    let config = Arc::new(config);
    let policies = start::check(&config, Clock::System.now()).map_err(CliError::Start)?;
    printed(summary(&config, arguments, &policies, out))
}

fn summary(config: &Config, arguments: &Arguments, policies: &str, out: &mut dyn Write) -> io::Result<()> {
    let listen = &config.listen;
    let security = match listen.tls.as_ref().map(|tls| tls.client_certificates) {
        None => "plaintext",
        Some(ClientCertificates::Off) => "tls",
        Some(ClientCertificates::Optional) => "tls, client certificates optional",
        Some(ClientCertificates::Required) => "tls, client certificates required",
    };
    let credential = match config.upstream.credential {
        UpstreamCredential::Bearer(_) => "with a bearer token",
        UpstreamCredential::ClientCredentials(_) => "with client credentials",
        UpstreamCredential::None => "without a token",
    };
    writeln!(out, "{}: configuration is good", arguments.config.path().display())?;
    writeln!(out, "  listens on {} as {} ({security})", listen.address, listen.base_url)?;
    writeln!(out, "  asks       {} {credential}", config.upstream.base_url)?;
    writeln!(out, "  obeys      {}: {policies}", config.policy.path.display())?;
    writeln!(out, "  records in {}", config.audit.directory.display())?;
    if let Some(signing) = &config.signing {
        let Organization { system, value, name } = &config.organization;
        let until = signing.signer.valid_until().date();
        writeln!(out, "  signs      as {system}|{value} ({name}), certificate valid until {until}")?;
    }
    for issuer in &config.issuers {
        let algorithms: Vec<&str> = issuer.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        writeln!(out, "  trusts     {} ({})", issuer.issuer, algorithms.join(", "))?;
    }
    config.clients.iter().try_for_each(|client| describe(client, out))
}

fn describe(client: &Registration, out: &mut dyn Write) -> io::Result<()> {
    let purposes: Vec<&str> = client.purposes.iter().map(|purpose| purpose.code()).collect();
    let signed = client.signed_answers.map(|edition| format!(", answers signed by CDex {}", edition.as_str()));
    let signed = signed.unwrap_or_default();
    writeln!(out, "  knows      {} for {}: {}{signed}", client.id, purposes.join(", "), client.scopes)
}
