//! The careless EHR: one that ignores every search parameter gives a payer no more than a faithful one.

use std::collections::BTreeSet;

use portcullis::demo::ehr::{Behaviour, Ehr};

use crate::support::{Payer, Policy, clinic, everything, gateway, resources, starter};

/// What is asked about every patient, for every type.
const SEARCHES: &[&str] = &["", "&_lastUpdated=ge2025-01-01", "&_count=2", "&_id=none", "&_total=none"];

/// What is asked about every patient.
const OBSERVATIONS: &[&str] = &[
    "&code=4548-4",
    "&code=http://loinc.org|4548-4,http://loinc.org|85354-9",
    "&category=laboratory",
    "&category=vital-signs&date=ge2025-01-01",
    "&date=lt2024-01-01",
    "&code:not=4548-4",
    "&date=ge2024-01-01&date=lt2025-01-01",
    "&_include=Observation:performer",
    "&_revinclude=Provenance:target",
    "&code=4548-4&_revinclude=Provenance:target&_include=Observation:performer",
    "&_sort=-date&_count=1",
];

fn searches(about_many: bool) -> Vec<String> {
    let mut targets = Vec::new();
    let types: BTreeSet<String> = resources().keys().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    for patient in ["maren", "tobias", "ines", "nobody"] {
        for resource_type in
            types.iter().filter(|name| !["Organization", "Practitioner", "Provenance"].contains(&name.as_str()))
        {
            let parameter = if resource_type == "Patient" { "_id" } else { "patient" };
            targets.extend(SEARCHES.iter().map(|more| format!("/{resource_type}?{parameter}={patient}{more}")));
        }
        targets.extend(OBSERVATIONS.iter().map(|more| format!("/Observation?patient={patient}{more}")));
    }
    if about_many {
        targets.push("/Observation?patient=maren,tobias&code=4548-4".to_owned());
        targets.push("/Organization?name=Alder".to_owned());
        targets.push("/Practitioner?_id=sethi".to_owned());
    }
    targets.push("/Observation?patient=maren&patient=tobias".to_owned());
    targets.push("/Patient?identifier=http://lanternfield.example/member-id|LF-100447".to_owned());
    targets
}

/// The resources of all pages, as text; or the status of a refusal.
fn released(payer: &Payer, target: &str) -> Result<BTreeSet<String>, u16> {
    let first = payer.get(target);
    if first.status() != 200 {
        return Err(first.status());
    }
    let mut released = BTreeSet::new();
    let mut page = first.searchset();
    loop {
        released.extend(page.entries.into_iter().map(|entry| entry.text));
        match page.next {
            Some(next) => page = payer.search(&next),
            None => return Ok(released),
        }
    }
}

fn compare(ehr: &Ehr, policy: fn() -> Policy, about_many: bool) -> usize {
    let honest = gateway().with_policy(policy()).in_front_of(ehr);
    let deceived = gateway().with_policy(policy()).in_front_of(ehr);
    let mut seen = 0;
    for target in searches(about_many) {
        ehr.behave(Behaviour::faithful());
        let expected = released(&honest.payer("lanternfield"), &target);
        ehr.behave(Behaviour::faithful().careless());
        let got = released(&deceived.payer("lanternfield"), &target);
        assert_eq!(got, expected, "{target}");
        seen += expected.map_or(0, |set| set.len());
    }
    seen
}

#[test]
fn a_policy_that_permits_a_patient_permits_no_other() {
    assert!(compare(&clinic(), everything, true) > 300);
}

#[test]
fn the_starter_contract_is_kept() {
    assert!(compare(&clinic(), starter, false) > 50);
}
