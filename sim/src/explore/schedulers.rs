// SPDX-License-Identifier: MPL-2.0
//! Ways to decide which thread runs, by name: what stands behind the one oracle of a world.

use crate::executor::Choices;
use crate::world::choices::{Drawn, Pct};
use std::fmt;
use std::str::FromStr;

/// How threads are scheduled in runs from a seed. All other choices are drawn from the seed
/// alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scheduler {
    /// Every step is drawn anew.
    #[default]
    Random,
    /// By random priorities with `depth - 1` changes, see [`Pct`].
    Pct {
        /// How many ordering constraints a failure may need, 1 to [`Pct::MOST_DEPTH`].
        depth: u32,
        /// About how many steps with a choice of threads a run has, 1 or more.
        steps: u64,
    },
}

/// The steps that are taken for the length of a run where nobody says otherwise. Of seeds 0 to 199,
/// scheduled at random, half had 46 choices of threads or fewer before they healed and 91 in all,
/// and the most were 292. With a number much larger, priorities would seldom change in a run.
pub const STEPS: u64 = 128;

/// No scheduler has this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no scheduler; use `random`, `pct:DEPTH` or `pct:DEPTH:STEPS` (DEPTH 1 to {most}, \
     STEPS 1 or more)",
    most = Pct::MOST_DEPTH
)]
pub struct UnknownScheduler(pub String);

/// The scheduler of this name: `random`, `pct:DEPTH` or `pct:DEPTH:STEPS`.
///
/// # Errors
///
/// If there is none, or its numbers are out of range.
pub fn parse(name: &str) -> Result<Scheduler, UnknownScheduler> {
    let unknown = || UnknownScheduler(name.to_string());
    let mut parts = name.split(':');
    let scheduler = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("random"), None, ..) => Scheduler::Random,
        (Some("pct"), Some(depth), steps, None) => Scheduler::Pct {
            depth: depth.parse().map_err(|_| unknown())?,
            steps: match steps {
                Some(steps) => steps.parse().map_err(|_| unknown())?,
                None => STEPS,
            },
        },
        _ => return Err(unknown()),
    };
    match scheduler {
        Scheduler::Pct { depth, steps }
            if !(1..=Pct::MOST_DEPTH).contains(&depth) || steps == 0 =>
        {
            Err(unknown())
        }
        sound => Ok(sound),
    }
}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    fn from_str(name: &str) -> Result<Scheduler, UnknownScheduler> {
        parse(name)
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scheduler::Random => f.write_str("random"),
            Scheduler::Pct { depth, steps } if *steps == STEPS => write!(f, "pct:{depth}"),
            Scheduler::Pct { depth, steps } => write!(f, "pct:{depth}:{steps}"),
        }
    }
}

/// The oracle of a seed that schedules like this, for [`super::Settings::choices`].
pub fn scheduler(seed: u64, kind: Scheduler) -> Box<dyn Choices> {
    match kind {
        Scheduler::Random => Box::new(Drawn::new(seed)),
        Scheduler::Pct { depth, steps } => Box::new(Pct::new(seed, depth, steps)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for name in ["random", "pct:1", "pct:3", "pct:64", "pct:3:100"] {
            assert_eq!(parse(name).unwrap().to_string(), name);
        }
        assert_eq!("pct:2".parse(), parse("pct:2:128"));
        for name in [
            "",
            "pct",
            "pct:",
            "pct:0",
            "pct:65",
            "pct:2:0",
            "pct:2:3:4",
            "random:1",
        ] {
            let error = parse(name).unwrap_err();
            assert!(error.to_string().contains("pct:DEPTH"), "{error}");
        }
    }
}
