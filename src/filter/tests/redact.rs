//! What of a resource leaves.

use super::*;

#[test]
fn what_repeats_a_removed_element_goes_with_it() {
    let more = r##","text":{"div":"SECRET"},"contained":[{"resourceType":"Patient","id":"c","name":[{"text":"SECRET"}]}],"note":[{"text":"SECRET"}],
        "_status":{"extension":[{"url":"u","valueString":"SECRET"}]},"extension":[{"url":"SECRET"}],"unknown":"SECRET","implicitRules":"SECRET",
        "performer":[{"reference":"#c"},{"extension":[{"url":"SECRET"}]},{"reference":"Practitioner/x","_display":{"extension":[{"url":"SECRET"}]}}]"##;
    let (text, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", more)]));
    assert!(!text.contains("SECRET"), "{text}");
    assert!(!text.contains("http://s\""), "{text}");
    assert!(text.contains(r#""performer":[{"reference":"Practitioner/x"}]"#), "{text}");
    assert_eq!(tally.redacted, 1);
    let kept = r#"{"resourceType":"Practitioner","id":"x","name":[{"family":"F","given":["SECRET"]},{"given":["SECRET"]}],"birthDate":"SECRET"}"#;
    let with = lab("a", "p1", r#","performer":[{"reference":"Practitioner/x"}]"#);
    let (text, _) = filtered("Observation?patient=p1&_include=Observation:performer", LABS, &bundle(&[&with, kept]));
    assert!(text.contains(r#""name":[{"family":"F"}]"#) && !text.contains("SECRET"), "{text}");
}

#[test]
fn under_a_policy_that_allows_everything_nothing_is_lost() {
    let rich = r#"{"resourceType":"Observation","id":"a","meta":{"source":"http://ehr/fhir","tag":[{"code":"t"}]},"text":{"div":"<a href=\"http:\/\/ehr\/fhir\/x\">http://ehr/fhir2 \u00e9</a>"},
        "contained":[{"resourceType":"Device","id":"d"}],"modifierExtension":[{"url":"u"}],"_status":{"id":"x"},"subject":{"reference":"http://ehr/fhir/Patient/p1"},
        "valueQuantity":{"value":12345678901234567890.10},"note":[{"text":"6.30"}]}"#;
    let (text, tally) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[rich]));
    let expected = rich
        .replace(r#""source":"http://ehr/fhir""#, r#""source":"https://gw/fhir""#)
        .replace(r#"http:\/\/ehr\/fhir\/x"#, "https://gw/fhir/x")
        .replace(r"\u00e9", "é")
        .replace("http://ehr/fhir/Patient", "https://gw/fhir/Patient");
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    assert!(squeeze(&text).contains(&squeeze(&expected)), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 0));
    let foreign = rich.replace(
        r#"{"resourceType":"Device","id":"d"}"#,
        r#"{"resourceType":"Observation","id":"d","subject":{"reference":"Patient/p2"},"valueString":"SECRET"}"#,
    );
    let (text, tally) = filtered("Observation?patient=p1", EVERYTHING, &bundle(&[&foreign]));
    assert!(!text.contains("SECRET") && !text.contains("contained") && text.contains("SUBSETTED"), "{text}");
    assert_eq!((tally.released, tally.redacted), (1, 1));
}

#[test]
fn what_hangs_on_a_primitive_goes_and_so_do_tags() {
    let entry = lab("a", "p1", "")
        .replace(r#""code":{"#, r#""code":{"text":"t","_text":{"unknown":"SECRET"},"#)
        .replace(r#""versionId":"2""#, r#""versionId":"2","tag":[{"code":"SECRET"}]"#);
    let (text, tally) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
    assert!(!text.contains("SECRET") && text.contains(r#""text":"t""#), "{text}");
    assert_eq!(tally.redacted, 1);
    for hidden in [r#""extension":[{"url":"SECRET"}],"#, r#""_text":{"id":"SECRET"},"#] {
        let entry = lab("a", "p1", "").replace(r#""code":{"#, &format!(r#""code":{{{hidden}"#));
        let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
        assert!(!text.contains("SECRET") && text.contains("4548-4"), "{text}");
    }
}

#[test]
fn a_subject_that_is_not_listed_stays_as_a_bare_reference() {
    let named = r#""subject":{"reference":"Patient/p1","display":"SECRET","type":"Patient"}"#;
    let entry = lab("a", "p1", "").replace(r#""subject":{"reference":"Patient/p1"}"#, named);
    for listed in ["\"encounter\"", "\"subject.reference\"", "\"subject.note\""] {
        let decision = LABS.replace("\"subject\"", listed);
        let (text, _) = filtered("Observation?patient=p1", &decision, &bundle(&[&entry]));
        assert!(text.contains(r#""subject":{"reference":"Patient/p1"}"#) && !text.contains("SECRET"), "{text}");
    }
    let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&entry]));
    assert!(text.contains(r#""subject":{"reference":"Patient/p1","type":"Patient"}"#), "{text}");
    let appointment = r#"{"resourceType":"Appointment","id":"a","status":"booked","participant":[
        {"actor":{"reference":"Patient/p1","display":"SECRET"},"status":"accepted","type":[{"text":"SECRET"}]},
        {"type":[{"text":"SECRET"}]}]}"#;
    let decision = r#"{"allow":true,"reasons":[{"code":"c","text":"t","basis":"b"}],"patients":["p1"],
        "types":{"Appointment":{"elements":["status"]}},"withhold_labels":[],"includes":[]}"#;
    let (text, _) = filtered("Appointment?patient=p1", decision, &bundle(&[appointment]));
    assert!(text.contains(r#""participant":[{"actor":{"reference":"Patient/p1"}}]"#), "{text}");
}

#[test]
fn who_else_takes_part_leaves_only_where_it_is_listed() {
    let appointment = r#"{"resourceType":"Appointment","id":"a","status":"booked","participant":[
        {"actor":{"reference":"Patient/p1","display":"NAME"},"status":"accepted"},
        {"actor":{"reference":"Practitioner/dr","display":"NAME"},"status":"declined"},
        {"actor":{"reference":"RelatedPerson/mother"},"status":"accepted"},{"actor":{"reference":"Location/psychiatry"}}]}"#;
    let decision = |elements: &str| {
        format!(
            r#"{{"allow":true,"reasons":[{{"code":"c","text":"t","basis":"b"}}],"patients":["p1"],
                "types":{{"Appointment":{{"elements":[{elements}]}}}},"withhold_labels":[],"includes":[]}}"#
        )
    };
    let text = |elements: &str| filtered("Appointment?patient=p1", &decision(elements), &bundle(&[appointment])).0;
    let bare = text(r#""status""#);
    assert!(bare.contains(r#""participant":[{"actor":{"reference":"Patient/p1"}}]"#), "{bare}");
    let parts = text(r#""participant.status""#);
    let own = r#"{"actor":{"reference":"Patient/p1"},"status":"accepted"},{"status":"declined"}"#;
    assert!(parts.contains(own) && !parts.contains("Practitioner") && !parts.contains("RelatedPerson"), "{parts}");
    let listed = text(r#""participant""#);
    assert!(
        listed.contains("Practitioner/dr") && listed.contains("RelatedPerson") && !listed.contains("NAME"),
        "{listed}"
    );
}
