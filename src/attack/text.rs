//! Requests as bytes: placeholders resolved, bodies generated. What cannot be made is named.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::attack::gzip;
use crate::attack::h2::{Attack, Wish};
use crate::attack::members::Members as _;

/// What placeholders stand for, by name; `None` where it is not known.
pub(crate) type Known<'k> = &'k dyn Fn(&str) -> Option<String>;

/// A request ready to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    /// Pieces, each after a pause.
    pub(crate) pieces: Vec<(Duration, Vec<u8>)>,
    pub(crate) is_head: bool,
    /// Sent over HTTP/2 instead of the pieces.
    pub(crate) h2: Option<Wish>,
    /// Everything that is said, to tell an echo from a disclosure.
    pub(crate) text: String,
}

/// Members of a request that are known, here or to who sends it.
const KNOWN: [&str; 16] = [
    "method",
    "path",
    "headers",
    "body",
    "raw",
    "h2",
    "h2_body",
    "jwt",
    "mtls",
    "repeat",
    "concurrency",
    "count",
    "follow_next",
    "also_paths",
    "abort_after_ms",
    "simultaneously",
];

/// Builds the request of a case.
pub(crate) fn ready(request: &Json, known: Known<'_>) -> Result<Ready, String> {
    let members = request.as_object().into_iter().flatten().map(|(name, _)| name);
    if let Some(unknown) = members.into_iter().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(format!("request.{unknown}"));
    }
    if request.get("mtls").is_some_and(|mtls| !mtls.is_null() && !mtls.at("cert").is_string()) {
        return Err("request.mtls".to_owned());
    }
    let mut request = request.clone();
    if request.at("mtls").at("cert") == "none+forged-headers" {
        for (name, value) in FORGED {
            let mut headers = request.at("headers").clone();
            headers.set(name, json!(value));
            request.set("headers", headers);
        }
    }
    Ok(match (request.get("h2").filter(|h2| !h2.is_null()), request.at("raw")) {
        (Some(h2), _) => over_h2(h2, request.at("h2_body"), known)?,
        (None, Json::String(raw)) => {
            let bytes = raw_bytes(&resolve(raw, known)?);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let is_head = raw.starts_with("HEAD ");
            Ready { pieces: vec![(Duration::ZERO, bytes)], is_head, text, ..Ready::default() }
        }
        (None, Json::Object(raw)) => {
            let slow = raw.get("$slow").ok_or("request.raw")?;
            let pieces = slowly(slow, known)?;
            Ready { text: slow.at("bytes").as_str().unwrap_or_default().to_owned(), pieces, ..Ready::default() }
        }
        (None, _) => plain(&request, known)?,
    })
}

/// What a proxy that ended TLS would have said of a good certificate.
const FORGED: [(&str, &str); 4] = [
    ("X-Client-Cert", "CN=payer-a"),
    ("X-SSL-Client-Verify", "SUCCESS"),
    ("X-SSL-Client-S-DN", "CN=payer-a"),
    ("X-Forwarded-Client-Cert", "Subject=\"CN=payer-a\";URI=https://payer-a.example.org"),
];

/// A request over HTTP/2: fields as a list of pairs or as an object, or a flood.
fn over_h2(h2: &Json, body: &Json, known: Known<'_>) -> Result<Ready, String> {
    let pair = |pair: &Json| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.clone()));
    let pairs: Vec<(String, Json)> = match h2 {
        Json::Array(pairs) => pairs.iter().map(pair).collect::<Option<_>>().ok_or("request.h2")?,
        Json::Object(members) => members.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        _ => return Err("request.h2".to_owned()),
    };
    let (mut fields, mut attack) = (Vec::new(), None);
    for (name, value) in pairs {
        match (name.as_str(), &value) {
            ("$attack", Json::String(wish)) => {
                let named = Attack::named(wish).ok_or_else(|| format!("h2.$attack {wish}"))?;
                let times = ["streams", "frames", "count"].iter().find_map(|name| h2.at(name).as_u64());
                attack = Some((named, times.and_then(|times| u32::try_from(times).ok()).unwrap_or(10_000)));
            }
            ("streams" | "frames" | "count", Json::Number(_)) => {}
            (_, Json::String(text)) if !name.starts_with('$') => fields.push((name, resolve(text, known)?)),
            (_, Json::Array(texts)) => {
                for text in texts {
                    fields.push((name.clone(), resolve(text.as_str().ok_or("request.h2")?, known)?));
                }
            }
            _ => return Err(format!("h2.{name}")),
        }
    }
    if attack.is_some() {
        for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", crate::attack::stage::HOST)] {
            if !fields.iter().any(|(have, _)| have == name) {
                fields.insert(0, (name.to_owned(), value.to_owned()));
            }
        }
        // Pseudo-fields come first (RFC 9113 section 8.3).
        fields.sort_by_key(|(name, _)| !name.starts_with(':'));
    }
    let body = if body.is_null() { None } else { Some(body_bytes(body, known)?) };
    let mut text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    text.push_str(&String::from_utf8_lossy(body.as_deref().unwrap_or_default()));
    Ok(Ready { h2: Some(Wish { fields, body, attack }), text, ..Ready::default() })
}

/// Bytes one after another, then the last of them again and again, until the time is over.
fn slowly(slow: &Json, known: Known<'_>) -> Result<Vec<(Duration, Vec<u8>)>, String> {
    let bytes = latin(&resolve(slow.at("bytes").as_str().unwrap_or("a"), known)?);
    let rate = slow.at("bytes_per_second").as_f64().unwrap_or(1.0).max(0.01);
    let seconds = slow.at("for_seconds").as_f64().unwrap_or(bytes.len() as f64 / rate);
    let count = (seconds * rate) as usize;
    let filler = std::iter::repeat(b'a');
    let pause = Duration::from_secs_f64(1.0 / rate);
    Ok(bytes.into_iter().chain(filler).take(count).map(|byte| (pause, vec![byte])).collect())
}

fn plain(request: &Json, known: Known<'_>) -> Result<Ready, String> {
    let method = request.at("method").as_str().unwrap_or("GET");
    let path = resolve(request.at("path").as_str().unwrap_or("/"), known)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| {
        request.at("headers").as_object().is_some_and(|all| all.keys().any(|key| key.eq_ignore_ascii_case(name)))
    };
    if !has("host") {
        let _ = write!(head, "Host: {}\r\n", known("gateway_host").unwrap_or_default());
    }
    for (name, value) in request.at("headers").as_object().into_iter().flatten() {
        for value in value.as_array().map_or_else(|| vec![value], |values| values.iter().collect()) {
            let _ = write!(head, "{name}: {}\r\n", resolve(value.as_str().unwrap_or_default(), known)?);
        }
    }
    let slow = request.at("body").get("$slow").map(|slow| slowly(slow, known)).transpose()?.unwrap_or_default();
    let mut pieces = Vec::new();
    let body = match request.get("body").filter(|body| !body.is_null() && slow.is_empty()) {
        None => Vec::new(),
        Some(body) => body_bytes(body, known)?,
    };
    if !slow.is_empty() && !has("content-length") && !has("transfer-encoding") {
        let _ = write!(head, "Content-Length: {}\r\n", slow.len());
    }
    if !body.is_empty() && !has("content-length") && !has("transfer-encoding") {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut bytes = latin(&head);
    bytes.extend_from_slice(&body);
    let shown = String::from_utf8_lossy(bytes.get(..bytes.len().min(200_000)).unwrap_or_default()).into_owned();
    pieces.push((Duration::ZERO, bytes));
    pieces.extend(slow);
    Ok(Ready { pieces, is_head: method == "HEAD", text: shown, ..Ready::default() })
}

fn body_bytes(body: &Json, known: Known<'_>) -> Result<Vec<u8>, String> {
    if let Some(text) = body.as_str() {
        return Ok(resolve(text, known)?.into_bytes());
    }
    if let Some(hex) = body.at("$bytes_hex").as_str() {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or("0"), 16).unwrap_or(0);
        return Ok(hex.as_bytes().chunks(2).map(byte).collect());
    }
    if let Some(wish) = body.get("$generate") {
        if wish.at("kind") != "batch" {
            return Err(format!("$generate {}", wish.at("kind")));
        }
        let entry = json!({"request": {"method": "GET", "url": wish.at("url")}});
        let entries =
            vec![entry; wish.at("entries").as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)];
        return Ok(json!({"resourceType": "Bundle", "type": "batch", "entry": entries}).to_string().into_bytes());
    }
    if let Some(inside) = body.get("$gzip") {
        return Ok(gzip::stored(&body_bytes(inside, known)?));
    }
    if let Some(size) = body.at("$gzip_zeros").as_u64() {
        return Ok(gzip::bomb(b"", 0, size));
    }
    if let Some(special) = body.as_object().and_then(|members| members.keys().find(|key| key.starts_with('$'))) {
        return Err(format!("body {special}"));
    }
    Ok(resolve(&body.to_string(), known)?.into_bytes())
}

/// Resolves the placeholders of a text.
pub(crate) fn resolve(text: &str, known: Known<'_>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("{{") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = from.find("}}") else { break };
        let name = from.get(2..end).unwrap_or_default();
        rest = from.get(end + 2..).unwrap_or_default();
        if let Some(wish) = name.strip_prefix("repeat:") {
            let (piece, count) = wish.rsplit_once(':').ok_or("repeat")?;
            out.push_str(&piece.repeat(count.parse().map_err(|_| "repeat")?));
        } else if matches!(name, "len_rest" | "chunk_begin" | "chunk_end") {
            out.push_str(from.get(..end + 2).unwrap_or_default());
        } else {
            out.push_str(&known(name).ok_or_else(|| format!("{{{{{name}}}}}"))?);
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn raw_bytes(text: &str) -> Vec<u8> {
    let mut text = text.to_owned();
    if let Some((before, after)) = text.clone().split_once("{{chunk_begin}}")
        && let Some((inside, after)) = after.split_once("{{chunk_end}}")
    {
        text = format!("{before}{:x}\r\n{inside}\r\n{after}", inside.len());
    }
    if let Some((_, rest)) = text.split_once("\r\n\r\n") {
        text = text.replace("{{len_rest}}", &rest.len().to_string());
    }
    latin(&text)
}

/// One character is one byte, where it fits; else UTF-8.
fn latin(text: &str) -> Vec<u8> {
    let one = |character: char| match u8::try_from(u32::from(character)) {
        Ok(byte) => vec![byte],
        Err(_) => character.to_string().into_bytes(),
    };
    text.chars().flat_map(one).collect()
}
