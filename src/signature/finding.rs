//! What was found about a signature, and what follows from it.
//!
//! Takes: findings. Gives: a [`Verdict`] for one signature or for a file. Guarantees: `verified` only where every check that is
//! required was made and agreed; a check that was not made is none that passed. Refuses: to be a boolean.

use std::borrow::Cow;

use serde::Serialize;

/// The answer to "is this signed?": four states, and that nothing is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check was made, and agrees.
    Verified,
    /// No check disagrees; a person should know what the warnings say.
    VerifiedWithWarnings,
    /// There is no signature. That is not a failure, and no proof of anything.
    Absent,
    /// A check that is required could not be made.
    CannotVerify,
    /// A check disagrees.
    Failed,
}

impl Verdict {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::VerifiedWithWarnings => "verified-with-warnings",
            Self::Absent => "absent",
            Self::CannotVerify => "cannot-verify",
            Self::Failed => "failed",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It agrees.
    Match,
    /// It disagrees.
    Mismatch,
    /// It could not be made, or tells nothing.
    CannotTell,
}

/// What a finding does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Nothing.
    Note,
    /// `verified` becomes `verified-with-warnings`.
    Warning,
    /// The verdict is at best `cannot-verify`.
    Undecided,
    /// The verdict is `failed`.
    Fatal,
}

/// The checks without which nothing is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Algorithm,
    Chain,
    Commitment,
    Content,
    KeyUsage,
    Time,
    Validity,
    When,
    Who,
}

impl Check {
    const ALL: [Self; 9] = [
        Self::Algorithm,
        Self::Chain,
        Self::Commitment,
        Self::Content,
        Self::KeyUsage,
        Self::Time,
        Self::Validity,
        Self::When,
        Self::Who,
    ];
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is, for programs: kebab-case, and never changed in meaning.
    pub code: &'static str,
    /// How the check ended.
    pub outcome: Outcome,
    /// What follows from it.
    pub weight: Weight,
    /// What it is, for people. Names no patient; may name the signer.
    pub text: Cow<'static, str>,
    #[serde(skip)]
    pub(super) check: Option<Check>,
}

impl Finding {
    /// A required check was made and agrees.
    pub(super) fn agrees(check: Check, code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, outcome: Outcome::Match, weight: Weight::Note, text: text.into(), check: Some(check) }
    }

    /// A required check agrees as far as it goes; a person should know how far.
    pub(super) fn agrees_in_part(check: Check, code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, outcome: Outcome::CannotTell, weight: Weight::Warning, text: text.into(), check: Some(check) }
    }

    pub(super) fn note(code: &'static str, outcome: Outcome, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, outcome, weight: Weight::Note, text: text.into(), check: None }
    }

    pub(super) fn warns(code: &'static str, outcome: Outcome, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, outcome, weight: Weight::Warning, text: text.into(), check: None }
    }

    pub(super) fn undecided(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, outcome: Outcome::CannotTell, weight: Weight::Undecided, text: text.into(), check: None }
    }

    pub(super) fn fails(code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, outcome: Outcome::Mismatch, weight: Weight::Fatal, text: text.into(), check: None }
    }
}

/// The verdict that the findings about one signature come to.
pub(super) fn verdict(findings: &[Finding]) -> Verdict {
    let heaviest = findings.iter().map(|finding| finding.weight).max().unwrap_or(Weight::Undecided);
    let is_complete = Check::ALL.iter().all(|check| findings.iter().any(|finding| finding.check == Some(*check)));
    match heaviest {
        Weight::Fatal => Verdict::Failed,
        Weight::Undecided => Verdict::CannotVerify,
        _ if !is_complete => Verdict::CannotVerify,
        Weight::Warning => Verdict::VerifiedWithWarnings,
        Weight::Note => Verdict::Verified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_was_not_made_is_none_that_passed() {
        let all: Vec<Finding> = Check::ALL.iter().map(|check| Finding::agrees(*check, "x", "")).collect();
        assert_eq!(verdict(&all), Verdict::Verified);
        for left_out in 0..all.len() {
            let mut some = all.clone();
            some.remove(left_out);
            assert_eq!(verdict(&some), Verdict::CannotVerify, "{left_out}");
        }
        assert_eq!(verdict(&[]), Verdict::CannotVerify);
        for (finding, expected) in [
            (Finding::note("n", Outcome::CannotTell, ""), Verdict::Verified),
            (Finding::warns("w", Outcome::Mismatch, ""), Verdict::VerifiedWithWarnings),
            (Finding::undecided("u", ""), Verdict::CannotVerify),
            (Finding::fails("f", ""), Verdict::Failed),
        ] {
            let mut with = all.clone();
            with.push(finding);
            assert_eq!(verdict(&with), expected);
        }
    }

    #[test]
    fn the_worst_is_the_greatest() {
        let order =
            [Verdict::Verified, Verdict::VerifiedWithWarnings, Verdict::Absent, Verdict::CannotVerify, Verdict::Failed];
        assert!(order.is_sorted());
        for verdict in order {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
    }
}
