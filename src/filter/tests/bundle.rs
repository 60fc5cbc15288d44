//! The Bundle that leaves, and searchsets that are none.

use super::*;

#[test]
fn the_answer_is_our_own_bundle() {
    let (text, _) = filtered("Observation?patient=p1", LABS, &bundle(&[&lab("a", "p1", "")]));
    assert_eq!(
        text,
        concat!(
            r#"{"resourceType":"Bundle","type":"searchset","entry":[{"fullUrl":"https://gw/fhir/Observation/a","resource":"#,
            r#"{"resourceType":"Observation","id":"a","meta":{"versionId":"2","tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED","display":"subsetted"}]},"#,
            r#""status":"final","category":[{"coding":[{"code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"#,
            r#""subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-05-01","valueQuantity":{"value":6.30}},"search":{"mode":"match"}}],"#,
            r#""total":1,"link":[{"relation":"self","url":"https://gw/fhir/self"}]}"#
        )
    );
    let (empty, _) = filtered("Observation?patient=p1", LABS, &bundle(&[]));
    assert_eq!(
        empty,
        r#"{"resourceType":"Bundle","type":"searchset","total":0,"link":[{"relation":"self","url":"https://gw/fhir/self"}]}"#
    );
}

#[test]
fn the_client_may_ask_for_less() {
    let (text, _) = filtered(
        "Observation?patient=p1&_elements=status,value,id,resourceType",
        EVERYTHING,
        &bundle(&[&lab("a", "p1", "")]),
    );
    assert!(
        text.contains(r#""subject":{"reference":"Patient/p1"}"#) && text.contains(r#""valueQuantity":{"value":6.30}"#),
        "{text}"
    );
    assert!(
        text.contains("SUBSETTED")
            && text.contains("http://s")
            && !text.contains("effectiveDateTime")
            && !text.contains("loinc"),
        "{text}"
    );
    let (text, tally) =
        filtered("Observation?patient=p1&_summary=count", LABS, &bundle(&[&lab("a", "p1", ""), &lab("b", "p2", "")]));
    assert_eq!(
        text,
        r#"{"resourceType":"Bundle","type":"searchset","total":1,"link":[{"relation":"self","url":"https://gw/fhir/self"}]}"#
    );
    assert_eq!(tally.released, 1);
    let (text, _) = filtered("Observation?patient=p1&_total=none", LABS, &bundle(&[]));
    assert!(!text.contains("total"));
}

#[test]
fn the_next_page_is_followed_only_below_the_ehrs_base() {
    let with = |url: &str| {
        format!(
            r#"{{"resourceType":"Bundle","type":"searchset","link":[{{"relation":"self","url":"x"}},{{"relation":"next","url":"{url}"}}]}}"#
        )
    };
    let next = |url: &str| filtered_in(5, "Observation?patient=p1", LABS, &with(url)).unwrap();
    assert_eq!(next("http://ehr/fhir?_getpages=1&o=2").2.unwrap(), "?_getpages=1&o=2");
    assert_eq!(next("http://ehr/fhir/Observation?page=2").2.unwrap(), "/Observation?page=2");
    for foreign in [
        "http://evil/fhir?x",
        "http://ehr/fhirx?x",
        "http://ehr/fhir@evil/",
        "http://ehr/fhir?a#b",
        "http://ehr/fhir?a b",
        "http://ehr/fhir/../admin?x",
        "http://ehr/fhir/%2E%2e/admin?x",
        "http://ehr/fhir//evil",
        "?x",
    ] {
        let (text, tally, next) = next(foreign);
        assert!(!text.contains("total"), "{text}");
        assert_eq!((next, tally.foreign_links), (None, 1), "{foreign}");
    }
    let question = question("Observation?patient=p1", LABS);
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&lab("a", "p1", "")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let (body, _) = filter.close("s", Some("https://gw/fhir/_page/t"));
    let text = String::from_utf8(body.as_bytes().to_vec()).unwrap();
    assert!(
        text.contains(r#"{"relation":"next","url":"https://gw/fhir/_page/t"}"#) && !text.contains("total"),
        "{text}"
    );
}

#[test]
fn totals_speak_of_first_pages_only() {
    let asked = "Observation?patient=p1";
    let further = page(asked, "?x", permit(LABS, &interaction(asked)).obligations().digest());
    let permitted = permit(LABS, &further);
    let question = rewrite(further, permitted, &[Id::parse("p1").unwrap()]).unwrap().into_question();
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(bundle(&[&lab("a", "p1", "")]).as_bytes()).unwrap();
    filter.end().unwrap();
    let text = String::from_utf8(filter.close("s", None).0.as_bytes().to_vec()).unwrap();
    assert!(text.contains(r#""id":"a""#) && !text.contains("total"), "{text}");
}

#[test]
fn an_answer_that_is_not_the_searchset_asked_for_is_refused() {
    let good = bundle(&[&lab("a", "p1", "")]);
    let asked = "Observation?patient=p1";
    for (bad, error) in [
        (good.replace("searchset", "history"), FilterError::Mismatch),
        (good.replace("\"Bundle\"", "\"List\""), FilterError::Mismatch),
        (good.replace(r#""type":"searchset","#, ""), FilterError::Mismatch),
        (good.replace(r#""entry":["#, r#""entry":{"a":["#), FilterError::Mismatch),
        (r#"{"resourceType":"Bundle"}"#.to_owned(), FilterError::Mismatch),
        (format!("{good} x"), FilterError::Json(JsonError::Trailing(0))),
        (good.replace(r#""total":99"#, r#""type":"searchset""#), FilterError::Json(JsonError::Duplicate(0))),
        (
            good.replace(r#""status":"final""#, r#""status":"final","status":"final""#),
            FilterError::Json(JsonError::Duplicate(0)),
        ),
        (good.replace("},{", "}{"), FilterError::Json(JsonError::Syntax(0))),
        ("<html>".to_owned(), FilterError::Json(JsonError::Syntax(0))),
        (String::new(), FilterError::Truncated),
    ] {
        if bad == good {
            continue;
        }
        let same_kind = |found: &FilterError| {
            matches!((found, &error), (FilterError::Json(a), FilterError::Json(b)) if std::mem::discriminant(a) == std::mem::discriminant(b))
                || *found == error
        };
        for size in [3, usize::MAX] {
            let found = filtered_in(size, asked, LABS, &bad).unwrap_err();
            assert!(same_kind(&found), "{found:?} for {bad}");
        }
    }
    for end in 0..good.len() {
        assert!(filtered_in(usize::MAX, asked, LABS, &good[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn an_entry_has_a_largest_size() {
    let question = question("Observation?patient=p1", LABS);
    let mut filter = BundleFilter::new(&question, BASES);
    filter.feed(br#"{"resourceType":"Bundle","type":"searchset","entry":[{"x":""#).unwrap();
    let piece = vec![b'a'; 64 * 1024];
    let fed = (0..100).find_map(|_| filter.feed(&piece).err());
    assert_eq!(fed, Some(FilterError::EntryTooLarge));
}
