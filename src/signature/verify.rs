//! Every signature of a resource, and what the checks of each come to.
//!
//! Takes: bytes as they were received, [`Rules`], and the instant at which certificates are judged. Gives: a [`Report`], or
//! what single signatures come to: those in a resource that was read already, and one that stands apart from what it signs.
//! Guarantees: whatever the bytes are, the answer is a report; only content that was signed by whom it names, with a
//! certificate that is believed, is verified; where only a part is signed, it says so. Refuses: JSON that can be read in more
//! than one way.

use serde::Serialize;

use super::Dialect;
use super::algorithm::ALLOWED;
use super::canonical::{Omitted, canonical};
use super::carrier::{Carrier, carriers, resource_type};
use super::chain::Trust;
use super::checks::{Subject, formats, purpose};
use super::element::Element;
use super::finding::{Finding, Outcome, Verdict, verdict};
use super::jose;
use super::role::{Role, role};
use super::who::Identities;
use crate::clock::Now;
use crate::fhir::identifier::Identifier;
use crate::fhir::json::{JsonError, Kind, Tape, Value};
use crate::limits;
use crate::oauth::algorithm::Algorithm;

/// What a signature is held to.
#[derive(Debug)]
pub struct Rules {
    /// The authorities that are believed.
    pub trust: Trust,
    /// Which edition of CDex.
    pub dialect: Dialect,
    /// Accepted values of `alg`; those outside of [`ALLOWED`] have no effect.
    pub algorithms: Vec<Algorithm>,
    /// Which names in a certificate stand for which identifiers.
    pub identities: Identities,
}

impl Rules {
    /// The rules of the CI build, all of [`ALLOWED`], and the default identities.
    pub fn new(trust: Trust) -> Self {
        Self { trust, dialect: Dialect::Ci, algorithms: ALLOWED.to_vec(), identities: Identities::default() }
    }
}

/// Who signed, as far as it is told. Believed only with a verdict that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignerNote {
    /// Whether a system or a person signed.
    pub role: Role,
    /// What tells.
    pub role_by: &'static str,
    /// `Signature.who.identifier` as `system|value`, else its reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// `Signature.who.identifier`. What a certificate has as a URI is none, whatever it looks like.
    #[serde(skip)]
    pub identifier: Option<Identifier>,
    /// Organisation or name in the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// What was found about one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// Where it is.
    pub path: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// Who signed.
    pub signer: Option<SignerNote>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Whether it signs the resource as a whole.
    #[serde(skip)]
    pub is_whole: bool,
}

/// What was found about a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of all.
    pub verdict: Verdict,
    /// What was found about the resource as a whole.
    pub findings: Vec<Finding>,
    /// Each signature.
    pub signatures: Vec<Examined>,
}

impl Report {
    /// A report of one finding about the whole: nothing could be verified.
    pub fn undecided(code: &'static str, text: &'static str) -> Self {
        Self::ended(Verdict::CannotVerify, Finding::undecided(code, text))
    }

    fn ended(verdict: Verdict, finding: Finding) -> Self {
        Self { verdict, findings: vec![finding], signatures: Vec::new() }
    }
}

/// Examines every signature in the resource that `bytes` are.
///
/// `at` is when certificates are judged: the time of receipt, or now. Without it the signer's own claim is used, which is a
/// warning.
pub fn verify(bytes: &[u8], rules: &Rules, at: Option<Now>) -> Report {
    if bytes.len() > limits::SIGNED_BYTES {
        return Report::undecided("beyond-limits", "larger than accepted");
    }
    let mut tape = Tape::new();
    let root = match tape.read(bytes) {
        Ok(document) => document.root(),
        Err(JsonError::Duplicate(_) | JsonError::Escape(_) | JsonError::EscapedName(_) | JsonError::Utf8) => {
            let text =
                "the JSON can be read in more than one way: a repeated or escaped name, or text that is no Unicode";
            return Report::ended(Verdict::Failed, Finding::fails("json-ambiguous", text));
        }
        Err(JsonError::Depth(_) | JsonError::Values) => {
            return Report::undecided("beyond-limits", "nested deeper, or of more values, than accepted");
        }
        Err(JsonError::Incomplete | JsonError::Syntax(_) | JsonError::Trailing(_)) => {
            return Report::undecided("json-unreadable", "not one JSON document");
        }
    };
    if root.kind() != Kind::Object || resource_type(root).is_none() {
        return Report::undecided("resource-unknown", "not a resource of FHIR R4");
    }
    let found = carriers(root, limits::SIGNATURES + 1);
    if found.len() > limits::SIGNATURES {
        return Report::undecided("beyond-limits", "more signatures than accepted");
    }
    let mut findings = Vec::new();
    let mut worst = Verdict::Verified;
    if found.is_empty() {
        let text = "there is no signature; that is no failure, and no proof of anything";
        return Report::ended(Verdict::Absent, Finding::note("signature-absent", Outcome::CannotTell, text));
    }
    if !found.iter().any(|carrier| carrier.is_whole) {
        let text = "the resource as a whole is not signed, only what is named as the place of a signature";
        findings.push(Finding::warns("partly-signed", Outcome::CannotTell, text));
        worst = Verdict::VerifiedWithWarnings;
    }
    let signatures: Vec<Examined> = found.iter().map(|carrier| examine(carrier, rules, at)).collect();
    let verdict = signatures.iter().map(|examined| examined.verdict).fold(worst, Ord::max);
    Report { verdict, findings, signatures }
}

/// Examines every signature in `root`, a resource of a document that was read already; none where there are more than
/// [`limits::SIGNATURES`] or what they are about is larger than [`limits::SIGNED_BYTES`].
pub fn examine_within(root: Value<'_>, rules: &Rules, at: Now) -> Option<Vec<Examined>> {
    let found = carriers(root, limits::SIGNATURES + 1);
    let is_bounded = found.len() <= limits::SIGNATURES && root.raw().len() <= limits::SIGNED_BYTES;
    is_bounded.then(|| found.iter().map(|carrier| examine(carrier, rules, Some(at))).collect())
}

/// Examines a `Provenance.signature`, which R4 has sign the target of the Provenance: `target` as it was received, without
/// its `id` and `meta`, which servers write anew (PRV-11).
pub fn examine_apart(target: Value<'_>, signature: Value<'_>, rules: &Rules, at: Now) -> Examined {
    let signature = Some(signature).filter(|signature| signature.kind() == Kind::Object);
    let path = "Provenance.signature".to_owned();
    let carrier = Carrier { path, content: target, omitted: Omitted::Target, signature, is_whole: true };
    examine(&carrier, rules, Some(at))
}

fn examine(carrier: &Carrier<'_>, rules: &Rules, at: Option<Now>) -> Examined {
    let ended = |findings: Vec<Finding>, signer| Examined {
        path: carrier.path.clone(),
        verdict: verdict(&findings),
        signer,
        findings,
        is_whole: carrier.is_whole,
    };
    let Some(element) = carrier.signature.and_then(Element::read) else {
        let text = "the place of the signature does not hold a Signature and nothing else";
        return ended(vec![Finding::fails("signature-unreadable", text)], None);
    };
    let (mut common, is_readable) = formats(&element, rules.dialect);
    let Some(data) = element.data.as_deref().filter(|_| is_readable) else {
        if is_readable {
            common.push(Finding::fails("data-missing", "the Signature has no data"));
        }
        return ended(common, Some(signer(carrier.content, &element, None)));
    };
    common.extend(purpose(&element, rules.dialect));
    let entries = match jose::read(data, &rules.algorithms) {
        Ok(entries) => entries,
        Err(finding) => {
            common.push(finding);
            return ended(common, Some(signer(carrier.content, &element, None)));
        }
    };
    // A form that is not known is not tried.
    let is_canonical = !common.iter().any(|finding| finding.code == "unknown-canonicalization");
    let form = is_canonical.then(|| canonical(carrier.content, carrier.omitted));
    let count = entries.len();
    let mut examined: Vec<(Verdict, Vec<Finding>, Option<String>)> = entries
        .into_iter()
        .map(|jws| {
            let subject = Subject { element: &element, rules, at, form: form.as_ref() };
            let (found, display) = subject.judge(jws);
            let all = [common.clone(), found].concat();
            (verdict(&all), all, display)
        })
        .collect();
    examined.sort_by_key(|(verdict, ..)| *verdict);
    let is_uneven = examined.last().map(|last| last.0) != examined.first().map(|first| first.0);
    let Some((_, mut findings, display)) = examined.into_iter().next() else { return ended(common, None) };
    if is_uneven {
        let text = format!("of {count} signatures by the same signer, not all are as good as the one shown");
        findings.push(Finding::warns("other-signature-worse", Outcome::Mismatch, text));
    }
    let signer = signer(carrier.content, &element, display);
    let text = match signer.role {
        Role::System => "signed by a system or an organisation: supplied by it, which is no statement of a clinician",
        Role::Person => "signed by a person",
        Role::Unknown => "whether a system or a person signed is not told",
    };
    let outcome = if signer.role == Role::Unknown { Outcome::CannotTell } else { Outcome::Match };
    findings.push(Finding::note("signer-role", outcome, text));
    ended(findings, Some(signer))
}

fn signer(content: Value<'_>, element: &Element, certificate: Option<String>) -> SignerNote {
    let (role, role_by) = role(content, element);
    let identifier = element.identifier.as_ref();
    let who = identifier.map(|(system, value)| format!("{}|{value}", system.as_deref().unwrap_or_default()));
    let known = identifier.and_then(|(system, value)| Identifier::of(system.as_deref()?, value));
    SignerNote { role, role_by, who: who.or_else(|| element.reference.clone()), identifier: known, certificate }
}
