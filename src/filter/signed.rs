//! What is signed leaves as it was signed, or not at all (PRV-30, PRV-31).
//!
//! Takes: a resource that may leave, and how it would be written. Gives: whether a signature that it carries holds for whoever
//! gets it as it did for the gateway. Guarantees: no signature leaves over content that was redacted, cut, summarised or had its
//! URLs rewritten, and none is taken out of what leaves. Refuses: a part of what is signed, and a signed Provenance without
//! each of its targets beside it, whole.
//!
//! `id` and `meta` of a resource are outside of its signatures (see [`crate::authorship`]): marks and labels may be written there. A
//! Provenance signs its targets and not itself, and yet leaves whole: who signed is read in it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::judge::{Judge, Release};
use super::redact;
use super::tally::Withheld;
use crate::authorship::{Passage, passage};
use crate::fhir::json::Value;
use crate::fhir::reference::Reference;
use crate::understand::Summary;

/// How the names of all elements end that hold a Signature in R4: `signature`, `valueSignature`, `proxySignature`.
const END: &str = "ignature";

static NAMED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("ignature\""));

impl Judge<'_> {
    /// Whether what is signed in or by a resource leaves as it is.
    pub(super) fn check_signed(&self, resource: Value<'_>, release: &Release<'_>) -> Result<(), Withheld> {
        if !carries_signature(resource) {
            return Ok(());
        }
        let is_about_others = release.resource_type.as_str() == "Provenance";
        let leaves =
            |target: &str| Reference::parse(target, &self.ehr()).is_some_and(|target| self.left_intact(&target));
        let holds =
            self.is_intact(resource, release) && (!is_about_others || passage(resource, leaves) == Passage::Whole);
        if holds { Ok(()) } else { Err(Withheld::Signed) }
    }

    /// Whether a resource is written as the EHR sent it, but for its `id` and `meta`.
    pub(super) fn is_intact(&self, resource: Value<'_>, release: &Release<'_>) -> bool {
        // What is contained keeps its own `meta` only by being copied.
        let mut contained = resource.get("contained").into_iter().flat_map(Value::each);
        release.is_whole()
            && release.summary == Summary::Whole
            && !(self.mentions_ehr(resource) && redact::renames(resource, self.bases()))
            && contained.all(|inside| inside.get("meta").is_none())
    }
}

/// Whether a resource holds a Signature anywhere: a search through its text before a look at its names, which hold no escapes.
fn carries_signature(resource: Value<'_>) -> bool {
    NAMED.find(resource.raw().as_bytes()).is_some()
        && resource.below().any(|(name, value)| name.is_some_and(|name| name.ends_with(END)) && !value.is_empty())
}
