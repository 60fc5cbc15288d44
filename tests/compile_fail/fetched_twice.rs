//! A permit is for one request.
use portcullis::audit::Noted;
use portcullis::fetch::Ehr;
use portcullis::id::ExchangeId;
use portcullis::rewrite::Prepared;

async fn twice(ehr: &Ehr, prepared: Prepared, noted: Noted<'_>, exchange: ExchangeId) {
    let _ = ehr.fetch(prepared, None, noted, exchange).await;
    let _ = ehr.fetch(prepared, None, noted, exchange).await;
}

fn main() {}
