//! Labels, stated and computed.

use super::*;

#[test]
fn escapes_hide_nothing() {
    let label = r#","note":[{"extension":[{"url":"http:\/\/hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension\u002dinline\u002dsec\u002dlabel",
        "valueCoding":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}}]}]"#;
    let (_, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", label)]));
    assert_eq!(tally.withheld.get(&Withheld::Label), Some(&1));
    for address in [r"http:\/\/ehr\/fhir\/x", r"http://ehr\u002ffhir/x"] {
        let entry = lab("a", "p1", &format!(r#","note":[{{"text":"{address}"}}]"#));
        let (text, _) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[&entry]));
        assert!(text.contains("https://gw/fhir/x") && !text.contains("ehr"), "{text}");
    }
}

/// Filters an answer under a decision that is bound with a sensitivity list.
fn listed(list: &str, decision: &str, asked: &str, body: &str) -> Tally {
    let interaction = interaction(asked);
    let permit = permit_bound_to(obligations_listing(decision, &interaction, list));
    let question = rewrite(interaction, permit, &[Id::parse("p1").unwrap()]).unwrap().into_question();
    let (filter, _) = searchset(body.as_bytes(), BundleFilter::new(&question, BASES)).unwrap();
    filter.close("https://gw/fhir/self", None).1
}

#[test]
fn what_carries_no_label_is_labelled_by_its_codes() {
    const LIST: &str = "label,system,code,text\nPSY,http://loinc.org,44261-6,a score\n\
        PSY,http://hl7.org/fhir/sid/icd-10-cm,F32*,depression\nPSY,http://snomed.info/sct,7500,a number\nHIV,http://loinc.org,4548-4,on the list, and not withheld\n";
    let asked = "Observation?patient=p1";
    let good = lab("good", "p1", "");
    let icd = r#"{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"F32.1"}"#;
    for sensitive in [
        good.replace("4548-4", "44261-6"),
        lab("x", "p1", &format!(r#","valueCodeableConcept":{{"coding":[{{"code":"1"}},{icd}]}}"#)),
        lab("x", "p1", &format!(r#","component":[{{"code":{{"coding":[{icd}]}}}}]"#)),
        lab("x", "p1", &format!(r#","contained":[{{"resourceType":"Condition","code":{{"coding":[{icd}]}}}}]"#)),
        lab("x", "p1", &format!(r#","extension":[{{"url":"u","valueCoding":{icd}}}]"#)),
        lab("x", "p1", r#","method":{"coding":[{"code":"F32"}]}"#),
        good.replace("4548-4", r"4426\u0031-6"),
        good.replace("4548-4", " 44261 -6 "),
        good.replace(r#""4548-4""#, r#"["44261-6"]"#),
        lab("x", "p1", r#","method":{"coding":[{"code":7500}]}"#),
        lab("x", "p1", r#","extension":[{"url":"u","valueCode":"F32.1"}]"#),
        good.replace("http://loinc.org", "urn:oid:2.16.840.1.113883.6.1").replace("4548-4", "44261-6"),
        good.replace("http://loinc.org", "2.16.840.1.113883.6.1").replace("4548-4", "44261-6"),
        lab("x", "p1", &format!(r#","method":{{"coding":[{}]}}"#, icd.replace("icd-10-cm", "icd-10"))),
    ] {
        let tally = listed(LIST, LABS, asked, &bundle(&[&sensitive, &good]));
        assert_eq!(tally.withheld.into_iter().collect::<Vec<_>>(), [(Withheld::Computed, 1)], "{sensitive}");
        assert_eq!(tally.released, 1);
        assert!(listed("label,system,code,text\n", LABS, asked, &bundle(&[&sensitive])).released == 1, "{sensitive}");
    }
    let other = good.replace("http://loinc.org", "http://other").replace("4548-4", "44261-6");
    assert_eq!(listed(LIST, LABS, asked, &bundle(&[&other])).released, 1);
    let labels = r#""withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|*"]"#;
    let all = LABS.replace(r#""withhold_labels":["http://terminology.hl7.org/CodeSystem/v3-ActCode|PSY"]"#, labels);
    assert_eq!(listed(LIST, &all, asked, &bundle(&[&good])).released, 0);
}

#[test]
fn an_inline_label_is_one_in_every_spelling_of_its_extension() {
    let url = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";
    for url in
        [url.to_owned(), url.replace("http:", "https:"), format!(" {url} "), format!("{url}|1.0.0"), format!("{url}/")]
    {
        let label = format!(
            r#","note":[{{"extension":[{{"url":"{url}","valueCoding":{{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}}}}]}}]"#
        );
        let (_, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", &label)]));
        assert_eq!(tally.withheld.get(&Withheld::Label), Some(&1), "{url}");
    }
}

#[test]
fn a_label_is_the_same_in_every_spelling_of_its_system() {
    let r4 = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    let labelled = |system: &str| {
        lab("x", "p1", "")
            .replace(r#""versionId":"2""#, &format!(r#""security":[{{"system":"{system}","code":"PSY"}}]"#))
    };
    let spellings = [
        r4,
        "https://terminology.hl7.org/CodeSystem/v3-ActCode",
        "http://terminology.hl7.org/CodeSystem/v3-ActCode|9.0.0",
        "http://hl7.org/fhir/v3/ActCode",
        "https://hl7.org/fhir/v3/ActCode/",
        "urn:oid:2.16.840.1.113883.5.4",
        "2.16.840.1.113883.5.4",
    ];
    for withheld in spellings {
        let decision =
            LABS.replace(&format!("{r4}|PSY"), &format!("{}|PSY", withheld.split('|').next().unwrap_or_default()));
        for system in spellings {
            let (_, tally) = filtered("Observation?patient=p1", &decision, &bundle(&[&labelled(system)]));
            assert_eq!(tally.withheld.get(&Withheld::Label), Some(&1), "{withheld} {system}");
        }
    }
    for other in ["http://hl7.org/fhir/v3/ActReason", "2.16.840.1.113883.5.40"] {
        let (_, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&labelled(other)]));
        assert_eq!(tally.released, 1, "{other}");
    }
}
