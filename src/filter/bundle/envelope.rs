//! The envelope of a searchset, read piece by piece.
//!
//! Takes: bytes of a Bundle, as many as there are. Gives: each entry as soon as it is complete, and what the Bundle says beside
//! them. Guarantees: what is accepted is one JSON object, each of its members there once and written plainly; entries are
//! not looked at before it is known that they are a searchset's. Refuses: other Bundles, and to follow a link that leads
//! elsewhere than below the EHR's base.

use super::super::{FilterError, honesty};
use super::BundleFilter;
use crate::fhir::json::{Document, JsonError, Tape, Value};

/// Members that a Bundle may have besides those that are read: R4 has ten, primitive extensions included.
const OTHER_MEMBERS: usize = 16;

/// Where in the Bundle the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Before the opening brace.
    Start,
    /// Before a member of the Bundle, or its end; `first` where no comma is due.
    Member { first: bool },
    /// Before an item of `entry`, or the array's end.
    Entry { first: bool },
    /// After the closing brace.
    End,
}

impl BundleFilter<'_> {
    /// Consumes all complete pieces of `bytes`; tells how much that was.
    pub(super) fn consume(&mut self, bytes: &[u8]) -> (usize, Result<(), FilterError>) {
        let mut tape = std::mem::take(&mut self.tape);
        let mut at = 0;
        let outcome = loop {
            match self.step(&mut tape, bytes.get(at..).unwrap_or_default()) {
                Ok(Some(used)) => at += used,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.tape = tape;
        (at, outcome)
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
        let raw: Box<str> = name.root().raw().into();
        let name = known(&raw);
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
        match name {
            Some(name) => {
                self.note(name)?;
                self.envelope(name, document.root())?;
            }
            None => self.note_other(raw)?,
        }
        self.state = State::Member { first: false };
        Ok(Some(before + length))
    }

    /// Members that do not matter here may come once and without escapes, as in every object.
    fn note_other(&mut self, raw: Box<str>) -> Result<(), FilterError> {
        if raw.contains('\\') {
            return Err(FilterError::Json(JsonError::EscapedName(0)));
        }
        if self.others.contains(&raw) {
            return Err(FilterError::Json(JsonError::Duplicate(0)));
        }
        if self.others.len() >= OTHER_MEMBERS {
            return Err(FilterError::Mismatch);
        }
        self.others.push(raw);
        Ok(())
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
            "link" => self.links(value),
            _ => Ok(()),
        }
    }

    fn links(&mut self, links: Value<'_>) -> Result<(), FilterError> {
        for link in links.items() {
            let url = link.get("url").and_then(Value::text);
            let is_self = link.get("relation").and_then(Value::text).is_some_and(|name| name == "self");
            if let Some(url) = url.filter(|_| is_self && self.is_first) {
                honesty::check_self_link(&url, self.question, &mut self.tally)?;
            }
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
        Ok(())
    }
}

/// Whether the path of a target, read as some server might, leads up or to another host.
fn leaves_base(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    ["..", "%2e", "//", "\\"].iter().any(|step| path.contains(step))
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
