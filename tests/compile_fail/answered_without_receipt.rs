//! Nothing is answered that is not recorded.
use portcullis::filter::Released;
use portcullis::respond::{Answer, released};

fn answer(body: Released) -> Answer {
    released(body)
}

fn main() {}
