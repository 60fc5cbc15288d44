//! A gateway in front of an EHR.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use portcullis::cli::certs;
use portcullis::cli::token::{self, Wish};
use portcullis::clock::Clock;
use portcullis::config::Config;
use portcullis::demo::ehr::Ehr;
use portcullis::outbound;
use portcullis::start::{self, Running};

use super::folder::Folder;
use super::log::{Log, assert_sound};
use super::payer::{Answered, Payer};
use super::policy::{Policy, everything};
use rustls::ClientConfig;

/// The authority that payers address.
pub(crate) const HOST: &str = "gateway.example.test";
/// The FHIR base that payers write.
pub(crate) const BASE: &str = "https://gateway.example.test/fhir";

/// Payers that every gateway knows: the clinic's two, and one whose scopes are narrow.
const CLIENTS: &str = r#"
[[issuer]]
issuer = "https://as.example.org"
jwks_file = "certs/issuer.jwks.json"
algorithms = ["ES384"]
token_endpoint = "https://as.example.org/token"
scopes_supported = ["system/Observation.rs"]

[[client]]
id = "lanternfield"
organization = "https://lanternfield.example"
issuer = "https://as.example.org"
purposes = ["HPAYMT", "TREAT", "HMARKT"]
purpose = "HPAYMT"
scopes = ["system/*.rs"]

[[client]]
id = "oldmill"
organization = "https://oldmill.example"
issuer = "https://as.example.org"
purposes = ["HPAYMT"]
scopes = ["system/*.rs"]

[[client]]
id = "laboratory-only"
organization = "https://lanternfield.example"
issuer = "https://as.example.org"
purposes = ["HPAYMT"]
scopes = ["system/Observation.rs?category=laboratory", "system/Patient.r"]
"#;

/// A gateway to be.
pub(crate) struct Setup {
    policy: Policy,
    engine: &'static str,
    tls: String,
    upstream: String,
    sources: Option<String>,
    files: Vec<(String, String)>,
    more: String,
}

/// Begins to describe a gateway: everything is permitted, in plain text on this machine.
pub(crate) fn gateway() -> Setup {
    let (tls, upstream, sources, files, more) = Default::default();
    Setup { policy: everything(), engine: "interpreter", tls, upstream, sources, files, more }
}

/// A gateway at work. Dropped, it must have a sound log with one record of each answer.
pub(crate) struct Gateway {
    running: Option<Running>,
    config: Arc<Config>,
    folder: Folder,
    answered: Answered,
    accounts: bool,
}

impl Setup {
    pub(crate) fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Lets the fast engine decide where it is proved equal.
    pub(crate) fn with_any_engine(self) -> Self {
        Self { engine: "auto", ..self }
    }

    /// Speaks TLS and takes client certificates as this word says.
    pub(crate) fn with_tls(self, client_certificates: &str) -> Self {
        let tls = format!(
            "[listen.tls]\ncertificate = \"certs/server.pem\"\nkey = \"certs/server.key\"\nclient_ca = \"certs/ca.pem\"\nclient_certificates = \"{client_certificates}\"\n"
        );
        Self { tls, ..self }
    }

    /// Has the EHR asked for Provenance as this word says.
    pub(crate) fn provenance_by(self, word: &str) -> Self {
        Self { upstream: format!("provenance = \"{word}\""), ..self }
    }

    /// Stands in front of an exchange with this registry of sources.
    pub(crate) fn with_sources(self, registry: &str) -> Self {
        Self { sources: Some(registry.to_owned()), ..self }
    }

    /// Puts a file beside the configuration.
    pub(crate) fn with_file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// Adds sections to the configuration.
    pub(crate) fn with(mut self, sections: &str) -> Self {
        self.more.push_str(sections);
        self
    }

    pub(crate) fn in_front_of(self, ehr: &Ehr) -> Gateway {
        self.try_in_front_of(ehr).unwrap_or_else(|problems| panic!("{}", problems.join("\n")))
    }

    /// The gateway, or everything that is wrong with it.
    pub(crate) fn try_in_front_of(self, ehr: &Ehr) -> Result<Gateway, Vec<String>> {
        let (folder, config) = self.configured(ehr)?;
        let config = Arc::new(config);
        let running = start::start(Arc::clone(&config), Clock::System).map_err(|error| error.0)?;
        Ok(Gateway { running: Some(running), config, folder, answered: Answered::default(), accounts: true })
    }

    /// The configuration, and the folder that it is about.
    pub(crate) fn configured(self, ehr: &Ehr) -> Result<(Folder, Config), Vec<String>> {
        let folder = self.written(ehr);
        let config = Config::load(&folder.path().join("portcullis.toml"))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        Ok((folder, config))
    }

    /// A folder with `portcullis.toml` and all that it names.
    pub(crate) fn written(&self, ehr: &Ehr) -> Folder {
        let folder = Folder::new();
        self.policy.write(&folder);
        for (name, content) in &self.files {
            folder.write(name, content);
        }
        if let Some(registry) = &self.sources {
            folder.write("sources.toml", registry);
        }
        self.files.iter().for_each(|(name, text)| folder.write(name, text));
        let payers = ["lanternfield".to_owned(), "oldmill".to_owned()];
        certs::make(&folder.path().join("certs"), &[HOST.to_owned()], &payers, false, Clock::System.now()).unwrap();
        folder.write("portcullis.toml", &self.text(ehr));
        folder
    }

    fn text(&self, ehr: &Ehr) -> String {
        let roster = if self.policy.roster.is_some() { "roster = \"roster.csv\"" } else { "" };
        let sources = if self.sources.is_some() { "sources = \"sources.toml\"" } else { "" };
        let Self { policy, engine, tls, upstream, more, .. } = self;
        format!(
            r#"
[listen]
address = "127.0.0.1:0"
base_url = "{BASE}"
threads = 1
{tls}
[admin]
address = "127.0.0.2:0"

[upstream]
base_url = "{}"
{upstream}

[policy]
path = "policies"
engine = "{engine}"
facts = {facts:?}
{roster}
{sources}

[audit]
directory = "audit"

{CLIENTS}
{more}
"#,
            ehr.base(),
            facts = policy.facts,
        )
    }
}

impl Gateway {
    /// A payer with a plain token of its own.
    pub(crate) fn payer(&self, client: &str) -> Payer {
        self.payer_who(Wish::of(client))
    }

    /// A payer with the token that was wished for.
    pub(crate) fn payer_who(&self, wish: Wish) -> Payer {
        let token = self.token(&wish, Clock::System);
        Payer { address: self.running().address(), token: Some(token), tls: None, answered: Arc::clone(&self.answered) }
    }

    /// A TLS configuration that trusts this gateway and shows the certificate of `client`, if any.
    pub(crate) fn tls(&self, client: Option<&str>) -> Arc<ClientConfig> {
        let read = |name: &str| std::fs::read(self.file(&format!("certs/{name}"))).unwrap();
        let pair = client.map(|client| (read(&format!("{client}.pem")), read(&format!("{client}.key"))));
        let identity = pair.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
        outbound::tls::client_config(Some(&read(certs::CA)), identity).unwrap()
    }

    /// A token as of the time of `clock`.
    pub(crate) fn token(&self, wish: &Wish, clock: Clock) -> String {
        token::mint(&self.config, wish, clock.now()).unwrap()
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// A file that was made for it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The log as it is now.
    pub(crate) fn log(&self) -> Log {
        Log::read(&self.file("audit"))
    }

    /// Puts other policies in place and tells the gateway.
    pub(crate) fn reload(&self, policy: &Policy) -> Result<String, Vec<String>> {
        policy.write(&self.folder);
        block_on(self.running().reload_policies()).map_err(|error| error.0)
    }

    /// Lets the log be, which a test has broken.
    pub(crate) fn without_account(&mut self) {
        self.accounts = false;
    }

    /// Stops it and gives the finished log.
    pub(crate) fn stop(&mut self) -> Log {
        self.halt();
        self.log()
    }

    fn halt(&mut self) {
        if let Some(running) = self.running.take() {
            block_on(running.stop(Duration::from_secs(20)));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.halt();
        if !self.accounts {
            return;
        }
        let log = self.log();
        assert_sound(&self.file("audit"));
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &*answered {
            log.exchange(id);
        }
        let operations = log.exchanges().into_iter().filter(|entry| entry.interaction.as_deref() == Some("operation"));
        let operations: Vec<_> = operations.filter_map(|entry| entry.exchange.clone()).collect();
        // The parts of an operation have records of their own; what they were answered is in its answer.
        let exchanges = log.exchanges().into_iter();
        let own = exchanges.filter(|entry| entry.batch.as_ref().is_none_or(|whole| !operations.contains(whole)));
        assert_eq!(own.count(), answered.len(), "records and answers");
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
