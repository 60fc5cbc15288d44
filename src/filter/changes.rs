//! Provenance of the gateway's own: what it did to the records that it releases (HRex Provenance, on US Core's).
//!
//! Takes: the records of an answer as they are written, and in whose name. Gives: entries for the same answer: one Provenance that
//! names the records which were chosen by the decision, and one that names those which were redacted. Guarantees: both depend on
//! the decision and on what is released, and on nothing that is withheld: "chosen" is said of every answer under a decision that
//! chooses, whether or not that made a difference, and "redacted" of what carries the tag for it anyway. Nobody else's
//! Provenance is touched. Refuses: to say anything unless the decision asks for it, and permits the type Provenance at all.
//!
//! The gateway is the assembler, a Device on behalf of its organisation, and never an author. Each target has the record of the
//! source as an entity, by the version that the source states. No clock and no randomness: the instant and the names come along.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

use super::judge::{Mode, Release};
use crate::clock::Now;
use crate::config::Organization;
use crate::decide::{Elements, StatesChanges};
use crate::fhir::json::{Kind, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::id::Token128;
use crate::limits;
use crate::rewrite::Question;
use crate::understand::{Direction, Summary};

/// The system of the activities.
const ACTIVITIES: &str = "urn:portcullis:change";
const PARTICIPANTS: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const PURPOSES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

/// What a Provenance takes beside its targets, but for the names of the organisation.
const FRAME_BYTES: usize = 1_500;
/// What a target and its source take beside their names.
const TARGET_BYTES: usize = 64;

/// In whose name it is said what was done, and when.
#[derive(Clone, Copy, Debug)]
pub struct Assembler<'a> {
    /// The organisation.
    pub organization: &'a Organization,
    /// The purpose of use of the request, a code of v3-ActReason.
    pub purpose: &'static str,
    /// When the answer is assembled.
    pub now: Now,
    /// What the names of the resources are made of. No two answers share it.
    pub seed: Token128,
}

/// What was done to the records of one answer, as far as it is written.
pub(super) struct Changes<'a> {
    assembler: Assembler<'a>,
    gateway: &'a str,
    revision: &'a str,
    /// Whether the decision chooses among the records of the type that was asked for.
    chooses: bool,
    chosen: Vec<Target>,
    redacted: Vec<Target>,
    begun: u64,
}

struct Target {
    name: Reference,
    version: Option<Id>,
}

/// What was done.
#[derive(Clone, Copy)]
enum Activity {
    Chosen,
    Redacted,
}

impl Activity {
    fn code(self) -> &'static str {
        match self {
            Self::Chosen => "narrowed",
            Self::Redacted => "redacted",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Chosen => "Selected from the records of the source as the policy permits",
            Self::Redacted => "Reduced to the elements that the policy permits",
        }
    }
}

/// Whether an answer to this question says what was done to it.
pub fn states_changes(question: &Question) -> bool {
    let Some(search) = question.interaction().search() else { return false };
    let is_provenance = |resource_type: ResourceType| resource_type.as_str() == "Provenance";
    let is_asked = || {
        search.includes().iter().any(|include| {
            include.direction == Direction::Reverse && is_provenance(include.source) && &*include.parameter == "target"
        })
    };
    let obligations = question.permit().obligations();
    let wanted = match obligations.states_changes() {
        None => false,
        Some(StatesChanges::Always) => true,
        Some(StatesChanges::Asked) => is_asked(),
    };
    wanted && obligations.types().any(is_provenance)
}

impl<'a> Changes<'a> {
    /// Nothing done yet; `None` where nothing is to be said.
    pub(super) fn of(question: &'a Question, gateway: &'a str, assembler: Assembler<'a>) -> Option<Self> {
        let obligations = question.permit().obligations();
        let rule = question.rule(question.interaction().resource_type());
        let chooses = obligations.withholds_labels()
            || rule.is_some_and(|rule| !rule.alternatives.is_empty() || rule.authorship.is_some());
        states_changes(question).then(|| Self {
            assembler,
            gateway,
            revision: question.permit().revision().as_str(),
            chooses,
            chosen: Vec::new(),
            redacted: Vec::new(),
            begun: 0,
        })
    }

    /// The same for the same answer, written anew.
    pub(super) fn again(self) -> Self {
        Self { chosen: Vec::new(), redacted: Vec::new(), begun: 0, ..self }
    }

    /// Takes in a record that was written; `whole` says whether nothing was removed from it.
    pub(super) fn wrote(&mut self, name: &Reference, resource: Value<'_>, release: &Release<'_>, whole: bool) {
        let version = || {
            let version = resource.get("meta").filter(|meta| meta.kind() == Kind::Object)?.get("versionId")?.text()?;
            Id::parse(&version).ok()
        };
        // What the client itself did not want is no change of the gateway's; and then the tag would not tell of one.
        let asked_for_less = !release.asked_elements.is_empty() || release.summary != Summary::Whole;
        let by_decision = !matches!(release.elements, Elements::All);
        if by_decision || (!whole && !asked_for_less) {
            self.redacted.push(Target { name: name.clone(), version: version() });
        }
        if self.chooses && release.mode == Mode::Match {
            self.chosen.push(Target { name: name.clone(), version: version() });
        }
    }

    /// How many bytes the entries that are not written yet will take, at most and nearly.
    pub(super) fn pending_len(&self) -> usize {
        let name = |target: &Target| {
            let version = target.version.as_ref().map_or(0, |version| version.as_str().len() + 10);
            2 * (self.gateway.len() + target.name.resource_type.as_str().len() + target.name.id.as_str().len())
                + version
        };
        let of = |targets: &[Target]| match targets.len() {
            0 => 0,
            count => FRAME_BYTES + count * TARGET_BYTES + targets.iter().map(name).sum::<usize>(),
        };
        of(&self.chosen) + of(&self.redacted)
    }

    /// Writes the entries that are full, to be told apart from the others by whoever writes those.
    pub(super) fn full(&mut self, write: impl FnMut(&[u8])) {
        self.entries(limits::PROVENANCE_TARGETS, write);
    }

    /// Writes the entries that are left.
    pub(super) fn rest(&mut self, write: impl FnMut(&[u8])) {
        self.entries(1, write);
    }

    fn entries(&mut self, least: usize, mut write: impl FnMut(&[u8])) {
        for activity in [Activity::Chosen, Activity::Redacted] {
            let targets = match activity {
                Activity::Chosen => &mut self.chosen,
                Activity::Redacted => &mut self.redacted,
            };
            if targets.len() >= least {
                let targets = std::mem::take(targets);
                write(&self.entry(activity, &targets));
            }
        }
    }

    fn entry(&mut self, activity: Activity, targets: &[Target]) -> Vec<u8> {
        let name = self.name();
        let Assembler { organization, purpose, now, .. } = self.assembler;
        let instant = now.to_instant();
        let coded = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
        let target = |target: &Target| json!({"reference": self.url(target, None)});
        let source = |target: &Target| json!({"role": "source", "what": {"reference": self.url(target, target.version.as_ref())}});
        json!({
            "fullUrl": format!("urn:uuid:{name}"),
            "resource": {
                "resourceType": "Provenance",
                "id": name,
                "contained": [
                    {"resourceType": "Device", "id": "gateway", "type": {"text": "FHIR gateway"}},
                    {
                        "resourceType": "Organization",
                        "id": "organization",
                        "identifier": [{"system": organization.system, "value": organization.value}],
                        "active": true,
                        "name": organization.name,
                    },
                ],
                "target": targets.iter().map(target).collect::<Vec<_>>(),
                "occurredDateTime": instant,
                "recorded": instant,
                "policy": [format!("urn:portcullis:policy:{}", self.revision)],
                "reason": [coded(PURPOSES, purpose)],
                "activity": {
                    "coding": [{"system": ACTIVITIES, "code": activity.code()}],
                    "text": activity.text(),
                },
                "agent": [{
                    "type": coded(PARTICIPANTS, "assembler"),
                    "who": {"reference": "#gateway"},
                    "onBehalfOf": {"reference": "#organization"},
                }],
                "entity": targets.iter().map(source).collect::<Vec<_>>(),
            },
            "search": {"mode": "include"},
        })
        .to_string()
        .into_bytes()
    }

    fn url(&self, target: &Target, version: Option<&Id>) -> String {
        let Reference { resource_type, id } = &target.name;
        let version = version.map(|version| format!("/_history/{version}")).unwrap_or_default();
        format!("{}/{resource_type}/{id}{version}", self.gateway)
    }

    /// A UUID of the answer's own, another one each time.
    fn name(&mut self) -> String {
        let number = self.begun.to_be_bytes();
        self.begun += 1;
        let hash = digest(&SHA256, &[self.assembler.seed.to_string().as_bytes(), &number].concat());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash.as_ref()).for_each(|(slot, byte)| *slot = *byte);
        Token128::from_bytes(bytes).uuid()
    }
}
