//! What a permission is bound to: whose records, which types, which elements, without which labels.
//!
//! Takes: a checked decision. Gives: [`Obligations`], which rewriting and filtering both obey.
//! Guarantees: immutable, digested; what is not named is not released. Refuses: nothing; refusals happen
//! where a decision is read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::civil::Date;

use super::elements::Elements;
use super::permit::Revision;
use super::roster::Roster;
use super::scope::Holdings;
use super::sensitivity::{ComputedLabel, Sensitivity};
use crate::authorship::Verdict;
use crate::fhir::code_system::one_name;
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::search::Criterion;
use crate::understand::Include;

#[cfg(test)]
mod tests;

/// Why something is released or refused: published code, text for the client, and the law or contract it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The code, of the published code system of reasons.
    pub code: Box<str>,
    /// What the client is told; holds nothing about a patient.
    pub text: Box<str>,
    /// Law or contract.
    pub basis: Box<str>,
}

/// Whose records may be released.
#[derive(Clone, Debug)]
pub enum Patients {
    /// These, sorted.
    Listed(Box<[Id]>),
    /// Whoever is on a roster on a day.
    Roster {
        /// The roster's name.
        name: Box<str>,
        /// The memberships.
        roster: Arc<Roster>,
        /// The day.
        on: Date,
    },
}

impl Patients {
    /// Whether records of this patient may be released.
    pub fn admits(&self, patient: &Id) -> bool {
        match self {
            Self::Listed(ids) => ids.binary_search(patient).is_ok(),
            Self::Roster { name, roster, on } => roster.is_member(name, patient, *on),
        }
    }
}

/// The verdicts of authorship with which records of a type may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts(u8);

impl Verdicts {
    pub(super) fn of(verdicts: impl Iterator<Item = Verdict>) -> Self {
        Self(verdicts.fold(0, |all, verdict| all | Self::bit(verdict)))
    }

    /// Whether a record with this verdict may leave.
    pub fn admit(self, verdict: Verdict) -> bool {
        self.0 & Self::bit(verdict) != 0
    }

    fn bit(verdict: Verdict) -> u8 {
        1 << verdict as u8
    }
}

/// When an answer says, by Provenance of the gateway's own, what was done to its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatesChanges {
    /// Whenever something is released.
    Always,
    /// Where the client asks for Provenance, by `_revinclude=Provenance:target`.
    Asked,
}

impl StatesChanges {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "always" => Some(Self::Always),
            "asked" => Some(Self::Asked),
            _ => None,
        }
    }
}

/// What of one resource type may be released.
#[derive(Clone, Debug)]
pub struct TypeRule {
    /// A resource must match all criteria of at least one alternative; no alternatives is no constraint.
    pub alternatives: Vec<Vec<Criterion>>,
    /// The elements that are kept.
    pub elements: Elements,
    /// Search parameters that may be asked by although they read what is not kept: the number that a payer has for its
    /// member anyway.
    pub searchable: BTreeSet<Box<str>>,
    /// Who must be known to answer for a record; `None` where that is not asked, and no verdict is given.
    pub authorship: Option<Verdicts>,
    narrowed: OnceLock<Vec<Criterion>>,
}

impl TypeRule {
    /// Everything of a type, unless it is narrowed further.
    pub(super) fn new(elements: Elements) -> Self {
        let (alternatives, searchable, authorship) = (Vec::new(), BTreeSet::new(), None);
        Self { alternatives, elements, searchable, authorship, narrowed: OnceLock::new() }
    }

    /// The same rule with other alternatives.
    pub(super) fn with(self, alternatives: Vec<Vec<Criterion>>) -> Self {
        Self { alternatives, narrowed: OnceLock::new(), ..self }
    }

    /// What `narrow` makes of the alternatives, worked out once for all exchanges under this rule.
    pub fn narrowed(&self, narrow: impl FnOnce(&[Vec<Criterion>]) -> Vec<Criterion>) -> &[Criterion] {
        self.narrowed.get_or_init(|| narrow(&self.alternatives))
    }
}

/// One include that is allowed, in either direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AllowedInclude {
    pub(super) source: ResourceType,
    pub(super) parameter: Box<str>,
    pub(super) target: Option<ResourceType>,
}

/// A security label that is withheld: a code of a system, or every code of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    pub(super) system: Box<str>,
    pub(super) code: Option<Box<str>>,
}

/// What a permission is bound to.
#[derive(Debug)]
pub struct Obligations {
    pub(super) reasons: Vec<Reason>,
    pub(super) patients: Patients,
    /// Sorted by type.
    pub(super) types: Vec<(ResourceType, TypeRule)>,
    pub(super) labels: BTreeSet<Label>,
    /// The one name of each label's system.
    systems: Box<[Box<str>]>,
    pub(super) includes: BTreeSet<AllowedInclude>,
    pub(super) page_cap: Option<u32>,
    pub(super) cache: Duration,
    pub(super) provenance: Option<StatesChanges>,
    sensitivity: Arc<Sensitivity>,
    /// For each label that a list computes, whether it is withheld.
    computed: Box<[bool]>,
    digest: [u8; 16],
}

impl Obligations {
    #[expect(
        clippy::too_many_arguments,
        reason = "one for each part of a decision, and this is the only caller's list"
    )]
    pub(super) fn new(
        reasons: Vec<Reason>,
        patients: Patients,
        mut types: Vec<(ResourceType, TypeRule)>,
        labels: BTreeSet<Label>,
        includes: BTreeSet<AllowedInclude>,
        page_cap: Option<u32>,
        cache: Duration,
        provenance: Option<StatesChanges>,
        holdings: &Holdings,
    ) -> Self {
        types.sort_by_key(|(resource_type, _)| *resource_type);
        let (sensitivity, computed, digest) = (Arc::clone(&holdings.sensitivity), Box::default(), [0; 16]);
        let systems = labels.iter().map(|label| one_name(&label.system).into()).collect();
        let mut obligations = Self {
            reasons,
            patients,
            types,
            labels,
            systems,
            includes,
            page_cap,
            cache,
            provenance,
            sensitivity,
            computed,
            digest,
        };
        let labels = obligations.sensitivity.labels();
        obligations.computed = labels.iter().map(|of| obligations.withholds_label(&of.system, &of.code)).collect();
        obligations.digest = obligations.digested(&holdings.revision);
        obligations
    }

    /// The first half of the SHA-256 of everything that changes what is released.
    pub fn digest(&self) -> [u8; 16] {
        self.digest
    }

    /// Why it is released.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whose records may be released.
    pub fn patients(&self) -> &Patients {
        &self.patients
    }

    /// What of this type may be released; `None` is nothing.
    pub fn rule(&self, resource_type: ResourceType) -> Option<&TypeRule> {
        let at = self.types.binary_search_by_key(&resource_type, |(of, _)| *of).ok()?;
        self.types.get(at).map(|(_, rule)| rule)
    }

    /// Whether the verdict of authorship is asked for records of some type.
    pub fn asks_authorship(&self) -> bool {
        self.types.iter().any(|(_, rule)| rule.authorship.is_some())
    }

    /// The types of which something may be released.
    pub fn types(&self) -> impl Iterator<Item = ResourceType> {
        self.types.iter().map(|(resource_type, _)| *resource_type)
    }

    /// Whether a resource or element with this label is withheld. An absent system or code is an empty text, and is
    /// read as widely as it could have been meant; so are letters' case and blanks, and the spellings of a system.
    pub fn withholds_label(&self, system: &str, code: &str) -> bool {
        let (given, code) = (system, code.trim());
        let system = one_name(given);
        self.labels.iter().zip(&self.systems).any(|(label, own)| {
            let same_system = system.is_empty() || own.eq_ignore_ascii_case(&system);
            let same_code =
                code.is_empty() || label.code.as_deref().is_none_or(|withheld| withheld.eq_ignore_ascii_case(code));
            same_system && same_code
        })
    }

    /// Whether some label that is withheld is computed from codes.
    pub fn computes_labels(&self) -> bool {
        self.computed.contains(&true)
    }

    /// Whether a code may mean a label that is withheld; wrong at times, but never about one that does.
    pub fn may_be_sensitive(&self, code: &str) -> bool {
        self.sensitivity.may_list(code)
    }

    /// The label that is withheld and that this code means, where there is one. An absent system is an empty text.
    pub fn computed_label(&self, system: &str, code: &str) -> Option<&ComputedLabel> {
        let is_withheld = |label: &usize| self.computed.get(*label).is_some_and(|withheld| *withheld);
        let label = self.sensitivity.of(system, code).find(is_withheld)?;
        self.sensitivity.labels().get(label)
    }

    /// Whether this `_include` or `_revinclude` may be followed.
    pub fn allows(&self, include: &Include) -> bool {
        self.includes.iter().any(|allowed| {
            allowed.source == include.source
                && allowed.parameter == include.parameter
                && (allowed.target.is_none() || allowed.target == include.target)
        })
    }

    /// Matches per page at most.
    pub fn page_cap(&self) -> Option<u32> {
        self.page_cap
    }

    /// When an answer says what was done to its records; `None` is never.
    pub fn states_changes(&self) -> Option<StatesChanges> {
        self.provenance
    }

    /// Whether records with some label are withheld.
    pub fn withholds_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// How long an answer may be kept and given again; zero is not at all.
    pub fn cache(&self) -> Duration {
        self.cache
    }

    fn digested(&self, revision: &Revision) -> [u8; 16] {
        let mut text = String::new();
        let _ = self.write_canonical(&mut text);
        // Lists have no digest of their own; they are part of the revision.
        if self.computes_labels() {
            text.push_str(revision.as_str());
        }
        let full = digest::digest(&digest::SHA256, text.as_bytes());
        let mut half = [0; 16];
        for (slot, byte) in half.iter_mut().zip(full.as_ref()) {
            *slot = *byte;
        }
        half
    }

    /// Length-prefixed, so that no two obligations share one text.
    fn write_canonical(&self, out: &mut String) -> std::fmt::Result {
        match &self.patients {
            Patients::Listed(ids) => ids.iter().try_for_each(|id| write!(out, "p{}:{id}", id.as_str().len()))?,
            Patients::Roster { name, roster, on } => {
                write!(out, "r{}:{name}{on}", name.len())?;
                roster.digest().iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
            }
        }
        for (resource_type, rule) in &self.types {
            write!(out, "t{resource_type}{{")?;
            for alternative in &rule.alternatives {
                out.push('|');
                for criterion in alternative {
                    let text = criterion.to_string();
                    write!(out, "c{}:{text}", text.len())?;
                }
            }
            rule.elements.write_canonical(out)?;
            rule.searchable.iter().try_for_each(|name| write!(out, "q{}:{name}", name.len()))?;
            if let Some(Verdicts(bits)) = rule.authorship {
                write!(out, "a{bits}")?;
            }
            out.push('}');
        }
        for label in &self.labels {
            let code = label.code.as_deref().unwrap_or_default();
            write!(out, "l{}:{}{}:{code}", label.system.len(), label.system, code.len())?;
        }
        for include in &self.includes {
            let target = include.target.map_or("", ResourceType::as_str);
            write!(out, "i{}:{}:{target};", include.source, include.parameter)?;
        }
        write!(out, "n{:?}s{}", self.page_cap, self.cache.as_secs())?;
        match self.provenance {
            None => Ok(()),
            Some(StatesChanges::Always) => out.write_str("va"),
            Some(StatesChanges::Asked) => out.write_str("vq"),
        }
    }
}
