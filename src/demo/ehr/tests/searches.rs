use super::*;

/// Searches and the ids of what they match, in order; the expectation is read off the data by hand.
const ROWS: &[(&str, &[&str])] = &[
    ("/Patient?_id=maren,ines,nobody", &["maren", "ines"]),
    ("/Patient?name=hol", &["maren"]),
    ("/Patient?identifier=http://lanternfield.example/member-id|LF-100921", &["tobias"]),
    ("/Observation?patient=tobias&category=laboratory", &["tobias-hba1c-2025", "tobias-eosinophils-2025"]),
    (
        "/Observation?subject=Patient/ines&code=http://loinc.org|4548-4,http://loinc.org|2106-3",
        &["ines-hba1c-2025", "ines-hcg-2025"],
    ),
    ("/Observation?patient=maren&code=4548-4&date=ge2024-01-01&date=lt2025-01-01", &["maren-hba1c-2024"]),
    (
        "/Observation?patient=maren&code=4548-4&_sort=-date",
        &["maren-hba1c-2025", "maren-hba1c-2024", "maren-hba1c-2021"],
    ),
    (
        "/Observation?patient=maren&code=4548-4,2276-4&_sort=date",
        &["maren-hba1c-2021", "maren-hba1c-2024", "maren-hba1c-2025", "maren-ferritin-undated"],
    ),
    (
        "/Observation?patient=maren&code=4548-4,2276-4&_sort=-date",
        &["maren-hba1c-2025", "maren-hba1c-2024", "maren-hba1c-2021", "maren-ferritin-undated"],
    ),
    (
        "/Observation?code=4548-4&date=ge2025&_sort=patient,-date",
        &["ines-hba1c-2025", "maren-hba1c-2025", "tobias-hba1c-2025"],
    ),
    (
        "/Observation?code=4548-4&date=ge2025&_sort=-value-quantity",
        &["maren-hba1c-2025", "tobias-hba1c-2025", "ines-hba1c-2025"],
    ),
    ("/Patient?_sort=birthdate", &["maren", "ines", "tobias"]),
    ("/Patient?_sort=family", &["ines", "maren", "tobias"]),
    ("/Patient?_sort=gender,-_id", &["maren", "ines", "tobias"]),
    ("/Condition?patient=maren&clinical-status=resolved", &["maren-pneumonia-2021"]),
    ("/Coverage?beneficiary=maren&status=active", &["maren-lanternfield"]),
    (
        "/Condition?patient=maren&code=http://hl7.org/fhir/sid/icd-10-cm|I10&_elements=code&_pretty=true",
        &["maren-hypertension"],
    ),
    ("/Patient?name=hol&colour=green", &["maren"]),
    ("/Patient?_id=maren&name=", &["maren"]),
    ("/Patient//?_id=mar%65n", &["maren"]),
];

#[tokio::test]
async fn finds_what_matches_in_the_order_asked_for() {
    let ehr = clinic();
    for (target, ids) in ROWS {
        let bundle = ask(&ehr, target).await.json();
        let resource_type = target[1..].split(['?', '/']).next().unwrap();
        let expected: Vec<String> = ids.iter().map(|id| format!("{resource_type}/{id}")).collect();
        assert_eq!(bundle["total"], ids.len(), "{target}");
        assert_eq!(found(&bundle, "match"), expected, "{target}");
        assert_eq!(bundle["entry"][0]["fullUrl"], format!("{}/{}", ehr.base(), expected[0]));
    }
}

#[tokio::test]
async fn strict_handling_refuses_what_lenient_drops() {
    let ehr = clinic();
    let target = "/Patient?name=hol&colour=green";
    let lenient = ask(&ehr, target).await.json();
    assert_eq!(link(&lenient, "self"), Some(format!("{}/Patient?name=hol", ehr.base())));
    let mut strict = get(&ehr, &format!("/fhir{target}"));
    strict.headers_mut().insert("prefer", "return=minimal, handling=strict".parse().unwrap());
    let refused = send(&mut connect(&ehr).await, strict).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.json()["issue"][0]["diagnostics"].as_str().unwrap().contains("green"));
}

#[tokio::test]
async fn a_form_is_read_with_the_url_and_only_where_it_says_it_is_one() {
    let ehr = clinic();
    let post = |media_type: &str| {
        Request::post("/fhir/Observation/_search?patient=maren")
            .header("content-type", media_type)
            .body(Full::from("code=4548-4&date=2024"))
            .unwrap()
    };
    let form = send(&mut connect(&ehr).await, post("application/x-www-form-urlencoded; charset=utf-8")).await.unwrap();
    assert_eq!(found(&form.json(), "match"), ["Observation/maren-hba1c-2024"]);
    let unread = send(&mut connect(&ehr).await, post("text/plain")).await.unwrap();
    assert_eq!(unread.json()["total"], 18);
}

#[tokio::test]
async fn pages_are_links_of_its_own_that_anybody_may_follow() {
    let ehr = clinic();
    let mut bundle = ask(&ehr, "/Observation?patient=maren&_count=7&_sort=-date").await.json();
    let mut pages = vec![found(&bundle, "match")];
    while let Some(next) = link(&bundle, "next") {
        let below = next.strip_prefix(&ehr.base()).unwrap().to_owned();
        assert!(below.starts_with("?_getpages="), "{below}");
        bundle = ask(&ehr, &format!("{below}&patient=tobias")).await.json();
        assert_eq!(bundle["total"], 18);
        pages.push(found(&bundle, "match"));
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 4]);
    let whole = ask(&ehr, "/Observation?patient=maren&_count=18&_sort=-date").await.json();
    assert_eq!(pages.concat(), found(&whole, "match"));
    assert_eq!(link(&whole, "next"), None);
}

#[tokio::test]
async fn a_count_is_a_total_without_entries() {
    let ehr = clinic();
    for target in ["/Observation?patient=maren&_summary=count", "/Observation?patient=maren&_count=0"] {
        let bundle = ask(&ehr, target).await.json();
        assert_eq!((bundle["total"].as_u64(), bundle.get("entry")), (Some(18), None), "{target}");
    }
    let silent = ask(&ehr, "/Observation?patient=maren&_total=none").await.json();
    assert_eq!((silent.get("total"), found(&silent, "match").len()), (None, 18));
}

#[tokio::test]
async fn includes_come_along_once_and_do_not_count() {
    let ehr = clinic();
    let rows: &[(&str, &[&str])] = &[
        (
            "/Observation?_id=maren-hba1c-2025&_include=Observation:subject&_include=Observation:encounter",
            &["Patient/maren", "Encounter/maren-visit-2025"],
        ),
        (
            "/Observation?_id=maren-hba1c-2025,maren-glucose-2025&_include=Observation:performer:Organization",
            &["Organization/alder-creek-laboratory"],
        ),
        ("/Observation?_id=maren-hba1c-2025&_include=Observation:performer:Practitioner", &[]),
        ("/Observation?_id=maren-glucose-2025&_revinclude=Provenance:target", &["Provenance/analyser-batch-2025"]),
        (
            "/Patient?_id=maren&_revinclude=Coverage:beneficiary&_revinclude=Coverage:payor",
            &["Coverage/maren-lanternfield", "Coverage/maren-oldmill"],
        ),
        ("/Patient?_id=maren&_revinclude=Observation:subject:Group", &[]),
    ];
    for (target, names) in rows {
        let bundle = ask(&ehr, target).await.json();
        assert_eq!(found(&bundle, "include"), *names, "{target}");
        assert_eq!(bundle["total"], found(&bundle, "match").len(), "{target}");
    }
    let first = ask(&ehr, "/Observation?patient=maren&code=4548-4&_sort=-date&_count=1&_revinclude=Provenance:target")
        .await
        .json();
    assert_eq!(found(&first, "include"), ["Provenance/maren-hba1c-2025-origin"]);
    let next = link(&first, "next").unwrap();
    let second = ask(&ehr, next.strip_prefix(&ehr.base()).unwrap()).await.json();
    assert!(found(&second, "include").is_empty());
}

#[tokio::test]
async fn links_stand_on_the_host_the_request_names() {
    let ehr = clinic();
    let request = Request::get("/fhir/Patient?_id=maren").header("host", "ehr.test:99").body(Full::default()).unwrap();
    let bundle = send(&mut connect(&ehr).await, request).await.unwrap().json();
    assert_eq!(bundle["entry"][0]["fullUrl"], "http://ehr.test:99/fhir/Patient/maren");
    assert_eq!(link(&bundle, "self").unwrap(), "http://ehr.test:99/fhir/Patient?_id=maren");
}
