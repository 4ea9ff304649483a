// SPDX-License-Identifier: MPL-2.0
//! Lengths of time by how often they came, in bounded memory.
//!
//! Buckets are log-linear: each power of two is divided into 32 of equal width, and lengths below
//! 32 ns have one each. So a quantile is never too small, and too large by no more than 1/32
//! (3.2 %), whatever the lengths are; 1,920 buckets cover all of 64 bits.

use std::collections::BTreeMap;

/// Each power of two is divided into two to the power of this.
const BITS: u32 = 5;

/// Counts of lengths of time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: BTreeMap<u16, u64>,
    count: u64,
    max: u64,
}

fn bucket(value: u64) -> u16 {
    if value < 1 << BITS {
        return value as u16;
    }
    let power = value.ilog2() - BITS;
    // The first bit is always set, the five after it tell which part.
    let part = (value >> power) - (1 << BITS);
    ((power + 1) << BITS) as u16 + part as u16
}

/// The largest value in a bucket.
fn upper_end(bucket: u16) -> u64 {
    let (group, part) = (u32::from(bucket) >> BITS, u64::from(bucket) & 31);
    match group {
        0 => part,
        _ => {
            let power = group - 1;
            let first = ((1 << BITS) + part) << power;
            first + ((1 << power) - 1)
        }
    }
}

impl Histogram {
    /// Counts a length.
    pub fn add(&mut self, nanoseconds: u64) {
        *self.buckets.entry(bucket(nanoseconds)).or_default() += 1;
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The length that this many of a hundred (1 to 100) do not exceed: exact, or up to 1/32 too
    /// large. 0 if there are none.
    pub fn percentile(&self, percent: u8) -> u64 {
        let wanted = u128::from(self.count) * u128::from(percent);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += u128::from(*count);
            if seen * 100 >= wanted {
                return upper_end(*bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for bucket_number in 0..1920 {
            let end = upper_end(bucket_number);
            assert_eq!(bucket(end), bucket_number);
            match end.checked_add(1) {
                Some(next) => assert_eq!(bucket(next), bucket_number + 1),
                None => assert_eq!(bucket_number, 1919, "the last ends with the last number"),
            }
        }
    }

    #[test]
    fn nothing_has_no_length() {
        assert_eq!(Histogram::default().percentile(50), 0);
    }

    proptest! {
        #[test]
        fn percentiles_are_as_near_as_promised(
            values in proptest::collection::vec(prop_oneof![0..9u64, 0..100_000u64, any::<u64>()], 1..200),
            percent in 1..=100u8,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let exact = sorted[(sorted.len() * usize::from(percent)).div_ceil(100) - 1];
            let told = histogram.percentile(percent);
            prop_assert!(told >= exact && told - exact <= exact / 32, "{told} for {exact}");
            prop_assert_eq!(histogram.max(), sorted[sorted.len() - 1]);
            prop_assert_eq!(histogram.count(), sorted.len() as u64);
        }
    }
}
