//! A searchset, filtered entry by entry as it arrives.
//!
//! Takes: the EHR's searchsets, one after the other, in pieces of any size. Gives: a Bundle of our own: type, entries that
//! may leave, a total where every match was seen, our links; it ends where its page is full. Guarantees: one entry at a time
//! is held, and no tree of the whole is ever built. Refuses: what `envelope` refuses, and entries beyond
//! [`limits::ENTRY_BYTES`].

mod envelope;

use std::collections::HashSet;
use std::sync::Arc;

use envelope::State;

use super::changes::{Assembler, Changes};
use super::judge::{Judge, Mode, Verdict};
use super::order::Order;
use super::tally::{Tally, Withheld};
use super::{Attribution, Bases, ContentLinks, FilterError, Judged, Released, honesty, redact};
use crate::fhir::json::{Kind, Tape, Value, write_string};
use crate::fhir::reference::Reference;
use crate::limits;
use crate::rewrite::Question;
use crate::understand::{Interaction, Search, TotalWanted};

const BEGINNING: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\"";

/// Filters one searchset.
pub struct BundleFilter<'q> {
    question: &'q Question,
    judge: Judge<'q>,
    tape: Tape,
    state: State,
    held: Vec<u8>,
    /// How many bytes were held when the piece at hand was last found incomplete.
    tried: usize,
    seen: Vec<&'static str>,
    /// Names of members that do not matter, quotes included.
    others: Vec<Box<str>>,
    /// Whether it is the EHR's answer to the question itself, and not a further page of that.
    is_first: bool,
    /// Entries that come along with a match that has not been seen yet.
    deferred: Vec<Vec<u8>>,
    deferred_bytes: usize,
    next: Option<String>,
    /// How each entry begins, up to the type in its `fullUrl`.
    opening: Vec<u8>,
    /// Whether the EHR says that there is more, wherever that is.
    continues: bool,
    out: Vec<u8>,
    entries: u32,
    tally: Tally,
    /// Matches that the page may hold; `None` is all that come.
    size: Option<u32>,
    /// With so many matches the page is not filled up from a further searchset.
    enough: Option<u32>,
    /// Matches of the searchset at hand that an earlier page held.
    passed: u32,
    /// Matches of the searchset at hand that may leave, those of earlier pages among them.
    here: u32,
    /// Where in the searchset at hand the next page begins.
    further: Option<u32>,
    /// Whether the page was full before the searchset at hand: it is read only to see whether there is more.
    looks_ahead: bool,
    /// What came along so far, which the EHR may repeat with each of its pages.
    along: HashSet<Reference>,
    /// The order that was asked for, where it can be told.
    order: Option<Order>,
    /// What is said of what was done to the records, where the decision wants it said.
    changes: Option<Changes<'q>>,
    /// What became of each resource; kept for [`super::explain`] only.
    account: Option<Vec<Judged>>,
}

impl<'q> BundleFilter<'q> {
    /// A filter for the answer to `question`, without links to the content of documents.
    pub fn new(question: &'q Question, bases: Bases<'q>) -> Self {
        Self::of(question, Judge::new(question, bases, None))
    }

    /// A filter whose links to the content of documents are `links`.
    pub fn linking(question: &'q Question, bases: Bases<'q>, links: &'q dyn ContentLinks) -> Self {
        Self::of(question, Judge::new(question, bases, Some(links)))
    }

    fn of(question: &'q Question, judge: Judge<'q>) -> Self {
        let mut opening = b"{\"fullUrl\":".to_vec();
        write_string(judge.bases().gateway, &mut opening);
        opening.pop();
        opening.push(b'/');
        Self {
            question,
            judge,
            tape: Tape::new(),
            state: State::Start,
            held: Vec::new(),
            tried: 0,
            seen: Vec::new(),
            others: Vec::new(),
            is_first: true,
            deferred: Vec::new(),
            deferred_bytes: 0,
            next: None,
            opening,
            continues: false,
            out: BEGINNING.to_vec(),
            entries: 0,
            tally: Tally::default(),
            size: None,
            enough: None,
            passed: 0,
            here: 0,
            further: None,
            looks_ahead: false,
            along: HashSet::new(),
            order: Order::of(question),
            changes: None,
            account: None,
        }
    }

    /// What is known beside the records of the searchset at hand, where the decision asks who is responsible for them.
    pub fn attribute(&mut self, attribution: Option<Arc<Attribution>>) {
        self.tally.look_up(attribution.as_deref());
        self.judge.attribute(attribution);
    }

    /// Lets it end where the page which was asked for is full, and begin after what earlier pages held.
    pub fn paged(self) -> Self {
        let passed = match self.question.interaction() {
            Interaction::Page(page) => page.passed(),
            Interaction::Read(_) | Interaction::Search(_) => 0,
        };
        Self { size: self.question.page_limit(), enough: self.question.page_size(), passed, ..self }
    }

    /// Lets it say what was done to the records, where the decision wants it said (see [`super::states_changes`]).
    pub fn stating(self, assembler: Option<Assembler<'q>>) -> Self {
        let gateway = self.judge.bases().gateway;
        let changes = assembler.and_then(|assembler| Changes::of(self.question, gateway, assembler));
        Self { changes, ..self }
    }

    /// Whether something that was written leads to what was withheld later. Where the EHR's searchsets are still at hand,
    /// all is written again, by [`Self::again`].
    pub fn leads_to_withheld(&self) -> bool {
        self.judge.is_named_in(&self.out)
    }

    /// A filter for the same page that knows from the beginning what this one withheld.
    pub fn again(self) -> Self {
        let is_paged = self.enough.is_some();
        let changes = self.changes.map(Changes::again);
        let again = Self { changes, ..Self::of(self.question, self.judge.again()) };
        if is_paged { again.paged() } else { again }
    }

    /// Goes on with the EHR's next searchset.
    pub fn next_searchset(&mut self) {
        self.looks_ahead = self.has(self.enough);
        self.state = State::Start;
        self.held.clear();
        self.tried = 0;
        self.seen.clear();
        self.others.clear();
        self.is_first = false;
        self.deferred_bytes = 0;
        self.next = None;
        self.continues = false;
        self.passed = 0;
        self.here = 0;
    }

    /// How many matches of the searchset at hand come before the next page; `None` where none is known to follow.
    pub fn further(&self) -> Option<u32> {
        self.further
    }

    /// Whether nothing more can be learned from the searchset at hand.
    pub fn has_seen_enough(&self) -> bool {
        let comes_alone = self.question.interaction().search().is_some_and(|search| search.includes().is_empty());
        self.further.is_some() && (self.looks_ahead || comes_alone)
    }

    /// Whether the EHR's order is certainly another than the one that was asked for, and cannot be mended: this page is not
    /// all there is (`is_last` says whether one follows), or was sent in part.
    pub fn is_out_of_order(&self, is_last: bool) -> bool {
        let is_all = is_last && matches!(self.question.interaction(), Interaction::Search(_));
        self.order.as_ref().is_some_and(|order| order.is_broken() && !(is_all && order.can_mend()))
    }

    /// Whether the EHR said that there is more. Where [`Self::end`] gave no place for it, it cannot be had.
    pub fn continues(&self) -> bool {
        self.continues
    }

    fn has(&self, matches: Option<u32>) -> bool {
        matches.is_some_and(|matches| self.tally.matches >= matches)
    }

    /// A filter that keeps account of every resource.
    pub(super) fn explaining(question: &'q Question, bases: Bases<'q>) -> Self {
        Self { account: Some(Vec::new()), ..Self::new(question, bases) }
    }

    /// The same, where everything counts as answered for.
    pub(super) fn presuming(question: &'q Question, bases: Bases<'q>) -> Self {
        let mut filter = Self::explaining(question, bases);
        filter.judge.presume();
        filter
    }

    /// What became of every resource, in the order in which that was certain.
    pub(super) fn into_account(self) -> Vec<Judged> {
        self.account.unwrap_or_default()
    }

    /// Takes the next bytes of the EHR's answer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), FilterError> {
        self.out.reserve_exact(bytes.len());
        if self.held.is_empty() {
            let (used, outcome) = self.consume(bytes);
            self.keep(bytes.get(used..).unwrap_or_default().to_vec())?;
            return outcome;
        }
        self.held.reserve_exact(bytes.len());
        self.held.extend_from_slice(bytes);
        let grown = self.tried < limits::STREAM_BITE_BYTES || self.held.len() >= self.tried.saturating_mul(2);
        if grown || self.held.len() > limits::ENTRY_BYTES {
            self.advance()?;
        }
        Ok(())
    }

    /// What is ready to be sent; empties it.
    pub fn take_output(&mut self) -> Released {
        self.order.iter_mut().for_each(Order::sent);
        let mut out = std::mem::take(&mut self.out);
        // It may wait for its client as long as it takes, and others with it.
        out.shrink_to_fit();
        Released(out)
    }

    /// How much is ready to be sent.
    pub fn output_len(&self) -> usize {
        self.out.len()
    }

    /// How much is ready, and what is still to be said of it.
    pub fn whole_len(&self) -> usize {
        self.out.len() + self.changes.as_ref().map_or(0, Changes::pending_len)
    }

    /// The answer has ended. Path and query of the EHR's own next page, below its base, where there is one.
    pub fn end(&mut self) -> Result<Option<String>, FilterError> {
        self.advance()?;
        if self.state != State::End {
            return Err(FilterError::Truncated);
        }
        let deferred = std::mem::take(&mut self.deferred);
        let mut tape = std::mem::take(&mut self.tape);
        for entry in deferred {
            if let Ok(document) = tape.read(&entry) {
                self.entry(document.root(), true);
            }
        }
        Ok(self.next.take())
    }

    /// Closes the Bundle with our own links: `own` is this page, `next` the sealed link to a further one.
    pub fn close(mut self, own: &str, next: Option<&str>) -> (Released, Tally) {
        let shape = self.question.interaction().shape();
        let first_page = matches!(self.question.interaction(), Interaction::Search(_));
        if first_page && next.is_none() && !self.continues {
            self.order.iter_mut().for_each(|order| order.mend(&mut self.out));
        }
        self.changes.iter_mut().for_each(|changes| changes.rest(|entry| join(entry, &mut self.out)));
        if self.entries > 0 {
            self.out.push(b']');
        }
        let states_total = first_page && next.is_none() && !self.continues && shape.total != TotalWanted::None;
        close_bundle(states_total.then_some(self.tally.matches), own, next, &mut self.out);
        (Released(self.out), self.tally)
    }

    /// The account so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Goes on with what is held.
    fn advance(&mut self) -> Result<(), FilterError> {
        let mut held = std::mem::take(&mut self.held);
        let (used, outcome) = self.consume(&held);
        held.drain(..used);
        self.keep(held)?;
        outcome
    }

    /// Holds what is not complete yet.
    fn keep(&mut self, held: Vec<u8>) -> Result<(), FilterError> {
        self.tried = held.len();
        self.held = held;
        if self.tried > limits::ENTRY_BYTES { Err(FilterError::EntryTooLarge) } else { Ok(()) }
    }

    fn entry(&mut self, entry: Value<'_>, last_chance: bool) {
        if !last_chance {
            self.tally.received += 1;
        }
        let resource = entry.get("resource").filter(|resource| resource.kind() == Kind::Object);
        let Some((resource, identity)) = resource.and_then(|resource| Some((resource, self.judge.identity(resource)?)))
        else {
            return self.withhold(Withheld::Malformed, None);
        };
        let is_within = self.here >= self.passed && !self.looks_ahead && !self.has(self.size);
        let verdict =
            if is_within { self.judge.resource(&identity, resource) } else { self.judge.aside(&identity, resource) };
        let release = match verdict {
            Verdict::Release(release) if release.mode == Mode::Match => {
                self.here += 1;
                if self.order.as_mut().is_some_and(|order| order.see(resource)) {
                    self.tally.unheeded.insert("_sort".into());
                }
                if !is_within {
                    if self.here > self.passed {
                        self.further.get_or_insert(self.here - 1);
                    }
                    return;
                }
                release
            }
            Verdict::Release(_) if self.looks_ahead || !self.along.insert(identity.clone()) => return,
            Verdict::Release(release) => release,
            Verdict::Withhold(_) if self.question.is_evidence(identity.resource_type) => {
                self.tally.received -= u32::from(!last_chance);
                self.tally.evidence += 1;
                return;
            }
            Verdict::Withhold(Withheld::Include) if self.looks_ahead => return,
            Verdict::Withhold(Withheld::Include) if !last_chance && self.may_wait(&identity, entry) => return,
            Verdict::Withhold(reason) => {
                if reason == Withheld::Authorship {
                    self.tally.judge(self.judge.authorship(identity.resource_type, resource));
                }
                let ehr = [self.judge.bases().ehr];
                honesty::note_unheeded(reason, &identity, resource, self.question, &ehr, &mut self.tally);
                return self.withhold(reason, Some((&identity, resource)));
            }
        };
        self.tally.release(&release.patients);
        self.tally.judge(release.authorship);
        if let Some(account) = &mut self.account {
            account.push(Judged { resource: Some(identity.clone()), withheld: None, failed: Vec::new() });
        }
        if release.mode == Mode::Match {
            self.tally.matches += 1;
        }
        if self.question.interaction().shape().count_only {
            return;
        }
        self.out.extend_from_slice(if self.entries == 0 { b",\"entry\":[" } else { b"," });
        self.entries += 1;
        let begin = self.out.len();
        let name = [identity.resource_type.as_str(), "/", identity.id.as_str(), "\",\"resource\":"];
        self.out.extend_from_slice(&self.opening);
        name.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
        let whole = redact::write(resource, &release, &self.judge, &mut self.out, &mut self.tally);
        self.out.extend_from_slice(b",\"search\":{\"mode\":\"");
        self.out.extend_from_slice(release.mode.as_str().as_bytes());
        self.out.extend_from_slice(b"\"}}");
        if let Some(order) = &mut self.order {
            order.wrote(release.mode, resource, begin, self.out.len());
        }
        let Some(changes) = &mut self.changes else { return };
        changes.wrote(&identity, resource, &release, whole);
        changes.full(|entry| {
            let begin = self.out.len() + 1;
            join(entry, &mut self.out);
            self.order.iter_mut().for_each(|order| order.wrote_aside(begin, self.out.len()));
        });
    }

    fn withhold(&mut self, reason: Withheld, resource: Option<(&Reference, Value<'_>)>) {
        self.tally.withhold(reason);
        if let Some(account) = &mut self.account {
            let failed = resource.map(|(identity, resource)| self.judge.failed(reason, identity, resource));
            let resource = resource.map(|(identity, _)| identity.clone());
            account.push(Judged { resource, withheld: Some(reason), failed: failed.unwrap_or_default() });
        }
    }

    /// Keeps what may turn out to come along with a later match, within bounds.
    fn may_wait(&mut self, identity: &Reference, entry: Value<'_>) -> bool {
        let asked = self.question.interaction().search().map(Search::includes).unwrap_or_default();
        let includes = asked.iter().any(|include| include.brings(identity.resource_type));
        let size = entry.raw().len();
        let room = includes && self.deferred_bytes + size <= limits::WHOLE_ANSWER_BYTES;
        if room {
            self.deferred_bytes += size;
            self.deferred.push(entry.raw().as_bytes().to_vec());
        }
        room
    }
}

/// Filters a searchset that is held whole; gives what [`BundleFilter::end`] gives as well. What was withheld is known from
/// the beginning: where something that was written already leads to it, all is written again.
pub fn searchset<'q>(
    bytes: &[u8],
    mut filter: BundleFilter<'q>,
) -> Result<(BundleFilter<'q>, Option<String>), FilterError> {
    filter.feed(bytes)?;
    let next = filter.end()?;
    if !filter.leads_to_withheld() {
        return Ok((filter, next));
    }
    let mut again = filter.again();
    again.feed(bytes)?;
    let next = again.end()?;
    Ok((again, next))
}

/// A searchset without entries, to the byte what a filter writes that lets none through.
pub fn empty_searchset(own: &str, states_total: bool) -> Released {
    let mut out = BEGINNING.to_vec();
    close_bundle(states_total.then_some(0), own, None, &mut out);
    Released(out)
}

/// Writes an entry that is not the first.
fn join(entry: &[u8], out: &mut Vec<u8>) {
    out.push(b',');
    out.extend_from_slice(entry);
}

fn close_bundle(total: Option<u32>, own: &str, next: Option<&str>, out: &mut Vec<u8>) {
    if let Some(total) = total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    out.extend_from_slice(b",\"link\":[{\"relation\":\"self\",\"url\":");
    write_string(own, out);
    out.push(b'}');
    if let Some(next) = next {
        out.extend_from_slice(b",{\"relation\":\"next\",\"url\":");
        write_string(next, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}
