use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpStream;

use super::*;
use crate::demo::data;

mod faults;
mod searches;

/// The clinic of the demo, open to everybody.
fn clinic() -> Ehr {
    Ehr::start(data::records().unwrap()).unwrap()
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Whether the body ended as it had promised.
    complete: bool,
}

impl Reply {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn connect(ehr: &Ehr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(ehr.address()).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let (mut bytes, mut complete) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => complete = false,
        }
    }
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: bytes, complete })
}

fn get(ehr: &Ehr, target: &str) -> Request<Full<Bytes>> {
    Request::get(target).header("host", ehr.address().to_string()).body(Full::default()).unwrap()
}

/// The answer to a GET of path and query below the base, on a connection of its own.
async fn ask(ehr: &Ehr, target: &str) -> Reply {
    send(&mut connect(ehr).await, get(ehr, &format!("/fhir{target}"))).await.unwrap()
}

/// The names of a searchset's entries of this mode, in order.
fn found(bundle: &Json, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let of_mode = entries.iter().filter(|entry| entry["search"]["mode"] == mode);
    let name = |entry: &Json| {
        let resource = &entry["resource"];
        format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap())
    };
    of_mode.map(name).collect()
}

fn link(bundle: &Json, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array()?;
    links.iter().find(|link| link["relation"] == relation)?["url"].as_str().map(ToOwned::to_owned)
}

#[tokio::test]
async fn reads_a_resource_as_it_was_loaded() {
    let ehr = clinic();
    let reply = ask(&ehr, "/Observation/maren-hba1c-2025").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/fhir+json;charset=UTF-8"));
    assert_eq!(reply.header("etag"), "W/\"1\"");
    assert_eq!(reply.header("last-modified"), "Tue, 18 Mar 2025 18:30:00 GMT");
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.starts_with("{\n") && text.contains("\"value\": 6.30,"), "{text}");
}

#[tokio::test]
async fn tells_deleted_from_never_known() {
    let ehr = clinic();
    let patient = ResourceType::parse("Patient").unwrap();
    assert_eq!(ask(&ehr, "/Patient/nobody").await.status, 404);
    assert!(ehr.delete(patient, &Id::parse("ines").unwrap()));
    let gone = ask(&ehr, "/Patient/ines").await;
    assert_eq!((gone.status, gone.json()["issue"][0]["code"].as_str()), (410, Some("deleted")));
    ehr.put(r#"{"resourceType":"Patient","id":"ines"}"#).unwrap();
    assert_eq!(ask(&ehr, "/Patient/ines").await.json(), serde_json::json!({"resourceType": "Patient", "id": "ines"}));
    ehr.reset();
    assert!(ask(&ehr, "/Patient/ines").await.json()["name"].is_array());
}

#[tokio::test]
async fn refuses_by_operation_outcome() {
    let ehr = clinic();
    let rows = [
        ("/patient/maren", 404, "not-supported"),
        ("/Patient/maren/_history/1", 404, "not-supported"),
        ("/Patient/a_b", 400, "value"),
        ("/", 400, "not-supported"),
        ("?_getpages=unknown", 410, "processing"),
        ("/Observation?code:in=x", 400, "processing"),
        ("/Observation?date=soon", 400, "processing"),
        ("/Observation?_sort=nothing", 400, "processing"),
        ("/Observation?_include=*", 400, "processing"),
        ("/Observation?_count=-1", 400, "processing"),
    ];
    for (target, status, code) in rows {
        let reply = ask(&ehr, target).await;
        let body = reply.json();
        assert_eq!((reply.status, body["issue"][0]["code"].as_str()), (status, Some(code)), "{target}");
        assert_eq!(body["resourceType"], "OperationOutcome");
    }
    let delete = Request::delete("/fhir/Patient/maren").body(Full::default()).unwrap();
    assert_eq!(send(&mut connect(&ehr).await, delete).await.unwrap().status, 405);
}

#[tokio::test]
async fn states_what_it_holds() {
    let ehr = clinic();
    let statement = ask(&ehr, "/metadata").await.json();
    assert_eq!(statement["fhirVersion"], "4.0.1");
    assert_eq!(statement["implementation"]["url"], ehr.base());
    let types = statement["rest"][0]["resource"].as_array().unwrap();
    let observation = types.iter().find(|held| held["type"] == "Observation").unwrap();
    assert!(observation["searchParam"].as_array().unwrap().contains(&serde_json::json!({"name":"date","type":"date"})));
    assert!(!types.iter().any(|held| held["type"] == "Claim"));
}

#[tokio::test]
async fn records_every_request_and_the_connection_it_came_on() {
    let ehr = clinic();
    let mut sender = connect(&ehr).await;
    send(&mut sender, get(&ehr, "/fhir/Patient/maren?_format=json")).await.unwrap();
    let form = Request::post("/fhir/Patient/_search")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-mark", "7")
        .body(Full::from("_id=maren"))
        .unwrap();
    send(&mut sender, form).await.unwrap();
    ask(&ehr, "/metadata").await;
    let requests = ehr.requests();
    let seen: Vec<_> = requests.iter().map(|one| (one.connection, one.method.as_str(), one.target.as_str())).collect();
    let expected = [
        (1, "GET", "/fhir/Patient/maren?_format=json"),
        (1, "POST", "/fhir/Patient/_search"),
        (2, "GET", "/fhir/metadata"),
    ];
    assert_eq!(seen, expected);
    assert_eq!((&*requests[1].body, requests[1].headers["x-mark"].to_str().unwrap()), (&b"_id=maren"[..], "7"));
    ehr.reset();
    assert!(ehr.requests().is_empty());
}

#[tokio::test]
async fn the_open_door_says_the_same_without_a_connection() {
    let ehr = clinic();
    let target = "/Observation?patient=maren&category=laboratory&date=ge2024";
    let (status, body) = ehr.open_door(target);
    assert!(ehr.requests().is_empty());
    let reply = ask(&ehr, target).await;
    assert_eq!((status.as_u16(), body), (reply.status, reply.body));
}

#[tokio::test]
async fn stops_when_dropped() {
    let ehr = clinic();
    let address = ehr.address();
    let mut sender = connect(&ehr).await;
    send(&mut sender, get(&ehr, "/fhir/metadata")).await.unwrap();
    drop(ehr);
    assert!(TcpStream::connect(address).await.is_err());
    let again = Request::get("/fhir/metadata").body(Full::default()).unwrap();
    assert!(send(&mut sender, again).await.is_err());
}
