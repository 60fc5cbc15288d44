//! Identifiers as FHIR and C-CDA write them, and the ones among them that can be checked.
//!
//! Takes: an `Identifier`, the text `system|value`, or an `II` of HL7 v3. Gives: an [`Identifier`] that compares by system
//! and value. Guarantees: one identifier has one spelling, whether its system is written as URL or as OID. Refuses: what
//! has no system or no value, and what the EHR marks as old: nothing can be looked up by it.

use std::fmt;

use crate::fhir::json::Value;

/// The system of National Provider Identifiers in FHIR.
pub const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
/// The same as an object identifier, as C-CDA writes it.
pub const NPI_OID: &str = "2.16.840.1.113883.4.6";

/// What the check digit of an NPI is computed over before its ten digits (45 CFR 162.406, ISO/IEC 7812-1).
const NPI_PREFIX: &str = "80840";

/// A system and a value. Its `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(Box<str>);

impl Identifier {
    /// The identifier of a system and a value; `None` where one is empty, or the system holds a `|`.
    pub fn of(system: &str, value: &str) -> Option<Self> {
        let oid = system.strip_prefix("urn:oid:").unwrap_or_default();
        let system = if oid == NPI_OID { NPI } else { system };
        let usable = !system.is_empty() && !system.contains('|') && !value.trim().is_empty();
        usable.then(|| Self([system, "|", value].concat().into()))
    }

    /// The identifier of `system|value`, as configurations and searches write it.
    pub fn parse(text: &str) -> Option<Self> {
        let (system, value) = text.split_once('|')?;
        Self::of(system, value)
    }

    /// The identifier that a JSON `Identifier` states; none where its `use` is `old`.
    pub fn read(value: Value<'_>) -> Option<Self> {
        let is_old = value.get("use").and_then(Value::text).is_some_and(|stated| stated == "old");
        let (system, text) = (value.get("system")?.text()?, value.get("value")?.text()?);
        if is_old { None } else { Self::of(&system, &text) }
    }

    /// The identifier of an `II` (HL7 v3 data types): a root without an extension is a value of `urn:ietf:rfc:3986`.
    pub fn of_ii(root: &str, extension: Option<&str>) -> Option<Self> {
        if root.is_empty() {
            return None;
        }
        let oid = format!("urn:oid:{root}");
        extension.map_or_else(|| Self::of("urn:ietf:rfc:3986", &oid), |extension| Self::of(&oid, extension))
    }

    /// `system|value`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The system.
    pub fn system(&self) -> &str {
        self.0.split_once('|').map_or("", |(system, _)| system)
    }

    /// The value.
    pub fn value(&self) -> &str {
        self.0.split_once('|').map_or("", |(_, value)| value)
    }

    /// Whether it is a National Provider Identifier, right or wrong.
    pub fn is_npi(&self) -> bool {
        self.0.strip_prefix(NPI).is_some_and(|rest| rest.starts_with('|'))
    }

    /// Whether it can be what it says: an NPI has ten digits, the first 1 or 2, the last the check digit. Of other systems
    /// nothing is known that could be wrong.
    pub fn is_well_formed(&self) -> bool {
        !self.is_npi() || is_npi(self.value())
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier(..)")
    }
}

fn is_npi(value: &str) -> bool {
    value.len() == 10
        && value.starts_with(['1', '2'])
        && value.bytes().all(|byte| byte.is_ascii_digit())
        && luhn(NPI_PREFIX.bytes().chain(value.bytes()).rev())
}

/// Whether digits, from the last to the first, have a check digit by Luhn's rule (ISO/IEC 7812-1 annex B).
fn luhn(digits: impl Iterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .zip([1, 2].into_iter().cycle())
        .map(|(digit, factor)| u32::from(digit - b'0') * factor)
        .map(|product| product / 10 + product % 10)
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::json::Tape;

    #[test]
    fn an_npi_has_its_check_digit() {
        for (value, good) in [
            ("1234567893", true),
            ("1136090283", true),
            ("1234567890", false),
            ("9941339100", false),
            ("9941339108", false),
            ("123456789", false),
            ("12345678930", false),
            ("123456789x", false),
            ("3234567891", false),
            ("1234567893 ", false),
        ] {
            assert_eq!(Identifier::of(NPI, value).unwrap().is_well_formed(), good, "{value}");
        }
        assert!(Identifier::of("http://clinic.example/staff", "9941339100").unwrap().is_well_formed());
    }

    #[test]
    fn one_identifier_has_one_spelling() {
        let npi = Identifier::parse("http://hl7.org/fhir/sid/us-npi|1234567893").unwrap();
        for same in [
            Identifier::of("urn:oid:2.16.840.1.113883.4.6", "1234567893"),
            Identifier::of_ii(NPI_OID, Some("1234567893")),
        ] {
            assert_eq!(same.as_ref(), Some(&npi));
        }
        assert_eq!((npi.system(), npi.value(), npi.is_npi()), (NPI, "1234567893", true));
        let other = Identifier::of_ii("2.16.840.1.113883.19.5", Some("7|8")).unwrap();
        assert_eq!((other.system(), other.value()), ("urn:oid:2.16.840.1.113883.19.5", "7|8"));
        assert_eq!(Identifier::of_ii("1.2.3", None).unwrap().as_str(), "urn:ietf:rfc:3986|urn:oid:1.2.3");
        assert!(Identifier::of_ii("", Some("1")).is_none());
    }

    #[test]
    fn what_cannot_be_looked_up_is_none() {
        for text in [
            r#"{"value":"1234567893"}"#,
            r#"{"system":"http://hl7.org/fhir/sid/us-npi"}"#,
            r#"{"system":"http://hl7.org/fhir/sid/us-npi","value":" "}"#,
            r#"{"system":"","value":"1"}"#,
            r#"{"system":"a|b","value":"1"}"#,
            r#"{"system":"http://hl7.org/fhir/sid/us-npi","value":1234567893}"#,
            r#"{"use":"old","system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}"#,
        ] {
            assert!(Identifier::read(Tape::new().read(text.as_bytes()).unwrap().root()).is_none(), "{text}");
        }
        assert!(Identifier::parse("1234567893").is_none());
        let mut tape = Tape::new();
        let good = br#"{"use":"official","system":"http://hl7.org/fhir/sid/us-npi","value":"1234567893"}"#;
        assert!(Identifier::read(tape.read(good).unwrap().root()).is_some());
        assert_eq!(format!("{:?}", Identifier::of(NPI, "1").unwrap()), "Identifier(..)");
    }
}
