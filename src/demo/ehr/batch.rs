//! Several reads and searches in one request (R4 http, 3.1.0.11 batch/transaction).
//!
//! Takes: a Bundle of type `batch`. Gives: one of type `batch-response`, each entry answered as if it had come by itself, and
//! misbehaving as its own path is told to. Refuses, entry by entry, what is no GET; as a whole, what is no batch.

use std::borrow::Cow;

use http::{Method, StatusCode};

use super::answer::{Answer, Asked, Pages, ROOT, answer};
use super::behaviour::{Behaviour, Reply};
use super::records::Records;
use crate::fhir::json::{Tape, Value};

/// Answers the batch in the body of a request.
pub(super) fn batch(asked: &Asked<'_>, records: &Records, pages: &mut Pages, behaviour: &mut Behaviour) -> Answer {
    let mut tape = Tape::new();
    let text = |value: Value<'_>, name: &str| value.get(name).and_then(Value::text).map(Cow::into_owned);
    let read = tape.read(asked.body).ok().map(|document| document.root());
    let Some(bundle) = read.filter(|root| text(*root, "type").is_some_and(|stated| stated == "batch")) else {
        return Answer::refused(StatusCode::BAD_REQUEST, "structure", "Not a batch");
    };
    let mut entries = Vec::new();
    for request in bundle.get("entry").into_iter().flat_map(Value::each).filter_map(|entry| entry.get("request")) {
        let (method, url) = (text(request, "method"), text(request, "url").unwrap_or_default());
        let (path, query) = url.split_once('?').map_or((&*url, None), |(path, query)| (path, Some(query)));
        let path = format!("/{ROOT}/{path}");
        let own = behaviour.apply(&path);
        let asked = Asked { method: &Method::GET, path: &path, query, body: &[], ..*asked };
        let (status, body) = match &own.reply {
            _ if method.as_deref() != Some("GET") => (StatusCode::METHOD_NOT_ALLOWED.as_u16(), "{}".to_owned()),
            Reply::Fixed { status, body, .. } => (*status, body.to_string()),
            Reply::Faithful | Reply::Huge(_) => {
                let answer = answer(&asked, records, pages, &own);
                (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
            }
        };
        entries.push(match status {
            200 => format!(r#"{{"resource":{body},"response":{{"status":"200 OK"}}}}"#),
            _ => format!(r#"{{"response":{{"status":"{status}","outcome":{body}}}}}"#),
        });
    }
    let entries = entries.join(",");
    Answer::ok(format!(r#"{{"resourceType":"Bundle","type":"batch-response","entry":[{entries}]}}"#).into_bytes())
}
