// SPDX-License-Identifier: MPL-2.0
//! Scenarios from seeds.
//!
//! One seed draws the whole configuration: kernels, ports, LUs, hosts, network, and then the acts
//! of a *family*: a set of weights that says what kind of trouble a run is about, so that each
//! kind gets runs in which it is dense. What a seed means changes with this folder, and with
//! nothing else: it is drawn from streams of its own.
//!
//! | file | what |
//! | --- | --- |
//! | `families.rs` | kinds of acts, families |
//! | `acts.rs` | the acts of each kind |
//! | `hosts.rs`, `impatience.rs` | what hosts send; and that they give up and try again |
//! | `faults.rs` | what goes wrong with network, doors and kernels |
//! | `pen.rs` | draws the numbers |

use super::act::{Act, Scsi, Timed};
use super::scenario::{Scenario, Unit};
use crate::field::{Failure, Variant};
use crate::kernel::{KernelConfig, Profile, Repairs};
use crate::relays;
use crate::world::StandardRelay;
use crate::world::random::Random;
use acts::acts;
use families::{SORTS, Sort};
use faults::{network, slow_answer};
use pen::Pen;
use std::time::Duration;

mod acts;
mod families;
mod faults;
mod hosts;
mod impatience;
mod pen;

pub use families::{FAMILIES, Family, GROUPS};

/// The stream of a seed from which its scenario is drawn; choices of the world have others.
const STREAM: u64 = 0x6578_706c_6f72_6521;

/// What is drawn from, besides the seed.
#[derive(Clone)]
pub struct Draw {
    /// The profile of the kernels.
    pub profile: Profile,
    /// Groups of faults that may happen, by name ([`GROUPS`]).
    pub faults: Vec<&'static str>,
    /// A failure of the field whose cause is put into the world.
    pub defect: Option<&'static Failure>,
    /// The family of every seed; none if each seed takes its own.
    pub family: Option<&'static Family>,
}

impl Default for Draw {
    fn default() -> Draw {
        Draw {
            profile: Profile::Illumos,
            faults: GROUPS.to_vec(),
            defect: None,
            family: None,
        }
    }
}

/// The scenario of a seed.
pub fn draw(seed: u64, from: &Draw) -> Scenario {
    let mut pen = Pen::new(Random::stream(seed, STREAM));
    let own = &FAMILIES[pen.below(FAMILIES.len() as u64) as usize];
    let family = from.family.unwrap_or(own);
    let mut scenario = surroundings(&mut pen, seed, from);
    scenario.name = family.name;
    let allowed = |sort: &Sort| {
        sort.group()
            .is_none_or(|group| from.faults.contains(&group))
    };
    let weights: Vec<u32> = SORTS
        .iter()
        .zip(family.weights)
        .map(|(sort, weight)| if allowed(sort) { weight } else { 0 })
        .collect();
    let length = match pen.below(16) {
        0..4 => 3 + pen.below(8),
        4..15 => 8 + pen.below(32),
        _ => 40 + pen.below(80),
    };
    while (scenario.acts.len() as u64) < length {
        let sort = SORTS[pen.weighted(&weights)];
        // What tells the peer holds the stmf lock until the door answers: now and then for long.
        if sort.tells_the_peer() && from.faults.contains(&"door") && pen.one_in(6) {
            let node = pen.node();
            let act = slow_answer(&mut pen, node);
            let wait = Duration::ZERO;
            scenario.acts.push(Timed { wait, act });
        }
        acts(&mut pen, sort, from, &mut scenario.acts);
    }
    if travels_in_single_bytes(&scenario) {
        scenario.acts.iter_mut().for_each(limit_data);
    }
    scenario
}

fn travels_in_single_bytes(scenario: &Scenario) -> bool {
    let of_acts = scenario.acts.iter().filter_map(|timed| match &timed.act {
        Act::Network(network) => Some(network),
        _ => None,
    });
    of_acts
        .chain([&scenario.network])
        .any(|network| network.largest_piece == Some(1))
}

/// A megabyte in pieces of one byte would be a run of millions of steps that shows nothing that a
/// short one does not.
fn limit_data(timed: &mut Timed) {
    /// Still more than one message of a small buffer.
    const MOST: u16 = 80;
    if let Act::Command {
        command: Scsi::Read { blocks, .. } | Scsi::Write { blocks, .. },
        ..
    } = &mut timed.act
    {
        *blocks = (*blocks).min(MOST);
    }
}

/// Everything but the acts.
fn surroundings(pen: &mut Pen, seed: u64, from: &Draw) -> Scenario {
    let (kernels, mut relays) = pair(from);
    if let Some(name) = MIXABLE.iter().find(|name| **name == relays[0]) {
        // Now and then only one of the nodes has it.
        match pen.below(3) {
            0 => relays[0] = StandardRelay::NAME.into(),
            1 => relays[1] = StandardRelay::NAME.into(),
            _ => debug_assert_eq!(relays[1], *name),
        }
    }
    let ports = |pen: &mut Pen| {
        let sizes = [128 << 10, 128 << 10, 64 << 10, 64 << 10, 32 << 10, 1 << 20];
        (0..1 + pen.below(2)).map(|_| pen.of(&sizes)).collect()
    };
    let unit = |pen: &mut Pen| Unit {
        blocks: match pen.large {
            true => pen.of(&[1024, 2048]),
            false => pen.of(&[16, 64, 256, 1024, 2048]),
        },
        active: pen.node(),
    };
    Scenario {
        seed,
        name: "",
        kernels,
        relays,
        network: network(pen),
        ports: [ports(pen), ports(pen)],
        units: (0..pen.of(&[1, 1, 2, 3])).map(|_| unit(pen)).collect(),
        hosts: pen.of(&[1, 2, 2, 3]),
        timeout: Duration::from_secs(pen.of(&[5, 30, 100, 100])),
        settled: !pen.one_in(4),
        acts: Vec::new(),
    }
}

/// Relays that speak the default link and so find a sound one on the other side.
const MIXABLE: [&str; 7] = [
    "default-stacks",
    "unordered",
    "keeps-handle",
    "retransmits",
    "revokes-first",
    "posts-early",
    "answers-busy",
];

/// The kernels and relays of the two nodes.
fn pair(from: &Draw) -> ([KernelConfig; 2], [String; 2]) {
    let mut repairs = Repairs::ALL;
    let mut kernels = [KernelConfig::default(), KernelConfig::default()];
    let mut relay = StandardRelay::NAME.to_string();
    if let Some(failure) = from.defect {
        let broken = (failure.build)(Variant::Broken).plan();
        let sound = (failure.build)(Variant::Sound).plan();
        let only_sound = |part: fn(&Repairs) -> bool| {
            part(&sound.kernel.repairs) && !part(&broken.kernel.repairs)
        };
        repairs.register_again &= !only_sound(|repairs| repairs.register_again);
        repairs.piece_offsets &= !only_sound(|repairs| repairs.piece_offsets);
        kernels = [broken.kernel_of(0).clone(), broken.kernel_of(1).clone()];
        relay = broken.relay.unwrap_or(relay);
    }
    debug_assert!(relays::by_name(&relay).is_some(), "{relay}");
    for kernel in &mut kernels {
        kernel.profile = from.profile;
        kernel.repairs = repairs;
    }
    (kernels, [relay.clone(), relay])
}
