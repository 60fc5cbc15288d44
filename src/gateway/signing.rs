//! Answers that are signed, where that was agreed with the client.
//!
//! Takes: a finished searchset. Gives: the same with the organisation's signature, recorded and answered. Guarantees: a client
//! with whom signatures were agreed is sent no FHIR without one, but for refusals and the parts of what is signed as a whole;
//! what is signed is what is sent; signing keeps no core from its other exchanges: it runs on a thread of its own, on as many at
//! once as there are processors, and the rest wait. Refuses: reads, with `business-rule` (CDex CONF-010), though not the content
//! of documents, which is signed within, if at all; answers beyond [`limits::SIGNED_ANSWER_BYTES`].

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use super::Gateway;
use super::trail::Trail;
use crate::audit::Reservation;
use crate::limits;
use crate::respond::refusal::{Fault, Refusal};
use crate::respond::{self, Answer, Finished, Signed};
use crate::signature::{Dialect, SignError, Signer};
use crate::understand::Interaction;

/// Who signs, and where there is room to.
#[derive(Debug)]
pub struct Signatory {
    signer: Arc<Signer>,
    room: Semaphore,
}

impl Signatory {
    /// Signs as `signer`.
    pub fn new(signer: Arc<Signer>) -> Self {
        Self { signer, room: Semaphore::new(available_parallelism().map_or(1, usize::from)) }
    }
}

/// Whether a client with whom signatures were agreed may ask this: what is no searchset carries none.
pub(super) fn check(interaction: &Interaction, trail: &Trail) -> Result<(), Fault> {
    let is_plain = matches!(interaction, Interaction::Read(read) if read.content().is_none());
    if is_plain && trail.signs().is_some() { Err(Fault::Unsigned) } else { Ok(()) }
}

/// How much of an answer is held until it is signed; `None` where it need not be.
pub(super) fn most(trail: &Trail) -> Option<usize> {
    // A batch holds the answers to all of its entries.
    let most = if trail.is_entry() { limits::WHOLE_ANSWER_BYTES } else { limits::SIGNED_ANSWER_BYTES };
    trail.signs().map(|_| most)
}

impl Gateway {
    /// Signs, records and answers.
    pub(super) async fn release_signed(
        &self,
        finished: Finished,
        dialect: Dialect,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        let signed = match self.signed(finished, dialect, &trail).await {
            Ok(signed) => signed,
            Err(fault) => {
                trail.unreleased();
                let refusal = Refusal::of(&fault, true).unwrap_or_else(Refusal::internal);
                return self.refuse(fault, refusal, room, trail).await;
            }
        };
        if let Some(signatory) = &self.shared.signatory {
            trail.signed(dialect, &signatory.signer.thumbprint());
        }
        trail.log(200, None, &self.shared.metrics);
        match self.record(room, trail.entry(200, None, Some(signed.as_bytes()))).await {
            Ok(receipt) => respond::signed(signed, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    async fn signed(&self, finished: Finished, dialect: Dialect, trail: &Trail) -> Result<Signed, Fault> {
        let signatory = self.shared.signatory.as_ref().ok_or(Fault::Sign(SignError::Cryptography))?;
        let (signer, when) = (Arc::clone(&signatory.signer), trail.now());
        let place = signatory.room.acquire().await.map_err(|_| Fault::Panic)?;
        let signing = tokio::task::spawn_blocking(move || Signed::new(&finished, &signer, when, dialect));
        let signed = signing.await.map_err(|_| Fault::Panic)?;
        drop(place);
        signed.map_err(Fault::Sign)
    }
}
