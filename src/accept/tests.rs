use std::convert::Infallible;

use http::header::{ACCEPT, FORWARDED, IF_NONE_MATCH};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::*;
use crate::id::Token128;
use crate::limits;

fn rules() -> AcceptRules {
    AcceptRules::new(["gw.example".to_owned(), "[::1]:8443".to_owned()], "/fhir/").unwrap()
}

fn judge(parts: Parts, body: Payload, tls: bool) -> Result<Accepted, AcceptError> {
    let peer = "192.0.2.1:4711".parse().unwrap();
    let arrival = Arrival { parts, body, peer, certificate: None, tls, refused: None };
    let now = Now::at("2026-11-23T08:00:00Z".parse().unwrap());
    accept(arrival, &rules(), ExchangeId(Token128::from_bytes([7; 16])), now).map_err(|(error, traces)| {
        assert_eq!((traces.exchange().0, traces.now(), traces.peer()), (Token128::from_bytes([7; 16]), now, peer));
        error
    })
}

fn request(line: &str, fields: &[(&str, &str)], body: &'static str) -> Result<Accepted, AcceptError> {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    judge(parts, Payload::Held(Bytes::from_static(body.as_bytes())), false)
}

fn get(target: &str) -> Result<Accepted, AcceptError> {
    request(&format!("GET {target}"), &[("host", "gw.example")], "")
}

fn with(name: &str, value: &str) -> Result<Accepted, AcceptError> {
    request("GET /fhir/Patient", &[("host", "gw.example"), (name, value)], "")
}

#[track_caller]
fn refused(result: Result<Accepted, AcceptError>) -> AcceptError {
    result.expect_err("accepted")
}

#[test]
fn three_methods_are_known() {
    for (line, method) in
        [("GET /fhir", Method::Get), ("HEAD /fhir", Method::Head), ("POST /fhir/Patient/_search", Method::Post)]
    {
        assert_eq!(request(line, &[("host", "gw.example")], "").unwrap().method(), method);
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"] {
        let result = request(&format!("{method} /fhir"), &[("host", "gw.example")], "");
        assert_eq!(refused(result), AcceptError::MethodNotAllowed, "{method}");
    }
}

#[test]
fn a_second_method_is_refused_by_name() {
    for name in ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override", "X-Method"] {
        assert_eq!(refused(with(name, "DELETE")), AcceptError::MethodOverride, "{name}");
    }
}

#[test]
fn exactly_one_host_that_is_ours() {
    for host in ["gw.example", "GW.example", "gw.example:80", "[::1]:8443"] {
        request("GET /fhir", &[("host", host)], "").unwrap_or_else(|error| panic!("{host}: {error}"));
    }
    for host in ["evil.example", "gw.example:443", "gw.example.evil", "gw.example:8080", "[::1]"] {
        let result = request("GET /fhir", &[("host", host)], "");
        assert_eq!(refused(result), AcceptError::Authority("not allowed"), "{host}");
    }
    for host in [
        "",
        ":80",
        "gw.example:",
        "gw.example:0",
        "gw.example:99999",
        "u@gw.example",
        "gw example",
        "gw.example/",
        "[::1",
        "g%77.example",
    ] {
        let result = request("GET /fhir", &[("host", host)], "");
        assert_eq!(refused(result), AcceptError::Authority("host characters"), "{host}");
    }
    assert_eq!(refused(request("GET /fhir", &[], "")), AcceptError::Authority("no host"));
    let twice = [("host", "gw.example"), ("host", "gw.example")];
    assert_eq!(refused(request("GET /fhir", &twice, "")), AcceptError::Authority("more than one host"));
}

#[test]
fn an_absolute_target_agrees_with_the_host() {
    let ours = [("host", "gw.example")];
    assert_eq!(request("GET http://gw.example:80/fhir/Patient", &ours, "").unwrap().segments().count(), 1);
    let other = request("GET http://[::1]:8443/fhir/Patient", &ours, "");
    assert_eq!(refused(other), AcceptError::Authority("host and target differ"));
    let alone = request("GET http://gw.example/fhir/Patient", &[], "");
    assert_eq!(refused(alone), AcceptError::Authority("no host"));
    assert_eq!(refused(request("GET https://gw.example/fhir", &ours, "")), AcceptError::Target("scheme"));
}

fn over_http2(authority: &str, host: Option<&str>) -> Result<Accepted, AcceptError> {
    let mut request = Request::get(format!("https://{authority}/fhir/Patient")).version(http::Version::HTTP_2);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    judge(parts, Payload::Held(Bytes::new()), true)
}

#[test]
fn http2_authority_counts_as_host() {
    assert!(over_http2("gw.example", None).is_ok());
    assert!(over_http2("gw.example:443", Some("gw.example")).is_ok());
    assert_eq!(refused(over_http2("gw.example:80", None)), AcceptError::Authority("not allowed"));
    let differing = over_http2("gw.example", Some("[::1]:8443"));
    assert_eq!(refused(differing), AcceptError::Authority("host and target differ"));
}

#[test]
fn paths_are_normal_and_below_the_base() {
    let cases: [(&str, &[&str]); 6] = [
        ("/fhir", &[]),
        ("/fhir?_id=1", &[]),
        ("/fhir/Patient", &["Patient"]),
        ("/fhir/Patient/a-b.C_~1/$everything", &["Patient", "a-b.C_~1", "$everything"]),
        ("/fhir/Patient/%70%31", &["Patient", "p1"]),
        ("/%66hir/Patient/p%2E1", &["Patient", "p.1"]),
    ];
    for (target, segments) in cases {
        let accepted = get(target).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(accepted.segments().collect::<Vec<_>>(), segments, "{target}");
    }
    for target in ["/", "/fhirx", "/Patient/p1", "/FHIR/Patient", "/metadata"] {
        assert_eq!(refused(get(target)), AcceptError::OutsideBase, "{target}");
    }
}

#[test]
fn ambiguous_paths_are_refused() {
    let cases = [
        ("/fhir/Patient/../Observation", "dot segment"),
        ("/fhir/./Patient", "dot segment"),
        ("/fhir/Patient/..", "dot segment"),
        ("/fhir/Patient/%2e%2E/Observation", "dot segment"),
        ("/fhir/Patient/.%2e", "dot segment"),
        ("/fhir//Patient", "empty segment"),
        ("//fhir/Patient", "empty segment"),
        ("/fhir/Patient/", "empty segment"),
        ("/fhir/Patient%2Fp1", "percent-encoded path"),
        ("/fhir/Patient%5cp1", "percent-encoded path"),
        ("/fhir/Patient/p1%00", "percent-encoded path"),
        ("/fhir/Patient/%2570", "percent-encoded path"),
        ("/fhir/Patient/%C3%BC", "percent-encoded path"),
        ("/fhir/Patient/%20", "percent-encoded path"),
        ("/fhir/Patient/%zz", "percent-encoded path"),
        ("/fhir/Patient/%+1", "percent-encoded path"),
        ("/fhir/Patient/%7", "percent-encoded path"),
        ("/fhir/Patient/%", "percent-encoded path"),
        ("/fhir/Patient;x=y", "path parameter"),
        ("/fhir/Patient\\p1", "backslash"),
        ("/fhir/Patient/{id}", "path character"),
        ("/fhir/Patient/\"", "path character"),
        ("/fhir/Patient/ü", "path outside ascii"),
        ("*", "not an absolute path"),
    ];
    for (target, reason) in cases {
        assert_eq!(refused(get(target)), AcceptError::Target(reason), "{target}");
    }
}

#[test]
fn the_query_stays_as_it_was_sent() {
    let accepted = get("/fhir/Patient?name=J%C3%BCrgen&x=%2F..;").unwrap();
    assert_eq!(accepted.query(), Some("name=J%C3%BCrgen&x=%2F..;"));
    assert_eq!(get("/fhir/Patient").unwrap().query(), None);
    assert_eq!(refused(get("/fhir/Patient?name=Jürgen")), AcceptError::Target("query outside visible ascii"));
}

#[test]
fn the_target_has_a_length() {
    let at = |length: usize| get(&format!("/fhir/Patient?{}", "x".repeat(length - "/fhir/Patient?".len())));
    assert!(at(limits::REQUEST_TARGET_BYTES).is_ok());
    assert_eq!(refused(at(limits::REQUEST_TARGET_BYTES + 1)), AcceptError::TargetTooLong);
}

#[test]
fn framing_and_coding_have_one_form() {
    let post = |fields: &[(&str, &str)]| {
        let fields: Vec<_> = [("host", "gw.example")].iter().chain(fields).copied().collect();
        request("POST /fhir/Patient/_search", &fields, "a=b")
    };
    assert!(post(&[("transfer-encoding", "Chunked")]).is_ok());
    for value in ["gzip, chunked", "chunked, chunked", "xchunked", "identity", ""] {
        assert_eq!(refused(post(&[("transfer-encoding", value)])), AcceptError::TransferCoding, "{value}");
    }
    let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
    assert_eq!(refused(post(&twice)), AcceptError::TransferCoding);
    for value in ["gzip", "identity"] {
        assert_eq!(refused(post(&[("content-encoding", value)])), AcceptError::ContentCoding, "{value}");
    }
    assert!(post(&[("expect", "100-Continue")]).is_ok());
    assert_eq!(refused(post(&[("expect", "200-ok")])), AcceptError::Expectation);
}

#[test]
fn what_is_read_comes_once_and_in_ascii() {
    for name in ["authorization", "content-type", "content-length", "if-modified-since"] {
        let fields = [("host", "gw.example"), (name, "1"), (name, "1")];
        let error = refused(request("GET /fhir", &fields, ""));
        assert_eq!(error, AcceptError::Repeated(name));
    }
    assert_eq!(refused(with("authorization", "Bearer \u{ff}")), AcceptError::HeaderValue("authorization"));
    assert_eq!(refused(with("accept", "ü")), AcceptError::HeaderValue("accept"));
    assert!(with("user-agent", "Jürgen/1").is_ok());
    let fields =
        [("host", "gw.example"), ("accept", "application/fhir+json"), ("if-none-match", "\"1\""), ("accept", "*/*")];
    let accepted = request("GET /fhir", &fields, "").unwrap();
    assert_eq!(accepted.header_values(&ACCEPT).collect::<Vec<_>>(), ["application/fhir+json", "*/*"]);
    assert_eq!(accepted.header(&IF_NONE_MATCH), Some("\"1\""));
    assert_eq!(with("authorization", "Bearer x").unwrap().authorization(), Some("Bearer x"));
}

#[test]
fn underscores_are_refused() {
    for name in ["x_user", "authorization_", "content_length", "transfer--encoding", "contentlength", "content.length"]
    {
        assert_eq!(refused(with(name, "1")), AcceptError::HeaderName, "{name}");
    }
}

#[test]
fn forwarding_headers_are_not_read() {
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "client-cert", "x-ssl-client-cert", "x-real-ip"] {
        let accepted = with(name, "for=10.0.0.1;host=evil").unwrap();
        assert_eq!(accepted.header(&HeaderName::from_static(name)), None, "{name}");
        assert_eq!(accepted.peer().ip().to_string(), "192.0.2.1");
        assert!(accepted.certificate().is_none());
    }
    assert!(!READ.contains(&FORWARDED));
}

#[test]
fn what_real_clients_send_is_harmless() {
    for (name, value) in [
        ("accept-charset", "utf-8"),
        ("accept-language", "de"),
        ("sec-fetch-mode", "cors"),
        ("cache-control", "no-cache"),
        ("x-request-id", "1"),
        ("prefer", "handling=strict"),
        ("http2-settings", "AAMAAABk"),
        ("upgrade", "h2c"),
        ("connection", "Upgrade, HTTP2-Settings"),
        ("range", "bytes=0-1"),
        ("te", "trailers"),
        ("origin", "null"),
    ] {
        assert!(with(name, value).is_ok(), "{name}");
    }
}

#[test]
fn bodies_belong_to_post() {
    for method in ["GET", "HEAD"] {
        let result = request(&format!("{method} /fhir"), &[("host", "gw.example")], "x");
        assert_eq!(refused(result), AcceptError::UnexpectedBody, "{method}");
    }
    assert_eq!(refused(with("transfer-encoding", "chunked")), AcceptError::UnexpectedBody);
    assert!(with("content-length", "0").is_ok());
}

#[test]
fn rules_are_checked_too() {
    assert!(AcceptRules::new([], "").is_err());
    for host in ["", "http://gw.example", "gw.example/", "a b"] {
        assert!(AcceptRules::new([host.to_owned()], "").is_err(), "{host}");
    }
    for base in ["fhir", "/a/../b", "/a//b", "/%66", "/a;b"] {
        assert!(AcceptRules::new(["gw".to_owned()], base).is_err(), "{base}");
    }
}

#[test]
fn debug_output_names_no_target() {
    let accepted = get("/fhir/Patient/secret?name=secret").unwrap();
    assert!(!format!("{accepted:?}").contains("secret"));
}

/// A hyper server on the other end of a pipe: answers with what was read of the body, or why not.
fn served() -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let service = service_fn(|request: Request<Incoming>| async {
        let (parts, body) = request.into_parts();
        let said = match judge(parts, Payload::Wire(body), false) {
            Ok(mut accepted) => accepted.read_body(limits::SEARCH_FORM_BYTES).await,
            Err(error) => Err(error),
        };
        let text = said.unwrap_or_else(|error| Bytes::from(format!("!{error}")));
        Ok::<_, Infallible>(Response::new(Full::new(text)))
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
    client
}

async fn sent(raw: &str) -> String {
    let (mut read, mut write) = tokio::io::split(served());
    let raw = raw.to_owned();
    // The server may answer, and close, before all of it is written.
    tokio::spawn(async move { write.write_all(raw.as_bytes()).await });
    answer(&mut read).await
}

/// The body of the one answer, by its `content-length`; empty where the server just closed.
async fn answer(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (_, length) = head.split_once("content-length: ").unwrap();
            if body.len() >= length.lines().next().unwrap().parse().unwrap() {
                return body.to_owned();
            }
        }
        if client.read_buf(&mut seen).await.unwrap() == 0 {
            return String::new();
        }
    }
}

fn post(fields: &str, body: &str) -> String {
    let head = "POST /fhir/Patient/_search HTTP/1.1\r\nHost: gw.example\r\n";
    format!("{head}Content-Type: application/x-www-form-urlencoded\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn forms_arrive_whole() {
    assert_eq!(sent(&post("Content-Length: 7\r\n", "name=ab")).await, "name=ab");
    assert_eq!(
        sent(&post("Transfer-Encoding: chunked\r\n", "4\r\nname\r\n3;ext=1\r\n=ab\r\n0\r\n\r\n")).await,
        "name=ab"
    );
    assert_eq!(sent(&post("", "")).await, "");
    assert_eq!(sent(&post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")).await, "!transfer coding");
}

#[tokio::test]
async fn broken_chunks_give_nothing() {
    for chunk in ["0x4\r\nname\r\n0\r\n\r\n", "4\nname\n0\n\n", "4\r\nnameX\r\n0\r\n\r\n", "-1\r\n\r\n"] {
        let said = sent(&post("Transfer-Encoding: chunked\r\n", chunk)).await;
        assert!(said == "!body broken" || said.is_empty(), "{chunk:?}: {said}");
    }
}

#[tokio::test]
async fn both_framings_are_one_request() {
    let smuggled = "0\r\n\r\nGET /fhir/Smuggled HTTP/1.1\r\nHost: gw.example\r\n\r\n";
    let raw = post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", smuggled);
    let mut client = served();
    client.write_all(raw.as_bytes()).await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
}

#[tokio::test]
async fn a_form_has_a_size() {
    let limit = limits::SEARCH_FORM_BYTES;
    let chunks = |size: usize| format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
    let fits = post(&format!("Content-Length: {limit}\r\n"), &"x".repeat(limit));
    assert_eq!(sent(&fits).await.len(), limit);
    assert_eq!(sent(&post("Transfer-Encoding: chunked\r\n", &chunks(limit))).await.len(), limit);
    // Nothing of the body is sent: its length alone is enough.
    assert_eq!(sent(&post(&format!("Content-Length: {}\r\n", limit + 1), "")).await, "!body too large");
    assert_eq!(sent(&post("Transfer-Encoding: chunked\r\n", &chunks(limit + 1))).await, "!body too large");
}

#[tokio::test(start_paused = true)]
async fn silence_in_a_body_ends_it() {
    let mut client = served();
    let start = Instant::now();
    client.write_all(post("Content-Length: 10\r\n", "na").as_bytes()).await.unwrap();
    assert_eq!(answer(&mut client).await, "!body timed out");
    assert_eq!(start.elapsed().as_secs(), limits::BODY_IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn dripping_does_not_keep_a_body_alive() {
    let (mut read, mut write) = tokio::io::split(served());
    let start = Instant::now();
    tokio::spawn(async move {
        write.write_all(post("Content-Length: 1000\r\n", "").as_bytes()).await.unwrap();
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(limits::BODY_IDLE / 2).await;
        }
    });
    assert_eq!(answer(&mut read).await, "!body timed out");
    assert_eq!(start.elapsed().as_secs(), limits::BODY_TOTAL.as_secs());
}
