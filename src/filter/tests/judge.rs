//! What may leave: each check, whose records, what comes along.

use super::*;

/// One resource that is released, and for every check a neighbour that only that check withholds.
#[test]
fn each_check_withholds_what_no_other_would() {
    let asked = "Observation?patient=p1&code=4548-4";
    let good = lab("good", "p1", "");
    let released = filtered(asked, LABS, &bundle(&[&good]));
    assert_eq!((released.1.released, released.1.withheld.len()), (1, 0));
    let label = |label: &str| good.replace(r#""versionId":"2""#, &format!(r#""security":[{label}]"#));
    let psy = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}"#;
    for (neighbour, reason) in [
        (lab("x", "p2", ""), Withheld::Patient),
        (lab("x", "p10", ""), Withheld::Patient),
        (good.replace("Patient/p1", "Group/g1"), Withheld::Subject),
        (good.replace("Patient/p1", "#p1"), Withheld::Subject),
        (good.replace("Patient/p1", "http://other/fhir/Patient/p1"), Withheld::Subject),
        (good.replace(r#""Patient/p1""#, r#""Patient/p1","identifier":{"value":"MRN-2"}"#), Withheld::Subject),
        (good.replace("laboratory", "social-history"), Withheld::Constraint),
        (good.replace("2024-05-01", "2023-05-01"), Withheld::Constraint),
        (good.replace(r#""effectiveDateTime":"2024-05-01","#, ""), Withheld::Constraint),
        (good.replace("4548-4", "718-7"), Withheld::Query),
        (label(psy), Withheld::Label),
        (
            lab(
                "x",
                "p1",
                &format!(
                    r#","note":[{{"extension":[{{"url":"http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label","valueCoding":{psy}}}]}}]"#
                ),
            ),
            Withheld::Label,
        ),
        (lab("x", "p1", r#","modifierExtension":[{"url":"http://m","valueBoolean":true}]"#), Withheld::Modifier),
        (lab("x", "p1", r#","component":[{"modifierExtension":[{"url":"http://m"}]}]"#), Withheld::Modifier),
        (good.replace("\"Observation\"", "\"Condition\""), Withheld::Type),
        (good.replace("\"Observation\"", "\"Nonsense\""), Withheld::Malformed),
        (good.replace("\"id\":\"good\",", ""), Withheld::Malformed),
        (r#"{"resourceType":"Practitioner","id":"x"}"#.to_owned(), Withheld::Include),
        (
            r#"{"resourceType":"Provenance","id":"x","target":[{"reference":"Observation/good"}]}"#.to_owned(),
            Withheld::Subject,
        ),
    ] {
        let (text, tally) = filtered(asked, LABS, &bundle(&[&neighbour, &good]));
        assert_eq!(tally.withheld.iter().collect::<Vec<_>>(), [(&reason, &1)], "{neighbour}");
        assert_eq!((tally.received, tally.released, tally.matches), (2, 1, 1));
        assert_eq!(text, released.0, "{neighbour}");
    }
    let withheld = |text: &str| filtered(asked, LABS, &bundle(&[text])).1.withheld;
    for text in [
        good.replace(r#"{"versionId":"2","source":"http://s"}"#, &format!(r#"[{{"security":[{psy}]}}]"#)),
        label(&psy.replace("PSY", " psy")),
        label(&psy.replace("v3-ActCode", "v3-ActCode/")),
        lab("x", "p1", &format!(r#","securityLabel":[{{"coding":[{psy}]}}]"#)),
        lab("x", "p1", r#","securityLabel":[{"text":"PSY"}]"#),
    ] {
        assert_eq!(withheld(&text).into_iter().collect::<Vec<_>>(), [(Withheld::Label, 1)], "{text}");
    }
    let unlabelled = label(r#"{"system":"http://other","code":"PSY"}"#);
    assert_eq!(filtered(asked, LABS, &bundle(&[&unlabelled])).1.released, 1);
}

#[test]
fn includes_need_a_released_match_whatever_their_order() {
    let with = |id: &str, patient: &str| lab(id, patient, r#","performer":[{"reference":"Practitioner/x"}]"#);
    let practitioner = r#"{"resourceType":"Practitioner","id":"x","name":[{"family":"F"}]}"#;
    let provenance = |targets: &str| {
        format!(r#"{{"resourceType":"Provenance","id":"v","target":[{targets}],"recorded":"2024-01-01T00:00:00Z"}}"#)
    };
    let (a, other) = (r#"{"reference":"Observation/a"}"#, r#"{"reference":"Observation/b"}"#);
    let asked = "Observation?patient=p1&_include=Observation:performer&_revinclude=Provenance:target";
    for (entries, released) in [
        (vec![with("a", "p1"), practitioner.to_owned()], 2),
        (vec![practitioner.to_owned(), with("a", "p1")], 2),
        (vec![with("b", "p2"), practitioner.to_owned()], 0),
        (vec![lab("a", "p1", ""), practitioner.to_owned()], 1),
        (vec![lab("a", "p1", ""), provenance(a)], 2),
        (vec![provenance(a), lab("a", "p1", "")], 2),
        (vec![lab("a", "p1", ""), lab("b", "p2", ""), provenance(&format!("{a},{other}"))], 1),
        (vec![lab("a", "p1", ""), provenance(&format!(r#"{a},{{"display":"x"}}"#))], 1),
        (vec![provenance(other)], 0),
    ] {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let (text, tally) = filtered(asked, LABS, &bundle(&entries));
        assert_eq!(tally.released, released, "{text}");
        assert_eq!(tally.matches, text.matches(r#""mode":"match""#).count() as u32);
    }
    let unasked = filtered("Observation?patient=p1", LABS, &bundle(&[&with("a", "p1"), practitioner]));
    assert_eq!(unasked.1.withheld.get(&Withheld::Include), Some(&1));
}

#[test]
fn a_read_answers_what_was_asked_or_nothing() {
    let question = question("Observation/a", LABS);
    let body = |text: &str| {
        read(text.as_bytes(), &question, BASES)
            .map(|filtered| filtered.into_body().map(|body| String::from_utf8(body.as_bytes().to_vec()).unwrap()))
    };
    let good = lab("a", "p1", "");
    assert!(
        body(&good)
            .unwrap()
            .unwrap()
            .starts_with(r#"{"resourceType":"Observation","id":"a","meta":{"versionId":"2","tag":["#)
    );
    assert_eq!(body(&lab("a", "p2", "")).unwrap(), None);
    assert_eq!(body(&good.replace("laboratory", "vital-signs")).unwrap(), None);
    assert_eq!(body(&lab("b", "p1", "")).unwrap_err(), FilterError::Mismatch);
    assert_eq!(body(&good.replace("\"Observation\"", "\"Condition\"")).unwrap_err(), FilterError::Mismatch);
    assert!(matches!(body("{}x").unwrap_err(), FilterError::Json(_)));
}

#[test]
fn what_can_come_along_waits_for_its_match_and_the_rest_takes_no_room() {
    let note = "n".repeat(crate::limits::WHOLE_ANSWER_BYTES / 4);
    let other = |id: u32| {
        format!(
            r#"{{"resourceType":"Goal","id":"g{id}","subject":{{"reference":"Patient/p1"}},"note":[{{"text":"{note}"}}]}}"#
        )
    };
    let goals: Vec<String> = (0..5).map(other).collect();
    let practitioner = r#"{"resourceType":"Practitioner","id":"dr"}"#;
    let entry = lab("a", "p1", r#","performer":[{"reference":"Practitioner/dr"}]"#);
    let mut entries: Vec<&str> = goals.iter().map(String::as_str).collect();
    entries.extend([practitioner, &entry]);
    let (text, tally) =
        filtered("Observation?patient=p1&_include=Observation:performer", EVERYTHING, &bundle(&entries));
    assert_eq!((tally.released, tally.withheld.get(&Withheld::Include)), (2, Some(&5)), "{text}");
}

#[test]
fn records_of_others_stay_whoever_else_is_permitted() {
    let appointment = |patients: &[&str]| {
        let actors: Vec<String> =
            patients.iter().map(|id| format!(r#"{{"actor":{{"reference":"Patient/{id}"}}}}"#)).collect();
        format!(r#"{{"resourceType":"Appointment","id":"a","participant":[{}]}}"#, actors.join(","))
    };
    for (patients, released) in [(&["p1"][..], 1), (&["p1", "p2"], 0), (&["p2", "p1"], 0)] {
        let (_, tally) = filtered("Appointment?patient=p1", EVERYTHING, &bundle(&[&appointment(patients)]));
        assert_eq!(tally.released, released, "{patients:?}");
    }
    let two =
        EVERYTHING.replace(r#"["p1"]"#, r#"["p1","p2"]"#).replace("Observation:performer", "DiagnosticReport:result");
    let report = r#"{"resourceType":"DiagnosticReport","id":"r","subject":{"reference":"Patient/p1"},"result":[{"reference":"Observation/o"}]}"#;
    for (patient, released) in [("p1", 2), ("p2", 1)] {
        let result = lab("o", patient, "");
        let asked = "DiagnosticReport?patient=p1&_include=DiagnosticReport:result";
        assert_eq!(filtered(asked, &two, &bundle(&[report, &result])).1.released, released, "{patient}");
    }
}

#[test]
fn a_population_is_judged_one_by_one() {
    let interaction = interaction("Patient?identifier=http://payer|7");
    let members = EVERYTHING.replace(r#"["p1"]"#, r#"{"roster":"r"}"#);
    let rows = b"patient,roster,member_id,start,end\np1,r,7,,\np2,other,7,,\np3,r,7,,2020-01-01\n";
    let permit = permit_bound_to(obligations_with(&members, &interaction, Roster::read(rows).unwrap()));
    let question = rewrite(interaction, permit, &[]).unwrap().into_question();
    let patient = |id: &str| {
        format!(r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"system":"http://payer","value":"7"}}]}}"#)
    };
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&patient("p1"), &patient("p2"), &patient("p3"), &patient("p4")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let (_, tally) = filter.close("https://gw/fhir/self", None);
    assert_eq!((tally.released, tally.withheld.get(&Withheld::Patient)), (1, Some(&3)));
}

#[test]
fn only_what_was_asked_to_come_along_does() {
    let entry = lab("a", "p1", r#","performer":[{"reference":"Organization/o"}]"#);
    let organization = r#"{"resourceType":"Organization","id":"o"}"#;
    let of_nothing = r#"{"resourceType":"Provenance","id":"v","recorded":"2024-01-01T00:00:00Z"}"#;
    for (asked, other, released) in [
        ("_include=Observation:performer", organization, 2),
        ("_include=Observation:performer:Organization", organization, 2),
        ("_include=Observation:performer:Practitioner", organization, 1),
        ("_revinclude=Provenance:target", organization, 1),
        ("_revinclude=Provenance:target", of_nothing, 1),
    ] {
        let (_, tally) = filtered(&format!("Observation?patient=p1&{asked}"), EVERYTHING, &bundle(&[&entry, other]));
        assert_eq!(tally.released, released, "{asked}");
    }
}

#[test]
fn a_provenance_is_judged_by_its_targets_whatever_brings_it_along() {
    let decision =
        EVERYTHING.replace("Provenance:target", "Provenance:agent\",\"Provenance:entity\",\"Provenance:patient");
    let provenance = |target: &str, named: &str| {
        format!(
            r#"{{"resourceType":"Provenance","id":"v","target":[{{"reference":"{target}"}}],"recorded":"2024-01-01T00:00:00Z",
                "agent":[{{"who":{{"reference":"{named}"}}}}],"entity":[{{"role":"source","what":{{"reference":"{named}"}}}}]}}"#
        )
    };
    let patient = r#"{"resourceType":"Patient","id":"p1"}"#;
    for parameter in ["agent", "entity"] {
        let asked = format!("Patient?_id=p1&_revinclude=Provenance:{parameter}");
        for (target, named, released) in
            [("Patient/p1", "Patient/p1", 2), ("Observation/of-p2", "Patient/p1", 1), ("Patient/p1", "Patient/p2", 1)]
        {
            let (text, tally) = filtered(&asked, &decision, &bundle(&[patient, &provenance(target, named)]));
            assert_eq!(tally.released, released, "{text}");
        }
    }
}

#[test]
fn a_record_of_two_patients_is_neithers() {
    let interaction = interaction("Appointment?patient=p1,p2");
    let permit = permit(&EVERYTHING.replace(r#"["p1"]"#, r#"["p1","p2"]"#), &interaction);
    let both = ["p1", "p2"].map(|id| Id::parse(id).unwrap());
    let question = rewrite(interaction, permit, &both).unwrap().into_question();
    let appointment = |id: &str, other: &str| {
        format!(
            r#"{{"resourceType":"Appointment","id":"{id}","participant":[{{"actor":{{"reference":"Patient/p1"}}}},{{"actor":{{"reference":"{other}"}}}}]}}"#
        )
    };
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&appointment("a", "Patient/p1"), &appointment("b", "Patient/p2")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let (_, tally) = filter.close("https://gw/fhir/self", None);
    assert_eq!((tally.released, tally.withheld.get(&Withheld::Subject)), (1, Some(&1)));
}
