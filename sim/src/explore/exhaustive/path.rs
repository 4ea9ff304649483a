// SPDX-License-Identifier: MPL-2.0
//! Walking a tree of choices depth first, by running from its root again and again.

/// A choice on the way from the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Decision {
    alternatives: u32,
    taken: u32,
}

/// The way that one run takes, and where the next one turns off.
#[derive(Clone, Debug)]
pub(super) struct Path {
    decisions: Vec<Decision>,
    /// How many of them this run has met.
    met: usize,
    /// At how many choices a run may turn off.
    depth: usize,
    /// Choices of this run below that.
    beyond: u64,
    diverged: bool,
}

impl Path {
    pub(super) fn new(depth: u32) -> Path {
        Path {
            decisions: Vec::new(),
            met: 0,
            depth: usize::try_from(depth).unwrap_or(usize::MAX),
            beyond: 0,
            diverged: false,
        }
    }

    /// The way that takes these alternatives, and the first one after that.
    pub(super) fn along(turns: &[u32]) -> Path {
        let decide = |taken: &u32| Decision {
            alternatives: 0,
            taken: *taken,
        };
        Path {
            decisions: turns.iter().map(decide).collect(),
            ..Path::new(0)
        }
    }

    /// What is taken of this many alternatives (1 or more).
    pub(super) fn decide(&mut self, alternatives: usize) -> usize {
        if alternatives <= 1 {
            return 0;
        }
        let alternatives = u32::try_from(alternatives).unwrap_or(u32::MAX);
        if let Some(decision) = self.decisions.get_mut(self.met) {
            self.met += 1;
            if decision.alternatives == 0 {
                decision.alternatives = alternatives;
            }
            if decision.alternatives != alternatives || decision.taken >= alternatives {
                self.diverged = true;
                return 0;
            }
            return decision.taken as usize;
        }
        if self.met >= self.depth {
            self.beyond += 1;
            return 0;
        }
        self.decisions.push(Decision {
            alternatives,
            taken: 0,
        });
        self.met += 1;
        0
    }

    /// Whether the run is past the choices at which earlier runs were.
    pub(super) fn is_new(&self) -> bool {
        self.met >= self.decisions.len()
    }

    /// How deep the run is, not counting what is below the bound.
    pub(super) fn depth(&self) -> u32 {
        u32::try_from(self.met).unwrap_or(u32::MAX)
    }

    /// Choices of this run below the bound.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Whether a choice had not as many alternatives as in the run before: the same way should
    /// have led to the same place.
    pub(super) fn has_diverged(&self) -> bool {
        self.diverged
    }

    /// What was taken so far.
    pub(super) fn turns(&self) -> Vec<u32> {
        self.decisions
            .iter()
            .map(|decision| decision.taken)
            .collect()
    }

    /// Turns to the next way. False: there is none left.
    pub(super) fn turn(&mut self) -> bool {
        self.met = 0;
        self.beyond = 0;
        while let Some(last) = self.decisions.last_mut() {
            if last.taken + 1 < last.alternatives {
                last.taken += 1;
                return true;
            }
            self.decisions.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_way_is_taken_once() {
        // Three choices; the second one has as many alternatives as the first one says.
        let mut path = Path::new(10);
        let mut ways = BTreeSet::new();
        loop {
            let first = path.decide(3);
            let second = path.decide(first + 1);
            let third = path.decide(2);
            assert!(ways.insert((first, second, third)));
            assert_eq!(path.beyond(), 0);
            if !path.turn() {
                break;
            }
        }
        assert_eq!(ways.len(), 2 * (1 + 2 + 3));
        assert!(!path.has_diverged());
    }

    #[test]
    fn below_the_bound_the_first_is_taken() {
        let mut path = Path::new(2);
        let mut ways = 0;
        loop {
            ways += 1;
            path.decide(2);
            path.decide(2);
            assert_eq!(path.decide(5), 0);
            assert_eq!((path.beyond(), path.depth()), (1, 2));
            if !path.turn() {
                break;
            }
        }
        assert_eq!(ways, 4);
    }

    #[test]
    fn a_way_can_be_taken_again_and_one_that_is_none_is_noticed() {
        let mut path = Path::along(&[1, 2]);
        assert_eq!([2, 3, 4].map(|n| path.decide(n)), [1, 2, 0]);
        assert_eq!(path.turns(), [1, 2]);
        assert!(!path.has_diverged());
        let mut path = Path::along(&[2]);
        assert_eq!(path.decide(2), 0);
        assert!(path.has_diverged());
    }
}
