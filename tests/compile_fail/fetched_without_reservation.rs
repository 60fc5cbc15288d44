//! Nothing is fetched whose record has no room.
use portcullis::fetch::{Ehr, Fetched};
use portcullis::id::ExchangeId;
use portcullis::rewrite::Prepared;

async fn fetched(ehr: &Ehr, prepared: Prepared, exchange: ExchangeId) -> Fetched {
    ehr.fetch(prepared, None, None, exchange).await.unwrap()
}

fn main() {}
