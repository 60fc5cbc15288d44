//! Policies, loaded and held.
//!
//! Takes: a folder. Gives: [`Policies`], from which every decision takes the [`PolicySet`] in force. Guarantees:
//! a set is complete before it is used: parsed, admitted, prepared, tried on a stranger's request, and its
//! engine chosen; a reload swaps one set for the next in one step, and a bad folder leaves the good set in
//! force. Refuses: with every problem at once, by file and line.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use regorus::unstable::{Module, Ref};

use super::admission::{self, ENTRY, PolicyProblem};
use super::decision;
use super::engine::{Failure, Interpreter, Machine, json, last_line, value};
use super::files::Files;
use super::permit::{Engine, Revision};
use super::roster::Roster;
use super::scope::Holdings;
use super::sensitivity::Sensitivity;
use super::{gate, policy_tests};
use crate::authorship::Registry;
use crate::config::Sources;
use crate::fhir::json::{Kind, Tape};
use crate::limits;

/// Which engine is to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineSetting {
    /// The fast engine where it is proved equal, otherwise the interpreter.
    #[default]
    Auto,
    /// The interpreter.
    Interpreter,
}

impl EngineSetting {
    /// Reads `auto` or `interpreter`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "interpreter" => Some(Self::Interpreter),
            _ => None,
        }
    }
}

/// How policies are loaded and evaluated.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// The engine.
    pub engine: EngineSetting,
    /// The attribution file; none is a roster of nobody.
    pub roster: Option<PathBuf>,
    /// The registry of sources; without one the upstream is the source of all that it holds.
    pub sources: Option<PathBuf>,
    /// Time for one evaluation.
    pub time: Duration,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self { engine: EngineSetting::Auto, roster: None, sources: None, time: limits::POLICY_TIME }
    }
}

/// The policies in force.
#[derive(Debug)]
pub struct Policies {
    current: RwLock<Arc<PolicySet>>,
    settings: PolicySettings,
}

impl Policies {
    /// Loads a folder.
    pub fn load(dir: &Path, settings: PolicySettings) -> Result<Self, Vec<PolicyProblem>> {
        let set = PolicySet::load(dir, &settings)?;
        Ok(Self { current: RwLock::new(Arc::new(set)), settings })
    }

    /// The set in force; a decision keeps the one it began with.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the folder and the roster anew. Where anything is wrong, what is in force stays in force.
    pub fn reload(&self, dir: &Path) -> Result<Revision, Vec<PolicyProblem>> {
        let set = Arc::new(PolicySet::load(dir, &self.settings)?);
        let revision = set.revision().clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(revision)
    }
}

/// One complete set of policies, data and rosters.
pub struct PolicySet {
    revision: Revision,
    fingerprint: [u8; 32],
    interpreter: Interpreter,
    machine: Option<Machine>,
    why: String,
    roster: Arc<Roster>,
    registry: Option<Arc<Registry>>,
    sensitivity: Arc<Sensitivity>,
    time: Duration,
}

impl PolicySet {
    fn load(dir: &Path, settings: &PolicySettings) -> Result<Self, Vec<PolicyProblem>> {
        let roster = match &settings.roster {
            None => Roster::empty(),
            Some(path) => Roster::load(path)
                .map_err(|error| vec![PolicyProblem::in_file(path.display().to_string(), error.to_string())])?,
        };
        let registry = settings.sources.as_ref().map(|path| Sources::load(path).map(Registry::new)).transpose();
        let prepared = on_a_large_stack(|| Self::prepare(&Files::read(dir)?, roster, settings));
        match (prepared, registry) {
            (Ok(prepared), Ok(registry)) => Ok(Self { registry: registry.map(Arc::new), ..prepared }),
            (prepared, registry) => {
                let mut problems = prepared.err().unwrap_or_default();
                problems.extend(registry.err().into_iter().flatten().map(PolicyProblem::in_registry));
                Err(problems)
            }
        }
    }

    fn prepare(files: &Files, roster: Roster, settings: &PolicySettings) -> Result<Self, Vec<PolicyProblem>> {
        let sensitivity = Arc::new(Sensitivity::read(&files.lists)?);
        let mut engine = engine(files)?;
        let modules: Vec<Ref<Module>> = engine.get_modules().clone();
        let problems = admission::problems(&modules);
        if !problems.is_empty() {
            return Err(problems);
        }
        let interpreter = Interpreter::prepare(engine).map_err(|why| vec![PolicyProblem::in_file(".", why)])?;
        try_on_a_stranger(&interpreter)?;
        let proof = match settings.engine {
            EngineSetting::Interpreter => Err("the setting says so".to_owned()),
            EngineSetting::Auto => gate::prove(&modules, &interpreter, &policy_tests::inputs(files)),
        };
        let (machine, why) = match proof {
            Ok(machine) => (Some(machine), "proved equal to the interpreter".to_owned()),
            Err(why) => (None, why),
        };
        let revision = files.revision();
        let both = [revision.as_str().as_bytes(), roster.digest()].concat();
        let fingerprint = digest(&SHA256, &both).as_ref().try_into().unwrap_or_default();
        let (roster, time) = (Arc::new(roster), settings.time);
        Ok(Self { revision, fingerprint, interpreter, machine, why, roster, registry: None, sensitivity, time })
    }

    /// Digest of policies and data.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The engine that decides.
    pub fn engine(&self) -> Engine {
        if self.machine.is_some() { Engine::Machine } else { Engine::Interpreter }
    }

    /// Why that engine.
    pub fn engine_reason(&self) -> &str {
        &self.why
    }

    /// The memberships that came with the set.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The registry of sources, where there is one.
    pub fn registry(&self) -> Option<&Arc<Registry>> {
        self.registry.as_ref()
    }

    /// What decisions are bound with.
    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            roster: Arc::clone(&self.roster),
            sensitivity: Arc::clone(&self.sensitivity),
            revision: self.revision.clone(),
        }
    }

    /// Changes with anything but the input that decides.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The decision document for an input.
    pub(super) fn evaluate(&self, input: &[u8]) -> Result<String, Failure> {
        let input = value(input).ok_or(Failure::Evaluation)?;
        let decision = match &self.machine {
            Some(machine) => machine.evaluate(0, input, self.time),
            None => self.interpreter.evaluate(ENTRY, input, self.time),
        }?;
        json(&decision)
    }
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet")
            .field("revision", &self.revision)
            .field("engine", &self.engine())
            .finish_non_exhaustive()
    }
}

/// A request by nobody, on which every policy must give a well-formed decision.
pub(super) const STRANGER: &str = r#"{"client":{"id":"","organization":"","purpose":"","attributes":{}},"scopes":[],"request":{"interaction":"read","type":"Patient","id":"x","patients":[],"parameters":[],"includes":[],"elements":[],"count_only":false},"facts":{"patients":{}},"time":{"today":"2000-01-01","back":{}}}"#;

fn try_on_a_stranger(interpreter: &Interpreter) -> Result<(), Vec<PolicyProblem>> {
    let problem =
        |text: String| Err(vec![PolicyProblem::in_file(".", format!("on the request of a stranger, {text}"))]);
    let Some(input) = value(STRANGER.as_bytes()) else { return problem("there is no input".to_owned()) };
    let decision = interpreter.evaluate(ENTRY, input, limits::POLICY_TRIAL).and_then(|decision| json(&decision));
    match decision.map(|text| decision::read(&text)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => problem(format!("the decision is malformed: {error}")),
        Err(Failure::Evaluation) => problem("the evaluation fails".to_owned()),
        Err(Failure::Timeout) => problem("the evaluation takes too long".to_owned()),
        Err(Failure::Undefined) => problem("there is no decision".to_owned()),
    }
}

/// An engine that holds policies and data.
pub(super) fn engine(files: &Files) -> Result<regorus::Engine, Vec<PolicyProblem>> {
    let mut engine = regorus::Engine::new();
    engine.set_strict_builtin_errors(true);
    let mut problems = Vec::new();
    for (file, text) in &files.policies {
        problems.extend(add(&mut engine, file, text));
    }
    for (file, text) in &files.data {
        problems.extend(add_data(&mut engine, file, text));
    }
    if problems.is_empty() { Ok(engine) } else { Err(problems) }
}

/// Parses a policy into an engine.
pub(super) fn add(engine: &mut regorus::Engine, file: &str, text: &str) -> Option<PolicyProblem> {
    let error = engine.add_policy(file.to_owned(), text.to_owned()).err()?.to_string();
    let line = error
        .split_once("--> ")
        .and_then(|(_, place)| place.lines().next()?.strip_prefix(file)?.split(':').nth(1)?.parse().ok());
    Some(PolicyProblem { file: file.to_owned(), line, text: last_line(&error) })
}

/// Merges one data document into the root of `data`. Repeated members are refused: which one counts would be a guess.
fn add_data(engine: &mut regorus::Engine, file: &str, text: &str) -> Option<PolicyProblem> {
    let mut tape = Tape::new();
    let root = match tape.read(text.as_bytes()) {
        Ok(document) => document.root(),
        Err(error) => return Some(PolicyProblem::in_file(file, error.to_string())),
    };
    if root.kind() != Kind::Object || root.get("portcullis").is_some() {
        return Some(PolicyProblem::in_file(file, "must be an object, without a member `portcullis`"));
    }
    let added = regorus::Value::from_json_str(text).and_then(|data| engine.add_data(data));
    added.err().map(|error| PolicyProblem::in_file(file, last_line(&error.to_string())))
}

/// Runs work that recurses with the policies' depth on a thread of its own.
pub(super) fn on_a_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, Vec<PolicyProblem>> + Send,
) -> Result<T, Vec<PolicyProblem>> {
    let failed = || vec![PolicyProblem::in_file(".", "the policies could not be examined")];
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("policies".to_owned()).stack_size(limits::POLICY_STACK);
        worker.spawn_scoped(scope, work).map_err(|_| failed())?.join().unwrap_or_else(|_| Err(failed()))
    })
}
