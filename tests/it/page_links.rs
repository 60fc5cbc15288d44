//! Page links are for whom they were made, as they were made, under the decision they were made under.

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::Behaviour;

use crate::support::{Payer, clinic, everything, gateway, permitting, policy};

const SEARCH: &str = "/Observation?patient=maren&_count=3";

#[track_caller]
fn assert_void(payer: &Payer, link: &str, why: &str) {
    let refusal = payer.get(link).refusal();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "not-found"), "{why}");
}

#[test]
fn a_link_is_for_one_client_and_one_purpose() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let link = payer.search(SEARCH).next.unwrap();
    for secret in ["maren", "patient", "_getpages", "Observation"] {
        assert!(!link.contains(secret), "{link}");
    }
    ehr.reset();
    assert_void(&gateway.payer("oldmill"), &link, "another client");
    let marketing = gateway.payer_who(Wish { purpose: Some("HMARKT".to_owned()), ..Wish::of("lanternfield") });
    assert_void(&marketing, &link, "another purpose");
    assert_eq!(payer.without_token().get(&link).refusal().status, 401);
    assert!(ehr.requests().is_empty());
    let renewed = gateway.payer("lanternfield");
    assert_ne!(renewed.token(), payer.token());
    // The same client with another token: the EHR has forgotten its pages, which is the EHR's failure.
    assert_eq!(renewed.get(&link).refusal().status, 502);
}

#[test]
fn an_altered_link_opens_nothing() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let link = payer.search(SEARCH).next.unwrap();
    ehr.reset();
    let (base, token) = link.rsplit_once('/').unwrap();
    let last = token.chars().next_back().unwrap();
    let other = if last == 'A' { 'B' } else { 'A' };
    assert_void(&payer, &format!("{base}/{}{other}", &token[..token.len() - 1]), "its last character");
    for at in [0, 5, 20, 60, token.len() / 2] {
        let mut altered = token.to_owned();
        let replacement = if altered.as_bytes()[at] == b'x' { "y" } else { "x" };
        altered.replace_range(at..=at, replacement);
        assert_void(&payer, &format!("{base}/{altered}"), "one character");
    }
    assert_void(&payer, &format!("{link}A"), "longer");
    assert_void(&payer, &link[..link.len() - 4], "shorter");
    assert_void(&payer, &format!("{link}?_count=1000"), "with a query");
    let elsewhere = crate::support::gateway().in_front_of(&ehr);
    let foreign = elsewhere.payer("lanternfield").search(SEARCH).next.unwrap();
    ehr.reset();
    assert_void(&payer, &foreign, "of another gateway");
    assert!(ehr.requests().is_empty());
}

#[test]
fn a_link_ends_with_its_decision() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let link = payer.search(SEARCH).next.unwrap();
    let same = payer.search(&link);
    assert_eq!(same.entries.len(), 3);
    gateway.reload(&everything()).unwrap();
    assert_eq!(payer.search(&link).names(), same.names(), "the same policy, loaded again");
    let less = permitting(r#""page_cap": 50"#);
    gateway.reload(&less).unwrap();
    assert_void(&payer, &link, "another policy");
    let closed = policy(
        r#"default decision := {"allow": false, "reasons": [{"code": "closed", "text": "Closed.", "basis": "none"}]}"#,
    );
    gateway.reload(&closed).unwrap();
    assert_eq!(payer.get(&link).refusal().status, 403);
}

#[test]
fn every_page_is_judged() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let first = payer.search("/Observation?patient=maren&category=laboratory&_count=3");
    let everything_of_everybody = Behaviour::faithful().careless();
    ehr.behave(everything_of_everybody.only_for("Observation"));
    let second = payer.search(first.next.as_ref().unwrap());
    assert_eq!(second.entries.len(), 3);
    assert!(second.own.ends_with("/Observation?patient=Patient/maren&category=laboratory&_count=3"), "{}", second.own);
    assert_eq!(second.total, None);
}
