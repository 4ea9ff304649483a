// SPDX-License-Identifier: MPL-2.0
//! Scenarios as the explorer draws them from seeds, with shrinking.

use crate::explore::{Draw, Scenario, draw};
use crate::world::network::NetworkConfig;
use proptest::prelude::*;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::TestRunner;
use std::fmt;
use std::time::Duration;

/// Scenarios of [`draw`]. What it finds at first has the seed in it (`Scenario::seed`), so
/// `stmf-sim explore` can play it again; what is left after shrinking is the value itself.
///
/// ```
/// use proptest::prelude::*;
/// use proptest::test_runner::{Config, TestRunner};
/// use stmf_sim::explore::{Draw, draw};
/// use stmf_sim::strategies::scenarios::drawn;
///
/// let links = || Draw { faults: vec!["link"], ..Draw::default() };
/// let mut runner = TestRunner::new(Config::with_cases(4));
/// let checked = runner.run(&drawn(links()), |scenario| {
///     prop_assert_eq!(&draw(scenario.seed, &links()), &scenario);
///     Ok(())
/// });
/// assert_eq!(checked, Ok(()));
/// ```
pub fn drawn(from: Draw) -> Drawn {
    Drawn(from)
}

/// The strategy that [`drawn`] makes.
#[derive(Clone)]
pub struct Drawn(Draw);

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drawn")
            .field("profile", &self.0.profile)
            .field("faults", &self.0.faults)
            .field("defect", &self.0.defect.map(|failure| failure.id))
            .finish()
    }
}

impl Strategy for Drawn {
    type Tree = ScenarioTree;
    type Value = Scenario;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Drawn> {
        let seed = any::<u64>().new_tree(runner)?.current();
        Ok(ScenarioTree::new(draw(seed, &self.0)))
    }
}

/// What is tried next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Without so many acts, from this one on.
    Acts { size: usize, at: usize },
    /// With no wait before this act.
    Wait(usize),
    /// With less equipment; see [`simpler`].
    Equipment(usize),
    /// Nothing is left to try.
    Done,
}

/// A scenario and what can be left out of it: acts, half of them first; then waits, hosts, LUs,
/// ports, and the peculiarities of the network. The seed stays: it is no size.
#[derive(Clone, Debug)]
pub struct ScenarioTree {
    /// The smallest that is known to fail.
    failed: Scenario,
    /// What is being tried.
    tried: Option<Scenario>,
    step: Step,
    /// Whether anything could be left out since all was tried.
    changed: bool,
}

/// A scenario with one thing simpler; the same if that is as simple as can be, none if there are
/// no more things.
fn simpler(scenario: &Scenario, thing: usize) -> Option<Scenario> {
    let mut scenario = scenario.clone();
    match thing {
        0 => scenario.hosts = 1,
        1 => scenario.units.truncate(1),
        2 => scenario.ports[0].truncate(1),
        3 => scenario.ports[1].truncate(1),
        4 => scenario.network = NetworkConfig::default(),
        5 => scenario.settled = true,
        6 => scenario.timeout = Duration::from_secs(100),
        _ => return None,
    }
    Some(scenario)
}

impl ScenarioTree {
    /// The tree whose leaves are what is left of a scenario when parts of it are taken away.
    pub fn new(scenario: Scenario) -> ScenarioTree {
        ScenarioTree {
            step: ScenarioTree::first(&scenario),
            failed: scenario,
            tried: None,
            changed: false,
        }
    }

    fn first(scenario: &Scenario) -> Step {
        let size = scenario.acts.len().div_ceil(2).max(1);
        Step::Acts { size, at: 0 }
    }

    /// Makes the next candidate; false if there is none.
    fn try_next(&mut self) -> bool {
        loop {
            let candidate = match self.step {
                Step::Acts { size, at } => {
                    let acts = self.failed.acts.len();
                    if at >= acts {
                        self.step = match size {
                            0 | 1 => Step::Wait(0),
                            size => Step::Acts {
                                size: size / 2,
                                at: 0,
                            },
                        };
                        continue;
                    }
                    let mut scenario = self.failed.clone();
                    scenario.acts.drain(at..acts.min(at + size));
                    scenario
                }
                Step::Wait(at) => {
                    let mut scenario = self.failed.clone();
                    let Some(timed) = scenario.acts.get_mut(at) else {
                        self.step = Step::Equipment(0);
                        continue;
                    };
                    timed.wait = Duration::ZERO;
                    scenario
                }
                Step::Equipment(thing) => match simpler(&self.failed, thing) {
                    Some(scenario) => scenario,
                    None if std::mem::take(&mut self.changed) => {
                        self.step = ScenarioTree::first(&self.failed);
                        continue;
                    }
                    None => {
                        self.step = Step::Done;
                        continue;
                    }
                },
                Step::Done => return false,
            };
            if candidate != self.failed {
                self.tried = Some(candidate);
                return true;
            }
            self.pass();
        }
    }

    /// Leaves what was tried last as it is.
    fn pass(&mut self) {
        match &mut self.step {
            Step::Acts { size, at } => *at += *size,
            Step::Wait(at) => *at += 1,
            Step::Equipment(thing) => *thing += 1,
            Step::Done => {}
        }
    }
}

impl ValueTree for ScenarioTree {
    type Value = Scenario;

    fn current(&self) -> Scenario {
        self.tried.as_ref().unwrap_or(&self.failed).clone()
    }

    /// What is there fails: it is the new measure.
    fn simplify(&mut self) -> bool {
        if let Some(tried) = self.tried.take() {
            self.failed = tried;
            self.changed = true;
        }
        self.try_next()
    }

    /// What was tried does not fail: something else.
    fn complicate(&mut self) -> bool {
        if self.tried.take().is_none() {
            return false;
        }
        self.pass();
        self.try_next()
    }
}
