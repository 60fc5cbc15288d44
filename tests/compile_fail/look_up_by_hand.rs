//! What is looked up beside an answer is composed by the step that rewrites.
use portcullis::rewrite::{LookUp, Question};

fn look_up(other: &Question) -> LookUp {
    LookUp { target: "/Patient?_id=p2".into(), ..LookUp::provenance(other, &[]).unwrap() }
}

fn main() {}
