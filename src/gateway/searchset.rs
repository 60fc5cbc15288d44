//! Searchsets: filtered whole, or while they are sent.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

use super::Shared;
use super::trail::{Trail, counts, delivery, hex};
use crate::audit::{Closer, Closing};
use crate::fetch::FetchError;
use crate::fetch::body::UpstreamBody;
use crate::filter::{self, BundleFilter, FilterError, Released, Tally};
use crate::limits;
use crate::respond::body::Sender;
use crate::respond::refusal::Fault;
use crate::rewrite::Question;
use crate::understand::PageLink;

/// Filters an answer that is held whole.
pub(super) fn whole(
    question: &Question,
    bytes: &[u8],
    shared: &Shared,
    trail: &Trail,
) -> Result<(Released, Tally), FilterError> {
    let mut filter = BundleFilter::new(question, shared.bases());
    filter.feed(bytes)?;
    let continuation = filter.end()?;
    Ok(finish(filter, question, continuation, shared, trail))
}

/// The beginning of an answer too large to hold, once it is seen to be the beginning of a searchset: what is none must
/// be refused before anything is sent.
pub(super) async fn beginning(
    question: &Question,
    head: Bytes,
    rest: &mut UpstreamBody,
    shared: &Shared,
) -> Result<Bytes, Fault> {
    let head = if head.is_empty() { rest.next().await.map_err(FetchError::from)?.unwrap_or_default() } else { head };
    let first = head.get(..limits::SEARCHSET_BEGINNING_BYTES).unwrap_or(&head);
    BundleFilter::new(question, shared.bases()).feed(first)?;
    Ok(head)
}

/// A searchset without entries, as [`whole`] would write it.
pub(super) fn nothing(trail: &Trail, shared: &Shared) -> Released {
    let asked = trail.search();
    let own = asked.map(|asked| own_link(&asked.canonical, shared)).unwrap_or_default();
    filter::empty_searchset(&own, asked.is_some_and(|asked| asked.states_total))
}

fn finish(
    filter: BundleFilter<'_>,
    question: &Question,
    continuation: Option<String>,
    shared: &Shared,
    trail: &Trail,
) -> (Released, Tally) {
    let own = trail.search().map(|asked| own_link(&asked.canonical, shared)).unwrap_or_default();
    let next = continuation.and_then(|continuation| next_link(&continuation, question, shared, trail));
    filter.close(&own, next.as_deref())
}

fn own_link(canonical: &str, shared: &Shared) -> String {
    format!("{}/{canonical}", shared.base)
}

fn next_link(continuation: &str, question: &Question, shared: &Shared, trail: &Trail) -> Option<String> {
    let client = trail.client()?;
    let sealed = shared.pages.seal(&PageLink {
        search: question.interaction().search()?,
        continuation,
        decision: question.permit().obligations().digest(),
        client: client.id(),
        purpose: client.purpose().code(),
        now: trail.now(),
    })?;
    Some(format!("{}/_page/{sealed}", shared.base))
}

/// What has gone out, for the closing record.
struct Sent {
    digest: Context,
    sender: Sender,
}

impl Sent {
    async fn send(&mut self, piece: Released) -> bool {
        self.digest.update(piece.as_bytes());
        self.sender.send(piece).await
    }
}

/// Filters an answer piece by piece and sends what may leave. Whatever happens, the closing record says how it ended;
/// an answer that cannot be completed breaks off visibly.
pub(super) async fn in_pieces(
    question: Question,
    head: Bytes,
    mut rest: UpstreamBody,
    sender: Sender,
    mut closer: Closer,
    shared: &Shared,
    trail: Box<Trail>,
) {
    let mut sent = Sent { digest: Context::new(&SHA256), sender };
    let mut filter = BundleFilter::new(&question, shared.bases());
    let outcome = judge_pieces(&mut filter, head, &mut rest, &mut sent, &mut closer).await;
    let (complete, tally) = match outcome {
        Ok(continuation) => {
            let (last, tally) = finish(filter, &question, continuation, shared, &trail);
            let delivered = sent.send(last).await;
            let closing = closing(&tally, delivered, &sent, &trail);
            // The end of the body waits for the record of it.
            (closer.finish(closing).await.is_ok() && delivered, tally)
        }
        Err(_) => {
            let tally = filter.tally().clone();
            let closing = closing(&tally, false, &sent, &trail);
            // The answer is cut in any case.
            let _ = closer.finish(closing).await;
            (false, tally)
        }
    };
    super::measure::resources(&shared.metrics, &tally);
    if complete {
        // A client that left has what it wanted to have.
        let _ = sent.sender.complete().await;
    }
}

async fn judge_pieces(
    filter: &mut BundleFilter<'_>,
    head: Bytes,
    rest: &mut UpstreamBody,
    sent: &mut Sent,
    closer: &mut Closer,
) -> Result<Option<String>, Fault> {
    let mut piece = Some(head);
    let mut received = 0_u64;
    while let Some(bytes) = piece {
        received += bytes.len() as u64;
        if received > limits::STREAMED_ANSWER_BYTES {
            return Err(FilterError::EntryTooLarge.into());
        }
        // Small bites: what a stream holds is what it has judged and not yet sent, and it may stand still for long.
        for bite in bytes.chunks(limits::STREAM_FRAME_BYTES) {
            filter.feed(bite)?;
            if filter.output_len() >= limits::STREAM_FRAME_BYTES {
                let ready = filter.take_output();
                closer.so_far().counts = counts(filter.tally());
                if !sent.send(ready).await {
                    return Err(Fault::Absent);
                }
            }
        }
        drop(bytes);
        piece = rest.next().await.map_err(FetchError::from)?;
    }
    Ok(filter.end()?)
}

fn closing(tally: &Tally, delivered: bool, sent: &Sent, trail: &Trail) -> Closing {
    Closing {
        delivery: delivery(delivered),
        counts: counts(tally),
        patients: tally.patients.iter().map(ToString::to_string).collect(),
        digest: Some(hex(sent.digest.clone().finish().as_ref())),
        duration_us: Some(trail.microseconds()),
    }
}
