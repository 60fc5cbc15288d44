//! FHIR search: what a parameter means, and whether a resource matches it.

/// The generated table of R4 search parameters; see `definitions.py` beside it.
pub(crate) const DEFINITIONS: &str = include_str!("search/definitions.tsv");
