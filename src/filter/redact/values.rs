//! What is written of a value inside a resource: by a list of elements, whole and cleaned, or whole and spared.
//!
//! Takes: a value that is kept, in whole or in part. Gives: its text, and whether anything is left of it. Guarantees: of what a
//! list keeps, nothing leaves that repeats what it does not; of what leaves whole, nothing that leads where nothing may.
//! Refuses: to tell a Reference from anything else by its place; what has the members of one is one.

use super::Writer;
use super::copy::Care;
use crate::decide::{ElementTree, Kept, Slices};
use crate::fhir::json::{Kind, Value};

impl Writer<'_> {
    /// Writes what is kept of the element `name`.
    pub(super) fn kept(&self, kept: Kept<'_>, name: &str, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match kept {
            Kept::No => false,
            Kept::Whole => self.clean(name, value, out),
            Kept::Part(tree) => self.part(tree, value, out),
            Kept::Some(slices) => self.slices(slices, name, value, out),
        }
    }

    /// Writes the listed repetitions of an element.
    fn slices(&self, slices: &Slices, name: &str, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match value.kind() {
            Kind::Array => self.items(value, out, |item, out| self.kept(slices.of(item), name, item, out)),
            _ => self.kept(slices.of(value), name, value, out),
        }
    }

    /// Writes the listed elements of a complex value; tells whether anything is left of it.
    fn part(&self, tree: &ElementTree, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match value.kind() {
            Kind::Array => self.items(value, out, |item, out| self.part(tree, item, out)),
            Kind::Object if self.cuts && self.judge.bars_reference(value, self.inside) => false,
            Kind::Object => {
                let reference = value.get("reference").and_then(Value::text);
                let leads_to_record = || reference.as_deref().is_some_and(|text| self.judge.leads_to_record(text));
                self.members(value, Care::Strict, out, |name, member, out| {
                    let repeats = match name {
                        "display" => leads_to_record(),
                        "identifier" => reference.is_some(),
                        _ => false,
                    };
                    !repeats && self.kept(tree.child(name), name, member, out)
                })
            }
            _ => false,
        }
    }

    /// Writes the value of the element `of` without extensions, without narrative, and without what a reference says of the
    /// resource that it leads to.
    pub(super) fn clean(&self, of: &str, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        let plain = !matches!(value.kind(), Kind::Array | Kind::Object) || value.pointers().next().is_none();
        if self.verbatim && plain {
            self.copy(value, out);
            return true;
        }
        match value.kind() {
            Kind::Array => self.items(value, out, |item, out| self.clean(of, item, out)),
            Kind::Object if self.cuts && self.judge.bars_reference(value, self.inside) => false,
            Kind::Object => {
                let is_reference = is_reference(of, value);
                self.members(value, Care::Strict, out, |name, member, out| {
                    let repeats = match name {
                        "extension" => true,
                        "text" => member.kind() == Kind::Object,
                        "identifier" => is_reference,
                        "display" => is_reference && self.judge.display_repeats(value),
                        _ => false,
                    };
                    !repeats && self.clean(name, member, out)
                })
            }
            Kind::Null => false,
            _ => {
                self.copy(value, out);
                true
            }
        }
    }

    /// Writes a value as it is, but for references and links that must not leave, and what could repeat them.
    pub(super) fn spare(&self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match value.kind() {
            Kind::Object | Kind::Array if !self.drops_narrative || value.is_empty() => self.copy(value, out),
            Kind::Array => return self.items(value, out, |item, out| self.spare(item, out)),
            Kind::Object if self.judge.bars_reference(value, self.inside) => return false,
            Kind::Object => {
                let reference = value.get("reference").and_then(Value::text);
                let leads_inside = reference.is_some_and(|text| text.starts_with('#'));
                return self.members(value, Care::Spare, out, |name, member, out| {
                    let repeats = match name {
                        "text" => member.kind() == Kind::Object,
                        "display" | "identifier" => self.redacts_contained && leads_inside,
                        _ => false,
                    };
                    !repeats && self.spare(member, out)
                });
            }
            _ => self.copy(value, out),
        }
        true
    }
}

/// Whether an object, the value of the element `of`, is a Reference: it leads somewhere, or it has nothing that a Reference
/// has not, and is no Coding.
fn is_reference(of: &str, value: Value<'_>) -> bool {
    let of_kind = |name: &str, kind: Kind| value.get(name).is_some_and(|value| value.kind() == kind);
    let has = |name: &str| value.get(name).is_some();
    if of_kind("reference", Kind::String) {
        return true;
    }
    if of_kind("identifier", Kind::Object) {
        return has("display") || value.members().all(|member| REFERENCE.contains(&member.name));
    }
    let is_coding = of == "coding" || of.ends_with("Coding");
    has("display") && !is_coding && !has("code") && !has("system")
}

/// The members of a Reference.
const REFERENCE: &[&str] = &["id", "extension", "reference", "type", "identifier", "display"];
