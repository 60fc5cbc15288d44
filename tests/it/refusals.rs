//! What is not understood is refused by name, and the EHR does not hear of it.

use crate::support::payer::Ask;
use crate::support::{Payer, clinic, gateway};

/// Target, status, issue code, and what the text must name.
const BAD_QUERIES: &[(&str, u16, &str, &str)] = &[
    ("/Observation?patient=maren&bogus=1", 400, "not-supported", "`bogus`"),
    ("/Observation?patient=maren&_totalMethod=count", 400, "not-supported", "`_totalMethod`"),
    ("/Observation?patient=maren&code:text=x", 400, "not-supported", "`text`"),
    ("/Observation?patient=maren&code:missing=true", 400, "not-supported", "`missing`"),
    ("/Observation?patient=maren&code:in=x", 400, "not-supported", "`in`"),
    ("/Observation?patient:Group=maren", 400, "not-supported", "`Group`"),
    ("/Observation?patient.name=x", 400, "not-supported", "`patient.name`"),
    ("/Observation?subject:Patient.name=x", 400, "not-supported", "`subject:Patient.name`"),
    ("/Patient?_has:Observation:patient:code=x", 400, "not-supported", "`_has`"),
    ("/Observation?patient=maren&_filter=x", 400, "not-supported", "`_filter`"),
    ("/Observation?patient=maren&_query=x", 400, "not-supported", "`_query`"),
    ("/Observation?patient=maren&_text=x", 400, "not-supported", "`_text`"),
    ("/Observation?patient=maren&_content=x", 400, "not-supported", "`_content`"),
    ("/Observation?patient=maren&_security=R", 400, "not-supported", "`_security`"),
    ("/Observation?patient=maren&_security:not=R", 400, "not-supported", "`_security`"),
    ("/Observation?patient=maren&_source=x", 400, "not-supported", "`_source`"),
    ("/Observation?patient=maren&date=%3E=2020-01-01", 400, "not-supported", "`date`"),
    ("/Observation?patient=maren&date=ap2020-01-01", 400, "not-supported", "`date`"),
    ("/Observation?patient=maren&date=2020-13-01", 400, "not-supported", "`date`"),
    ("/Observation?patient=maren&date=", 400, "not-supported", "`date`"),
    ("/Observation?patient=http://evil.example/fhir/Patient/maren", 400, "not-supported", "`patient`"),
    ("/Observation?patient=https://gateway.example.test.evil/fhir/Patient/maren", 400, "not-supported", "`patient`"),
    ("/Observation?patient=Practitioner/sethi", 400, "not-supported", "`patient`"),
    ("/Observation?patient=maren&_include=*", 400, "invalid", "`_include`"),
    ("/Observation?patient=maren&_include=Observation:*", 400, "invalid", "`_include`"),
    ("/Observation?patient=maren&_include=Observation:code", 400, "invalid", "`_include`"),
    ("/Observation?patient=maren&_revinclude=*", 400, "invalid", "`_revinclude`"),
    ("/Observation?patient=maren&_include:iterate=Observation:subject", 400, "not-supported", "`iterate`"),
    ("/Observation?patient=maren&_include:recurse=Observation:subject", 400, "not-supported", "`recurse`"),
    ("/Observation?patient=maren&_revinclude:iterate=Provenance:target", 400, "not-supported", "`iterate`"),
    ("/Observation?patient=maren&_include=Observation:specimen", 403, "forbidden", "_include=Observation:specimen"),
    ("/Observation?patient=maren&_count=-1", 400, "invalid", "`_count`"),
    ("/Observation?patient=maren&_count=many", 400, "invalid", "`_count`"),
    ("/Observation?patient=maren&_count=1&_count=2", 400, "invalid", "`_count`"),
    ("/Observation?patient=maren&_summary=text", 400, "invalid", "`_summary`"),
    ("/Observation?patient=maren&_total=maybe", 400, "invalid", "`_total`"),
    ("/Observation?patient=maren&_contained=true", 400, "invalid", "`_contained`"),
    ("/Observation?patient=maren&_elements=code.text", 400, "invalid", "`_elements`"),
    ("/Observation?patient=maren&_sort=bogus", 400, "invalid", "`_sort`"),
    ("/Observation?patient=maren&_sort=_security", 400, "invalid", "`_sort`"),
    ("/Observation?patient=maren&_pretty=maybe", 400, "invalid", "`_pretty`"),
    ("/Observation?patient=maren&_format=xml", 406, "not-supported", "JSON"),
    ("/Observation?patient=maren&_format=application/fhir%2Bxml", 406, "not-supported", "JSON"),
    ("/Observation?patient=maren&code=%zz", 400, "invalid", "urlencoded"),
    ("/Observation?patient=maren&code=%ff", 400, "invalid", "urlencoded"),
    ("/Observation?patient=maren&code=a%00b", 400, "invalid", "urlencoded"),
    ("/Observation?patient", 400, "invalid", "urlencoded"),
    ("/Observation?patient=maren&&code=4548-4", 400, "invalid", "urlencoded"),
    ("/Observation?=maren", 400, "invalid", "urlencoded"),
    ("/Observation/maren-hba1c-2025?code=4548-4", 400, "not-supported", "`code`"),
    ("/Observation/maren-hba1c-2025?_count=1", 400, "not-supported", "`_count`"),
    ("/Bogus?patient=maren", 400, "not-supported", "resource type"),
    ("/observation?patient=maren", 400, "not-supported", "resource type"),
    ("/Bogus/1", 400, "not-supported", "resource type"),
    ("/Observation/no_id", 400, "invalid", "logical id"),
    ("/Observation/$lastn?patient=maren", 400, "not-supported", "`$lastn`"),
    ("/Patient/$everything", 400, "not-supported", "`$everything`"),
    ("/$export", 400, "not-supported", "`$export`"),
    ("/Patient/$of-its-own", 400, "not-supported", "`operation`"),
    ("/_history", 400, "not-supported", "`history-system`"),
    ("/Patient/_history", 400, "not-supported", "`history-type`"),
    ("/Patient/maren/_history", 400, "not-supported", "`history-instance`"),
    ("/Patient/maren/_history/1", 400, "not-supported", "`vread`"),
    ("/Encounter/maren-visit-2025/Observation", 400, "not-supported", "`compartment search`"),
    ("/Patient/maren/*", 400, "not-supported", "`compartment search`"),
    ("?_type=Observation", 400, "not-supported", "`search-system`"),
    ("/a/b/c/d/e", 400, "invalid", "path"),
    ("/_page/garbage", 404, "not-found", "page link"),
    ("/_page/garbage?_count=1", 404, "not-found", "page link"),
];

#[test]
fn a_bad_query_is_refused_by_name() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for (target, status, code, offender) in BAD_QUERIES {
        let answer = payer.get(target);
        let refusal = answer.refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (*status, *code), "{target}: {}", refusal.text);
        assert!(refusal.text.contains(offender), "{target}: {}", refusal.text);
        assert!(refusal.diagnostics.contains(answer.header("x-request-id")), "{target}");
        if let Some((path, query)) = target.split_once('?').filter(|(path, _)| *path == "/Observation") {
            let by_form = payer.post(&format!("{path}/_search"), query).refusal();
            assert_eq!((by_form.status, by_form.text), (refusal.status, refusal.text), "{target}");
        }
    }
    assert!(ehr.requests().is_empty(), "{:?}", ehr.requests());
}

type Change = for<'a> fn(&'a Payer) -> Ask<'a>;

/// Requests that are wrong as HTTP or as FHIR interactions.
const BAD_REQUESTS: &[(&str, Change, u16, &str)] = &[
    (
        "create",
        |payer| payer.ask("POST", "/Observation").header("content-type", "application/fhir+json").body("{}"),
        400,
        "not-supported",
    ),
    ("create by form", |payer| form(payer.ask("POST", "/Observation"), "code=x"), 400, "not-supported"),
    ("batch by form", |payer| form(payer.ask("POST", ""), ""), 415, "not-supported"),
    (
        "transaction",
        |payer| {
            let ask = payer.ask("POST", "").header("content-type", "application/fhir+json");
            ask.body(r#"{"resourceType":"Bundle","type":"transaction","entry":[]}"#)
        },
        400,
        "not-supported",
    ),
    ("system search", |payer| form(payer.ask("POST", "/_search"), "_type=Observation"), 400, "not-supported"),
    ("put", |payer| payer.ask("PUT", "/Observation/x").body("{}"), 405, "not-supported"),
    ("delete", |payer| payer.ask("DELETE", "/Observation/x"), 405, "not-supported"),
    ("patch", |payer| payer.ask("PATCH", "/Observation/x").body("[]"), 405, "not-supported"),
    ("trace", |payer| payer.ask("TRACE", "/Observation/x"), 405, "not-supported"),
    (
        "json form",
        |payer| payer.ask("POST", "/Observation/_search").header("content-type", "application/json").body("{}"),
        415,
        "not-supported",
    ),
    ("untyped form", |payer| payer.ask("POST", "/Observation/_search").body("patient=maren"), 415, "not-supported"),
    (
        "utf-16 form",
        |payer| {
            payer
                .ask("POST", "/Observation/_search")
                .header("content-type", "application/x-www-form-urlencoded; charset=utf-16")
                .body("patient=maren")
        },
        415,
        "not-supported",
    ),
    ("form of no utf-8", |payer| form(payer.ask("POST", "/Observation/_search"), b"code=\xff"), 400, "invalid"),
    (
        "xml only",
        |payer| payer.ask("GET", "/Observation?patient=maren").header("accept", "application/fhir+xml"),
        406,
        "not-supported",
    ),
    (
        "json refused",
        |payer| payer.ask("GET", "/Observation?patient=maren").header("accept", "application/fhir+json;q=0"),
        406,
        "not-supported",
    ),
    ("body of a get", |payer| payer.ask("GET", "/Observation?patient=maren").body("patient=ines"), 400, "invalid"),
    (
        "method override",
        |payer| payer.ask("GET", "/Observation/x").header("x-http-method-override", "DELETE"),
        400,
        "invalid",
    ),
    ("two tokens", |payer| payer.ask("GET", "/Observation/x").header("authorization", "Bearer x"), 400, "invalid"),
    (
        "header with underscore",
        |payer| payer.ask("GET", "/Observation/x").header("x_forwarded_for", "127.0.0.1"),
        400,
        "invalid",
    ),
    (
        "content coding",
        |payer| form(payer.ask("POST", "/Observation/_search").header("content-encoding", "gzip"), "patient=maren"),
        415,
        "not-supported",
    ),
    ("expectation", |payer| payer.ask("GET", "/Observation/x").header("expect", "200-ok"), 417, "not-supported"),
    ("no host", |payer| payer.ask("GET", "/Observation/x").without("host"), 400, "invalid"),
    (
        "another host",
        |payer| payer.ask("GET", "/Observation/x").without("host").header("host", "ehr.example.test"),
        400,
        "invalid",
    ),
    (
        "a longer host",
        |payer| payer.ask("GET", "/Observation/x").without("host").header("host", "gateway.example.test.evil"),
        400,
        "invalid",
    ),
    (
        "target of another host",
        |payer| payer.ask("GET", "").target("https://evil.example/fhir/Observation/x"),
        400,
        "invalid",
    ),
    ("outside the base", |payer| payer.ask("GET", "").target("/Observation/x"), 404, "not-found"),
    ("beside the base", |payer| payer.ask("GET", "").target("/fhir2/Observation/x"), 404, "not-found"),
    ("dot segment", |payer| payer.ask("GET", "").target("/fhir/Patient/../Observation/x"), 400, "invalid"),
    ("encoded dot segment", |payer| payer.ask("GET", "").target("/fhir/Patient/%2e%2e/Observation/x"), 400, "invalid"),
    ("encoded slash", |payer| payer.ask("GET", "").target("/fhir/Patient%2Fmaren"), 400, "invalid"),
    ("double encoding", |payer| payer.ask("GET", "").target("/fhir/Patient/%256daren"), 400, "invalid"),
    ("empty segment", |payer| payer.ask("GET", "").target("/fhir//Patient/maren"), 400, "invalid"),
    ("trailing slash", |payer| payer.ask("GET", "").target("/fhir/Patient/"), 400, "invalid"),
    ("path parameter", |payer| payer.ask("GET", "").target("/fhir/Patient;x=1/maren"), 400, "invalid"),
    ("backslash", |payer| payer.ask("GET", "").target("/fhir/Patient%5Cmaren"), 400, "invalid"),
];

fn form<'p>(ask: Ask<'p>, body: impl AsRef<[u8]>) -> Ask<'p> {
    ask.header("content-type", "application/x-www-form-urlencoded").body(body)
}

#[test]
fn a_bad_request_is_refused_and_the_next_one_answered() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for (name, change, status, code) in BAD_REQUESTS {
        let answer = change(&payer).send();
        let refusal = answer.refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (*status, *code), "{name}: {}", refusal.text);
        if *status == 405 {
            assert_eq!(answer.header("allow"), "GET, HEAD, POST", "{name}");
        }
    }
    assert!(ehr.requests().is_empty(), "{:?}", ehr.requests());
    assert_eq!(payer.get("/Patient/maren").status(), 200);
}

#[test]
fn without_a_token_the_first_answer_is_401() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield").without_token();
    let targets = BAD_QUERIES.iter().map(|(target, ..)| *target);
    for target in targets.chain(["/Patient/maren", "", "/unknown", "/health/live", "/.well-known/openid-configuration"])
    {
        let answer = payer.get(target);
        let refusal = answer.refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (401, "login"), "{target}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{target}");
    }
    for target in ["/Observation/_search", "/Observation", "", "/metadata", "/$export"] {
        assert_eq!(payer.post(target, "bogus=1").refusal().status, 401, "{target}");
        let wrong_kind = payer.ask("POST", target).header("content-type", "text/plain").body("x").send();
        assert_eq!(wrong_kind.refusal().status, 401, "{target}");
    }
    let xml = payer.ask("GET", "/Patient/maren").header("accept", "application/fhir+xml").send();
    assert_eq!(xml.refusal().status, 401);
    assert!(ehr.requests().is_empty());
}

#[test]
fn public_documents_need_no_token_and_mind_none() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for payer in [payer.without_token(), payer.with_token("not.a.token"), payer] {
        let capabilities = payer.get("/metadata");
        assert_eq!((capabilities.status(), capabilities.header("content-type")), (200, "application/fhir+json"));
        let json = capabilities.json();
        assert_eq!((&json["resourceType"], &json["fhirVersion"]), (&"CapabilityStatement".into(), &"4.0.1".into()));
        let oauth = &json["rest"][0]["security"]["extension"][0]["extension"][0];
        assert_eq!(oauth["valueUri"], "https://as.example.org/token");
        let smart = payer.get("/.well-known/smart-configuration");
        assert_eq!((smart.status(), smart.header("content-type")), (200, "application/json"));
        assert_eq!(smart.json()["token_endpoint"], "https://as.example.org/token");
        let from_xml = payer.ask("GET", "/metadata").header("accept", "application/fhir+xml;q=1.0, */*;q=0.1").send();
        assert_eq!(from_xml.status(), 200);
    }
    assert_eq!(ehr.requests().len(), 1, "the EHR's statement is asked for once");
}
