// SPDX-License-Identifier: MPL-2.0
//! A point in time as the state machines see it.
//!
//! The state machines of this crate never ask a clock: time is an argument. `std`'s `Instant`
//! cannot be made up, so a simulator could not pass one; [`Time`] can. It knows nothing of
//! calendars, and two `Time`s are comparable only when they come from the same driver.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since an origin that the driver chose (process start, or the start of a
/// simulated world). Covers 584 years; additions saturate at the end of that range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The driver's origin.
    pub const ZERO: Time = Time(0);
    /// The latest time that can be said; a timer set to it never fires.
    pub const MAX: Time = Time(u64::MAX);

    /// The time `nanoseconds` after the origin.
    pub const fn from_nanos(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    /// As [`Time::saturating_since`].
    fn sub(self, earlier: Time) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Display for Time {
    /// Seconds with nine decimals, as `12.000000250`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.pad(&text)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_prints_seconds() {
        let start = Time::from_nanos(1_500_000_000);
        assert_eq!(
            (start + Duration::from_millis(250)).to_string(),
            "1.750000000"
        );
        assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
        assert_eq!(Time::ZERO - start, Duration::ZERO);
        assert_eq!(start - Time::ZERO, Duration::from_millis(1500));
    }
}
