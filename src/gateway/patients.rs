//! Which patients a request is about, before anything is decided.
//!
//! Takes: an interaction. Gives: the patients that it names, or the owners of the resource that is to be read. Guarantees:
//! several parameters that name patients narrow each other. Refuses: more than [`limits::PATIENTS_PER_SEARCH`].

use super::Gateway;
use super::trail::Trail;
use crate::audit::Noted;
use crate::fetch::facts::Look;
use crate::fhir::name::Id;
use crate::fhir::reference::Reference;
use crate::fhir::search::{Criterion, Operand};
use crate::fhir::subject;
use crate::limits;
use crate::respond::refusal::Fault;
use crate::understand::{Interaction, UnderstandError};

impl Gateway {
    /// The patients that a request is about: named in a search, or the owners of the resource that is to be read,
    /// which is then looked up. `None` where a search names patients in ways that exclude each other.
    pub(super) async fn patients_of(
        &self,
        interaction: &Interaction,
        noted: Noted<'_>,
        trail: &mut Trail,
    ) -> Result<Option<(Vec<Id>, Option<Look>)>, Fault> {
        let resource_type = interaction.resource_type();
        match interaction {
            Interaction::Read(read) if resource_type.as_str() == "Patient" => Ok(Some((vec![read.id().clone()], None))),
            Interaction::Read(_) if subject::parameter(resource_type).is_none() => Ok(Some((Vec::new(), None))),
            Interaction::Read(read) => {
                let resource = Reference { resource_type, id: read.id().clone() };
                let look = Box::pin(self.ehr.look_up(&resource, noted, trail.exchange())).await?;
                if let Some(status) = look.hidden() {
                    trail.hidden(status);
                }
                Ok(Some((look.owners().to_vec(), Some(look))))
            }
            Interaction::Search(_) | Interaction::Page(_) => {
                Ok(named_patients(interaction)?.map(|patients| (patients, None)))
            }
        }
    }
}

/// The patients that a search names; several parameters that do narrow each other.
fn named_patients(interaction: &Interaction) -> Result<Option<Vec<Id>>, Fault> {
    let Some(search) = interaction.search() else { return Ok(None) };
    let mut named: Option<Vec<Id>> = None;
    let naming = |criterion: &&Criterion| subject::is_named_by(search.resource_type(), criterion);
    for criterion in search.criteria().iter().filter(naming) {
        let ids: Vec<Id> = criterion.operands().iter().filter_map(patient_of).collect();
        named = Some(match named {
            None => ids,
            Some(known) => known.into_iter().filter(|id| ids.contains(id)).collect(),
        });
    }
    match named {
        None => Ok(Some(Vec::new())),
        Some(named) if named.is_empty() => Ok(None),
        Some(named) if named.len() > limits::PATIENTS_PER_SEARCH => Err(UnderstandError::Parameters.into()),
        named => Ok(named),
    }
}

fn patient_of(operand: &Operand) -> Option<Id> {
    match operand {
        Operand::Reference { resource_type, id } => {
            resource_type.is_none_or(|resource_type| resource_type.as_str() == "Patient").then(|| id.clone())
        }
        Operand::Token { code: Some(code), .. } => Id::parse(code).ok(),
        _ => None,
    }
}
