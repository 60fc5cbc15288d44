//! One look over everything in a resource, for all that must know what is anywhere in it.
//!
//! Takes: a resource. Gives: [`Outline`]. Guarantees: where the reader's traits tell already that there is nothing to find, there
//! is no look. Refuses: to say where something is; who must know that walks the resource again, which is rare.

use super::closure::Link;
use super::judge::Judge;
use super::labels::is_inline_label;
use crate::fhir::json::{Kind, Value, is_link};

/// What one look over everything in a resource tells.
#[derive(Clone, Copy)]
pub(super) struct Outline {
    /// Some element has a modifier extension.
    pub(super) modifier_extension: bool,
    /// Some extension has the URL of an inline label.
    pub(super) inline_label: bool,
    /// There are no extensions, none of primitives, no names that FHIR has not, nothing that is null or empty, and no
    /// `display` of nobody knows what.
    pub(super) verbatim: bool,
    /// Some URL leads to content, or where nothing may lead.
    pub(super) linked: bool,
}

impl Judge<'_> {
    /// Looks over a resource, where its traits do not tell already.
    pub(super) fn outline(&self, resource: Value<'_>) -> Outline {
        let mut outline = Outline { modifier_extension: false, inline_label: false, verbatim: true, linked: false };
        let traits = resource.traits();
        outline.verbatim = !traits.unattached;
        if !traits.extended && !traits.hollow {
            return outline;
        }
        for (name, value) in resource.below() {
            match name {
                Some("modifierExtension") => outline.modifier_extension = true,
                Some("extension") => outline.verbatim = false,
                Some(name) if is_link(name) => {
                    for url in value.each().filter_map(Value::text) {
                        outline.inline_label |= name == "url" && is_inline_label(&url);
                        outline.linked |= !matches!(self.link(&url), Link::Open);
                    }
                }
                Some(name) if name.contains('_') => outline.verbatim = false,
                _ => {}
            }
            outline.verbatim &= value.kind() != Kind::Null && !value.is_empty();
        }
        outline
    }
}
