use super::*;

use jiff::Timestamp;

use crate::limits;

const BASES: &[&str] = &["https://gw.example/fhir"];

fn now(seconds: i64) -> Now {
    Now::at(Timestamp::from_second(1_700_000_000 + seconds).unwrap())
}

fn setting(pages: &PageKey) -> Setting<'_> {
    Setting { bases: BASES, pages, client: "payer-a", purpose: "HPAYMT", now: now(0) }
}

fn get(target: &str) -> Result<Interaction, UnderstandError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    understand(Asked { post: false, path: &path, query, form: None }, setting(&PageKey::random().unwrap()))
}

fn post(path: &[&str], query: Option<&str>, form: &[u8]) -> Result<Interaction, UnderstandError> {
    understand(Asked { post: true, path, query, form: Some(form) }, setting(&PageKey::random().unwrap()))
}

#[test]
fn one_request_in_many_spellings_is_one_interaction() {
    let plain = get("Observation?patient=p1&code=http://loinc.org|4548-4,718-7&date=ge2024-01-01").unwrap().canonical();
    for same in [
        "Observation?patient=p1&code=http%3A%2F%2Floinc.org%7C4548-4%2C718-7&date=ge2024-01-01",
        "Observation?patient=Patient%2Fp1&code=http://loinc.org|4548-4,718-7&date=ge2024-01-01&_format=json&_pretty=true",
        "Observation?patient=https://gw.example/fhir/Patient/p1&code=http://loinc.org%7c4548-4,718-7&date=ge2024-01-01&_summary=false",
    ] {
        assert_eq!(get(same).unwrap().canonical(), plain, "{same}");
    }
    let form = b"patient=p1&code=http%3A%2F%2Floinc.org%7C4548-4%2C718-7&date=ge2024-01-01";
    assert_eq!(post(&["Observation", "_search"], None, form).unwrap().canonical(), plain);
    let compartment = get("Patient/p1/Observation?code=http://loinc.org|4548-4,718-7&date=ge2024-01-01");
    assert_eq!(compartment.unwrap().canonical(), plain);
    let form = b"code=http%3A%2F%2Floinc.org%7C4548-4%2C718-7&date=ge2024-01-01";
    assert_eq!(post(&["Patient", "p1", "Observation", "_search"], None, form).unwrap().canonical(), plain);
    let both = post(
        &["Observation", "_search"],
        Some("patient=p1"),
        b"code=http://loinc.org%7C4548-4,718-7&date=ge2024-01-01",
    );
    assert_eq!(both.unwrap().canonical(), plain);
}

#[test]
fn the_canonical_query_is_understood_as_itself() {
    for target in [
        "Observation?patient=p1&_include=Observation:performer&_revinclude=Provenance:target&_sort=-date,code&_elements=status,code&_count=7",
        "Patient?family:contains=M%C3%BCller%20%26%20Co&identifier=http://x%7CA%5C,1",
        "Condition?patient=p1&_summary=count",
        "Condition?patient=p1&_elements=code&_summary=true&_count=7",
        "Condition/c1?_summary=data",
        "Condition",
    ] {
        let once = get(target).unwrap().canonical();
        assert_eq!(get(&once).unwrap().canonical(), once, "{target}");
    }
}

#[test]
fn a_compartment_is_searched_for_whose_the_records_are() {
    for (target, canonical) in [
        ("Patient/p1/Observation", "Observation?patient=Patient/p1"),
        ("Patient/p1/Observation?patient=p2", "Observation?patient=Patient/p1&patient=Patient/p2"),
        ("Patient/p1/Coverage?status=active", "Coverage?patient=Patient/p1&status=active"),
        ("Patient/p1/Patient", "Patient?_id=p1"),
        ("Patient/p1/ResearchSubject", "ResearchSubject?patient=Patient/p1"),
    ] {
        assert_eq!(get(target).unwrap().canonical(), canonical, "{target}");
    }
}

#[test]
fn reads_take_only_what_shapes_them() {
    let Interaction::Read(read) = get("Patient/p-1.a?_format=application%2Ffhir%2Bjson&_elements=name").unwrap() else {
        panic!()
    };
    assert_eq!((read.resource_type().as_str(), read.id().as_str()), ("Patient", "p-1.a"));
    for bad in
        ["Patient/p1?name=x", "Patient/p1?_count=1", "Patient/p1?_summary=count", "Patient/p1?_include=Patient:link"]
    {
        assert!(get(bad).is_err(), "{bad}");
    }
    assert_eq!(get("Patient/p_1").unwrap_err(), UnderstandError::LogicalId);
}

#[test]
fn refuses_by_name_what_it_does_not_serve() {
    use UnderstandError as E;
    for (target, error) in [
        ("", E::Interaction("search-system")),
        ("patient", E::ResourceType),
        ("Patient/p1/_history", E::Interaction("history-instance")),
        ("Patient/_history", E::Interaction("history-type")),
        ("Patient/p1/_history/1", E::Interaction("vread")),
        ("_history", E::Interaction("history-system")),
        ("Practitioner/x/Observation", E::Interaction("compartment search")),
        ("Encounter/x/Observation", E::Interaction("compartment search")),
        ("Patient/p1/*", E::Interaction("compartment search")),
        ("Patient/p1/Practitioner", E::Interaction("compartment search")),
        ("Patient/p1/Provenance", E::Interaction("compartment search")),
        ("Patient/p1/patient", E::ResourceType),
        ("Patient/p_1/Observation", E::LogicalId),
        ("Patient/p1/$everything", E::Operation("$everything")),
        ("Patient/p1/_history/1/$meta", E::Operation("$meta")),
        ("Observation/$lastn", E::Operation("$lastn")),
        ("$export", E::Operation("$export")),
        ("$p1", E::Operation("operation")),
        ("Patient/p1/a/b/c", E::Path),
        ("Observation?patient=p1&_count=x", E::Value("_count")),
        ("Observation?_count=1&_count=2", E::Repeated("_count")),
        ("Observation?_summary=text", E::Value("_summary")),
        ("Observation?_include=*", E::Value("_include")),
        ("Observation?_include=Observation:*", E::Value("_include")),
        ("Observation?_include=Observation:code", E::Value("_include")),
        ("Observation?_revinclude=Provenance:target:x:y", E::Value("_revinclude")),
        ("Observation?_sort=-nothing", E::Value("_sort")),
        ("Observation?_contained=true", E::Value("_contained")),
        ("Observation?_elements=a.b", E::Value("_elements")),
        ("Observation?_format=xml", E::Format),
        ("Observation?patient", E::Encoding),
        ("Observation?patient=p1&", E::Encoding),
        ("Observation?=p1", E::Encoding),
        ("Observation?patient=%zz", E::Encoding),
        ("Observation?patient=%ff", E::Encoding),
        ("Observation?patient=p1%00", E::Encoding),
        ("Observation?_security=x", E::Search(SearchError::Parameter("_security".into()))),
        ("Observation?_security:not=x", E::Search(SearchError::Parameter("_security".into()))),
        ("Observation?_filter=x", E::Search(SearchError::Parameter("_filter".into()))),
        ("Observation?_totalMethod=count", E::Search(SearchError::Parameter("_totalMethod".into()))),
        (
            "Observation?_include:iterate=Observation:subject",
            E::Search(SearchError::Modifier("_include".into(), "iterate".into())),
        ),
        ("Observation?_elements:exclude=meta", E::Search(SearchError::Modifier("_elements".into(), "exclude".into()))),
        ("Observation?_has:Provenance:target:_id=x", E::Search(SearchError::Parameter("_has".into()))),
    ] {
        assert_eq!(get(target).unwrap_err(), error, "{target}");
    }
    assert_eq!(post(&[], None, b"").unwrap_err(), E::Interaction("batch"));
    assert_eq!(post(&["Observation"], None, b"").unwrap_err(), E::Interaction("create"));
    assert_eq!(post(&["Observation", "o1"], None, b"").unwrap_err(), E::Path);
    let many = vec!["code=x"; limits::SEARCH_PARAMETERS + 1].join("&");
    assert_eq!(get(&format!("Observation?{many}")).unwrap_err(), E::Parameters);
}

#[test]
fn counting_is_asked_for_in_two_ways() {
    for target in ["Observation?patient=p1&_count=0", "Observation?patient=p1&_summary=count"] {
        assert!(get(target).unwrap().shape().count_only, "{target}");
    }
}

#[test]
fn json_is_found_under_all_its_names() {
    for yes in [
        None,
        Some(""),
        Some("*/*"),
        Some("application/json"),
        Some("application/fhir+json; fhirVersion=4.0"),
        Some(
            "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, application/xml+fhir;q=0.9, application/json+fhir;q=0.9",
        ),
        Some("text/html, */*;q=0.1"),
    ] {
        assert!(accepts_json(yes), "{yes:?}");
    }
    for no in [
        "application/fhir+xml",
        "text/html",
        "application/fhir+json;q=0",
        "application/json;q=0.000, text/turtle",
        "image/png",
    ] {
        assert!(!accepts_json(Some(no)), "{no}");
    }
    assert_eq!(is_form("application/x-www-form-urlencoded"), Some(false));
    assert_eq!(is_form("application/x-www-form-urlencoded;charset=UTF-8"), Some(false));
    assert_eq!(is_form("Application/X-WWW-Form-Urlencoded; Charset=\"iso-8859-1\""), Some(true));
    for no in [
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded; charset=utf-16",
        "multipart/form-data; boundary=x",
    ] {
        assert_eq!(is_form(no), None, "{no}");
    }
}

#[test]
fn a_page_link_opens_for_its_owner_only() {
    let key = PageKey::random().unwrap();
    let Interaction::Search(search) = get("Observation?patient=p1&_count=2").unwrap() else { panic!() };
    let link = PageLink {
        search: &search,
        continuation: "?_getpages=x",
        passed: 3,
        decision: [7; 16],
        client: "payer-a",
        purpose: "HPAYMT",
        now: now(0),
    };
    let token = key.seal(&link).unwrap();
    let open = |token: &str, setting: Setting<'_>| {
        understand(Asked { post: false, path: &["_page", token], query: None, form: None }, setting)
    };
    let Ok(Interaction::Page(page)) = open(&token, setting(&key)) else { panic!() };
    assert_eq!(
        (page.continuation(), page.passed(), page.decision(), page.search().query()),
        ("?_getpages=x", 3, &[7; 16], search.query())
    );
    assert!(open(&token, Setting { client: "payer-b", ..setting(&key) }).is_err());
    assert!(open(&token, Setting { purpose: "TREAT", ..setting(&key) }).is_err());
    assert!(open(&token, setting(&PageKey::random().unwrap())).is_err());
    let life = i64::try_from(limits::PAGE_LINK_LIFE.as_secs()).unwrap();
    assert!(open(&token, Setting { now: now(life - 1), ..setting(&key) }).is_ok());
    assert!(open(&token, Setting { now: now(life), ..setting(&key) }).is_err());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(changed == token || open(&changed, setting(&key)).is_err(), "{at}");
    }
    assert!(!token.contains("getpages"));
    let long = "x".repeat(limits::PAGE_LINK_BYTES);
    assert!(key.seal(&PageLink { continuation: &long, ..link }).is_none());
}
