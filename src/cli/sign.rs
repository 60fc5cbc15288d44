//! `portcullis sign`: signs a Bundle as an organisation.
//!
//! Takes: a file, PEM of a key and its certificates, who signs. Gives: the Bundle with its signature. Guarantees: all else
//! keeps its text to the byte. Refuses: what [`crate::signature::sign`] refuses; to overwrite what it reads before it is done.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;

use super::verify::{allowed, identities, mapped, read};
use super::{CliError, printed};
use crate::clock::{Clock, Now};
use crate::limits;
use crate::oauth::algorithm::Algorithm;
use crate::signature::{Dialect, NameKind, Signer, sign};

/// Arguments of `sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis sign searchset.json --key org.key --certificate org.pem \\
      --who 'http://hl7.org/fhir/sid/us-npi|1234567893' -o signed.json
  portcullis sign document.json --key org.key --certificate org.pem \\
      --who 'urn:ietf:rfc:3986|https://clinic.example.org/fhir/Organization/1'

Signs a Bundle of type searchset or document: everything in it but its id and meta, canonicalised by RFC 8785. Sign last:
whatever is changed afterwards breaks the signature. What it means is that the organisation supplied this, not that a
clinician stands for it.

Numbers are signed as IEEE doubles. 7.50 is signed as 7.5 and stays 7.50 in the file; a number whose digits do not fit into
a double is refused. The certificate must be valid, be for digital signatures, and name --who: an NPI or tax id as otherName
of its OID, urn:ietf:rfc:3986 as URI, others by --map.")]
pub struct Arguments {
    /// The Bundle, as JSON.
    file: PathBuf,
    /// The private key, PEM: RSA of at least 2048 bits, P-256 or P-384.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Its certificate and those of the authorities between, PEM, its own first.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The identifier of the organisation, as in the certificate.
    #[arg(long, value_name = "SYSTEM|VALUE")]
    who: String,
    /// Its name for people [default: that in the certificate].
    #[arg(long, value_name = "TEXT")]
    display: Option<String>,
    /// The edition of CDex: `ci`, or the published `2.1.0`.
    #[arg(long, value_name = "EDITION", default_value = "ci")]
    dialect: Dialect,
    /// The algorithm [default: RS256, ES256 or ES384, by the key].
    #[arg(long, value_name = "ALG", value_parser = allowed)]
    algorithm: Option<Algorithm>,
    /// Which names stand for the identifiers of a system: `SYSTEM=uri` or `SYSTEM=OID`; may be repeated.
    #[arg(long = "map", value_name = "SYSTEM=KIND", value_parser = mapped)]
    maps: Vec<(String, NameKind)>,
    /// The time of signing, RFC 3339 [default: now].
    #[arg(long, value_name = "INSTANT")]
    when: Option<Timestamp>,
    /// Where the signed Bundle goes [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let (system, value) = arguments
        .who
        .split_once('|')
        .filter(|(system, value)| !system.is_empty() && !value.is_empty())
        .ok_or_else(|| CliError::Usage("--who is SYSTEM|VALUE".to_owned()))?;
    let file = |path: &PathBuf, most: u64| {
        read(path, most).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
    };
    let bundle = file(&arguments.file, limits::SIGNED_BYTES as u64)?;
    let key = file(&arguments.key, limits::CONFIG_FILE_BYTES)?;
    let chain = file(&arguments.certificate, limits::CONFIG_FILE_BYTES)?;
    let mut signer = Signer::new(&key, &chain, (system, value), &identities(&arguments.maps))
        .map_err(|error| CliError::Failed(error.to_string()))?;
    if let Some(algorithm) = arguments.algorithm {
        signer = signer
            .with_algorithm(algorithm)
            .ok_or_else(|| CliError::Usage(format!("--algorithm {algorithm} is not for this kind of key")))?;
    }
    if let Some(display) = &arguments.display {
        signer = signer.with_display(display.clone());
    }
    let when = arguments.when.map_or_else(|| Clock::System.now(), Now::at);
    let signed = sign(&bundle, &signer, when, arguments.dialect)
        .map_err(|error| CliError::Failed(format!("{}: {error}", arguments.file.display())))?;
    match &arguments.output {
        Some(path) => fs::write(path, signed).map_err(|error| CliError::Failed(format!("{}: {error}", path.display()))),
        None => printed(out.write_all(&signed)),
    }
}
