//! The road itself: the same types in the order of the life of a request.
use portcullis::audit::{Entry, Reservation};
use portcullis::clock::Now;
use portcullis::decide::Permit;
use portcullis::fetch::{Content, Ehr};
use portcullis::filter::{self, Bases};
use portcullis::id::ExchangeId;
use portcullis::respond::{self, Answer, Finished, Signed};
use portcullis::rewrite::rewrite;
use portcullis::signature::{Dialect, Signer};
use portcullis::understand::Interaction;

async fn road(
    interaction: Interaction,
    permit: Permit,
    ehr: &Ehr,
    room: Reservation,
    exchange: ExchangeId,
    bases: Bases<'_>,
    entry: Entry,
    agreed: Option<(Signer, Now, Dialect)>,
) -> Option<Answer> {
    let prepared = rewrite(interaction, permit, &[]).ok()?;
    let noted = room.note(&entry).ok()?;
    let fetched = ehr.fetch(prepared, None, noted, exchange).await.ok()?;
    let (question, Content::Whole(bytes), _) = fetched.into_parts() else { return None };
    let released = filter::read(&bytes, &question, bases).ok()?.into_body()?;
    if let Some((signer, when, dialect)) = agreed {
        let signed = Signed::new(&Finished::Released(released), &signer, when, dialect).ok()?;
        let receipt = room.record(entry).await.ok()?;
        return Some(respond::signed(signed, &receipt));
    }
    let receipt = room.record(entry).await.ok()?;
    Some(respond::released(released, &receipt))
}

fn main() {}
