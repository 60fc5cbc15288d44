use super::*;

const ASKED: &str = "Observation?patient=p1&code=4548-4";

/// What the account says of an answer with this self link and these entries.
fn account(link: &str, entries: &[&str]) -> Result<Tally, FilterError> {
    let link =
        if link.is_empty() { String::new() } else { format!(r#""link":[{{"relation":"self","url":"{link}"}}],"#) };
    let body = bundle(entries).replacen(r#""entry":"#, &format!(r#"{link}"entry":"#), 1);
    filtered_in(usize::MAX, ASKED, LABS, &body).map(|(_, tally, _)| tally)
}

#[track_caller]
fn ignored(link: &str, entries: &[&str]) -> Vec<String> {
    account(link, entries).unwrap().ignored().into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn a_self_link_states_every_narrowing_parameter() {
    for complete in [
        "http://ehr/fhir/Observation?patient=p1&code=4548-4&category=laboratory&date=ge2024-01-01&_count=100",
        "https://elsewhere.example/r4/Observation?subject%3APatient=Patient%2Fp1&code=4548-4&category=x&date=ge2024",
        "Observation/_search?date=a&category=b&code=c&patient=http://ehr/fhir/Patient/p1&lenient=1",
        "",
        "http://ehr/fhir/Observation",
        "http://ehr/fhir/Observation?",
        "http://ehr/fhir?_getpages=7",
    ] {
        let silent = complete.contains("_getpages");
        let expected: &[&str] = if silent { &["category", "code", "date", "patient"] } else { &[] };
        assert_eq!(ignored(complete, &[]), expected, "{complete}");
    }
    let partly = "http://ehr/fhir/Observation?code:in=4548-4&_count=100";
    assert_eq!(ignored(partly, &[]), ["category", "date", "patient"]);
    assert_eq!(account(partly, &[]).unwrap().unheeded.len(), 0);
}

#[test]
fn a_self_link_of_another_question_is_no_answer() {
    for foreign in [
        "http://ehr/fhir/Condition?patient=p1&code=4548-4&category=laboratory&date=ge2024-01-01",
        "http://ehr/fhir/Condition/_search?patient=p1",
        "http://ehr/fhir/Observation?patient=p2&code=4548-4",
        "http://ehr/fhir/Observation?patient=p1&patient=Patient/p2,p3",
    ] {
        assert_eq!(account(foreign, &[]), Err(FilterError::Mismatch), "{foreign}");
    }
    let read_only_here = r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"http://ehr/fhir/Condition?patient=p2"}]}"#;
    assert!(filtered_in(usize::MAX, ASKED, LABS, read_only_here).is_ok());
}

#[test]
fn a_resource_that_a_parameter_excludes_shows_that_it_was_ignored() {
    let (hers, others) = (lab("a", "p1", ""), lab("b", "p2", ""));
    let another_code = lab("c", "p1", "").replace("4548-4", "718-7");
    let labelled = lab("d", "p1", "").replace(
        r#""source":"http://s""#,
        r#""security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]"#,
    );
    let stranger = r#"{"resourceType":"Practitioner","id":"x"}"#;
    assert_eq!(ignored("", &[&hers, &labelled, stranger, "{}"]), [""; 0]);
    assert_eq!(ignored("", &[&hers, &others]), ["patient"]);
    assert_eq!(ignored("", &[&another_code]), ["code"]);
    assert_eq!(ignored("", &[&others, &another_code]), ["code", "patient"]);
}

#[test]
fn members_of_the_bundle_come_once_and_unescaped() {
    let with = |members: &str| format!(r#"{{"resourceType":"Bundle",{members}"type":"searchset","entry":[]}}"#);
    let refused = |members: &str| filtered_in(3, ASKED, LABS, &with(members)).unwrap_err();
    assert!(filtered_in(3, ASKED, LABS, &with(r#""id":"b","meta":{},"_id":{},"#)).is_ok());
    assert!(matches!(refused(r#""id":"a","id":"b","#), FilterError::Json(JsonError::Duplicate(_))));
    assert!(matches!(refused(r#""\u0065ntry":[],"#), FilterError::Json(JsonError::EscapedName(_))));
    let many: String = (0..30).map(|number| format!(r#""x{number}":1,"#)).collect();
    assert_eq!(refused(&many), FilterError::Mismatch);
}
