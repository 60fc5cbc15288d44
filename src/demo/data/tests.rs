use std::collections::BTreeSet;

use super::*;
use crate::decide::Roster;
use crate::fhir::json::{Tape, Value};
use crate::fhir::name::{Id, ResourceType};
use crate::fhir::reference::Reference;
use crate::fhir::subject::{self, Subject};

/// Visits every resource of the clinic and from elsewhere.
fn each(visit: &mut dyn FnMut(Reference, Value<'_>)) {
    for bundle in EVERYTHING.iter().chain([&ELSEWHERE]) {
        let mut tape = Tape::new();
        let document = tape.read(bundle.as_bytes()).unwrap();
        for entry in document.root().get("entry").unwrap().items() {
            let resource = entry.get("resource").unwrap();
            visit(identity(resource), resource);
        }
    }
}

fn identity(resource: Value<'_>) -> Reference {
    let text = |name: &str| resource.get(name).unwrap().text().unwrap();
    Reference::parse(&format!("{}/{}", text("resourceType"), text("id")), &[]).unwrap()
}

/// Visits every value below, with the name of the member that holds it.
fn below(name: &str, value: Value<'_>, visit: &mut dyn FnMut(&str, Value<'_>)) {
    visit(name, value);
    value.members().for_each(|member| below(member.name, member.value, visit));
    value.items().for_each(|item| below(name, item, visit));
}

fn patient_of(identity: &Reference, resource: Value<'_>) -> Option<String> {
    match subject::of(identity.resource_type, resource, &[]) {
        Subject::Patients(patients) => Some(patients.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")),
        Subject::NotPatientData | Subject::Unprovable | Subject::Unstated => None,
    }
}

#[test]
fn every_resource_is_there_once_and_every_reference_leads_to_one() {
    let mut names = BTreeSet::new();
    each(&mut |identity, _| assert!(names.insert(identity.to_string()), "{identity} twice"));
    assert!(names.len() > 50, "{}", names.len());
    each(&mut |identity, resource| {
        below("", resource, &mut |name, value| {
            let Some(text) = value.text().filter(|_| name == "reference") else { return };
            assert!(names.contains(&*text) || text == "#m1", "{identity} refers to {text}");
        });
    });
}

#[test]
fn all_patient_data_proves_whose_it_is() {
    let mut patients = BTreeSet::new();
    each(&mut |identity, resource| {
        let owner = patient_of(&identity, resource);
        let shared = ["Organization", "Practitioner", "Provenance"].contains(&identity.resource_type.as_str());
        assert_eq!(owner.is_none(), shared, "{identity}");
        patients.extend(owner);
    });
    assert_eq!(patients.iter().map(String::as_str).collect::<Vec<_>>(), ["ines", "maren", "tobias"]);
}

#[test]
fn a_labelled_record_has_one_confidentiality_and_its_codes() {
    let mut labelled = BTreeSet::new();
    each(&mut |identity, resource| {
        let Some(labels) = resource.get("meta").unwrap().get("security") else { return };
        let restricted = labels.items().filter(|label| label.get("code").unwrap().text().unwrap() == "R").count();
        assert_eq!(restricted, 1, "{identity}");
        assert!(labels.items().count() > 1, "{identity}");
        labelled.insert(identity.to_string());
    });
    let expected = [
        "Condition/maren-alcohol",
        "Condition/maren-depression",
        "DocumentReference/maren-session-note-2025",
        "Encounter/maren-session-2025",
        "MedicationRequest/maren-naltrexone",
        "Observation/maren-ethanol-2025",
        "Observation/maren-hiv-2025",
    ];
    assert_eq!(labelled.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn codes_are_of_the_systems_that_may_be_used() {
    let allowed = [
        "http://loinc.org",
        "http://snomed.info/sct",
        "http://hl7.org/",
        "http://terminology.hl7.org/CodeSystem/",
        "http://unitsofmeasure.org",
        "urn:ietf:bcp:47",
        "urn:iso-astm:E1762-95:2013",
        "phone",
    ];
    each(&mut |identity, resource| {
        below("", resource, &mut |name, value| {
            let Some(text) = value.text().filter(|_| name == "system") else { return };
            let invented = text.split('/').nth(2).is_some_and(|host| host.ends_with(".example"));
            assert!(invented || allowed.iter().any(|prefix| text.starts_with(prefix)), "{identity}: {text}");
        });
    });
}

#[test]
fn the_roster_says_what_the_coverages_say() {
    let mut covered = BTreeSet::new();
    let coverage = ResourceType::parse("Coverage").unwrap();
    each(&mut |identity, resource| {
        if identity.resource_type != coverage {
            return;
        }
        let payer = resource.get("payor").unwrap().items().next().unwrap().get("reference").unwrap().text().unwrap();
        let day = |name: &str| resource.get("period").unwrap().get(name).and_then(Value::text).unwrap_or_default();
        let member = resource.get("subscriberId").unwrap().text().unwrap();
        let patient = patient_of(&identity, resource).unwrap();
        let payer = payer.trim_start_matches("Organization/");
        covered.insert(format!("{patient},{payer},{member},{},{}", day("start"), day("end")));
    });
    let mut lines = ROSTER.lines();
    assert_eq!(lines.next(), Some("patient,roster,member_id,start,end"));
    assert_eq!(lines.map(ToOwned::to_owned).collect::<BTreeSet<_>>(), covered);
    let roster = Roster::read(ROSTER.as_bytes()).unwrap();
    let on_roster =
        |patient: &str, day: &str| roster.is_member("lanternfield", &Id::parse(patient).unwrap(), day.parse().unwrap());
    assert!(on_roster("maren", "2024-01-01") && !on_roster("maren", "2023-12-31"));
    assert!(on_roster("tobias", "2025-05-06") && !on_roster("ines", "2025-05-06"));
}
