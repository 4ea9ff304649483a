// SPDX-License-Identifier: MPL-2.0
//! Whole scenarios: a world, what is in it, what hosts do in it and what goes wrong.
//!
//! Two ways to have them. [`Scenarios`] composes them of parts that a test chooses. [`drawn`]
//! makes those that `stmf-sim explore` makes of seeds, families and all, so that what a test
//! finds can be named by its seed. Both shrink to fewer acts, shorter waits and less equipment.
//!
//! ```
//! use proptest::prelude::*;
//! use proptest::test_runner::TestRunner;
//! use stmf_sim::explore::Act;
//! use stmf_sim::strategies::faults::Group;
//! use stmf_sim::strategies::scenarios::{Scenarios, Traffic};
//!
//! let scenarios = Scenarios::new()
//!     .hosts(1..=2)
//!     .traffic(&[Traffic::Data, Traffic::Reservations])
//!     .faults(&[Group::Link])
//!     .acts(1..=20);
//! let checked = TestRunner::default().run(&scenarios.strategy(), |scenario| {
//!     prop_assert!((1..=2).contains(&scenario.hosts));
//!     let on_nodes = |act: &Act| matches!(act, Act::PowerOff { .. } | Act::KillRelay { .. });
//!     prop_assert!(!scenario.acts.iter().any(|timed| on_nodes(&timed.act)));
//!     Ok(())
//! });
//! assert_eq!(checked, Ok(()));
//! ```

mod acts;
mod drawn;

pub use acts::{Traffic, command};
pub use drawn::{Drawn, ScenarioTree, drawn};

use super::faults::{self, Group};
use crate::explore::{Scenario, Timed, Unit};
use crate::kernel::{KernelConfig, Profile, Repairs};
use crate::world::StandardRelay;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What scenarios are composed of. Everything has a default: one to four hosts, one or two ports
/// a node, one to three LUs, up to 40 acts of hosts, no faults.
#[derive(Clone, Debug)]
pub struct Scenarios {
    hosts: RangeInclusive<u8>,
    ports: RangeInclusive<usize>,
    units: RangeInclusive<usize>,
    acts: RangeInclusive<usize>,
    traffic: Vec<Traffic>,
    faults: Vec<Group>,
    relays: [String; 2],
    kernel: KernelConfig,
}

impl Default for Scenarios {
    fn default() -> Scenarios {
        Scenarios {
            hosts: 1..=4,
            ports: 1..=2,
            units: 1..=3,
            acts: 0..=40,
            traffic: Traffic::ALL.to_vec(),
            faults: Vec::new(),
            relays: [StandardRelay::NAME.into(), StandardRelay::NAME.into()],
            kernel: KernelConfig {
                repairs: Repairs::ALL,
                ..KernelConfig::default()
            },
        }
    }
}

impl Scenarios {
    /// The defaults.
    pub fn new() -> Scenarios {
        Scenarios::default()
    }

    /// How many hosts there are; at least one.
    pub fn hosts(mut self, hosts: RangeInclusive<u8>) -> Scenarios {
        self.hosts = hosts;
        self
    }

    /// How many ports each node has at first.
    pub fn ports(mut self, ports: RangeInclusive<usize>) -> Scenarios {
        self.ports = ports;
        self
    }

    /// How many LUs there are.
    pub fn units(mut self, units: RangeInclusive<usize>) -> Scenarios {
        self.units = units;
        self
    }

    /// How many things happen: acts of hosts, and faults, each of which is one to four acts.
    pub fn acts(mut self, acts: RangeInclusive<usize>) -> Scenarios {
        self.acts = acts;
        self
    }

    /// What hosts do. None: hosts do nothing before the end, when everything must work.
    pub fn traffic(mut self, traffic: &[Traffic]) -> Scenarios {
        self.traffic = traffic.to_vec();
        self
    }

    /// What goes wrong: about every fourth act.
    pub fn faults(mut self, groups: &[Group]) -> Scenarios {
        self.faults = groups.to_vec();
        self
    }

    /// The relay programs of the two nodes, by name ([`crate::relays`]), where
    /// [`Settings::relay`](crate::explore::Settings::relay) does not take their place.
    pub fn relays(mut self, relays: [&str; 2]) -> Scenarios {
        self.relays = relays.map(String::from);
        self
    }

    /// The profile of the kernels.
    pub fn profile(mut self, profile: Profile) -> Scenarios {
        self.kernel.profile = profile;
        self
    }

    /// The kernels, in place of the default: an ordinary one whose registrations are repeated and
    /// whose pieces of data go to their place.
    pub fn kernel(mut self, kernel: KernelConfig) -> Scenarios {
        self.kernel = kernel;
        self
    }

    fn all_acts(&self) -> BoxedStrategy<Vec<Timed>> {
        let mut parts = Vec::new();
        for traffic in &self.traffic {
            // Three acts of hosts on one fault, whatever the numbers of groups and kinds.
            let weight = 3 * self.faults.len().max(1) as u32;
            parts.push((weight, acts::act(*traffic)));
        }
        for group in &self.faults {
            let weight = self.traffic.len().max(1) as u32;
            parts.push((weight, faults::fault(*group)));
        }
        if parts.is_empty() {
            return Just(Vec::new()).boxed();
        }
        vec(Union::new_weighted(parts), self.acts.clone())
            .prop_map(|parts| parts.concat())
            .boxed()
    }

    /// The strategy.
    pub fn strategy(&self) -> impl Strategy<Value = Scenario> + use<> {
        let sizes = select(vec![128u32 << 10, 64 << 10, 32 << 10, 1 << 20]);
        let ports = vec(sizes, self.ports.clone());
        let unit = (select(vec![64u32, 16, 256, 2048]), faults::node())
            .prop_map(|(blocks, active)| Unit { blocks, active });
        let timeout = select(vec![100u64, 30, 5]).prop_map(Duration::from_secs);
        let hasty = prop::bool::weighted(0.1);
        let world = (any::<u64>(), faults::network(), hasty);
        let equipment = (
            [ports.clone(), ports],
            vec(unit, self.units.clone()),
            self.hosts.clone(),
            timeout,
        );
        let (relays, kernel) = (self.relays.clone(), self.kernel.clone());
        (world, equipment, self.all_acts()).prop_map(move |(world, equipment, acts)| {
            let (seed, network, hasty) = world;
            let (ports, units, hosts, timeout) = equipment;
            Scenario {
                seed,
                name: "composed",
                kernels: [kernel.clone(), kernel.clone()],
                relays: relays.clone(),
                network,
                ports,
                units,
                hosts,
                timeout,
                settled: !hasty,
                acts,
            }
        })
    }
}
