//! What is contained.

use super::*;

const CONTAINERS: &str = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
    "types":{"DiagnosticReport":{"elements":["*"]},"Observation":{"where":["category=laboratory"],"elements":["*"]},
             "Goal":{"elements":["contained","subject"]},"Practitioner":{"elements":["name.family"]}},
    "withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"],"includes":[]}"#;

fn holding(resource_type: &str, decision: &str, inside: &str) -> (String, Tally) {
    let holder = format!(
        r#"{{"resourceType":"{resource_type}","id":"h","subject":{{"reference":"Patient/p1"}},"contained":[{inside}]}}"#
    );
    filtered(&format!("{resource_type}?patient=p1"), decision, &bundle(&[&holder]))
}

#[test]
fn what_is_contained_is_judged_like_anything_else() {
    let inside = lab("i", "p1", r#","note":[{"text":"SECRET"}]"#);
    let (text, tally) = holding("DiagnosticReport", CONTAINERS, &inside);
    assert!(text.contains("SECRET") && !text.contains("SUBSETTED"), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 0));
    for bad in [
        inside.replace("Patient/p1", "Patient/p2"),
        inside.replace("Patient/p1", "urn:uuid:0"),
        inside.replace("laboratory", "social-history"),
        inside.replace(r#""Observation""#, r#""Procedure""#),
        inside.replace(r#""Observation""#, r#""Nonsense""#),
    ] {
        let (text, tally) = holding("DiagnosticReport", CONTAINERS, &bad);
        assert!(!text.contains("SECRET") && !text.contains("contained") && text.contains("SUBSETTED"), "{bad}\n{text}");
        assert_eq!((tally.released, tally.redacted), (1, 1));
    }
}

#[test]
fn what_is_contained_leaves_with_its_own_elements() {
    let inside =
        r#"{"resourceType":"Practitioner","id":"i","name":[{"family":"F","given":["SECRET"]}],"birthDate":"SECRET"}"#;
    let changed = inside.replace(r#""birthDate""#, r#""modifierExtension":[{"url":"http://m"}],"birthDate""#);
    for holder in ["DiagnosticReport", "Goal"] {
        let (text, tally) = holding(holder, CONTAINERS, inside);
        assert!(text.contains(r#""name":[{"family":"F"}]"#) && !text.contains("SECRET"), "{text}");
        assert_eq!((tally.released, tally.redacted), (1, 1));
        assert_eq!(holding(holder, CONTAINERS, &changed).1.withheld.get(&Withheld::Modifier), Some(&1));
    }
    for listed in ["", r#""contained.name","#] {
        let (text, _) = holding("Goal", &CONTAINERS.replace(r#""contained","#, listed), inside);
        assert!(!text.contains("Practitioner"), "{text}");
    }
}

/// A holder of `inside`, with something that leads to it.
fn leading(decision: &str, inside: &str) -> (String, Tally) {
    let holder = format!(
        r##"{{"resourceType":"DiagnosticReport","id":"h","text":{{"div":"SECRET"}},"subject":{{"reference":"Patient/p1"}},"status":"final",
            "contained":[{inside}],"result":[{{"reference":"#i","display":"SECRET","type":"Observation"}},{{"reference":"Observation/kept"}}],
            "extension":[{{"url":"http://e","valueReference":{{"reference":"#i","display":"SECRET"}}}}],
            "conclusion":"KEPT"}}"##
    );
    filtered("DiagnosticReport?patient=p1", decision, &bundle(&[&holder]))
}

#[test]
fn a_label_on_what_is_contained_withholds_the_whole() {
    let inside = lab("i", "p1", r#","note":[{"text":"SECRET"}]"#);
    let psy = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}"#;
    let parts = CONTAINERS.replace(
        r#""DiagnosticReport":{"elements":["*"]}"#,
        r#""DiagnosticReport":{"elements":["status","result","conclusion"]}"#,
    );
    for labelled in [
        inside.replace(r#""versionId":"2""#, &format!(r#""security":[{psy}]"#)),
        inside.replace(r#""versionId":"2""#, &format!(r#""security":{psy}"#)),
        inside.replace(r#""status""#, &format!(r#""securityLabel":[{{"coding":[{psy}]}}],"status""#)),
        format!(r#"{{"resourceType":"Nonsense","meta":{{"security":[{psy}]}}}}"#),
    ] {
        for decision in [CONTAINERS, &parts] {
            let (text, tally) = leading(decision, &labelled);
            assert_eq!(tally.withheld.into_iter().collect::<Vec<_>>(), [(Withheld::Label, 1)], "{labelled}\n{text}");
        }
    }
}

#[test]
fn nothing_leads_to_what_was_contained() {
    let other = lab("i", "p2", r#","note":[{"text":"SECRET"}]"#);
    let own = lab("i", "p1", "");
    let listed = |elements: &str| {
        CONTAINERS.replace(
            r#""DiagnosticReport":{"elements":["*"]}"#,
            &format!(r#""DiagnosticReport":{{"elements":[{elements}]}}"#),
        )
    };
    let lists = [
        CONTAINERS.to_owned(),
        listed(r#""result","conclusion""#),
        listed(r#""result","conclusion","contained""#),
        listed(r#""result.reference","result.display","result.type","conclusion""#),
    ];
    for decision in &lists {
        let (text, tally) = leading(decision, &other);
        assert!(!text.contains("SECRET") && !text.contains("#i"), "{text}");
        assert!(
            text.contains("KEPT") && text.contains("Observation/kept") && !text.contains("\"type\":\"Observation\""),
            "{text}"
        );
        assert_eq!((tally.released, tally.redacted), (1, 1));
    }
    let (text, tally) = leading(CONTAINERS, &own);
    assert!(text.contains("#i") && text.contains("SECRET") && tally.redacted == 0, "{text}");
    let (text, _) = leading(lists.get(2).unwrap(), &own);
    assert!(text.contains("#i") && !text.contains("SECRET"), "{text}");
    let (text, _) = leading(lists.get(1).unwrap(), &own);
    assert!(!text.contains("#i"), "what is contained is not listed: {text}");
}

#[test]
fn what_is_contained_in_part_is_not_told_by_what_leads_to_it() {
    let holder = r##"{"resourceType":"DiagnosticReport","id":"h","text":{"div":"SECRET"},"subject":{"reference":"Patient/p1"},"contained":[
        {"resourceType":"Practitioner","id":"i","name":[{"family":"F","given":["SECRET"]}]}],"performer":[{"reference":"#i","display":"SECRET"},{"reference":"Practitioner/o","display":"KEPT"}]}"##;
    let (text, _) = filtered("DiagnosticReport?patient=p1", CONTAINERS, &bundle(&[holder]));
    assert!(text.contains(r##"{"reference":"#i"}"##) && text.contains("KEPT") && !text.contains("SECRET"), "{text}");
}

#[test]
fn a_resource_that_is_neither_an_entry_nor_contained_leaves_with_nothing() {
    let own = lab("a", "p1", "");
    let hidden = lab("i", "p2", "").replace("final", "SECRET");
    for place in [
        format!(r#","_contained":[{hidden}]"#),
        format!(r#","performer":[{{"resource":{hidden}}}]"#),
        format!(r#","extension":[{{"url":"http://e","valueReference":{hidden}}}]"#),
    ] {
        let (text, tally) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[&lab("x", "p1", &place), &own]));
        assert!(!text.contains("SECRET"), "{text}");
        assert_eq!((tally.released, tally.withheld.get(&Withheld::Malformed)), (1, Some(&1)), "{text}");
    }
    let nested = own.replace(
        r#""status""#,
        &format!(
            r#""contained":[{}],"status""#,
            hidden.replace(r#""status""#, r#""contained":[{"resourceType":"Practitioner"}],"status""#)
        ),
    );
    assert_eq!(
        filtered("Observation?patient=p1", EVERYTHING, &bundle(&[&nested])).1.withheld.get(&Withheld::Malformed),
        Some(&1)
    );
    let beside = format!(r#"{{"resource":{own},"response":{{"outcome":{{"resourceType":"OperationOutcome"}}}}}}"#);
    let body = format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{beside}]}}"#);
    assert_eq!(filtered("Observation?patient=p1", EVERYTHING, &body).1.released, 1);
}
