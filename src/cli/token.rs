//! `portcullis token`: an access token for development, signed with the key that `portcullis certs` made.
//!
//! Takes: a configuration and a registered client. Gives: a token that this gateway accepts from that client.
//! Guarantees: the key belongs to the issuer's own key set. Refuses: issuers whose keys are fetched by URL, which
//! only they can sign for; clients without tokens; keys that the set does not hold.

use std::io::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::{CliError, ConfigArgument, certs, printed};
use crate::clock::{Clock, Now};
use crate::config::{Config, Issuer, KeySource, Proof, Registration};
use crate::id::Token128;
use crate::oauth::algorithm::KeyKind;
use crate::oauth::{Algorithm, Purpose, purpose};

/// Life of a token: what SMART recommends at most.
const MINUTES: u16 = 5;

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis token --client payer-a
  portcullis token --client payer-a --purpose CLMATTCH --scope 'system/Observation.rs'
  portcullis token --client payer-a --certificate certs/payer-a.pem   bound to that certificate

For development: in production the issuer's key is with the issuer.")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    wish: Wish,
}

/// What the token should say.
#[derive(Clone, Debug, clap::Args)]
pub struct Wish {
    /// The client it is for, by its `id` in the configuration.
    #[arg(long, value_name = "ID")]
    pub client: String,
    /// The issuer's private key in PEM (PKCS#8, elliptic curve) [default: issuer.key beside the issuer's jwks_file].
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The issuer that signs [default: the client's].
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// How long the token lives.
    #[arg(long, default_value_t = MINUTES, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub minutes: u16,
    /// Scopes, separated by blanks [default: those of the registration].
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// The purpose to state, a code of v3-ActReason such as HPAYMT [default: none].
    #[arg(long, value_name = "CODE")]
    pub purpose: Option<String>,
    /// A client certificate in PEM to bind the token to.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

impl Wish {
    /// The plainest token for this client.
    pub fn of(client: &str) -> Self {
        Self {
            client: client.to_owned(),
            key: None,
            issuer: None,
            minutes: MINUTES,
            scope: None,
            purpose: None,
            certificate: None,
        }
    }
}

pub(super) fn command(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CliError> {
    let config = arguments.config.load()?;
    let token = mint(&config, &arguments.wish, Clock::System.now())?;
    printed(writeln!(out, "{token}"))
}

/// Makes the token.
///
/// # Errors
/// [`CliError::Usage`] for a wish that the configuration does not know, [`CliError::Failed`] for keys.
pub fn mint(config: &Config, wish: &Wish, now: Now) -> Result<String, CliError> {
    let client = config.clients.iter().find(|client| client.id == wish.client);
    let client = client.ok_or_else(|| CliError::Usage(format!("no [[client]] has the id {}", wish.client)))?;
    let issuer = issuer_of(config, client, wish)?;
    let (key, kid, algorithm) = signing_key(issuer, wish)?;
    let issued = now.unix_seconds();
    let token_id = Token128::random().ok_or_else(|| CliError::Failed("no randomness to be had".to_owned()))?;
    let mut claims = json!({
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "sub": client.id,
        "client_id": client.id,
        "organization_id": client.organization,
        "scope": wish.scope.clone().unwrap_or_else(|| client.scopes.to_string()),
        "iat": issued,
        "nbf": issued,
        "exp": issued + i64::from(wish.minutes) * 60,
        "jti": token_id.to_string(),
    });
    let mut add = |name: &str, value| claims.as_object_mut().map(|claims| claims.insert(name.to_owned(), value));
    if let Some(code) = &wish.purpose {
        let known = Purpose::parse(code).ok_or_else(|| CliError::Usage(format!("{code} is no purpose of use")))?;
        add("purpose_of_use", json!([format!("{}#{known}", purpose::SYSTEM_OID)]));
    }
    if let Some(path) = &wish.certificate {
        let leaf = CertificateDer::from_pem_file(path)
            .map_err(|error| CliError::Failed(format!("cannot read {}: {error}", path.display())))?;
        add("cnf", json!({"x5t#S256": URL_SAFE_NO_PAD.encode(digest(&SHA256, &leaf))}));
    }
    let mut header = Header::new(algorithm.jws());
    header.typ = issuer.token_types.first().cloned().filter(|typ| !typ.is_empty());
    header.kid = Some(kid);
    jsonwebtoken::encode(&header, &claims, &key).map_err(|error| CliError::Failed(format!("cannot sign: {error}")))
}

fn issuer_of<'c>(config: &'c Config, client: &'c Registration, wish: &'c Wish) -> Result<&'c Issuer, CliError> {
    let own = match &client.proof {
        Proof::Token { issuer, .. } => issuer,
        Proof::Certificate(_) => {
            return Err(CliError::Usage(format!("{} is known by its certificate and uses no tokens", client.id)));
        }
    };
    let name = wish.issuer.as_ref().unwrap_or(own);
    let issuer = config.issuers.iter().find(|issuer| issuer.issuer == *name);
    issuer.ok_or_else(|| CliError::Usage(format!("no [[issuer]] is {name}")))
}

/// The private key, and the name and algorithm under which the issuer's key set holds its public half.
fn signing_key(issuer: &Issuer, wish: &Wish) -> Result<(EncodingKey, String, Algorithm), CliError> {
    let KeySource::File { path, keys } = &issuer.keys else {
        let text = format!("{} publishes its keys by url: only it can sign its tokens", issuer.issuer);
        return Err(CliError::Usage(text));
    };
    let beside = path.parent().unwrap_or(Path::new("")).join(certs::ISSUER_KEY);
    let key_path = wish.key.clone().unwrap_or(beside);
    let failed = |error: String| CliError::Failed(format!("{}: {error}", key_path.display()));
    let pem = std::fs::read_to_string(&key_path).map_err(|error| failed(error.to_string()))?;
    let pair = KeyPair::from_pem(&pem).map_err(|_| failed("holds no private key in pkcs#8".to_owned()))?;
    let public = keys.keys().iter().find(|key| key.public() == pair.public_key_raw());
    let public = public.ok_or_else(|| failed(format!("{} holds no public key of it", path.display())))?;
    let algorithm = issuer.algorithms.iter().copied().find(|algorithm| public.fits(*algorithm));
    let algorithm = algorithm.ok_or_else(|| failed("fits none of the issuer's algorithms".to_owned()))?;
    let key = match algorithm.key_kind() {
        KeyKind::P256 | KeyKind::P384 => EncodingKey::from_ec_der(pair.serialized_der()),
        KeyKind::Ed25519 => EncodingKey::from_ed_der(pair.serialized_der()),
        KeyKind::Rsa => return Err(failed("rsa keys are not supported here".to_owned())),
    };
    Ok((key, public.kid().to_owned(), algorithm))
}
