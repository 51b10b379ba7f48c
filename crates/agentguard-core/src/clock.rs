//! Time, as something that can be handed in.

use serde::{Deserialize, Serialize};

/// A point in time as entries write it: RFC 3339, UTC, microseconds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub String);

impl Timestamp {
    /// Writes the time that lies `micros` after 1970.
    #[must_use]
    pub fn from_unix_micros(micros: u64) -> Self {
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        Self(format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"
        ))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Both clocks at once: the wall's, which can be set, and the boot's, which cannot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Microseconds since 1970.
    pub unix_micros: u64,
    /// Nanoseconds since this boot, also while suspended.
    pub boot_nanos: u64,
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, on both clocks.
    fn now(&self) -> Moment;
}

/// A clock that stands still, for tests.
#[derive(Clone, Debug)]
pub struct FixedClock(pub Moment);

impl Clock for FixedClock {
    fn now(&self) -> Moment {
        self.0.clone()
    }
}

/// The proleptic Gregorian date, after Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), for days since 1970.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_are_written_as_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_510_519_123_456, "2026-11-24T08:55:19.123456Z"),
        ] {
            assert_eq!(Timestamp::from_unix_micros(micros).0, text);
        }
    }
}
