//! Which elements R4 marks as the summary of a resource (`isSummary`; 3.1.1.5.9 `_summary`).
//!
//! Takes: a type and the names of members. Gives: [`Marked`]. Guarantees: the marks of R4's own definitions, by `summary.tsv`.
//! Refuses: nothing; what R4 does not mark is not of the summary.

use std::sync::LazyLock;

use super::name::ResourceType;
use super::path::choice_bases;

/// By the index of the type.
static MARKS: LazyLock<Vec<Marks>> = LazyLock::new(|| {
    let mut all: Vec<Marks> = ResourceType::all().map(|_| Marks::default()).collect();
    for line in include_str!("summary.tsv").lines() {
        let Some((name, paths)) = line.split_once('\t') else { continue };
        let place = ResourceType::parse(name).ok().and_then(|resource_type| all.get_mut(resource_type.index()));
        if let Some(marks) = place {
            paths.split(';').for_each(|path| marks.add(path));
        }
    }
    all
});

/// The marked elements of a resource, or of a part of it.
#[derive(Debug, Default)]
pub struct Marks(Vec<(&'static str, Self)>);

/// What of an element is of the summary.
#[derive(Clone, Copy, Debug)]
pub enum Marked {
    /// Nothing.
    No,
    /// All of it.
    Whole,
    /// These parts.
    Part(&'static Marks),
}

impl Marks {
    /// The marked elements of a type.
    pub fn of(resource_type: ResourceType) -> Option<&'static Self> {
        MARKS.get(resource_type.index())
    }

    /// What of the member of this name is marked; a choice element is found under each of its names.
    pub fn member(&'static self, name: &str) -> Marked {
        let is = |known: &str| match known.strip_suffix("[x]") {
            Some(base) => choice_bases(name).any(|found| found == base),
            None => known == name,
        };
        match self.0.iter().find(|(known, _)| is(known)) {
            None => Marked::No,
            Some((_, Self(parts))) if parts.is_empty() => Marked::Whole,
            Some((_, parts)) => Marked::Part(parts),
        }
    }

    fn add(&mut self, path: &'static str) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let at = self.0.iter().position(|(known, _)| *known == first).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push((first, Self::default()));
        }
        if let (Some((_, parts)), Some(rest)) = (self.0.get_mut(at), rest) {
            parts.add(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(resource_type: &str, path: &[&str]) -> bool {
        let mut marks = Marks::of(ResourceType::parse(resource_type).unwrap()).unwrap();
        for name in path {
            match marks.member(name) {
                Marked::No => return false,
                Marked::Whole => return true,
                Marked::Part(parts) => marks = parts,
            }
        }
        true
    }

    #[test]
    fn every_type_has_marks_and_they_are_those_of_r4() {
        for resource_type in ResourceType::all() {
            assert!(!Marks::of(resource_type).unwrap().0.is_empty(), "{resource_type}");
        }
        for (resource_type, path) in [
            ("Patient", &["name"][..]),
            ("Patient", &["deceasedDateTime"]),
            ("Observation", &["valueQuantity"]),
            ("Observation", &["effectivePeriod"]),
            ("Observation", &["component", "code"]),
            ("Encounter", &["diagnosis", "condition"]),
        ] {
            assert!(marked(resource_type, path), "{resource_type} {path:?}");
        }
        for (resource_type, path) in [
            ("Patient", &["contact"][..]),
            ("Patient", &["photo"]),
            ("Patient", &["text"]),
            ("Patient", &["extension"]),
            ("Observation", &["note"]),
            ("Observation", &["component", "interpretation"]),
            ("Encounter", &["diagnosis", "use"]),
            ("Claim", &["item"]),
        ] {
            assert!(!marked(resource_type, path), "{resource_type} {path:?}");
        }
    }
}
