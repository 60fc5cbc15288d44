//! Requests that two readers take for different requests: what is ambiguous does not reach the EHR.
//!
//! `vectors.txt` holds the graded cases of http_desync_guardian 0.1.3 (Apache-2.0), a grade, a name and a request each,
//! addressed to this gateway: where a target was plain it became one that is served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use portcullis::demo::ehr::Ehr;

use crate::support::gateway::HOST;
use crate::support::{Gateway, Payer, clinic, gateway};

const VECTORS: &str = include_str!("desync/vectors.txt");

/// Behind every request: the end of a chunked body, then a request that nobody vouches for, then nothing of sense.
const TAIL: &str =
    "0\r\n\r\nGET /fhir/Patient/ines?smuggled HTTP/1.1\r\nHost: gateway.example.test\r\nConnection: close\r\n\r\n";

struct Vector {
    grade: &'static str,
    name: &'static str,
    request: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let mut found = Vec::new();
    for line in VECTORS.lines() {
        let mut parts = line.split('\t');
        let (grade, name, request) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        found.push(Vector { grade, name, request: unescaped(request) });
    }
    found
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'x' => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
            other => (other, 1),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The request with our address, a good token and the tail.
fn raw(vector: &Vector, payer: &Payer) -> Vec<u8> {
    let line = vector.request.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let (line, fields) = vector.request.split_at(line);
    let mut bytes = line.to_vec();
    let token = payer.token();
    let own = "Content-Type: application/x-www-form-urlencoded\r\n";
    bytes.extend_from_slice(format!("Host: {HOST}\r\nAuthorization: Bearer {token}\r\n{own}").as_bytes());
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(format!("\r\n{TAIL}{}", " ".repeat(30_000)).as_bytes());
    bytes
}

/// The statuses of everything that is answered until the connection ends, as it must.
fn statuses(gateway: &Gateway, payer: &Payer, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(gateway.running().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = stream.write_all(bytes);
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    for line in text.lines() {
        if let Some(id) = line.strip_prefix("x-request-id: ") {
            payer.answered(id.trim());
        }
    }
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

fn served(ehr: &Ehr) -> Vec<String> {
    ehr.requests().iter().map(|request| format!("{request:?}")).collect()
}

#[test]
fn what_is_ambiguous_does_not_reach_the_ehr() {
    let ehr = clinic();
    let gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let (mut severe, mut answered, mut wrong) = (0, 0, Vec::new());
    for vector in vectors() {
        let Vector { grade, name, .. } = vector;
        ehr.reset();
        let statuses = statuses(&gateway, &payer, &raw(&vector, &payer));
        let seen = served(&ehr);
        let is_good = match grade {
            "severe" | "ambiguous" => seen.is_empty() && matches!(statuses[..], [400..=599]),
            // The first may be answered; what follows it has no token.
            _ => seen.len() <= 1 && !statuses.is_empty() && statuses[1..].iter().all(|status| *status >= 400),
        };
        if !is_good || seen.iter().any(|request| request.contains("smuggled")) {
            wrong.push(format!("{grade}, {name}: {statuses:?}, the ehr saw {seen:?}"));
        }
        severe += usize::from(grade == "severe");
        answered += usize::from(statuses.first() == Some(&200));
        assert_eq!(payer.get("/Patient/maren").status(), 200, "after {grade}, {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(severe, 58);
    assert!(answered >= 5, "{answered}: what is in order is served");
}

#[test]
fn what_cannot_be_read_is_on_record() {
    let ehr = clinic();
    let mut gateway = gateway().in_front_of(&ehr);
    let payer = gateway.payer("lanternfield");
    let lines = "a\u{2028}b\u{2029}c\u{85}d\u{202e}e\u{1b}[2Jf\0g";
    let head = format!("GET /fhir/Patient/maren HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {lines}\r\n\r\n");
    for (bytes, status, method) in [
        (head.as_str(), 400, Some("GET")),
        ("\u{16}\u{3}\u{1}\u{2}\0", 400, Some("other")),
        ("GET / HTTP/2.0\r\n\r\n", 505, Some("other")),
        ("HEAD / HTTP/1.1\r\nx\r\n\r\n", 400, Some("HEAD")),
    ] {
        let found = statuses(&gateway, &payer, bytes.as_bytes());
        assert_eq!(found, [status], "{bytes:?}");
        let log = gateway.log();
        let record = log.exchanges().pop().unwrap();
        let outcome = record.outcome.as_ref().unwrap();
        assert_eq!(
            (outcome.status, outcome.fault.as_deref(), record.method.as_deref()),
            (status, Some("http"), method)
        );
        assert_eq!(record.peer.as_deref(), Some("127.0.0.1"));
    }
    assert!(ehr.requests().is_empty());
    gateway.stop();
}
