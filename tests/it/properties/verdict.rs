//! A search meets one verdict, asked by GET, by POST or as the entry of a batch, through a whole gateway.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};

use super::drawing;
use super::request::{Asked, search};
use super::spelling::query;
use crate::support::{Payer, clinic, gateway, starter};

const REGRESSIONS: &str = "tests/it/properties/regressions/verdict.txt";

/// Status, body without what differs from one request to the next, and the tag of what was released.
type Verdict = (u16, Json, String);

fn verdict(status: u16, body: &Json, etag: &str) -> Verdict {
    let outcome = &body["issue"];
    (status, if outcome.is_null() { without_seals(body) } else { outcome[0]["details"].clone() }, etag.to_owned())
}

/// Links to further pages are sealed anew each time.
fn without_seals(body: &Json) -> Json {
    let mut body = body.clone();
    for link in body["link"].as_array_mut().into_iter().flatten().filter(|link| link["relation"] == "next") {
        link["url"] = Json::Null;
    }
    body
}

fn in_a_batch(payer: &Payer, target: &str) -> Verdict {
    let entry = json!({"request": {"method": "GET", "url": target}});
    let body = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]}).to_string();
    let answer = payer.ask("POST", "").header("content-type", "application/fhir+json").body(body).send();
    let entry = &answer.json()["entry"][0];
    payer.answered(entry["id"].as_str().expect("an exchange"));
    let response = &entry["response"];
    let status = response["status"].as_str().and_then(|status| status.split(' ').next()?.parse().ok());
    let body = entry.get("resource").unwrap_or(&response["outcome"]);
    verdict(status.expect("a status"), body, response["etag"].as_str().unwrap_or_default())
}

#[test]
fn get_post_and_batch_meet_one_verdict() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let (released, refused) = (Cell::new(0), Cell::new(0));
    let property = |(asked, patient, one, other): (Asked, Option<&str>, u64, u64)| {
        let (resource_type, mut pairs) = asked;
        // A patient of the clinic's, so that more than refusals are compared.
        pairs.retain(|(name, _)| patient.is_none() || !name.starts_with("patient") && !name.starts_with("subject"));
        pairs.extend(
            patient.map(|patient| ("patient".to_owned(), patient.to_owned())).filter(|_| resource_type != "Patient"),
        );
        let (spelt, form) = (query(&pairs, one), query(&pairs, other));
        let target = format!("{resource_type}?{spelt}");
        let got = payer.get(&format!("/{target}"));
        let posted = payer.post(&format!("/{resource_type}/_search"), &form);
        let whole = verdict(got.status(), &got.json(), got.header("etag"));
        let count = if whole.0 == 200 { &released } else { &refused };
        count.set(count.get() + 1);
        prop_assert_eq!(&verdict(posted.status(), &posted.json(), posted.header("etag")), &whole, "POST of {}", target);
        prop_assert_eq!(&in_a_batch(&payer, &target), &whole, "batch of {}", target);
        Ok(())
    };
    let patient = prop::option::weighted(0.8, select(&["maren", "ines", "nobody"][..]));
    let mut runner = TestRunner::new(drawing(60, REGRESSIONS));
    runner.run(&(search(), patient, any::<u64>(), any::<u64>()), property).unwrap_or_else(|failed| panic!("{failed}"));
    assert!(released.get() > 5 && refused.get() > 5, "{} released, {} refused", released.get(), refused.get());
}
