//! Which verdicts may leave for a purpose, where a policy says nothing else.
//!
//! Takes: a purpose of use. Gives: [`Release`]. Guarantees: what nobody answers for leaves for treatment alone, and marked;
//! a purpose that is not known to be treatment is held to the rule of payment. Refuses: nothing; a policy may say more or less.

use super::finding::Verdict;
use super::judge::Judged;
use crate::oauth::Purpose;

/// Purposes by which somebody treats the patient (v3-ActReason below `TREAT`, and emergency care).
const TREATMENT: &[&str] = &["BTG", "COC", "ERTREAT", "ETREAT", "TREAT", "TREATDS"];

/// A set of verdicts, and whether what leaves by it is marked with its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// From here up.
    least: Verdict,
    /// And this one, where the sources that a record comes from allow it.
    exchange_if_allowed: bool,
    marked: bool,
}

impl Release {
    /// Whether a record may leave.
    pub fn permits(self, judged: &Judged) -> bool {
        let is_exchanges = judged.verdict == Verdict::AssertedByHie;
        judged.verdict >= self.least || (is_exchanges && self.exchange_if_allowed && judged.exchange_allowed)
    }

    /// Whether what leaves is to say who answers for it.
    pub fn is_marked(self) -> bool {
        self.marked
    }

    /// The verdicts that leave, where the sources allow what an exchange asserts, or do not.
    pub fn verdicts(self, exchange_allowed: bool) -> impl Iterator<Item = Verdict> {
        let permitted = move |verdict: &Verdict| {
            *verdict >= self.least
                || (*verdict == Verdict::AssertedByHie && self.exchange_if_allowed && exchange_allowed)
        };
        Verdict::ALL.into_iter().filter(permitted)
    }
}

/// What may leave for a purpose by default: for treatment everything, marked; for every other one, payment, operations and
/// their audits among them, what a source answers for, and what an exchange does where the registry allows it.
pub fn default_release(purpose: Purpose) -> Release {
    if TREATMENT.contains(&purpose.code()) {
        Release { least: Verdict::Contradicted, exchange_if_allowed: true, marked: true }
    } else {
        Release { least: Verdict::AssertedBySource, exchange_if_allowed: true, marked: false }
    }
}
