//! What goes upstream was composed under a permit.
use std::time::Duration;

use portcullis::rewrite::{Prepared, Question};

fn prepared(question: Question) -> Prepared {
    Prepared { question, target: "/Patient".into(), form: None, keep: Duration::ZERO }
}

fn main() {}
