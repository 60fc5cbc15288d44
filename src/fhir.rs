//! FHIR R4 vocabulary: names, JSON, references, identifiers, dates and search parameters.
//!
//! Takes: text. Gives: typed values that later steps can compare and write back.
//! Guarantees: no I/O and no clock; what is parsed here can be re-serialised without loss.
//! Refuses: what is not R4 (<http://hl7.org/fhir/R4>).

pub mod code_system;
pub mod date;
pub mod identifier;
pub mod json;
pub mod name;
pub mod path;
pub mod reference;
pub mod search;
pub mod subject;
pub mod summary;
