//! The checks of one signature: its form, its content, its certificate, its signer, and what it says of itself.
//!
//! Takes: a Signature, one JWS of it, the canonical form of what it is about, [`Rules`]. Gives: findings. Guarantees: no check
//! depends on how another ended, so that a report says all that is wrong (CDex "Signatures", PRV-14). Refuses: to take the
//! signer's word for a time without saying so (PRV-26).

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::Dialect;
use super::algorithm;
use super::canonical::{Canonical, CanonicalError};
use super::certificate::{Certificate, CertificateError};
use super::element::{Element, PURPOSES, SIG_FORMAT, TARGET_FORMAT, VERIFICATION};
use super::finding::{Check, Finding, Outcome};
use super::jose::Jws;
use super::verify::Rules;
use super::who::{NameKind, is_named};
use crate::clock::Now;
use crate::limits;

/// `targetFormat` and `sigFormat`, exactly; and whether `data` is to be read at all. Where they are absent, they mean the only
/// form that the guide has, which 2.1.0 leaves to its readers and the CI build does not.
pub(super) fn formats(element: &Element, dialect: Dialect) -> (Vec<Finding>, bool) {
    let mut findings = Vec::new();
    let absent = |name: &str| {
        let text = format!("the Signature has no {name}");
        match dialect {
            Dialect::Ci => Finding::fails("format-missing", text),
            Dialect::Published => Finding::note("format-missing", Outcome::CannotTell, text),
        }
    };
    findings.push(match element.target_format.as_deref() {
        Some(TARGET_FORMAT) => Finding::note("canonicalization-known", Outcome::Match, "canonicalised by RFC 8785"),
        Some(_) => Finding::undecided("unknown-canonicalization", "targetFormat is none that is implemented"),
        None => absent("targetFormat"),
    });
    let is_jose = match element.sig_format.as_deref() {
        Some(format) => format == SIG_FORMAT,
        None => {
            findings.push(absent("sigFormat"));
            true
        }
    };
    if !is_jose {
        findings.push(Finding::undecided("unknown-signature-format", "sigFormat is not application/jose"));
    }
    (findings, is_jose)
}

/// Signature.type has the purpose that CDex signs for.
pub(super) fn purpose(element: &Element, dialect: Dialect) -> Option<Finding> {
    let is_stated = element.types.iter().any(|(system, code)| system == PURPOSES && code == VERIFICATION);
    let text = "Signature.type is not the verification signature of ASTM E1762";
    match (is_stated, dialect) {
        (true, _) => None,
        (false, Dialect::Ci) => Some(Finding::fails("type-not-verification", text)),
        (false, Dialect::Published) => Some(Finding::warns("type-not-verification", Outcome::Mismatch, text)),
    }
}

/// One JWS of a Signature, before it is judged.
pub(super) struct Subject<'s> {
    pub(super) element: &'s Element,
    pub(super) rules: &'s Rules,
    pub(super) at: Option<Now>,
    pub(super) form: Option<&'s Result<Canonical, CanonicalError>>,
}

impl Subject<'_> {
    /// What is found, and the name in the certificate.
    pub(super) fn judge(&self, mut jws: Jws) -> (Vec<Finding>, Option<String>) {
        let mut findings = std::mem::take(&mut jws.findings);
        self.commitment(&jws, &mut findings);
        self.when(&jws, &mut findings);
        let at = self.time(&jws, &mut findings);
        let leaf = match jws.x5c.first().map(|der| Certificate::read(der)) {
            Some(Ok(leaf)) => Some(leaf),
            Some(Err(CertificateError::Size)) => {
                findings.push(Finding::undecided("beyond-limits", "the certificate has more names than accepted"));
                None
            }
            Some(Err(CertificateError::Unreadable)) => {
                findings.push(Finding::fails("certificate-unreadable", "x5c does not begin with a certificate"));
                None
            }
            None => None,
        };
        self.content(&jws, leaf.as_ref(), &mut findings);
        if let Some(leaf) = &leaf {
            self.certificate(&jws, leaf, at, &mut findings);
            self.who(leaf, &mut findings);
        }
        (findings, leaf.and_then(|leaf| leaf.display))
    }

    /// CONF-037 to 039, 054: the commitments are the types.
    fn commitment(&self, jws: &Jws, findings: &mut Vec<Finding>) {
        let Some(commitments) = &jws.commitments else {
            findings.push(self.missing(Check::Commitment, "commitment-missing", "the header has no srCms"));
            return;
        };
        let plain = |id: &String| id.strip_prefix("urn:oid:").unwrap_or(id).to_owned();
        let sorted = |mut codes: Vec<String>| {
            codes.sort_unstable();
            codes.dedup();
            codes
        };
        let signed = sorted(commitments.iter().map(plain).collect());
        let stated = sorted(self.element.types.iter().map(|(_, code)| code.clone()).collect());
        findings.push(if signed == stated && signed.iter().any(|code| code == VERIFICATION) {
            Finding::agrees(Check::Commitment, "commitment-matches", "srCms says what Signature.type says")
        } else {
            Finding::fails("commitment-mismatch", "srCms and Signature.type are not the same purposes")
        });
    }

    /// CONF-043, 055: `sigT` is `Signature.when`.
    fn when(&self, jws: &Jws, findings: &mut Vec<Finding>) {
        let Some(signed) = &jws.sig_t else {
            findings.push(self.missing(Check::When, "sigt-missing", "the header has no sigT"));
            return;
        };
        let instant = |text: &str| text.parse::<Timestamp>().ok();
        findings.push(match self.element.when.as_deref() {
            Some(when) if when == signed => Finding::agrees(Check::When, "when-matches", "sigT is Signature.when"),
            Some(when) if instant(when).is_some() && instant(when) == instant(signed) => Finding::agrees_in_part(
                Check::When,
                "when-spelled-otherwise",
                "sigT and Signature.when are the same instant in two spellings",
            ),
            _ => Finding::fails("when-mismatch", "sigT is not Signature.when"),
        });
    }

    /// The instant at which certificates are judged.
    fn time(&self, jws: &Jws, findings: &mut Vec<Finding>) -> Option<Timestamp> {
        let claimed = jws.sig_t.as_deref().or(self.element.when.as_deref()).and_then(|text| text.parse().ok());
        if let Some(at) = self.at {
            let text = format!("certificates are judged as of {}, which was stated", at.to_instant());
            findings.push(Finding::agrees(Check::Time, "time-stated", text));
            let latest = at.timestamp().saturating_add(limits::SIGNATURE_CLOCK_SKEW).unwrap_or(Timestamp::MAX);
            if claimed.is_some_and(|claimed: Timestamp| claimed > latest) {
                let text = "the signer claims to have signed later than that";
                findings.push(Finding::warns("signed-in-future", Outcome::Mismatch, text));
            }
            return Some(at.timestamp());
        }
        findings.push(match claimed {
            Some(claimed) => Finding::agrees_in_part(
                Check::Time,
                "time-claimed",
                format!(
                    "certificates are judged as of {claimed}, which only the signer claims; state a time to be sure"
                ),
            ),
            None => {
                Finding::undecided("time-unknown", "no time is stated, and the signer claims none that can be read")
            }
        });
        claimed
    }

    /// The signature is of this content and of the key in the first certificate.
    fn content(&self, jws: &Jws, leaf: Option<&Certificate>, findings: &mut Vec<Finding>) {
        let form = match self.form {
            None => return,
            Some(Err(CanonicalError::Number)) => {
                let text = "the content has a number that has no canonical form";
                findings.push(Finding::undecided("number-unrepresentable", text));
                return;
            }
            Some(Ok(form)) => form,
        };
        let (Some(algorithm), Some(leaf)) = (jws.algorithm, leaf) else { return };
        if leaf.is_weak {
            findings.push(Finding::fails("key-weak", "the signer's RSA key has less than 2048 bits"));
            return;
        }
        let Some(digest) = algorithm::digest(algorithm, &jws.protected, &form.bytes) else { return };
        let is_of = |key: &[u8]| algorithm::is_signed(algorithm, key, &digest, &jws.signature);
        if !is_of(&leaf.key) {
            let others = jws.x5c.iter().skip(1).filter_map(|der| Certificate::read(der).ok());
            findings.push(if others.into_iter().any(|other| is_of(&other.key)) {
                Finding::fails("signer-not-first", "the signature is by another certificate of x5c than the first")
            } else {
                Finding::fails("content-changed", "the signature is not of this content by the key in x5c")
            });
            return;
        }
        findings.push(Finding::agrees(Check::Content, "content-unchanged", "the content is what was signed"));
        if form.rewritten > 0 {
            let text = format!(
                "{} numbers are signed by value and not as they are written (7.50 as 7.5): their precision is not protected",
                form.rewritten
            );
            findings.push(Finding::warns("number-rewritten", Outcome::CannotTell, text));
        }
        if form.damaged > 0 {
            let text =
                format!("{} numbers have more digits than a double: those beyond it are not protected", form.damaged);
            findings.push(Finding::warns("number-damaged", Outcome::CannotTell, text));
        }
    }

    fn certificate(&self, jws: &Jws, leaf: &Certificate, at: Option<Timestamp>, findings: &mut Vec<Finding>) {
        findings.push(match leaf.signs {
            Some(true) => Finding::agrees(Check::KeyUsage, "key-usage", "the certificate is for digital signatures"),
            Some(false) => Finding::fails("key-usage-mismatch", "the certificate is not for digital signatures"),
            None => Finding::agrees_in_part(
                Check::KeyUsage,
                "key-usage-absent",
                "the certificate does not say what its key is for",
            ),
        });
        if !leaf.fits_documents {
            let text = "the certificate's extended key usage is for something else than documents";
            findings.push(Finding::warns("extended-key-usage", Outcome::Mismatch, text));
        }
        let Some(at) = at else { return };
        let chain: Vec<CertificateDer<'_>> = jws.x5c.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        findings.extend(self.rules.trust.judge(leaf, &chain, at));
        let claimed = jws.sig_t.as_deref().and_then(|text| text.parse().ok());
        if self.at.is_some() && claimed.is_some_and(|claimed| !leaf.is_valid_at(claimed)) {
            let text = "the signer claims to have signed when the certificate was not valid";
            findings.push(Finding::warns("signed-outside-validity", Outcome::Mismatch, text));
        }
    }

    /// CONF-048, 049, 053: a name in the certificate is `Signature.who`.
    fn who(&self, leaf: &Certificate, findings: &mut Vec<Finding>) {
        let compared = |kind: &NameKind, value: &str| match is_named(&leaf.names, kind, value) {
            true => Finding::agrees(Check::Who, "who-matches", "the certificate names Signature.who"),
            false => Finding::fails("who-mismatch", "no name in the certificate is Signature.who"),
        };
        let finding = match (&self.element.identifier, &self.element.reference) {
            (Some((system, value)), _) => {
                let kind = system.as_deref().and_then(|system| self.rules.identities.kind_of(system));
                match kind {
                    Some(kind) => compared(kind, value),
                    None => Finding::undecided(
                        "who-unmapped",
                        "no kind of name in a certificate is agreed on for the system of Signature.who.identifier",
                    ),
                }
            }
            (None, _) if self.rules.dialect == Dialect::Ci => {
                Finding::fails("who-missing", "Signature.who has no identifier")
            }
            (None, Some(reference)) if reference.contains(':') => compared(&NameKind::Uri, reference),
            (None, _) => Finding::undecided("who-unknown", "Signature.who is nobody that a certificate could name"),
        };
        findings.push(finding);
    }

    /// What CDex demands since its CI build and did not before.
    fn missing(&self, check: Check, code: &'static str, text: &'static str) -> Finding {
        match self.rules.dialect {
            Dialect::Ci => Finding::fails(code, text),
            Dialect::Published => Finding::agrees_in_part(check, code, text),
        }
    }
}
