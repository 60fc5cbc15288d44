//! Summaries are cut from what may leave, and never hold more.

use super::*;

const RECORD: &str = r#"{"resourceType":"Observation","id":"o","meta":{"versionId":"2","profile":["http://p"],"tag":[{"code":"own"}]},
    "text":{"status":"generated","div":"<div>NARRATIVE</div>"},"contained":[{"resourceType":"Practitioner","id":"CONTAINED"}],
    "extension":[{"url":"urn:e","valueString":"EXTENSION"}],"modifierExtension":[{"url":"urn:m","valueBoolean":true}],
    "basedOn":[{"reference":"ServiceRequest/order"}],"status":"final","_status":{"id":"s"},
    "category":[{"coding":[{"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},
    "subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-05-01","note":[{"text":"NOTE"}],
    "valueSampledData":{"origin":{"value":0.50},"period":10,"dimensions":1,"data":"SAMPLES"},
    "component":[{"code":{"text":"c"},"interpretation":[{"text":"HIGH"}],"modifierExtension":[{"url":"urn:c"}],"valueInteger":7},
                 {"interpretation":[{"text":"ALONE"}]}]}"#;

fn resource(asked: &str, decision: &str, record: &str) -> String {
    let (text, tally) = filtered(asked, decision, &bundle(&[record]));
    assert_eq!((tally.released, tally.redacted), (1, 1), "{asked}: {text}");
    let (_, rest) = text.split_once(r#""resource":"#).unwrap();
    rest.split_once(r#","search""#).unwrap().0.to_owned()
}

#[test]
fn a_summary_is_what_r4_marks_of_what_is_released() {
    assert_eq!(
        resource("Observation?patient=p1&_summary=true", EVERYTHING, RECORD),
        r#"{"resourceType":"Observation","id":"o","meta":{"versionId":"2","profile":["http://p"],"tag":[{"code":"own"},{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"subsetted"}]},"modifierExtension":[{"url":"urn:m","valueBoolean":true}],"basedOn":[{"reference":"ServiceRequest/order"}],"status":"final","_status":{"id":"s"},"code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-05-01","valueSampledData":{"origin":{"value":0.50},"period":10,"dimensions":1},"component":[{"code":{"text":"c"},"modifierExtension":[{"url":"urn:c"}],"valueInteger":7}]}"#
    );
    let less = resource(
        "Observation?patient=p1&_summary=true",
        LABS,
        &lab(
            "o",
            "p1",
            r#","basedOn":[{"reference":"ServiceRequest/x"}],"performer":[{"reference":"Organization/o"}]"#,
        ),
    );
    assert_eq!(
        less,
        r#"{"resourceType":"Observation","id":"o","meta":{"versionId":"2","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"subsetted"}]},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-05-01","valueQuantity":{"value":6.30},"performer":[{"reference":"Organization/o"}]}"#
    );
    let asked = resource("Observation?patient=p1&_summary=true&_elements=category,note,status", EVERYTHING, RECORD);
    assert!(asked.contains("final") && !asked.contains("laboratory") && !asked.contains("NOTE"), "{asked}");
}

#[test]
fn data_is_all_but_the_narrative() {
    let data = resource("Observation?patient=p1&_summary=data", EVERYTHING, RECORD);
    for stays in ["CONTAINED", "EXTENSION", "NOTE", "SAMPLES", "HIGH", "ALONE", "SUBSETTED", "0.50", "laboratory"] {
        assert!(data.contains(stays), "{stays}: {data}");
    }
    assert!(!data.contains("NARRATIVE"), "{data}");
    let whole = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[RECORD])).0;
    assert!(whole.contains("NARRATIVE") && !whole.contains("SUBSETTED"));
}

#[test]
fn whose_record_it_is_stays_in_a_summary() {
    let appointment = r#"{"resourceType":"Appointment","id":"a","status":"booked","participant":[{"actor":{"reference":"Patient/p1"},"status":"accepted"}],"comment":"COMMENT"}"#;
    let summary = resource("Appointment?patient=p1&_summary=true", EVERYTHING, appointment);
    assert!(summary.contains("Patient/p1") && !summary.contains("COMMENT"), "{summary}");
}

#[test]
fn a_read_and_what_comes_along_are_cut_as_well() {
    let question = question("Observation/o?_summary=true", EVERYTHING);
    let filtered = read(RECORD.as_bytes(), &question, BASES).unwrap();
    let text = String::from_utf8(filtered.body().unwrap().as_bytes().to_vec()).unwrap();
    assert!(text.contains("SUBSETTED") && !text.contains("NOTE"), "{text}");
    let practitioner = r#"{"resourceType":"Practitioner","id":"d","active":true,"name":[{"family":"F"}],"qualification":[{"code":{"text":"QUALIFIED"}}]}"#;
    let record = lab("o", "p1", r#","performer":[{"reference":"Practitioner/d"}]"#);
    let body = bundle(&[&record, practitioner]);
    let (text, tally) =
        super::filtered("Observation?patient=p1&_include=Observation:performer&_summary=true", EVERYTHING, &body);
    assert_eq!(tally.redacted, 2);
    assert!(text.contains(r#""family":"F""#) && !text.contains("QUALIFIED"), "{text}");
}
