//! FHIR dates as spans of time (R4 search, 3.1.1.4.9 date).
//!
//! Takes: `date`, `dateTime` and `instant` texts of any precision. Gives: a [`Span`], the half-open range
//! of instants that the text stands for. Guarantees: a text without a time zone is read as UTC.
//! Refuses: everything that R4's grammar does not allow, impossible calendar dates included.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// A half-open range of instants in UTC; an open end is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first instant; `None` is without beginning.
    pub start: Option<Timestamp>,
    /// The first instant after it; `None` is without end.
    pub end: Option<Timestamp>,
}

impl Span {
    /// The span that a FHIR date, dateTime or instant stands for: `2024` is the whole year.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let year = digits(parts.next()?, 4)? as i16;
        let month = parts.next().map(|month| digits(month, 2)).map_or(Some(None), |month| month.map(Some))?;
        let day = parts.next().map(|day| digits(day, 2)).map_or(Some(None), |day| day.map(Some))?;
        if parts.next().is_some() || year == 0 {
            return None;
        }
        match (month, day, time) {
            (None, None, None) => Self::between(Date::new(year, 1, 1).ok()?, 1.year()),
            (Some(month), None, None) => Self::between(Date::new(year, month as i8, 1).ok()?, 1.month()),
            (Some(month), Some(day), None) => Self::between(Date::new(year, month as i8, day as i8).ok()?, 1.day()),
            (Some(month), Some(day), Some(time)) => Self::moment(Date::new(year, month as i8, day as i8).ok()?, time),
            _ => None,
        }
    }

    /// The span of a `Period`: an absent bound is open, a date-only end includes that whole day. `None` where it
    /// ends before it starts.
    pub fn period(start: Option<&str>, end: Option<&str>) -> Option<Self> {
        if start.is_none() && end.is_none() {
            return None;
        }
        let first = start.map(Self::parse).map_or(Some(None), |span| span.map(Some))?;
        let last = end.map(Self::parse).map_or(Some(None), |span| span.map(Some))?;
        let (start, end) = (first.and_then(|span| span.start), last.and_then(|span| span.end));
        let is_reversed = start.zip(end).is_some_and(|(start, end)| end <= start);
        (!is_reversed).then_some(Self { start, end })
    }

    /// Whether this span lies wholly inside `outer`.
    pub fn is_within(self, outer: Self) -> bool {
        let starts = match (self.start, outer.start) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => inner >= outer,
        };
        let ends = match (self.end, outer.end) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => inner <= outer,
        };
        starts && ends
    }

    fn between(first: Date, length: jiff::Span) -> Option<Self> {
        let instant = |date: Date| TimeZone::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok();
        Some(Self { start: Some(instant(first)?), end: Some(instant(first.checked_add(length).ok()?)?) })
    }

    fn moment(date: Date, time: &str) -> Option<Self> {
        let zone_at = time.find(['Z', '+', '-']);
        let (clock, zone) = time.split_at(zone_at.unwrap_or(time.len()));
        let (whole, fraction) = match clock.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (clock, None),
        };
        let mut parts = whole.split(':');
        let hour = digits(parts.next()?, 2)?;
        let minute = digits(parts.next()?, 2)?;
        let second = parts.next().map(|second| digits(second, 2)).map_or(Some(None), |second| second.map(Some))?;
        if parts.next().is_some() || (fraction.is_some() && second.is_none()) {
            return None;
        }
        let offset = match zone {
            "" | "Z" => Offset::UTC,
            zone => {
                let (sign, rest) =
                    if let Some(rest) = zone.strip_prefix('+') { (1, rest) } else { (-1, zone.strip_prefix('-')?) };
                let (hours, minutes) = rest.split_once(':')?;
                let seconds = i32::from(digits(hours, 2)?) * 3_600 + i32::from(digits(minutes, 2)?) * 60;
                Offset::from_seconds(sign * seconds).ok()?
            }
        };
        let (nanoseconds, length) = match (second, fraction) {
            (None, _) => (0, 60_000_000_000_i64),
            (Some(_), None) => (0, 1_000_000_000),
            (Some(_), Some(fraction)) => fraction_of_second(fraction)?,
        };
        // A leap second is read as the second before it: jiff, like POSIX time, has no 61st second.
        let second = second.unwrap_or(0).min(59);
        let local =
            DateTime::new(date.year(), date.month(), date.day(), hour as i8, minute as i8, second as i8, nanoseconds)
                .ok()?;
        let start = offset.to_timestamp(local).ok()?;
        Some(Self { start: Some(start), end: Some(start.checked_add(length.nanoseconds()).ok()?) })
    }
}

fn digits(text: &str, count: usize) -> Option<u16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Nanoseconds of a decimal fraction, and the length of its last place.
fn fraction_of_second(fraction: &str) -> Option<(i32, i64)> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let known = fraction.get(..fraction.len().min(9))?;
    let scale = 10_i64.pow(9 - known.len() as u32);
    Some((i32::try_from(known.parse::<i64>().ok()? * scale).ok()?, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> (String, String) {
        let span = Span::parse(text).unwrap();
        (span.start.unwrap().to_string(), span.end.unwrap().to_string())
    }

    #[test]
    fn every_precision_is_the_range_it_stands_for() {
        for (text, start, end) in [
            ("2024", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("2024-05-01T10:30", "2024-05-01T10:30:00Z", "2024-05-01T10:31:00Z"),
            ("2024-05-01T10:30:15Z", "2024-05-01T10:30:15Z", "2024-05-01T10:30:16Z"),
            ("2024-05-01T10:30:15.5-05:00", "2024-05-01T15:30:15.5Z", "2024-05-01T15:30:15.6Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z", "2017-01-01T00:00:00Z"),
        ] {
            assert_eq!(span(text), (start.to_owned(), end.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_fhir_date() {
        for bad in [
            "",
            "24",
            "2024-1",
            "2024-13",
            "2023-02-29",
            "2024-01-01T",
            "2024-01-01T10",
            "2024-01T10:00",
            "now",
            "2024-01-01T25:00:00Z",
            "2024-01-01T10:00:00.Z",
            "2024-01-01 10:00",
            "2024-01-01T10:00:00+5",
            "+2024",
            "0000",
        ] {
            assert!(Span::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn periods_may_be_open_but_not_empty() {
        let open = Span::period(Some("2024-01-01"), None).unwrap();
        assert!(open.end.is_none());
        assert!(Span::period(None, None).is_none());
        assert!(Span::period(Some("soon"), None).is_none());
        assert!(Span::period(Some("2024-05-01"), Some("2024-04-30")).is_none());
        assert!(Span::period(Some("2024-05-01T10:00:00Z"), Some("2024-05-01")).is_some());
        let year = Span::parse("2024").unwrap();
        assert!(Span::period(Some("2024-01-01"), Some("2024-12-31")).unwrap().is_within(year));
        assert!(!open.is_within(year));
        assert!(year.is_within(open));
    }
}
