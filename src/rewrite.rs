//! Step 5: what the EHR is asked.
//!
//! Takes: the interaction and the permit for it. Gives: [`Prepared`], the one request that may go upstream,
//! together with the [`Question`] its answer will be judged by. Guarantees: composed from typed parts only;
//! narrowed to the permitted patients and constraints; never wider than what the client asked. Refuses: types,
//! includes and predicates that the decision does not release (a yes or no about a withheld element is a
//! disclosure), and page links of another decision. No I/O.

mod evidence;
mod narrow;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::decide::{Elements, Permit, TypeRule};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::path::Path;
use crate::fhir::search::{self as fhir_search, Criterion, Definition, Operand};
use crate::fhir::subject;
use crate::limits;
use crate::understand::{Include, Interaction, QUERY_BYTES, Read, Search, encode_pair};
pub use evidence::{LookUp, ProvenanceFrom, Together};

/// Why a permitted interaction cannot be carried out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RewriteError {
    /// The decision does not release what a parameter reads.
    #[error("search parameter `{0}` reads an element that is not released")]
    Predicate(Box<str>),
    /// The decision does not permit an include.
    #[error("`{0}` is not permitted")]
    Include(Box<str>),
    /// The decision has no rule for the type.
    #[error("the resource type is not permitted")]
    Type,
    /// None of the patients asked for is permitted: looks like absence.
    #[error("no permitted patient")]
    NoPatient,
    /// The page or content link was made under another decision.
    #[error("the link belongs to an earlier decision; ask for what it came from again")]
    Superseded,
}

/// What was asked, under which permit, about which patients: everything that judges the answer.
#[derive(Debug)]
pub struct Question {
    interaction: Interaction,
    permit: Permit,
    patients: Option<Vec<Id>>,
    narrowed_by: Vec<Box<str>>,
}

impl Question {
    /// The interaction.
    pub fn interaction(&self) -> &Interaction {
        &self.interaction
    }

    /// The permit.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The rule for a type; `None` is not permitted.
    pub fn rule(&self, resource_type: ResourceType) -> Option<&TypeRule> {
        self.permit.obligations().rule(resource_type)
    }

    /// The parameters by which the EHR was asked for less, without modifiers; none of a read or of a further page.
    pub fn narrowed_by(&self) -> &[Box<str>] {
        &self.narrowed_by
    }

    /// Whether data of this patient may be released: permitted by the decision, and among those asked for.
    pub fn admits(&self, patient: &Id) -> bool {
        let asked = self.patients.as_ref().is_none_or(|patients| patients.contains(patient));
        asked && self.permit.obligations().patients().admits(patient)
    }

    /// Matches that a page may hold at most: what the client asked for, and what the decision lets. `None` where neither
    /// says, or there are no pages: for a read, and where only the number of matches is wanted.
    pub fn page_limit(&self) -> Option<u32> {
        let search = self.paged()?;
        search.shape().count.into_iter().chain(self.permit.obligations().page_cap()).min()
    }

    /// Matches with which a page is full, as they are asked of the EHR.
    pub fn page_size(&self) -> Option<u32> {
        self.paged().map(|search| page_size(search, self.permit.obligations().page_cap()))
    }

    fn paged(&self) -> Option<&Search> {
        self.interaction.search().filter(|search| !search.shape().count_only)
    }

    /// Where the EHR itself says that its answer to this question goes on: `continuation` is a path and query below its
    /// base, out of an answer that was judged.
    pub fn onward(&self, continuation: &str) -> Onward {
        Onward {
            target: continuation.into(),
            resource_type: self.interaction.resource_type(),
            keep: self.permit.obligations().cache(),
        }
    }
}

/// A further page of an answer that is being judged. Made of a [`Question`] only.
#[derive(Debug)]
pub struct Onward {
    target: Box<str>,
    resource_type: ResourceType,
    keep: Duration,
}

impl Onward {
    /// Path and query below the EHR's base.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The type that is searched.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// How long the answer may be kept; zero is not at all.
    pub fn keep(&self) -> Duration {
        self.keep
    }
}

/// The one request that may go upstream. Made by [`rewrite`] only.
#[derive(Debug)]
pub struct Prepared {
    question: Question,
    target: Box<str>,
    form: Option<Bytes>,
    keep: Duration,
}

impl Prepared {
    /// Path and query below the EHR's base, beginning with `/` or `?`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The form of a search that is too long for a URL.
    pub fn form(&self) -> Option<&Bytes> {
        self.form.as_ref()
    }

    /// How long the answer may be kept; zero is not at all.
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// What the answer will be judged by.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Gives up the request for the question, once it is sent.
    pub fn into_question(self) -> Question {
        self.question
    }
}

/// Composes the upstream request. `asked_about` are the patients the request names, resolved by the gateway.
pub fn rewrite(interaction: Interaction, permit: Permit, asked_about: &[Id]) -> Result<Prepared, RewriteError> {
    let rule = permit.obligations().rule(interaction.resource_type()).ok_or(RewriteError::Type)?;
    let patients = narrow::patients(permit.obligations().patients(), asked_about);
    let owned = subject::parameter(interaction.resource_type()).is_some();
    if owned && patients.as_ref().is_some_and(Vec::is_empty) {
        return Err(RewriteError::NoPatient);
    }
    let mut narrowed_by = Vec::new();
    let (target, form) = match &interaction {
        Interaction::Read(read) => {
            if read.content().is_some_and(|content| content.revision() != permit.revision().as_str()) {
                return Err(RewriteError::Superseded);
            }
            (read_target(read), None)
        }
        Interaction::Search(search) => {
            check_predicates(search, rule, &permit)?;
            check_includes(search, &permit)?;
            search_target(search, rule, patients.as_deref(), permit.obligations().page_cap(), &mut narrowed_by)
        }
        Interaction::Page(page) => {
            check_predicates(page.search(), rule, &permit)?;
            check_includes(page.search(), &permit)?;
            if *page.decision() != permit.obligations().digest() {
                return Err(RewriteError::Superseded);
            }
            match page.continuation() {
                "" => {
                    let cap = permit.obligations().page_cap();
                    search_target(page.search(), rule, patients.as_deref(), cap, &mut narrowed_by)
                }
                continuation => (continuation.into(), None),
            }
        }
    };
    let keep = permit.obligations().cache();
    Ok(Prepared { question: Question { interaction, permit, patients, narrowed_by }, target, form, keep })
}

/// Composes the request for the content that a link leads to, once its document is judged. The decision must release
/// content as such.
pub fn content(question: Question) -> Result<Prepared, RewriteError> {
    let Interaction::Read(read) = question.interaction() else { return Err(RewriteError::Type) };
    let content = read.content().ok_or(RewriteError::Type)?;
    let binary = ResourceType::parse("Binary").map_err(|_| RewriteError::Type)?;
    question.rule(binary).ok_or(RewriteError::Type)?;
    let target = format!("/{binary}/{}", content.binary()).into();
    let keep = question.permit().obligations().cache();
    Ok(Prepared { question, target, form: None, keep })
}

fn read_target(read: &Read) -> Box<str> {
    format!("/{}/{}", read.resource_type(), read.id()).into()
}

fn search_target(
    search: &Search,
    rule: &TypeRule,
    patients: Option<&[Id]>,
    page_cap: Option<u32>,
    narrowed_by: &mut Vec<Box<str>>,
) -> (Box<str>, Option<Bytes>) {
    let mut query = String::with_capacity(QUERY_BYTES);
    let scope = subject::parameter(search.resource_type()).zip(patients);
    if let Some((parameter, patients)) = scope {
        let ids: Vec<&str> = patients.iter().map(Id::as_str).collect();
        encode_pair(parameter, &ids.join(","), &mut query);
        narrowed_by.push(parameter.into());
    }
    let mut written: Vec<(String, String)> = Vec::new();
    let own = search
        .criteria()
        .iter()
        .filter(|criterion| scope.is_none() || !subject::is_named_by(search.resource_type(), criterion));
    for criterion in narrow::plain_dates(own.chain(rule.narrowed(narrow::common)).collect()) {
        let pair = (criterion.key(), criterion.value());
        if !written.contains(&pair) {
            encode_pair(&pair.0, &pair.1, &mut query);
            narrowed_by.push(criterion.definition().name.clone());
            written.push(pair);
        }
    }
    for include in search.includes() {
        encode_pair(include.direction.as_str(), &include.to_string(), &mut query);
    }
    if !search.sort().is_empty() {
        let keys: Vec<String> = search.sort().iter().map(ToString::to_string).collect();
        encode_pair("_sort", &keys.join(","), &mut query);
    }
    encode_pair("_count", &page_size(search, page_cap).to_string(), &mut query);
    evidence::sendable(search.resource_type().as_str(), query)
}

fn page_size(search: &Search, page_cap: Option<u32>) -> u32 {
    let cap = page_cap.unwrap_or(limits::PAGE_COUNT);
    search.shape().count.map_or(cap, |count| count.min(cap))
}

/// Every element that a predicate or a sort key reads must be one that this client is given, unless the decision lets
/// it ask by that parameter.
fn check_predicates(search: &Search, rule: &TypeRule, permit: &Permit) -> Result<(), RewriteError> {
    let released = |path: &Path, systems: Option<&[&str]>| match path.first() {
        "id" => true,
        "meta" => matches!(rule.elements, Elements::All) || path.steps().eq(["meta", "lastUpdated"]),
        _ => narrow::releases(&rule.elements, path, systems),
    };
    // The reference to the patient leaves in any case, and with it nothing else of its element.
    let names_patient = |criterion: &Criterion| subject::is_named_by(search.resource_type(), criterion);
    let strange = |criterion: &Criterion| !names_patient(criterion) && names_stranger(criterion, permit);
    if let Some(criterion) = search.criteria().iter().find(|criterion| strange(criterion)) {
        return Err(RewriteError::Predicate(criterion.definition().name.clone()));
    }
    for criterion in search.criteria() {
        let name = &criterion.definition().name;
        let systems = narrow::systems(criterion);
        let reads_released = |path: &Path| released(path, systems.as_deref());
        let is_open = names_patient(criterion) || rule.searchable.contains(name);
        if !is_open && !criterion.definition().paths.iter().all(reads_released) {
            return Err(RewriteError::Predicate(name.clone()));
        }
    }
    for sort in search.sort() {
        let definition = fhir_search::lookup(search.resource_type(), &sort.parameter);
        let is_of_patient = |definition: &Definition| {
            definition.targets.iter().all(|target| &**target == "Patient")
                && *definition.paths == *subject::paths(search.resource_type())
        };
        let is_open = |definition: &&Definition| {
            is_of_patient(definition) || definition.paths.iter().all(|path| released(path, None))
        };
        if definition.filter(is_open).is_none() {
            return Err(RewriteError::Predicate(sort.parameter.clone()));
        }
    }
    Ok(())
}

/// Whether a value may lead to a patient who is not permitted: no reference to one leaves, hence none is asked by.
fn names_stranger(criterion: &Criterion, permit: &Permit) -> bool {
    let targets = &criterion.definition().targets;
    let any = || targets.iter().any(|target| matches!(&**target, "Patient" | "Resource"));
    criterion.operands().iter().any(|operand| match operand {
        Operand::Reference { resource_type, id } => {
            let is_patient = resource_type.map_or_else(any, |resource_type| resource_type.as_str() == "Patient");
            is_patient && !permit.obligations().patients().admits(id)
        }
        _ => false,
    })
}

fn check_includes(search: &Search, permit: &Permit) -> Result<(), RewriteError> {
    let refused = |include: &&Include| !permit.obligations().allows(include);
    match search.includes().iter().find(refused) {
        Some(include) => Err(RewriteError::Include(format!("{}={include}", include.direction.as_str()).into())),
        None => Ok(()),
    }
}
