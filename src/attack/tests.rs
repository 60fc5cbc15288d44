use super::*;
use crate::attack::case::Verdict;

fn open_door() -> Options {
    Options { open_door: true, ..Options::default() }
}

#[test]
fn the_cases_are_read_and_have_ids_of_their_own() {
    let cases = own_cases().unwrap();
    let mut ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), cases.len());
    assert!(cases.iter().all(|case| case.unknown.is_empty()));
}

#[test]
fn an_open_door_is_found_out_by_every_case_about_whose_records_are_asked_for() {
    let world = World::new(data().unwrap(), &open_door()).unwrap();
    let cases = own_cases().unwrap();
    let about_patients: Vec<&Case> = cases.iter().filter(|case| case.class == "A1-patient-scope").collect();
    assert!(about_patients.len() > 10);
    for case in about_patients {
        assert!(matches!(world.run(case), Verdict::Failed(_)), "{}", case.id);
    }
}

#[test]
fn what_is_not_known_is_unsupported_and_never_passes() {
    let world = World::new(data().unwrap(), &open_door()).unwrap();
    let plain = own_cases().unwrap().into_iter().find(|case| case.id == "Z-01").unwrap();
    let with = |change: &dyn Fn(&mut Case)| {
        let mut case = plain.clone();
        change(&mut case);
        world.run(&case)
    };
    let mut changes: Vec<Verdict> = Vec::new();
    changes.push(with(&|case| case.must_hold = serde_json::json!({"no_such_key": true})));
    changes.push(with(&|case| case.must_hold = serde_json::json!({"applies_if": "it can fly"})));
    let absent = "gateway hosts the token endpoint";
    changes.push(with(&|case| case.must_hold = serde_json::json!({"applies_if": absent})));
    changes.push(with(&|case| case.request["no_such_member"] = serde_json::json!(1)));
    changes.push(with(&|case| case.upstream = Some(serde_json::json!({"mode": "fixture", "quirks": ["no_such"]}))));
    changes.push(with(&|case| case.setup = vec![serde_json::json!({"fault": "no_such_fault"})]));
    for verdict in changes {
        assert!(!matches!(verdict, Verdict::Passed(_)), "{verdict:?}");
    }
}

#[test]
fn the_grade_is_that_of_the_worst() {
    let case = own_cases().unwrap().into_iter().next().unwrap();
    let graded = |failed: &[(&str, usize)]| {
        let mut report = Report::default();
        for severity in ["control", "control"] {
            report.add(&Case { severity: severity.to_owned(), ..case.clone() }, &Verdict::Passed(None));
        }
        for (severity, count) in failed {
            for _ in 0..*count {
                let case = Case { severity: (*severity).to_owned(), ..case.clone() };
                report.add(&case, &Verdict::Failed(Vec::new()));
            }
        }
        report.grade()
    };
    assert_eq!(graded(&[]), Grade::A);
    assert_eq!(graded(&[("medium", 4)]), Grade::B);
    assert_eq!(graded(&[("high", 1), ("medium", 1)]), Grade::C);
    assert_eq!(graded(&[("control", 1)]), Grade::C);
    assert_eq!(graded(&[("critical", 3)]), Grade::D);
    assert_eq!(graded(&[("critical", 10), ("high", 5)]), Grade::E);
    assert_eq!(graded(&[("critical", 11)]), Grade::F);
    assert_eq!(graded(&[("control", 3)]), Grade::F);
}
