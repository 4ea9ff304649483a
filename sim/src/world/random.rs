// SPDX-License-Identifier: MPL-2.0
//! The one random generator of the simulator.
//!
//! xoshiro256** (Blackman and Vigna), its state filled by SplitMix64 from a 64-bit seed. The
//! algorithm is our own copy and is part of what a seed means: it never changes, whatever
//! happens to other crates, so that a seed printed years ago still names the same run.

/// One step of SplitMix64: advances `state` and returns the next number of its sequence.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A generator. Two with the same seed and stream give the same numbers for ever.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator of a seed; every value is a good seed.
    pub fn new(seed: u64) -> Random {
        let mut filler = seed;
        Random {
            state: std::array::from_fn(|_| split_mix(&mut filler)),
        }
    }

    /// Stream `stream` of a seed: independent of the other streams of that seed, so that drawing
    /// more from one does not change what another gives.
    pub fn stream(seed: u64, stream: u64) -> Random {
        let mut mixer = stream;
        Random::new(seed ^ split_mix(&mut mixer))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound` (at least 1), all equally likely. Lemire's method: the high word
    /// of a product, with the few products that would make some numbers likelier drawn again.
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "there is no number below 0");
        let mut product = u128::from(self.bits()) * u128::from(bound);
        if (product as u64) < bound {
            let least = bound.wrapping_neg() % bound;
            while (product as u64) < least {
                product = u128::from(self.bits()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Fills `bytes`, eight at a time, low byte first.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.bits().to_le_bytes());
        }
        let rest = words.into_remainder();
        let last = self.bits().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the published reference implementations.
    #[test]
    fn the_algorithms_are_the_published_ones() {
        let mut state = 1_234_567;
        let split: Vec<u64> = (0..5).map(|_| split_mix(&mut state)).collect();
        assert_eq!(
            split,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423,
                4593380528125082431,
                16408922859458223821,
            ]
        );
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        let numbers: Vec<u64> = (0..10).map(|_| random.bits()).collect();
        assert_eq!(
            numbers,
            [
                11520,
                0,
                1509978240,
                1215971899390074240,
                1216172134540287360,
                607988272756665600,
                16172922978634559625,
                8476171486693032832,
                10595114339597558777,
                2904607092377533576,
            ]
        );
    }

    /// What a seed means, for ever.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(0);
        assert_eq!(random.bits(), 0x99ec_5f36_cb75_f2b4);
        assert_ne!(Random::new(1).bits(), Random::new(2).bits());
        let mut first = Random::stream(42, 1);
        let mut second = Random::stream(42, 2);
        assert_ne!(first.bits(), second.bits());
        let mut bytes = [0; 11];
        Random::new(0).fill(&mut bytes);
        assert_eq!(bytes[..8], 0x99ec_5f36_cb75_f2b4_u64.to_le_bytes());
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut random = Random::new(7);
        for bound in [1, 2, 3, 7, 1 << 63, u64::MAX] {
            for _ in 0..100 {
                assert!(random.below(bound) < bound);
            }
        }
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[random.below(6) as usize] += 1;
        }
        assert!(
            seen.iter().all(|count| (800..1200).contains(count)),
            "{seen:?}"
        );
    }
}
