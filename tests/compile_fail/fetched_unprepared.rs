//! Nothing is fetched but a prepared request.
use portcullis::audit::Reservation;
use portcullis::fetch::{Ehr, Fetched};
use portcullis::id::ExchangeId;

async fn fetched(ehr: &Ehr, room: &Reservation, exchange: ExchangeId) -> Fetched {
    ehr.fetch("/Patient/1", None, room, exchange).await.unwrap()
}

fn main() {}
