//! Whose certificate it is: `Signature.who` against the subject alternative names (CDex CONF-048, 049, 053).
//!
//! Takes: an identifier, the names of a certificate, and which kind of name stands for which system of identifiers. Gives:
//! whether one of them is the other. Guarantees: values are compared character for character, and only with names of the kind
//! that the system is mapped to. Refuses: to guess, where a system is mapped to nothing.

use std::borrow::Cow;

/// NPI, as an OID (HL7 OID registry).
pub const NPI: &str = "2.16.840.1.113883.4.6";
/// Employer identification number of the United States, the tax id, as an OID.
pub const TAX_ID: &str = "2.16.840.1.113883.4.4";

/// A kind of subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// `uniformResourceIdentifier`
    Uri,
    /// `otherName` with this `type-id`, in dotted decimals, and a text.
    Other(Cow<'static, str>),
}

impl NameKind {
    /// The kind by its name: `uri`, or the OID of an `otherName` in dotted decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let is_oid =
            text.contains('.') && text.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()));
        match text {
            "uri" => Some(Self::Uri),
            oid if is_oid => Some(Self::Other(oid.to_owned().into())),
            _ => None,
        }
    }
}

/// One subject alternative name that can identify a signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectName {
    /// Its kind.
    pub kind: NameKind,
    /// Its text.
    pub value: String,
}

/// Which kind of name stands for which `Identifier.system`. CDex writes none down, so it is a matter of agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities(Vec<(Cow<'static, str>, NameKind)>);

impl Default for Identities {
    /// NPI and tax id as `otherName`, as the certificates in HL7's examples do, and URIs as URIs.
    fn default() -> Self {
        let other = |oid: &'static str| NameKind::Other(Cow::Borrowed(oid));
        Self(vec![
            (Cow::Borrowed("http://hl7.org/fhir/sid/us-npi"), other(NPI)),
            (Cow::Borrowed("urn:oid:2.16.840.1.113883.4.6"), other(NPI)),
            (Cow::Borrowed("urn:oid:2.16.840.1.113883.4.4"), other(TAX_ID)),
            (Cow::Borrowed("urn:ietf:rfc:3986"), NameKind::Uri),
        ])
    }
}

impl Identities {
    /// The same, with one system mapped anew.
    #[must_use]
    pub fn with(mut self, system: String, kind: NameKind) -> Self {
        self.0.retain(|(known, _)| *known != system);
        self.0.push((Cow::Owned(system), kind));
        self
    }

    /// The kind of name that stands for identifiers of `system`.
    pub fn kind_of(&self, system: &str) -> Option<&NameKind> {
        self.0.iter().find(|(known, _)| known == system).map(|(_, kind)| kind)
    }
}

/// Whether one of `names` is of this kind and value.
pub(super) fn is_named(names: &[SubjectName], kind: &NameKind, value: &str) -> bool {
    !value.is_empty() && names.iter().any(|name| name.kind == *kind && name.value == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_only_in_a_name_of_its_kind() {
        let names = [
            SubjectName { kind: NameKind::Other(NPI.into()), value: "1234567893".to_owned() },
            SubjectName { kind: NameKind::Uri, value: "https://clinic.example.org/fhir/Organization/1".to_owned() },
        ];
        let identities = Identities::default().with("http://payer.example/ids".to_owned(), NameKind::Uri);
        for (system, value, expected) in [
            ("http://hl7.org/fhir/sid/us-npi", "1234567893", Some(true)),
            ("urn:oid:2.16.840.1.113883.4.6", "1234567893", Some(true)),
            ("urn:oid:2.16.840.1.113883.4.4", "1234567893", Some(false)),
            ("urn:ietf:rfc:3986", "1234567893", Some(false)),
            ("urn:ietf:rfc:3986", "https://clinic.example.org/fhir/Organization/1", Some(true)),
            ("urn:ietf:rfc:3986", "https://clinic.example.org/fhir/Organization/1/", Some(false)),
            ("http://hl7.org/fhir/sid/us-npi", "", Some(false)),
            ("http://payer.example/ids", "https://clinic.example.org/fhir/Organization/1", Some(true)),
            ("http://elsewhere.example/ids", "1234567893", None),
        ] {
            let found = identities.kind_of(system).map(|kind| is_named(&names, kind, value));
            assert_eq!(found, expected, "{system} {value}");
        }
    }
}
