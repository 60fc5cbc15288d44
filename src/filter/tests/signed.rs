//! What is signed leaves whole, or not at all.

use super::*;

/// As [`EVERYTHING`], with some elements of Observation and of Provenance.
fn decision(observation: &str, provenance: &str) -> String {
    EVERYTHING.replace(
        r#""*":{"elements":["*"]}"#,
        &format!(r#""*":{{"elements":["*"]}},"Observation":{{"elements":[{observation}]}},"Provenance":{{"elements":[{provenance}]}}"#),
    )
}

fn observation(id: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"t"}},"subject":{{"reference":"Patient/p1"}}{more}}}"#
    )
}

fn provenance(targets: &[&str], more: &str) -> String {
    let targets: Vec<String> = targets.iter().map(|target| format!(r#"{{"reference":"{target}"}}"#)).collect();
    format!(
        r#"{{"resourceType":"Provenance","id":"v","recorded":"2024-05-05T00:00:00Z","target":[{}],"agent":[{{"who":{{"display":"d"}}}}]{more}}}"#,
        targets.join(",")
    )
}

const SIGNATURE: &str = r#","signature":[{"who":{"display":"d"},"data":"SIGNED"}]"#;
const ASKED: &str = "Observation?patient=p1&_revinclude=Provenance:target";
const ALL: &str = r#""*""#;

#[test]
fn a_signed_provenance_leaves_beside_all_that_it_signs() {
    let whole = observation("a", "");
    let narrow = r#""status","subject""#;
    let moved = |url: &str| observation("a", &format!(r#","note":[{{"text":"see {url}"}}]"#));
    let contained = observation("a", r#","contained":[{"resourceType":"Medication","id":"m","meta":{"tag":[]}}]"#);
    for (name, asked, decision, observation, leaves) in [
        ("whole", ASKED, decision(ALL, ALL), whole.clone(), true),
        ("with meta", ASKED, decision(ALL, ALL), observation("a", r#","meta":{"versionId":"7"}"#), true),
        ("another's url", ASKED, decision(ALL, ALL), moved("http://ehr/fhir2/Observation/b"), true),
        ("redacted", ASKED, decision(narrow, ALL), whole.clone(), false),
        ("the client's own elements", &format!("{ASKED}&_elements=status"), decision(ALL, ALL), whole.clone(), false),
        ("rewritten", ASKED, decision(ALL, ALL), moved("http://ehr/fhir/Observation/b"), false),
        ("rewritten, by an escape", ASKED, decision(ALL, ALL), moved(r"http:\/\/ehr\/fhir/Observation/b"), false),
        ("contained with meta", ASKED, decision(ALL, ALL), contained, false),
        ("provenance in part", ASKED, decision(ALL, r#""target","recorded","signature""#), whole.clone(), false),
        ("without its signature", ASKED, decision(ALL, r#""target","recorded","agent""#), whole, false),
    ] {
        let about = provenance(&["Observation/a"], SIGNATURE);
        for entries in [[&*observation, &about], [&about, &observation]] {
            let (text, tally) = filtered(asked, &decision, &bundle(&entries));
            assert!(text.contains("Observation/a"), "{name}: {text}");
            assert_eq!(text.contains("Provenance/v"), leaves, "{name}: {text}");
            assert_eq!(text.contains("SIGNED"), leaves, "{name}: {text}");
            let signed = u32::from(!leaves);
            assert_eq!(tally.withheld.get(&Withheld::Signed).copied().unwrap_or_default(), signed, "{name}");
        }
        // Without a signature there is nothing that could break.
        let (text, _) = filtered(asked, &decision, &bundle(&[&observation, &provenance(&["Observation/a"], "")]));
        assert!(text.contains("Provenance/v"), "{name}: {text}");
    }
}

#[test]
fn a_signed_provenance_of_several_leaves_beside_all_of_them_or_not_at_all() {
    let (a, b) = (observation("a", ""), observation("b", r#","note":[{"text":"http://ehr/fhir/Observation/a"}]"#));
    let both = provenance(&["Observation/a", "Observation/b"], SIGNATURE);
    let everything = decision(ALL, ALL);
    assert!(!filtered(ASKED, &everything, &bundle(&[&a, &b, &both])).0.contains("SIGNED"));
    assert!(filtered(ASKED, &everything, &bundle(&[&a, &observation("b", ""), &both])).0.contains("SIGNED"));
}

#[test]
fn what_carries_a_signature_leaves_whole_or_not_at_all() {
    let extension = r#","extension":[{"url":"http://hl7.org/fhir/StructureDefinition/questionnaireresponse-signature","valueSignature":{"data":"SIGNED"}}]"#;
    let inside = format!(r#","item":[{{"linkId":"1"{extension}}}]"#);
    let form = |more: &str| {
        format!(
            r#"{{"resourceType":"QuestionnaireResponse","id":"a","status":"completed","subject":{{"reference":"Patient/p1"}}{more}}}"#
        )
    };
    let narrow = EVERYTHING
        .replace(r#""*":{"elements":["*"]}"#, r#""QuestionnaireResponse":{"elements":["status","subject","item"]}"#);
    let moved = format!(r#"{extension},"questionnaire":"http://ehr/fhir/Questionnaire/q""#);
    for (name, asked, decision, form, leaves) in [
        ("whole", "QuestionnaireResponse?patient=p1", EVERYTHING, form(extension), true),
        ("an item", "QuestionnaireResponse?patient=p1", EVERYTHING, form(&inside), true),
        ("unsigned", "QuestionnaireResponse?patient=p1", &narrow, form(r#","item":[{"linkId":"signature"}]"#), true),
        ("redacted", "QuestionnaireResponse?patient=p1", &narrow, form(extension), false),
        ("an item of what is redacted", "QuestionnaireResponse?patient=p1", &narrow, form(&inside), false),
        ("in part", "QuestionnaireResponse?patient=p1&_elements=status", EVERYTHING, form(extension), false),
        ("summary", "QuestionnaireResponse?patient=p1&_summary=data", EVERYTHING, form(extension), false),
        ("rewritten", "QuestionnaireResponse?patient=p1", EVERYTHING, form(&moved), false),
    ] {
        let (text, tally) = filtered(asked, decision, &bundle(&[&form]));
        assert_eq!(text.contains("QuestionnaireResponse/a"), leaves, "{name}: {text}");
        assert!(leaves || tally.withheld == [(Withheld::Signed, 1)].into(), "{name}: {tally:?}");
        assert!(!leaves || *decision == *narrow || text.contains(&form), "{name}: {text}");
    }
}
