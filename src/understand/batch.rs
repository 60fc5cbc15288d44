//! A batch: the requests in it, each to be understood by itself (R4 3.1.0.11).
//!
//! Takes: the body of a POST to the base. Gives: one entry for each of the Bundle's, in order, as a target below the base
//! or as the reason why it is none. Guarantees: targets are relative; nothing of an entry is dropped in silence.
//! Refuses: transactions, and Bundles of any other kind or of more than [`limits::BATCH_ENTRIES`] entries, as a whole.

use super::UnderstandError;
use crate::fhir::json::{Kind, Tape, Value};
use crate::limits;

/// One request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// Path and query below the base, without a slash in front.
    pub target: Box<str>,
    /// What `If-None-Match` would say.
    pub if_none_match: Option<Box<str>>,
}

/// Understands the body of a batch.
pub fn batch(body: &[u8]) -> Result<Vec<Result<BatchEntry, UnderstandError>>, UnderstandError> {
    let mut tape = Tape::new();
    let bundle = tape.read(body).map_err(|_| UnderstandError::Batch)?.root();
    let is = |name: &str, text: &str| bundle.get(name).and_then(Value::text).is_some_and(|have| have == text);
    if !is("resourceType", "Bundle") {
        return Err(UnderstandError::Batch);
    }
    if is("type", "transaction") {
        return Err(UnderstandError::Interaction("transaction"));
    }
    let entries = bundle.get("entry");
    if !is("type", "batch") || entries.is_some_and(|entries| entries.kind() != Kind::Array) {
        return Err(UnderstandError::Batch);
    }
    let entries: Vec<Value<'_>> = entries.into_iter().flat_map(Value::items).collect();
    if entries.len() > limits::BATCH_ENTRIES {
        return Err(UnderstandError::BatchLength);
    }
    Ok(entries.into_iter().map(entry).collect())
}

fn entry(entry: Value<'_>) -> Result<BatchEntry, UnderstandError> {
    let known = |member: &str| matches!(member, "id" | "fullUrl" | "request");
    let Some(request) = entry.get("request").filter(|request| request.kind() == Kind::Object) else {
        return Err(UnderstandError::BatchEntry("request"));
    };
    match request.get("method").and_then(Value::text).as_deref() {
        Some("GET") => {}
        Some("HEAD") => return Err(UnderstandError::Interaction("HEAD in a batch")),
        Some("POST") => return Err(UnderstandError::Interaction("create")),
        Some("PUT") => return Err(UnderstandError::Interaction("update")),
        Some("PATCH") => return Err(UnderstandError::Interaction("patch")),
        Some("DELETE") => return Err(UnderstandError::Interaction("delete")),
        _ => return Err(UnderstandError::BatchEntry("request.method")),
    }
    if entry.get("resource").is_some() {
        return Err(UnderstandError::BatchEntry("resource"));
    }
    if entry.members().any(|member| !known(member.name)) {
        return Err(UnderstandError::BatchEntry("entry"));
    }
    let mut if_none_match = None;
    for member in request.members() {
        match member.name {
            "method" | "url" => {}
            "ifNoneMatch" => if_none_match = Some(text(member.value, "request.ifNoneMatch")?),
            "ifMatch" => return Err(UnderstandError::BatchEntry("request.ifMatch")),
            "ifModifiedSince" => return Err(UnderstandError::BatchEntry("request.ifModifiedSince")),
            "ifNoneExist" => return Err(UnderstandError::BatchEntry("request.ifNoneExist")),
            _ => return Err(UnderstandError::BatchEntry("request")),
        }
    }
    let url = request.get("url").ok_or(UnderstandError::BatchEntry("request.url"))?;
    let target = text(url, "request.url")?;
    // A colon before the first slash or question mark would make it a URL of some scheme (RFC 3986 section 4.2).
    let first = target.split(['/', '?']).next().unwrap_or_default();
    if first.is_empty() || first.contains(':') || target.contains('#') {
        return Err(UnderstandError::BatchEntry("request.url"));
    }
    Ok(BatchEntry { target, if_none_match })
}

/// A text of visible ASCII, as in the head of a request.
fn text(value: Value<'_>, name: &'static str) -> Result<Box<str>, UnderstandError> {
    let text = value.text().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(Into::into).ok_or(UnderstandError::BatchEntry(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(entries: &str) -> Vec<Result<BatchEntry, UnderstandError>> {
        let body = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entries}]}}"#);
        batch(body.as_bytes()).unwrap()
    }

    fn one(request: &str) -> Result<BatchEntry, UnderstandError> {
        entries(&format!(r#"{{"request":{request}}}"#)).remove(0)
    }

    #[test]
    fn an_entry_is_a_relative_target() {
        let both = entries(
            r#"{"fullUrl":"urn:uuid:1","request":{"method":"GET","url":"Patient/p1"}},
               {"request":{"method":"GET","url":"Observation?patient=Patient/p1&code=http://loinc.org%7C1","ifNoneMatch":"W/\"1\""}}"#,
        );
        let targets: Vec<&str> = both.iter().map(|entry| &*entry.as_ref().unwrap().target).collect();
        assert_eq!(targets, ["Patient/p1", "Observation?patient=Patient/p1&code=http://loinc.org%7C1"]);
        assert_eq!(both[1].as_ref().unwrap().if_none_match.as_deref(), Some("W/\"1\""));
        assert!(entries("").is_empty());
    }

    #[test]
    fn an_entry_that_is_no_read_or_search_is_refused_by_name() {
        use UnderstandError as E;
        for (request, error) in [
            (r#"{"method":"DELETE","url":"Patient/p1"}"#, E::Interaction("delete")),
            (r#"{"method":"PUT","url":"Patient/p1"}"#, E::Interaction("update")),
            (r#"{"method":"PATCH","url":"Patient/p1"}"#, E::Interaction("patch")),
            (r#"{"method":"POST","url":"Patient"}"#, E::Interaction("create")),
            (r#"{"method":"get","url":"Patient/p1"}"#, E::BatchEntry("request.method")),
            (r#"{"method":"GET"}"#, E::BatchEntry("request.url")),
            (r#"{"method":"GET","url":"Patient/p1","ifModifiedSince":"x"}"#, E::BatchEntry("request.ifModifiedSince")),
            (r#"{"method":"GET","url":"Patient/p1","more":1}"#, E::BatchEntry("request")),
        ] {
            assert_eq!(one(request).unwrap_err(), error, "{request}");
        }
        for url in [
            "",
            "/Patient/p1",
            "//evil/x",
            "http://evil/fhir/Patient/p1",
            "urn:uuid:1",
            "?x=1",
            "Patient/p1#x",
            "a b",
            "é",
        ] {
            let request = format!(r#"{{"method":"GET","url":"{url}"}}"#);
            assert_eq!(one(&request).unwrap_err(), E::BatchEntry("request.url"), "{url}");
        }
        let with_resource = r#"{"resource":{"resourceType":"Bundle"},"request":{"method":"GET","url":"Patient/p1"}}"#;
        assert_eq!(entries(with_resource), [Err(E::BatchEntry("resource"))]);
        assert_eq!(entries("{}"), [Err(E::BatchEntry("request"))]);
    }

    #[test]
    fn what_is_no_batch_is_refused_as_a_whole() {
        use UnderstandError as E;
        let many = vec![r#"{"request":{"method":"GET","url":"Patient/p1"}}"#; limits::BATCH_ENTRIES + 1].join(",");
        for (body, error) in [
            (r#"{"resourceType":"Bundle","type":"transaction"}"#.to_owned(), E::Interaction("transaction")),
            (r#"{"resourceType":"Bundle","type":"collection"}"#.to_owned(), E::Batch),
            (r#"{"resourceType":"Bundle","type":"batch","type":"batch"}"#.to_owned(), E::Batch),
            (r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#.to_owned(), E::Batch),
            (r#"{"resourceType":"Patient"}"#.to_owned(), E::Batch),
            ("x".to_owned(), E::Batch),
            (format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{many}]}}"#), E::BatchLength),
        ] {
            assert_eq!(batch(body.as_bytes()).unwrap_err(), error, "{body}");
        }
    }
}
