//! A batch is several requests: each is answered, refused and recorded as it would be by itself.

use serde_json::{Value as Json, json};

use crate::support::{Answer, Payer, clinic, gateway, starter};

fn send(payer: &Payer, entries: &[Json]) -> Answer {
    let body = json!({"resourceType": "Bundle", "type": "batch", "entry": entries}).to_string();
    let answer = payer.ask("POST", "").header("content-type", "application/fhir+json").body(body).send();
    if answer.status() == 200 {
        for entry in responses(&answer) {
            payer.answered(entry["id"].as_str().unwrap());
        }
    }
    answer
}

fn get(url: &str) -> Json {
    json!({"request": {"method": "GET", "url": url}})
}

fn responses(answer: &Answer) -> Vec<Json> {
    let json = answer.json();
    assert_eq!((&json["resourceType"], &json["type"]), (&json!("Bundle"), &json!("batch-response")));
    json["entry"].as_array().cloned().unwrap_or_default()
}

#[test]
fn an_entry_is_answered_as_a_single_request_is() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let targets = [
        "Patient/maren",
        "Observation?patient=maren&code=4548-4",
        "Patient/ines",
        "Observation?patient=ines",
        "Observation/maren-hiv-2025",
        "MedicationRequest?patient=maren",
        "Patient?birthdate=1968-09-23&_id=maren",
        "Observation?patient=maren&bogus=1",
        "Patient/$everything",
        "Patient/maren/_history",
        "Bogus/x",
    ];
    let entries: Vec<Json> = targets.iter().map(|target| get(target)).collect();
    let answers = responses(&send(&payer, &entries));
    assert_eq!(answers.len(), targets.len());
    for (target, entry) in targets.iter().zip(&answers) {
        let single = payer.get(&format!("/{target}"));
        let status = entry["response"]["status"].as_str().unwrap();
        assert_eq!(status.split(' ').next(), Some(single.status().to_string().as_str()), "{target}");
        if single.status() == 200 {
            assert_eq!(entry["resource"], single.json(), "{target}");
            assert_eq!(entry["response"]["etag"].as_str().unwrap_or_default(), single.header("etag"), "{target}");
        } else {
            assert!(entry.get("resource").is_none(), "{target}");
            let issue = |outcome: &Json| outcome["issue"][0]["details"].clone();
            assert_eq!(issue(&entry["response"]["outcome"]), issue(&single.json()), "{target}");
        }
    }
}

#[test]
fn each_entry_has_a_record_and_so_has_the_batch() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let put = json!({"request": {"method": "PUT", "url": "Patient/maren"}, "resource": {"resourceType": "Patient"}});
    let answer = send(&payer, &[get("Patient/maren"), put, get("Observation?patient=maren&code=4548-4")]);
    let batch = answer.header("x-request-id").to_owned();
    let ids: Vec<String> = responses(&answer).iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect();
    let log = gateway.stop();
    assert_eq!(log.exchanges().len(), 4);
    let whole = log.exchange(&batch);
    assert_eq!((whole.interaction.as_deref(), whole.method.as_deref()), (Some("batch"), Some("POST")));
    assert!(whole.digest.is_some() && whole.batch.is_none() && whole.counts.is_none());
    for (id, status) in ids.iter().zip([200, 400, 200]) {
        let entry = log.exchange(id);
        assert_eq!(entry.batch.as_deref(), Some(batch.as_str()));
        assert_eq!(entry.client.as_deref(), Some("lanternfield"));
        assert_eq!(entry.outcome.as_ref().unwrap().status, status);
    }
    assert_eq!(log.exchange(&ids[0]).patients, ["maren"]);
    assert_eq!(log.exchange(&ids[2]).counts.as_ref().unwrap().released, 3);
}

#[test]
fn an_entry_leads_nowhere_but_below_the_base() {
    let (ehr, elsewhere) = (clinic(), clinic());
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let evil = format!("{}/Patient/maren", elsewhere.base());
    let own = format!("{}/Patient/maren", ehr.base());
    let urls = [
        evil.as_str(),
        own.as_str(),
        "/Patient/maren",
        "//evil.example/Patient/maren",
        "../Patient/maren",
        "Patient/../Patient/maren",
        "Patient/%2e%2e/Patient/maren",
        "Patient%2Fmaren",
        "Patient/maren#x",
        "urn:uuid:1",
        "?_id=maren",
        "",
    ];
    let entries: Vec<Json> = urls.iter().map(|url| get(url)).collect();
    for (url, entry) in urls.iter().zip(responses(&send(&payer, &entries))) {
        assert_eq!(entry["response"]["status"], "400 Bad Request", "{url}");
    }
    assert!(ehr.requests().is_empty() && elsewhere.requests().is_empty());
}

#[test]
fn a_batch_is_bounded() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let entries = |count: usize| vec![get("Patient/maren"); count];
    let limit = portcullis::limits::BATCH_ENTRIES;
    assert_eq!(responses(&send(&payer, &entries(limit))).len(), limit);
    assert_eq!(send(&payer, &entries(limit + 1)).refusal().status, 413);
    assert_eq!(send(&payer, &entries(10_000)).refusal().status, 413);
    assert!(responses(&send(&payer, &[])).is_empty());
}

#[test]
fn what_must_be_sent_in_pieces_is_asked_for_by_itself() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let note = "x".repeat(100_000);
    let large = json!({"resourceType": "Observation", "id": "large", "status": "final", "code": {"text": "large"},
        "subject": {"reference": "Patient/maren"}, "note": [{"text": note}]});
    ehr.put(&large.to_string()).unwrap();
    let answer = send(&payer, &[get("Observation?patient=maren&_id=large"), get("Patient/maren")]);
    let entries = responses(&answer);
    assert_eq!(entries[0]["response"]["status"], "413 Payload Too Large");
    assert_eq!(entries[1]["response"]["status"], "200 OK");
    assert!(!answer.text().contains("xxxx"));
}

#[test]
fn who_is_not_known_has_no_batch() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield").without_token();
    assert_eq!(send(&payer, &[get("Patient/maren")]).refusal().status, 401);
    assert!(ehr.requests().is_empty());
}

#[test]
fn a_read_is_answered_by_whether_it_changed() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let first = payer.get("/Patient/maren");
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = payer.ask("GET", "/Patient/maren").header("if-none-match", &tag).send();
    assert_eq!((again.status(), again.header("etag"), again.body.len()), (304, tag.as_str(), 0));
    let other = payer.ask("GET", "/Patient/maren").header("if-none-match", "W/\"other\"").send();
    assert_eq!((other.status(), &other.body), (200, &first.body));
    let head = payer.ask("HEAD", "/Patient/maren").send();
    assert_eq!((head.status(), head.header("etag")), (200, tag.as_str()));
    let in_batch = send(
        &payer,
        &[
            json!({"request": {"method": "GET", "url": "Patient/maren", "ifNoneMatch": tag.as_str()}}),
            get("Patient/maren"),
        ],
    );
    let entries = responses(&in_batch);
    assert_eq!(entries[0]["response"]["status"], "304 Not Modified");
    assert_eq!(entries[1]["response"]["etag"], tag.as_str());
    let log = gateway.stop();
    let record = log.exchange(again.header("x-request-id"));
    assert_eq!(record.outcome.as_ref().unwrap().status, 304);
    assert_eq!(record.digest, None);
}
