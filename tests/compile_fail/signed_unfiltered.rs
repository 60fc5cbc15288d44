//! Nothing is signed that was not judged, and nothing is answered as signed without a record.
use portcullis::audit::Receipt;
use portcullis::clock::Now;
use portcullis::filter::Released;
use portcullis::respond::{self, Answer, Finished, Signed};
use portcullis::signature::{Dialect, Signer};

fn of_bytes(body: Vec<u8>, signer: &Signer, when: Now) -> Option<Signed> {
    Signed::new(&Finished::Released(body), signer, when, Dialect::Ci).ok()
}

fn signed_elsewhere(bundle: Vec<u8>, signer: &Signer, when: Now, recorded: &Receipt) -> Answer {
    respond::signed(portcullis::signature::sign(&bundle, signer, when, Dialect::Ci), recorded)
}

fn unsigned(released: Released, recorded: &Receipt) -> Answer {
    respond::signed(released, recorded)
}

fn unrecorded(signed: Signed) -> Answer {
    respond::signed(signed)
}

fn main() {}
