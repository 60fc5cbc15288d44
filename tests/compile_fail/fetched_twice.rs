//! A permit is for one request.
use portcullis::audit::Reservation;
use portcullis::fetch::Ehr;
use portcullis::id::ExchangeId;
use portcullis::rewrite::Prepared;

async fn twice(ehr: &Ehr, prepared: Prepared, room: &Reservation, exchange: ExchangeId) {
    let _ = ehr.fetch(prepared, None, room, exchange).await;
    let _ = ehr.fetch(prepared, None, room, exchange).await;
}

fn main() {}
