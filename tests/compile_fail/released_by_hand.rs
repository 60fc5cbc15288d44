//! Bytes that may leave were judged.
use portcullis::filter::Released;

fn released(body: Vec<u8>) -> Released {
    Released(body)
}

fn main() {}
