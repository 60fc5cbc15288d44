//! Which elements of a resource are kept.
//!
//! Takes: dotted element names (`name.family`, `value[x]`). Gives: [`Elements`], walked from the resource
//! inwards. Guarantees: a name keeps itself with all that is below it, and nothing beside it. Refuses: names
//! that R4's grammar of element names does not allow.

use std::fmt::Write;

use crate::fhir::path;

/// Elements that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// All of them.
    All,
    /// Those of the tree.
    Only(ElementTree),
}

/// Element names, by their steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementTree {
    /// Sorted by name; an empty tree below a name keeps the whole element.
    children: Vec<(Box<str>, Self)>,
}

/// What becomes of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// It is removed.
    No,
    /// It stays as it is.
    Whole,
    /// Of it, only this stays.
    Part(&'a ElementTree),
}

impl Elements {
    /// Reads a list of names, where `*` alone is all. `None` where a name is none, the list is empty, or `*` is not alone.
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let names: Vec<&str> = names.into_iter().collect();
        if names == ["*"] {
            return Some(Self::All);
        }
        let mut tree = ElementTree::default();
        for name in &names {
            tree.insert(name)?;
        }
        (!names.is_empty()).then_some(Self::Only(tree))
    }

    /// What becomes of the outermost element `name`.
    pub fn child(&self, name: &str) -> Kept<'_> {
        match self {
            Self::All => Kept::Whole,
            Self::Only(tree) => tree.child(name),
        }
    }

    pub(super) fn write_canonical(&self, out: &mut String) -> std::fmt::Result {
        match self {
            Self::All => out.write_char('*'),
            Self::Only(tree) => tree.write_canonical(out),
        }
    }
}

impl ElementTree {
    /// What becomes of the element `name` below. A primitive's extension (`_birthDate`) goes with its primitive; a
    /// choice element (`valueQuantity`) with its base name (`value[x]`).
    pub fn child(&self, name: &str) -> Kept<'_> {
        let name = name.strip_prefix('_').unwrap_or(name);
        // One after the other, because names of different length need no comparison, and there are few.
        let exact = self.children.iter().find(|(of, _)| **of == *name);
        match exact.or_else(|| self.choice(name)) {
            None => Kept::No,
            Some((_, below)) if below.children.is_empty() => Kept::Whole,
            Some((_, below)) => Kept::Part(below),
        }
    }

    /// The choice element whose type-suffixed form `name` is, such as `value[x]` for `valueQuantity`.
    fn choice(&self, name: &str) -> Option<&(Box<str>, Self)> {
        // Most names of elements have no capital, and a type begins with one.
        name.bytes().find(u8::is_ascii_uppercase)?;
        let is_choice = |of: &str| {
            of.strip_suffix("[x]").is_some_and(|base| name.strip_prefix(base).is_some_and(path::is_choice_suffix))
        };
        self.children.iter().find(|(of, _)| is_choice(of))
    }

    /// The names at this level, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.children.iter().map(|(name, _)| &**name)
    }

    fn insert(&mut self, name: &str) -> Option<()> {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let plain = first.strip_suffix("[x]").unwrap_or(first);
        let letters = plain.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !letters || !plain.starts_with(|first: char| first.is_ascii_lowercase()) || name.len() > 128 {
            return None;
        }
        match (self.children.binary_search_by(|(of, _)| (**of).cmp(first)), rest) {
            (Ok(at), None) => self.children.get_mut(at)?.1 = Self::default(),
            (Ok(at), Some(rest)) => {
                let below = &mut self.children.get_mut(at)?.1;
                if !below.children.is_empty() {
                    below.insert(rest)?;
                } else {
                    Self::default().insert(rest)?;
                }
            }
            (Err(at), rest) => {
                let mut below = Self::default();
                if let Some(rest) = rest {
                    below.insert(rest)?;
                }
                self.children.insert(at, (first.into(), below));
            }
        }
        Some(())
    }

    fn write_canonical(&self, out: &mut String) -> std::fmt::Result {
        for (name, below) in &self.children {
            write!(out, "e{name}(")?;
            below.write_canonical(out)?;
            out.push(')');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> ElementTree {
        match Elements::parse(names.iter().copied()) {
            Some(Elements::Only(tree)) => tree,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_keeps_itself_whole_and_nothing_beside_it() {
        let tree = tree(&["status", "name.family", "name.given", "period.start"]);
        assert_eq!(tree.child("status"), Kept::Whole);
        assert_eq!(tree.child("_status"), Kept::Whole);
        assert_eq!(tree.child("statu"), Kept::No);
        assert_eq!(tree.child("statusReason"), Kept::No);
        assert_eq!(tree.child(""), Kept::No);
        let Kept::Part(name) = tree.child("name") else { panic!() };
        assert_eq!(name.child("family"), Kept::Whole);
        assert_eq!(name.child("text"), Kept::No);
        assert_eq!(tree.names().collect::<Vec<_>>(), ["name", "period", "status"]);
    }

    #[test]
    fn a_choice_is_kept_under_every_type_and_under_no_other_name() {
        let tree = tree(&["value[x]", "component.value[x]"]);
        for name in ["valueQuantity", "_valueString", "valueCodeableConcept"] {
            assert_eq!(tree.child(name), Kept::Whole, "{name}");
        }
        for name in ["value", "valueSet", "valueset", "valuequantity", "valuex", "component2"] {
            assert_eq!(tree.child(name), Kept::No, "{name}");
        }
        assert!(matches!(tree.child("component"), Kept::Part(below) if below.child("valueInteger") == Kept::Whole));
    }

    #[test]
    fn the_wider_of_two_names_holds_in_either_order() {
        for names in [["name", "name.family"], ["name.family", "name"]] {
            assert_eq!(tree(&names).child("name"), Kept::Whole);
        }
        assert_eq!(tree(&["a.b.c", "a.b"]), tree(&["a.b"]));
    }

    #[test]
    fn star_is_everything_and_stands_alone() {
        assert_eq!(Elements::parse(["*"]), Some(Elements::All));
        assert_eq!(Elements::All.child("anything"), Kept::Whole);
        for bad in [
            &["*", "code"][..],
            &[],
            &[""],
            &["."],
            &["a."],
            &[".a"],
            &["a..b"],
            &["A"],
            &["a b"],
            &["a[0]"],
            &["a.*"],
            &["é"],
        ] {
            assert_eq!(Elements::parse(bad.iter().copied()), None, "{bad:?}");
        }
        assert_eq!(Elements::parse(["a.b", "a.B"]), None);
        assert_eq!(Elements::parse(["a", "a.B"]), None);
    }
}
