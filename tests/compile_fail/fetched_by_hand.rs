//! What was not fetched is no answer of the EHR.
use portcullis::fetch::{Content, Fetched, Source};
use portcullis::rewrite::Question;

fn fetched(question: Question) -> Fetched {
    Fetched { question, content: Content::Absent(404), from: Source::Ehr, keeping: None }
}

fn main() {}
