//! What the targets stand on: policies that give whatever decision is asked for, and an instant that stands still.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use portcullis::clock::Now;
use portcullis::decide::{
    Caller, DecisionCache, EngineSetting, Facts, LookBack, Permit, Policies, PolicySet, PolicySettings, ScopeGrant,
    decide,
};
use portcullis::fhir::name::Id;
use portcullis::id::{DecisionId, Token128};
use portcullis::understand::{Asked, Interaction, PageKey, Setting, UnderstandError, understand};

/// The gateway's base URL.
pub const GATEWAY: &str = "https://gateway.example.org/fhir";
/// The EHR's base URL.
pub const EHR: &str = "http://ehr.example.org/r4";
/// The client that asks.
pub const CLIENT: &str = "payer-a";
/// What it asks for.
pub const PURPOSE: &str = "HPAYMT";

const POLICY: &str = r#"package portcullis

default decision := {
	"allow": false,
	"reasons": [{"code": "none", "text": "None.", "basis": "none"}],
}

decision := permission(known) if {
	some known in data.decisions
	known.client == input.client.id
}

permission(known) := {
	"allow": true,
	"reasons": [{"code": "test", "text": "Test.", "basis": "none"}],
	"patients": known.patients,
	"types": known.types,
	"withhold_labels": known.withhold_labels,
	"includes": known.includes,
}
"#;

/// A folder that is gone when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one: in memory where the system has a place for that.
    pub fn empty() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("portcullis-fuzz-{}", Token128::random().unwrap()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Policies whose decision for the client of this name is this document; written by [`decision`].
#[derive(Debug)]
pub struct Decisions {
    policies: Arc<PolicySet>,
    cache: DecisionCache,
}

impl Decisions {
    /// Loads a document for each client.
    pub fn load<'d>(decisions: impl IntoIterator<Item = (&'d str, &'d str)>) -> Self {
        let folder = Folder::empty();
        let known = decisions.into_iter().map(|(client, members)| format!(r#"{{"client":"{client}",{members}}}"#));
        let data = format!(r#"{{"decisions":[{}]}}"#, known.collect::<Vec<_>>().join(","));
        fs::create_dir_all(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("decision.rego"), POLICY).unwrap();
        fs::write(folder.path().join("data/decisions.json"), data).unwrap();
        let settings = PolicySettings {
            engine: EngineSetting::Interpreter,
            time: Duration::from_secs(60),
            roster: None,
            sources: None,
        };
        let policies = Policies::load(folder.path(), settings).expect("policies that are admitted");
        Self { policies: policies.current(), cache: DecisionCache::new() }
    }

    /// The decision for `client`, who may ask about everything; `None` where it has no rule for what is asked.
    pub fn permit(&self, client: &str, interaction: &Interaction, patients: &[Id]) -> Option<Permit> {
        let scopes = [ScopeGrant { resource_type: None, read: true, search: true, constraint: None }];
        let attributes = BTreeMap::new();
        let caller = Caller {
            id: client,
            organization: "https://payer-a.example.org",
            purpose: PURPOSE,
            scopes: &scopes,
            attributes: &attributes,
        };
        let (facts, lookback) = (Facts { patients: BTreeMap::new() }, LookBack::default());
        let id = DecisionId(Token128::from_bytes([7; 16]));
        decide(&self.policies, &self.cache, &caller, interaction, patients, &facts, &lookback, now(), id).ok()
    }
}

/// The instant of every exchange.
pub fn now() -> Now {
    Now::at("2026-11-23T12:00:00Z".parse().unwrap())
}

/// The key of page links of this process.
pub static PAGES: LazyLock<PageKey> = LazyLock::new(|| PageKey::random().expect("randomness"));

/// What surrounds every request.
pub fn setting() -> Setting<'static> {
    Setting { bases: &[GATEWAY], pages: &PAGES, client: CLIENT, purpose: PURPOSE, now: now() }
}

/// Understands a GET of a target below the base.
pub fn get(target: &str) -> Result<Interaction, UnderstandError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path: Vec<&str> = path.split('/').collect();
    understand(Asked { post: false, path: &path, query, form: None }, setting())
}

/// Understands a search by POST.
pub fn post(resource_type: &str, query: Option<&str>, form: &[u8]) -> Result<Interaction, UnderstandError> {
    understand(Asked { post: true, path: &[resource_type, "_search"], query, form: Some(form) }, setting())
}

/// Everything that is to be known of an interaction, for comparison.
pub fn whole(interaction: &Interaction) -> String {
    format!("{interaction:?}")
}
