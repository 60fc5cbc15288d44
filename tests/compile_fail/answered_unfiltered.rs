//! Nothing is answered that was not judged.
use portcullis::audit::Receipt;
use portcullis::respond::body::Sender;
use portcullis::respond::{Answer, released};

fn whole(body: Vec<u8>, receipt: &Receipt) -> Answer {
    released(body, receipt)
}

async fn in_pieces(piece: Vec<u8>, sender: &Sender) -> bool {
    sender.send(piece).await
}

fn main() {}
