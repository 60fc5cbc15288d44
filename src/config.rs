//! The configuration: `portcullis.toml`, checked as a whole before anything starts.
//!
//! Takes: a file. Gives: a [`Config`] in which every address is parsed, every file read, every name resolved.
//! Guarantees: a `Config` exists only where nothing was wrong; its `Debug` shows no secret. Refuses: unknown
//! keys, wrong types, values out of range, contradictions between sections; all of them are reported at once,
//! each with its line. Paths in the file are relative to the folder of the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Span;

use crate::fhir::name::ResourceType;
use crate::oauth::{Algorithm, KeySet, Purpose, Scopes};
use crate::signature::{Dialect, Signer};

mod client;
mod file;
mod issuer;
mod load;
mod raw;
mod signing;
mod sources;
#[cfg(test)]
mod tests;
mod upstream;
mod url;

pub use file::{Certificates, File, PrivateKey, Secret, SecretFile};
pub use raw::Problem;
pub use sources::{Source, Sources, UpstreamKind, UpstreamParty, Validates};
pub use url::HttpUrl;

/// Everything that a gateway is told.
#[derive(Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[admin]`
    pub admin: Admin,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[cache]`
    pub cache: Cache,
    /// `[policy]`
    pub policy: Policy,
    /// `[audit]`
    pub audit: Audit,
    /// `[organization]`
    pub organization: Organization,
    /// `[signing]`: how answers are signed, where that was agreed. Default: none are.
    pub signing: Option<Signing>,
    /// `[[issuer]]`: whose tokens are accepted. May be empty where clients come with certificates.
    pub issuers: Vec<Issuer>,
    /// `[[client]]`: who may ask at all.
    pub clients: Vec<Registration>,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// Reads and checks the file at `path` and the files it names.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        load::from_file(path)
    }

    /// Checks `text` as if it stood in a file at `path`, which need not exist.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        load::from_text(text, path)
    }
}

/// `[listen]`: where payers connect.
#[derive(Debug)]
pub struct Listen {
    /// `address`: IP address and port to bind. Required.
    pub address: SocketAddr,
    /// `base_url`: the FHIR base as payers write it, such as `https://gateway.example.org/fhir`; without a slash at
    /// the end; `https` unless its host is loopback. Required.
    pub base_url: HttpUrl,
    /// `allowed_hosts`: values of `Host` that are answered. Default: the authority of `base_url`.
    pub allowed_hosts: Vec<String>,
    /// `threads`: cores that serve. Default: all.
    pub threads: NonZeroUsize,
    /// `[listen.tls]`. May be left out on a loopback address, or with `allow_plaintext = true` behind a proxy on the
    /// same trusted host.
    pub tls: Option<ListenTls>,
}

/// `[listen.tls]`: the certificate shown to payers and what is asked of theirs.
#[derive(Debug)]
pub struct ListenTls {
    /// `certificate`: PEM file, leaf first. Required.
    pub certificate: Certificates,
    /// `key`: PEM file of the key of the leaf. Required.
    pub key: PrivateKey,
    /// `client_ca`: PEM file of the authorities that payers' certificates must come from.
    pub client_ca: Option<Certificates>,
    /// `client_certificates`: default `optional` with `client_ca`, `off` without.
    pub client_certificates: ClientCertificates,
}

/// Whether payers show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    Off,
    /// Asked for; checked if given.
    Optional,
    /// A connection without one is closed.
    Required,
}

/// `[admin]`: health and metrics, without patient data.
#[derive(Debug)]
pub struct Admin {
    /// `address`: default `127.0.0.1:9090`, reachable from the same machine only.
    pub address: SocketAddr,
}

/// `[upstream]`: the EHR's FHIR server.
#[derive(Debug)]
pub struct Upstream {
    /// `base_url`: its FHIR base, without a slash at the end. `http` only to loopback, or with
    /// `allow_plaintext = true`. Required.
    pub base_url: HttpUrl,
    /// `ca`: PEM file of the authorities that its certificate must come from. Default: those of the system.
    pub ca: Option<Certificates>,
    /// `client_certificate` and `client_key`: PEM files of the gateway's own certificate. Both or neither.
    pub client: Option<ClientIdentity>,
    /// `bearer_token_file` or `[upstream.client_credentials]`: how the gateway proves who it is.
    pub credential: UpstreamCredential,
    /// `provenance`: how it is asked for the Provenance of what is searched for. Default `include`.
    pub provenance: ProvenanceFrom,
}

/// How the EHR is asked for the Provenance of what it is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProvenanceFrom {
    /// `include`: in the same search, by `_revinclude=Provenance:target`.
    #[default]
    Include,
    /// `search`: by a search of its own, `Provenance?target=…`.
    Search,
}

/// The gateway's own certificate towards the EHR.
#[derive(Debug)]
pub struct ClientIdentity {
    /// Leaf first.
    pub certificate: Certificates,
    /// Key of the leaf.
    pub key: PrivateKey,
}

/// What the gateway sends as `Authorization` to the EHR.
#[derive(Debug)]
pub enum UpstreamCredential {
    /// A fixed bearer token from `bearer_token_file`, white space at its ends removed.
    Bearer(SecretFile),
    /// Tokens fetched as `[upstream.client_credentials]` says.
    ClientCredentials(ClientCredentials),
    /// Nothing: the EHR knows the gateway by certificate or network.
    None,
}

/// `[upstream.client_credentials]`: OAuth 2 client credentials with a secret (RFC 6749 section 4.4).
#[derive(Debug)]
pub struct ClientCredentials {
    /// `token_endpoint`: `https` unless loopback. Required.
    pub token_endpoint: HttpUrl,
    /// `client_id`. Required.
    pub client_id: String,
    /// `client_secret_file`: white space at its ends removed. Required.
    pub client_secret: SecretFile,
    /// `scope`: sent with the request if given.
    pub scope: Option<String>,
}

/// `[cache]`: answers of the EHR kept in memory, before policy and filter, which run on every hit.
#[derive(Debug)]
pub struct Cache {
    /// `bytes`: 0 turns it off. Default: [`crate::limits::ANSWER_CACHE_BYTES`].
    pub bytes: u64,
    /// `seconds`: how stale an answer may be. Default 60.
    pub seconds: u32,
    /// `[cache.seconds_by_type]`: the same for single resource types; 0 keeps that type out.
    pub seconds_by_type: BTreeMap<ResourceType, u32>,
}

impl Cache {
    /// How many seconds an answer about `resource_type` may be kept; 0: not at all.
    pub fn seconds_for(&self, resource_type: ResourceType) -> u32 {
        self.seconds_by_type.get(&resource_type).copied().unwrap_or(self.seconds)
    }
}

/// `[policy]`: the rules.
#[derive(Debug)]
pub struct Policy {
    /// `path`: folder of Rego and data files. Required.
    pub path: PathBuf,
    /// `engine`: `auto` or `interpreter`. Default `auto`.
    pub engine: Engine,
    /// `facts`: what is found out about a patient before the decision. Default: nothing.
    pub facts: Vec<Fact>,
    /// `lookback`: ISO 8601 periods, such as `P12M`, whose first days the policy is told. Default: none.
    pub lookback: Vec<Lookback>,
    /// `roster`: file of the patients each payer may ask about. Required exactly with the fact `roster`.
    pub roster: Option<File>,
    /// `sources`: file of the organisations whose records the upstream holds. Default: none, and then the EHR is the source of
    /// all of them.
    pub sources: Option<PathBuf>,
}

/// How the policy is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The fast engine where it agrees with the reference engine, else the reference engine.
    Auto,
    /// The reference engine alone.
    Interpreter,
}

/// Something about the patient that the policy is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The patient's Consent resources.
    Consent,
    /// The patient's Coverage resources.
    Coverage,
    /// Whether the roster file names the patient for the client.
    Roster,
}

/// A period back from today.
#[derive(Clone, Debug)]
pub struct Lookback {
    /// As it was written.
    pub text: String,
    /// Years, months, weeks and days, none negative, not all zero.
    pub span: Span,
}

/// `[audit]`: the record of every exchange.
#[derive(Debug)]
pub struct Audit {
    /// `directory`: where the log is kept; made if its parent exists. Required.
    pub directory: PathBuf,
}

/// `[organization]`: whose gateway it is. It signs answers, and stands in Provenance of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// `identifier`, `system|value`: its system. Default: `base_url` of `[listen]`, as a URI (`urn:ietf:rfc:3986`).
    pub system: String,
    /// Its value.
    pub value: String,
    /// `name`: for people. Default: the host of `base_url`.
    pub name: String,
}

/// `[signing]`: how the organisation signs.
#[derive(Debug)]
pub struct Signing {
    /// `certificate`: PEM file, its own first, then those of the authorities between. It names the organisation: an NPI or tax
    /// id as `otherName` of its OID, a URI as URI, others as `names` says. Required.
    pub certificate: Certificates,
    /// `key`: PEM file of its key: RSA of at least 2048 bits, P-256 or P-384, which sign by RS256, ES256 and ES384. Required.
    pub key: PrivateKey,
    /// The organisation with that key; `[signing.names]` tells which names stand for the identifiers of a system: `uri`, or
    /// the OID of an `otherName`.
    pub signer: Arc<Signer>,
}

/// `[[issuer]]`: an authorization server whose access tokens are accepted.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `issuer`: equal to `iss`, character by character. Required.
    pub issuer: String,
    /// `audience`: what `aud` must contain. Default: `base_url` of `[listen]`.
    pub audience: String,
    /// `jwks_file` or `jwks_url` (with `jwks_ca`). Exactly one.
    pub keys: KeySource,
    /// `algorithms`: such as `["RS384", "ES384"]`. Required, because no default fits every issuer.
    pub algorithms: Vec<Algorithm>,
    /// `token_types`: accepted values of the header `typ`; `""` accepts a token without. Default `["at+jwt"]`.
    pub token_types: Vec<String>,
    /// `token_endpoint`: published in `smart-configuration`.
    pub token_endpoint: Option<HttpUrl>,
    /// `scopes_supported`: published in `smart-configuration`.
    pub scopes_supported: Vec<String>,
    /// `require`: claims that a token must have beyond `iss`, `aud` and `exp`. Default: none.
    pub require: Vec<RequiredClaim>,
    /// `token_seconds`: longest life of a token. Default: an hour.
    pub token_seconds: i64,
}

/// Where an issuer's public keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `jwks_file`, read once.
    File {
        /// Where it was.
        path: PathBuf,
        /// What it held.
        keys: KeySet,
    },
    /// `jwks_url`, fetched when needed.
    Url {
        /// `https` unless loopback.
        url: HttpUrl,
        /// `jwks_ca`: PEM file of the authorities that its certificate must come from. Default: those of the system.
        ca: Option<Certificates>,
    },
}

/// A claim that an issuer may be held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredClaim {
    /// `iat`
    Iat,
    /// `jti`
    Jti,
    /// `nbf`
    Nbf,
}

/// `[[client]]`: a payer's system, known beforehand.
#[derive(Clone, Debug)]
pub struct Registration {
    /// `id`: the `client_id` in its tokens, and its name in policy and audit. Required.
    pub id: String,
    /// `organization`: URI of the payer it acts for. Required.
    pub organization: String,
    /// `issuer` and/or `certificate`: what proves that it is there. With both, the token counts only over a
    /// connection made with the certificate.
    pub proof: Proof,
    /// `purposes`: codes of v3-ActReason that it may ask for. Required.
    pub purposes: Vec<Purpose>,
    /// `purpose`: taken where the token states none. Default: the only one of `purposes`, if there is only one.
    pub purpose: Option<Purpose>,
    /// `scopes`: upper bound of what its tokens grant; for a client without tokens, what it is granted. Required.
    pub scopes: Scopes,
    /// `bound`: whether its tokens must be bound to its certificate (RFC 8705). Default `false`; a token that is
    /// bound is held to it in any case.
    pub bound: bool,
    /// `signed_answers`: the edition of CDex, `2.1.0` or `ci`, in which searchsets for it are signed; what cannot be signed is
    /// refused. Default: nothing is signed.
    pub signed_answers: Option<Dialect>,
    /// `[client.attributes]`: texts handed to the policy.
    pub attributes: BTreeMap<String, String>,
}

/// What identifies a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate alone.
    Certificate(CertificateMatch),
    /// A token of the issuer with this identifier.
    Token {
        /// `iss` of its tokens.
        issuer: String,
        /// The certificate that the connection must have been made with.
        certificate: Option<CertificateMatch>,
    },
}

/// Which certificate is a client's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateMatch {
    /// `{ san_dns = "…" }`: a DNS name among its subject alternative names, in lower case; wildcards match nothing.
    SanDns(String),
    /// `{ san_uri = "…" }`: a URI among its subject alternative names, character by character.
    SanUri(String),
    /// `{ sha256 = "…" }`: SHA-256 of the certificate in DER, 64 hexadecimal digits.
    Sha256([u8; 32]),
}

/// `[log]`: what is written to standard error.
#[derive(Debug)]
pub struct Log {
    /// `level`: `error`, `warn`, `info`, `debug` or `trace`. Default `info`.
    pub level: LogLevel,
}

/// How much is logged. No level logs patient data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What an operator must act on.
    Error,
    /// And what may need attention.
    Warn,
    /// And the life of the process.
    Info,
    /// And single steps.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
