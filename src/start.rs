//! From a checked configuration to a running gateway.
//!
//! Takes: a [`Config`]. Gives: [`Running`], cores that serve and what they share. Guarantees: nothing listens before
//! policies, keys, certificates and the audit log are in order; all that is wrong is reported together. Refuses: to
//! start with any of it missing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::{info, warn};

use crate::accept::AcceptRules;
use crate::admin::{self, Readiness};
use crate::audit::Audit;
use crate::audit::entry::{Decision, Effect, Entry, Kind};
use crate::clock::{Clock, Now};
use crate::config::{self, ClientCertificates, Config, Fact, UpstreamCredential};
use crate::decide::{DecisionCache, EngineSetting, LookBack, Policies, PolicySettings};
use crate::fetch::Ehr;
use crate::fetch::answers::{AnswerCache, KeepFor};
use crate::fetch::credential::{ClientCredentials, Credential, bearer};
use crate::fetch::facts::FactSource;
use crate::fetch::pool::Pool;
use crate::gateway::{Crowd, Gateway, PublicDocuments, Shared, Signatory, Witness};
use crate::identify::Identities;
use crate::listen;
use crate::metrics::Metrics;
use crate::outbound::{self, Origin};
use crate::publish::TokenSource;
use crate::rewrite;
use crate::understand::PageKey;

/// Why a gateway does not start: every reason, a line each.
#[derive(Debug, Error)]
#[error("{}", .0.join("\n"))]
pub struct StartError(pub Vec<String>);

/// A gateway at work.
#[derive(Debug)]
pub struct Running {
    cores: listen::Running,
    admin: listen::Running,
    shared: Arc<Shared>,
    policy_path: PathBuf,
}

/// What is built of a configuration before anything listens.
struct Parts {
    shared: Arc<Shared>,
    upstream: Arc<Upstream>,
    answers: Arc<AnswerCache>,
    tls: Option<listen::tls::Live>,
}

/// How to reach the EHR, for each core to build its own connections from.
struct Upstream {
    origin: Origin,
    config: Arc<Config>,
    tls: Option<Arc<rustls::ClientConfig>>,
    token_endpoint: Option<(Origin, Option<Arc<rustls::ClientConfig>>)>,
}

/// Builds everything that a configuration names and throws it away again: what `portcullis check` does.
pub fn check(config: &Arc<Config>, now: Now) -> Result<String, StartError> {
    let mut problems = Vec::new();
    let policies = keep(load_policies(config), &mut problems);
    keep(Upstream::new(config), &mut problems);
    keep(server_tls(config), &mut problems);
    keep(Identities::new(config).map_err(|error| vec![format!("issuer: {error}")]), &mut problems);
    keep(accept_rules(config), &mut problems);
    keep(signatory(config, now), &mut problems);
    match policies {
        Some(policies) if problems.is_empty() => {
            let set = policies.current();
            Ok(format!(
                "policy revision {}, engine {} ({})",
                set.revision(),
                set.engine().as_str(),
                set.engine_reason()
            ))
        }
        _ => Err(StartError(problems)),
    }
}

/// Starts a gateway.
pub fn start(config: Arc<Config>, clock: Clock) -> Result<Running, StartError> {
    start_before(config, clock, None)
}

/// Starts a gateway that somebody looks on at: for demonstrations.
pub fn start_before(
    config: Arc<Config>,
    clock: Clock,
    witness: Option<Arc<dyn Witness>>,
) -> Result<Running, StartError> {
    let policy_path = config.policy.path.clone();
    let (address, admin_address, threads) = (config.listen.address, config.admin.address, config.listen.threads);
    let Parts { shared, upstream, answers, tls } = Parts::build(&config, clock, witness)?;
    let failed = |error: &dyn std::fmt::Display| StartError(vec![error.to_string()]);
    let mut settings = listen::Settings::new(address, Arc::clone(&shared.metrics));
    settings.cores = threads;
    settings.tls = tls;
    let of_cores = Arc::clone(&shared);
    let cores = listen::serve(settings, move |_| {
        let pool = Pool::new(upstream.origin.clone(), upstream.tls.clone());
        let ehr = Ehr::new(
            pool,
            upstream.config.upstream.base_url.as_str(),
            upstream.credential(),
            Arc::clone(&answers),
            Arc::clone(&of_cores.metrics),
        );
        Rc::new(Gateway::new(Arc::clone(&of_cores), ehr))
    })
    .map_err(|error| failed(&error))?;
    let ready = Arc::new(Ready(Arc::clone(&shared)));
    let admin = admin::serve(admin_address, Arc::clone(&shared.metrics), ready).map_err(|error| failed(&error))?;
    info!(address = %cores.address(), admin = %admin.address(), revision = %shared.policies.current().revision(), "serving");
    Ok(Running { cores, admin, shared, policy_path })
}

impl Running {
    /// The address clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.cores.address()
    }

    /// The address of health and metrics.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Loads the policies anew; a bad one leaves the good one in force. Recorded either way.
    pub async fn reload_policies(&self) -> Result<String, StartError> {
        let outcome = self.shared.policies.reload(&self.policy_path);
        let mut entry = Entry::new(Kind::PolicyLoad, self.shared.clock.now());
        let (effect, revision) = match &outcome {
            Ok(revision) => (Effect::Permit, revision.to_string()),
            Err(_) => (Effect::Deny, self.shared.policies.current().revision().to_string()),
        };
        entry.decision = Some(Decision { id: String::new(), revision: revision.clone(), effect, reasons: Vec::new() });
        if let Ok(room) = self.shared.audit.reserve() {
            // A log that fails stops the gateway by itself.
            let _ = room.record(entry).await;
        }
        match outcome {
            Ok(_) => {
                info!(revision, "policies loaded");
                Ok(revision)
            }
            Err(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                warn!(revision, problems = lines.join("; "), "policies refused; the earlier ones stay in force");
                Err(StartError(lines))
            }
        }
    }

    /// Renews the issuers' key sets that are about to end. To be called now and then.
    pub async fn renew_keys(&self) {
        self.shared.identities.renew(self.shared.clock.now()).await;
    }

    /// Whether the audit log can still be written; a gateway whose log failed answers nothing and should end.
    pub fn is_recording(&self) -> bool {
        self.shared.audit.healthy()
    }

    /// Stops accepting, finishes what is in flight within `grace`, closes the log.
    pub async fn stop(self, grace: Duration) {
        let abandoned = self.cores.stop(grace).await;
        info!(abandoned, "stopped");
        self.shared.audit.close();
    }
}

/// Readiness: a log that can be written and keys to check tokens with.
struct Ready(Arc<Shared>);

impl Readiness for Ready {
    fn missing(&self) -> Vec<&'static str> {
        let log = (!self.0.audit.healthy()).then_some("a writable audit log");
        let without_keys = self.0.identities.issuers_without_keys(self.0.clock.now()).next().is_some();
        log.into_iter().chain(without_keys.then_some("a usable key set of every issuer")).collect()
    }
}

impl Parts {
    fn build(config: &Arc<Config>, clock: Clock, witness: Option<Arc<dyn Witness>>) -> Result<Self, StartError> {
        let mut problems = Vec::new();
        let policies = keep(load_policies(config), &mut problems);
        let upstream = keep(Upstream::new(config), &mut problems);
        let tls = keep(server_tls(config), &mut problems);
        let identities = keep(Identities::new(config).map_err(|error| vec![format!("issuer: {error}")]), &mut problems);
        let rules = keep(accept_rules(config), &mut problems);
        let lookback = keep(look_back(config), &mut problems);
        let signatory = keep(signatory(config, clock.now()), &mut problems);
        let metrics = keep(Metrics::new().map_err(|error| vec![error.to_string()]), &mut problems);
        let pages = keep(PageKey::random().ok_or_else(|| vec!["no randomness".to_owned()]), &mut problems);
        let audit = keep(
            Audit::open(&config.audit.directory, clock.clone()).map_err(|error| vec![format!("audit: {error}")]),
            &mut problems,
        );
        let ready = (policies, upstream, tls, identities, rules, lookback, signatory, metrics, pages, audit);
        let (
            Some(policies),
            Some(upstream),
            Some(tls),
            Some(identities),
            Some(rules),
            Some(lookback),
            Some(signatory),
            Some(metrics),
            Some(pages),
            Some(audit),
        ) = ready
        else {
            return Err(StartError(problems));
        };
        let facts = &config.policy.facts;
        let shared = Shared {
            rules,
            identities,
            policies: Arc::new(policies),
            decisions: DecisionCache::new(),
            lookback,
            facts: FactSource::new(
                facts.contains(&Fact::Coverage),
                facts.contains(&Fact::Consent),
                facts.contains(&Fact::Roster),
            ),
            crowd: Crowd::new(config.clients.iter().map(|client| client.id.as_str())),
            audit,
            pages,
            base: config.listen.base_url.as_str().into(),
            ehr_base: config.upstream.base_url.as_str().into(),
            provenance: match config.upstream.provenance {
                config::ProvenanceFrom::Include => rewrite::ProvenanceFrom::Include,
                config::ProvenanceFrom::Search => rewrite::ProvenanceFrom::Search,
            },
            signatory,
            organization: config.organization.clone(),
            public: PublicDocuments::new(token_source(config), clock.now().to_instant()),
            clock,
            metrics: Arc::new(metrics),
            witness,
        };
        let answers = Arc::new(AnswerCache::new(config.cache.bytes, keep_for(&config.cache)));
        Ok(Self { shared: Arc::new(shared), upstream: Arc::new(upstream), answers, tls })
    }
}

fn keep<T>(outcome: Result<T, Vec<String>>, problems: &mut Vec<String>) -> Option<T> {
    outcome.map_err(|mut found| problems.append(&mut found)).ok()
}

fn load_policies(config: &Config) -> Result<Policies, Vec<String>> {
    let settings = PolicySettings {
        engine: match config.policy.engine {
            config::Engine::Auto => EngineSetting::Auto,
            config::Engine::Interpreter => EngineSetting::Interpreter,
        },
        roster: config.policy.roster.as_ref().map(|file| file.path().to_owned()),
        sources: config.policy.sources.clone(),
        ..PolicySettings::default()
    };
    Policies::load(&config.policy.path, settings).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn look_back(config: &Config) -> Result<LookBack, Vec<String>> {
    let texts = config.policy.lookback.iter().map(|period| period.text.as_str());
    LookBack::parse(texts).ok_or_else(|| vec!["policy.lookback: a period is not supported".to_owned()])
}

fn signatory(config: &Config, now: Now) -> Result<Option<Signatory>, Vec<String>> {
    let Some(signing) = &config.signing else { return Ok(None) };
    if !signing.signer.is_valid_at(now) {
        let path = signing.certificate.path().display();
        return Err(vec![format!("signing.certificate: {path}: the certificate is not valid today")]);
    }
    Ok(Some(Signatory::new(Arc::clone(&signing.signer))))
}

fn accept_rules(config: &Config) -> Result<AcceptRules, Vec<String>> {
    AcceptRules::new(config.listen.allowed_hosts.clone(), config.listen.base_url.path())
        .map_err(|error| vec![format!("listen.allowed_hosts, listen.base_url: {error}")])
}

fn server_tls(config: &Config) -> Result<Option<listen::tls::Live>, Vec<String>> {
    let Some(tls) = &config.listen.tls else { return Ok(None) };
    let ca = tls.client_ca.as_ref().filter(|_| tls.client_certificates != ClientCertificates::Off);
    let required = tls.client_certificates == ClientCertificates::Required;
    listen::tls::server_config(tls.certificate.pem(), tls.key.expose_pem(), ca.map(config::Certificates::pem), required)
        .map(|server| Some(listen::tls::Live::new(server)))
        .map_err(|error| vec![format!("listen.tls: {error}")])
}

fn keep_for(cache: &config::Cache) -> KeepFor {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let by_type: HashMap<_, _> = cache.seconds_by_type.iter().map(|(name, life)| (*name, seconds(*life))).collect();
    KeepFor { otherwise: seconds(cache.seconds), by_type }
}

fn token_source(config: &Config) -> TokenSource {
    let with_endpoint = config.issuers.iter().find(|issuer| issuer.token_endpoint.is_some());
    TokenSource {
        token_endpoint: with_endpoint
            .and_then(|issuer| issuer.token_endpoint.as_ref())
            .map(|url| url.as_str().to_owned()),
        jwks_uri: with_endpoint.and_then(|issuer| match &issuer.keys {
            config::KeySource::Url { url, .. } => Some(url.as_str().to_owned()),
            config::KeySource::File { .. } => None,
        }),
        scopes: with_endpoint.map(|issuer| issuer.scopes_supported.clone()).unwrap_or_default(),
    }
}

impl Upstream {
    fn new(config: &Arc<Config>) -> Result<Self, Vec<String>> {
        let settings = &config.upstream;
        let problem = |key: &'static str| move |error: outbound::OutboundError| vec![format!("{key}: {error}")];
        let origin = Origin::parse(settings.base_url.as_str()).map_err(problem("upstream.base_url"))?;
        let identity = settings.client.as_ref().map(|client| (client.certificate.pem(), client.key.expose_pem()));
        let tls = if origin.is_https() {
            let ca = settings.ca.as_ref().map(config::Certificates::pem);
            Some(outbound::tls::client_config(ca, identity).map_err(problem("upstream"))?)
        } else {
            None
        };
        let token_endpoint = match &settings.credential {
            UpstreamCredential::ClientCredentials(grant) => {
                let origin =
                    Origin::parse(grant.token_endpoint.as_str()).map_err(problem("upstream.client_credentials"))?;
                let tls = origin.is_https().then(|| outbound::tls::client_config(None, None)).transpose();
                Some((origin, tls.map_err(problem("upstream.client_credentials"))?))
            }
            UpstreamCredential::Bearer(_) | UpstreamCredential::None => None,
        };
        Ok(Self { origin, config: Arc::clone(config), tls, token_endpoint })
    }

    fn credential(&self) -> Credential {
        match (&self.config.upstream.credential, &self.token_endpoint) {
            (UpstreamCredential::Bearer(token), _) => {
                bearer(token.secret.expose()).map_or(Credential::None, Credential::Bearer)
            }
            (UpstreamCredential::ClientCredentials(grant), Some((token_endpoint, tls))) => {
                Credential::ClientCredentials(Box::new(ClientCredentials {
                    token_endpoint: token_endpoint.clone(),
                    tls: tls.clone(),
                    client_id: grant.client_id.as_str().into(),
                    client_secret: grant.client_secret.secret.expose().into(),
                    scope: grant.scope.as_deref().map(Into::into),
                    current: RefCell::new(None),
                }))
            }
            _ => Credential::None,
        }
    }
}
