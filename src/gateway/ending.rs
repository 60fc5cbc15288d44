//! How an exchange ends: its record, and then its answer.
//!
//! Takes: what may leave, or why nothing does, and the room for the record. Gives: the answer. Guarantees: it is made of a
//! receipt; where none comes within [`limits::AUDIT_WAIT`] the client is told so and nothing else.

use std::rc::Rc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::pages::Gathered;
use super::trail::Trail;
use super::{Gateway, measure, pages};
use crate::audit::{AuditError, Entry, Receipt, Reservation};
use crate::clock::Now;
use crate::filter::{Attached, Released};
use crate::id::ExchangeId;
use crate::limits;
use crate::publish::Document;
use crate::respond::refusal::{Fault, Refusal};
use crate::respond::{self, Answer, Finished};
use crate::rewrite::Question;

impl Gateway {
    pub(super) async fn release(&self, released: Released, room: Reservation, mut trail: Box<Trail>) -> Answer {
        if trail.search().is_none() {
            return self.release_resource(released, room, trail).await;
        }
        if let Some(dialect) = trail.signs() {
            return self.release_signed(Finished::Released(released), dialect, room, trail).await;
        }
        trail.log(200, None, &self.shared.metrics);
        match self.record(room, trail.entry(200, None, Some(released.as_bytes()))).await {
            Ok(receipt) => respond::released(released, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    pub(super) async fn publish(&self, document: &Document, room: Reservation, mut trail: Box<Trail>) -> Answer {
        trail.log(200, None, &self.shared.metrics);
        match self.record(room, trail.entry(200, None, Some(document.bytes()))).await {
            Ok(receipt) => respond::document(document, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    pub(super) async fn attach(&self, attached: Attached, room: Reservation, mut trail: Box<Trail>) -> Answer {
        trail.log(200, None, &self.shared.metrics);
        match self.record(room, trail.entry(200, None, Some(attached.bytes.as_bytes()))).await {
            Ok(receipt) => respond::attached(attached, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    pub(super) async fn refuse(
        &self,
        fault: Fault,
        refusal: Refusal,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        let status = refusal.status().as_u16();
        trail.log(status, Some((&fault, refusal.label())), &self.shared.metrics);
        match self.record(room, trail.entry(status, Some(refusal.label()), None)).await {
            Ok(receipt) => respond::refused(&refusal, &receipt),
            Err(_) => self.unrecorded(&trail),
        }
    }

    /// Gathers a page from what takes more than one piece. What can be held is answered like any other; what cannot is
    /// recorded at its beginning and then sent as it is judged, and the end gets a record of its own.
    pub(super) async fn gather(
        self: Rc<Self>,
        question: Question,
        first: pages::Piece,
        room: Reservation,
        mut trail: Box<Trail>,
    ) -> Answer {
        let Some(about) = pages::About::of(&trail) else {
            return self.refuse(Fault::Panic, Refusal::internal(), room, trail).await;
        };
        let (begun, mut has_begun) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let handover = pages::Handover { begun, go: may_go };
        let mut gathering = Box::pin(pages::gather(Rc::clone(&self), question, first, about, room, handover));
        let room = tokio::select! {
            biased;
            gathered = &mut gathering => return match gathered {
                Gathered::Whole(released, tally, followed, room) => {
                    trail.filtered(&tally);
                    trail.followed(&followed);
                    measure::resources(&self.shared.metrics, &tally);
                    self.release(released, room, trail).await
                }
                Gathered::Failed(fault, room) => {
                    let refusal = Refusal::of(&fault, true).unwrap_or_else(Refusal::internal);
                    self.refuse(fault, refusal, room, trail).await
                }
                Gathered::Sent => self.unrecorded(&trail),
            },
            Ok(room) = &mut has_begun => room,
        };
        trail.log(200, None, &self.shared.metrics);
        let Ok(receipt) = self.record(room, trail.entry(200, None, None)).await else { return self.unrecorded(&trail) };
        let (answer, sender) = respond::streamed(&receipt);
        if go.send((sender, receipt.into_closer())).is_ok() {
            tokio::task::spawn_local(gathering);
        }
        answer
    }

    /// A step that panicked released nothing; that it was tried is recorded all the same.
    pub(super) async fn panicked(&self, exchange: ExchangeId, now: Now) -> Answer {
        let trail = Box::new(Trail::bare(exchange, now));
        match self.shared.audit.reserve() {
            Ok(room) => self.refuse(Fault::Panic, Refusal::internal(), room, trail).await,
            Err(_) => self.unrecorded(&trail),
        }
    }

    pub(super) async fn record(&self, room: Reservation, entry: Box<Entry>) -> Result<Receipt, AuditError> {
        let metrics = &self.shared.metrics;
        metrics.audit_outstanding(self.shared.audit.outstanding());
        let began = Instant::now();
        let recorded = timeout(limits::AUDIT_WAIT, room.record(*entry)).await;
        let receipt = recorded.unwrap_or(Err(AuditError::Late));
        metrics.audit_record(began.elapsed());
        receipt
    }

    pub(super) fn unrecorded(&self, trail: &Trail) -> Answer {
        self.shared.metrics.audit_failure();
        respond::unrecorded(trail.exchange())
    }
}
