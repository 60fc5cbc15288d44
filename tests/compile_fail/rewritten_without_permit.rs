//! Nothing is composed without a permit.
use portcullis::rewrite::{Prepared, rewrite};
use portcullis::understand::Interaction;

fn prepared(interaction: Interaction) -> Prepared {
    rewrite(interaction, None, &[]).unwrap()
}

fn main() {}
