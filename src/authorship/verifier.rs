//! The signatures of an answer, verified by the anchors of the sources that its records come from.
//!
//! Takes: records as they were received, the [`Evidence`] beside them, what is trusted, and the time. Gives: to the evidence,
//! what became of each signature. Guarantees: no I/O, no clock; an outcome counts for the very text that it was held against,
//! whatever else goes by the same name; [`limits::SIGNATURES_OF_A_PAGE`] and [`limits::SIGNED_BYTES_OF_A_PAGE`] bound the work.
//! Refuses: nothing; what cannot be verified is told of as that, and is none that passed.
//!
//! # What is verified, and over what
//!
//! | signature | what it signs | where it counts |
//! |---|---|---|
//! | `Provenance.signature` | R4: the target. CDex: canonical JSON by RFC 8785 of that resource, without its `id` and `meta` | for the target, by the authors of that Provenance alone |
//! | a signature extension of a QuestionnaireResponse | CDex: the form, without `id`, `meta` and those extensions | for the form; one on an item can only fail |
//! | `Bundle.signature` of the searchset that a record came in | CDex: the searchset, without `id`, `meta` and `signature` | for each record in it |
//!
//! `id` and `meta` are left out because servers write them anew; so a signature holds for the same content under another id, and
//! labels and times in `meta` are none that it protects. Nothing of the Provenance itself is signed. Neither R4 nor CDex says in
//! which form several targets would be signed together: such a signature cannot be verified, nor can one of another
//! `targetFormat` or `sigFormat`. The edition of CDex is the one that the registry names for the source.
//!
//! # By whose authorities
//!
//! A signature is held to the anchors of each source that the record comes from, and to no others. One that leads to none of them
//! says nothing for the record and nothing against it, unless it is in the source's own name or of other content. So it is with
//! a certificate that has expired: nobody who could be believed says when it was used. Everything else that is wrong with a
//! signature is a failure. Certificates are judged as of the time of the exchange, and looked up in the revocation lists of the
//! source where it has some.

use std::collections::HashMap;

use super::evidence::{Checked, Evidence, TextDigest};
use super::judge::places;
use super::record::Record;
use super::registry::Trust;
use super::signature::{Outcome, Signer, State};
use crate::clock::Now;
use crate::config::Source;
use crate::fhir::json::{Tape, Value};
use crate::limits;
use crate::signature::{Examined, Role, Rules, Verdict, Weight, examine_apart, examine_within, has_own_signature};

/// Verifies the signatures of one answer.
#[derive(Debug)]
pub struct Verifier<'r> {
    trust: Trust<'r>,
    now: Now,
    /// How many more signatures are verified.
    left: usize,
    /// Over how many bytes more.
    bytes_left: usize,
    /// What became of the answer's own signatures, by the place of the source in the registry.
    whole: HashMap<usize, Vec<Outcome>>,
}

impl<'r> Verifier<'r> {
    /// `None` where no source has anchors, so that nothing could be verified.
    pub fn new(trust: Trust<'r>, now: Now) -> Option<Self> {
        let verifies = trust.registry.is_some_and(|registry| registry.has_anchors());
        verifies.then(|| Self {
            trust,
            now,
            left: limits::SIGNATURES_OF_A_PAGE,
            bytes_left: limits::SIGNED_BYTES_OF_A_PAGE,
            whole: HashMap::new(),
        })
    }

    /// The same without bounds: for a file that somebody looks at, while nobody else waits.
    #[must_use]
    pub fn unbounded(self) -> Self {
        Self { left: usize::MAX, bytes_left: usize::MAX, ..self }
    }

    /// Verifies what is signed of a record: by Provenance about this version, by itself, and by the Bundle `whole` that it
    /// came in. Tells whether that took any work, so that a caller with others to serve may do so in between.
    pub fn verify(&mut self, record: &Record<'_>, whole: Option<Value<'_>>, evidence: &mut Evidence) -> bool {
        let told = provenances(record, evidence);
        let has_own = has_own_signature(record.resource);
        let whole = whole.filter(|bundle| bundle.get("signature").is_some());
        if told.is_empty() && !has_own && whole.is_none() {
            return false;
        }
        let before = self.left;
        let sources = places(record, evidence, &self.trust, self.now);
        let mut found = Vec::new();
        for place in told {
            let outcomes = self.provenance(record, place, &sources, evidence);
            found.extend(outcomes.into_iter().map(|outcome| (Some(place), outcome)));
        }
        if has_own {
            let outcomes = self.within(record.resource, &sources);
            found.extend(outcomes.into_iter().map(|outcome| (None, outcome)));
        }
        if let Some(bundle) = whole {
            found.extend(self.whole(bundle, &sources).into_iter().map(|outcome| (None, outcome)));
        }
        let of = TextDigest::of(record.resource);
        evidence.checked.extend(found.into_iter().map(|(told, outcome)| Checked { of, told, outcome }));
        self.left < before
    }

    /// Those of one Provenance, of which the record is the one target.
    fn provenance(
        &mut self,
        record: &Record<'_>,
        place: usize,
        sources: &[usize],
        evidence: &Evidence,
    ) -> Vec<Outcome> {
        let Some(told) = evidence.told.get(place) else { return Vec::new() };
        let mut tape = Tape::new();
        let text = told.signature.as_deref().unwrap_or_default();
        let Some(signatures) = tape.read(text.as_bytes()).ok().filter(|_| told.targets == 1) else {
            return vec![undecided()];
        };
        let all = signatures.root().each();
        all.flat_map(|signature| {
            self.by_sources(sources, record.resource, |rules, now| {
                vec![examine_apart(record.resource, signature, rules, now)]
            })
        })
        .collect()
    }

    /// Those in the value itself.
    fn within(&mut self, root: Value<'_>, sources: &[usize]) -> Vec<Outcome> {
        self.by_sources(sources, root, |rules, now| examine_within(root, rules, now).unwrap_or_default())
    }

    /// Those of the answer, once for each source.
    fn whole(&mut self, bundle: Value<'_>, sources: &[usize]) -> Vec<Outcome> {
        let mut all = Vec::new();
        for place in sources {
            let known = match self.whole.get(place) {
                Some(known) => known.clone(),
                None => {
                    let found = self.by_sources(&[*place], bundle, |rules, now| {
                        let examined = examine_within(bundle, rules, now).unwrap_or_default();
                        examined.into_iter().filter(|examined| examined.is_whole).collect()
                    });
                    self.whole.insert(*place, found.clone());
                    found
                }
            };
            all.extend(known);
        }
        all
    }

    /// What signatures over `content` come to by the anchors of each source: where they hold; else, that one fails, or that
    /// nobody can tell.
    fn by_sources(
        &mut self,
        sources: &[usize],
        content: Value<'_>,
        examine: impl Fn(&Rules, Now) -> Vec<Examined>,
    ) -> Vec<Outcome> {
        let mut found = Vec::new();
        for place in sources {
            let Some(registry) = self.trust.registry else { break };
            let (Some(source), Some(rules)) = (registry.get(*place), registry.rules(*place)) else { continue };
            let size = content.raw().len();
            let (Some(left), Some(bytes_left)) = (self.left.checked_sub(1), self.bytes_left.checked_sub(size)) else {
                return vec![undecided()];
            };
            (self.left, self.bytes_left) = (left, bytes_left);
            let examined = examine(rules, self.now);
            // Each further one costs what the first did.
            let further = examined.len().saturating_sub(1);
            self.left = self.left.saturating_sub(further);
            self.bytes_left = self.bytes_left.saturating_sub(size.saturating_mul(further));
            found.extend(examined.into_iter().filter_map(|examined| outcome(&examined, source)));
        }
        found.retain(|outcome| outcome.state != State::CannotVerify);
        if found.is_empty() { vec![undecided()] } else { found }
    }
}

/// The places of the signed Provenance that counts for a record: about this version, or about none in particular.
fn provenances(record: &Record<'_>, evidence: &Evidence) -> Vec<usize> {
    let version = record.version();
    let abouts = evidence.of(record).into_iter().flat_map(|held| &held.about).take(limits::PROVENANCES_PER_RECORD);
    let counts = abouts.filter(|about| about.version.is_none() || about.version.as_deref() == version.as_deref());
    let mut places: Vec<usize> = counts.filter_map(|about| about.told).collect();
    places.dedup();
    places.retain(|place| evidence.told.get(*place).is_some_and(|told| told.signature.is_some()));
    places
}

/// What a signature that was examined by the anchors of `source` says of authorship; `None` where it holds for a part alone.
fn outcome(examined: &Examined, source: &Source) -> Option<Outcome> {
    let signer = examined.signer.as_ref();
    let who = signer.and_then(|signer| signer.identifier.clone());
    let is_own = who.as_ref().is_some_and(|who| source.identifiers.contains(who));
    let state = match examined.verdict {
        Verdict::Verified | Verdict::VerifiedWithWarnings if !examined.is_whole => return None,
        Verdict::Verified => State::Verified,
        Verdict::VerifiedWithWarnings => State::VerifiedWithWarnings,
        Verdict::Failed if is_untold(examined, is_own) => State::CannotVerify,
        Verdict::Failed => State::Failed,
        Verdict::Absent | Verdict::CannotVerify => State::CannotVerify,
    };
    Some(Outcome {
        state,
        signers: who.into_iter().collect(),
        signer: if signer.is_some_and(|signer| signer.role == Role::Person) { Signer::Person } else { Signer::System },
        anchored: source.identifiers.first().cloned(),
    })
}

/// Whether nothing is wrong but that the certificate is too old, or that a stranger signed, by whatever rules of his own.
fn is_untold(examined: &Examined, is_own: bool) -> bool {
    let fatal =
        || examined.findings.iter().filter(|finding| finding.weight == Weight::Fatal).map(|finding| finding.code);
    let is_strangers = !is_own && fatal().any(|code| code == "chain-untrusted");
    fatal().all(|code| match code {
        "certificate-expired" => true,
        "content-changed" => false,
        _ => is_strangers,
    })
}

fn undecided() -> Outcome {
    Outcome { state: State::CannotVerify, signers: Vec::new(), signer: Signer::System, anchored: None }
}
