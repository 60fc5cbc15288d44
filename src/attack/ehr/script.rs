//! Answers by a script: what a broken or hostile server might send.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::store::written;
use crate::attack::gzip;
use crate::attack::members::Members as _;

/// Longer than any gateway may wait.
const DRIP: Duration = Duration::from_secs(150);

/// Whether every part of a script is one that can be played.
pub(crate) fn unknown(respond: &Json) -> Vec<String> {
    const KNOWN: [&str; 11] = [
        "status",
        "headers",
        "body",
        "body_text",
        "body_hex",
        "raw",
        "raw_headers",
        "generate",
        "drip",
        "reset",
        "close",
    ];
    let members = respond.as_object().into_iter().flatten().map(|(name, _)| name);
    let mut unknown: Vec<String> =
        members.filter(|name| !KNOWN.contains(&name.as_str())).map(|name| format!("respond.{name}")).collect();
    if let Some(kind) = respond
        .at("generate")
        .at("kind")
        .as_str()
        .filter(|kind| !["infinite-json-array", "bundle", "gzip"].contains(kind))
    {
        unknown.push(format!("respond.generate.{kind}"));
    }
    unknown
}

/// Sends what the script says; tells whether the connection goes on.
pub(super) fn play(respond: &Json, stream: &mut TcpStream) -> io::Result<bool> {
    if respond.at("reset") == true {
        socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
        return Ok(false);
    }
    if let Some(raw) = respond.at("raw").as_str() {
        stream.write_all(&latin(raw))?;
        return Ok(false);
    }
    let status = respond.at("status").as_u64().unwrap_or(200);
    let mut head = format!("HTTP/1.1 {status} X\r\n").into_bytes();
    for (name, value) in respond.at("headers").as_object().into_iter().flatten() {
        head.extend_from_slice(&latin(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default())));
    }
    head.extend_from_slice(&latin(respond.at("raw_headers").as_str().unwrap_or_default()));
    if respond.get("drip").is_some() {
        return drip(respond.at("drip"), head, stream);
    }
    if respond.get("generate").is_some() {
        return generate(respond.at("generate"), head, stream);
    }
    let body = body(respond);
    let states = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if !states.contains("content-length:") && !states.contains("transfer-encoding:") {
        head.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head)?;
    stream.write_all(&body)?;
    Ok(respond.at("close") != true)
}

fn body(respond: &Json) -> Vec<u8> {
    if let Some(text) = respond.at("body_text").as_str() {
        return text.as_bytes().to_vec();
    }
    if let Some(hex) = respond.at("body_hex").as_str() {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or("0"), 16).unwrap_or(0);
        return digits.chunks(2).map(byte).collect();
    }
    respond.get("body").map(|body| written(body).into_bytes()).unwrap_or_default()
}

fn drip(wish: &Json, mut head: Vec<u8>, stream: &mut TcpStream) -> io::Result<bool> {
    let pause = Duration::from_secs_f64(1.0 / wish.at("bytes_per_second").as_f64().unwrap_or(1.0).max(0.01));
    head.extend_from_slice(b"Content-Length: 100000\r\n\r\n");
    stream.write_all(&head)?;
    let began = Instant::now();
    let text = br#"{"resourceType":"Bundle","type":"searchset","entry":[            "#;
    for byte in text.iter().cycle() {
        if began.elapsed() > DRIP {
            break;
        }
        stream.write_all(&[*byte])?;
        std::thread::sleep(pause);
    }
    Ok(false)
}

fn generate(wish: &Json, mut head: Vec<u8>, stream: &mut TcpStream) -> io::Result<bool> {
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    stream.write_all(&head)?;
    if wish.at("kind") == "gzip" {
        let beginning = br#"{"resourceType":"Bundle","type":"searchset","entry":["#;
        stream.write_all(&gzip::bomb(beginning, b' ', wish.at("decompressed_bytes").as_u64().unwrap_or(1 << 31)))?;
        return Ok(false);
    }
    if wish.at("kind") == "infinite-json-array" {
        let piece = b"[".iter().chain(b"0,".iter().cycle().take(65_536)).copied().collect::<Vec<u8>>();
        stream.write_all(&piece)?;
        loop {
            stream.write_all(piece.get(1..).unwrap_or_default())?;
        }
    }
    let mut out = io::BufWriter::with_capacity(64 * 1024, stream);
    out.write_all(br#"{"resourceType":"Bundle","type":"searchset","entry":["#)?;
    for number in 0..wish.at("entries").as_u64().unwrap_or(1) {
        let mut resource = json!({
            "resourceType": wish.at("resource"), "id": format!("g{number}"), "status": "final",
            "subject": {"reference": wish.at("subject")},
            "note": [{"text": "SECRET-GENERATED ".repeat(50)}],
        });
        for (name, value) in wish.at("with").as_object().into_iter().flatten() {
            resource.set(name, value.clone());
        }
        let comma = if number > 0 { "," } else { "" };
        write!(out, "{comma}{}", written(&json!({"resource": resource, "search": {"mode": "match"}})))?;
    }
    out.write_all(b"]}")?;
    out.flush()?;
    Ok(false)
}

/// One character is one byte.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
}
