//! Nothing is fetched that a crash would leave no trace of.
use portcullis::audit::Reservation;
use portcullis::fetch::Ehr;
use portcullis::id::ExchangeId;
use portcullis::rewrite::Prepared;

async fn unnoted(ehr: &Ehr, prepared: Prepared, room: &Reservation, exchange: ExchangeId) {
    let _ = ehr.fetch(prepared, None, room, exchange).await;
}

fn main() {}
