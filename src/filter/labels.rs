//! Security labels: whether something that a resource carries or holds is withheld.
//!
//! Takes: a resource and the labels that the decision withholds. Gives: the reason to withhold it, if there is one. Guarantees:
//! a label counts wherever R4 and DS4P have one, on the resource, on what it contains, on an element, on a document's
//! content, and where only a code means it. Refuses: to weigh a label; a part that carries one withholds the whole.

use std::borrow::Cow;

use super::judge::Judge;
use super::outline::Outline;
use super::tally::Withheld;
use crate::decide::ComputedLabel;
use crate::fhir::json::{Kind, Value};

/// Inline labels (DS4P 1.0.0), on any element.
const INLINE_LABEL: &str = "hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label";

/// Whether this is the URL of an inline label, in any spelling that could be meant so.
pub(super) fn is_inline_label(url: &str) -> bool {
    let bare = url.trim().split(['|', '?', '#']).next().unwrap_or_default().trim_end_matches('/');
    bare.get(bare.len().saturating_sub(INLINE_LABEL.len())..).is_some_and(|end| end.eq_ignore_ascii_case(INLINE_LABEL))
}

/// The system of `Composition.confidentiality`, which is a plain code.
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

impl Judge<'_> {
    pub(super) fn check_labels_of(&self, resource: Value<'_>) -> Result<(), Withheld> {
        self.check_labels(resource, self.outline(resource))
    }

    pub(super) fn check_labels(&self, resource: Value<'_>, outline: Outline) -> Result<(), Withheld> {
        let mut contained = resource.get("contained").into_iter().flat_map(Value::each);
        // A part that is labelled labels the whole: what is said of it elsewhere in the resource cannot be told apart.
        let withheld = self.carries_label(resource) || contained.any(|inside| self.carries_label(inside));
        if withheld || (outline.inline_label && self.has_inline_label(resource)) {
            return Err(Withheld::Label);
        }
        if self.question().permit().obligations().computes_labels() && self.has_computed_label(resource) {
            return Err(Withheld::Computed);
        }
        Ok(())
    }

    /// Whether a resource is labelled as a whole, or as the description of its content.
    fn carries_label(&self, resource: Value<'_>) -> bool {
        let metas = resource.get("meta").into_iter().flat_map(Value::each);
        let mut own = metas.filter_map(|meta| meta.get("security")).flat_map(Value::each);
        own.any(|label| self.withholds(label)) || self.withholds_content(resource)
    }

    /// Whether some code in a resource means a label that is withheld.
    fn has_computed_label(&self, resource: Value<'_>) -> bool {
        let obligations = self.question().permit().obligations();
        let mut codes = resource.codes().flat_map(|code| code.value.each()).filter_map(written);
        let listed = codes.any(|code| obligations.may_be_sensitive(&code));
        let mut found = false;
        if listed {
            self.computed_labels(resource, &mut |_| found = true);
        }
        found
    }

    /// Visits the labels that are withheld and that codes in a resource mean.
    pub(super) fn computed_labels(&self, resource: Value<'_>, visit: &mut dyn FnMut(&ComputedLabel)) {
        let objects = std::iter::once(resource).chain(resource.below().map(|(_, value)| value));
        let obligations = self.question().permit().obligations();
        for coding in objects.filter(|value| value.kind() == Kind::Object) {
            let system = coding.get("system").and_then(Value::text).unwrap_or_default();
            let coded = coding.get("code").into_iter().flat_map(Value::each).map(|code| (&*system, code));
            let bare = coding.get("valueCode").into_iter().flat_map(Value::each).map(|code| ("", code));
            for (system, code) in coded.chain(bare) {
                let label = written(code).and_then(|code| obligations.computed_label(system, &code));
                label.into_iter().for_each(&mut *visit);
            }
        }
    }

    /// Whether what a document or its description says of its content's confidentiality is withheld.
    fn withholds_content(&self, resource: Value<'_>) -> bool {
        let obligations = self.question().permit().obligations();
        let mut concepts = resource.get("securityLabel").into_iter().flat_map(Value::each);
        let mut confidentialities = resource.get("confidentiality").into_iter().flat_map(Value::each);
        concepts.any(|concept| match concept.get("coding") {
            Some(codings) => codings.each().any(|coding| self.withholds(coding)),
            None => self.withholds(concept),
        }) || confidentialities
            .any(|code| obligations.withholds_label(CONFIDENTIALITY, &code.text().unwrap_or_default()))
    }

    pub(super) fn withholds(&self, label: Value<'_>) -> bool {
        let member = |name: &str| label.get(name).and_then(Value::text).unwrap_or_default();
        self.question().permit().obligations().withholds_label(&member("system"), &member("code"))
    }

    /// Whether any element below carries an inline label that is withheld.
    fn has_inline_label(&self, value: Value<'_>) -> bool {
        let mut found = false;
        self.inline_labels(value, &mut |label| found |= self.withholds(label));
        found
    }

    /// Visits the inline labels of all elements below.
    pub(super) fn inline_labels<'v>(&self, value: Value<'v>, visit: &mut dyn FnMut(Value<'v>)) {
        if value.get("url").and_then(Value::text).is_some_and(|url| is_inline_label(&url)) {
            value.members().filter(|member| member.name.starts_with("value")).for_each(|member| visit(member.value));
        }
        value.members().for_each(|member| self.inline_labels(member.value, visit));
        value.items().for_each(|item| self.inline_labels(item, visit));
    }
}

/// A code as it could be meant: some write those of SNOMED CT as numbers.
fn written(code: Value<'_>) -> Option<Cow<'_, str>> {
    code.text().or_else(|| (code.kind() == Kind::Number).then(|| code.raw().into()))
}
