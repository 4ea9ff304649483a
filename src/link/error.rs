// SPDX-License-Identifier: MPL-2.0
//! What can go wrong on the link, one variant per thing a person can meet.

use std::fmt;
use std::time::Duration;

use super::{ConnectionId, Node};

/// Bytes of the peer that do not follow the protocol. Any of them ends the connection: after
/// one, nothing that follows on that connection can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The connection does not begin with the default link's magic.
    #[error(
        "the peer does not speak this link (first bytes {:08x}); check address, port and link type",
        u32::from_be_bytes(*.0)
    )]
    NotThisLink([u8; 4]),
    /// The first bytes look like a demo link greeting.
    #[error("the peer speaks the demo link; configure the same link on both nodes")]
    DemoLinkPeer,
    /// The checksum over a frame's header is wrong.
    #[error("frame {sequence}: header damaged (checksum {computed:08x}, sent {sent:08x})")]
    HeaderChecksum {
        /// Number of the frame that was expected.
        sequence: u64,
        /// Checksum of what arrived.
        computed: u32,
        /// Checksum that arrived with it.
        sent: u32,
    },
    /// The checksum over a frame's payload is wrong.
    #[error("frame {sequence}: payload damaged (checksum {computed:08x}, sent {sent:08x})")]
    PayloadChecksum {
        /// Number of the frame.
        sequence: u64,
        /// Checksum of what arrived.
        computed: u32,
        /// Checksum that its header holds.
        sent: u32,
    },
    /// No such kind of frame.
    #[error("frame {sequence}: unknown kind {kind}")]
    UnknownKind {
        /// Number of the frame.
        sequence: u64,
        /// The kind byte.
        kind: u8,
    },
    /// The three reserved header bytes are not zero.
    #[error("frame {sequence}: reserved header bytes are not zero")]
    ReservedNotZero {
        /// Number of the frame.
        sequence: u64,
    },
    /// A frame is longer than allowed; nothing was allocated for it.
    #[error("frame {sequence}: {length} bytes announced, {bound} allowed")]
    TooLong {
        /// Number of the frame.
        sequence: u64,
        /// Announced length in bytes.
        length: u32,
        /// The bound in bytes.
        bound: u32,
    },
    /// A message of no bytes, which no kernel sends.
    #[error("frame {sequence}: empty message")]
    EmptyMessage {
        /// Number of the frame.
        sequence: u64,
    },
    /// The frame belongs to another connection.
    #[error("frame {sequence}: of session {found:016x}, this is {expected:016x}")]
    WrongSession {
        /// Number of the frame.
        sequence: u64,
        /// Session of this connection.
        expected: u64,
        /// Session in the frame.
        found: u64,
    },
    /// A frame was lost, repeated or overtaken.
    #[error("frame {found} where frame {expected} is due")]
    OutOfSequence {
        /// Number due.
        expected: u64,
        /// Number found.
        found: u64,
    },
    /// A frame of this kind may not come now.
    #[error("frame {sequence}: a {kind} may not come {when}")]
    OutOfPlace {
        /// Number of the frame.
        sequence: u64,
        /// The kind, by name.
        kind: &'static str,
        /// The state of the connection, as "before the greeting".
        when: &'static str,
    },
    /// A greeting, welcome, keepalive or goodbye that does not hold what it must.
    #[error("{kind} cannot be read: {what} at byte {offset}")]
    Malformed {
        /// The kind, by name.
        kind: &'static str,
        /// What is wrong.
        what: &'static str,
        /// Offset in the payload.
        offset: usize,
    },
    /// The peer confirms bytes that were never sent to it.
    #[error("the peer confirms {confirmed} bytes, only {sent} were sent")]
    ConfirmedUnsent {
        /// Bytes confirmed.
        confirmed: u64,
        /// Bytes sent on this connection.
        sent: u64,
    },
    /// The peer welcomed with another version than the greetings agree on.
    #[error("the peer chose version {found}, the greetings agree on {expected}")]
    WrongVersion {
        /// Version that follows from both greetings.
        expected: u16,
        /// Version in the peer's welcome.
        found: u16,
    },
}

/// Why a greeting that could be read is not accepted: a mistake in somebody's configuration, or
/// a connection that is out of date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No version in common.
    #[error(
        "no version in common: the peer speaks {theirs_low} to {theirs_high}, this relay \
         {ours_low} to {ours_high}; update the older one"
    )]
    Version {
        /// Lowest version of the peer.
        theirs_low: u16,
        /// Highest version of the peer.
        theirs_high: u16,
        /// Lowest version here.
        ours_low: u16,
        /// Highest version here.
        ours_high: u16,
    },
    /// The peer belongs to another pair of nodes.
    #[error("the peer belongs to pair \"{theirs}\", this relay to \"{ours}\"")]
    Stranger {
        /// Pair name of the peer.
        theirs: String,
        /// Pair name here.
        ours: String,
    },
    /// The relay reached itself.
    #[error("the relay reached itself; check the peer's address")]
    Itself,
    /// Both relays claim the same node number.
    #[error(
        "both relays claim {node} (the other is host \"{host}\"): ALUA stays as it is; \
         configure one of them as {other}", other = node.peer()
    )]
    NodeConflict {
        /// The number that both claim.
        node: Node,
        /// Host name of the peer.
        host: String,
    },
    /// An older connection attempt of the peer that arrives after a newer one.
    #[error("attempt {attempt} of the peer is out of date, attempt {current} is in use")]
    OutOfDate {
        /// Number of this attempt.
        attempt: u64,
        /// Number of the attempt in use.
        current: u64,
    },
}

impl Refusal {
    /// The reason to give the peer.
    pub fn goodbye(&self) -> GoodbyeReason {
        match self {
            Refusal::Version { .. } => GoodbyeReason::Version,
            Refusal::Stranger { .. } => GoodbyeReason::Stranger,
            Refusal::Itself => GoodbyeReason::Itself,
            Refusal::NodeConflict { .. } => GoodbyeReason::NodeConflict,
            Refusal::OutOfDate { .. } => GoodbyeReason::OutOfDate,
        }
    }
}

/// The reason in a goodbye frame (`docs/link.md` lists the numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoodbyeReason {
    /// 1: the relay stops in order. Everything that it sent before counts as delivered.
    Stopping,
    /// 2: no version in common.
    Version,
    /// 3: another pair.
    Stranger,
    /// 4: the relay reached itself.
    Itself,
    /// 5: both relays claim the same node.
    NodeConflict,
    /// 6: an attempt that is out of date.
    OutOfDate,
    /// 7: replaced by a newer connection.
    Superseded,
    /// 8: the queue of messages to be posted is full.
    PostQueueFull,
    /// 9: the peer broke the protocol.
    Protocol,
    /// 10: the ALUA state could not be set.
    AluaFailed,
    /// 11: the greeting took too long.
    TooSlow,
    /// 12: too many connections wait for their greeting.
    TooMany,
    /// Any other number, from a later version.
    Other(u16),
}

impl GoodbyeReason {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            GoodbyeReason::Stopping => 1,
            GoodbyeReason::Version => 2,
            GoodbyeReason::Stranger => 3,
            GoodbyeReason::Itself => 4,
            GoodbyeReason::NodeConflict => 5,
            GoodbyeReason::OutOfDate => 6,
            GoodbyeReason::Superseded => 7,
            GoodbyeReason::PostQueueFull => 8,
            GoodbyeReason::Protocol => 9,
            GoodbyeReason::AluaFailed => 10,
            GoodbyeReason::TooSlow => 11,
            GoodbyeReason::TooMany => 12,
            GoodbyeReason::Other(code) => code,
        }
    }

    /// The reason with this number.
    pub const fn from_code(code: u16) -> GoodbyeReason {
        match code {
            1 => GoodbyeReason::Stopping,
            2 => GoodbyeReason::Version,
            3 => GoodbyeReason::Stranger,
            4 => GoodbyeReason::Itself,
            5 => GoodbyeReason::NodeConflict,
            6 => GoodbyeReason::OutOfDate,
            7 => GoodbyeReason::Superseded,
            8 => GoodbyeReason::PostQueueFull,
            9 => GoodbyeReason::Protocol,
            10 => GoodbyeReason::AluaFailed,
            11 => GoodbyeReason::TooSlow,
            12 => GoodbyeReason::TooMany,
            code => GoodbyeReason::Other(code),
        }
    }
}

impl fmt::Display for GoodbyeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GoodbyeReason::Stopping => "its relay is stopping",
            GoodbyeReason::Version => "no version in common",
            GoodbyeReason::Stranger => "we belong to another pair",
            GoodbyeReason::Itself => "it reached itself",
            GoodbyeReason::NodeConflict => "both relays claim the same node",
            GoodbyeReason::OutOfDate => "this connection attempt is out of date",
            GoodbyeReason::Superseded => "a newer connection took over",
            GoodbyeReason::PostQueueFull => "its queue of messages to be posted is full",
            GoodbyeReason::Protocol => "it found a damaged or misplaced frame",
            GoodbyeReason::AluaFailed => "it could not set its ALUA state",
            GoodbyeReason::TooSlow => "our greeting took too long",
            GoodbyeReason::TooMany => "too many connections wait for their greeting",
            GoodbyeReason::Other(code) => return write!(f, "reason {code}, unknown here"),
        })
    }
}

/// How a transport connection ended, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEnd {
    /// The peer closed it.
    Closed,
    /// The peer reset it.
    Reset,
    /// It failed with this errno.
    Failed(i32),
}

impl fmt::Display for TransportEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportEnd::Closed => f.write_str("the peer closed the connection"),
            TransportEnd::Reset => f.write_str("the connection was reset"),
            TransportEnd::Failed(errno) => write!(f, "the connection failed (errno {errno})"),
        }
    }
}

/// Why a connection was given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakReason {
    /// The peer broke the protocol, or bytes were damaged on the way.
    #[error("{0}")]
    Protocol(#[from] LinkError),
    /// The greetings do not agree.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The transport ended.
    #[error("{0}")]
    Transport(TransportEnd),
    /// The peer said goodbye.
    #[error("the peer said goodbye: {0}")]
    Goodbye(GoodbyeReason),
    /// Nothing was heard from the peer.
    #[error("nothing heard from the peer for {}", Seconds(*.0))]
    DeadPeer(Duration),
    /// The peer hears nothing of what is sent, though it can be heard.
    #[error("the peer confirmed none of the bytes sent to it for {}", Seconds(*.0))]
    NotConfirmed(Duration),
    /// The transport takes no more bytes.
    #[error("the connection took no bytes for {}", Seconds(*.0))]
    SendStalled(Duration),
    /// More is queued for sending than allowed.
    #[error("more than {bound} bytes would wait to be sent; the peer does not read fast enough")]
    SendQueueFull {
        /// The bound in bytes.
        bound: usize,
    },
    /// More messages wait for posting than allowed.
    #[error("more than {bound} messages would wait to be posted; the kernel is slow or stuck")]
    PostQueueCount {
        /// The bound in messages.
        bound: usize,
    },
    /// More bytes wait for posting than allowed.
    #[error("more than {bound} bytes would wait to be posted; the kernel is slow or stuck")]
    PostQueueBytes {
        /// The bound in bytes.
        bound: usize,
    },
    /// No greeting in time.
    #[error("no greeting from the peer within {}", Seconds(*.0))]
    GreetingTimeout(Duration),
    /// A newer connection of the same peer took over.
    #[error("{0} of the same peer took over")]
    Superseded(ConnectionId),
    /// Too many connections wait for their greeting.
    #[error("{0} connections wait for their greeting already")]
    TooMany(usize),
    /// A connection that nobody asked for.
    #[error("nobody asked for this connection")]
    NotExpected,
    /// The ALUA state could not be set, and without that nothing may be posted.
    #[error("the ALUA state could not be set")]
    AluaFailed,
    /// The relay stops.
    #[error("this relay is stopping")]
    Stopping,
}

impl BreakReason {
    /// What to tell the peer, if a goodbye makes sense: not when the transport is gone or the
    /// peer does not read.
    pub fn goodbye(&self) -> Option<GoodbyeReason> {
        match self {
            BreakReason::Protocol(_) => Some(GoodbyeReason::Protocol),
            BreakReason::Refused(refusal) => Some(refusal.goodbye()),
            BreakReason::PostQueueCount { .. } | BreakReason::PostQueueBytes { .. } => {
                Some(GoodbyeReason::PostQueueFull)
            }
            BreakReason::GreetingTimeout(_) => Some(GoodbyeReason::TooSlow),
            BreakReason::Superseded(_) => Some(GoodbyeReason::Superseded),
            BreakReason::TooMany(_) => Some(GoodbyeReason::TooMany),
            BreakReason::AluaFailed => Some(GoodbyeReason::AluaFailed),
            BreakReason::Stopping => Some(GoodbyeReason::Stopping),
            BreakReason::Transport(_)
            | BreakReason::Goodbye(_)
            | BreakReason::DeadPeer(_)
            | BreakReason::NotConfirmed(_)
            | BreakReason::SendStalled(_)
            | BreakReason::SendQueueFull { .. }
            | BreakReason::NotExpected => None,
        }
    }
}

/// A duration in seconds with milliseconds, as `2.500 s`.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0.as_secs(), self.0.subsec_millis())
    }
}
