//! Which elements of a resource are kept.
//!
//! Takes: dotted element names (`name.family`, `value[x]`), and names of single repetitions
//! (`identifier[system=http://hospital.example/mrn]`). Gives: [`Elements`], walked from the resource inwards. Guarantees:
//! a name keeps itself with all that is below it, and nothing beside it; a repetition is kept by what it says itself.
//! Refuses: names that R4's grammar of element names does not allow, and conditions that could both hold.

use std::fmt::Write;

use crate::fhir::json::{Kind, Value};
use crate::fhir::path;
use crate::limits;

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
    /// Sorted by name.
    children: Vec<(Box<str>, Branch)>,
}

/// What is kept of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Branch {
    /// Every repetition; an empty tree keeps it whole.
    Every(ElementTree),
    /// Single repetitions.
    Some(Slices),
}

/// The repetitions of one element that are kept: each by the text of one member, the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices {
    member: Box<str>,
    /// By the member's text; an empty tree keeps the repetition whole.
    kept: Vec<(Box<str>, ElementTree)>,
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
    /// Of its repetitions, only these stay.
    Some(&'a Slices),
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
            if name.len() > limits::ELEMENT_NAME_BYTES {
                return None;
            }
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

impl Slices {
    /// What becomes of one repetition: it must be an object that says what a slice asks for.
    pub fn of(&self, repetition: Value<'_>) -> Kept<'_> {
        if repetition.kind() != Kind::Object {
            return Kept::No;
        }
        repetition.get(&self.member).and_then(Value::text).map_or(Kept::No, |text| self.named(&self.member, &text))
    }

    /// What becomes of the repetitions whose `member` is `text`.
    pub fn named(&self, member: &str, text: &str) -> Kept<'_> {
        let slice = self.kept.iter().find(|(of, _)| *self.member == *member && **of == *text);
        slice.map_or(Kept::No, |(_, below)| below.as_kept())
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
            Some((_, Branch::Every(below))) => below.as_kept(),
            Some((_, Branch::Some(slices))) => Kept::Some(slices),
        }
    }

    fn as_kept(&self) -> Kept<'_> {
        if self.children.is_empty() { Kept::Whole } else { Kept::Part(self) }
    }

    /// The choice element whose type-suffixed form `name` is, such as `value[x]` for `valueQuantity`.
    fn choice(&self, name: &str) -> Option<&(Box<str>, Branch)> {
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
        let step = Step::parse(name)?;
        let at = self.children.binary_search_by(|(of, _)| (**of).cmp(step.name));
        let Ok(at) = at else {
            let at = at.err()?;
            let branch = match step.only {
                None => Branch::Every(Self::of(step.rest)?),
                Some((member, text)) => {
                    Branch::Some(Slices { member: member.into(), kept: vec![(text.into(), Self::of(step.rest)?)] })
                }
            };
            self.children.insert(at, (step.name.into(), branch));
            return Some(());
        };
        match (&mut self.children.get_mut(at)?.1, step.only) {
            (Branch::Every(below), None) => below.widen(step.rest),
            (Branch::Some(slices), Some((member, text))) if *slices.member == *member => {
                match slices.kept.iter_mut().find(|(of, _)| **of == *text) {
                    Some((_, below)) => below.widen(step.rest),
                    None => {
                        slices.kept.push((text.into(), Self::of(step.rest)?));
                        slices.kept.sort_by(|(one, _), (other, _)| one.cmp(other));
                        Some(())
                    }
                }
            }
            _ => None,
        }
    }

    fn of(rest: Option<&str>) -> Option<Self> {
        let mut tree = Self::default();
        rest.map_or(Some(()), |rest| tree.insert(rest))?;
        Some(tree)
    }

    /// Adds one name below, or all where there is none; where all is kept already, the name is only looked at.
    fn widen(&mut self, rest: Option<&str>) -> Option<()> {
        match rest {
            None => *self = Self::default(),
            Some(rest) if self.children.is_empty() => Self::default().insert(rest)?,
            Some(rest) => self.insert(rest)?,
        }
        Some(())
    }

    fn write_canonical(&self, out: &mut String) -> std::fmt::Result {
        for (name, branch) in &self.children {
            write!(out, "e{name}(")?;
            match branch {
                Branch::Every(below) => below.write_canonical(out)?,
                Branch::Some(slices) => {
                    for (text, below) in &slices.kept {
                        write!(out, "s{}={}:{text}(", slices.member, text.len())?;
                        below.write_canonical(out)?;
                        out.push(')');
                    }
                }
            }
            out.push(')');
        }
        Ok(())
    }
}

/// The outermost step of a name, and what follows it.
struct Step<'n> {
    name: &'n str,
    only: Option<(&'n str, &'n str)>,
    rest: Option<&'n str>,
}

impl<'n> Step<'n> {
    fn parse(text: &'n str) -> Option<Self> {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (plain, after) = text.split_at(end);
        let (name, only, after) = match after.strip_prefix('[') {
            None => (plain, None, after),
            Some(condition) => {
                let (inside, after) = condition.split_once(']')?;
                match inside.split_once('=') {
                    None if inside == "x" => (text.get(..end + 3)?, None, after),
                    None => return None,
                    Some((member, value)) => {
                        let fits = is_name(member) && !value.is_empty() && !value.contains(['[', ' ']);
                        (plain, Some(fits.then_some((member, value))?), after)
                    }
                }
            }
        };
        let rest = if after.is_empty() { None } else { Some(after.strip_prefix('.')?) };
        is_name(plain).then_some(Self { name, only, rest })
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
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
            &["a[x=]"],
            &["a[=x]"],
            &["a[X=x]"],
            &["a[x=y"],
            &["a[x=y]b"],
            &["a[x=y]."],
            &["a[x=y z]"],
            &["a[x][x=y]"],
            &["a.*"],
            &["é"],
        ] {
            assert_eq!(Elements::parse(bad.iter().copied()), None, "{bad:?}");
        }
        assert_eq!(Elements::parse(["a.b", "a.B"]), None);
        assert_eq!(Elements::parse(["a", "a.B"]), None);
    }

    #[test]
    fn a_repetition_is_kept_by_what_it_says() {
        let tree = tree(&[
            "identifier[system=http://hospital.example/mrn]",
            "identifier[system=http://payer.example/member].value",
            "telecom[use=work].value",
        ]);
        let Kept::Some(slices) = tree.child("identifier") else { panic!() };
        let mut tape = crate::fhir::json::Tape::new();
        let mut kept = |text: &str| format!("{:?}", slices.of(tape.read(text.as_bytes()).unwrap().root()));
        assert_eq!(kept(r#"{"system":"http://hospital.example/mrn","value":"1"}"#), "Whole");
        assert!(kept(r#"{"system":"http:\/\/payer.example/member"}"#).starts_with("Part"));
        for other in [
            r#"{"system":"http://hl7.org/fhir/sid/us-ssn"}"#,
            r#"{"system":["http://hospital.example/mrn"]}"#,
            r#"{"value":"http://hospital.example/mrn"}"#,
            r#""http://hospital.example/mrn""#,
            r#"[{"system":"http://hospital.example/mrn"}]"#,
        ] {
            assert_eq!(kept(other), "No", "{other}");
        }
        assert_eq!(slices.named("value", "http://hospital.example/mrn"), Kept::No);
    }

    #[test]
    fn conditions_on_one_element_exclude_each_other() {
        for bad in [["a[x=1]", "a"], ["a", "a[x=1]"], ["a[x=1]", "a[y=1]"], ["a.b", "a[x=1].b"]] {
            assert_eq!(Elements::parse(bad), None, "{bad:?}");
        }
        assert_eq!(tree(&["a[x=1].b", "a[x=1]"]), tree(&["a[x=1]"]));
        assert_eq!(tree(&["a[x=2]", "a[x=1]"]), tree(&["a[x=1]", "a[x=2]"]));
        let canonical = |names: &[&str]| {
            let mut text = String::new();
            Elements::Only(tree(names)).write_canonical(&mut text).unwrap();
            text
        };
        assert_ne!(canonical(&["a[x=1]"]), canonical(&["a[x=2]"]));
        assert_ne!(canonical(&["a[x=1]"]), canonical(&["a"]));
    }
}
