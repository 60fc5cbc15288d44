//! Step 5: what the EHR is asked.
//!
//! Takes: the interaction and the permit for it. Gives: [`Prepared`], the one request that may go upstream,
//! together with the [`Question`] its answer will be judged by. Guarantees: composed from typed parts only;
//! narrowed to the permitted patients and constraints; never wider than what the client asked. Refuses: types,
//! includes and predicates that the decision does not release (a yes or no about a withheld element is a
//! disclosure), and page links of another decision. No I/O.

mod narrow;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::decide::{Elements, Permit, TypeRule};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::path::Path;
use crate::fhir::search as fhir_search;
use crate::fhir::subject;
use crate::limits;
use crate::understand::{Include, Interaction, Page, Read, Search, encode_pair};

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
    /// The page link was made under another decision.
    #[error("the page link belongs to an earlier decision; run the search again")]
    Superseded,
}

/// What was asked, under which permit, about which patients: everything that judges the answer.
#[derive(Debug)]
pub struct Question {
    interaction: Interaction,
    permit: Permit,
    patients: Option<Vec<Id>>,
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

    /// Whether data of this patient may be released: permitted by the decision, and among those asked for.
    pub fn admits(&self, patient: &Id) -> bool {
        let asked = self.patients.as_ref().is_none_or(|patients| patients.contains(patient));
        asked && self.permit.obligations().patients().admits(patient)
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
    let (target, form) = match &interaction {
        Interaction::Read(read) => (read_target(read), None),
        Interaction::Search(search) => {
            check_predicates(search, rule)?;
            check_includes(search, &permit)?;
            search_target(search, rule, patients.as_deref(), permit.obligations().page_cap())
        }
        Interaction::Page(page) => {
            check_predicates(page.search(), rule)?;
            check_includes(page.search(), &permit)?;
            (page_target(page, &permit)?, None)
        }
    };
    let keep = permit.obligations().cache();
    Ok(Prepared { question: Question { interaction, permit, patients }, target, form, keep })
}

fn read_target(read: &Read) -> Box<str> {
    format!("/{}/{}", read.resource_type(), read.id()).into()
}

fn page_target(page: &Page, permit: &Permit) -> Result<Box<str>, RewriteError> {
    if *page.decision() == permit.obligations().digest() {
        Ok(page.continuation().into())
    } else {
        Err(RewriteError::Superseded)
    }
}

fn search_target(
    search: &Search,
    rule: &TypeRule,
    patients: Option<&[Id]>,
    page_cap: Option<u32>,
) -> (Box<str>, Option<Bytes>) {
    let mut query = String::new();
    let scope = subject::parameter(search.resource_type()).zip(patients);
    if let Some((parameter, patients)) = scope {
        let ids: Vec<&str> = patients.iter().map(Id::as_str).collect();
        encode_pair(parameter, &ids.join(","), &mut query);
    }
    let mut written: Vec<String> = Vec::new();
    let own = search
        .criteria()
        .iter()
        .filter(|criterion| scope.is_none() || !narrow::names_subject(search.resource_type(), criterion));
    for criterion in narrow::plain_dates(own.chain(rule.narrowed(narrow::common)).collect()) {
        let text = criterion.to_string();
        if !written.contains(&text) {
            encode_pair(&criterion.key(), &criterion.value(), &mut query);
            written.push(text);
        }
    }
    for include in search.includes() {
        encode_pair(include.direction.as_str(), &include.to_string(), &mut query);
    }
    if !search.sort().is_empty() {
        let keys: Vec<String> = search.sort().iter().map(ToString::to_string).collect();
        encode_pair("_sort", &keys.join(","), &mut query);
    }
    let cap = page_cap.unwrap_or(limits::PAGE_COUNT);
    let count = search.shape().count.map_or(cap, |count| count.min(cap));
    encode_pair("_count", &count.to_string(), &mut query);
    let get = format!("/{}?{query}", search.resource_type());
    if get.len() <= limits::UPSTREAM_TARGET_BYTES {
        (get.into(), None)
    } else {
        (format!("/{}/_search", search.resource_type()).into(), Some(query.into()))
    }
}

/// Every element that a predicate or a sort key reads must be one that this client is given, unless the decision lets
/// it ask by that parameter.
fn check_predicates(search: &Search, rule: &TypeRule) -> Result<(), RewriteError> {
    let released = |path: &Path| {
        let about_subject = subject::elements(search.resource_type()).any(|element| element == path.first());
        match path.first() {
            "id" => true,
            "meta" => matches!(rule.elements, Elements::All) || path.steps().eq(["meta", "lastUpdated"]),
            _ => about_subject || narrow::releases(&rule.elements, path),
        }
    };
    for criterion in search.criteria() {
        let name = &criterion.definition().name;
        if !rule.searchable.contains(name) && !criterion.definition().paths.iter().all(released) {
            return Err(RewriteError::Predicate(name.clone()));
        }
    }
    for sort in search.sort() {
        let definition = fhir_search::lookup(search.resource_type(), &sort.parameter);
        if !definition.is_some_and(|definition| definition.paths.iter().all(released)) {
            return Err(RewriteError::Predicate(sort.parameter.clone()));
        }
    }
    Ok(())
}

fn check_includes(search: &Search, permit: &Permit) -> Result<(), RewriteError> {
    let refused = |include: &&Include| !permit.obligations().allows(include);
    match search.includes().iter().find(refused) {
        Some(include) => Err(RewriteError::Include(format!("{}={include}", include.direction.as_str()).into())),
        None => Ok(()),
    }
}
