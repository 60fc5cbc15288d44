//! Direct Query: what a payer may ask, it gets, in every spelling that clients in the field have.

use crate::support::gateway::BASE;
use crate::support::{Answer, Ending, Payer, clinic, gateway};

/// A search by code of Maren's HbA1c, which finds three.
const HBA1C: [&str; 3] =
    ["Observation/maren-hba1c-2021", "Observation/maren-hba1c-2024", "Observation/maren-hba1c-2025"];

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_finds(answer: &Answer, names: &[&str]) {
    let found: Vec<String> = answer.searchset().names().into_iter().collect();
    assert_eq!(found, sorted(names));
}

#[test]
fn a_resource_is_read_and_found() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let read = payer.get("/Observation/maren-hba1c-2025");
    assert_eq!(read.status(), 200, "{}", read.text());
    assert_eq!(read.header("content-type"), "application/fhir+json");
    assert_eq!(read.header("cache-control"), "no-store");
    let found = payer.search("/Observation?patient=maren&code=4548-4");
    assert_eq!(found.resource("Observation/maren-hba1c-2025"), read.text());
    assert_eq!(found.total, Some(3));
    assert_eq!(payer.get("/Observation/nobodys").refusal().status, 404);
}

#[test]
fn get_and_post_are_one_search() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for query in [
        "patient=maren",
        "patient=Patient/maren&code=http://loinc.org|4548-4&date=gt2022-01-01",
        "subject=Patient/maren&category=laboratory,vital-signs&_sort=-date&_count=5",
        "patient=maren&_elements=code,status",
        "patient=maren&_summary=count",
    ] {
        let by_get = payer.get(&format!("/Observation?{query}"));
        let by_form = payer.post("/Observation/_search", query);
        let (by_get, by_form) = (by_get.searchset(), by_form.searchset());
        let texts =
            |set: &crate::support::Searchset| set.entries.iter().map(|entry| entry.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&by_get), texts(&by_form), "{query}");
        assert_eq!((by_get.total, &by_get.own), (by_form.total, &by_form.own), "{query}");
    }
    let (before, after) = ("/Observation/_search?patient=maren", "code=4548-4");
    assert_finds(&payer.post(before, after), &HBA1C);
}

#[test]
fn every_spelling_of_a_search_is_the_same_search() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let plain = payer.get("/Observation?patient=Patient/maren&code=http://loinc.org|4548-4,http://loinc.org|3016-3");
    let expected = [HBA1C.as_slice(), &["Observation/maren-tsh-2022"]].concat();
    assert_finds(&plain, &expected);
    for spelling in [
        "patient=Patient%2Fmaren&code=http%3A%2F%2Floinc.org%7C4548-4%2Chttp%3A%2F%2Floinc.org%7C3016-3",
        "patient=Patient%2fmaren&code=http%3a%2f%2floinc.org%7c4548-4%2chttp%3a%2f%2floinc.org%7c3016-3",
        "patient=Patient/maren&code=http://loinc.org%7C4548-4,http://loinc.org%7C3016-3",
        "patient=https://gateway.example.test/fhir/Patient/maren&code=http://loinc.org|4548-4,http://loinc.org|3016-3",
        "patient:Patient=maren&code=http://loinc.org|4548-4,http://loinc.org|3016-3",
        "%70atient=maren&code=http://loinc.org|4548-4,http://loinc.org|3016-3",
        "subject=Patient/maren&code=http://loinc.org|4548-4,http://loinc.org|3016-3",
        "patient=maren&patient=Patient/maren&code=4548-4,3016-3",
        "_format=json&_pretty=true&_summary=false&patient=maren&code=4548-4,3016-3",
        "_format=application%2Ffhir%2Bjson&patient=maren&code=4548-4,3016-3",
    ] {
        assert_finds(&payer.get(&format!("/Observation?{spelling}")), &expected);
        assert_finds(&payer.post("/Observation/_search", spelling), &expected);
    }
}

#[test]
fn headers_of_real_clients_change_nothing() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let ask = || payer.ask("GET", "/Observation?patient=maren&code=4548-4");
    let hapi = "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, application/xml+fhir;q=0.9, application/json+fhir;q=0.9";
    for accept in [
        hapi,
        "application/json",
        "application/fhir+json,application/json",
        "application/fhir+json; fhirVersion=4.0",
        "application/json+fhir",
        "*/*",
        "text/html, application/xhtml+xml, */*;q=0.1",
    ] {
        let answer = ask().header("accept", accept).send();
        assert_finds(&answer, &HBA1C);
    }
    for (name, value) in [
        ("accept-charset", "UTF-8"),
        ("accept-encoding", "gzip, deflate, br"),
        ("accept-language", "*"),
        ("sec-fetch-mode", "cors"),
        ("cache-control", "no-cache"),
        ("prefer", "return=representation"),
        ("prefer", "handling=lenient"),
        ("x-request-id", "their-own"),
        ("x-correlation-id", "their-own"),
        ("user-agent", "HAPI-FHIR/8.8.0 (FHIR Client; FHIR 4.0.1/R4; apache)"),
        ("if-none-match", "W/\"1\""),
        ("x-forwarded-host", "elsewhere.example"),
        ("forwarded", "host=elsewhere.example;proto=http"),
    ] {
        let answer = ask().header(name, value).send();
        assert_finds(&answer, &HBA1C);
        assert!(!answer.text().contains("elsewhere.example"));
        assert_ne!(answer.header("x-request-id"), "their-own");
    }
    let upgrade = ask()
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")
        .send();
    assert_finds(&upgrade, &HBA1C);
}

#[test]
fn forms_come_with_and_without_a_charset() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for kind in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "application/x-www-form-urlencoded; charset=utf-8",
        "Application/X-WWW-Form-URLEncoded; Charset=\"UTF-8\"",
        "application/x-www-form-urlencoded; charset=ISO-8859-1",
    ] {
        let ask = payer.ask("POST", "/Observation/_search").header("content-type", kind);
        assert_finds(&ask.body("patient=maren&code=4548-4").send(), &HBA1C);
    }
    let chunked = payer
        .ask("POST", "/Observation/_search")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("transfer-encoding", "chunked");
    let mut bytes = chunked.bytes();
    bytes.extend_from_slice(b"d\r\npatient=maren\r\nc\r\n&code=4548-4\r\n0\r\n\r\n");
    assert_finds(&payer.raw(&bytes).unwrap(), &HBA1C);
}

#[test]
fn counts_are_counted() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let all = payer.search("/Observation?patient=maren");
    assert_eq!(all.total, Some(all.matches().len() as u64));
    for query in ["_count=0", "_summary=count", "_count=0&_total=accurate"] {
        let count = payer.search(&format!("/Observation?patient=maren&{query}"));
        assert_eq!((count.total, count.entries.len()), (all.total, 0), "{query}");
        assert_eq!(count.next, None);
    }
    let none = payer.search("/Observation?patient=maren&_total=none");
    assert_eq!((none.total, none.names()), (None, all.names()));
}

#[test]
fn elements_are_those_asked_for_and_the_mandatory_ones() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let found = payer.search("/Observation?patient=maren&code=4548-4&_elements=status,id,resourceType,value");
    for entry in &found.entries {
        let json: serde_json::Value = serde_json::from_str(&entry.text).unwrap();
        let mut names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["id", "meta", "resourceType", "status", "subject", "valueQuantity"]);
        let tag = &json["meta"]["tag"][0];
        assert_eq!(tag["code"], "SUBSETTED");
    }
    let read = payer.get("/Observation/maren-hba1c-2025?_elements=status").json();
    assert_eq!(read["status"], "final");
    assert!(read.get("code").is_none());
}

#[test]
fn includes_come_along() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let search = "/Observation?patient=maren&_id=maren-hba1c-2025";
    let with_patient = payer.search(&format!("{search}&_include=Observation:subject&_include=Observation:encounter"));
    assert_eq!(with_patient.matches(), ["Observation/maren-hba1c-2025"]);
    assert_eq!(sorted(&with_patient.included()), sorted(&["Encounter/maren-visit-2025", "Patient/maren"]));
    assert_eq!(with_patient.total, Some(1));
    let with_origin = payer.search(&format!("{search}&_revinclude=Provenance:target"));
    assert_eq!(with_origin.included(), ["Provenance/maren-hba1c-2025-origin"]);
}

#[test]
fn pages_to_the_end_are_the_whole() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for search in ["/Observation?patient=maren", "/Observation?patient=maren&_sort=-date&category=laboratory"] {
        let mark = |count: usize| format!("{search}&_count={count}");
        let whole: Vec<String> = payer.search(&mark(100)).entries.into_iter().map(|entry| entry.text).collect();
        for count in [1, 4, 7] {
            let pages = payer.every_page(&mark(count));
            assert!(pages.iter().all(|page| page.entries.len() <= count));
            assert!(pages.len() > 1);
            let paged: Vec<String> = pages.into_iter().flat_map(|page| page.entries).map(|entry| entry.text).collect();
            assert_eq!(paged, whole, "{search} by {count}");
        }
    }
}

#[test]
fn head_is_get_without_a_body() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let of = |payer: &Payer, method: &str, target: &str| {
        let answer = payer.ask(method, target).send();
        assert_eq!(answer.ending, Ending::Whole);
        let passing = ["date", "x-request-id"];
        let mut headers: Vec<_> =
            answer.head.headers.into_iter().filter(|(name, _)| !passing.contains(&&**name)).collect();
        headers.sort();
        (answer.head.status, headers, answer.body.len())
    };
    for target in
        ["/Observation/maren-hba1c-2025", "/Observation?patient=maren", "/metadata", "/.well-known/smart-configuration"]
    {
        let (get, head) = (of(&payer, "GET", target), of(&payer, "HEAD", target));
        assert_eq!((get.0, get.1), (head.0, head.1), "{target}");
        assert!(get.2 > 0 && head.2 == 0, "{target}");
    }
    let (get, head) = (of(&payer, "GET", "/Observation/none"), of(&payer, "HEAD", "/Observation/none"));
    assert_eq!((get.0, head.0, head.2), (404, 404, 0));
}

#[test]
fn the_ehr_is_never_named() {
    let ehr = clinic();
    let base = ehr.base();
    let linked = format!(
        r#"{{"resourceType":"Observation","id":"linked","status":"final","code":{{"text":"see {base}/Observation/x and {base}2/y"}},
        "subject":{{"reference":"{base}/Patient/maren"}},"performer":[{{"reference":"{}/Practitioner/sethi"}}],"valueString":"{base}"}}"#,
        base.replace('/', "\\/"),
    );
    ehr.put(&linked).unwrap();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let host = ehr.address().to_string();
    let targets = [
        "/Observation?patient=maren&_count=3",
        "/Observation?patient=maren&_id=linked&_include=Observation:performer",
        "/Observation/linked",
        "/metadata",
        "/.well-known/smart-configuration",
        "/Observation/none",
    ];
    for target in targets {
        let answer = payer.get(target);
        let text = answer.text().replace(&format!("{base}2"), "");
        assert!(!text.contains(&host), "{target}: {text}");
        assert!(answer.head.headers.iter().all(|(_, value)| !value.contains(&host)), "{target}");
    }
    let read = payer.get("/Observation/linked").json();
    assert_eq!(read["subject"]["reference"], format!("{BASE}/Patient/maren"));
    assert_eq!(read["performer"][0]["reference"], format!("{BASE}/Practitioner/sethi"));
    assert_eq!(read["code"]["text"], format!("see {BASE}/Observation/x and {base}2/y"));
    let found = payer.search("/Observation?patient=maren&_id=linked&_include=Observation:performer");
    assert_eq!(found.included(), ["Practitioner/sethi"]);
}
