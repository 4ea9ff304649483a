// SPDX-License-Identifier: MPL-2.0
//! The kinds of events, and the interfaces of a file that they are sorted by.
//!
//! The numbers of the kinds are part of the file format, and stand for the same things in every
//! version of it. New kinds are added at the end.

/// The kinds of events, by their number in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the variant of Event of that name")]
pub enum EventKind {
    Upcall = 0,
    UpcallDone = 1,
    Post = 2,
    PostDone = 3,
    KernelLog = 4,
    Panic = 5,
    RelayLog = 6,
    RelayStarted = 7,
    RelayEnded = 8,
    Boot = 9,
    PowerOff = 10,
    AluaState = 11,
    LuAccess = 12,
    Connect = 13,
    Connected = 14,
    Disconnected = 15,
    Sent = 16,
    Received = 17,
    SessionOpened = 18,
    SessionClosed = 19,
    Command = 20,
    CommandDone = 21,
    Management = 22,
    ManagementDone = 23,
    Aborted = 24,
    TimedOut = 25,
    Fault = 26,
    Step = 27,
    Call = 28,
    CallDone = 29,
    Unreferenced = 30,
    Lost = 31,
    PortAdded = 32,
    PortRemoved = 33,
    LuOperation = 34,
    Choices = 35,
    Operation = 36,
}

impl EventKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [EventKind; 37] = [
        EventKind::Upcall,
        EventKind::UpcallDone,
        EventKind::Post,
        EventKind::PostDone,
        EventKind::KernelLog,
        EventKind::Panic,
        EventKind::RelayLog,
        EventKind::RelayStarted,
        EventKind::RelayEnded,
        EventKind::Boot,
        EventKind::PowerOff,
        EventKind::AluaState,
        EventKind::LuAccess,
        EventKind::Connect,
        EventKind::Connected,
        EventKind::Disconnected,
        EventKind::Sent,
        EventKind::Received,
        EventKind::SessionOpened,
        EventKind::SessionClosed,
        EventKind::Command,
        EventKind::CommandDone,
        EventKind::Management,
        EventKind::ManagementDone,
        EventKind::Aborted,
        EventKind::TimedOut,
        EventKind::Fault,
        EventKind::Step,
        EventKind::Call,
        EventKind::CallDone,
        EventKind::Unreferenced,
        EventKind::Lost,
        EventKind::PortAdded,
        EventKind::PortRemoved,
        EventKind::LuOperation,
        EventKind::Choices,
        EventKind::Operation,
    ];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<EventKind> {
        EventKind::ALL.get(usize::from(number)).copied()
    }

    /// The number in files.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name, for filters and listings: lower case, words joined by hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Upcall => "upcall",
            EventKind::UpcallDone => "upcall-done",
            EventKind::Post => "post",
            EventKind::PostDone => "post-done",
            EventKind::KernelLog => "kernel-log",
            EventKind::Panic => "panic",
            EventKind::RelayLog => "relay-log",
            EventKind::RelayStarted => "relay-started",
            EventKind::RelayEnded => "relay-ended",
            EventKind::Boot => "boot",
            EventKind::PowerOff => "power-off",
            EventKind::AluaState => "alua-state",
            EventKind::LuAccess => "lu-access",
            EventKind::Connect => "connect",
            EventKind::Connected => "connected",
            EventKind::Disconnected => "disconnected",
            EventKind::Sent => "sent",
            EventKind::Received => "received",
            EventKind::SessionOpened => "session-opened",
            EventKind::SessionClosed => "session-closed",
            EventKind::Command => "command",
            EventKind::CommandDone => "command-done",
            EventKind::Management => "management",
            EventKind::ManagementDone => "management-done",
            EventKind::Aborted => "aborted",
            EventKind::TimedOut => "timed-out",
            EventKind::Fault => "fault",
            EventKind::Step => "step",
            EventKind::Call => "call",
            EventKind::CallDone => "call-done",
            EventKind::Unreferenced => "unreferenced",
            EventKind::Lost => "lost",
            EventKind::PortAdded => "port-added",
            EventKind::PortRemoved => "port-removed",
            EventKind::LuOperation => "lu-operation",
            EventKind::Choices => "choices",
            EventKind::Operation => "operation",
        }
    }

    /// Where events of this kind are recorded.
    pub const fn channel(self) -> Channel {
        match self {
            EventKind::Upcall | EventKind::UpcallDone => Channel::Upcall,
            EventKind::Post | EventKind::PostDone => Channel::Post,
            EventKind::Received => Channel::PeerIn,
            EventKind::Sent => Channel::PeerOut,
            _ => Channel::Events,
        }
    }
}

/// An interface of a trace file: what a node's events are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The kernel calls the door.
    Upcall,
    /// A message is posted to the kernel.
    Post,
    /// Bytes from the peer.
    PeerIn,
    /// Bytes to the peer.
    PeerOut,
    /// Everything else.
    Events,
}

impl Channel {
    /// All of them, in the order in which a file describes them.
    pub const ALL: [Channel; 5] = [
        Channel::Upcall,
        Channel::Post,
        Channel::PeerIn,
        Channel::PeerOut,
        Channel::Events,
    ];

    /// The name, as in "node 0 peer link in".
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Upcall => "upcall",
            Channel::Post => "post",
            Channel::PeerIn => "peer link in",
            Channel::PeerOut => "peer link out",
            Channel::Events => "events",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_numbers_agree() {
        for number in 0..=u8::MAX {
            match EventKind::from_number(number) {
                Some(kind) => assert_eq!(kind.number(), number),
                None => assert!(usize::from(number) >= EventKind::ALL.len()),
            }
        }
        let mut names: Vec<_> = EventKind::ALL.map(EventKind::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventKind::ALL.len());
    }
}
