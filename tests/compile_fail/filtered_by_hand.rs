//! A resource that may leave was judged.
use portcullis::filter::{Filtered, Released, Tally};

fn filtered(body: Released) -> Filtered {
    Filtered { body: Some(body), tally: Tally::default() }
}

fn main() {}
