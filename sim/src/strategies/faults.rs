// SPDX-License-Identifier: MPL-2.0
//! What goes wrong in a scenario, by group, and plans of it.
//!
//! A [`fault`] is one act or a few that belong together: a relay that is killed and, mostly,
//! started again; what is held back on the link and, mostly, let go. A [`plan`] is some of them
//! one after the other. Plans shrink to fewer faults, shorter waits and smaller numbers.
//!
//! ```
//! use proptest::prelude::*;
//! use proptest::test_runner::TestRunner;
//! use stmf_sim::explore::Act;
//! use stmf_sim::strategies::faults::{Group, plan};
//!
//! let checked = TestRunner::default().run(&plan(&[Group::Relay], 1..=3), |acts| {
//!     for timed in acts {
//!         let of_relay = matches!(
//!             timed.act,
//!             Act::StopRelay { .. } | Act::KillRelay { .. } | Act::StartRelay { .. }
//!         );
//!         prop_assert!(of_relay);
//!     }
//!     Ok(())
//! });
//! assert_eq!(checked, Ok(()));
//! ```

use crate::explore::{Act, Timed};
use crate::kernel::doors::DoorFault;
use crate::kernel::{Allocation, KernelFault};
use crate::world::network::NetworkConfig;
use crate::world::trace::NodeId;
use crate::world::{DiskFault, DiskFaultKind, Ratio};
use proptest::collection::{SizeRange, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use std::time::Duration;
use stmf_proxy::status::Errno;

/// Groups of faults, as the explorer's command line names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    /// The link breaks, stalls, damages what it carries, becomes slow.
    Link,
    /// Calls of a door fail, or are answered with something else than 0.
    Door,
    /// A relay is stopped or killed.
    Relay,
    /// The proxy service of a kernel has no memory, is slow, refuses posts, or is switched off.
    Kernel,
    /// A node loses its power, or stands still for a while.
    Node,
    /// Accesses to a disk fail or take long.
    Disk,
    /// An operator moves LUs, adds and removes ports and LUs, sets the ALUA state by hand.
    Operator,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 7] = [
        Group::Link,
        Group::Door,
        Group::Relay,
        Group::Kernel,
        Group::Node,
        Group::Disk,
        Group::Operator,
    ];

    /// The name, as in [`Draw::faults`](crate::explore::Draw::faults).
    pub const fn name(self) -> &'static str {
        match self {
            Group::Link => "link",
            Group::Door => "door",
            Group::Relay => "relay",
            Group::Kernel => "kernel",
            Group::Node => "node",
            Group::Disk => "disk",
            Group::Operator => "operator",
        }
    }
}

/// Either node of the pair.
pub fn node() -> impl Strategy<Value = NodeId> {
    0..=1u8
}

/// How long after the act before: mostly short, so that both are under way together; 100 s at
/// most. Shrinks to nothing.
pub fn wait() -> impl Strategy<Value = Duration> {
    prop_oneof![
        30 => Just(Duration::ZERO),
        30 => (0..400u64).prop_map(Duration::from_micros),
        20 => (0..5_000u64).prop_map(Duration::from_micros),
        12 => (0..300u64).prop_map(Duration::from_millis),
        7 => (0..10_000u64).prop_map(Duration::from_millis),
        1 => (0..100u64).prop_map(Duration::from_secs),
    ]
}

/// How bytes travel; shrinks to the default, more or less.
pub fn network() -> impl Strategy<Value = NetworkConfig> {
    let latency = prop_oneof![3 => Just(200u64), 1 => 0..20_000u64];
    let jitter = prop_oneof![3 => Just(50u64), 1 => 0..5_000u64];
    (latency, jitter, any::<bool>()).prop_map(|(latency, jitter, pieces)| {
        let mut config = NetworkConfig {
            latency: Duration::from_micros(latency),
            jitter: Duration::from_micros(jitter),
            ..NetworkConfig::default()
        };
        if pieces {
            config.cut = Ratio::new(1, 2);
        }
        config
    })
}

fn at_once(act: Act) -> Vec<Timed> {
    let wait = Duration::ZERO;
    vec![Timed { wait, act }]
}

/// Something, and mostly what undoes it some time later.
fn with_end(
    begin: impl Strategy<Value = Act> + 'static,
    end: fn(&Act) -> Act,
) -> BoxedStrategy<Vec<Timed>> {
    let ends = prop_oneof![1 => Just(None), 3 => wait().prop_map(Some)];
    (begin, ends)
        .prop_map(move |(begin, ends)| {
            let last = ends.map(|wait| (wait, end(&begin)));
            let mut acts = at_once(begin);
            acts.extend(last.map(|(wait, act)| Timed { wait, act }));
            acts
        })
        .boxed()
}

fn link() -> BoxedStrategy<Vec<Timed>> {
    let damage = (node(), select(vec![32u32, 200, 1024]), 0..1u64 << 20);
    let damage = damage.prop_map(|(from, at_least, bit)| Act::Damage {
        from,
        at_least,
        bit,
    });
    let held = with_end(node().prop_map(|from| Act::Hold { from }), |held| {
        let Act::Hold { from } = held else {
            return held.clone();
        };
        Act::Release { from: *from }
    });
    let partition = wait().prop_map(|wait| {
        let zero = Duration::ZERO;
        let both = [
            (zero, Act::Hold { from: 0 }),
            (zero, Act::Hold { from: 1 }),
            (wait, Act::Release { from: 0 }),
            (zero, Act::Release { from: 1 }),
        ];
        both.map(|(wait, act)| Timed { wait, act }).to_vec()
    });
    prop_oneof![
        3 => Just(at_once(Act::Break)),
        2 => node().prop_map(|hears| at_once(Act::HalfOpen { hears })),
        2 => held,
        1 => partition,
        2 => damage.prop_map(at_once),
        1 => network().prop_map(|config| at_once(Act::Network(config))),
    ]
    .boxed()
}

fn door() -> BoxedStrategy<Vec<Timed>> {
    let errno = select(vec![
        Errno::EAGAIN,
        Errno::EINTR,
        Errno::E2BIG,
        Errno::EBADF,
    ]);
    let fault = prop_oneof![
        (errno, 1..=3u64).prop_map(|(errno, times)| DoorFault::Errno { errno, times }),
        (select(vec![1u32, 5, 11, 134]), 1..=3u64)
            .prop_map(|(result, times)| DoorFault::Result { result, times }),
    ];
    (node(), fault)
        .prop_map(|(node, fault)| {
            at_once(Act::DoorFault {
                node,
                fault,
                only: None,
            })
        })
        .boxed()
}

fn relay() -> BoxedStrategy<Vec<Timed>> {
    let ended = (node(), any::<bool>()).prop_map(|(node, kill)| match kill {
        false => Act::StopRelay { node },
        true => Act::KillRelay { node },
    });
    with_end(ended, |ended| match ended {
        Act::StopRelay { node } | Act::KillRelay { node } => Act::StartRelay { node: *node },
        other => other.clone(),
    })
}

fn power() -> BoxedStrategy<Vec<Timed>> {
    with_end(node().prop_map(|node| Act::PowerOff { node }), |off| {
        let Act::PowerOff { node } = off else {
            return off.clone();
        };
        Act::Boot { node: *node }
    })
}

/// For how long something stands still, in milliseconds; 20 s at most.
fn still() -> impl Strategy<Value = Duration> {
    prop_oneof![3 => 1..20u64, 2 => 1..3_000u64, 1 => 1..20_000u64].prop_map(Duration::from_millis)
}

fn pause() -> BoxedStrategy<Vec<Timed>> {
    (node(), still())
        .prop_map(|(node, duration)| at_once(Act::Pause { node, duration }))
        .boxed()
}

fn kernel() -> BoxedStrategy<Vec<Timed>> {
    let times = 1..=2u64;
    let fault = prop_oneof![
        1 => times.clone().prop_map(|times| KernelFault::Post { errno: Errno::ENOMEM, times }),
        2 => (still(), times.clone())
            .prop_map(|(delay, times)| KernelFault::SlowRegistration { delay, times }),
        5 => (select(Allocation::ALL.to_vec()), times)
            .prop_map(|(place, times)| KernelFault::Allocation { place, times }),
    ];
    let fault = (node(), fault).prop_map(|(node, fault)| at_once(Act::KernelFault { node, fault }));
    let off = node().prop_map(|node| Act::SetService {
        node,
        enabled: false,
    });
    let off = with_end(off, |off| {
        let Act::SetService { node, .. } = off else {
            return off.clone();
        };
        Act::SetService {
            node: *node,
            enabled: true,
        }
    });
    prop_oneof![3 => fault, 1 => off].boxed()
}

fn disk() -> BoxedStrategy<Vec<Timed>> {
    let kind = prop_oneof![
        Just(DiskFaultKind::Read),
        Just(DiskFaultKind::Write),
        still().prop_map(DiskFaultKind::Slow),
    ];
    (0..4u8, kind, 1..=4u32)
        .prop_map(|(lu, kind, times)| {
            let fault = DiskFault::everywhere(kind, times);
            at_once(Act::DiskFault { lu, fault })
        })
        .boxed()
}

fn operator() -> BoxedStrategy<Vec<Timed>> {
    let (lu, port) = (|| 0..4u8, || 0..4u8);
    prop_oneof![
        6 => (node(), lu(), prop::bool::weighted(0.1))
            .prop_map(|(to, lu, rude)| Act::FailOver { to, lu, orderly: !rude }),
        1 => (node(), lu()).prop_map(|(node, lu)| Act::Standby { node, lu }),
        2 => (node(), lu()).prop_map(|(node, lu)| Act::RemoveLu { node, lu }),
        2 => (node(), lu(), any::<bool>())
            .prop_map(|(node, lu, active)| Act::AddLu { node, lu, active }),
        1 => (node(), select(vec![128u32 << 10, 64 << 10]))
            .prop_map(|(node, buffer_size)| Act::AddPort { node, buffer_size }),
        3 => (node(), port(), any::<bool>())
            .prop_map(|(node, port, again)| Act::RemovePort { node, port, again }),
        2 => (node(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(node, enabled, wrong)| Act::SetAlua {
                node,
                enabled,
                number: u32::from(node ^ u8::from(wrong)),
            }
        ),
    ]
    .prop_map(at_once)
    .boxed()
}

/// Something of a group that goes wrong: an act, or a few that belong together.
pub fn fault(group: Group) -> BoxedStrategy<Vec<Timed>> {
    let acts = match group {
        Group::Link => link(),
        Group::Door => door(),
        Group::Relay => relay(),
        Group::Kernel => kernel(),
        Group::Node => prop_oneof![3 => power(), 1 => pause()].boxed(),
        Group::Disk => disk(),
        Group::Operator => operator(),
    };
    (wait(), acts)
        .prop_map(|(wait, mut acts)| {
            if let Some(first) = acts.first_mut() {
                first.wait = wait;
            }
            acts
        })
        .boxed()
}

/// As many faults as `faults` says, each of one of these groups. No groups: an empty plan.
pub fn plan(groups: &[Group], faults: impl Into<SizeRange>) -> BoxedStrategy<Vec<Timed>> {
    if groups.is_empty() {
        return Just(Vec::new()).boxed();
    }
    let any_group = Union::new(groups.iter().map(|group| fault(*group)));
    vec(any_group, faults)
        .prop_map(|faults| faults.concat())
        .boxed()
}
