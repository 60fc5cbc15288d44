//! Whose record a resource is.
//!
//! Takes: a resource. Gives: [`Subject`]. Guarantees: judged by one rule per type, the element behind the
//! type's `patient` search parameter (R4), never by compartment, which also holds records about others; an Observation
//! whose focus is somebody else is nobody's, and so is a record of two patients.
//! Refuses: to guess. A logical, contained or foreign reference, or a literal one with an identifier beside it, is
//! [`Subject::Unprovable`], a missing one [`Subject::Unstated`].

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::fhir::json::Value;
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::path::Path;
use crate::fhir::reference::Reference;
use crate::fhir::search::{Criterion, Modifier, Operand, definition};

/// Parameters that name the one patient a record is about, in order of preference.
const SUBJECT_PARAMETERS: &[&str] = &["patient", "subject", "individual"];

/// Types that hold data of patients and say in no one element whose: about many parties, about whatever is inside, or
/// about a patient behind another resource.
const NO_SINGLE_SUBJECT: &[&str] = &[
    "AuditEvent",
    "Binary",
    "BiologicallyDerivedProduct",
    "Bundle",
    "DeviceMetric",
    "EnrollmentResponse",
    "Group",
    "Linkage",
    "MessageHeader",
    "OperationOutcome",
    "Parameters",
    "PaymentNotice",
    "PaymentReconciliation",
    "Person",
    "Provenance",
    "Schedule",
    "Subscription",
    "VerificationResult",
];

/// By the index of the type.
static RULES: LazyLock<Vec<Option<Rule>>> = LazyLock::new(|| {
    let rule = |resource_type: ResourceType| {
        if resource_type.as_str() == "Patient" {
            return Some(Rule { parameter: "_id", paths: Vec::new() });
        }
        if NO_SINGLE_SUBJECT.contains(&resource_type.as_str()) {
            return None;
        }
        SUBJECT_PARAMETERS.iter().find_map(|parameter| {
            let definition = definition::lookup(resource_type, parameter)?;
            let about_patients = definition.targets.iter().any(|target| &**target == "Patient");
            about_patients.then(|| Rule { parameter, paths: definition.paths.clone() })
        })
    };
    ResourceType::all().map(rule).collect()
});

fn rule(resource_type: ResourceType) -> Option<&'static Rule> {
    RULES.get(resource_type.index())?.as_ref()
}

struct Rule {
    parameter: &'static str,
    paths: Vec<Path>,
}

/// Whose record a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The record of this patient. A list, because what reads it speaks of owners; it holds exactly one.
    Patients(Vec<Id>),
    /// The type has no patient: Practitioner, Organization, Medication.
    NotPatientData,
    /// The type is patient data, and nothing in it proves whose.
    Unprovable,
    /// The type is patient data, and nothing in it says whose: what it is contained in may.
    Unstated,
}

/// The search parameter that restricts this type to patients: `patient`, `subject`, `_id` for Patient;
/// `None` for types that are not patient data.
pub fn parameter(resource_type: ResourceType) -> Option<&'static str> {
    rule(resource_type).map(|rule| rule.parameter)
}

/// Whether a record of this type is its patient's by its own id.
pub fn is_by_id(resource_type: ResourceType) -> bool {
    rule(resource_type).is_some_and(|rule| rule.paths.is_empty())
}

/// The paths of the references that name the patient, and may name other parties beside; redaction must never remove the
/// patient's.
pub fn paths(resource_type: ResourceType) -> &'static [Path] {
    rule(resource_type).map_or(&[], |rule| &rule.paths)
}

/// Whether the type holds data of patients and has no rule that says whose: its records never leave on their own.
pub fn is_about_many(resource_type: ResourceType) -> bool {
    NO_SINGLE_SUBJECT.contains(&resource_type.as_str())
}

/// Whether a criterion says whose record it is, in any of the spellings R4 has for that: by the element that names the
/// patient, and by a patient. Other parties beside the patient make no difference to what is the patient's.
pub fn is_named_by(resource_type: ResourceType, criterion: &Criterion) -> bool {
    let plain = !matches!(criterion.modifier(), Some(Modifier::Not));
    let same = parameter(resource_type)
        .and_then(|name| definition::lookup(resource_type, name))
        .is_some_and(|own| own.paths == criterion.definition().paths);
    let targets = &criterion.definition().targets;
    let may_be_patient = || targets.iter().any(|target| matches!(&**target, "Patient" | "Resource"));
    plain
        && same
        && criterion.operands().iter().any(|operand| match operand {
            Operand::Reference { resource_type, .. } => {
                resource_type.map_or_else(may_be_patient, |resource_type| resource_type.as_str() == "Patient")
            }
            _ => true,
        })
}

/// Whose record `resource` is.
pub fn of(resource_type: ResourceType, resource: Value<'_>, bases: &[&str]) -> Subject {
    let Some(rule) = rule(resource_type) else {
        return if is_about_many(resource_type) { Subject::Unprovable } else { Subject::NotPatientData };
    };
    if rule.paths.is_empty() {
        let id = resource.get("id").and_then(Value::text).and_then(|id| Id::parse(&id).ok());
        return id.map_or(Subject::Unprovable, |id| Subject::Patients(vec![id]));
    }
    let mut patients: Vec<Id> = Vec::new();
    let (mut provable, mut stated) = (true, false);
    for path in &rule.paths {
        path.any(resource, &mut |value| {
            stated = true;
            match patient(value, bases) {
                Party::Patient(id) if patients.contains(&id) => {}
                Party::Patient(id) => patients.push(id),
                Party::Other if rule.paths.len() == 1 && path.first() != "subject" => {}
                Party::Other | Party::Unknown => provable = false,
            }
            !provable
        });
    }
    if resource_type.as_str() == "Observation" {
        let mut foci = resource.get("focus").into_iter().flat_map(Value::each);
        provable &= foci.all(|focus| match patient(focus, bases) {
            Party::Patient(id) => patients.contains(&id),
            Party::Other => true,
            Party::Unknown => false,
        });
    }
    match (stated, provable && patients.len() == 1) {
        (false, _) => Subject::Unstated,
        (true, true) => Subject::Patients(patients),
        (true, false) => Subject::Unprovable,
    }
}

enum Party {
    Patient(Id),
    Other,
    Unknown,
}

/// Reads a Reference; one whose parts could disagree proves nothing: a type beside the literal reference that is another,
/// or an identifier beside it, because whose it is cannot be told from here.
fn patient(value: Value<'_>, bases: &[&str]) -> Party {
    let text = value.get("reference").and_then(Value::text);
    let Some(reference) = text.as_deref().and_then(|text| Reference::parse(text, bases)) else { return Party::Unknown };
    let stated = value.get("type").and_then(Value::text).unwrap_or(Cow::Borrowed(reference.resource_type.as_str()));
    if stated != reference.resource_type.as_str() {
        Party::Unknown
    } else if reference.resource_type.as_str() != "Patient" {
        Party::Other
    } else if value.get("identifier").is_some() {
        Party::Unknown
    } else {
        Party::Patient(reference.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    fn subject(text: &str) -> Subject {
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes()).unwrap().root();
        let resource_type = ResourceType::parse(&root.get("resourceType").unwrap().text().unwrap()).unwrap();
        of(resource_type, root, &["http://ehr/fhir"])
    }

    fn patients(ids: &[&str]) -> Subject {
        Subject::Patients(ids.iter().map(|id| Id::parse(id).unwrap()).collect())
    }

    #[test]
    fn one_rule_per_type() {
        assert_eq!(subject(r#"{"resourceType":"Patient","id":"p1"}"#), patients(&["p1"]));
        for text in [
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1"}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"http://ehr/fhir/Patient/p1"}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1/_history/2"},"performer":[{"reference":"Patient/p2"}]}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"focus":[{"reference":"Device/d"},{"reference":"Patient/p1"}]}"#,
            r#"{"resourceType":"Coverage","beneficiary":{"reference":"Patient/p1"},"subscriber":{"reference":"Patient/p2"}}"#,
            r#"{"resourceType":"Immunization","patient":{"reference":"Patient/p1","type":"Patient"}}"#,
            r#"{"resourceType":"ResearchSubject","individual":{"reference":"Patient/p1"}}"#,
            r#"{"resourceType":"Appointment","participant":[{"actor":{"reference":"Patient/p1"}},{"actor":{"reference":"Practitioner/x"}}]}"#,
        ] {
            assert_eq!(subject(text), patients(&["p1"]), "{text}");
        }
        let two = r#"{"resourceType":"Appointment","participant":[{"actor":{"reference":"Patient/p1"}},{"actor":{"reference":"Patient/p2"}}]}"#;
        assert_eq!(subject(two), Subject::Unprovable);
        assert_eq!(subject(&two.replace("p2", "p1")), patients(&["p1"]));
        assert_eq!(subject(r#"{"resourceType":"Practitioner","id":"x"}"#), Subject::NotPatientData);
        assert_eq!(subject(r#"{"resourceType":"Medication","id":"x"}"#), Subject::NotPatientData);
    }

    #[test]
    fn what_proves_nothing_is_nobodys() {
        for text in [
            r#"{"resourceType":"Patient"}"#,
            r##"{"resourceType":"Observation","subject":{"reference":"#p"}}"##,
            r#"{"resourceType":"Observation","subject":{"reference":"Group/g1"}}"#,
            r#"{"resourceType":"Observation","subject":{"identifier":{"value":"MRN-1"}}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"http://other/fhir/Patient/p1"}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1","identifier":{"value":"MRN-2"}}}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"focus":[{"reference":"Patient/p1","identifier":{"value":"MRN-2"}}]}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1","type":"Group"}}"#,
            r#"{"resourceType":"Observation","subject":[{"reference":"Patient/p1"},{"reference":"urn:x"}]}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"focus":[{"reference":"Patient/p2"}]}"#,
            r#"{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"focus":[{"identifier":{"value":"MRN-1"}}]}"#,
            r#"{"resourceType":"Provenance","target":[{"reference":"Patient/p1"}]}"#,
            r#"{"resourceType":"Group","member":[{"entity":{"reference":"Patient/p1"}}]}"#,
            r#"{"resourceType":"Binary","securityContext":{"reference":"Patient/p1"}}"#,
            r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"p1"}}]}"#,
            r#"{"resourceType":"Subscription","criteria":"Observation?patient=p1"}"#,
            r#"{"resourceType":"Parameters","parameter":[]}"#,
        ] {
            assert_eq!(subject(text), Subject::Unprovable, "{text}");
        }
        assert_eq!(
            subject(r#"{"resourceType":"Observation","performer":[{"reference":"Patient/p1"}]}"#),
            Subject::Unstated
        );
    }
}
