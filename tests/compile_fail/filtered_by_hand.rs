//! What may leave was judged.
use portcullis::filter::{Filtered, Released, Tally};

fn released(body: Vec<u8>) -> Released {
    Released(body)
}

fn filtered(body: Released) -> Filtered {
    Filtered { body: Some(body), tally: Tally::default() }
}

fn main() {}
