//! `portcullis certs`: what a gateway needs to be tried out on one machine.
//!
//! Takes: a folder. Gives: an authority, certificates for server and payers, an issuer's key and key set.
//! Guarantees: private keys are readable by their owner only; all of it ends after a year.
//! Refuses: to overwrite a file unless told to.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, SanType, date_time_ymd,
};
use serde_json::json;

use super::{CliError, printed};
use crate::clock::{Clock, Now};

/// The authority's certificate.
pub const CA: &str = "ca.pem";
/// The server's certificate.
pub const SERVER: &str = "server.pem";
/// The server's key.
pub const SERVER_KEY: &str = "server.key";
/// The issuer's private key.
pub const ISSUER_KEY: &str = "issuer.key";
/// The issuer's public key set.
pub const ISSUER_KEY_SET: &str = "issuer.jwks.json";
/// `kid` of the issuer's key.
const KEY_ID: &str = "development-1";
/// The names under which one's own machine is reached.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Arguments of `certs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis certs --out certs
  portcullis certs --out certs --client payer-a --client payer-b --host gateway.test --force

Makes ca.pem and ca.key, server.pem and server.key, one pair for each client, issuer.key and issuer.jwks.json.
For development: whoever has ca.key or issuer.key can be anyone.")]
pub struct Arguments {
    /// The folder, made if it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A name or address of the server beside localhost. May be repeated.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// A client to make a certificate for; its URI is `https://ID.example.org`. May be repeated.
    #[arg(long = "client", value_name = "ID", default_value = "payer-a")]
    clients: Vec<String>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let Arguments { out: folder, hosts, clients, force } = arguments;
    let made = make(folder, hosts, clients, *force, Clock::System.now())?;
    for path in made {
        printed(writeln!(out, "{}", path.display()))?;
    }
    Ok(())
}

/// Makes everything; gives the files that were written.
///
/// # Errors
/// [`CliError::Failed`] where a file is in the way or cannot be written, [`CliError::Usage`] for names that no
/// certificate or file can bear.
pub fn make(
    folder: &Path,
    hosts: &[String],
    clients: &[String],
    force: bool,
    now: Now,
) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Files { folder, files: Vec::new() };
    let ca_key = key_pair()?;
    let ca_params = authority(now)?;
    files.add(CA, ca_params.self_signed(&ca_key).map_err(unmade)?.pem(), false);
    files.add("ca.key", ca_key.serialize_pem(), true);
    let ca = Issuer::new(ca_params, ca_key);

    let names = LOCAL_NAMES.into_iter().map(str::to_owned).chain(hosts.iter().cloned());
    let server = CertificateParams::new(names.collect::<Vec<_>>())
        .map_err(|_| CliError::Usage("--host is neither a name nor an address".to_owned()))?;
    files.pair(("server", SERVER, SERVER_KEY), server, ExtendedKeyUsagePurpose::ServerAuth, &ca, now)?;
    for id in clients {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let reserved = ["ca", "server", "issuer"].contains(&id.as_str());
        if id.is_empty() || reserved || !id.bytes().all(allowed) {
            return Err(CliError::Usage(
                "--client must be small letters, digits and hyphens, and a name of its own".to_owned(),
            ));
        }
        let mut params = CertificateParams::new(vec![format!("{id}.example.org")]).map_err(unmade)?;
        params.subject_alt_names.push(SanType::URI(format!("https://{id}.example.org").try_into().map_err(unmade)?));
        let paths = (id.as_str(), format!("{id}.pem"), format!("{id}.key"));
        files.pair((paths.0, &paths.1, &paths.2), params, ExtendedKeyUsagePurpose::ClientAuth, &ca, now)?;
    }

    let issuer = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(unmade)?;
    files.add(ISSUER_KEY, issuer.serialize_pem(), true);
    files.add(ISSUER_KEY_SET, key_set(&issuer), false);
    files.write(force)
}

fn authority(now: Now) -> Result<CertificateParams, CliError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(unmade)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Portcullis development authority");
    valid_for_a_year(&mut params, now);
    Ok(params)
}

/// From yesterday, for clocks that differ, to the first of this month next year.
fn valid_for_a_year(params: &mut CertificateParams, now: Now) {
    let part = |number: i8| u8::try_from(number).unwrap_or(1);
    let today = now.date();
    let from = today.yesterday().unwrap_or(today);
    params.not_before = date_time_ymd(from.year().into(), part(from.month()), part(from.day()));
    params.not_after = date_time_ymd(i32::from(today.year()) + 1, part(today.month()), 1);
}

fn key_pair() -> Result<KeyPair, CliError> {
    KeyPair::generate().map_err(unmade)
}

/// The public half as a JWKS (RFC 7518 section 6.2): the point without its leading 4, halved.
fn key_set(pair: &KeyPair) -> String {
    let coordinates = pair.public_key_raw().get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).unwrap_or_default();
    let key = json!({
        "kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": KEY_ID,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    format!("{:#}\n", json!({ "keys": [key] }))
}

fn unmade(error: rcgen::Error) -> CliError {
    CliError::Failed(format!("cannot make a certificate: {error}"))
}

/// What is to be written, once all of it is made.
struct Files<'f> {
    folder: &'f Path,
    files: Vec<(PathBuf, String, bool)>,
}

impl Files<'_> {
    fn add(&mut self, name: &str, content: String, private: bool) {
        self.files.push((self.folder.join(name), content, private));
    }

    /// Adds a certificate of the authority and its key.
    fn pair(
        &mut self,
        (common_name, certificate_file, key_file): (&str, &str, &str),
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        ca: &Issuer<'_, KeyPair>,
        now: Now,
    ) -> Result<(), CliError> {
        let key = key_pair()?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        valid_for_a_year(&mut params, now);
        self.add(certificate_file, params.signed_by(&key, ca).map_err(unmade)?.pem(), false);
        self.add(key_file, key.serialize_pem(), true);
        Ok(())
    }

    fn write(self, force: bool) -> Result<Vec<PathBuf>, CliError> {
        let failed = |path: &Path, error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
        fs::create_dir_all(self.folder).map_err(|error| failed(self.folder, error))?;
        if let Some((path, ..)) = self.files.iter().find(|(path, ..)| path.exists()).filter(|_| !force) {
            return Err(CliError::Failed(format!("{} is there already; --force replaces it", path.display())));
        }
        let mut written = Vec::new();
        for (path, content, private) in self.files {
            if path.exists() {
                fs::remove_file(&path).map_err(|error| failed(&path, error))?;
            }
            let mode = if private { 0o600 } else { 0o644 };
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(|error| failed(&path, error))?;
            written.push(path);
        }
        Ok(written)
    }
}
