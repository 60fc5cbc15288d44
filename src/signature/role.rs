//! Whether a system or a person signed (PRV-17).
//!
//! Takes: the signed content and its Signature. Gives: a [`Role`], and what tells. Guarantees: told only by what the
//! Signature itself says, or by a searchset, which CDex has the organisation sign. Refuses: to guess from names.

use serde::Serialize;

use super::element::Element;
use crate::fhir::json::Value;

/// What a signature states: that something was supplied, or that a person stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A human being.
    Person,
    /// An organisation or a device, by its system.
    System,
    /// Not told.
    Unknown,
}

/// The role, and what tells.
pub(super) fn role(content: Value<'_>, element: &Element) -> (Role, &'static str) {
    let referred = element.reference.as_deref().and_then(|reference| {
        let mut parts = reference.rsplit('/');
        parts.next().and(parts.next())
    });
    let kind = element.who_type.as_deref().or(referred);
    match kind {
        Some("Practitioner" | "PractitionerRole" | "Patient" | "RelatedPerson") => (Role::Person, "Signature.who"),
        Some("Organization" | "Device") => (Role::System, "Signature.who"),
        _ if element.is_on_behalf => (Role::Person, "Signature.onBehalfOf"),
        _ if content.get("type").and_then(Value::text).is_some_and(|kind| kind == "searchset") => {
            (Role::System, "Bundle.type")
        }
        _ => (Role::Unknown, "nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    #[test]
    fn the_signature_tells_before_the_content_does() {
        for (signature, content, expected) in [
            (r#"{"who":{"type":"Organization"},"onBehalfOf":{}}"#, "document", (Role::System, "Signature.who")),
            (
                r#"{"who":{"reference":"https://e.org/fhir/Practitioner/1"}}"#,
                "searchset",
                (Role::Person, "Signature.who"),
            ),
            (r#"{"who":{"reference":"Device/1"}}"#, "document", (Role::System, "Signature.who")),
            (r#"{"who":{"reference":"1"},"onBehalfOf":{}}"#, "searchset", (Role::Person, "Signature.onBehalfOf")),
            (r#"{"who":{"identifier":{"value":"1"}}}"#, "searchset", (Role::System, "Bundle.type")),
            (r#"{"who":{"identifier":{"value":"1"}}}"#, "document", (Role::Unknown, "nothing")),
        ] {
            let (mut first, mut second) = (Tape::new(), Tape::new());
            let element = Element::read(first.read(signature.as_bytes()).unwrap().root()).unwrap();
            let content = format!(r#"{{"type":"{content}"}}"#);
            assert_eq!(role(second.read(content.as_bytes()).unwrap().root(), &element), expected, "{signature}");
        }
    }
}
