//! Answers are kept below the decision: each use of one is decided, filtered and recorded again.

use portcullis::audit::entry::ServedFrom;
use portcullis::demo::ehr::{Behaviour, Ehr};

use crate::support::{Policy, clinic, gateway, policy};

/// Elements and cache time by client: one upstream request, different answers.
fn by_client(elements: &str, seconds: u32) -> Policy {
    policy(&format!(
        r#"
default decision := {{"allow": false, "reasons": [{{"code": "nobody", "text": "Nobody.", "basis": "none"}}]}}

elements := {{"lanternfield": {elements}, "oldmill": ["status", "code"]}}

decision := {{
	"allow": true,
	"reasons": [{{"code": "test", "text": "Some of it.", "basis": "none"}}],
	"patients": input.request.patients,
	"types": {{"Observation": {{"elements": elements[input.client.id]}}, "Patient": {{"elements": ["gender"]}}}},
	"withhold_labels": [],
	"includes": [],
	"cache_seconds": {seconds},
}} if elements[input.client.id]
"#
    ))
}

/// Requests the EHR got, as targets.
fn asked(ehr: &Ehr) -> usize {
    ehr.requests().len()
}

const SEARCH: &str = "/Observation?patient=maren&code=4548-4";

#[test]
fn two_payers_share_an_answer_and_not_what_they_see_of_it() {
    let ehr = clinic();
    let mut gateway = gateway().with_policy(by_client("[\"*\"]", 60)).in_front_of(&ehr);
    let full = gateway.payer("lanternfield").get(SEARCH);
    let part = gateway.payer("oldmill").get(SEARCH);
    let again = gateway.payer("lanternfield").get(SEARCH);
    assert_eq!(asked(&ehr), 1);
    assert!(full.text().contains("6.30") && !part.text().contains("6.30"));
    assert_eq!(part.searchset().entries.len(), 3);
    assert_eq!(full.text(), again.text());
    let log = gateway.stop();
    let from = |answer: &crate::support::Answer| log.exchange(answer.header("x-request-id")).clone();
    assert_eq!(from(&full).served_from, Some(ServedFrom::Ehr));
    assert_eq!(from(&part).served_from, Some(ServedFrom::Cache));
    let (part, again) = (from(&part), from(&again));
    assert_ne!(part.decision.unwrap().id, again.decision.unwrap().id);
    assert_eq!((part.counts.unwrap().redacted, again.counts.unwrap().redacted), (3, 0));
}

#[test]
fn one_who_may_not_gets_nothing_out_of_the_cache() {
    let ehr = clinic();
    let gateway = gateway().with_policy(by_client("[\"*\"]", 60)).in_front_of(&ehr);
    assert_eq!(gateway.payer("lanternfield").get(SEARCH).status(), 200);
    assert_eq!(gateway.payer("laboratory-only").get(SEARCH).status(), 403);
    assert_eq!(gateway.payer("lanternfield").without_token().get(SEARCH).status(), 401);
    assert_eq!(asked(&ehr), 1);
}

#[test]
fn another_policy_applies_to_what_was_kept() {
    let ehr = clinic();
    let gateway = gateway().with_policy(by_client("[\"*\"]", 60)).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert!(payer.get(SEARCH).text().contains("6.30"));
    gateway.reload(&by_client("[\"status\"]", 60)).unwrap();
    // The code is not released any more, and so it cannot be asked after either.
    assert_eq!(payer.get(SEARCH).refusal().status, 403);
    let part = payer.get("/Observation?patient=maren");
    assert!(part.searchset().entries.len() > 3 && !part.text().contains("4548-4"));
    gateway.reload(&by_client("[\"*\"]", 60)).unwrap();
    let requests = asked(&ehr);
    assert!(payer.get(SEARCH).text().contains("6.30"));
    assert_eq!(asked(&ehr), requests);
}

#[test]
fn what_is_read_is_kept_too() {
    let ehr = clinic();
    let gateway = gateway().with_policy(by_client("[\"*\"]", 60)).in_front_of(&ehr);
    for client in ["lanternfield", "oldmill", "lanternfield"] {
        let payer = gateway.payer(client);
        assert_eq!(payer.get("/Observation/maren-hba1c-2025").text().contains("6.30"), client == "lanternfield");
        assert_eq!(payer.get("/Patient/maren").status(), 200);
    }
    assert_eq!(asked(&ehr), 2);
}

#[test]
fn nothing_is_kept_where_policy_or_configuration_says_so() {
    let ehr = clinic();
    let cases = [
        ("", 0, 6),
        ("[cache]\nbytes = 0\n", 60, 6),
        ("[cache]\nseconds = 0\n", 60, 6),
        ("[cache.seconds_by_type]\nObservation = 0\n", 60, 4),
        ("[cache.seconds_by_type]\nObservation = 0\nPatient = 0\n", 60, 6),
    ];
    for (section, seconds, expected) in cases {
        ehr.reset();
        let gateway = gateway().with_policy(by_client("[\"*\"]", seconds)).with(section).in_front_of(&ehr);
        let payer = gateway.payer("lanternfield");
        for _ in 0..3 {
            assert_eq!(payer.get(SEARCH).status(), 200);
            assert_eq!(payer.get("/Patient/maren").status(), 200);
        }
        assert_eq!(asked(&ehr), expected, "{section:?} {seconds}");
    }
}

#[test]
fn an_absence_and_a_failure_are_not_kept() {
    let ehr = clinic();
    let gateway = gateway().with_policy(by_client("[\"*\"]", 60)).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    assert_eq!(payer.get("/Patient/newcomer").status(), 404);
    ehr.put(r#"{"resourceType":"Patient","id":"newcomer","gender":"female"}"#).unwrap();
    assert_eq!(payer.get("/Patient/newcomer").status(), 200);
    ehr.behave(Behaviour::faithful().truncated(50));
    assert_eq!(payer.get(SEARCH).status(), 502);
    ehr.behave(Behaviour::faithful());
    assert_eq!(payer.get(SEARCH).status(), 200);
}
