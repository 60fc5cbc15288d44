//! From what the file says to a checked [`Config`]: the sections that stand for themselves, and the whole.
//!
//! Takes: the text of the file. Gives: a `Config`, or every mistake in it. Guarantees: each section reads all of
//! its keys before it gives up, so that one run shows everything. Refuses: an incomplete configuration.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use jiff::Span;
use toml::de::DeTable;

use super::raw::{Report, Section};
use super::{
    Admin, Audit, Cache, Certificates, ClientCertificates, Config, Engine, Fact, File, HttpUrl, Listen, ListenTls, Log,
    LogLevel, Lookback, Policy, PrivateKey, Problem, client, issuer, signing, upstream,
};
use crate::fhir::name::ResourceType;
use crate::limits;

/// Next to the port Prometheus itself uses by custom, and on this machine only.
const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9_090);
/// Clinical data change; a minute is what a reviewer will not notice.
const CACHE_SECONDS: u64 = 60;
/// A day: beyond it a cache is a copy of the EHR.
const CACHE_SECONDS_MAX: u64 = 86_400;
/// Half of a common server; the cache must not become the process.
const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// More cores than any machine this is meant for.
const THREADS_MAX: u64 = 1_024;

pub(super) fn from_file(path: &Path) -> Result<Config, Vec<Problem>> {
    let unreadable = |text: String| vec![Problem { file: path.to_owned(), line: None, key: String::new(), text }];
    let file = File::read(path, limits::CONFIG_FILE_BYTES).map_err(unreadable)?;
    let text = std::str::from_utf8(file.bytes()).map_err(|_| unreadable("is not utf-8 text".to_owned()))?;
    from_text(text, path)
}

pub(super) fn from_text(text: &str, path: &Path) -> Result<Config, Vec<Problem>> {
    let report = Report::new(path, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report.add(error.span().map(|span| span.start), "", error.message());
    }
    let config = if errors.is_empty() { config(Section::root(&report, document.get_ref())) } else { None };
    match config.filter(|_| report.is_empty()) {
        Some(config) => Ok(config),
        None => Err(report.into_problems()),
    }
}

pub(super) fn config(mut root: Section<'_>) -> Option<Config> {
    let (listen, certificates) = root.required_section("listen").map_or((None, None), listen);
    let admin = admin(root.section("admin"));
    let upstream = root.required_section("upstream").and_then(upstream::upstream);
    let cache = cache(root.section("cache"));
    let policy = root.required_section("policy").and_then(policy);
    let audit = root.required_section("audit").and_then(audit);
    let log = log(root.section("log"));
    let base_url = listen.as_ref().map(|listen| &listen.base_url);
    let organization = signing::organization(root.section("organization"), base_url);
    let signing_section = root.optional_section("signing");
    let signs = root.has("signing");
    let signing = signing_section.and_then(|section| signing::signing(section, organization.as_ref()));
    let base_url = base_url.map(HttpUrl::as_str);
    let issuers = issuer::issuers(root.sections("issuer"), base_url);
    let clients = client::clients(root.sections("client"), &issuers.names, certificates, signs);
    if !root.has("client") {
        root.problem("client", "no client is registered, so nobody could ask: write [[client]]");
    }
    if listen.as_ref().is_some_and(|listen| listen.address == admin.address) {
        root.problem("admin", "has the same address as [listen]");
    }
    Some(Config {
        listen: listen?,
        admin,
        upstream: upstream?,
        cache,
        policy: policy?,
        audit: audit?,
        organization: organization?,
        signing,
        issuers: issuers.complete?,
        clients: clients?,
        log,
    })
}

/// The section, and how client certificates are asked for, which clients are checked against even where the rest
/// is wrong.
fn listen(mut section: Section<'_>) -> (Option<Listen>, Option<ClientCertificates>) {
    let address = section.required_text("address", socket_address);
    let base_url = section.required_text("base_url", HttpUrl::parse_base);
    let allowed_hosts = section.texts("allowed_hosts", authority);
    let threads = section.integer("threads", 1..=THREADS_MAX).and_then(|threads| usize::try_from(threads).ok());
    let allow_plaintext = section.boolean("allow_plaintext").unwrap_or(false);
    let has_tls = section.has("tls");
    let (tls, certificates) = section.optional_section("tls").map_or((None, None), listen_tls);
    let certificates = if has_tls { certificates } else { Some(ClientCertificates::Off) };
    if base_url.as_ref().is_some_and(|url| !url.is_https() && !url.is_loopback()) {
        section.problem("base_url", "must be https, unless its host is loopback");
    }
    if !has_tls && !allow_plaintext && address.is_some_and(|address| !address.ip().is_loopback()) {
        section.problem("tls", "is missing: tokens and patient data would travel in the clear beyond this machine");
    }
    if has_tls && allow_plaintext {
        section.problem("allow_plaintext", "contradicts [listen.tls]");
    }
    let listen = address.zip(base_url).map(|(address, base_url)| Listen {
        address,
        allowed_hosts: allowed_hosts.unwrap_or_else(|| vec![base_url.authority().to_owned()]),
        base_url,
        threads: threads.and_then(NonZeroUsize::new).unwrap_or_else(cores),
        tls,
    });
    (listen, certificates)
}

fn listen_tls(mut section: Section<'_>) -> (Option<ListenTls>, Option<ClientCertificates>) {
    let certificate = section.required_file("certificate", Certificates::read);
    let key = section.required_file("key", PrivateKey::read);
    let has_client_ca = section.has("client_ca");
    let client_ca = section.file("client_ca", Certificates::read);
    let client_certificates = section.text("client_certificates", |text| match text {
        "off" => Ok(ClientCertificates::Off),
        "optional" => Ok(ClientCertificates::Optional),
        "required" => Ok(ClientCertificates::Required),
        _ => Err("must be \"optional\", \"required\" or \"off\""),
    });
    if let (Some(certificate), Some(key)) = (&certificate, &key)
        && !key.is_of(certificate)
    {
        section.problem("key", "is not the key of the certificate");
    }
    let by_default = if has_client_ca { ClientCertificates::Optional } else { ClientCertificates::Off };
    let client_certificates = client_certificates.unwrap_or(by_default);
    match (client_certificates, has_client_ca) {
        (ClientCertificates::Off, true) => section.problem("client_ca", "has no use while client_certificates is off"),
        (ClientCertificates::Optional | ClientCertificates::Required, false) => {
            section.problem("client_ca", "is missing: client certificates need an authority they come from");
        }
        _ => {}
    }
    let tls =
        certificate.zip(key).map(|(certificate, key)| ListenTls { certificate, key, client_ca, client_certificates });
    (tls, Some(client_certificates))
}

fn admin(mut section: Section<'_>) -> Admin {
    Admin { address: section.text("address", socket_address).unwrap_or(ADMIN_ADDRESS) }
}

fn cache(mut section: Section<'_>) -> Cache {
    let seconds = |value: u64| u32::try_from(value).unwrap_or_default();
    let by_type = section.section("seconds_by_type").free_integers(0..=CACHE_SECONDS_MAX, ResourceType::parse);
    Cache {
        bytes: section.integer("bytes", 0..=CACHE_BYTES_MAX).unwrap_or(limits::ANSWER_CACHE_BYTES),
        seconds: seconds(section.integer("seconds", 0..=CACHE_SECONDS_MAX).unwrap_or(CACHE_SECONDS)),
        seconds_by_type: by_type.into_iter().map(|(resource_type, value)| (resource_type, seconds(value))).collect(),
    }
}

fn policy(mut section: Section<'_>) -> Option<Policy> {
    let path = section.required_file("path", |path| match path.is_dir() {
        true => Ok(path.to_owned()),
        false => Err(format!("{} is not a folder", path.display())),
    });
    let engine = section.text("engine", |text| match text {
        "auto" => Ok(Engine::Auto),
        "interpreter" => Ok(Engine::Interpreter),
        _ => Err("must be \"auto\" or \"interpreter\""),
    });
    let mut wants_roster = false;
    let facts = section.texts("facts", |text| match text {
        "consent" => Ok(Fact::Consent),
        "coverage" => Ok(Fact::Coverage),
        "roster" => {
            wants_roster = true;
            Ok(Fact::Roster)
        }
        _ => Err("no such fact; there are \"roster\", \"coverage\" and \"consent\""),
    });
    let lookback = section.texts("lookback", lookback);
    let roster = section.file("roster", |path| File::read(path, limits::ROSTER_FILE_BYTES));
    if wants_roster && !section.has("roster") {
        section.problem("roster", "is missing: the fact \"roster\" is looked up in it");
    }
    if !wants_roster && section.has("roster") {
        section.problem("roster", "has no use without the fact \"roster\"");
    }
    let sources = section.file("sources", |path| Ok(path.to_owned()));
    Some(Policy {
        path: path?,
        engine: engine.unwrap_or(Engine::Auto),
        facts: facts.unwrap_or_default(),
        lookback: lookback.unwrap_or_default(),
        roster,
        sources,
    })
}

fn audit(mut section: Section<'_>) -> Option<Audit> {
    let directory: Option<PathBuf> = section.required_file("directory", |path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match path.is_dir() || (!path.exists() && parent.is_dir()) {
            true => Ok(path.to_owned()),
            false => Err(format!("{} is not a folder, and its parent is none either", path.display())),
        }
    });
    Some(Audit { directory: directory? })
}

fn log(mut section: Section<'_>) -> Log {
    let level = section.text("level", |text| {
        let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        levels.into_iter().find(|level| level.as_str() == text).ok_or("must be error, warn, info, debug or trace")
    });
    Log { level: level.unwrap_or(LogLevel::Info) }
}

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "not a socket address: write ip:port")
}

/// A value of `Host`: a name or address in lower case, with the port unless it is that of the scheme.
fn authority(text: &str) -> Result<String, &'static str> {
    let url = HttpUrl::parse(&format!("https://{text}"))?;
    if url.authority() == text { Ok(text.to_owned()) } else { Err("must be a host and perhaps a port") }
}

fn lookback(text: &str) -> Result<Lookback, &'static str> {
    let iso = text
        .strip_prefix('P')
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()));
    let span: Option<Span> = text.parse().ok().filter(|_| iso);
    let span = span.ok_or("not an ISO 8601 period such as P12M")?;
    let calendar =
        [i64::from(span.get_years()), span.get_months().into(), span.get_weeks().into(), span.get_days().into()];
    let clock = [i64::from(span.get_hours()), span.get_minutes(), span.get_seconds(), span.get_milliseconds()];
    if span.is_negative() || calendar.iter().all(|part| *part == 0) || clock.iter().any(|part| *part != 0) {
        return Err("must be years, months, weeks or days, more than none");
    }
    Ok(Lookback { text: text.to_owned(), span })
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Takes any text that is not empty.
pub(super) fn some_text(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("must not be empty") } else { Ok(text.to_owned()) }
}

/// Takes any text as it is.
pub(super) fn any_text(text: &str) -> Result<String, Infallible> {
    Ok(text.to_owned())
}

/// A URL that secrets or keys travel to or from: https, unless it stays on this machine.
pub(super) fn secure_url(text: &str) -> Result<HttpUrl, &'static str> {
    let url = HttpUrl::parse(text)?;
    if url.is_https() || url.is_loopback() { Ok(url) } else { Err("must be https, unless its host is loopback") }
}
