//! Every exchange has one record, durable before its first byte, and the record holds what an auditor needs and no more.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis::audit::Entry;
use portcullis::audit::entry::{Effect, Kind, ServedFrom};
use portcullis::cli::token::Wish;
use portcullis::demo::ehr::Behaviour;

use crate::support::gateway::hex;
use crate::support::payer::Ask;
use crate::support::{Gateway, Payer, clinic, everything, gateway, starter};

/// The record as it is in the log the moment the head of the answer is there.
#[track_caller]
fn recorded(gateway: &Gateway, ask: Ask<'_>) -> (u16, Entry) {
    let begun = ask.begin();
    let id = begun.head.header("x-request-id").expect("a request id");
    (begun.head.status, gateway.log().exchange(id).clone())
}

#[track_caller]
fn of(gateway: &Gateway, payer: &Payer, target: &str) -> Entry {
    let (status, entry) = recorded(gateway, payer.ask("GET", target));
    assert_eq!(entry.outcome.as_ref().map(|outcome| outcome.status), Some(status));
    entry
}

fn fault(entry: &Entry) -> &str {
    entry.outcome.as_ref().and_then(|outcome| outcome.fault.as_deref()).unwrap_or_default()
}

#[test]
fn the_record_is_there_before_the_answer() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let read = of(&gateway, &payer, "/Observation/maren-hba1c-2025");
    assert_eq!(read.client.as_deref(), Some("lanternfield"));
    assert_eq!(read.organization.as_deref(), Some("https://lanternfield.example"));
    assert_eq!(read.purpose.as_deref(), Some("HPAYMT"));
    assert_eq!((read.method.as_deref(), read.interaction.as_deref()), (Some("GET"), Some("read")));
    assert_eq!(read.resource_type.as_deref(), Some("Observation"));
    assert_eq!(read.request.as_deref(), Some("Observation/maren-hba1c-2025"));
    assert_eq!(read.upstream_request.as_deref(), Some("/Observation/maren-hba1c-2025"));
    assert_eq!((read.patients.as_slice(), read.served_from), (["maren".to_owned()].as_slice(), Some(ServedFrom::Ehr)));
    assert_eq!(read.decision.as_ref().unwrap().effect, Effect::Permit);
    assert!(read.token.is_some() && read.peer.as_deref() == Some("127.0.0.1"));
    let again = of(&gateway, &payer, "/Observation/maren-hba1c-2025");
    assert_eq!(again.served_from, Some(ServedFrom::Cache));
    assert_ne!(again.decision.unwrap().id, read.decision.unwrap().id);

    let search = of(&gateway, &payer, "/Observation?patient=Patient/maren&code=4548-4");
    assert_eq!(search.interaction.as_deref(), Some("search-type"));
    assert_eq!(search.request.as_deref(), Some("Observation?patient=Patient/maren&code=4548-4"));
    assert_eq!(search.counts.unwrap().released, 3);
    assert!(search.upstream_request.unwrap().starts_with("/Observation?patient=maren&code=4548-4"));
    let capabilities = of(&gateway, &payer.without_token(), "/metadata");
    assert_eq!((capabilities.interaction.as_deref(), capabilities.client), (Some("capabilities"), None));
    let smart = of(&gateway, &payer, "/.well-known/smart-configuration");
    assert_eq!(smart.interaction.as_deref(), Some("smart-configuration"));
}

#[test]
fn refusals_are_recorded_too() {
    let ehr = clinic();
    let gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let nobody = of(&gateway, &payer.without_token(), "/Patient/maren");
    assert_eq!(
        (nobody.outcome.as_ref().unwrap().status, fault(&nobody), nobody.client.as_deref()),
        (401, "identity", None)
    );
    let misunderstood = of(&gateway, &payer, "/Patient?bogus=1");
    assert_eq!((misunderstood.outcome.as_ref().unwrap().status, fault(&misunderstood)), (400, "request"));
    assert_eq!(misunderstood.client.as_deref(), Some("lanternfield"));
    let denied = of(&gateway, &payer, "/MedicationRequest?patient=maren");
    assert_eq!((denied.outcome.as_ref().unwrap().status, fault(&denied)), (403, "policy"));
    let decision = denied.decision.unwrap();
    assert_eq!(
        (decision.effect, decision.reasons.as_slice()),
        (Effect::Deny, ["type-not-agreed".to_owned()].as_slice())
    );
    let unscoped = of(&gateway, &gateway.payer("laboratory-only"), "/Condition?patient=maren");
    assert_eq!((unscoped.outcome.as_ref().unwrap().status, fault(&unscoped)), (403, "scope"));
    assert_eq!(unscoped.decision.unwrap().effect, Effect::Deny);
    let concealed = of(&gateway, &payer, "/Observation?patient=ines");
    assert_eq!((concealed.outcome.as_ref().unwrap().status, fault(&concealed)), (200, "concealed"));
    assert_eq!(concealed.decision.unwrap().reasons, ["not-a-member"]);
    let withheld = of(&gateway, &payer, "/Observation/maren-hiv-2025");
    assert_eq!((withheld.outcome.as_ref().unwrap().status, fault(&withheld)), (404, "absent"));
    let counts = withheld.counts.unwrap();
    assert_eq!((counts.received, counts.released, counts.withheld["label"]), (1, 0, 1));
    let absent = of(&gateway, &payer, "/Observation/none");
    assert_eq!((absent.outcome.as_ref().unwrap().status, absent.patients.len()), (404, 0));
    ehr.behave(Behaviour::faithful().status(500, "{}"));
    let failed = of(&gateway, &payer, "/Encounter?patient=maren");
    assert_eq!((failed.outcome.as_ref().unwrap().status, fault(&failed)), (502, "upstream-status"));
    assert_eq!(failed.decision.unwrap().effect, Effect::Permit);
    let (status, put) = recorded(&gateway, payer.ask("PUT", "/Patient/maren"));
    assert_eq!((status, fault(&put), put.method.as_deref()), (405, "http", Some("PUT")));
}

#[test]
fn the_digest_is_that_of_the_body() {
    let ehr = clinic();
    let mut gateway = gateway().with_policy(starter()).in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let targets = ["/Patient/maren", "/Observation?patient=maren", "/Observation?patient=ines", "/metadata"];
    let answers: Vec<_> = targets.iter().map(|target| payer.get(target)).collect();
    let log = gateway.stop();
    for answer in answers {
        let record = log.exchange(answer.header("x-request-id"));
        assert_eq!(record.digest.as_deref(), Some(hex(digest(&SHA256, &answer.body).as_ref()).as_str()));
    }
}

#[test]
fn the_life_of_the_process_is_recorded() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    gateway.reload(&everything()).unwrap();
    let log = gateway.stop();
    let kinds: Vec<Kind> = log.entries.iter().map(|(_, entry)| entry.kind).collect();
    assert_eq!(kinds, [Kind::Start, Kind::PolicyLoad, Kind::Stop]);
}

#[test]
fn the_log_holds_neither_tokens_nor_content() {
    let ehr = clinic();
    ehr.put(
        r#"{"resourceType":"Observation","id":"c1","status":"final","code":{"text":"content-canary"},"subject":{"reference":"Patient/maren"},"valueString":"value-canary"}"#,
    )
    .unwrap();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let token = payer.token().to_owned();
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    assert_eq!(payer.get("/Observation/c1").status(), 200);
    assert_eq!(payer.get("/Patient/maren").status(), 200);
    assert!(payer.search("/Observation?patient=maren").names().contains("Observation/c1"));
    assert_eq!(payer.with_token(&forged).get("/Patient/maren").status(), 401);
    assert_eq!(payer.get("/Patient?parameter-canary=1").status(), 400);
    assert_eq!(payer.get("/Observation/$operation-canary").status(), 400);
    let header = payer
        .ask("GET", "/Patient/maren")
        .header("x-forwarded-for", "header-canary")
        .header("user-agent", "agent-canary");
    assert_eq!(header.send().status(), 200);
    let text = gateway.stop().lines.join("\n");
    let (claims, signature) = token.rsplit_once('.').unwrap();
    let claims = claims.split_once('.').unwrap().1;
    // None of these can be a part of a hash or of a time by chance.
    for secret in [claims, signature, "canary", "Holt", "1968-09", "AC-20417", "Cooper", ":6.30"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_everything() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    gateway.without_account();
    let payer = gateway.payer_who(Wish::of("lanternfield"));
    assert_eq!(payer.get("/Patient/maren").status(), 200);
    fs::remove_dir_all(gateway.file("audit")).unwrap();
    // The exchange that finds it out has asked, and says nothing of what it heard.
    let first = payer.get("/Observation?patient=maren");
    assert_eq!((first.refusal().status, first.refusal().code.as_str()), (503, "transient"));
    assert!(!first.text().contains("maren"));
    ehr.reset();
    for target in
        ["/Patient/maren", "/Observation?patient=maren", "/metadata", "/bogus", "/.well-known/smart-configuration"]
    {
        let answer = payer.get(target);
        assert_eq!(answer.refusal().status, 503, "{target}");
        assert_eq!(answer.header("retry-after"), "5");
    }
    assert!(ehr.requests().is_empty(), "nothing may be fetched that cannot be recorded");
    assert!(!gateway.running().is_recording());
}
