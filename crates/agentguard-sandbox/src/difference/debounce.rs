//! How often the workspace may be walked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Of what part of a session's time walks take one: 2 %.
const SHARE: u32 = 50;

/// Says when a walk may happen, so that walks take at most 2 % of a session's time.
///
/// It reads no clock: times are durations since any one moment, on a clock that does not go back. The
/// walks at the start and at the end of a session happen in any case, and are not asked for here; the
/// first one's cost is what [`Debounce::new`] takes as an estimate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Debounce {
    begun: Duration,
    spent: Duration,
    last: Duration,
}

impl Debounce {
    /// A session that begins at `begun`, where a walk is known to take `first`.
    #[must_use]
    pub fn new(begun: Duration, first: Duration) -> Self {
        Self {
            begun,
            spent: Duration::ZERO,
            last: first,
        }
    }

    /// Counts a walk that took `cost`.
    pub fn walked(&mut self, cost: Duration) {
        self.spent = self.spent.saturating_add(cost);
        self.last = cost;
    }

    /// Whether a walk may happen `now`: if it takes as long as the last one did, all of them together
    /// have then taken at most 2 %.
    #[must_use]
    pub fn may_walk(&self, now: Duration) -> bool {
        now >= self.next()
    }

    /// From when on a walk may happen.
    #[must_use]
    pub fn next(&self) -> Duration {
        let expected = self.spent.saturating_add(self.last);
        self.begun.saturating_add(expected.saturating_mul(SHARE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_walk_is_refused_until_it_fits_into_its_share() {
        let debounce = Debounce::new(1000 * MS, 10 * MS);
        assert!(!debounce.may_walk(Duration::ZERO));
        assert!(!debounce.may_walk(1000 * MS));
        assert!(!debounce.may_walk(1500 * MS - Duration::from_nanos(1)));
        assert!(debounce.may_walk(1500 * MS));
    }

    #[test]
    fn walks_of_steady_cost_take_two_percent_at_most_however_often_they_are_wanted() {
        for cost in [0, 1, 7, 30, 900] {
            let mut debounce = Debounce::new(Duration::ZERO, cost * MS);
            let (mut now, mut spent) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..200_000 {
                if debounce.may_walk(now) {
                    now += cost * MS;
                    spent += cost * MS;
                    debounce.walked(cost * MS);
                    assert!(spent * 50 <= now, "{spent:?} of {now:?}");
                }
                now += MS;
            }
            assert!(cost == 0 || cost == 900 || spent > Duration::ZERO);
        }
    }

    #[test]
    fn a_walk_that_took_longer_than_expected_is_paid_back() {
        let mut debounce = Debounce::new(Duration::ZERO, MS);
        debounce.walked(100 * MS);
        assert_eq!(debounce.next(), 50 * 200 * MS);
        debounce.walked(MS);
        assert_eq!(debounce.next(), 50 * 102 * MS);
        debounce.walked(Duration::MAX);
        assert!(!debounce.may_walk(Duration::MAX - MS));
    }
}
