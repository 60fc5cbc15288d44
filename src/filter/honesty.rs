//! What the EHR says it searched for, and what it sent, held against what it was asked.
//!
//! R4 lets a server ignore a parameter that it does not know, and says that the self link states what was used (section
//! 3.1.1.4). Takes: a self link, or a resource that is withheld. Gives: the names of narrowing parameters that were ignored,
//! for the account; nothing is released by it or withheld. Refuses: a self link of another question, another type or
//! another patient, because then the whole answer is somebody else's.

use percent_encoding::percent_decode_str;

use super::FilterError;
use super::tally::{Tally, Withheld};
use crate::fhir::json::Value;
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::fhir::search as fhir_search;
use crate::fhir::subject;
use crate::rewrite::Question;
use crate::understand::Interaction;

/// Compares the self link of a searchset with the search. A link without a query says nothing: some servers leave out
/// what came as a form.
pub(super) fn check_self_link(url: &str, question: &Question, tally: &mut Tally) -> Result<(), FilterError> {
    let Interaction::Search(search) = question.interaction() else { return Ok(()) };
    let resource_type = search.resource_type();
    let Some((path, query)) = url.split_once('?').filter(|(_, query)| !query.is_empty()) else { return Ok(()) };
    let step = path.strip_suffix("/_search").unwrap_or(path).rsplit('/').next().unwrap_or_default();
    if ResourceType::parse(step).is_ok_and(|named| named != resource_type) {
        return Err(FilterError::Mismatch);
    }
    let stated: Vec<(String, String)> = query.split('&').map(pair).collect();
    for asked in question.narrowed_by() {
        let is_stated = stated.iter().any(|(name, _)| *name == **asked)
            || stated.iter().any(|(name, _)| is_alias(resource_type, name, asked));
        if !is_stated {
            tally.unstated.insert(asked.clone());
        }
    }
    let Some(parameter) = subject::parameter(resource_type) else { return Ok(()) };
    let mut patients = stated.iter().filter(|(name, _)| name == parameter);
    if patients.all(|(_, value)| names_asked(value, question)) { Ok(()) } else { Err(FilterError::Mismatch) }
}

/// Notes which parameter would have kept a resource of the type that was searched for from coming.
pub(super) fn note_unheeded(
    reason: Withheld,
    identity: &Reference,
    resource: Value<'_>,
    question: &Question,
    bases: &[&str],
    tally: &mut Tally,
) {
    let Some(search) =
        question.interaction().search().filter(|search| search.resource_type() == identity.resource_type)
    else {
        return;
    };
    let was_asked = |name: &str| question.narrowed_by().iter().any(|asked| **asked == *name);
    match reason {
        Withheld::Patient => {
            tally
                .unheeded
                .extend(subject::parameter(identity.resource_type).filter(|name| was_asked(name)).map(Into::into));
        }
        Withheld::Query => {
            let failed = search.criteria().iter().filter(|criterion| !criterion.matches(resource, bases));
            let names = failed.map(|criterion| &criterion.definition().name).filter(|name| was_asked(name));
            tally.unheeded.extend(names.cloned());
        }
        _ => {}
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let name = decoded(name);
    (name.split(':').next().unwrap_or_default().to_owned(), decoded(value))
}

/// Whether two parameters of a type read the same, as `patient` and `subject` of an Observation do.
fn is_alias(resource_type: ResourceType, stated: &str, asked: &str) -> bool {
    let known = |name: &str| fhir_search::lookup(resource_type, name);
    known(asked).zip(known(stated)).is_some_and(|(asked, stated)| asked.paths == stated.paths)
}

/// Whether a value of the patient parameter names anybody who was asked about.
fn names_asked(value: &str, question: &Question) -> bool {
    let mut ids = value.split(',').map(|one| one.rsplit('/').next().unwrap_or_default());
    ids.any(|id| Id::parse(id).map_or(true, |id| question.admits(&id)))
}
