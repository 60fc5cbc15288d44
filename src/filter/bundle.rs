//! A searchset, filtered entry by entry as it arrives.
//!
//! One entry at a time is held; no tree of the whole is ever built. The new Bundle is written by us: type, entries that
//! may leave, a total where every match was seen, links of our own.

use super::judge::{Judge, Verdict};
use super::tally::{Tally, Withheld};
use super::{Bases, FilterError, Judged, Released, redact};
use crate::fhir::json::{Document, JsonError, Kind, Tape, Value, write_string};
use crate::fhir::reference::Reference;
use crate::limits;
use crate::rewrite::Question;
use crate::understand::{Interaction, Search, TotalWanted};

const BEGINNING: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\"";

/// Where in the Bundle the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the opening brace.
    Start,
    /// Before a member of the Bundle, or its end; `first` where no comma is due.
    Member { first: bool },
    /// Before an item of `entry`, or the array's end.
    Entry { first: bool },
    /// After the closing brace.
    End,
}

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
    /// What became of each resource; kept for [`super::explain`] only.
    account: Option<Vec<Judged>>,
}

impl<'q> BundleFilter<'q> {
    /// A filter for the answer to `question`.
    pub fn new(question: &'q Question, bases: Bases<'q>) -> Self {
        let mut opening = b"{\"fullUrl\":".to_vec();
        write_string(bases.gateway, &mut opening);
        opening.pop();
        opening.push(b'/');
        Self {
            question,
            judge: Judge::new(question, bases),
            tape: Tape::new(),
            state: State::Start,
            held: Vec::new(),
            tried: 0,
            seen: Vec::new(),
            deferred: Vec::new(),
            deferred_bytes: 0,
            next: None,
            opening,
            continues: false,
            out: BEGINNING.to_vec(),
            entries: 0,
            tally: Tally::default(),
            account: None,
        }
    }

    /// A filter that keeps account of every resource.
    pub(super) fn explaining(question: &'q Question, bases: Bases<'q>) -> Self {
        Self { account: Some(Vec::new()), ..Self::new(question, bases) }
    }

    /// What became of every resource, in the order in which that was certain.
    pub(super) fn into_account(self) -> Vec<Judged> {
        self.account.unwrap_or_default()
    }

    /// Takes the next bytes of the EHR's answer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), FilterError> {
        self.held.reserve_exact(bytes.len());
        self.held.extend_from_slice(bytes);
        self.out.reserve_exact(bytes.len());
        let grown = self.tried < limits::STREAM_FRAME_BYTES || self.held.len() >= self.tried.saturating_mul(2);
        if grown || self.held.len() > limits::ENTRY_BYTES {
            self.advance()?;
        }
        Ok(())
    }

    /// What is ready to be sent; empties it.
    pub fn take_output(&mut self) -> Released {
        Released(std::mem::take(&mut self.out))
    }

    /// How much is ready to be sent.
    pub fn output_len(&self) -> usize {
        self.out.len()
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
        if self.entries > 0 {
            self.out.push(b']');
        }
        let first_page = matches!(self.question.interaction(), Interaction::Search(_));
        let states_total = first_page && next.is_none() && !self.continues && shape.total != TotalWanted::None;
        close_bundle(states_total.then_some(self.tally.matches), own, next, &mut self.out);
        (Released(self.out), self.tally)
    }

    /// The account so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn advance(&mut self) -> Result<(), FilterError> {
        let held = std::mem::take(&mut self.held);
        let mut tape = std::mem::take(&mut self.tape);
        let mut at = 0;
        let outcome = loop {
            match self.step(&mut tape, held.get(at..).unwrap_or_default()) {
                Ok(Some(used)) => at += used,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.tape = tape;
        self.held = held;
        self.held.drain(..at);
        self.tried = self.held.len();
        if self.held.len() > limits::ENTRY_BYTES {
            return Err(FilterError::EntryTooLarge);
        }
        outcome
    }

    /// Consumes one piece of `rest`; `None` where more bytes are needed.
    fn step(&mut self, tape: &mut Tape, rest: &[u8]) -> Result<Option<usize>, FilterError> {
        let Some(start) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) else { return Ok(None) };
        let piece = rest.get(start..).unwrap_or_default();
        let byte = piece.first().copied().unwrap_or_default();
        let used = match (self.state, byte) {
            (State::Start, b'{') => {
                self.state = State::Member { first: true };
                1
            }
            (State::Member { .. }, b'}') => {
                if !(self.seen.contains(&"resourceType") && self.seen.contains(&"type")) {
                    return Err(FilterError::Mismatch);
                }
                self.state = State::End;
                1
            }
            (State::Member { first: false }, b',') => {
                self.state = State::Member { first: true };
                1
            }
            (State::Member { first: true }, b'"') => match self.member(tape, piece)? {
                Some(used) => used,
                None => return Ok(None),
            },
            (State::Entry { .. }, b']') => {
                self.state = State::Member { first: false };
                1
            }
            (State::Entry { first: false }, b',') => {
                self.state = State::Entry { first: true };
                1
            }
            (State::Entry { first: true }, _) => match read_first(tape, piece)? {
                Some((document, used)) => {
                    self.entry(document.root(), false);
                    self.state = State::Entry { first: false };
                    used
                }
                None => return Ok(None),
            },
            (State::End, _) => return Err(FilterError::Json(JsonError::Trailing(start))),
            _ => return Err(FilterError::Json(JsonError::Syntax(start))),
        };
        Ok(Some(start + used))
    }

    /// A member of the Bundle. Its value is complete before it counts, but for `entry`, which is entered.
    fn member(&mut self, tape: &mut Tape, piece: &[u8]) -> Result<Option<usize>, FilterError> {
        let Some((name, used)) = read_first(tape, piece)? else { return Ok(None) };
        let name = known(name.root().raw());
        let after = piece.get(used..).unwrap_or_default();
        let Some(colon) = after.iter().position(|byte| !byte.is_ascii_whitespace()) else { return Ok(None) };
        if after.get(colon) != Some(&b':') {
            return Err(FilterError::Json(JsonError::Syntax(used)));
        }
        let value = after.get(colon + 1..).unwrap_or_default();
        let Some(begin) = value.iter().position(|byte| !byte.is_ascii_whitespace()) else { return Ok(None) };
        let before = used + colon + 1;
        if name == Some("entry") && value.get(begin) == Some(&b'[') {
            self.note("entry")?;
            if !(self.seen.contains(&"resourceType") && self.seen.contains(&"type")) {
                return Err(FilterError::Mismatch);
            }
            self.state = State::Entry { first: true };
            return Ok(Some(before + begin + 1));
        }
        let Some((document, length)) = read_first(tape, value)? else { return Ok(None) };
        if let Some(name) = name {
            self.note(name)?;
            self.envelope(name, document.root())?;
        }
        self.state = State::Member { first: false };
        Ok(Some(before + length))
    }

    fn note(&mut self, name: &'static str) -> Result<(), FilterError> {
        if self.seen.contains(&name) {
            return Err(FilterError::Json(JsonError::Duplicate(0)));
        }
        self.seen.push(name);
        Ok(())
    }

    fn envelope(&mut self, name: &str, value: Value<'_>) -> Result<(), FilterError> {
        let is = |text: &str| value.text().is_some_and(|have| have == text);
        match name {
            "resourceType" if !is("Bundle") => Err(FilterError::Mismatch),
            "type" if !is("searchset") => Err(FilterError::Mismatch),
            "entry" => Err(FilterError::Mismatch),
            "link" => {
                self.links(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn links(&mut self, links: Value<'_>) {
        for link in links.items() {
            if link.get("relation").and_then(Value::text).is_none_or(|relation| relation != "next") {
                continue;
            }
            self.continues = true;
            let Some(url) = link.get("url").and_then(Value::text) else { continue };
            let below = url
                .strip_prefix(self.judge.bases().ehr)
                .filter(|rest| rest.starts_with(['/', '?']) && !rest.contains('#') && !leaves_base(rest));
            match below {
                Some(rest) if rest.bytes().all(|byte| byte.is_ascii_graphic()) => self.next = Some(rest.to_owned()),
                _ => self.tally.foreign_links += 1,
            }
        }
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
        let release = match self.judge.resource(&identity, resource) {
            Verdict::Release(release) => release,
            Verdict::Withhold(Withheld::Include) if !last_chance && self.may_wait(&identity, entry) => return,
            Verdict::Withhold(reason) => return self.withhold(reason, Some((&identity, resource))),
        };
        self.tally.release(&release.patients);
        if let Some(account) = &mut self.account {
            account.push(Judged { resource: Some(identity.clone()), withheld: None, failed: Vec::new() });
        }
        if release.mode == super::judge::Mode::Match {
            self.tally.matches += 1;
        }
        if self.question.interaction().shape().count_only {
            return;
        }
        self.out.extend_from_slice(if self.entries == 0 { b",\"entry\":[" } else { b"," });
        self.entries += 1;
        let name = [identity.resource_type.as_str(), "/", identity.id.as_str(), "\",\"resource\":"];
        self.out.extend_from_slice(&self.opening);
        name.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
        redact::write(resource, &release, &self.judge, &mut self.out, &mut self.tally);
        self.out.extend_from_slice(b",\"search\":{\"mode\":\"");
        self.out.extend_from_slice(release.mode.as_str().as_bytes());
        self.out.extend_from_slice(b"\"}}");
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

/// Whether the path of a target, read as some server might, leads up or to another host.
fn leaves_base(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    ["..", "%2e", "//", "\\"].iter().any(|step| path.contains(step))
}

/// A searchset without entries, to the byte what a filter writes that lets none through.
pub fn empty_searchset(own: &str, states_total: bool) -> Released {
    let mut out = BEGINNING.to_vec();
    close_bundle(states_total.then_some(0), own, None, &mut out);
    Released(out)
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

fn read_first<'t>(tape: &'t mut Tape, piece: &'t [u8]) -> Result<Option<(Document<'t>, usize)>, FilterError> {
    match tape.read_first(piece) {
        Ok(found) => Ok(Some(found)),
        Err(JsonError::Incomplete) => Ok(None),
        Err(error) => Err(FilterError::Json(error)),
    }
}

/// The members of a Bundle that matter here; a name is compared as it is written, quotes included.
fn known(raw: &str) -> Option<&'static str> {
    Some(match raw {
        "\"resourceType\"" => "resourceType",
        "\"type\"" => "type",
        "\"link\"" => "link",
        "\"entry\"" => "entry",
        "\"total\"" => "total",
        _ => return None,
    })
}
