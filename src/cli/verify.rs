//! `portcullis verify`: whether a resource was signed by whom it names.
//!
//! Takes: a file, and PEM of the authorities that are believed. Gives: a table of what was found, or one JSON object.
//! Guarantees: whatever the files hold, the answer is a verdict; the exit code is 0 for `verified` alone. Refuses: to call
//! anything verified that has a warning.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Exit;
use crate::clock::Now;
use crate::limits;
use crate::oauth::algorithm::Algorithm;
use crate::signature::{
    Dialect, Finding, Identities, NameKind, Outcome, Report, Rules, Trust, Verdict, Weight, algorithm, verify,
};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis verify searchset.json --anchors ca.pem --at 2026-11-27T15:00:00Z
  portcullis verify document.json --anchors ca.pem --crl ca.crl.pem --at \"$(date -u +%FT%TZ)\" --json
  portcullis verify form.json --anchors ca.pem --dialect 2.1.0 --map http://payer.example/ids=uri

Reads Bundle.signature, signature extensions of QuestionnaireResponses and their items, and both inside other resources.

What a verdict means, and the exit code:
  verified                0  the content is what was signed, by whom it names, with a certificate that leads to an authority
  failed                  1  a check disagrees: changed content, another signer, an authority that is not believed
  cannot-verify           2  a check could not be made: an unknown canonical form, an unusable file, a limit
  verified-with-warnings  3  no check disagrees, but read the warnings: precision of numbers, a time that is only claimed
  absent                  4  there is no signature, which is no failure and no proof

Certificates are judged as of --at: when the resource was received. Without it the time is the signer's own claim (sigT),
which whoever has an old key can choose, and the verdict is verified-with-warnings at best.

Without --crl nothing is known of revocation, which the findings say. With it the signer's certificate must be covered by a
list that is in force.

Signature.who.identifier must be a name in the certificate: an NPI or tax id as otherName of its OID, urn:ietf:rfc:3986 as
URI; --map SYSTEM=uri or SYSTEM=OID agrees on another system.")]
pub struct Arguments {
    /// The resource, as JSON, byte for byte as it was received.
    file: PathBuf,
    /// The authorities that are believed, PEM; a signer's own certificate is believed for itself.
    #[arg(long, value_name = "FILE")]
    anchors: PathBuf,
    /// What the authorities revoked, PEM.
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// When certificates are judged, RFC 3339.
    #[arg(long, value_name = "INSTANT")]
    at: Option<Timestamp>,
    /// The edition of CDex: `ci`, or the published `2.1.0`, which demands less.
    #[arg(long, value_name = "EDITION", default_value = "ci")]
    dialect: Dialect,
    /// An algorithm that is accepted; may be repeated [default: RS256, RS384, PS256, PS384, ES256, ES384].
    #[arg(long = "algorithm", value_name = "ALG", value_parser = allowed)]
    algorithms: Vec<Algorithm>,
    /// Which names stand for the identifiers of a system: `SYSTEM=uri` or `SYSTEM=OID`; may be repeated.
    #[arg(long = "map", value_name = "SYSTEM=KIND", value_parser = mapped)]
    maps: Vec<(String, NameKind)>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// An algorithm that may sign.
pub(super) fn allowed(name: &str) -> Result<Algorithm, String> {
    Algorithm::parse(name)
        .filter(|algorithm| algorithm::ALLOWED.contains(algorithm))
        .ok_or_else(|| "one of RS256, RS384, PS256, PS384, ES256, ES384".to_owned())
}

/// `SYSTEM=uri` or `SYSTEM=OID`.
pub(super) fn mapped(text: &str) -> Result<(String, NameKind), String> {
    let usage = || "SYSTEM=uri, or SYSTEM= and an OID such as 2.16.840.1.113883.4.6".to_owned();
    let (system, kind) = text.rsplit_once('=').filter(|(system, _)| !system.is_empty()).ok_or_else(usage)?;
    let kind = NameKind::parse(kind).ok_or_else(usage)?;
    Ok((system.to_owned(), kind))
}

/// The default identities with what `--map` says.
pub(super) fn identities(maps: &[(String, NameKind)]) -> Identities {
    maps.iter().fold(Identities::default(), |known, (system, kind)| known.with(system.clone(), kind.clone()))
}

/// A file of at most `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::Error::other("larger than accepted")) } else { Ok(bytes) }
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Exit {
    let report = report(arguments);
    let written = if arguments.json { writeln!(out, "{}", as_json(&report, arguments)) } else { table(&report, out) };
    match (written, report.verdict) {
        (Err(_), _) | (_, Verdict::CannotVerify) => Exit::Unusable,
        (_, Verdict::Verified) => Exit::Ok,
        (_, Verdict::VerifiedWithWarnings) => Exit::Warned,
        (_, Verdict::Absent) => Exit::Absent,
        (_, Verdict::Failed) => Exit::Failed,
    }
}

fn report(arguments: &Arguments) -> Report {
    let Ok(bytes) = read(&arguments.file, limits::SIGNED_BYTES as u64) else {
        return Report::undecided("file-unreadable", "the file cannot be read, or is larger than accepted");
    };
    let anchors = read(&arguments.anchors, limits::CONFIG_FILE_BYTES).ok().and_then(|pem| Trust::new(&pem).ok());
    let Some(mut trust) = anchors else {
        return Report::undecided("anchors-unusable", "the authorities are no PEM certificates that can be used");
    };
    if let Some(path) = &arguments.crl {
        let lists = read(path, limits::SIGNATURE_REVOCATION_BYTES).ok();
        let Some(with) = lists.and_then(|pem| trust.with_revocation(&pem).ok()) else {
            return Report::undecided("crl-unusable", "the revocation lists are no PEM CRLs that can be used");
        };
        trust = with;
    }
    let mut rules = Rules::new(trust);
    rules.dialect = arguments.dialect;
    rules.identities = identities(&arguments.maps);
    if !arguments.algorithms.is_empty() {
        rules.algorithms.clone_from(&arguments.algorithms);
    }
    verify(&bytes, &rules, arguments.at.map(Now::at))
}

/// `verdict`, all `findings` with their place, and the same by signature.
fn as_json(report: &Report, arguments: &Arguments) -> Value {
    let placed = |finding: &Finding, path: Option<&str>| {
        let mut value = json!(finding);
        if let (Some(path), Some(members)) = (path, value.as_object_mut()) {
            members.insert("path".to_owned(), json!(path));
        }
        value
    };
    let whole = report.findings.iter().map(|finding| placed(finding, None));
    let single = report
        .signatures
        .iter()
        .flat_map(|signature| signature.findings.iter().map(move |finding| placed(finding, Some(&signature.path))));
    json!({
        "verdict": report.verdict,
        "dialect": arguments.dialect.as_str(),
        "at": arguments.at.map(|at| Now::at(at).to_instant()),
        "findings": whole.chain(single).collect::<Vec<_>>(),
        "signatures": report.signatures,
    })
}

fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", report.verdict.as_str())?;
    lines(&report.findings, out)?;
    for signature in &report.signatures {
        writeln!(out, "\n{}: {}", printable(&signature.path), signature.verdict.as_str())?;
        if let Some(signer) = &signature.signer {
            let role = json!(signer.role);
            let who = printable(signer.who.as_deref().unwrap_or("nobody named"));
            let certificate = printable(signer.certificate.as_deref().unwrap_or("no name"));
            let role = role.as_str().unwrap_or_default();
            writeln!(out, "  signer: {who}; certificate of {certificate}; role {role}, by {}", signer.role_by)?;
        }
        lines(&signature.findings, out)?;
    }
    Ok(())
}

fn lines(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        let mark = match finding.weight {
            Weight::Note => "",
            Weight::Warning => "warning",
            Weight::Undecided => "undecided",
            Weight::Fatal => "FAILS",
        };
        let outcome = match finding.outcome {
            Outcome::Match => "match",
            Outcome::Mismatch => "mismatch",
            Outcome::CannotTell => "cannot tell",
        };
        writeln!(out, "  {mark:9}  {outcome:11}  {:26}  {}", finding.code, finding.text)?;
    }
    Ok(())
}

/// Text of a stranger on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|next| if next.is_control() { '\u{fffd}' } else { next }).collect()
}
