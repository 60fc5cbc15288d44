//! References between resources (R4 references, 2.3.0.1 literal references).
//!
//! Takes: the text of `Reference.reference`, or of a reference search value. Gives: a [`Reference`] to a
//! resource of this server, or nothing. Guarantees: two spellings of one resource compare equal (relative,
//! versioned, absolute under the server's own base). Refuses: other servers' resources, contained ones
//! (`#x`), queries, fragments, and anything with a character that no id has.

use crate::fhir::name::{Id, ResourceType};

/// A resource of the server behind the gateway, named by type and id; a version is understood and set aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The type.
    pub resource_type: ResourceType,
    /// The logical id.
    pub id: Id,
}

impl Reference {
    /// Reads a literal reference. `bases` are the absolute base URLs, without a slash at the end, that mean
    /// this very server.
    pub fn parse(text: &str, bases: &[&str]) -> Option<Self> {
        let relative = bases
            .iter()
            .find_map(|base| text.strip_prefix(*base).and_then(|rest| rest.strip_prefix('/')))
            .unwrap_or(text);
        let mut steps = relative.split('/');
        let resource_type = ResourceType::parse(steps.next()?).ok()?;
        let id = Id::parse(steps.next()?).ok()?;
        match (steps.next(), steps.next(), steps.next()) {
            (None, ..) => {}
            (Some("_history"), Some(version), None) if Id::parse(version).is_ok() => {}
            _ => return None,
        }
        Some(Self { resource_type, id })
    }

    /// Whether `text` names this resource.
    pub fn is_named_by(&self, text: &str, bases: &[&str]) -> bool {
        Self::parse(text, bases).as_ref() == Some(self)
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource_type, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASES: &[&str] = &["https://ehr.example.com/fhir"];

    #[test]
    fn spellings_of_one_resource_are_one_reference() {
        let plain = Reference::parse("Patient/p1", BASES).unwrap();
        for same in ["Patient/p1/_history/3", "https://ehr.example.com/fhir/Patient/p1"] {
            assert!(plain.is_named_by(same, BASES), "{same}");
        }
        assert_eq!(plain.to_string(), "Patient/p1");
    }

    #[test]
    fn everything_else_names_nothing_here() {
        for other in [
            "Patient/p10",
            "patient/p1",
            "http://ehr.example.com/fhir/Patient/p1",
            "https://ehr.example.com.evil/fhir/Patient/p1",
            "https://ehr.example.com/fhirPatient/p1",
            "https://other.example/Patient/p1",
            "#p1",
            "p1",
            "urn:uuid:0d7c2d7e-0000-4000-8000-000000000000",
            "Patient/p1/Observation/o1",
            "Patient/p1/_history/",
            "Patient/p1?x=y",
            "Patient/p1#a",
            "/Patient/p1",
            "Patient//p1",
            "Patient/p1/",
            "",
        ] {
            let one = Reference::parse("Patient/p1", BASES).unwrap();
            assert!(!one.is_named_by(other, BASES), "{other}");
        }
    }
}
