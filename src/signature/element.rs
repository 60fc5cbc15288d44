//! The data type Signature (R4), as CDex fills it.
//!
//! Takes: the JSON of one. Gives: an [`Element`], its parts as text. Guarantees: a part of the wrong kind is no absent part.
//! Refuses: a Signature with such a part.

use std::borrow::Cow;

use crate::fhir::json::{Kind, Value};

/// Signature.type of every CDex signature: ASTM E1762-95, "Verification Signature".
pub(super) const VERIFICATION: &str = "1.2.840.10065.1.12.1.5";
/// The code system of Signature.type.
pub(super) const PURPOSES: &str = "urn:iso-astm:E1762-95:2013";
/// Signature.targetFormat: JSON without parts, canonicalised by RFC 8785 (CONF-031).
pub(super) const TARGET_FORMAT: &str =
    "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json#document";
/// Signature.sigFormat (CONF-029).
pub(super) const SIG_FORMAT: &str = "application/jose";

/// One Signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// System and code of each `type`.
    pub(super) types: Vec<(String, String)>,
    pub(super) when: Option<String>,
    /// `who.identifier`, if it has a value.
    pub(super) identifier: Option<(Option<String>, String)>,
    pub(super) reference: Option<String>,
    /// The type of resource that `who` says it refers to.
    pub(super) who_type: Option<String>,
    pub(super) is_on_behalf: bool,
    pub(super) target_format: Option<String>,
    pub(super) sig_format: Option<String>,
    pub(super) data: Option<String>,
}

impl Element {
    /// `None` where a part is not of its kind.
    pub(super) fn read(signature: Value<'_>) -> Option<Self> {
        let mut types = Vec::new();
        for coding in signature.get("type").map(Value::items).into_iter().flatten() {
            types.push((text(coding, "system")?.unwrap_or_default(), text(coding, "code")?.unwrap_or_default()));
        }
        let who = object(signature, "who")?;
        let (mut identifier, mut reference, mut who_type) = (None, None, None);
        if let Some(who) = who {
            reference = text(who, "reference")?;
            who_type = text(who, "type")?;
            if let Some(named) = object(who, "identifier")? {
                identifier = text(named, "value")?.map(|value| text(named, "system").map(|system| (system, value)));
            }
        }
        Some(Self {
            types,
            when: text(signature, "when")?,
            identifier: match identifier {
                Some(identifier) => Some(identifier?),
                None => None,
            },
            reference,
            who_type,
            is_on_behalf: signature.get("onBehalfOf").is_some(),
            target_format: text(signature, "targetFormat")?,
            sig_format: text(signature, "sigFormat")?,
            data: text(signature, "data")?,
        })
    }
}

/// The text of a member, if it has one; `None` if it has another kind.
fn text(object: Value<'_>, name: &str) -> Option<Option<String>> {
    match object.get(name) {
        Some(value) => value.text().map(Cow::into_owned).map(Some),
        None => Some(None),
    }
}

/// Likewise an object.
fn object<'d>(parent: Value<'d>, name: &str) -> Option<Option<Value<'d>>> {
    match parent.get(name) {
        Some(value) => (value.kind() == Kind::Object).then_some(Some(value)),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    #[test]
    fn a_part_of_the_wrong_kind_is_not_absent() {
        for (text, is_read) in [
            (r#"{}"#, true),
            (r#"{"who":{"identifier":{"value":"1"}},"when":"x","type":[{"code":"c"}]}"#, true),
            (r#"{"when":1}"#, false),
            (r#"{"who":[]}"#, false),
            (r#"{"who":{"identifier":"1"}}"#, false),
            (r#"{"who":{"identifier":{"system":1,"value":"1"}}}"#, false),
            (r#"{"type":[{"code":1}]}"#, false),
            (r#"{"data":null}"#, false),
            (r#"{"targetFormat":["a"]}"#, false),
        ] {
            let mut tape = Tape::new();
            let read = Element::read(tape.read(text.as_bytes()).unwrap().root());
            assert_eq!(read.is_some(), is_read, "{text}");
        }
    }
}
