//! What is answered as signed was signed by the gateway.
use portcullis::respond::Signed;

fn signed(body: Vec<u8>) -> Signed {
    Signed(body)
}

fn main() {}
