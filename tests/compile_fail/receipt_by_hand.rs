//! A receipt is made by the log.
use portcullis::audit::{Hash, Receipt};

fn receipt(hash: Hash) -> Receipt {
    Receipt { seq: 1, hash }
}

fn main() {}
