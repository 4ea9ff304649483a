// SPDX-License-Identifier: MPL-2.0
//! Delays between connection attempts, and the small random generator behind their jitter.

use std::time::Duration;

/// SplitMix64: a stable, tiny generator of our own, so that a seed means the same for ever. Not
/// for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `most`, both included. The bias is below one in 2^32 for the spans
    /// used here.
    fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(span) => self.next() % span,
            None => self.next(),
        }
    }
}

/// Exponential back-off with jitter: attempt n waits between half of `first * 2^n` and the whole
/// of it, never more than `max`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Backoff {
        Backoff {
            first,
            max,
            attempts: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> Duration {
        let factor = 1u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        let half = nanos / 2;
        Duration::from_nanos(half + random.up_to(nanos - half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_first_to_max_and_stay_there() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut random = Random::new(1);
        let mut backoff = Backoff::new(first, max);
        for attempt in 0..200u32 {
            let whole = first
                .saturating_mul(1u32.checked_shl(attempt).unwrap_or(u32::MAX))
                .min(max);
            let delay = backoff.next(&mut random);
            assert!(
                delay >= whole / 2 && delay <= whole,
                "attempt {attempt}: {delay:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next(&mut random) <= first);
    }

    #[test]
    fn jitter_reaches_both_halves_and_repeats_with_its_seed() {
        let delays = |seed| -> Vec<Duration> {
            let mut random = Random::new(seed);
            let one = Duration::from_secs(1);
            (0..64)
                .map(|_| Backoff::new(one, one).next(&mut random))
                .collect()
        };
        assert_eq!(delays(7), delays(7));
        assert_ne!(delays(7), delays(8));
        assert!(
            delays(7)
                .iter()
                .any(|delay| *delay < Duration::from_millis(600))
        );
        assert!(
            delays(7)
                .iter()
                .any(|delay| *delay > Duration::from_millis(900))
        );
    }

    #[test]
    fn the_shortest_and_the_longest_setting_are_survived() {
        let mut random = Random::new(0);
        let tiny = Duration::from_nanos(1);
        assert!(Backoff::new(tiny, tiny).next(&mut random) <= tiny);
        let mut huge = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..70 {
            assert!(huge.next(&mut random) > Duration::from_secs(1));
        }
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
