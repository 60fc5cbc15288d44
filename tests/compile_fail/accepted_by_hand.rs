//! A request that was not checked is not accepted.
use portcullis::accept::Accepted;

fn accepted(traces: portcullis::accept::Traces) -> Accepted {
    Accepted { traces }
}

fn main() {}
