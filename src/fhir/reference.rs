//! References between resources (R4 references, 2.3.0.1 literal references).
//!
//! Takes: the text of `Reference.reference`, of a reference search value, or of a URL. Gives: a [`Reference`] to a
//! resource of this server, or where else it leads ([`Destination`]), or nothing. Guarantees: two spellings of one
//! resource compare equal (relative, versioned, absolute under the server's own base). Refuses: queries, fragments, dots,
//! escapes, and anything with a character that no id has.

use std::borrow::Cow;

use memchr::memchr3;
use percent_encoding::percent_decode_str;

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
        let (resource_type, id) = here(text, bases)?;
        Some(Self { resource_type, id: Id::parse(id).ok()? })
    }

    /// Whether `text` names this resource.
    pub fn is_named_by(&self, text: &str, bases: &[&str]) -> bool {
        Self::parse(text, bases).as_ref() == Some(self)
    }
}

/// Where a literal reference leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'t> {
    /// To a resource of this server, by its type and id.
    Here(ResourceType, &'t str),
    /// To what the resource at hand contains, by its id; an empty one is the resource itself.
    Inside(&'t str),
    /// To what some other address calls so; whether that is this very server cannot be told.
    Elsewhere(ResourceType, &'t str),
}

impl<'t> Destination<'t> {
    /// Reads a literal reference; `None` where it cannot be told where it leads.
    pub fn of(text: &'t str, bases: &[&str]) -> Option<Self> {
        if let Some(id) = text.strip_prefix('#') {
            return (id.is_empty() || Id::is(id)).then_some(Self::Inside(id));
        }
        if let Some((resource_type, id)) = here(text, bases) {
            return Some(Self::Here(resource_type, id));
        }
        let below = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        if below.bytes().any(|byte| matches!(byte, b'?' | b'#' | b'%' | b'\\' | b'@' | 0..=b' ' | 0x7F..)) {
            return None;
        }
        let mut steps = below.rsplit('/');
        let (last, before) = (steps.next()?, steps.next()?);
        let (name, id) = if before == "_history" && Id::is(last) {
            let id = steps.next()?;
            (steps.next()?, id)
        } else {
            (before, last)
        };
        let mut before = steps.peekable();
        let plain = before.peek().is_some() && before.all(|step| !matches!(step, "" | "." | ".."));
        let resource_type = ResourceType::parse(name).ok().filter(|_| plain && Id::is(id))?;
        Some(Self::Elsewhere(resource_type, id))
    }
}

/// Type and id of a resource of this server.
fn here<'t>(text: &'t str, bases: &[&str]) -> Option<(ResourceType, &'t str)> {
    let below = bases.iter().find_map(|base| text.strip_prefix(*base).and_then(|rest| rest.strip_prefix('/')));
    let mut steps = below.unwrap_or(text).split('/');
    let resource_type = ResourceType::parse(steps.next()?).ok()?;
    let id = steps.next().filter(|id| Id::is(id))?;
    match (steps.next(), steps.next(), steps.next()) {
        (None, ..) => Some((resource_type, id)),
        (Some("_history"), Some(version), None) if Id::is(version) => Some((resource_type, id)),
        _ => None,
    }
}

/// Whether some server could take a URL for one that has `step` in its path or query, however it is spelled: in other
/// letters, escaped, behind dots or a query.
pub fn may_step(url: &str, step: &str) -> bool {
    let last = step.bytes().last().unwrap_or_default();
    if memchr3(last.to_ascii_lowercase(), last.to_ascii_uppercase(), b'%', url.as_bytes()).is_none() {
        return false;
    }
    let mut text = Cow::Borrowed(url);
    for _ in 0..ESCAPED_TIMES {
        if !text.contains('%') {
            break;
        }
        text = Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned());
    }
    let between = |letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '$'));
    text.split(between).any(|part| part.eq_ignore_ascii_case(step)) || text.contains('%')
}

/// How often a URL may be escaped on top of itself before it counts as one that could say anything.
const ESCAPED_TIMES: usize = 3;

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

    #[test]
    fn a_reference_leads_here_inside_elsewhere_or_nobody_knows_where() {
        let observation = ResourceType::parse("Observation").unwrap();
        for (text, there) in [
            ("Observation/o", Some(Destination::Here(observation, "o"))),
            ("https://ehr.example.com/fhir/Observation/o/_history/2", Some(Destination::Here(observation, "o"))),
            ("#o", Some(Destination::Inside("o"))),
            ("#", Some(Destination::Inside(""))),
            ("http://localhost:8080/fhir/Observation/o", Some(Destination::Elsewhere(observation, "o"))),
            ("https://other.example/Observation/o/_history/1", Some(Destination::Elsewhere(observation, "o"))),
            ("http://Observation/o", None),
            ("http://x/Observation/o?a=b", None),
            ("http://x/Observation/o#a", None),
            ("http://x/Observation/%6f", None),
            ("http://x/../Observation/o", None),
            ("http://x//Observation/o", None),
            ("http://u@x/Observation/o", None),
            ("HTTP://x/Observation/o", None),
            ("../Observation/o", None),
            ("./Observation/o", None),
            ("/Observation/o", None),
            ("Observation/%6f", None),
            ("Observation/o ", None),
            ("Observation?_id=o", None),
            ("#o p", None),
            ("urn:uuid:0d7c2d7e-0000-4000-8000-000000000000", None),
            ("", None),
        ] {
            assert_eq!(Destination::of(text, BASES), there, "{text}");
        }
    }

    #[test]
    fn a_step_of_a_url_is_found_however_it_is_spelled() {
        for url in [
            "Binary/b",
            "https://other.example/fhir/binary/b",
            "http://x/Bin%61ry/b",
            "http://x/Bin%2561ry/b",
            "http://x/fhir?next=Binary%2Fb",
            "\\Binary\\b",
            "x?type=Binary&id=b",
            "%25252525252525",
        ] {
            assert!(may_step(url, "Binary"), "{url}");
        }
        for url in ["https://x/binary-files/b.pdf", "x", "", "http://x/a%20b", "http://x/Binaries/b"] {
            assert!(!may_step(url, "Binary"), "{url}");
        }
    }
}
