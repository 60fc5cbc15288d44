//! The commands of the `portcullis` program.
//!
//! Takes: checked arguments and a place to write. Gives: an exit code. Guarantees: a command prints only to
//! the writer it is handed. Refuses: nothing that the library below would accept.

pub mod audit;
