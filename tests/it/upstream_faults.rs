//! An EHR that fails is a failure that is said so: nothing partial, and nothing of what it said.

use std::time::{Duration, Instant};

use portcullis::demo::ehr::Behaviour;

use crate::support::{Answer, Ending, Payer, Policy, clinic, everything, gateway, starter};

/// Never to be seen by a payer.
const CANARY: &str = "canary-4711";

fn failures() -> Vec<(&'static str, Behaviour)> {
    let faithful = Behaviour::faithful;
    let outcome = format!(r#"{{"resourceType":"OperationOutcome","issue":[{{"diagnostics":"{CANARY}"}}]}}"#);
    let bundle =
        format!(r#"{{"resourceType":"Bundle","type":"history","entry":[{{"resource":{{"id":"{CANARY}"}}}}]}}"#);
    let twice =
        format!(r#"{{"resourceType":"Observation","resourceType":"Bundle","type":"searchset","id":"{CANARY}"}}"#);
    let large_page = format!("<html>{}{CANARY}</html>", "maintenance ".repeat(20_000));
    vec![
        ("status 500", faithful().status(500, &outcome)),
        ("status 503", faithful().status(503, &outcome)),
        ("status 401", faithful().status(401, &outcome)),
        ("status 409", faithful().status(409, &outcome)),
        ("status 400", faithful().status(400, &outcome)),
        ("status 204", faithful().status(204, "")),
        ("status 206", faithful().status(206, &outcome)),
        ("an OperationOutcome as an answer", faithful().status(200, &outcome)),
        ("another Bundle", faithful().status(200, &bundle)),
        ("a name twice", faithful().status(200, &twice)),
        ("nothing", faithful().status(200, "")),
        ("an array", faithful().status(200, &format!("[\"{CANARY}\"]"))),
        ("something after the end", faithful().status(200, &format!("{{}} {CANARY}"))),
        ("no json", faithful().not_json()),
        ("much that is no json", faithful().status(200, &large_page)),
        ("truncated", faithful().truncated(200)),
        ("truncated at once", faithful().truncated(0)),
        ("cut", faithful().cut(200)),
        ("cut to nothing", faithful().cut(0)),
        ("gzip", faithful().gzip()),
        ("html", faithful().wrong_content_type("text/html")),
        ("xml", faithful().wrong_content_type("application/fhir+xml")),
        ("utf-16", faithful().wrong_content_type("application/fhir+json;charset=utf-16")),
    ]
}

#[track_caller]
fn assert_fails(payer: &Payer, target: &str, status: u16, name: &str) {
    let answer = payer.get(target);
    assert_eq!(answer.ending, Ending::Whole, "{name} {target}");
    let refusal = answer.refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (status, "transient"), "{name} {target}");
    for part in [CANARY, "maintenance", "Maren", "hba1c", "127.0.0.1"] {
        assert!(!answer.text().contains(part), "{name} {target}: {}", answer.text());
    }
}

#[test]
fn an_unusable_answer_is_502_and_nothing_of_it_is_shown() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let targets =
        ["/Observation/maren-hba1c-2025", "/Patient/maren", "/Observation?patient=maren", "/Organization?name=Alder"];
    for (name, behaviour) in failures() {
        ehr.behave(behaviour);
        for target in targets {
            assert_fails(&payer, target, 502, name);
        }
    }
    ehr.behave(Behaviour::faithful());
    for target in targets {
        assert_eq!(payer.get(target).status(), 200, "a failure that is remembered: {target}");
    }
}

/// An answer to the byte, but for the ids that it was given and the time.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id");
    let headers = answer.head.headers.iter().filter(|(name, _)| name != "date");
    let headers = headers.map(|(name, value)| (name.clone(), value.replace(id, "ID"))).collect();
    let text = answer.text().replace(id, "ID");
    let decision = text.split_once("Decision ").map(|(_, rest)| rest.chars().take(26).collect::<String>());
    (answer.status(), headers, decision.map_or_else(|| text.clone(), |decision| text.replace(&decision, "DECISION")))
}

#[test]
fn what_the_ehr_refuses_or_has_deleted_looks_as_if_it_were_not_there() {
    let ehr = clinic();
    let outcome = format!(r#"{{"resourceType":"OperationOutcome","issue":[{{"diagnostics":"{CANARY}"}}]}}"#);
    let reads = [
        ("/Observation/maren-hba1c-2025", "/Observation/nothing"),
        ("/Patient/maren", "/Patient/nothing"),
        ("/Practitioner/sethi", "/Practitioner/nothing"),
    ];
    for policy in [everything(), starter()] {
        let is_starter = policy.roster.is_some();
        let gateway = gateway().with_policy(policy).in_front_of(&ehr);
        let payer = gateway.payer("lanternfield");
        for (hidden, absent) in reads.into_iter().filter(|(hidden, _)| !is_starter || hidden.contains("Observation")) {
            let ask = |target: &str, condition: bool| match condition {
                true => payer.ask("GET", target).header("if-none-match", "*").send(),
                false => payer.get(target),
            };
            for condition in [false, true] {
                ehr.behave(Behaviour::faithful());
                let nothing = told(&ask(absent, condition));
                assert!(nothing.0 == 404 || is_starter, "{absent} {nothing:?}");
                for status in [403, 404, 410] {
                    ehr.behave(
                        Behaviour::faithful()
                            .status(status, &outcome)
                            .only_for(&hidden[hidden.rfind('/').unwrap() + 1..]),
                    );
                    let answer = ask(hidden, condition);
                    assert_eq!(told(&answer), nothing, "{hidden} {status}");
                    let log = gateway.log();
                    let record = log.exchange(answer.header("x-request-id"));
                    assert_eq!(record.upstream_status, Some(status), "{hidden}");
                }
                ehr.behave(Behaviour::faithful().status(401, &outcome));
                assert_eq!(ask(hidden, condition).status(), 502, "the gateway's own credential: {hidden}");
            }
        }
    }
}

#[test]
fn whose_facts_the_ehr_refuses_is_read_like_one_of_whom_there_are_none() {
    let ehr = clinic();
    let permissive = Policy { facts: vec!["coverage", "consent"], ..everything() };
    for policy in [permissive, starter()] {
        let gateway = gateway().with_policy(policy).in_front_of(&ehr);
        let payer = gateway.payer("lanternfield");
        ehr.behave(Behaviour::faithful());
        let nothing = told(&payer.get("/Observation/nothing"));
        let stranger = payer.get("/Observation?patient=nobody");
        for fact in ["Coverage", "Consent"] {
            ehr.behave(Behaviour::faithful().status(403, "{}").only_for(fact));
            let answer = payer.get("/Observation/maren-hba1c-2025");
            assert_eq!(told(&answer), nothing, "{fact}");
            assert_eq!(gateway.log().exchange(answer.header("x-request-id")).upstream_status, Some(403), "{fact}");
            let hidden = payer.get("/Observation?patient=maren");
            assert_eq!(hidden.status(), stranger.status(), "{fact}");
            assert_eq!(hidden.text().replace("maren", "nobody"), stranger.text(), "{fact}");
        }
        ehr.behave(Behaviour::faithful());
        assert_eq!(payer.get("/Observation/maren-hba1c-2025").status(), 200, "a refusal is not remembered");
    }
}

#[test]
fn an_ehr_without_a_statement_leaves_no_capabilities() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for (name, behaviour) in failures() {
        ehr.behave(behaviour);
        assert_fails(&payer, "/metadata", 502, name);
    }
    ehr.behave(Behaviour::faithful());
    assert_eq!(payer.get("/metadata").status(), 200);
}

#[test]
fn facts_that_cannot_be_had_are_no_permission() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    for (name, behaviour) in failures() {
        ehr.behave(behaviour.only_for("Coverage"));
        assert_fails(&payer, "/Observation?patient=maren", 502, name);
    }
    ehr.behave(Behaviour::faithful().only_for("Coverage").foreign_next_link("http://evil.example/next"));
    assert_fails(&payer, "/Observation?patient=maren", 502, "half a list");
    ehr.behave(Behaviour::faithful());
    assert_eq!(payer.get("/Observation?patient=maren").status(), 200);
}

#[test]
fn another_resource_than_the_one_asked_for_is_not_shown() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().wrong_resource());
    for target in ["/Observation/maren-hba1c-2025", "/Patient/maren", "/Practitioner/sethi"] {
        assert_fails(&payer, target, 502, "wrong resource");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let (ehr, elsewhere) = (clinic(), clinic());
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().redirect(&format!("{}/Patient/maren?{CANARY}", elsewhere.base())));
    for target in ["/Patient/maren", "/Observation?patient=maren", "/metadata"] {
        assert_fails(&payer, target, 502, "redirect");
        assert_eq!(payer.get(target).header("location"), "");
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn an_answer_that_goes_on_elsewhere_is_none() {
    let (ehr, elsewhere) = (clinic(), clinic());
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let own = ehr.base();
    let longer = format!("{own}2?_getpages=x");
    for url in [
        "http://evil.example/fhir?_getpages=x",
        &longer,
        "/fhir?_getpages=x",
        "file:///etc/passwd",
        &format!("{}?x", elsewhere.base()),
    ] {
        ehr.behave(Behaviour::faithful().foreign_next_link(url));
        // Half a result that looks like the whole of it would be worse than none.
        assert_fails(&payer, "/Observation?patient=maren&code=4548-4", 502, url);
        ehr.reset();
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn an_ehr_that_is_down_is_502_and_one_that_comes_back_is_asked_again() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert_eq!(payer.get("/Practitioner/sethi").status(), 200);
    drop(ehr);
    for target in ["/Observation?patient=maren", "/Patient/maren", "/metadata"] {
        assert_fails(&payer, target, 502, "down");
    }
}

#[test]
fn a_connection_that_the_ehr_closed_is_not_the_payers_matter() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().closes_on_reuse());
    for patient in ["maren", "tobias", "ines"] {
        assert_eq!(payer.get(&format!("/Patient/{patient}")).status(), 200);
    }
}

#[test]
fn an_ehr_that_does_not_answer_is_504() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    ehr.behave(Behaviour::faithful().slow(Duration::from_secs(60)));
    let began = Instant::now();
    let refusal = payer.get("/Observation?patient=maren").refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (504, "timeout"));
    let limit = portcullis::limits::UPSTREAM_HEAD;
    assert!(began.elapsed() >= limit && began.elapsed() < limit + Duration::from_secs(5));
}
