//! The canonical form of JSON (RFC 8785), of a document as it was received.
//!
//! Takes: a value of a document that [`crate::fhir::json`] read, and what is left out of it. Gives: its canonical bytes, and
//! how many numbers did not come through as they were written. Guarantees: members in the order of their UTF-16 code units,
//! no white space, numbers as doubles, the shortest escapes; nothing but what is named is left out. Refuses: numbers that no
//! double can hold. Repeated names and lone surrogates were refused when the document was read.

use std::cmp::Ordering;

use thiserror::Error;

use super::number::{self, Fidelity};
use crate::fhir::json::{Kind, Member, Value, write_string};

/// The extension that carries a signature on a QuestionnaireResponse or one of its items (SDC, HL7 core extensions).
pub const SIGNATURE_EXTENSION: &str = "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-signature";

/// Why a value has no canonical form.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CanonicalError {
    /// A number is beyond the range of an IEEE 754 double.
    #[error("a number is beyond the range of a double")]
    Number,
}

/// What is left out at the top of a value, and nowhere below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// Nothing.
    Nothing,
    /// `id`, `meta` and `signature` of a Bundle.
    Bundle,
    /// `id`, `meta` and the signature extensions of a QuestionnaireResponse.
    QuestionnaireResponse,
    /// `id` and the signature extensions of an item of a QuestionnaireResponse.
    Item,
    /// `id` and `meta` of a resource whose signature stands elsewhere: the target of a Provenance.
    Target,
}

impl Omitted {
    fn leaves_out(self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bundle => matches!(name, "id" | "meta" | "signature"),
            Self::QuestionnaireResponse | Self::Target => matches!(name, "id" | "meta"),
            Self::Item => name == "id",
        }
    }

    fn filters_extensions(self) -> bool {
        matches!(self, Self::QuestionnaireResponse | Self::Item)
    }
}

/// Canonical bytes, and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical {
    /// UTF-8 of RFC 8785.
    pub bytes: Vec<u8>,
    /// Numbers that are written in another way, such as `7.50` as `7.5`.
    pub rewritten: usize,
    /// Numbers that are another number, because a double has no place for all their digits.
    pub damaged: usize,
}

/// The canonical form of `value` without what is `omitted`.
///
/// # Errors
/// [`CanonicalError::Number`].
pub fn canonical(value: Value<'_>, omitted: Omitted) -> Result<Canonical, CanonicalError> {
    let mut canonical = Canonical { bytes: Vec::with_capacity(value.raw().len()), ..Canonical::default() };
    canonical.value(value, omitted)?;
    Ok(canonical)
}

/// Whether this is the extension that carries a signature.
pub(super) fn is_signature(extension: Value<'_>) -> bool {
    extension.get("url").and_then(Value::text).is_some_and(|url| url == SIGNATURE_EXTENSION)
}

impl Canonical {
    fn value(&mut self, value: Value<'_>, omitted: Omitted) -> Result<(), CanonicalError> {
        match value.kind() {
            Kind::Object => self.object(value, omitted),
            Kind::Array => self.array(value.items()),
            Kind::Number => {
                match number::write(value.raw(), &mut self.bytes).ok_or(CanonicalError::Number)? {
                    Fidelity::Exact => {}
                    Fidelity::Rewritten => self.rewritten += 1,
                    Fidelity::Damaged => self.damaged += 1,
                }
                Ok(())
            }
            Kind::String => {
                match value.text() {
                    Some(std::borrow::Cow::Owned(text)) => write_string(&text, &mut self.bytes),
                    _ => self.bytes.extend_from_slice(value.raw().as_bytes()),
                }
                Ok(())
            }
            Kind::Boolean | Kind::Null => {
                self.bytes.extend_from_slice(value.raw().as_bytes());
                Ok(())
            }
        }
    }

    fn object(&mut self, object: Value<'_>, omitted: Omitted) -> Result<(), CanonicalError> {
        let mut members: Vec<Member<'_>> = object
            .members()
            .filter(|member| !omitted.leaves_out(member.name) && !is_emptied(*member, omitted))
            .collect();
        members.sort_unstable_by(|one, other| by_utf16(one.name, other.name));
        self.bytes.push(b'{');
        for (at, member) in members.into_iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            // Its text holds no escape, and so nothing that needs one.
            self.bytes.push(b'"');
            self.bytes.extend_from_slice(member.name.as_bytes());
            self.bytes.extend_from_slice(b"\":");
            if omitted.filters_extensions() && member.name == "extension" && member.value.kind() == Kind::Array {
                self.array(member.value.items().filter(|extension| !is_signature(*extension)))?;
            } else {
                self.value(member.value, Omitted::Nothing)?;
            }
        }
        self.bytes.push(b'}');
        Ok(())
    }

    fn array<'d>(&mut self, items: impl Iterator<Item = Value<'d>>) -> Result<(), CanonicalError> {
        self.bytes.push(b'[');
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            self.value(item, Omitted::Nothing)?;
        }
        self.bytes.push(b']');
        Ok(())
    }
}

/// Whether the member is an array of extensions in which nothing is left.
fn is_emptied(member: Member<'_>, omitted: Omitted) -> bool {
    let mut extensions = member.value.items().peekable();
    omitted.filters_extensions()
        && member.name == "extension"
        && extensions.peek().is_some()
        && extensions.all(is_signature)
}

/// The order of UTF-16 code units. It is that of UTF-8's bytes but for characters beyond U+FFFF, which it has before U+E000.
fn by_utf16(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() { one.cmp(other) } else { one.encode_utf16().cmp(other.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::{JsonError, Tape};

    fn of(text: &str, omitted: Omitted) -> String {
        let mut tape = Tape::new();
        let document = tape.read(text.as_bytes()).unwrap();
        String::from_utf8(canonical(document.root(), omitted).unwrap().bytes).unwrap()
    }

    #[test]
    fn order_escapes_and_layout_are_canonical() {
        for (text, expected) in [
            (r#"{ "b" : 2 , "a" : [ 1.0 , { } , null , true ] }"#, r#"{"a":[1,{},null,true],"b":2}"#),
            // RFC 8785 section 3.2.3: by code units, so that U+1F600 comes before U+FB33.
            (
                "{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\u{f6}\":3,\"1\":4,\"\u{20ac}\":5}",
                "{\"1\":4,\"\u{f6}\":3,\"\u{20ac}\":5,\"\u{1f600}\":2,\"\u{fb33}\":1}",
            ),
            (
                r#"["\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\b\f"]"#,
                "[\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\f\"]",
            ),
        ] {
            assert_eq!(of(text, Omitted::Nothing), expected, "{text}");
        }
    }

    #[test]
    fn only_the_top_loses_what_is_outside_the_signature() {
        let bundle = r#"{"resourceType":"Bundle","id":"1","meta":{},"signature":{},"entry":[{"resource":{"id":"2","meta":{"a":1},"signature":{}}}]}"#;
        assert_eq!(
            of(bundle, Omitted::Bundle),
            r#"{"entry":[{"resource":{"id":"2","meta":{"a":1},"signature":{}}}],"resourceType":"Bundle"}"#
        );
        let signature = format!(r#"{{"url":"{SIGNATURE_EXTENSION}","valueSignature":{{}}}}"#);
        let form = format!(
            r#"{{"id":"1","meta":{{}},"extension":[{signature},{{"url":"x"}}],"item":[{{"id":"i","extension":[{signature}]}}]}}"#
        );
        assert_eq!(
            of(&form, Omitted::QuestionnaireResponse),
            format!(r#"{{"extension":[{{"url":"x"}}],"item":[{{"extension":[{signature}],"id":"i"}}]}}"#)
        );
        let item = format!(r#"{{"id":"1","meta":{{}},"extension":[{signature},{signature}],"linkId":"a"}}"#);
        assert_eq!(of(&item, Omitted::Item), r#"{"linkId":"a","meta":{}}"#);
        assert_eq!(of(r#"{"extension":[]}"#, Omitted::Item), r#"{"extension":[]}"#);
    }

    #[test]
    fn ambiguous_text_is_not_read() {
        for (text, error) in [
            (r#"{"a":1,"a":1}"#, JsonError::Duplicate(7)),
            (r#"{"a":"\ud800"}"#, JsonError::Escape(6)),
            (r#"{"\u0061":1}"#, JsonError::EscapedName(1)),
        ] {
            assert_eq!(Tape::new().read(text.as_bytes()).map(|_| ()), Err(error), "{text}");
        }
        assert!(Tape::new().read(b"{\"a\":\"\xed\xa0\x80\"}").is_err());
        let mut tape = Tape::new();
        let document = tape.read(b"{\"a\":1e999}").unwrap();
        assert_eq!(canonical(document.root(), Omitted::Nothing), Err(CanonicalError::Number));
    }
}
