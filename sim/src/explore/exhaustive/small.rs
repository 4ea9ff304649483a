// SPDX-License-Identifier: MPL-2.0
//! Small scenarios, of which every order is run.

use crate::explore::{Act, Scenario, Scsi, Timed, Unit};
use crate::kernel::{KernelConfig, Profile, Repairs};
use crate::world::Ratio;
use crate::world::StandardRelay;
use crate::world::network::NetworkConfig;
use std::time::Duration;
use stmf_proxy::message::status::task_management::LUN_RESET;

/// How long bytes travel: what takes time takes whole ticks, so that what happens on both nodes
/// happens at the same moments, and in every order there.
pub const TICK: Duration = Duration::from_micros(200);

/// How long what was begun may take before healing begins: much longer than anything that goes
/// well takes, and not as long as it takes those who wait in vain to give up.
const FOR_ACTS: Duration = Duration::from_secs(1);

/// Less than relays wait before they connect again.
const BEFORE_NEW_LINK: Duration = Duration::from_millis(50);

/// At what tick an act begins.
pub type Start = u8;

/// A small scenario: acts on a pair of nodes that has found each other, and in which hosts have
/// logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Small {
    /// The name, for command lines.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The world and what is in it. Its own acts, its seed and when its relays settle do not
    /// count.
    pub scenario: Scenario,
    /// What is done first, one after the other, in one order only.
    pub before: Vec<Act>,
    /// What is done in every order.
    pub acts: Vec<Act>,
    /// An act begins at any tick from 0 to this one; one act at least at tick 0.
    pub ticks: Start,
    /// What happens later than this happens in one order. Most acts have long ended then.
    pub explored: Duration,
    /// The acts begin at these ticks and at no others.
    pub only: Option<Vec<Start>>,
}

impl Small {
    /// Every way in which the acts can be put to ticks.
    pub fn starts(&self) -> Vec<Vec<Start>> {
        if let Some(only) = &self.only {
            return vec![only.clone()];
        }
        let mut all = vec![vec![]];
        for _ in &self.acts {
            let longer = |starts: &Vec<Start>| {
                let starts = starts.clone();
                (0..=self.ticks).map(move |tick| [&starts[..], &[tick]].concat())
            };
            all = all.iter().flat_map(longer).collect();
        }
        all.retain(|starts| starts.is_empty() || starts.contains(&0));
        all
    }

    /// All that is done, in whatever order.
    pub(super) fn all_acts(&self) -> impl Iterator<Item = &Act> {
        self.before.iter().chain(&self.acts)
    }

    /// The scenario with everything that is done in it, by which healing sees what it has to mend.
    pub(super) fn whole(&self) -> Scenario {
        let timed = |act: &Act| Timed {
            wait: Duration::ZERO,
            act: act.clone(),
        };
        Scenario {
            acts: self.all_acts().map(timed).collect(),
            ..self.scenario.clone()
        }
    }

    /// The same with this relay on both nodes.
    pub fn with_relay(mut self, relay: &str) -> Small {
        self.scenario.relays = [relay.into(), relay.into()];
        self
    }

    /// The same with kernels changed like this.
    pub fn with_kernels(mut self, change: impl Fn(&mut KernelConfig)) -> Small {
        self.scenario.kernels.iter_mut().for_each(change);
        self
    }
}

/// A network in which everything travels for exactly one tick.
pub(super) fn in_ticks() -> NetworkConfig {
    NetworkConfig {
        latency: TICK,
        jitter: Duration::ZERO,
        bytes_per_second: None,
        cut: Ratio::NEVER,
        ..NetworkConfig::default()
    }
}

/// One LU, active on node 0; a port on each node; travels of exactly one tick.
fn pair(name: &'static str, hosts: u8) -> Scenario {
    let kernel = KernelConfig {
        profile: Profile::Illumos,
        repairs: Repairs::ALL,
        ..KernelConfig::default()
    };
    Scenario {
        seed: 0,
        name,
        kernels: [kernel.clone(), kernel],
        relays: [StandardRelay::NAME.into(), StandardRelay::NAME.into()],
        network: in_ticks(),
        ports: [vec![131_072], vec![131_072]],
        units: vec![Unit {
            blocks: 64,
            active: 0,
        }],
        hosts,
        timeout: Duration::from_secs(100),
        settled: true,
        acts: Vec::new(),
    }
}

/// The same on kernels whose threads can be overtaken wherever they call the door.
fn overtaken(mut scenario: Scenario) -> Scenario {
    let overtake = |kernel: &mut KernelConfig| kernel.overtaken_upcalls = true;
    scenario.kernels.iter_mut().for_each(overtake);
    scenario
}

fn command(host: u8, node: u8, command: Scsi) -> Act {
    Act::Command {
        host,
        node,
        port: 0,
        lu: 0,
        command,
    }
}

fn write(lba: u32) -> Scsi {
    Scsi::Write {
        lba,
        blocks: 1,
        immediate: false,
    }
}

const READ: Scsi = Scsi::Read { lba: 0, blocks: 1 };

/// Logs hosts in, and lets them hear their unit attentions.
fn logins(paths: &[(u8, u8)]) -> Vec<Act> {
    let login = |(host, node): &(u8, u8)| command(*host, *node, Scsi::TestUnitReady);
    paths.iter().chain(paths).map(login).collect()
}

/// The scenarios, smallest first.
pub fn scenarios() -> Vec<Small> {
    let fail_over = Act::FailOver {
        to: 1,
        lu: 0,
        orderly: true,
    };
    vec![
        Small {
            name: "two-commands",
            about: "a write and a read of one block, one down each path",
            scenario: pair("two-commands", 2),
            before: logins(&[(0, 0), (1, 1)]),
            acts: vec![command(0, 0, write(0)), command(1, 1, READ)],
            ticks: 4,
            explored: FOR_ACTS,
            only: None,
        },
        Small {
            name: "two-proxied",
            about: "a write and a read of one block, both down the standby path",
            scenario: pair("two-proxied", 2),
            before: logins(&[(0, 1), (1, 1)]),
            acts: vec![command(0, 1, write(0)), command(1, 1, READ)],
            ticks: 2,
            explored: FOR_ACTS,
            only: None,
        },
        Small {
            name: "failover",
            about: "a read down the standby path and an orderly failover",
            scenario: pair("failover", 1),
            before: logins(&[(0, 1)]),
            acts: vec![command(0, 1, READ), fail_over.clone()],
            ticks: 4,
            explored: FOR_ACTS,
            only: None,
        },
        Small {
            name: "port-and-command",
            about: "a port that goes and comes back, and a command down the standby path",
            scenario: pair("port-and-command", 1),
            before: logins(&[(0, 1)]),
            acts: vec![
                command(0, 1, Scsi::TestUnitReady),
                Act::RemovePort {
                    node: 0,
                    port: 0,
                    again: true,
                },
            ],
            ticks: 4,
            explored: FOR_ACTS,
            only: None,
        },
        Small {
            name: "reset",
            about: "a command down the standby path, and a LUN reset on the active node",
            scenario: pair("reset", 2),
            before: logins(&[(0, 1), (1, 0)]),
            acts: vec![
                command(0, 1, Scsi::TestUnitReady),
                Act::Manage {
                    host: 1,
                    node: 0,
                    port: 0,
                    lu: 0,
                    function: LUN_RESET,
                },
            ],
            ticks: 2,
            explored: FOR_ACTS,
            only: None,
        },
        Small {
            name: "relay-killed",
            about: "a read down the standby path, and the relay of the active node is killed",
            // At any moment: between a post that has entered the kernel and the upcall that it
            // makes, too.
            scenario: overtaken(pair("relay-killed", 1)),
            before: logins(&[(0, 1)]),
            acts: vec![command(0, 1, READ), Act::KillRelay { node: 0 }],
            ticks: 4,
            explored: FOR_ACTS,
            only: None,
        },
        Small {
            name: "failover-and-break",
            about: "two commands, a failover and a link break",
            scenario: pair("failover-and-break", 2),
            before: logins(&[(0, 0), (1, 1)]),
            acts: vec![
                command(0, 0, write(0)),
                command(1, 1, READ),
                fail_over,
                Act::Break,
            ],
            ticks: 1,
            // The new link is another story: ALUA, ports and LUs are told anew.
            explored: BEFORE_NEW_LINK,
            only: None,
        },
    ]
}

/// The scenario of this name.
pub fn by_name(name: &str) -> Option<Small> {
    scenarios().into_iter().find(|small| small.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_put_to_ticks_in_every_way() {
        let small = Small {
            ticks: 1,
            ..by_name("failover-and-break").unwrap()
        };
        assert_eq!(small.starts().len(), 16 - 1);
        let none = Small {
            acts: Vec::new(),
            ..small
        };
        assert_eq!(none.starts(), [Vec::<Start>::new()]);
        let only = Small {
            only: Some(vec![1, 2]),
            ..none
        };
        assert_eq!(only.starts(), [[1, 2]]);
    }

    #[test]
    fn names_are_unique() {
        for (place, small) in scenarios().iter().enumerate() {
            let first = scenarios()
                .iter()
                .position(|other| other.name == small.name);
            assert_eq!(first, Some(place), "{}", small.name);
            assert!(small.acts.len() > 1, "there is no order of one");
        }
    }
}
