//! Attribution: which patients belong to which payer's roster, and when.
//!
//! Takes: a CSV file `patient,roster,member_id,start,end`, without quotes, dates as `YYYY-MM-DD` or empty.
//! Gives: a [`Roster`] that answers by binary search. Guarantees: compact (one row is 32 bytes and its two
//! texts), immutable, digested. Refuses: the whole file for one bad row, naming its line and never its content.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::civil::Date;
use thiserror::Error;

use crate::fhir::name::Id;
use crate::limits;

#[cfg(test)]
mod tests;

const HEADER: &str = "patient,roster,member_id,start,end";

/// Why a roster file is not accepted.
#[derive(Debug, Error)]
pub enum RosterError {
    /// A date is impossible, or the end lies before the start.
    #[error("line {0}: not a period of civil dates")]
    Dates(usize),
    /// The first line is not the header.
    #[error("line 1: the header must be `patient,roster,member_id,start,end`")]
    Header,
    /// Not readable.
    #[error("cannot be read")]
    Io(#[source] std::io::Error),
    /// A line does not have five fields, or has a quote in it.
    #[error("line {0}: five plain fields are needed")]
    Fields(usize),
    /// More than [`limits::ROSTER_BYTES`].
    #[error("larger than the limit")]
    Size,
    /// The patient is not a logical id, or a name is empty or too long.
    #[error("line {0}: not a logical id, roster name and member id")]
    Names(usize),
    /// Not UTF-8.
    #[error("not utf-8")]
    Utf8,
}

/// One stay of a patient on a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The roster's name.
    pub roster: Arc<str>,
    /// The payer's number for the patient.
    pub member_id: Box<str>,
    /// The first day; `None` is without beginning.
    pub start: Option<Date>,
    /// The last day; `None` is without end.
    pub end: Option<Date>,
}

impl Membership {
    /// Whether `day` lies in it, both ends included.
    pub fn holds_on(&self, day: Date) -> bool {
        self.start.is_none_or(|start| start <= day) && self.end.is_none_or(|end| day <= end)
    }
}

#[derive(Clone, Copy, Debug)]
struct Text {
    at: u32,
    length: u16,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    patient: Text,
    member: Text,
    roster: u16,
    start: Option<Date>,
    end: Option<Date>,
}

/// Every membership, by patient and by member id.
#[derive(Debug)]
pub struct Roster {
    texts: Box<str>,
    names: Box<[Arc<str>]>,
    /// By patient, roster and start.
    rows: Box<[Row]>,
    /// Indexes into `rows`, by roster and member id.
    members: Box<[u32]>,
    digest: [u8; 32],
}

impl Roster {
    /// A roster of nobody.
    pub fn empty() -> Self {
        Self::build(HEADER, digest_of(b"")).unwrap_or_else(|_| Self {
            texts: "".into(),
            names: Box::default(),
            rows: Box::default(),
            members: Box::default(),
            digest: [0; 32],
        })
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, RosterError> {
        let size = std::fs::metadata(path).map_err(RosterError::Io)?.len();
        if size > limits::ROSTER_BYTES {
            return Err(RosterError::Size);
        }
        Self::read(&std::fs::read(path).map_err(RosterError::Io)?)
    }

    /// Reads the bytes of a file.
    pub fn read(bytes: &[u8]) -> Result<Self, RosterError> {
        let text = std::str::from_utf8(bytes).map_err(|_| RosterError::Utf8)?;
        Self::build(text, digest_of(bytes))
    }

    fn build(text: &str, digest: [u8; 32]) -> Result<Self, RosterError> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(RosterError::Header);
        }
        let (mut texts, mut names, mut rows) = (String::new(), Vec::<Arc<str>>::new(), Vec::new());
        for (index, line) in lines.enumerate() {
            rows.push(row(line, index + 2, &mut texts, &mut names)?);
        }
        let part = |text: Text| slice(&texts, text);
        rows.sort_by_cached_key(|row| (part(row.patient), row.roster, row.start));
        let mut members: Vec<u32> = (0..u32::try_from(rows.len()).map_err(|_| RosterError::Size)?).collect();
        let key = |index: &u32| rows.get(*index as usize).map(|row| (row.roster, part(row.member)));
        members.sort_by_cached_key(key);
        let (rows, members) = (rows.into_boxed_slice(), members.into_boxed_slice());
        Ok(Self { texts: texts.into(), names: names.into(), rows, members, digest })
    }

    /// SHA-256 of the file.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Memberships in all.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it is a roster of nobody.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there is a roster of this name.
    pub fn has(&self, roster: &str) -> bool {
        self.number(roster).is_some()
    }

    /// The stays of a patient, on any roster.
    pub fn memberships(&self, patient: &Id) -> Vec<Membership> {
        self.of(patient)
            .iter()
            .filter_map(|row| {
                Some(Membership {
                    roster: self.names.get(usize::from(row.roster))?.clone(),
                    member_id: self.text(row.member).into(),
                    start: row.start,
                    end: row.end,
                })
            })
            .collect()
    }

    /// Whether the patient is on this roster on this day.
    pub fn is_member(&self, roster: &str, patient: &Id, day: Date) -> bool {
        let Some(number) = self.number(roster) else { return false };
        self.of(patient).iter().any(|row| {
            row.roster == number && row.start.is_none_or(|start| start <= day) && row.end.is_none_or(|end| day <= end)
        })
    }

    /// The patients whom this roster knows by this member id, at any time.
    pub fn by_member_id(&self, roster: &str, member_id: &str) -> Vec<Id> {
        let Some(number) = self.number(roster) else { return Vec::new() };
        let row = |index: &u32| self.rows.get(*index as usize);
        let key = |index: &u32| row(index).map(|row| (row.roster, self.text(row.member)));
        let wanted = Some((number, member_id));
        let first = self.members.partition_point(|index| key(index) < wanted);
        let found = self.members.iter().skip(first).take_while(|index| key(index) == wanted);
        let mut patients: Vec<Id> =
            found.filter_map(row).filter_map(|row| Id::parse(self.text(row.patient)).ok()).collect();
        patients.sort_unstable();
        patients.dedup();
        patients
    }

    fn of(&self, patient: &Id) -> &[Row] {
        let first = self.rows.partition_point(|row| self.text(row.patient) < patient.as_str());
        let rest = self.rows.get(first..).unwrap_or_default();
        let length = rest.partition_point(|row| self.text(row.patient) == patient.as_str());
        rest.get(..length).unwrap_or_default()
    }

    fn number(&self, roster: &str) -> Option<u16> {
        self.names.iter().position(|name| &**name == roster).and_then(|at| u16::try_from(at).ok())
    }

    fn text(&self, text: Text) -> &str {
        slice(&self.texts, text)
    }
}

fn row(line: &str, number: usize, texts: &mut String, names: &mut Vec<Arc<str>>) -> Result<Row, RosterError> {
    let mut fields = line.split(',');
    let (Some(patient), Some(roster), Some(member), Some(start), Some(end), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(RosterError::Fields(number));
    };
    if line.contains('"') {
        return Err(RosterError::Fields(number));
    }
    let named = |text: &str| (1..=limits::ROSTER_NAME_BYTES).contains(&text.len()) && text.trim() == text;
    if Id::parse(patient).is_err() || !named(roster) || !named(member) {
        return Err(RosterError::Names(number));
    }
    let date = |text: &str| match text {
        "" => Ok(None),
        text => civil(text).map(Some).ok_or(RosterError::Dates(number)),
    };
    let (start, end) = (date(start)?, date(end)?);
    if matches!((start, end), (Some(start), Some(end)) if end < start) {
        return Err(RosterError::Dates(number));
    }
    let at = match names.iter().position(|name| &**name == roster) {
        Some(at) => at,
        None => {
            names.push(roster.into());
            names.len() - 1
        }
    };
    let roster = u16::try_from(at).map_err(|_| RosterError::Names(number))?;
    let mut keep = |text: &str| {
        let at = u32::try_from(texts.len()).map_err(|_| RosterError::Size)?;
        texts.push_str(text);
        Ok(Text { at, length: u16::try_from(text.len()).map_err(|_| RosterError::Names(number))? })
    };
    Ok(Row { patient: keep(patient)?, member: keep(member)?, roster, start, end })
}

/// `YYYY-MM-DD` and nothing else.
pub(super) fn civil(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shape.then(|| text.parse().ok()).flatten()
}

fn slice(texts: &str, text: Text) -> &str {
    let at = text.at as usize;
    texts.get(at..at + usize::from(text.length)).unwrap_or_default()
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    for (slot, byte) in digest.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *slot = *byte;
    }
    digest
}
