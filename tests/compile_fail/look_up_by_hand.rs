//! What is looked up beside an answer is composed by the step that rewrites.
use portcullis::rewrite::LookUp;

fn look_up() -> LookUp {
    LookUp { target: "/Patient?_id=p2".into(), form: None, keep: std::time::Duration::ZERO }
}

fn main() {}
