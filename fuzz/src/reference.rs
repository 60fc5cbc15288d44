//! A filter that is slow and plain: what must come of a searchset, worked out on whole trees.
//!
//! Takes: a decision, a search and the resources that the EHR sent. Gives: the resources that must leave, each as it
//! must look. Written from what README.md and policies/README.md promise, not from the filter; it knows the types and
//! parameters of its own tables and withholds everything else.

mod closure;
mod criteria;
mod labels;
mod redaction;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::dom::Dom;
use super::stage::EHR;

use closure::Closure;
pub use criteria::Criterion;
pub(super) use criteria::reach;

/// What a decision says, in the words of policies/README.md.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// `patients`
    pub patients: Vec<String>,
    /// `types`
    pub types: BTreeMap<String, Rule>,
    /// `withhold_labels`: a system, and a code or none for `*`.
    pub labels: Vec<(String, Option<String>)>,
    /// `includes`
    pub includes: Vec<String>,
}

/// What it says of one type.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// `where`: alternatives, each all of its criteria; none is no constraint.
    pub alternatives: Vec<Vec<Criterion>>,
    /// `elements`; `None` is `*`.
    pub elements: Option<Vec<String>>,
}

impl Decision {
    /// What it says of a type.
    pub fn rule(&self, resource_type: &str) -> Option<&Rule> {
        self.types.get(resource_type).or_else(|| self.types.get("*"))
    }

    /// Whether data of a patient may leave: permitted, and asked for.
    pub fn admits(&self, search: &Search, patient: &str) -> bool {
        search.patient == patient && self.patients.iter().any(|permitted| permitted == patient)
    }

    /// The members of the decision document.
    pub fn members(&self) -> String {
        let quoted = |texts: &[String]| serde_json::to_string(texts).unwrap();
        let types: Vec<String> = self
            .types
            .iter()
            .map(|(name, rule)| {
                let all = vec!["*".to_owned()];
                let elements = quoted(rule.elements.as_ref().unwrap_or(&all));
                if rule.alternatives.is_empty() {
                    return format!(r#""{name}":{{"elements":{elements}}}"#);
                }
                let query = |all: &Vec<Criterion>| all.iter().map(Criterion::pair).collect::<Vec<_>>().join("&");
                let alternatives: Vec<String> = rule.alternatives.iter().map(query).collect();
                format!(r#""{name}":{{"where":{},"elements":{elements}}}"#, quoted(&alternatives))
            })
            .collect();
        let label = |(system, code): &(String, Option<String>)| format!("{system}|{}", code.as_deref().unwrap_or("*"));
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        format!(
            r#""patients":{},"types":{{{}}},"withhold_labels":{},"includes":{}"#,
            quoted(&self.patients),
            types.join(","),
            quoted(&labels),
            quoted(&self.includes)
        )
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The type.
    pub resource_type: String,
    /// The patient it names.
    pub patient: String,
    /// What else a match must fulfil.
    pub criteria: Vec<Criterion>,
    /// Whether `Observation:performer`s are to come along.
    pub performers: bool,
    /// Whether `Provenance:target`s are to come along.
    pub provenance: bool,
    /// `_elements`; none is all.
    pub elements: Vec<String>,
}

impl Search {
    /// The target below the base.
    pub fn target(&self) -> String {
        let parameter = if self.resource_type == "Patient" { "_id" } else { "patient" };
        let mut target = format!("{}?{parameter}={}", self.resource_type, self.patient);
        for criterion in &self.criteria {
            target.push_str(&format!("&{}", criterion.pair()));
        }
        if self.performers {
            target.push_str("&_include=Observation:performer");
        }
        if self.provenance {
            target.push_str("&_revinclude=Provenance:target");
        }
        if !self.elements.is_empty() {
            target.push_str(&format!("&_elements={}", self.elements.join(",")));
        }
        target
    }
}

/// A resource that must leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Type and id.
    pub name: String,
    /// `match` or `include`.
    pub mode: &'static str,
    /// How it must look.
    pub resource: Dom,
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}: {}", self.name, self.mode, self.resource)
    }
}

/// Whose record a resource of a type is.
enum Owner {
    /// The one with its own id.
    Itself,
    /// The one that this element refers to.
    Element(&'static str),
    /// Nobody's: it is no patient's data.
    Nobody,
    /// Those whom its targets belong to.
    Targets,
}

fn owner(resource_type: &str) -> Option<Owner> {
    Some(match resource_type {
        "Patient" => Owner::Itself,
        "Observation" | "Condition" | "Encounter" | "Procedure" | "DiagnosticReport" | "MedicationRequest"
        | "DocumentReference" | "Goal" | "CarePlan" | "ImagingStudy" | "ServiceRequest" => Owner::Element("subject"),
        "Claim" | "Immunization" | "AllergyIntolerance" => Owner::Element("patient"),
        "Coverage" => Owner::Element("beneficiary"),
        "Organization" | "Practitioner" | "Location" | "Medication" => Owner::Nobody,
        "Provenance" => Owner::Targets,
        _ => return None,
    })
}

/// The element that names the patient, which is never removed.
fn subject_element(resource_type: &str) -> Option<&'static str> {
    match owner(resource_type) {
        Some(Owner::Element(name)) => Some(name),
        _ => None,
    }
}

/// Type and id that a literal reference to the EHR's own resource names.
pub fn named(reference: &str) -> Option<(String, String)> {
    let below = reference.strip_prefix(EHR).and_then(|rest| rest.strip_prefix('/')).unwrap_or(reference);
    let steps: Vec<&str> = below.split('/').collect();
    let (resource_type, id) = match steps[..] {
        [resource_type, id] => (resource_type, id),
        [resource_type, id, "_history", version] if is_id(version) => (resource_type, id),
        _ => return None,
    };
    (is_id(id) && is_type(resource_type)).then(|| (resource_type.to_owned(), id.to_owned()))
}

fn is_id(text: &str) -> bool {
    portcullis::fhir::name::Id::parse(text).is_ok()
}

fn is_type(text: &str) -> bool {
    portcullis::fhir::name::ResourceType::parse(text).is_ok()
}

/// What must leave of these resources.
pub fn answer(decision: &Decision, search: &Search, resources: &[Dom]) -> Vec<Leaving> {
    let well_formed: Vec<Judged<'_>> = resources.iter().filter_map(Judged::read).collect();
    let closure = |withheld| Closure { decision, search, withheld };
    // Whether something may leave does not hang on what else does.
    let leaves = |judged: &Judged<'_>| judged.released(&closure(BTreeSet::new())).is_some();
    let (open, secret): (Vec<Judged<'_>>, Vec<Judged<'_>>) = well_formed.into_iter().partition(leaves);
    let closure = closure(secret.iter().map(Judged::name).collect());
    let (matches, others): (Vec<Judged<'_>>, Vec<Judged<'_>>) =
        open.into_iter().partition(|judged| judged.is_match(search));
    let found: BTreeSet<String> = matches.iter().map(Judged::name).collect();
    let referred: BTreeSet<String> = matches
        .iter()
        .filter(|judged| search.performers && judged.resource_type == "Observation")
        .flat_map(|judged| references(judged.resource, "performer"))
        .collect();
    let comes_along = |judged: &&Judged<'_>| {
        let performs = matches!(judged.resource_type, "Practitioner" | "Organization" | "Patient")
            && referred.contains(&judged.name());
        performs || (search.provenance && judged.is_provenance_of(&found))
    };
    let intact: BTreeSet<String> =
        matches.iter().filter(|judged| judged.is_intact(&closure)).map(Judged::name).collect();
    // What is signed leaves whole, and what it signs beside it, or not at all.
    let holds = |judged: &Judged<'_>| {
        let signs_itself = judged.resource_type != "Provenance";
        !carries_signature(judged.resource)
            || judged.is_intact(&closure)
                && (signs_itself || references(judged.resource, "target").iter().all(|target| intact.contains(target)))
    };
    let matches = matches.iter().map(|judged| (judged, "match"));
    let along = others.iter().filter(comes_along).map(|judged| (judged, "include"));
    let leaving = |(judged, mode): (&Judged<'_>, _)| {
        Some(Leaving { name: judged.name(), mode, resource: judged.released(&closure)? })
    };
    matches.chain(along).filter(|(judged, _)| holds(judged)).filter_map(leaving).collect()
}

/// Whether something in it is a Signature, by its name.
fn carries_signature(value: &Dom) -> bool {
    let is_empty = |value: &Dom| value.items().is_empty() && value.members().is_empty() && value.text().is_none();
    value.items().iter().any(carries_signature)
        || value
            .members()
            .iter()
            .any(|(name, member)| (name.ends_with("ignature") && !is_empty(member)) || carries_signature(member))
}

/// The resources that an element of references names.
fn references(resource: &Dom, element: &str) -> Vec<String> {
    let values = resource.get(element).map(Dom::each).unwrap_or_default();
    let texts = values.iter().filter_map(|value| named(value.text_of("reference")?));
    texts.map(|(resource_type, id)| format!("{resource_type}/{id}")).collect()
}

/// A resource with a type and an id.
struct Judged<'d> {
    resource: &'d Dom,
    resource_type: &'d str,
    id: &'d str,
}

impl<'d> Judged<'d> {
    fn read(resource: &'d Dom) -> Option<Self> {
        let (resource_type, id) = (resource.text_of("resourceType")?, resource.text_of("id")?);
        (is_type(resource_type) && is_id(id)).then_some(Self { resource, resource_type, id })
    }

    /// The resource as it leaves if it was asked for; `None` where it may not, for what it is.
    fn released(&self, closure: &Closure<'_>) -> Option<Dom> {
        let Self { resource, resource_type, id } = self;
        let Closure { decision, search, .. } = closure;
        let rule = decision.rule(resource_type)?;
        let admitted = |patient: &String| decision.admits(search, patient);
        let holds = match owner(resource_type)? {
            Owner::Itself => admitted(&(*id).to_owned()),
            Owner::Element(name) => {
                let owners = patients(resource, name)?;
                has_own_focus(resource_type, resource, &owners) && owners.iter().all(admitted)
            }
            Owner::Nobody => true,
            Owner::Targets => search.provenance,
        };
        let permitted = rule.alternatives.is_empty()
            || rule.alternatives.iter().any(|all| all.iter().all(|criterion| criterion.holds(resource)));
        if !holds || !permitted || labels::withheld(&decision.labels, resource) {
            return None;
        }
        // `_elements` is about the matches.
        let asked = if *resource_type == search.resource_type { search.elements.as_slice() } else { &[] };
        redaction::redacted(closure, resource_type, resource, rule.elements.as_deref(), asked)
    }

    /// Whether it leaves as it is.
    fn is_intact(&self, closure: &Closure<'_>) -> bool {
        let Closure { decision, search, .. } = closure;
        let is_asked_whole = *self.resource_type != search.resource_type || search.elements.is_empty();
        let is_permitted_whole = decision.rule(self.resource_type).is_some_and(|rule| rule.elements.is_none());
        let contained = self.resource.get("contained").map(Dom::each).unwrap_or_default();
        is_asked_whole
            && is_permitted_whole
            && !closure.cuts(self.resource)
            && redaction::addressed(self.resource) == *self.resource
            && contained.iter().all(|inside| inside.get("meta").is_none())
    }

    fn name(&self) -> String {
        format!("{}/{}", self.resource_type, self.id)
    }

    fn is_match(&self, search: &Search) -> bool {
        let is_owned = !matches!(owner(self.resource_type), Some(Owner::Nobody | Owner::Targets));
        self.resource_type == search.resource_type
            && is_owned
            && search.criteria.iter().all(|criterion| criterion.holds(self.resource))
    }

    /// All that it is about is in the answer.
    fn is_provenance_of(&self, found: &BTreeSet<String>) -> bool {
        let stated = self.resource.get("target").map_or(0, |targets| targets.each().len());
        let targets = references(self.resource, "target");
        let all = !targets.is_empty() && targets.len() == stated && targets.iter().all(|target| found.contains(target));
        self.resource_type == "Provenance" && all
    }
}

/// The patients that an element refers to; `None` where it does not prove whose the record is.
fn patients(resource: &Dom, element: &str) -> Option<Vec<String>> {
    let mut patients = Vec::new();
    for value in resource.get(element)?.each() {
        match party(value)? {
            (resource_type, id) if resource_type == "Patient" => patients.push(id),
            _ if element != "subject" => {}
            _ => return None,
        }
    }
    patients.dedup();
    (patients.len() == 1).then_some(patients)
}

/// Whom a Reference names; `None` where its parts could disagree, or it names nobody of the EHR's.
fn party(value: &Dom) -> Option<(String, String)> {
    let (resource_type, id) = named(value.text_of("reference")?)?;
    let agrees = value.text_of("type").is_none_or(|stated| stated == resource_type);
    let is_doubtful = resource_type == "Patient" && value.get("identifier").is_some();
    (agrees && !is_doubtful).then_some((resource_type, id))
}

/// An Observation may have a focus beside its subject; one that is another patient, or cannot be told, makes it nobody's.
fn has_own_focus(resource_type: &str, resource: &Dom, owners: &[String]) -> bool {
    let foci = resource.get("focus").filter(|_| resource_type == "Observation").map(Dom::each).unwrap_or_default();
    foci.iter().all(|focus| match party(focus) {
        Some((resource_type, id)) => resource_type != "Patient" || owners.contains(&id),
        None => false,
    })
}
