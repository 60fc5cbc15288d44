//! Which elements of a type say who made the record, whose keeping it is in, and when it was made.
//!
//! Takes: a resource type. Gives: its [`Elements`]. Guarantees: the table is R4's own (the mappings to `FiveWs.author`,
//! `.source` and `.actor` of each resource, and US Core's table of what carries Provenance); for a type that it does not
//! list, nothing but a Provenance can say who made a record. Refuses: nothing.

use std::sync::LazyLock;

use crate::fhir::json::Value;
use crate::fhir::name::ResourceType;
use crate::fhir::subject;

/// What an element says of the record that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Who made it, or vouches for what it says.
    Author,
    /// Which organisation keeps it.
    Custodian,
    /// When it was made.
    Created,
}

use Says::{Author, Created, Custodian};

type Row = (&'static str, &'static [(&'static str, Says)]);

/// By type, in the order of the names.
const TABLE: &[Row] = &[
    ("Account", &[("owner", Custodian)]),
    ("AdverseEvent", &[("recorder", Author), ("contributor", Author), ("recordedDate", Created)]),
    ("AllergyIntolerance", &[("recorder", Author), ("asserter", Author), ("recordedDate", Created)]),
    ("AuditEvent", &[("agent.who", Author), ("source.observer", Author), ("recorded", Created)]),
    ("Basic", &[("author", Author), ("created", Created)]),
    ("CarePlan", &[("author", Author), ("contributor", Author), ("created", Created)]),
    ("CareTeam", &[("managingOrganization", Author)]),
    (
        "ChargeItem",
        &[
            ("enterer", Author),
            ("performer.actor", Author),
            ("performingOrganization", Author),
            ("enteredDate", Created),
        ],
    ),
    ("Claim", &[("enterer", Author), ("provider", Author), ("created", Created)]),
    ("ClaimResponse", &[("insurer", Author), ("created", Created)]),
    ("ClinicalImpression", &[("assessor", Author), ("date", Created)]),
    ("Communication", &[("sender", Author), ("sent", Created)]),
    ("CommunicationRequest", &[("requester", Author), ("sender", Author), ("authoredOn", Created)]),
    ("Composition", &[("author", Author), ("attester.party", Author), ("custodian", Custodian), ("date", Created)]),
    ("Condition", &[("recorder", Author), ("asserter", Author), ("recordedDate", Created)]),
    ("Consent", &[("performer", Author), ("organization", Custodian), ("dateTime", Created)]),
    ("Contract", &[("author", Author), ("issued", Created)]),
    ("CoverageEligibilityRequest", &[("enterer", Author), ("provider", Author), ("created", Created)]),
    ("CoverageEligibilityResponse", &[("insurer", Author), ("created", Created)]),
    ("DetectedIssue", &[("author", Author)]),
    ("DeviceRequest", &[("requester", Author), ("authoredOn", Created)]),
    ("DeviceUseStatement", &[("source", Author), ("recordedOn", Created)]),
    ("DiagnosticReport", &[("performer", Author), ("resultsInterpreter", Author), ("issued", Created)]),
    ("DocumentManifest", &[("author", Author), ("created", Created)]),
    (
        "DocumentReference",
        &[("author", Author), ("authenticator", Author), ("custodian", Custodian), ("date", Created)],
    ),
    ("Encounter", &[("participant.individual", Author), ("serviceProvider", Author)]),
    ("EpisodeOfCare", &[("careManager", Author), ("managingOrganization", Author)]),
    (
        "ExplanationOfBenefit",
        &[("enterer", Author), ("provider", Author), ("insurer", Custodian), ("created", Created)],
    ),
    ("Flag", &[("author", Author)]),
    ("Goal", &[("expressedBy", Author)]),
    ("GuidanceResponse", &[("performer", Author)]),
    ("ImagingStudy", &[("interpreter", Author), ("series.performer.actor", Author)]),
    ("Immunization", &[("performer.actor", Author), ("recorded", Created)]),
    ("ImmunizationEvaluation", &[("authority", Author)]),
    ("ImmunizationRecommendation", &[("authority", Author)]),
    ("Invoice", &[("issuer", Author), ("date", Created)]),
    ("List", &[("source", Author), ("date", Created)]),
    ("MeasureReport", &[("reporter", Author), ("date", Created)]),
    ("Media", &[("operator", Author), ("issued", Created)]),
    ("MedicationAdministration", &[("performer.actor", Author)]),
    ("MedicationDispense", &[("performer.actor", Author)]),
    ("MedicationRequest", &[("requester", Author), ("recorder", Author), ("authoredOn", Created)]),
    ("MedicationStatement", &[("informationSource", Author), ("dateAsserted", Created)]),
    ("MolecularSequence", &[("performer", Author)]),
    ("NutritionOrder", &[("orderer", Author), ("dateTime", Created)]),
    ("Observation", &[("performer", Author), ("issued", Created)]),
    ("Patient", &[("managingOrganization", Custodian)]),
    ("Procedure", &[("performer.actor", Author), ("recorder", Author), ("asserter", Author)]),
    ("QuestionnaireResponse", &[("author", Author), ("source", Author), ("authored", Created)]),
    ("RequestGroup", &[("author", Author), ("authoredOn", Created)]),
    ("RiskAssessment", &[("performer", Author)]),
    ("ServiceRequest", &[("requester", Author), ("authoredOn", Created)]),
    ("Specimen", &[("collection.collector", Author)]),
    ("SupplyDelivery", &[("supplier", Author)]),
    ("SupplyRequest", &[("requester", Author), ("authoredOn", Created)]),
    ("Task", &[("requester", Author), ("authoredOn", Created)]),
    ("VisionPrescription", &[("prescriber", Author), ("dateWritten", Created)]),
];

/// Records about a patient that nobody authors: they are kept by an office, and R4 has no element that could say who wrote them.
const KEPT: &[&str] = &["Patient", "Coverage", "Account", "Person"];

/// The elements of one type.
#[derive(Debug, Default)]
pub struct Elements(Vec<(Box<[&'static str]>, Says)>);

/// By the index of the type.
static ELEMENTS: LazyLock<Vec<Elements>> = LazyLock::new(|| {
    let rows = |resource_type: ResourceType| {
        let row = TABLE.iter().find(|(name, _)| *name == resource_type.as_str());
        let rows = row.map_or(&[] as &[_], |(_, elements)| *elements);
        Elements(rows.iter().map(|(path, says)| (path.split('.').collect(), *says)).collect())
    };
    ResourceType::all().map(rows).collect()
});

static NONE: Elements = Elements(Vec::new());

impl Elements {
    /// The elements of a type.
    pub fn of(resource_type: ResourceType) -> &'static Self {
        ELEMENTS.get(resource_type.index()).unwrap_or(&NONE)
    }

    /// The paths and what they say.
    pub fn paths(&self) -> impl Iterator<Item = (String, Says)> {
        self.0.iter().map(|(steps, says)| (steps.join("."), *says))
    }

    /// Calls `visit` with every value that says this.
    pub(super) fn each<'d>(&self, resource: Value<'d>, says: Says, visit: &mut dyn FnMut(Value<'d>)) {
        self.0.iter().filter(|(_, of)| *of == says).for_each(|(steps, _)| descend(steps, resource, visit));
    }
}

fn descend<'d>(steps: &[&'static str], value: Value<'d>, visit: &mut dyn FnMut(Value<'d>)) {
    match steps.split_first() {
        None => visit(value),
        Some((name, rest)) => {
            value.get(name).into_iter().flat_map(Value::each).for_each(|item| descend(rest, item, visit));
        }
    }
}

/// Whether somebody can be asked to answer for records of this type. Of directories (practitioners, organisations,
/// medications) and of what an office keeps (Patient, Coverage) nobody is the author; a Provenance is about a record and is
/// judged by its own agents.
pub fn is_attributable(resource_type: ResourceType) -> bool {
    let is_record = subject::parameter(resource_type).is_some() || subject::is_about_many(resource_type);
    is_record && !KEPT.contains(&resource_type.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    #[test]
    fn every_row_is_a_type_of_r4_in_order_and_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, elements) in TABLE {
            let resource_type = ResourceType::parse(name).unwrap_or_else(|_| panic!("{name}"));
            assert_eq!(Elements::of(resource_type).paths().count(), elements.len());
        }
    }

    #[test]
    fn values_are_found_through_repetitions() {
        let mut tape = Tape::new();
        let text =
            br#"{"resourceType":"Procedure","performer":[{"actor":{"reference":"Practitioner/1"}},{"onBehalfOf":{}},
            {"actor":{"reference":"Practitioner/2"}}],"recorder":{"reference":"Practitioner/3"}}"#;
        let mut found = Vec::new();
        let elements = Elements::of(ResourceType::parse("Procedure").unwrap());
        elements.each(tape.read(text).unwrap().root(), Author, &mut |value| {
            found.push(value.get("reference").unwrap().raw())
        });
        assert_eq!(found, [r#""Practitioner/1""#, r#""Practitioner/2""#, r#""Practitioner/3""#]);
    }

    #[test]
    fn directories_have_no_author() {
        let is = |name: &str| is_attributable(ResourceType::parse(name).unwrap());
        for name in ["Condition", "Observation", "DocumentReference", "Provenance", "BodyStructure", "Group"] {
            assert!(is(name), "{name}");
        }
        for name in ["Patient", "Coverage", "Practitioner", "Organization", "Medication", "Location"] {
            assert!(!is(name), "{name}");
        }
    }
}
