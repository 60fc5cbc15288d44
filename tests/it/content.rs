//! The content of documents: by a link that was sealed with a released document, and in no other way.

use portcullis::cli::token::Wish;
use portcullis::demo::ehr::{Behaviour, Ehr};
use serde_json::{Value as Json, json};

use crate::support::{Payer, clinic, everything, gateway, permitting};

const NOTE: &[u8] = b"SECRET of the note";
const ENCODED: &str = "U0VDUkVUIG9mIHRoZSBub3Rl";

fn note(id: &str, patient: &str, url: &str) -> String {
    json!({
        "resourceType": "DocumentReference",
        "id": id,
        "status": "current",
        "subject": {"reference": format!("Patient/{patient}")},
        "content": [{"attachment": {"contentType": "text/plain", "url": url}}],
    })
    .to_string()
}

fn binary(more: Json) -> String {
    let mut binary = json!({"resourceType": "Binary", "id": "note", "contentType": "text/plain", "data": ENCODED});
    binary.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    binary.to_string()
}

fn ehr() -> Ehr {
    let ehr = clinic();
    ehr.put(&note("d1", "maren", "Binary/note")).unwrap();
    ehr.put(&note("d2", "maren", &format!("{}/Binary/note", ehr.base()))).unwrap();
    ehr.put(&binary(json!({}))).unwrap();
    ehr
}

/// Where the attachment of a released document leads, below the base.
#[track_caller]
fn link(payer: &Payer, document: &str) -> String {
    let answer = payer.get(&format!("/DocumentReference/{document}"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let url = answer.json()["content"][0]["attachment"]["url"].as_str().unwrap().to_owned();
    url[url.find("/_content/").unwrap()..].to_owned()
}

#[test]
fn a_released_document_leads_to_its_content() {
    let ehr = ehr();
    let gateway = gateway().with_policy(everything()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let found = payer.search("/DocumentReference?patient=maren&_id=d1");
    let url = serde_json::from_str::<Json>(&found.entries[0].text).unwrap()["content"][0]["attachment"]["url"].clone();
    assert!(url.as_str().unwrap().contains("/_content/") && !found.entries[0].text.contains("Binary"), "{url}");
    for document in ["d1", "d2"] {
        let link = link(&payer, document);
        let answer = payer.ask("GET", &link).without("accept").header("accept", "text/plain").send();
        assert_eq!((answer.status(), answer.body.as_slice()), (200, NOTE), "{}", answer.text());
        assert_eq!(answer.header("content-type"), "text/plain");
        assert_eq!(answer.header("content-disposition"), "attachment");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let log = gateway.log();
        let record = log.exchange(answer.header("x-request-id"));
        assert_eq!(record.request.as_deref(), Some(&*format!("DocumentReference/{document}/_content/note")));
        assert_eq!(record.upstream_request.as_deref(), Some(&*format!("/DocumentReference/{document} /Binary/note")));
        assert_eq!(record.patients, ["maren"]);
        let counts = record.counts.as_ref().unwrap();
        assert_eq!((counts.received, counts.released), (2, 1));
        assert!(record.digest.is_some());
    }
}

#[test]
fn content_has_no_other_way() {
    let ehr = ehr();
    let gateway = gateway().with_policy(everything()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let absent = payer.get("/Binary/nothing").refusal();
    for target in ["/Binary/note", "/Binary/note?_elements=data"] {
        let refusal = payer.get(target).refusal();
        assert_eq!((refusal.status, &refusal.code), (404, &absent.code), "{target}");
    }
    let link = link(&payer, "d1");
    ehr.reset();
    let marketing = gateway.payer_who(Wish { purpose: Some("HMARKT".to_owned()), ..Wish::of("lanternfield") });
    for refused in [
        gateway.payer("oldmill").get(&link),
        marketing.get(&link),
        payer.get(&format!("{link}A")),
        payer.get(&format!("{link}?x=y")),
        payer.get(&link.replace("_content", "_page")),
    ] {
        assert_eq!(refused.refusal().status, 404);
    }
    let entry = json!({"request": {"method": "GET", "url": link.trim_start_matches('/')}});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]}).to_string();
    let answer = payer.ask("POST", "").header("content-type", "application/fhir+json").body(batch).send();
    assert!(answer.status() == 200 && answer.text().contains("404 Not Found"), "{}", answer.text());
    assert!(!answer.text().contains("SECRET"));
    payer.answered(answer.json()["entry"][0]["id"].as_str().unwrap());
    assert_eq!(payer.without_token().get(&link).status(), 401);
    assert!(ehr.requests().is_empty());
}

#[test]
fn a_link_lasts_as_long_as_what_it_was_made_of() {
    let ehr = ehr();
    let uncached = || permitting("");
    let gateway = gateway().with_policy(uncached()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let link = link(&payer, "d1");
    assert_eq!(payer.get(&link).status(), 200);
    let patient_of_another = json!({"securityContext": {"reference": "Patient/tobias"}});
    let elsewhere = json!({"securityContext": {"reference": "DocumentReference/d9"}});
    for (document, content) in [
        (note("d1", "maren", "Binary/note"), binary(patient_of_another)),
        (note("d1", "maren", "Binary/note"), binary(elsewhere)),
        (note("d1", "maren", "Binary/note"), binary(json!({"contentType": "text/html"}))),
        (note("d1", "maren", "Binary/note"), binary(json!({"data": "%"}))),
        (note("d1", "maren", "Binary/other"), binary(json!({}))),
        (note("d1", "maren", "Binary/note").replace("Patient/maren", "Group/maren"), binary(json!({}))),
    ] {
        ehr.put(&document).unwrap();
        ehr.put(&content).unwrap();
        let answer = payer.get(&link);
        assert!(answer.status() == 404 && !answer.text().contains("SECRET"), "{document} {content} {}", answer.text());
    }
    ehr.put(&note("d1", "maren", "Binary/note")).unwrap();
    for context in ["Patient/maren", "DocumentReference/d1"] {
        ehr.put(&binary(json!({"securityContext": {"reference": context}}))).unwrap();
        assert_eq!(payer.get(&link).status(), 200, "{context}");
    }
    gateway.reload(&permitting("\"page_cap\": 7")).unwrap();
    let refusal = payer.get(&link).refusal();
    assert!(refusal.status >= 400, "made under other policies");
    let without = r#""types": {"Binary": {"elements": ["contentType"]}}"#;
    gateway.reload(&permitting(without)).unwrap();
    let answer = payer.get("/DocumentReference/d1");
    assert!(answer.status() == 200 && !answer.text().contains("url"), "{}", answer.text());
}

#[test]
fn nothing_is_asked_for_a_link_that_leads_nowhere_by_now() {
    let ehr = ehr();
    let gateway = gateway().with_policy(permitting("\"cache_seconds\": 60")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let link = link(&payer, "d1");
    let asked = |answer: u16| {
        let before = ehr.requests().len();
        assert_eq!(payer.get(&link).status(), answer);
        ehr.requests().into_iter().skip(before).map(|request| request.target).collect::<Vec<_>>()
    };
    assert_eq!(asked(200), ["/fhir/Binary/note"], "the document was released, and is kept");
    gateway.reload(&permitting("")).unwrap();
    assert!(asked(404).is_empty(), "made under other policies");
}

#[test]
fn a_document_that_does_not_offer_the_link_is_not_kept_and_its_content_not_asked_for() {
    let ehr = ehr();
    let gateway = gateway().with_policy(permitting("\"cache_seconds\": 60")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    // Found by search, so that the document itself was not read yet.
    let found = payer.search("/DocumentReference?patient=maren&_id=d1");
    let url = serde_json::from_str::<Json>(&found.entries[0].text).unwrap()["content"][0]["attachment"]["url"].clone();
    let asked = |answer: u16| {
        let before = ehr.requests().len();
        assert_eq!(payer.get(url.as_str().unwrap()).status(), answer);
        ehr.requests().into_iter().skip(before).map(|request| request.target).collect::<Vec<_>>()
    };
    ehr.put(&note("d1", "maren", "Binary/other")).unwrap();
    assert_eq!(asked(404), ["/fhir/DocumentReference/d1"]);
    ehr.put(&note("d1", "maren", "Binary/note")).unwrap();
    assert_eq!(asked(200), ["/fhir/DocumentReference/d1", "/fhir/Binary/note"]);
    assert!(asked(200).is_empty(), "both were released, and are kept");
}

#[test]
fn what_the_ehr_refuses_or_has_deleted_is_no_content() {
    let ehr = ehr();
    let gateway = gateway().with_policy(permitting("")).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let link = link(&payer, "d1");
    for (id, status) in [("d1", 403), ("d1", 410), ("note", 403), ("note", 404), ("note", 410)] {
        ehr.behave(Behaviour::faithful().status(status, "SECRET").only_for(id));
        let answer = payer.get(&link);
        let refusal = answer.refusal();
        assert_eq!((refusal.status, refusal.code.as_str()), (404, "not-found"), "{id} {status}");
        assert_eq!(gateway.log().exchange(answer.header("x-request-id")).upstream_status, Some(status), "{id}");
        ehr.behave(Behaviour::faithful());
    }
    ehr.behave(Behaviour::faithful().status(401, "SECRET").only_for("note"));
    assert_eq!(payer.get(&link).status(), 502);
    ehr.behave(Behaviour::faithful());
    assert_eq!(payer.get(&link).status(), 200);
}
