// SPDX-License-Identifier: MPL-2.0
//! Which message met which state of the kernel when it was posted: what a search has tried, and
//! what it has not.
//!
//! A posted message meets one state of each thing that it is about: a command the port that it
//! names, the session, the task of its id, the LU. Only pairs that a kernel or a relay can bring
//! about are listed; that one was counted says that the message came at such a moment, not that
//! what became of it was right: others judge that.

use std::cell::Cell;
use stmf_proxy::message::MessageType;

/// A state that a message can meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Nobody has the device open, or it is being closed: the post is refused.
    DeviceClosed,
    /// The device is open.
    DeviceOpen,
    /// ALUA was never on.
    AluaNeverOn,
    /// ALUA is off, and was on.
    AluaOff,
    /// ALUA is on.
    AluaOn,
    /// There is no proxy port of the name.
    PortNone,
    /// The proxy port is coming online.
    PortOnlining,
    /// The proxy port takes commands.
    PortOnline,
    /// The proxy port is being taken away.
    PortGoing,
    /// No session has the id, and the nexus has none.
    SessionNone,
    /// The session has the id and belongs to the nexus.
    SessionKnown,
    /// The session has the id and belongs to another nexus.
    SessionOther,
    /// The nexus has a session with a lower id.
    SessionOlder,
    /// The nexus has a session with a higher id.
    SessionNewer,
    /// The session has the id and the nexus, and its port is being taken away.
    SessionClosing,
    /// No task has the id.
    TaskNone,
    /// A task has the id, and nothing of it is on its way.
    TaskActive,
    /// Read data of the task is on its way to the peer.
    TaskDataSent,
    /// The only read data of the task is on its way, and the status is to follow by itself.
    TaskSmallRead,
    /// The status of the task is being sent.
    TaskDone,
    /// The task is being aborted.
    TaskAborting,
    /// A task of another session has the id.
    TaskElsewhere,
    /// No command of a host here is proxied under the id.
    ProxiedNone,
    /// The host's command waits for the peer.
    ProxiedWaiting,
    /// Data of the peer is on its way to the host.
    ProxiedBusy,
    /// The status is on its way to the host.
    ProxiedAnswered,
    /// The host's command is being aborted.
    ProxiedAborting,
    /// It is about a task management function, to which nobody listens.
    ProxiedManagement,
    /// There is no LU of the id.
    LuNone,
    /// The LU is served here.
    LuActive,
    /// The LU is served by the peer.
    LuStandby,
    /// The LU was given up here, and the peer has not said that it serves it.
    LuTransition,
    /// No port here was registered with the message.
    LocalNone,
    /// The port waits for the answer.
    LocalWaiting,
    /// The port counts as registered already.
    LocalRegistered,
    /// It answers something else than a registration.
    LocalOther,
}

use State::*;

impl State {
    /// What it is about, and what it says of that: ("session", "none").
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            DeviceClosed => ("device", "closed"),
            DeviceOpen => ("device", "open"),
            AluaNeverOn => ("ALUA", "never on"),
            AluaOff => ("ALUA", "off"),
            AluaOn => ("ALUA", "on"),
            PortNone => ("proxy port", "none"),
            PortOnlining => ("proxy port", "coming online"),
            PortOnline => ("proxy port", "online"),
            PortGoing => ("proxy port", "going"),
            SessionNone => ("session", "none"),
            SessionKnown => ("session", "known"),
            SessionOther => ("session", "of another nexus"),
            SessionOlder => ("session", "older one known"),
            SessionNewer => ("session", "newer one known"),
            SessionClosing => ("session", "closing"),
            TaskNone => ("task", "none"),
            TaskActive => ("task", "active"),
            TaskDataSent => ("task", "data sent"),
            TaskSmallRead => ("task", "small read sent"),
            TaskDone => ("task", "status being sent"),
            TaskAborting => ("task", "aborting"),
            TaskElsewhere => ("task", "in another session"),
            ProxiedNone => ("host's command", "none"),
            ProxiedWaiting => ("host's command", "waiting"),
            ProxiedBusy => ("host's command", "taking data"),
            ProxiedAnswered => ("host's command", "answered"),
            ProxiedAborting => ("host's command", "aborting"),
            ProxiedManagement => ("host's command", "task management"),
            LuNone => ("LU", "none"),
            LuActive => ("LU", "active"),
            LuStandby => ("LU", "standby"),
            LuTransition => ("LU", "in transition"),
            LocalNone => ("local port", "none"),
            LocalWaiting => ("local port", "waiting"),
            LocalRegistered => ("local port", "registered"),
            LocalOther => ("local port", "not asked for"),
        }
    }
}

const DEVICE: [State; 2] = [DeviceClosed, DeviceOpen];
const ALUA: [State; 3] = [AluaNeverOn, AluaOff, AluaOn];
const PORT: [State; 4] = [PortNone, PortOnlining, PortOnline, PortGoing];
const SESSION: [State; 6] = [
    SessionNone,
    SessionKnown,
    SessionOther,
    SessionOlder,
    SessionNewer,
    SessionClosing,
];
const LU: [State; 4] = [LuNone, LuActive, LuStandby, LuTransition];
const PROXIED: [State; 5] = [
    ProxiedNone,
    ProxiedWaiting,
    ProxiedBusy,
    ProxiedAnswered,
    ProxiedAborting,
];

/// The states that each type of message can meet, by what they are about. Types that no kernel
/// sends are not there.
const MEETINGS: &[(MessageType, &[&[State]])] = &[
    (MessageType::RegisterProxyPort, &[&DEVICE, &PORT]),
    (MessageType::DeregisterProxyPort, &[&DEVICE, &PORT]),
    (MessageType::RegisterLun, &[&DEVICE, &ALUA, &LU]),
    (MessageType::DeregisterLun, &[&DEVICE, &ALUA, &LU]),
    (MessageType::LunActive, &[&DEVICE, &ALUA, &LU]),
    (
        MessageType::ScsiCommand,
        &[
            &DEVICE,
            &PORT,
            &SESSION,
            &[TaskNone, TaskActive, TaskElsewhere],
            &LU,
        ],
    ),
    (MessageType::ScsiData, &[&DEVICE, &ALUA, &PROXIED]),
    (
        MessageType::ScsiDataTransferDone,
        &[
            &DEVICE,
            &[
                TaskNone,
                TaskActive,
                TaskDataSent,
                TaskSmallRead,
                TaskDone,
                TaskAborting,
            ],
        ],
    ),
    (
        MessageType::ScsiStatus,
        &[&DEVICE, &ALUA, &PROXIED, &[ProxiedManagement]],
    ),
    (
        MessageType::Status,
        &[
            &DEVICE,
            &ALUA,
            &[LocalNone, LocalWaiting, LocalRegistered, LocalOther],
        ],
    ),
    (MessageType::SessionDestroy, &[&DEVICE, &PORT, &SESSION]),
];

/// A type of message, and a state that it can meet.
pub type Pair = (MessageType, State);

/// Every pair that is counted, in the order in which reports list them.
pub fn pairs() -> impl Iterator<Item = Pair> {
    MEETINGS.iter().flat_map(|(message, about)| {
        let states = about.iter().flat_map(|states| states.iter());
        states.map(|state| (*message, *state))
    })
}

/// How many pairs there are.
const PAIRS: usize = {
    let (mut pairs, mut message) = (0, 0);
    while message < MEETINGS.len() {
        let mut about = 0;
        while about < MEETINGS[message].1.len() {
            pairs += MEETINGS[message].1[about].len();
            about += 1;
        }
        message += 1;
    }
    pairs
};

/// Counts meetings in one world.
pub struct Coverage([Cell<u64>; PAIRS]);

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage([const { Cell::new(0) }; PAIRS])
    }
}

impl Coverage {
    /// A message met these states. Pairs that are not listed are not counted.
    pub fn met(&self, message: MessageType, states: &[State]) {
        for (place, (listed, state)) in pairs().enumerate() {
            if listed == message && states.contains(&state) {
                self.0[place].set(self.0[place].get() + 1);
            }
        }
    }

    /// The counts until now.
    pub fn counts(&self) -> Counts {
        Counts(self.0.iter().map(Cell::get).collect())
    }
}

/// How often each pair was met, in one world or in many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(vec![0; PAIRS])
    }
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Counts) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }

    /// Every pair with its count, in the order of [`pairs`].
    pub fn iter(&self) -> impl Iterator<Item = (Pair, u64)> + '_ {
        pairs().zip(self.0.iter().copied())
    }

    /// How many pairs were met.
    pub fn covered(&self) -> usize {
        self.0.iter().filter(|count| **count > 0).count()
    }

    /// How many pairs there are.
    pub fn all(&self) -> usize {
        PAIRS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pair_is_listed_once_with_names_of_its_own() {
        let mut seen = BTreeSet::new();
        for (message, state) in pairs() {
            assert!(seen.insert((message.number(), state.names())), "{state:?}");
        }
        assert_eq!(seen.len(), PAIRS);
        assert_eq!(Counts::default().iter().count(), PAIRS);
    }

    #[test]
    fn meetings_are_counted_and_added() {
        let coverage = Coverage::default();
        let states = [DeviceOpen, LuActive, TaskDone];
        coverage.met(MessageType::LunActive, &states);
        coverage.met(MessageType::LunActive, &states[..1]);
        // No kernel sends these.
        coverage.met(MessageType::EchoReply, &states);
        let mut counts = coverage.counts();
        counts.add(&coverage.counts());
        let met: Vec<(Pair, u64)> = counts.iter().filter(|(_, count)| *count > 0).collect();
        let message = MessageType::LunActive;
        assert_eq!(met, [((message, DeviceOpen), 4), ((message, LuActive), 2)]);
        assert_eq!((counts.covered(), counts.all()), (2, PAIRS));
    }
}
