// SPDX-License-Identifier: MPL-2.0
//! How often something happens: a ratio of integers, drawn from the world's choices.

use crate::executor::{ChoiceKind, Executor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// `numerator` times out of `denominator`, no floating point involved. Prints as `1/16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "(u32, u32)", into = "(u32, u32)")]
pub struct Ratio {
    numerator: u32,
    denominator: u32,
}

impl Ratio {
    /// Never: nothing is drawn.
    pub const NEVER: Ratio = Ratio {
        numerator: 0,
        denominator: 1,
    };
    /// Always: nothing is drawn.
    pub const ALWAYS: Ratio = Ratio {
        numerator: 1,
        denominator: 1,
    };

    /// `numerator` times out of `denominator`; a denominator of 0 counts as 1, a numerator
    /// above the denominator as always.
    pub const fn new(numerator: u32, denominator: u32) -> Ratio {
        Ratio {
            numerator,
            denominator: if denominator == 0 { 1 } else { denominator },
        }
    }

    /// Draws whether it happens this time.
    pub fn drawn(self, executor: &Executor, kind: ChoiceKind) -> bool {
        match self.numerator {
            0 => false,
            numerator if numerator >= self.denominator => true,
            // The first alternative is "no", so that an oracle that always takes the first
            // one meets no faults.
            numerator => {
                let denominator = u64::from(self.denominator);
                executor.choose(kind, denominator) >= denominator - u64::from(numerator)
            }
        }
    }
}

impl From<(u32, u32)> for Ratio {
    fn from((numerator, denominator): (u32, u32)) -> Ratio {
        Ratio::new(numerator, denominator)
    }
}

impl From<Ratio> for (u32, u32) {
    fn from(ratio: Ratio) -> (u32, u32) {
        (ratio.numerator, ratio.denominator)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::FirstChoice;
    use crate::world::choices::Drawn;

    #[test]
    fn the_edges_are_exact() {
        let executor = Executor::new(Box::new(Drawn::new(1)));
        let count = |ratio: Ratio| {
            (0..3000)
                .filter(|_| ratio.drawn(&executor, ChoiceKind::Fault))
                .count()
        };
        assert_eq!(count(Ratio::NEVER), 0);
        assert_eq!(count(Ratio::ALWAYS), 3000);
        assert_eq!(count(Ratio::new(7, 0)), 3000);
        assert!((850..1150).contains(&count(Ratio::new(1, 3))));
        let calm = Executor::new(Box::new(FirstChoice));
        assert!(!Ratio::new(99, 100).drawn(&calm, ChoiceKind::Fault));
        assert_eq!(Ratio::new(1, 16).to_string(), "1/16");
    }
}
