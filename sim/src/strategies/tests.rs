// SPDX-License-Identifier: MPL-2.0
use super::cdbs::{self, Command};
use super::faults::{self, Group, plan};
use super::scenarios::{Scenarios, Traffic, drawn};
use crate::explore::{self, Act, Draw, Scenario, Settings, Timed};
use crate::field::REST;
use crate::findings::{Finding, Kind, Watch};
use crate::kernel::sbd::{Disk, Fill, MemoryStore};
use crate::kernel::{KernelConfig, Repairs};
use crate::world::network::NetworkConfig;
use crate::world::{PortConfig, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::time::Duration;

/// What is left of a value after shrinking, if `holds` fails for some.
fn smallest<S: Strategy>(strategy: S, holds: impl Fn(&S::Value) -> bool) -> Option<S::Value> {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let ended = runner.run(&strategy, |value| {
        prop_assert!(holds(&value));
        Ok(())
    });
    match ended {
        Err(TestError::Fail(_, value)) => Some(value),
        _ => None,
    }
}

fn breaks(acts: &[Timed]) -> bool {
    acts.iter().any(|timed| timed.act == Act::Break)
}

#[test]
fn plans_shrink_to_the_fault_that_matters() {
    let left = smallest(plan(&Group::ALL, 0..30), |acts| !breaks(acts)).unwrap();
    let wait = Duration::ZERO;
    let act = Act::Break;
    assert_eq!(left, [Timed { wait, act }]);
}

#[test]
fn plans_have_only_what_was_asked_for() {
    assert_eq!(smallest(plan(&[], 0..9), |acts| acts.is_empty()), None);
    for group in Group::ALL {
        let of_others = |acts: &Vec<Timed>| acts.iter().any(|timed| group_of(&timed.act) != group);
        let found = smallest(plan(&[group], 1..9), |acts| !of_others(acts));
        assert_eq!(found, None);
        let default = Draw::default().faults;
        assert!(default.contains(&group.name()), "{group:?}");
    }
}

fn group_of(act: &Act) -> Group {
    match act {
        Act::Break
        | Act::HalfOpen { .. }
        | Act::Hold { .. }
        | Act::Release { .. }
        | Act::Damage { .. }
        | Act::Network(_) => Group::Link,
        Act::DoorFault { .. } => Group::Door,
        Act::StartRelay { .. } | Act::StopRelay { .. } | Act::KillRelay { .. } => Group::Relay,
        Act::SlowReader { .. } => Group::Link,
        Act::ReplaceRelay { .. } => Group::Relay,
        Act::KernelFault { .. } | Act::SetService { .. } => Group::Kernel,
        Act::DiskFault { .. } => Group::Disk,
        Act::PowerOff { .. } | Act::Boot { .. } | Act::Pause { .. } => Group::Node,
        _ => Group::Operator,
    }
}

fn is_smallest_with_a_break(scenario: &Scenario) {
    let wait = Duration::ZERO;
    let act = Act::Break;
    assert_eq!(scenario.acts, [Timed { wait, act }]);
    assert_eq!((scenario.hosts, scenario.units.len()), (1, 1));
    assert_eq!(scenario.ports.clone().map(|ports| ports.len()), [1, 1]);
    assert!(scenario.settled);
}

#[test]
fn composed_scenarios_shrink_to_what_matters() {
    let scenarios = Scenarios::new().faults(&Group::ALL).strategy();
    let left = smallest(scenarios, |scenario| !breaks(&scenario.acts)).unwrap();
    is_smallest_with_a_break(&left);
}

#[test]
fn drawn_scenarios_shrink_to_what_matters() {
    let left = smallest(drawn(Draw::default()), |scenario| !breaks(&scenario.acts)).unwrap();
    is_smallest_with_a_break(&left);
    assert_eq!(left.network, NetworkConfig::default());
    // Two that belong together are left both, in their order.
    let is_reboot = |scenario: &Scenario| {
        let off = |timed: &Timed| matches!(timed.act, Act::PowerOff { .. });
        let boot = |timed: &Timed| matches!(timed.act, Act::Boot { .. });
        let at = scenario.acts.iter().position(off);
        at.is_some_and(|at| scenario.acts[at..].iter().any(boot))
    };
    let left = smallest(drawn(Draw::default()), |scenario| !is_reboot(scenario)).unwrap();
    assert_eq!(left.acts.len(), 2, "{:?}", left.acts);
}

/// What is found when hosts send these commands down both paths to one LU.
fn found(commands: Vec<Command>) -> Vec<Finding> {
    const LU: [u8; 16] = [0x60; 16];
    let watch = Watch::shared();
    let kernel = KernelConfig {
        repairs: Repairs::ALL,
        ..KernelConfig::default()
    };
    let world = World::builder().kernel(kernel).sink(watch.clone()).build();
    world.disks().listen(watch.clone());
    let disk = Disk::shared(MemoryStore::new(64 * 512, Fill::RECORDED));
    world.disks().insert(LU, disk);
    let ended = world.run(async move |world| {
        for node in world.nodes() {
            node.add_port(PortConfig::default()).await.unwrap();
            node.start_relay().unwrap();
        }
        world.node(0).add_lu(LU, true).await.unwrap();
        for node in world.nodes() {
            assert!(node.wait_for_alua(Duration::from_secs(60)).await.unwrap());
        }
        world.sleep(Duration::from_millis(100)).await;
        for node in world.nodes() {
            let path = node.login(&world.initiator(), 0).await.unwrap();
            for command in &commands {
                path.command([0; 8], &command.cdb, command.transfer()).await;
            }
        }
        world.sleep(REST).await;
    });
    if let Err(stuck) = ended {
        watch.borrow_mut().add(Finding::from(&stuck));
    }
    watch.borrow_mut().finish(world.now())
}

proptest! {
    #![proptest_config(Config::with_cases(24))]

    #[test]
    fn sound_commands_are_served_on_both_paths(commands in vec(cdbs::sound(64), 1..12)) {
        prop_assert_eq!(found(commands), []);
    }

    #[test]
    fn odd_commands_of_hosts_spring_trap_9_at_most(commands in vec(cdbs::odd(64), 1..12)) {
        let findings = found(commands);
        // But for one that announces data and has no use for it, which no relay can prevent.
        let bad = |finding: &Finding| {
            finding.kind == Kind::NodePanic && !finding.text.contains("(trap 9)")
        };
        prop_assert!(!findings.iter().any(bad), "{:?}", findings);
    }

    #[test]
    fn whatever_is_composed_can_be_played(
        scenario in Scenarios::new().acts(0..=12).traffic(&Traffic::ALL).strategy()
    ) {
        let verdict = explore::run(&scenario, Settings::default());
        prop_assert!(verdict.simulated > Duration::ZERO);
        // The same value, the same run.
        prop_assert_eq!(explore::run(&scenario, Settings::default()).hash, verdict.hash);
    }

    #[test]
    fn networks_and_waits_are_within_reason(network in faults::network(), wait in faults::wait()) {
        prop_assert!(network.latency < Duration::from_secs(1));
        prop_assert!(wait <= Duration::from_secs(100));
    }
}
