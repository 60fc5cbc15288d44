//! A Provenance, read strictly: to the last agent, or not at all.
//!
//! Takes: a Provenance resource. Gives: a [`Provenance`], or why it is none, with the targets that it names. Guarantees: a
//! target is a literal reference, and who acted is known for each agent. Refuses: a Provenance without target, with a
//! target that is none, without `recorded`, with a time that is no time, an agent without `who`, and more of anything
//! than [`limits`] allow.

use jiff::Timestamp;
use thiserror::Error;

use super::names::{Index, Name, split_version};
use super::party::Link;
use crate::fhir::date::Span;
use crate::fhir::json::{Kind, Value};
use crate::limits;

/// The code system of agents' types (R4).
const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
/// US Core's, which adds the transmitter.
const US_CORE_PARTICIPANT: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type";

/// Why a Provenance does not count.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProvenanceError {
    /// No `agent`, or one without a `who` that can be read.
    #[error("an agent of the provenance is not named")]
    Agent,
    /// More targets, agents or entities than are read.
    #[error("the provenance is too long")]
    Long,
    /// No `target`, or one that is no literal reference.
    #[error("a target of the provenance is no literal reference")]
    Target,
    /// `recorded` is no instant, or `occurred[x]` no time.
    #[error("a time of the provenance cannot be read")]
    Time,
}

/// What an agent did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Acts {
    pub(super) authored: bool,
    pub(super) transmitted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) acts: Acts,
    pub(super) who: Link,
    pub(super) on_behalf_of: Option<Link>,
}

/// What the target was made of.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) what: Option<Name>,
    pub(super) agents: Vec<Agent>,
}

#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: Name,
    pub(super) version: Option<Box<str>>,
}

/// A Provenance that can be read.
#[derive(Clone, Debug)]
pub(super) struct Provenance {
    pub(super) agents: Vec<Agent>,
    pub(super) sources: Vec<Source>,
    pub(super) occurred: Option<Span>,
    pub(super) recorded: Timestamp,
    /// The text of `signature`, if there is one.
    pub(super) signature: Option<Box<str>>,
    /// How many `target`s there are.
    pub(super) targets: usize,
}

/// The targets that can be read, each once, and whether that was all of them.
pub(super) fn targets(resource: Value<'_>, names: &mut Index) -> (Vec<Target>, bool) {
    let mut all = Vec::new();
    let mut complete = resource.get("target").is_some();
    for (count, target) in resource.get("target").into_iter().flat_map(Value::each).enumerate() {
        let literal = target.get("reference").and_then(Value::text).filter(|text| !text.starts_with('#'));
        let Some(literal) = literal.filter(|_| count < limits::PROVENANCE_TARGETS) else {
            complete = false;
            continue;
        };
        let (bare, version) = split_version(&literal);
        let (name, resource_type) = names.intern(bare);
        let stated = target.get("type").and_then(Value::text);
        complete &=
            stated.is_none_or(|stated| resource_type.is_none_or(|resource_type| resource_type.as_str() == stated));
        complete &= version.is_none_or(|version| !version.is_empty() && !version.contains('/'));
        all.push(Target { name, version: version.map(Into::into) });
    }
    let complete = complete && !all.is_empty();
    (all, complete)
}

impl Provenance {
    /// Reads all but the targets.
    pub(super) fn read(resource: Value<'_>, names: &mut Index) -> Result<Self, ProvenanceError> {
        let recorded = resource.get("recorded").and_then(Value::text);
        let recorded = recorded.and_then(|text| instant(&text)).ok_or(ProvenanceError::Time)?;
        let occurred = occurred(resource)?;
        let actors = agents(resource.get("agent"), resource, names)?;
        if actors.is_empty() {
            return Err(ProvenanceError::Agent);
        }
        let mut sources = Vec::new();
        for (count, entity) in resource.get("entity").into_iter().flat_map(Value::each).enumerate() {
            if count == limits::PROVENANCE_ENTITIES {
                return Err(ProvenanceError::Long);
            }
            if entity.get("role").and_then(Value::text).is_some_and(|role| role == "source") {
                let literal = entity.get("what").and_then(|what| what.get("reference")).and_then(Value::text);
                let what = literal.filter(|literal| !literal.starts_with('#')).map(|literal| names.intern(&literal).0);
                sources.push(Source { what, agents: agents(entity.get("agent"), resource, names)? });
            }
        }
        let signature = resource.get("signature").filter(|signature| !signature.is_empty());
        let signature = signature.map(|signature| signature.raw().into());
        let targets = resource.get("target").into_iter().flat_map(Value::each).count();
        Ok(Self { agents: actors, sources, occurred, recorded, signature, targets })
    }
}

fn agents(value: Option<Value<'_>>, container: Value<'_>, names: &mut Index) -> Result<Vec<Agent>, ProvenanceError> {
    let mut agents = Vec::new();
    for agent in value.into_iter().flat_map(Value::each) {
        if agents.len() == limits::PROVENANCE_AGENTS {
            return Err(ProvenanceError::Long);
        }
        let link = |value, names: &mut Index| match Link::read(value, container, names) {
            Link::Broken => Err(ProvenanceError::Agent),
            link => Ok(link),
        };
        let who = link(agent.get("who").ok_or(ProvenanceError::Agent)?, names)?;
        let on_behalf_of = agent.get("onBehalfOf").map(|value| link(value, names)).transpose()?;
        agents.push(Agent { acts: acts(agent), who, on_behalf_of });
    }
    Ok(agents)
}

fn acts(agent: Value<'_>) -> Acts {
    let mut acts = Acts::default();
    let codings = agent.get("type").and_then(|concept| concept.get("coding")).into_iter().flat_map(Value::each);
    for coding in codings {
        let text = |name: &str| coding.get(name).and_then(Value::text);
        let (Some(system), Some(code)) = (text("system"), text("code")) else { continue };
        acts.authored |= system == PARTICIPANT && code == "author";
        acts.transmitted |= (system == US_CORE_PARTICIPANT || system == PARTICIPANT) && code == "transmitter";
    }
    acts
}

fn occurred(resource: Value<'_>) -> Result<Option<Span>, ProvenanceError> {
    let (point, period) = (resource.get("occurredDateTime"), resource.get("occurredPeriod"));
    match (point, period) {
        (None, None) => Ok(None),
        (Some(point), None) => {
            let span = point.text().and_then(|text| Span::parse(&text));
            span.map(Some).ok_or(ProvenanceError::Time)
        }
        (None, Some(period)) if period.kind() == Kind::Object => {
            let text = |name: &str| period.get(name).and_then(Value::text);
            let span = Span::period(text("start").as_deref(), text("end").as_deref());
            span.map(Some).ok_or(ProvenanceError::Time)
        }
        _ => Err(ProvenanceError::Time),
    }
}

/// An `instant`: to the second at least, with its time zone.
fn instant(text: &str) -> Option<Timestamp> {
    let (_, time) = text.split_once('T')?;
    let has_zone = time.contains(['Z', '+', '-']);
    let has_seconds =
        time.bytes().filter(|byte| *byte == b':').take(2).count() == 2 && time.as_bytes().get(5) == Some(&b':');
    Span::parse(text).filter(|_| has_zone && has_seconds)?.start
}

/// Whether a Provenance has a target of which `is` holds, told by the literal reference without its version.
pub fn is_about(provenance: Value<'_>, is: impl Fn(&str) -> bool) -> bool {
    let targets = provenance.get("target").into_iter().flat_map(Value::each);
    let mut literals = targets.filter_map(|target| target.get("reference").and_then(Value::text));
    literals.any(|literal| is(split_version(&literal).0))
}

/// What may be shown of a Provenance beside what leaves of its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// All of it.
    Whole,
    /// It, without the targets at these places: it is unsigned, and the others leave.
    Without(Vec<usize>),
    /// Nothing: no target leaves, or it is signed and cannot be cut, or a target cannot be told.
    Withheld,
}

/// How a Provenance may leave, where `leaves` tells of a literal reference whether that resource does (PRV-04). It is
/// never changed where it is signed (PRV-31).
pub fn passage(provenance: Value<'_>, leaves: impl Fn(&str) -> bool) -> Passage {
    let mut staying = Vec::new();
    let mut count = 0;
    for (place, target) in provenance.get("target").into_iter().flat_map(Value::each).enumerate() {
        count += 1;
        match target.get("reference").and_then(Value::text) {
            Some(literal) if leaves(split_version(&literal).0) => {}
            Some(_) => staying.push(place),
            None => return Passage::Withheld,
        }
    }
    let is_signed = provenance.get("signature").is_some();
    match staying.len() {
        _ if count == 0 => Passage::Withheld,
        0 => Passage::Whole,
        stay if stay == count || is_signed => Passage::Withheld,
        _ => Passage::Without(staying),
    }
}
