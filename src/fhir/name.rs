//! Names of things: resource types and logical ids.
//!
//! Takes: text. Gives: [`ResourceType`] and [`Id`], which exist only for names that R4 knows or allows.
//! Refuses: any other spelling, another case included.

use std::fmt;
use std::sync::LazyLock;

use thiserror::Error;

static TYPES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let first = super::search::DEFINITIONS.lines().next().unwrap_or_default();
    first.trim_start_matches("@\t").split(',').collect()
});

/// Where in [`TYPES`] the types of each letter begin, from `A` to behind `Z`: resources are named with every entry that
/// passes, and there are few types of one letter.
static LETTERS: LazyLock<[usize; 27]> = LazyLock::new(|| {
    let mut letters = [0; 27];
    for (begin, letter) in letters.iter_mut().zip(b'A'..) {
        *begin = TYPES.partition_point(|name| name.bytes().next() < Some(letter));
    }
    letters
});

/// A text that names nothing in R4.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Not 1 to 64 of `A-Z a-z 0-9 - .`
    #[error("not a logical id")]
    Id,
    /// Not a concrete resource type of R4.
    #[error("not a resource type of r4")]
    ResourceType,
}

/// A concrete R4 resource type, such as `Observation`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceType(u8);

impl ResourceType {
    /// The type of this exact name.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        Self::find(name).ok_or(NameError::ResourceType)
    }

    fn find(name: &str) -> Option<Self> {
        let letter = usize::from(name.bytes().next()?.checked_sub(b'A')?);
        let (begin, end) = (*LETTERS.get(letter)?, *LETTERS.get(letter + 1)?);
        let place = TYPES.get(begin..end)?.iter().position(|known| *known == name)?;
        u8::try_from(begin + place).ok().map(Self)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        TYPES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Its place among all types, by name.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Every concrete type, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(TYPES.len()).map(Self)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A logical id: 1 to 64 of `A-Z a-z 0-9 - .` (R4 datatypes, `id`). Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Box<str>);

impl Id {
    /// The id of this text.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if Self::is(text) { Ok(Self(text.into())) } else { Err(NameError::Id) }
    }

    /// Whether a text is an id.
    pub fn is(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        (1..=64).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".."
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_every_type_by_its_exact_name() {
        for resource_type in ResourceType::all() {
            assert_eq!(ResourceType::parse(resource_type.as_str()), Ok(resource_type));
        }
        assert_eq!(ResourceType::all().count(), 146);
        for wrong in
            ["@", "[", "Zebra", "é", "observation", "Observation ", "Resource", "DomainResource", "", "Observations"]
        {
            assert_eq!(ResourceType::parse(wrong), Err(NameError::ResourceType), "{wrong}");
        }
    }

    #[test]
    fn ids_are_what_r4_allows() {
        for good in ["a", "A-1.b", &"x".repeat(64)] {
            assert_eq!(Id::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a b", "é", "..", ".", "a_b", "%31", &"x".repeat(65)] {
            assert_eq!(Id::parse(bad), Err(NameError::Id), "{bad}");
        }
        assert_eq!(format!("{:?}", Id::parse("secret").unwrap()), "Id(..)");
    }
}
