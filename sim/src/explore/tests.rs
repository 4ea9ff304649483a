// SPDX-License-Identifier: MPL-2.0
//! Scenarios written down by hand, and scenarios that are drawn.

use super::*;
use crate::field;
use crate::findings::Kind;
use crate::kernel::KernelConfig;
use crate::world::StandardRelay;
use crate::world::network::NetworkConfig;
use std::time::Duration;

/// Two sound nodes with a port each; one LU of 1 MiB, served by node 1; one host.
fn plain(acts: Vec<Act>) -> Scenario {
    let relay = StandardRelay::NAME.to_string();
    let timed = |act| Timed {
        wait: Duration::from_millis(10),
        act,
    };
    Scenario {
        seed: 1,
        name: "by hand",
        kernels: [KernelConfig::default(), KernelConfig::default()],
        relays: [relay.clone(), relay],
        network: NetworkConfig::default(),
        ports: [vec![128 << 10], vec![128 << 10]],
        units: vec![Unit {
            blocks: 2048,
            active: 1,
        }],
        hosts: 1,
        timeout: Duration::from_secs(30),
        settled: true,
        acts: acts.into_iter().map(timed).collect(),
    }
}

fn command(node: u8, command: Scsi) -> Act {
    Act::Command {
        host: 0,
        node,
        port: 0,
        lu: 0,
        command,
    }
}

#[test]
fn an_empty_scenario_is_served() {
    let verdict = run(&plain(vec![]), Settings::default());
    assert_eq!(verdict.findings, []);
    assert!(verdict.fired.is_empty(), "{:?}", verdict.fired);
    assert!(verdict.statistics.commands > 3);
}

#[test]
fn small_buffers_are_found_by_a_large_read() {
    let read = Scsi::Read {
        lba: 3,
        blocks: 512,
    };
    let acts = vec![command(0, Scsi::TestUnitReady), command(0, read)];
    let mut scenario = plain(acts);
    scenario.ports[0] = vec![64 << 10];
    let verdict = run(&scenario, Settings::default());
    assert_eq!(verdict.findings[0].kind, Kind::CorruptData);
    for kernel in &mut scenario.kernels {
        kernel.repairs.piece_offsets = true;
    }
    assert_eq!(run(&scenario, Settings::default()).findings, []);
}

#[test]
fn a_scenario_makes_the_same_run_again() {
    for seed in 0..6 {
        let scenario = draw(seed, &Draw::default());
        assert_eq!(scenario, draw(seed, &Draw::default()));
        let runs = [(); 2].map(|()| run(&scenario, Settings::default()));
        assert_eq!(runs[0].hash, runs[1].hash, "seed {seed}");
        assert_eq!(runs[0].findings, runs[1].findings, "seed {seed}");
    }
}

#[test]
fn a_defect_is_all_that_differs() {
    let defect = field::by_id("nex-3188");
    let with = Draw {
        defect,
        ..Draw::default()
    };
    let (mut broken, sound) = (draw(7, &with), draw(7, &Draw::default()));
    assert!(broken.kernels[0].defects.assert_no_lu_id);
    broken.kernels = sound.kernels.clone();
    assert_eq!(broken, sound);
}
