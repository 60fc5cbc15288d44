//! The configuration of the gateway under attack.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{BASE, Plan};
use crate::attack::tls::{Authority, Identity, san};
use crate::attack::token::ISSUER;
use crate::config::{Config, Engine, Fact, Registration};
use crate::limits;

/// The clients that cases know.
const CLIENTS: [&str; 2] = ["payer-a", "payer-b"];

/// What of a site's configuration is tried. Keys and certificates are the suite's own, and so are policies and clients but
/// where [`OwnPolicies`] are: what most cases expect presupposes them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `listen.threads`.
    pub threads: usize,
    /// `policy.engine` is `auto`.
    pub fast_engine: bool,
    /// `cache.bytes`.
    pub cache_bytes: u64,
    /// `cache.seconds`.
    pub cache_seconds: u32,
    /// `cache.seconds_by_type`.
    pub cache_seconds_by_type: Vec<(String, u32)>,
    /// The site's policies, instead of the suite's: only what holds under any policy is demanded then.
    pub own_policies: Option<OwnPolicies>,
}

/// A site's policies, with what they decide by.
#[derive(Clone, Debug)]
pub struct OwnPolicies {
    path: PathBuf,
    facts: Vec<&'static str>,
    lookback: Vec<String>,
    roster: Option<Vec<u8>>,
    /// Who the suite's two clients are to the policies.
    clients: Vec<OwnClient>,
}

/// A client, as policies know it.
#[derive(Clone, Debug)]
struct OwnClient {
    id: String,
    organization: String,
    purposes: Vec<&'static str>,
    attributes: BTreeMap<String, String>,
}

impl OwnPolicies {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let fact = |fact: &Fact| match fact {
            Fact::Consent => "consent",
            Fact::Coverage => "coverage",
            Fact::Roster => "roster",
        };
        let client = |client: &Registration| OwnClient {
            id: client.id.clone(),
            organization: client.organization.clone(),
            purposes: client.purposes.iter().map(|purpose| purpose.code()).collect(),
            attributes: client.attributes.clone(),
        };
        Self {
            path: config.policy.path.clone(),
            facts: config.policy.facts.iter().map(fact).collect(),
            lookback: config.policy.lookback.iter().map(|lookback| lookback.text.clone()).collect(),
            roster: config.policy.roster.as_ref().map(|file| file.bytes().to_vec()),
            clients: config.clients.iter().take(CLIENTS.len()).map(client).collect(),
        }
    }

    /// Puts them into the folder of a gateway.
    pub(super) fn copy_to(&self, folder: &Path) -> std::io::Result<()> {
        copy(&self.path, &folder.join("policies"))?;
        self.roster.iter().try_for_each(|roster| fs::write(folder.join("roster.csv"), roster))
    }

    fn client(&self, name: &str) -> Option<&OwnClient> {
        self.clients.get(CLIENTS.iter().position(|known| *known == name)?)
    }

    fn text(&self) -> String {
        let lookback = serde_json::json!(self.lookback);
        let roster = if self.roster.is_some() { "roster = \"roster.csv\"\n" } else { "" };
        format!("facts = {}\nlookback = {lookback}\n{roster}", serde_json::json!(self.facts))
    }
}

/// Copies a folder and what is in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &place)?;
        } else {
            fs::copy(&path, &place)?;
        }
    }
    Ok(())
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 1,
            fast_engine: false,
            cache_bytes: limits::ANSWER_CACHE_BYTES,
            cache_seconds: 30,
            cache_seconds_by_type: Vec::new(),
            own_policies: None,
        }
    }
}

impl Settings {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let by_type = config.cache.seconds_by_type.iter();
        Self {
            threads: config.listen.threads.get(),
            fast_engine: config.policy.engine == Engine::Auto,
            cache_bytes: config.cache.bytes,
            cache_seconds: config.cache.seconds,
            cache_seconds_by_type: by_type.map(|(of, seconds)| (of.as_str().to_owned(), *seconds)).collect(),
            own_policies: None,
        }
    }

    /// What a client of the suite is called by the gateway: by the site's own name where its policies decide.
    pub(crate) fn client_id<'s>(&'s self, name: &'s str) -> &'s str {
        self.own_policies.as_ref().and_then(|own| own.client(name)).map_or(name, |client| &client.id)
    }
}

/// TLS at the gateway's listener.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    certificate: String,
    key: String,
    client_ca: Option<String>,
    /// The one certificate that counts for payer-a, where names do not decide.
    pin: Option<String>,
}

impl Tls {
    /// A server certificate, and no question about the client's.
    pub(crate) fn plain(authority: &Authority) -> Result<Self, String> {
        let server = authority.server()?;
        let (certificate, key) = server.pem();
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), client_ca: None, pin: None })
    }

    /// Client certificates are demanded, and tokens are bound to them.
    pub(crate) fn mutual(authority: &Authority, pin: Option<&Identity>) -> Result<Self, String> {
        let pin = pin.map(Identity::fingerprint);
        Ok(Self { client_ca: Some(authority.pem().to_owned()), pin, ..Self::plain(authority)? })
    }

    pub(super) fn is_mutual(&self) -> bool {
        self.client_ca.is_some()
    }

    pub(super) fn files(&self) -> Vec<(&'static str, &str)> {
        let client_ca = self.client_ca.as_deref().map(|pem| ("ca.pem", pem));
        [("server.pem", self.certificate.as_str()), ("server.key", self.key.as_str())]
            .into_iter()
            .chain(client_ca)
            .collect()
    }
}

pub(super) fn text(address: SocketAddr, plan: &Plan<'_>) -> String {
    let settings = &plan.options.settings;
    let engine = if settings.fast_engine { "auto" } else { "interpreter" };
    let policy = settings.own_policies.as_ref().map_or_else(|| "facts = []\n".to_owned(), OwnPolicies::text);
    let by_type = settings.cache_seconds_by_type.iter();
    let by_type: String = by_type.map(|(of, seconds)| format!("{of} = {seconds}\n")).collect();
    let by_type = if by_type.is_empty() { by_type } else { format!("[cache.seconds_by_type]\n{by_type}") };
    let mut text = format!(
        r#"
[listen]
address = "{address}"
base_url = "{BASE}"
threads = {}

[admin]
address = "127.0.0.2:0"

[upstream]
base_url = "http://{}/fhir"

[policy]
path = "policies"
engine = "{engine}"
{policy}
[cache]
bytes = {}
seconds = {}
{by_type}
[audit]
directory = "audit"

[[issuer]]
issuer = "{ISSUER}"
jwks_file = "issuer.jwks.json"
algorithms = ["RS256"]
token_endpoint = "{ISSUER}/token"
scopes_supported = ["system/*.rs"]
"#,
        settings.threads,
        plan.ehr.address(),
        settings.cache_bytes,
        settings.cache_seconds,
    );
    if let Some(tls) = &plan.tls {
        text.push_str("\n[listen.tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n");
        if tls.is_mutual() {
            text.push_str("client_ca = \"ca.pem\"\nclient_certificates = \"required\"\n");
        }
    }
    for name in CLIENTS {
        let own = settings.own_policies.as_ref().and_then(|own| own.client(name));
        let mut purposes = vec!["HPAYMT", "HOPERAT"];
        purposes.extend(own.iter().flat_map(|own| &own.purposes).filter(|code| !["HPAYMT", "HOPERAT"].contains(code)));
        let organization = own.map_or_else(|| format!("https://{name}.example.org"), |own| own.organization.clone());
        let _ = write!(
            text,
            "\n[[client]]\nid = {}\norganization = {}\nissuer = \"{ISSUER}\"\npurposes = {}\nscopes = [\"system/*.rs\"]\n",
            quoted(settings.client_id(name)),
            quoted(&organization),
            serde_json::json!(purposes),
        );
        if let Some(tls) = plan.tls.as_ref().filter(|tls| tls.is_mutual()) {
            text.push_str("bound = true\n[client.certificate]\n");
            match tls.pin.as_ref().filter(|_| name == "payer-a") {
                Some(pin) => drop(writeln!(text, "sha256 = \"{pin}\"")),
                None => drop(writeln!(text, "san_dns = \"{}\"", san(name))),
            }
        }
        if let Some(own) = own.filter(|own| !own.attributes.is_empty()) {
            text.push_str("[client.attributes]\n");
            for (key, value) in &own.attributes {
                let _ = writeln!(text, "{} = {}", quoted(key), quoted(value));
            }
        }
    }
    text
}

/// A text as a basic string of TOML.
fn quoted(text: &str) -> String {
    serde_json::json!(text).to_string()
}
