use std::time::{Duration, Instant};

use super::*;
use crate::limits;

const SEARCH: &str = "/Observation?patient=maren&category=laboratory";

/// The clinic, behaving like this, and its answer to one search.
async fn asked(behaviour: Behaviour) -> (Ehr, Reply) {
    let ehr = clinic();
    ehr.behave(behaviour);
    let reply = ask(&ehr, SEARCH).await;
    (ehr, reply)
}

#[tokio::test]
async fn careless_gives_everything_to_any_search() {
    let (ehr, reply) = asked(Behaviour::faithful().careless()).await;
    let bundle = reply.json();
    let names = found(&bundle, "match");
    let held = ehr.loaded.len();
    assert_eq!((names.len(), bundle["total"].as_u64()), (held, Some(held as u64)));
    for foreign in ["Patient/ines", "Observation/tobias-hba1c-2025", "Condition/maren-alcohol", "Practitioner/sethi"] {
        assert!(names.iter().any(|name| name == foreign), "{foreign}");
    }
    let paged = ask(&ehr, "/Patient?_id=nobody&_count=1").await.json();
    assert_eq!(found(&paged, "match"), names);
    assert_eq!(ask(&ehr, "/Patient/maren").await.json()["id"], "maren");
    ehr.behave(Behaviour::faithful());
    assert_eq!(ask(&ehr, "/Patient?_id=nobody").await.json()["total"], 0);
}

#[tokio::test]
async fn another_resource_than_the_one_read() {
    let (ehr, _) = asked(Behaviour::faithful().wrong_resource()).await;
    let read = ask(&ehr, "/Patient/maren").await;
    assert_eq!((read.status, read.json()["id"].as_str()), (200, Some("tobias")));
    assert_eq!(ask(&ehr, "/Patient/nobody").await.json()["id"], "maren");
}

#[tokio::test]
async fn a_next_link_to_elsewhere() {
    let elsewhere = "http://elsewhere.example/fhir?_getpages=1";
    let (ehr, reply) = asked(Behaviour::faithful().foreign_next_link(elsewhere)).await;
    assert_eq!(link(&reply.json(), "next").as_deref(), Some(elsewhere));
    ehr.behave(Behaviour::faithful().careless().foreign_next_link(elsewhere));
    assert_eq!(link(&ask(&ehr, SEARCH).await.json(), "next").as_deref(), Some(elsewhere));
}

#[tokio::test]
async fn any_status_and_body() {
    let (_ehr, reply) = asked(Behaviour::faithful().status(503, "{\"busy\":1}")).await;
    assert_eq!((reply.status, &*reply.body), (503, &b"{\"busy\":1}"[..]));
    let (_ehr, reply) = asked(Behaviour::faithful().status(204, "")).await;
    assert_eq!((reply.status, &*reply.body), (204, &b""[..]));
    let (_ehr, reply) = asked(Behaviour::faithful().redirect("http://elsewhere.example/fhir")).await;
    assert_eq!((reply.status, reply.header("location")), (302, "http://elsewhere.example/fhir"));
}

#[tokio::test]
async fn bodies_that_are_not_what_their_labels_say() {
    let (_ehr, page) = asked(Behaviour::faithful().not_json()).await;
    assert_eq!((page.status, page.header("content-type")), (200, "application/fhir+json;charset=UTF-8"));
    assert!(page.body.starts_with(b"<!DOCTYPE html>"));
    let (_ehr, labelled) = asked(Behaviour::faithful().wrong_content_type("text/html")).await;
    assert_eq!(labelled.headers.get_all("content-type").iter().collect::<Vec<_>>(), ["text/html"]);
    assert_eq!(labelled.json()["resourceType"], "Bundle");
}

#[tokio::test]
async fn gzip_that_nobody_asked_for() {
    let (ehr, reply) = asked(Behaviour::faithful().gzip()).await;
    assert_eq!(reply.header("content-encoding"), "gzip");
    let (_, plain) = ehr.open_door(SEARCH);
    assert_eq!(reply.body, body::gzip(&plain));
}

#[tokio::test]
async fn a_body_cut_short_with_and_without_saying_so() {
    let (ehr, whole) = asked(Behaviour::faithful()).await;
    assert!(whole.complete && whole.body.len() > 500);
    ehr.behave(Behaviour::faithful().cut(500));
    let cut = ask(&ehr, SEARCH).await;
    assert!(cut.complete);
    assert_eq!(cut.body, whole.body[..500]);
    ehr.behave(Behaviour::faithful().truncated(500));
    let truncated = ask(&ehr, SEARCH).await;
    assert_eq!(truncated.header("content-length"), whole.body.len().to_string());
    assert!(!truncated.complete);
    assert_eq!(truncated.body, whole.body[..500]);
    ehr.behave(Behaviour::faithful().truncated(whole.body.len()));
    assert!(ask(&ehr, SEARCH).await.complete);
}

#[tokio::test]
async fn slow_and_dripping() {
    let pause = Duration::from_millis(30);
    let start = Instant::now();
    let (ehr, _) = asked(Behaviour::faithful().slow(pause)).await;
    assert!(start.elapsed() >= pause);
    let (_, whole) = ehr.open_door("/Patient/ines");
    ehr.behave(Behaviour::faithful().drip(whole.len().div_ceil(3), pause));
    let start = Instant::now();
    let reply = ask(&ehr, "/Patient/ines").await;
    assert!(start.elapsed() >= pause * 3);
    assert_eq!((reply.body, reply.headers.get("content-length")), (whole, None));
}

#[tokio::test]
async fn a_huge_searchset_about_the_patient_asked_for() {
    let entries = 1_000;
    let (ehr, reply) = asked(Behaviour::faithful().huge(entries)).await;
    assert!(reply.body.len() > limits::STREAM_BITE_BYTES * 3);
    let bundle = reply.json();
    assert_eq!(found(&bundle, "match").len() as u64, entries);
    for entry in bundle["entry"].as_array().unwrap() {
        assert_eq!(entry["resource"]["subject"]["reference"], "Patient/maren");
    }
    let other = ask(&ehr, "/Observation?subject=Patient/tobias").await.json();
    assert_eq!(other["entry"][0]["resource"]["subject"]["reference"], "Patient/tobias");
    ehr.behave(Behaviour::faithful().huge(0));
    assert_eq!(ask(&ehr, SEARCH).await.json()["entry"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn an_endless_answer_keeps_nobody_else_waiting() {
    let ehr = clinic();
    ehr.behave(Behaviour::faithful().huge(u64::MAX));
    let mut sender = connect(&ehr).await;
    let response = sender.send_request(get(&ehr, "/fhir/Observation")).await.unwrap();
    let first = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"{\"resourceType\":\"Bundle\""));
    drop(sender);
    ehr.behave(Behaviour::faithful());
    assert_eq!(ask(&ehr, "/Patient?_id=ines").await.json()["total"], 1);
}

#[tokio::test]
async fn closes_a_connection_that_is_used_again() {
    let ehr = clinic();
    ehr.behave(Behaviour::faithful().closes_on_reuse());
    let mut sender = connect(&ehr).await;
    assert_eq!(send(&mut sender, get(&ehr, "/fhir/Patient/ines")).await.unwrap().status, 200);
    assert!(send(&mut sender, get(&ehr, "/fhir/Patient/ines")).await.is_err());
    assert_eq!(ehr.requests().len(), 2);
    assert_eq!(ask(&ehr, "/Patient/ines").await.status, 200);
}

#[tokio::test]
async fn misbehaves_for_one_type_and_so_many_times() {
    let ehr = clinic();
    ehr.behave(Behaviour::faithful().status(500, "{}").only_for("Coverage").times(1));
    assert_eq!(ask(&ehr, "/Patient/maren").await.status, 200);
    assert_eq!(ask(&ehr, "/Coverage?patient=maren").await.status, 500);
    assert_eq!(ask(&ehr, "/Coverage?patient=maren").await.status, 200);
}
