//! Names of operations that clients ask for: of R4 itself, of the guides that payers follow, and of servers in the field.

/// Operations by name. But for a patient's `$everything` none is served: each reads across records or types in a way that
/// its caller does not write down.
const KNOWN: &[&str] = &[
    "$apply",
    "$convert",
    "$data-requirements",
    "$diff",
    "$docref",
    "$document",
    "$evaluate-measure",
    "$everything",
    "$expand",
    "$export",
    "$export-poll-status",
    "$expunge",
    "$find",
    "$graphql",
    "$import",
    "$lastn",
    "$lookup",
    "$match",
    "$member-match",
    "$meta",
    "$meta-add",
    "$meta-delete",
    "$process-message",
    "$questionnaire-package",
    "$reindex",
    "$stats",
    "$submit",
    "$submit-attachment",
    "$submit-data",
    "$subsumes",
    "$summary",
    "$transform",
    "$translate",
    "$validate",
    "$validate-code",
];

/// The name of an operation as it may be repeated in answers and logs; `operation` for one that is not known.
pub(super) fn name(step: &str) -> &'static str {
    KNOWN.iter().find(|known| **known == step).copied().unwrap_or("operation")
}
