// SPDX-License-Identifier: MPL-2.0
//! Scenarios from seeds.
//!
//! One seed draws the whole configuration: kernels, ports, LUs, hosts, network, and then the acts
//! of a *family*: a set of weights that says what kind of trouble a run is about, so that each
//! kind gets runs in which it is dense. What a seed means changes with this file, and with nothing
//! else: it is drawn from streams of its own.

use super::act::{Act, Scsi, Timed};
use super::scenario::{Scenario, Unit};
use crate::field::{Failure, Variant};
use crate::kernel::doors::DoorFault;
use crate::kernel::faults::{Allocation, KernelFault};
use crate::kernel::{KernelConfig, Profile, Repairs};
use crate::relays;
use crate::scsi::reservation::{OutAction, ReservationType};
use crate::world::network::NetworkConfig;
use crate::world::random::Random;
use crate::world::trace::NodeId;
use crate::world::{DiskFault, DiskFaultKind, Ratio, StandardRelay};
use std::time::Duration;
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;

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

/// Groups of faults, as command lines name them.
pub const GROUPS: [&str; 7] = [
    "link", "door", "relay", "kernel", "node", "disk", "operator",
];

/// Kinds of acts, in the order of the weights of a family.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Data,
    Discovery,
    Reservation,
    Management,
    Session,
    Port,
    FailOver,
    Unit,
    Alua,
    Relay,
    Power,
    Link,
    Door,
    Kernel,
    Disk,
}

const SORTS: [Sort; 15] = [
    Sort::Data,
    Sort::Discovery,
    Sort::Reservation,
    Sort::Management,
    Sort::Session,
    Sort::Port,
    Sort::FailOver,
    Sort::Unit,
    Sort::Alua,
    Sort::Relay,
    Sort::Power,
    Sort::Link,
    Sort::Door,
    Sort::Kernel,
    Sort::Disk,
];

impl Sort {
    /// Whether a kernel tells its peer of it, with the stmf lock held.
    fn tells_the_peer(self) -> bool {
        matches!(
            self,
            Sort::Session | Sort::Port | Sort::FailOver | Sort::Unit | Sort::Alua
        )
    }

    /// The group of faults that it belongs to; none for what hosts do.
    fn group(self) -> Option<&'static str> {
        Some(match self {
            Sort::Port | Sort::FailOver | Sort::Unit | Sort::Alua => "operator",
            Sort::Relay => "relay",
            Sort::Power => "node",
            Sort::Link => "link",
            Sort::Door => "door",
            Sort::Kernel => "kernel",
            Sort::Disk => "disk",
            _ => return None,
        })
    }
}

/// A kind of trouble: how often each kind of act comes, in the order of what is named.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    weights: [u32; SORTS.len()],
}

/// All families. A seed takes one of them.
pub const FAMILIES: &[Family] = &[
    //                data disc resv mgmt sess port fail unit alua rely powr link door kern disk
    Family {
        name: "traffic",
        about: "reads and writes down all paths, now and then a broken link",
        weights: [60, 10, 2, 4, 4, 0, 2, 0, 0, 0, 0, 4, 4, 2, 4],
    },
    Family {
        name: "discovery",
        about: "hosts that look for LUs while ports come and go",
        weights: [6, 50, 4, 4, 14, 10, 2, 2, 0, 2, 0, 4, 4, 2, 1],
    },
    Family {
        name: "failover",
        about: "LUs that move between the nodes under load",
        weights: [45, 6, 6, 4, 4, 0, 18, 3, 2, 2, 2, 5, 4, 2, 3],
    },
    Family {
        name: "reservations",
        about: "reservations on both paths, resets, failover",
        weights: [20, 4, 45, 6, 6, 0, 6, 0, 0, 2, 2, 4, 2, 1, 1],
    },
    Family {
        name: "management",
        about: "task management on busy and on vanishing LUs",
        weights: [30, 6, 6, 30, 8, 2, 6, 8, 0, 2, 0, 4, 6, 3, 4],
    },
    Family {
        name: "ports",
        about: "ports and sessions that come and go",
        weights: [25, 10, 2, 4, 20, 24, 2, 2, 4, 2, 0, 5, 4, 6, 0],
    },
    Family {
        name: "links",
        about: "a link that breaks, stalls and damages what it carries",
        weights: [45, 6, 4, 4, 6, 4, 4, 0, 0, 2, 0, 30, 2, 1, 1],
    },
    Family {
        name: "relays",
        about: "relays that are stopped, killed and started under load",
        weights: [45, 6, 4, 4, 6, 3, 3, 0, 2, 24, 0, 4, 4, 3, 1],
    },
    Family {
        name: "power",
        about: "nodes that lose their power and come back",
        weights: [40, 6, 6, 4, 10, 3, 8, 2, 2, 4, 18, 4, 2, 2, 2],
    },
    Family {
        name: "operators",
        about: "ALUA switched by hand, LUs added, removed and served by both nodes",
        weights: [35, 8, 4, 6, 6, 8, 12, 14, 14, 4, 2, 3, 3, 2, 1],
    },
    Family {
        name: "doors",
        about: "door calls that fail, or are answered badly",
        weights: [45, 10, 4, 8, 8, 6, 3, 2, 4, 2, 0, 4, 26, 8, 2],
    },
    Family {
        name: "everything",
        about: "all of it",
        weights: [30, 8, 8, 8, 8, 8, 8, 5, 4, 8, 5, 12, 10, 8, 5],
    },
];

/// Draws numbers for a scenario.
struct Pen(Random);

impl Pen {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound.max(1))
    }

    fn small(&mut self, bound: u8) -> u8 {
        self.below(u64::from(bound)) as u8
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn weighted(&mut self, weights: &[u32]) -> usize {
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

    fn micros(&mut self, bound: u64) -> Duration {
        Duration::from_micros(self.below(bound))
    }

    /// How long after the act before: mostly so that both are under way together.
    fn wait(&mut self) -> Duration {
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
    fn pause(&mut self) -> Duration {
        match self.below(8) {
            0..3 => self.micros(20_000),
            3..6 => self.micros(3_000_000),
            _ => self.micros(20_000_000),
        }
    }

    fn node(&mut self) -> NodeId {
        self.small(2)
    }
}

/// The scenario of a seed.
pub fn draw(seed: u64, from: &Draw) -> Scenario {
    let mut pen = Pen(Random::stream(seed, STREAM));
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
            let act = slow_answer(&mut pen);
            let wait = Duration::ZERO;
            scenario.acts.push(Timed { wait, act });
        }
        acts(&mut pen, sort, &mut scenario.acts);
    }
    scenario
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
        let sizes = [128 << 10, 128 << 10, 128 << 10, 64 << 10, 32 << 10, 1 << 20];
        (0..1 + pen.below(2)).map(|_| pen.of(&sizes)).collect()
    };
    let unit = |pen: &mut Pen| Unit {
        blocks: pen.of(&[16, 64, 256, 1024, 2048]),
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
    // Every kernel has these two mistakes, and with them hardly anything else would be found.
    let mut repairs = Repairs {
        register_again: true,
        piece_offsets: true,
    };
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

fn network(pen: &mut Pen) -> NetworkConfig {
    let mut network = NetworkConfig::default();
    match pen.below(6) {
        0 => network.jitter = Duration::ZERO,
        1 => network.jitter = Duration::from_millis(2),
        2 => network.latency = Duration::from_millis(5),
        _ => {}
    }
    match pen.below(12) {
        0..2 => network.cut = Ratio::new(1, 2),
        // Pieces of one byte make a message of a thousand of them.
        2 => network.largest_piece = Some(pen.of(&[200, 200, 1000, 1000, 1000, 33, 33, 1])),
        _ => {}
    }
    network
}

fn scsi_data(pen: &mut Pen) -> Scsi {
    let blocks = match pen.below(40) {
        0..22 => 1 + pen.below(4),
        22..31 => 8,
        31..35 => 64 + pen.below(192),
        35..39 => 257 + pen.below(256),
        // More than a server thread with a default stack has room for.
        _ => 500 + pen.below(1400),
    } as u16;
    let lba = match pen.flip() {
        true => pen.below(8),
        false => pen.below(2048),
    } as u32;
    match pen.below(20) {
        0..10 => Scsi::Read { lba, blocks },
        10..18 => Scsi::Write {
            lba,
            blocks: blocks.min(256),
            immediate: pen.flip(),
        },
        18 => Scsi::Synchronize,
        _ => Scsi::TestUnitReady,
    }
}

fn scsi_discovery(pen: &mut Pen) -> Scsi {
    match pen.below(14) {
        0 | 1 => Scsi::Inquiry,
        2 => Scsi::InquiryPage(pen.of(&[0x00, 0x80, 0x83, 0x86, 0x99])),
        3 => Scsi::RequestSense,
        4 => Scsi::ReadCapacity,
        5 | 6 => Scsi::ReportLuns,
        7 => Scsi::ReportTargetPortGroups,
        8 => Scsi::ModeSense(pen.of(&[0x03, 0x04, 0x08, 0x0a, 0x3f])),
        9 => Scsi::ModeSelect {
            write_cache: pen.flip(),
        },
        10 => Scsi::StartStopUnit { start: true },
        11 => Scsi::ReadBeyond,
        12 => Scsi::Unknown,
        _ => Scsi::TestUnitReady,
    }
}

fn scsi_reservation(pen: &mut Pen) -> Scsi {
    use OutAction::*;
    match pen.below(16) {
        0..3 => Scsi::Reserve,
        3 | 4 => Scsi::Release,
        5 | 6 => Scsi::PersistentReserveIn(pen.small(4)),
        _ => Scsi::PersistentReserveOut {
            action: pen.of(&[
                RegisterAndIgnore,
                RegisterAndIgnore,
                RegisterAndIgnore,
                Register,
                Reserve,
                Reserve,
                Reserve,
                Release,
                Clear,
                Preempt,
                PreemptAndAbort,
            ]),
            kind: pen.of(&ReservationType::ALL),
            other: pen.small(4),
            persistent: pen.one_in(4),
        },
    }
}

/// Acts of a sort: one, or several that belong together.
fn acts(pen: &mut Pen, sort: Sort, to: &mut Vec<Timed>) {
    let wait = pen.wait();
    let mut push = |act| to.push(Timed { wait, act });
    let (host, node, port, lu) = (pen.small(4), pen.node(), pen.small(4), pen.small(4));
    let command = |command| Act::Command {
        host,
        node,
        port,
        lu,
        command,
    };
    match sort {
        Sort::Data => push(command(scsi_data(pen))),
        Sort::Discovery => push(command(scsi_discovery(pen))),
        Sort::Reservation => push(command(scsi_reservation(pen))),
        Sort::Management => push(Act::Manage {
            host,
            node,
            port,
            lu,
            function: pen.of(&[1, 2, 4, 5, 5, 5, 5, 6, 7, 9, 3]),
        }),
        Sort::Session => push(Act::Logout { host, node, port }),
        Sort::Port => push(match pen.below(4) {
            0 => Act::AddPort {
                node,
                buffer_size: pen.of(&[128 << 10, 64 << 10]),
            },
            _ => Act::RemovePort {
                node,
                port,
                again: !pen.one_in(4),
            },
        }),
        Sort::FailOver => push(match pen.below(8) {
            0 => Act::Standby { node, lu },
            1 => Act::FailOver {
                to: node,
                lu,
                orderly: false,
            },
            _ => Act::FailOver {
                to: node,
                lu,
                orderly: true,
            },
        }),
        Sort::Unit => push(match pen.below(2) {
            0 => Act::RemoveLu { node, lu },
            _ => Act::AddLu {
                node,
                lu,
                active: pen.flip(),
            },
        }),
        Sort::Alua => push(Act::SetAlua {
            node,
            enabled: pen.flip(),
            number: match pen.one_in(8) {
                true => u32::from(node ^ 1),
                false => u32::from(node),
            },
        }),
        Sort::Relay => {
            push(match pen.below(12) {
                0..5 => Act::StopRelay { node },
                5..9 => Act::KillRelay { node },
                9 => Act::ReplaceRelay {
                    node,
                    relay: pen.of(&OTHER_RELAYS),
                },
                _ => Act::StartRelay { node },
            });
            if !pen.one_in(4) {
                let wait = pen.wait();
                let act = Act::StartRelay { node };
                to.push(Timed { wait, act });
            }
        }
        Sort::Power if pen.one_in(3) => push(Act::Pause {
            node,
            duration: pen.pause(),
        }),
        Sort::Power => {
            push(Act::PowerOff { node });
            if !pen.one_in(4) {
                let wait = pen.wait();
                let act = Act::Boot { node };
                to.push(Timed { wait, act });
            }
        }
        Sort::Link => link(pen, to),
        Sort::Door => push(Act::DoorFault {
            node,
            fault: door_fault(pen),
            only: match pen.one_in(4) {
                true => Some(pen.of(&DOOR_MESSAGES)),
                false => None,
            },
        }),
        Sort::Kernel if pen.one_in(4) => {
            push(Act::SetService {
                node,
                enabled: false,
            });
            let wait = pen.wait();
            let act = Act::SetService {
                node,
                enabled: true,
            };
            to.push(Timed { wait, act });
        }
        Sort::Kernel => push(Act::KernelFault {
            node,
            fault: kernel_fault(pen),
        }),
        Sort::Disk => push(Act::DiskFault {
            lu,
            fault: DiskFault::everywhere(
                pen.of(&[
                    DiskFaultKind::Read,
                    DiskFaultKind::Write,
                    DiskFaultKind::Slow(Duration::from_millis(3)),
                    DiskFaultKind::Slow(Duration::from_secs(2)),
                ]),
                1 + pen.below(4) as u32,
            ),
        }),
    }
}

fn link(pen: &mut Pen, to: &mut Vec<Timed>) {
    let (wait, node) = (pen.wait(), pen.node());
    let mut push = |wait, act| to.push(Timed { wait, act });
    match pen.below(11) {
        0..3 => push(wait, Act::Break),
        3 | 4 => push(wait, Act::HalfOpen { hears: node }),
        5 | 6 => {
            push(wait, Act::Hold { from: node });
            if pen.flip() {
                push(Duration::ZERO, Act::Hold { from: node ^ 1 });
            }
            if !pen.one_in(3) {
                let wait = pen.wait();
                push(wait, Act::Release { from: node });
                push(Duration::ZERO, Act::Release { from: node ^ 1 });
            }
        }
        7 | 8 => push(
            wait,
            Act::Damage {
                from: node,
                at_least: pen.of(&[32, 200, 1024]),
                bit: pen.below(1 << 20),
            },
        ),
        9 => push(
            wait,
            Act::SlowReader {
                from: node,
                bytes_per_second: pen.of(&[None, Some(30_000), Some(1_000_000)]),
            },
        ),
        _ => push(wait, Act::Network(network(pen))),
    }
}

/// Programs that take the place of a relay for a while: of other versions, or with the wrong node
/// number.
const OTHER_RELAYS: [&str; 3] = ["standard-version-2", "version-2-only", "standard-node-0"];

/// Messages that a fault of a door is aimed at, now and then.
const DOOR_MESSAGES: [MessageType; 6] = [
    MessageType::RegisterProxyPort,
    MessageType::ScsiCommand,
    MessageType::ScsiData,
    MessageType::ScsiDataTransferDone,
    MessageType::ScsiStatus,
    MessageType::SessionDestroy,
];

fn kernel_fault(pen: &mut Pen) -> KernelFault {
    let times = 1 + pen.below(2);
    match pen.below(8) {
        0 => KernelFault::Post {
            errno: pen.of(&[Errno::ENOMEM, Errno::EFAULT]),
            times,
        },
        1 | 2 => KernelFault::SlowRegistration {
            delay: pen.pause(),
            times,
        },
        _ => KernelFault::Allocation {
            place: pen.of(&Allocation::ALL),
            times,
        },
    }
}

/// A door call that the kernel has to try again, a second later.
fn slow_answer(pen: &mut Pen) -> Act {
    let fault = DoorFault::Errno {
        errno: Errno::EAGAIN,
        times: 1 + pen.below(2),
    };
    let node = pen.node();
    let only = None;
    Act::DoorFault { node, fault, only }
}

fn door_fault(pen: &mut Pen) -> DoorFault {
    let times = 1 + pen.below(3);
    match pen.below(9) {
        8 => DoorFault::NoThread {
            delay: pen.pause(),
            times: 1,
        },
        0..3 => DoorFault::Errno {
            errno: Errno::EAGAIN,
            times,
        },
        3 => DoorFault::Errno {
            errno: Errno::EINTR,
            times,
        },
        4 => DoorFault::Errno {
            errno: Errno::E2BIG,
            times: 1,
        },
        5 => DoorFault::Errno {
            errno: Errno::EBADF,
            times: 1,
        },
        _ => DoorFault::Result {
            result: pen.of(&[1, 5, 11, 134]),
            times,
        },
    }
}
