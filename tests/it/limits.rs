//! Limits: what is just within is answered, what is just beyond is refused.

use portcullis::demo::ehr::Ehr;
use portcullis::limits;

use crate::support::{Payer, clinic, gateway};

/// Spaces that make no difference, in a query that is otherwise fine.
fn padded(length: usize, target: &str) -> String {
    format!("{target}{}", "0".repeat(length - target.len()))
}

fn stage() -> (Ehr, crate::support::Gateway) {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    (ehr, gateway)
}

#[test]
fn targets() {
    let (_ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    let values = vec!["9".repeat(1_000); 8].join(",");
    let of = |length: usize| padded(length, &format!("/fhir/Observation?patient=maren&code=4548-4,{values}"));
    let within = payer.ask("GET", "").target(&of(limits::REQUEST_TARGET_BYTES)).send();
    assert_eq!(within.searchset().entries.len(), 3);
    let beyond = payer.ask("GET", "").target(&of(limits::REQUEST_TARGET_BYTES + 1)).send();
    assert_eq!(beyond.refusal().status, 414);
}

#[test]
fn headers() {
    let (_ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    let with = |count: usize, length: usize| {
        // Host and authorization are there already.
        let ask = payer.ask("GET", "/Patient/maren");
        (2..count).fold(ask, |ask, number| ask.header(&format!("x-{number}"), &"v".repeat(length))).bytes()
    };
    assert_eq!(payer.raw(&with(limits::REQUEST_HEADERS, 1)).unwrap().status(), 200);
    assert_eq!(payer.raw(&with(limits::REQUEST_HEADERS + 1, 1)).unwrap().status(), 431);
    let short = with(3, 1).len();
    let fill = |total: usize| with(3, total - short + 1);
    let within = fill(limits::REQUEST_HEAD_BYTES);
    assert_eq!(within.len(), limits::REQUEST_HEAD_BYTES);
    assert_eq!(payer.raw(&within).unwrap().status(), 200);
    assert_eq!(payer.raw(&fill(limits::REQUEST_HEAD_BYTES + 1)).unwrap().status(), 431);
    assert_eq!(payer.get("/Patient/maren").status(), 200);
}

#[test]
fn forms() {
    let (ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    let value = "9".repeat(limits::SEARCH_VALUE_BYTES);
    let list = vec![value.as_str(); 100].join(",");
    let of = |length: usize| padded(length, &format!("patient=maren&code=4548-4,{list}&code=4548-4,"));
    let form = |length: usize| payer.post("/Observation/_search", &of(length));
    // Within, but its last value is too long to be one: the form was read.
    let within = form(limits::SEARCH_FORM_BYTES).refusal();
    assert_eq!((within.status, within.code.as_str()), (400, "not-supported"), "{within:?}");
    assert_eq!(form(limits::SEARCH_FORM_BYTES + 1).refusal().status, 413);
    let chunked = payer
        .ask("POST", "/Observation/_search")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("transfer-encoding", "chunked");
    let mut bytes = chunked.bytes();
    let body = of(limits::SEARCH_FORM_BYTES + 1);
    bytes.extend_from_slice(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
    assert_eq!(payer.raw(&bytes).unwrap().refusal().status, 413);
    assert!(ehr.requests().is_empty());
}

#[test]
fn parameters_and_values() {
    let (_ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    let parameters = |count: usize| {
        let more = "&code=4548-4".repeat(count - 1);
        payer.post("/Observation/_search", &format!("patient=maren{more}"))
    };
    assert_eq!(parameters(limits::SEARCH_PARAMETERS).searchset().entries.len(), 3);
    assert!(parameters(limits::SEARCH_PARAMETERS + 1).refusal().text.contains("oo many search parameters"));
    let values = |count: usize| {
        let list = vec!["4548-4"; count].join(",");
        payer.post("/Observation/_search", &format!("patient=maren&code={list}"))
    };
    assert_eq!(values(limits::SEARCH_VALUES).searchset().entries.len(), 3);
    assert!(values(limits::SEARCH_VALUES + 1).refusal().text.contains("`code`"));
    let long = |length: usize| {
        let value = "9".repeat(length);
        payer.post("/Observation/_search", &format!("patient=maren&code=4548-4,{value}"))
    };
    assert_eq!(long(limits::SEARCH_VALUE_BYTES).searchset().entries.len(), 3);
    assert!(long(limits::SEARCH_VALUE_BYTES + 1).refusal().text.contains("`code`"));
}

#[test]
fn patients() {
    let (_ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    let of = |count: usize| {
        let list: Vec<String> = (1..count).map(|number| format!("p{number}")).collect();
        payer.get(&format!("/Observation?code=4548-4&patient=maren,{}", list.join(",")))
    };
    assert_eq!(of(limits::PATIENTS_PER_SEARCH).searchset().entries.len(), 3);
    assert_eq!(of(limits::PATIENTS_PER_SEARCH + 1).refusal().status, 400);
}

#[test]
fn tokens() {
    let (_ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    for length in [limits::TOKEN_BYTES, limits::TOKEN_BYTES + 1, 30_000] {
        assert_eq!(payer.with_token(&"x".repeat(length)).get("/Patient/maren").refusal().status, 401, "{length}");
    }
}

#[test]
fn json_that_is_too_deep_or_too_large_is_no_answer() {
    let (ehr, gateway) = stage();
    let payer = gateway.payer("lanternfield");
    let of = |payer: &Payer, id: &str| payer.get(&format!("/Observation/{id}")).status();
    let deep = |id: &str, depth: usize| {
        let (open, close) = ("{\"a\":".repeat(depth), "}".repeat(depth));
        format!(
            r#"{{"resourceType":"Observation","id":"{id}","subject":{{"reference":"Patient/maren"}},"x":{open}1{close}}}"#
        )
    };
    let large = |id: &str, length: usize| {
        let start =
            format!(r#"{{"resourceType":"Observation","id":"{id}","subject":{{"reference":"Patient/maren"}},"x":""#);
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    let behave = |text: String| ehr.behave(portcullis::demo::ehr::Behaviour::faithful().status(200, &text));
    for (id, text, status) in [
        ("d1", deep("d1", limits::JSON_DEPTH - 1), 200),
        ("d2", deep("d2", limits::JSON_DEPTH), 502),
        ("l1", large("l1", limits::RESOURCE_BYTES), 200),
        ("l2", large("l2", limits::RESOURCE_BYTES + 1), 502),
    ] {
        behave(text);
        assert_eq!(of(&payer, id), status, "{id}");
    }
}
