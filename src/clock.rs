//! Time as an argument.
//!
//! Takes: nothing. Gives: a [`Now`], read once per exchange at the rim and handed down, so that every
//! step of one exchange sees the same instant and a recorded decision can be replayed.
//! Guarantees: the core never reads a clock. Refuses: nothing.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The instant of one exchange, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now(Timestamp);

impl Now {
    /// An instant chosen by the caller: replay, tests.
    pub fn at(instant: Timestamp) -> Self {
        Self(instant)
    }

    /// The instant itself.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// Seconds since the Unix epoch, as `exp` and `nbf` of RFC 7519 count them.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// The civil date in UTC.
    pub fn date(self) -> Date {
        self.0.to_zoned(TimeZone::UTC).date()
    }

    /// RFC 3339 with milliseconds, as FHIR `instant` wants it.
    pub fn to_instant(self) -> String {
        format!("{:.3}", self.0)
    }
}

/// Where the rim reads the time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// An instant that stands still.
    Fixed(Timestamp),
}

impl Clock {
    /// The current instant.
    pub fn now(&self) -> Now {
        match self {
            Self::System => Now(Timestamp::now()),
            Self::Fixed(instant) => Now(*instant),
        }
    }
}
