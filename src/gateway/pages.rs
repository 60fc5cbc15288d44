//! A page of a search, gathered from as many pages of the EHR as it takes.
//!
//! Takes: the question and the first that the EHR answered. Gives: one searchset, held whole or sent while it is judged.
//! Guarantees: the page is full unless it is the last, or [`limits::UPSTREAM_PAGES`] of the EHR did not fill it; a `next`
//! link is there only where something more may leave; an answer has its length stated if and only if what may leave of it
//! is at most [`limits::WHOLE_ANSWER_BYTES`], however much the EHR sent. Refuses: answers that go on elsewhere.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::content::Links;
use super::trail::{Trail, counts, delivery, hex};
use super::{Gateway, Shared, searchset, signing};
use crate::audit::{Closer, Closing, Reservation};
use crate::clock::Now;
use crate::fetch::body::UpstreamBody;
use crate::fetch::{Content, FetchError, Keeping};
use crate::filter::{Attribution, BundleFilter, FilterError, Released, Tally};
use crate::id::ExchangeId;
use crate::limits;
use crate::respond::body::Sender;
use crate::respond::refusal::Fault;
use crate::rewrite::Question;
use crate::signature::SignError;
use crate::understand::{Interaction, PageLink, UnderstandError};

/// What of an exchange its pages need to know.
#[derive(Debug)]
pub(super) struct About {
    own: Box<str>,
    client: Box<str>,
    purpose: &'static str,
    now: Now,
    exchange: ExchangeId,
    began: Instant,
    /// How much is held at most, where nothing is sent before all of it is there.
    most: Option<usize>,
}

impl About {
    /// `None` before the client is known.
    pub(super) fn of(trail: &Trail) -> Option<Self> {
        let client = trail.client()?;
        Some(Self {
            own: trail.search().map(|asked| asked.canonical.as_str()).unwrap_or_default().into(),
            client: client.id().into(),
            purpose: client.purpose().code(),
            now: trail.now(),
            exchange: trail.exchange(),
            began: trail.began(),
            most: signing::most(trail),
        })
    }

    pub(super) fn client(&self) -> &str {
        &self.client
    }

    pub(super) fn purpose(&self) -> &'static str {
        self.purpose
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// The sealed link to the page that begins after `passed` matches of what the EHR gives at `target`.
    pub(super) fn next_link(
        &self,
        target: &str,
        passed: u32,
        question: &Question,
        shared: &Shared,
    ) -> Result<String, Fault> {
        let sealed = question.interaction().search().and_then(|search| {
            shared.pages.seal(&PageLink {
                search,
                continuation: target,
                passed,
                decision: question.permit().obligations().digest(),
                client: &self.client,
                purpose: self.purpose,
                now: self.now,
            })
        });
        sealed.map(|sealed| format!("{}/_page/{sealed}", shared.base)).ok_or(UnderstandError::Unpageable.into())
    }
}

/// The link to a search, in its canonical spelling.
pub(super) fn own_link(canonical: &str, shared: &Shared) -> String {
    [&*shared.base, "/", canonical].concat()
}

/// The link to a search as it was carried out (R4 search, 3.1.1.1.1): without `_sort` where the EHR ignored it and too much came
/// to be sorted here.
pub(super) fn own_link_sorted(canonical: &str, is_sorted: bool, shared: &Shared) -> String {
    let Some((path, query)) = canonical.split_once('?').filter(|_| !is_sorted) else {
        return own_link(canonical, shared);
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("_sort=")).collect();
    own_link(&format!("{path}?{}", kept.join("&")), shared)
}

/// Where the first searchset for a question lies at the EHR, as page links have it.
pub(super) fn beginning(question: &Question) -> &str {
    match question.interaction() {
        Interaction::Page(page) => page.continuation(),
        Interaction::Read(_) | Interaction::Search(_) => "",
    }
}

/// How a page came to its end.
#[derive(Debug)]
pub(super) enum Gathered {
    /// It is held, and nothing of it was sent; and where the EHR was asked to go on.
    Whole(Released, Tally, Vec<Box<str>>, Reservation),
    /// It cannot be had, and nothing of it was sent.
    Failed(Fault, Reservation),
    /// It was sent, or broke off, and that is recorded.
    Sent,
}

/// The ends that a gathering hands itself over by, when what it holds has grown too large: it gives the reservation for
/// the record of the beginning, and is given what it sends by.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) begun: oneshot::Sender<Reservation>,
    pub(super) go: oneshot::Receiver<(Sender, Closer)>,
}

/// What the EHR answered, and how it may be kept.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) content: Content,
    pub(super) keeping: Option<Keeping>,
}

/// Whether what is judged is held or sent.
#[expect(clippy::large_enum_variant, reason = "there is one for each page")]
enum Stage {
    Held(Reservation, Handover),
    Sending(Sent),
    /// Nobody is there to send to.
    Left,
}

/// What has gone out, for the closing record.
struct Sent {
    digest: Context,
    sender: Sender,
    closer: Closer,
}

impl Sent {
    async fn send(&mut self, piece: Released) -> bool {
        self.digest.update(piece.as_bytes());
        self.sender.send(piece).await
    }

    fn closing(&self, tally: &Tally, delivered: bool, about: &About) -> Closing {
        Closing {
            delivery: delivery(delivered),
            counts: counts(tally),
            patients: tally.patients.iter().map(ToString::to_string).collect(),
            digest: Some(hex(self.digest.clone().finish().as_ref())),
            duration_us: Some(u64::try_from(about.began.elapsed().as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// Gathers one page. Whatever happens after something was sent, the closing record says how it ended; an answer that
/// cannot be completed breaks off visibly.
pub(super) async fn gather(
    gateway: Rc<Gateway>,
    question: Question,
    first: Piece,
    about: About,
    room: Reservation,
    handover: Handover,
) -> Gathered {
    let shared = &gateway.shared;
    let links = Links::about(&question, shared, &about);
    let assembler = match searchset::assembler(&question, shared, about.now, || Some(about.purpose)) {
        Ok(assembler) => assembler,
        Err(fault) => return Gathered::Failed(fault, room),
    };
    let filter = BundleFilter::linking(&question, shared.bases(), &links).paged().stating(assembler);
    let stage = Stage::Held(room, handover);
    let mut gathering = Gathering {
        gateway: &gateway,
        question: &question,
        about: &about,
        filter,
        stage,
        followed: Vec::new(),
        held: Some(Vec::new()),
        received: 0,
    };
    let outcome = gathering.walk(first).await;
    let Gathering { mut filter, stage, followed, held, .. } = gathering;
    let mut outcome = outcome;
    if let (Ok(_), Stage::Held(..), Some(held)) = (&outcome, &stage, held)
        && filter.leads_to_withheld()
    {
        filter = filter.again();
        outcome = rewritten(&mut filter, &held).and(outcome);
    }
    let is_sorted = !filter.is_out_of_order(matches!(outcome, Ok(None)));
    let own = own_link_sorted(&about.own, is_sorted, shared);
    match (outcome, stage) {
        (Ok(next), Stage::Held(room, _)) => {
            let (released, tally) = filter.close(&own, next.as_deref());
            Gathered::Whole(released, tally, followed, room)
        }
        (Err(fault), Stage::Held(room, _)) => Gathered::Failed(fault, room),
        (Ok(next), Stage::Sending(mut sent)) => {
            let (last, tally) = filter.close(&own, next.as_deref());
            let delivered = sent.send(last).await;
            let closing = sent.closing(&tally, delivered, &about);
            super::measure::resources(&shared.metrics, &tally);
            // The end of the body waits for the record of it.
            if sent.closer.finish(closing).await.is_ok() && delivered {
                // A client that left has what it wanted to have.
                let _ = sent.sender.complete().await;
            }
            Gathered::Sent
        }
        (Err(_), Stage::Sending(sent)) => {
            let closing = sent.closing(filter.tally(), false, &about);
            super::measure::resources(&shared.metrics, filter.tally());
            // The answer is cut in any case.
            let _ = sent.closer.finish(closing).await;
            Gathered::Sent
        }
        (_, Stage::Left) => Gathered::Sent,
    }
}

struct Gathering<'g> {
    gateway: &'g Gateway,
    question: &'g Question,
    about: &'g About,
    filter: BundleFilter<'g>,
    stage: Stage,
    /// The places where the EHR was asked to go on.
    followed: Vec<Box<str>>,
    /// What the EHR sent and what is known beside it, as long as all of it is held.
    held: Option<Vec<(Bytes, Option<Arc<Attribution>>)>>,
    received: u64,
}

/// Writes a page again from what was held.
fn rewritten(filter: &mut BundleFilter<'_>, held: &[(Bytes, Option<Arc<Attribution>>)]) -> Result<(), Fault> {
    for (at, (bytes, attribution)) in held.iter().enumerate() {
        if at > 0 {
            filter.next_searchset();
        }
        filter.attribute(attribution.clone());
        filter.feed(bytes)?;
        filter.end()?;
    }
    Ok(())
}

impl Gathering<'_> {
    /// Judges one searchset of the EHR after the other; gives the link to the next page, where there is one.
    async fn walk(&mut self, first: Piece) -> Result<Option<String>, Fault> {
        let shared = &self.gateway.shared;
        let mut target: Box<str> = beginning(self.question).into();
        let mut seen = Vec::new();
        let mut piece = first;
        loop {
            let next = self.judge(piece).await?;
            if let Some(passed) = self.filter.further() {
                return self.about.next_link(&target, passed, self.question, shared).map(Some);
            }
            let Some(next) = next else {
                return if self.filter.continues() { Err(FilterError::Astray.into()) } else { Ok(None) };
            };
            seen.push(std::mem::replace(&mut target, next.into()));
            if seen.contains(&target) {
                return Err(FilterError::Astray.into());
            }
            if seen.len() >= limits::UPSTREAM_PAGES || self.about.began.elapsed() > limits::UPSTREAM_FOLLOW {
                let link = || self.about.next_link(&target, 0, self.question, shared);
                return self.question.page_size().map(|_| link()).transpose();
            }
            self.filter.next_searchset();
            self.followed.push(target.clone());
            piece = self.follow(&target).await?;
        }
    }

    async fn follow(&self, target: &str) -> Result<Piece, Fault> {
        let (onward, ehr) = (self.question.onward(target), &self.gateway.ehr);
        let (content, keeping) = match &self.stage {
            Stage::Held(room, _) => ehr.follow(&onward, room, self.about.exchange).await?,
            Stage::Sending(sent) => ehr.follow(&onward, &sent.closer, self.about.exchange).await?,
            Stage::Left => return Err(Fault::Absent),
        };
        Ok(Piece { content, keeping })
    }

    /// Judges one searchset; gives the place where the EHR goes on.
    async fn judge(&mut self, piece: Piece) -> Result<Option<String>, Fault> {
        let content = match piece.content {
            Content::Streamed(head, rest) if self.question.asks_authorship() => {
                Content::Whole(self.gateway.ehr.hold(head.into(), rest).await?)
            }
            content => content,
        };
        match content {
            Content::Absent(_) => return Err(FilterError::Mismatch.into()),
            Content::Whole(bytes) => {
                let attribution = self.attribution(&bytes).await?;
                self.filter.attribute(attribution.clone());
                self.held.iter_mut().for_each(|held| held.push((bytes.clone(), attribution.clone())));
                self.feed(&bytes).await?;
                if !self.filter.has_seen_enough() {
                    let next = self.end().await?;
                    if let Some(keeping) = piece.keeping {
                        self.gateway.ehr.keep(keeping, &bytes);
                    }
                    return Ok(next);
                }
            }
            Content::Streamed(head, mut rest) => {
                self.held = None;
                let mut piece = Some(head);
                while let Some(bytes) = piece {
                    self.feed(&bytes).await?;
                    drop(bytes);
                    if self.filter.has_seen_enough() {
                        return Ok(None);
                    }
                    piece = next(&mut rest).await?;
                }
                return self.end().await;
            }
        }
        Ok(None)
    }

    async fn attribution(&self, bytes: &Bytes) -> Result<Option<Arc<Attribution>>, Fault> {
        let (question, About { exchange, now, .. }) = (self.question, self.about);
        match &self.stage {
            Stage::Held(room, _) => self.gateway.attribution(question, bytes, room, *exchange, *now).await,
            Stage::Sending(sent) => self.gateway.attribution(question, bytes, &sent.closer, *exchange, *now).await,
            Stage::Left => Err(Fault::Absent),
        }
    }

    async fn end(&mut self) -> Result<Option<String>, Fault> {
        let next = self.filter.end()?;
        self.flush().await?;
        Ok(next)
    }

    async fn feed(&mut self, bytes: &Bytes) -> Result<(), Fault> {
        self.received += bytes.len() as u64;
        if self.received > limits::STREAMED_ANSWER_BYTES {
            return Err(FilterError::EntryTooLarge.into());
        }
        // Small bites: what a stream holds is what it has judged and not yet sent, and it may stand still for long.
        for bite in bytes.chunks(limits::STREAM_BITE_BYTES) {
            self.filter.feed(bite)?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what is ready, once it is too much to be held.
    async fn flush(&mut self) -> Result<(), Fault> {
        if let Some(most) = self.about.most {
            return if self.filter.whole_len() > most { Err(Fault::Sign(SignError::Size)) } else { Ok(()) };
        }
        let is_little = match self.stage {
            Stage::Held(..) => self.filter.whole_len() <= limits::WHOLE_ANSWER_BYTES,
            Stage::Sending(_) | Stage::Left => self.filter.output_len() < limits::STREAM_PIECE_BYTES,
        };
        if is_little {
            return Ok(());
        }
        self.held = None;
        self.begin().await;
        let Stage::Sending(sent) = &mut self.stage else { return Err(Fault::Absent) };
        sent.closer.so_far().counts = counts(self.filter.tally());
        if sent.send(self.filter.take_output()).await { Ok(()) } else { Err(Fault::Absent) }
    }

    /// From holding to sending: the record of the beginning comes first.
    async fn begin(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Left) {
            Stage::Held(room, handover) => match handover.begun.send(room) {
                Ok(()) => match handover.go.await {
                    Ok((sender, closer)) => Stage::Sending(Sent { digest: Context::new(&SHA256), sender, closer }),
                    Err(_) => Stage::Left,
                },
                Err(_) => Stage::Left,
            },
            other => other,
        };
    }
}

async fn next(rest: &mut UpstreamBody) -> Result<Option<Bytes>, Fault> {
    Ok(rest.next().await.map_err(FetchError::from)?)
}
