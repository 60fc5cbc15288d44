//! Nothing is fetched but a prepared request.
use portcullis::audit::Noted;
use portcullis::fetch::{Ehr, Fetched};
use portcullis::id::ExchangeId;

async fn fetched(ehr: &Ehr, noted: Noted<'_>, exchange: ExchangeId) -> Fetched {
    ehr.fetch("/Patient/1", None, noted, exchange).await.unwrap()
}

fn main() {}
