//! What a run amounts to: counts by class, and a grade.
//!
//! Takes: verdicts. Gives: a table, its last line, and a [`Grade`]. Guarantees: controls are counted apart; what was not
//! judged is never a pass.

use std::collections::BTreeMap;
use std::fmt;

use super::case::{Case, Verdict};

/// Critical findings that still make a D, and an E.
const SOME_CRITICAL: usize = 3;
/// See [`SOME_CRITICAL`].
const MANY_CRITICAL: usize = 10;

/// What became of the cases of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    unsupported: usize,
    left_out: usize,
    not_applicable: usize,
}

/// What became of all cases.
#[derive(Clone, Debug, Default)]
pub struct Report {
    classes: BTreeMap<String, Counts>,
    /// Failed cases by severity.
    found: BTreeMap<String, usize>,
    controls: usize,
    decided: Option<Decided>,
}

/// What policies of a site's own made of the requests of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decided {
    /// Requests about which they decided.
    pub(super) requests: usize,
    /// Of these, permitted ones.
    pub(super) permitted: usize,
    /// Resources that were released.
    pub(super) released: u64,
}

/// How a gateway did. Derived from what failed, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing failed.
    A,
    /// Nothing worse than medium.
    B,
    /// Nothing worse than high.
    C,
    /// At most three critical findings.
    D,
    /// At most ten.
    E,
    /// More; or more than half of the controls failed, since whoever refuses everything protects nothing.
    F,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Report {
    pub(super) fn add(&mut self, case: &Case, verdict: &Verdict) {
        let counts = self.classes.entry(case.class.clone()).or_default();
        let is_played = !matches!(verdict, Verdict::LeftOut(_) | Verdict::NotApplicable(_));
        self.controls += usize::from(case.severity == "control" && is_played);
        match verdict {
            Verdict::Passed(_) => counts.passed += 1,
            Verdict::Unsupported(_) => counts.unsupported += 1,
            Verdict::LeftOut(_) => counts.left_out += 1,
            Verdict::NotApplicable(_) => counts.not_applicable += 1,
            Verdict::Failed(_) => {
                counts.failed += 1;
                *self.found.entry(case.severity.clone()).or_default() += 1;
            }
        }
    }

    /// Notes what policies of a site's own made of the requests.
    pub(super) fn decided(&mut self, decided: Decided) {
        self.decided = Some(decided);
    }

    fn sum(&self, of: impl Fn(&Counts) -> usize) -> usize {
        self.classes.values().map(of).sum()
    }

    /// Cases that passed, failed, and could not be run or judged.
    pub fn totals(&self) -> (usize, usize, usize) {
        (self.sum(|counts| counts.passed), self.sum(|counts| counts.failed), self.sum(|counts| counts.unsupported))
    }

    /// Whether cases were run, and all of them passed.
    pub fn is_clean(&self) -> bool {
        let (passed, failed, unsupported) = self.totals();
        passed > 0 && failed + unsupported == 0
    }

    /// The grade.
    pub fn grade(&self) -> Grade {
        let found = |severity: &str| self.found.get(severity).copied().unwrap_or(0);
        let (critical, high, controls) = (found("critical"), found("high"), found("control"));
        if 2 * controls > self.controls {
            return Grade::F;
        }
        match critical {
            0 if self.found.is_empty() => Grade::A,
            0 if high + controls == 0 => Grade::B,
            0 => Grade::C,
            1..=SOME_CRITICAL => Grade::D,
            _ if critical <= MANY_CRITICAL => Grade::E,
            _ => Grade::F,
        }
    }
}

/// The table of the classes, and the line that ends a run.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28}{:>8}{:>8}{:>13}{:>10}", "class", "passed", "failed", "unsupported", "left out")?;
        for (class, counts) in &self.classes {
            let Counts { passed, failed, unsupported, left_out, not_applicable } = counts;
            let left_out = left_out + not_applicable;
            writeln!(f, "{class:<28}{passed:>8}{failed:>8}{unsupported:>13}{left_out:>10}")?;
        }
        let left_out = self.sum(|counts| counts.left_out);
        if left_out > 0 {
            writeln!(f, "{left_out} cases are left out: they do not apply, or need the test EHR or a gateway")?;
        }
        if let Some(Decided { requests, permitted, released }) = self.decided {
            let count = self.sum(|counts| counts.not_applicable);
            writeln!(f, "{count} cases are not applicable: what they demand depends on the policies")?;
            writeln!(
                f,
                "your policies permitted {permitted} of {requests} requests, and released {released} resources"
            )?;
        }
        let (passed, failed, unsupported) = self.totals();
        write!(f, "hostile: {passed} passed, {failed} failed, {unsupported} unsupported")
    }
}
