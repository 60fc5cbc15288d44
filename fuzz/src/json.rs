//! The JSON reader: what it accepts serde_json accepts as the same values, and what it refuses as no JSON is none.

use portcullis::fhir::json::{JsonError, Kind, Tape, Value, write_string};

use super::dom::Dom;

/// One document, or what is none.
pub fn run(data: &[u8]) {
    let mut tape = Tape::new();
    match tape.read(data) {
        Ok(document) => {
            let text = std::str::from_utf8(data).expect("what is accepted is UTF-8");
            let theirs = Dom::read(text).expect("what is accepted is JSON");
            assert!(!theirs.repeats_a_name(), "a repeated name was accepted");
            same(document.root(), &theirs);
            pieces(data);
        }
        Err(JsonError::Depth(_) | JsonError::Duplicate(_) | JsonError::EscapedName(_) | JsonError::Values) => {}
        Err(error) => {
            let theirs = std::str::from_utf8(data).ok().and_then(Dom::read);
            let is_bare_number = matches!(theirs, Some(Dom::Number(_))) && error == JsonError::Incomplete;
            assert!(theirs.is_none() || is_bare_number, "{error}, and yet it is JSON");
        }
    }
}

fn same(ours: Value<'_>, theirs: &Dom) {
    match (ours.kind(), theirs) {
        (Kind::Null, Dom::Null) => {}
        (Kind::Boolean, Dom::Boolean(value)) => assert_eq!(ours.boolean(), Some(*value)),
        (Kind::Number, Dom::Number(text)) => assert_eq!(ours.raw(), text),
        (Kind::String, Dom::Text(text)) => {
            assert_eq!(ours.text().as_deref(), Some(text.as_str()));
            written_again(text);
        }
        (Kind::Array, Dom::Array(items)) => {
            assert_eq!(ours.items().count(), items.len());
            assert_eq!(ours.is_empty(), items.is_empty());
            ours.items().zip(items).for_each(|(one, other)| same(one, other));
        }
        (Kind::Object, Dom::Object(members)) => {
            assert_eq!(ours.members().count(), members.len());
            assert_eq!(ours.is_empty(), members.is_empty());
            for (one, (name, value)) in ours.members().zip(members) {
                assert_eq!(one.name, name);
                assert_eq!(ours.get(name).map(Value::raw), Some(one.value.raw()));
                same(one.value, value);
            }
        }
        (kind, theirs) => panic!("{kind:?} here, {theirs:?} there"),
    }
    assert_eq!(ours.below().count(), below(theirs));
}

fn below(value: &Dom) -> usize {
    let items = value.items().iter().map(|item| 1 + below(item)).sum::<usize>();
    items + value.members().iter().map(|(_, value)| 1 + below(value)).sum::<usize>()
}

fn written_again(text: &str) {
    let mut out = Vec::new();
    write_string(text, &mut out);
    let mut tape = Tape::new();
    let read = tape.read(&out).expect("a string that was written can be read");
    assert_eq!(read.root().text().as_deref(), Some(text));
}

/// Read as the first of several, the document ends where it ends; cut short, it is none.
fn pieces(data: &[u8]) {
    let mut tape = Tape::new();
    let kind = tape.read(data).expect("it was read before").root().kind();
    if !matches!(kind, Kind::Array | Kind::Object | Kind::String) {
        return;
    }
    let (_, used) = tape.read_first(data).expect("a whole document is a first one");
    assert!(data[used..].iter().all(u8::is_ascii_whitespace));
    for end in (0..used).rev().take(16).chain((0..used).take(16)) {
        assert!(tape.read_first(&data[..end]).is_err(), "complete after {end} of {used} bytes");
    }
    let followed = [&data[..used], b"}]x"].concat();
    assert_eq!(tape.read_first(&followed).map(|(_, used)| used), Ok(used));
    assert!(tape.read(&followed).is_err());
}
