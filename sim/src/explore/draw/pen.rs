// SPDX-License-Identifier: MPL-2.0
//! What draws numbers for scenarios.

use crate::world::random::Random;
use crate::world::trace::NodeId;
use std::time::Duration;

/// Draws numbers for a scenario.
pub(super) struct Pen {
    random: Random,
    /// Whether hosts of this scenario mostly move large blocks, as copies and backups do.
    pub(super) large: bool,
}

impl Pen {
    pub(super) fn new(random: Random) -> Pen {
        let mut pen = Pen {
            random,
            large: false,
        };
        pen.large = pen.one_in(5);
        pen
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound.max(1))
    }

    pub(super) fn small(&mut self, bound: u8) -> u8 {
        self.below(u64::from(bound)) as u8
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(super) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut drawn = self.below(sum);
        for (place, weight) in weights.iter().enumerate() {
            match drawn.checked_sub(u64::from(*weight)) {
                Some(rest) => drawn = rest,
                None => return place,
            }
        }
        0
    }

    pub(super) fn micros(&mut self, bound: u64) -> Duration {
        Duration::from_micros(self.below(bound))
    }

    /// How long after the act before: mostly so that both are under way together.
    pub(super) fn wait(&mut self) -> Duration {
        match self.below(100) {
            0..30 => Duration::ZERO,
            30..60 => self.micros(400),
            60..80 => self.micros(5_000),
            80..92 => self.micros(300_000),
            92..99 => self.micros(10_000_000),
            _ => self.micros(100_000_000),
        }
    }

    /// For how long something stands still.
    pub(super) fn pause(&mut self) -> Duration {
        match self.below(8) {
            0..3 => self.micros(20_000),
            3..6 => self.micros(3_000_000),
            _ => self.micros(20_000_000),
        }
    }

    pub(super) fn node(&mut self) -> NodeId {
        self.small(2)
    }
}
