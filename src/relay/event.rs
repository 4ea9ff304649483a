// SPDX-License-Identifier: MPL-2.0
//! What the relay tells a person: one typed event for each change. The lines that they print as
//! stand in `event_text.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use super::io::{CallFailure, ConnectFailure, PostId, StopCause, UpcallRefusal};
use crate::link::{BootIdentity, BreakReason, ConnectionId, HandleIdentity, Node, Refusal, Role};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A change that belongs to normal service.
    Info,
    /// Service suffers, the relay goes on by itself.
    Warning,
    /// Something that a person has to put right.
    Error,
}

/// Why the proxy door handle is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer has booted since its messages were posted through this handle.
    PeerRebooted {
        /// Its boot then.
        old: BootIdentity,
        /// Its boot now.
        new: BootIdentity,
    },
    /// On the demo link nobody says whether the peer has booted, so it must be assumed.
    PeerUnknown,
    /// No link has stood for as long as the policy allows.
    NoLink(Duration),
    /// The peer has greeted, but for so long its own handle has not been ready for us.
    PeerNotReady(Duration),
    /// The relay stops.
    Stopping,
}

/// An input that makes no sense: a mistake of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// Start came a second time, or after Stop.
    #[error("started twice")]
    StartedTwice,
    /// A post finished that is not in progress.
    #[error("{0} finished, which is not in progress")]
    UnknownPost(PostId),
    /// The door opened or failed to open unasked.
    #[error("the proxy door was opened unasked")]
    DoorNotOpening,
    /// The door closed unasked.
    #[error("the proxy door was closed unasked")]
    DoorNotClosing,
    /// The ALUA state was set unasked.
    #[error("the ALUA state was set unasked")]
    AluaNotSetting,
    /// A number was used for two connections.
    #[error("{0} was used before")]
    ConnectionTwice(ConnectionId),
    /// More bytes were sent than were handed over.
    #[error("{connection}: {reported} bytes reported as sent, {waiting} were waiting")]
    SentTooMuch {
        /// Which connection.
        connection: ConnectionId,
        /// Bytes reported.
        reported: usize,
        /// Bytes that waited.
        waiting: usize,
    },
    /// A listen failed that was not asked for.
    #[error("listening failed unasked")]
    NotListening,
}

/// A call of the door API that may take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorCall {
    /// Opening the proxy door.
    Open,
    /// Closing its handle.
    Close,
    /// Setting the ALUA state.
    SetAlua,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the Display line of each variant says what it and its fields are"
)]
pub enum Event {
    /// The relay was started.
    Started {
        node: Node,
        role: Role,
        link: &'static str,
    },
    /// The proxy door is open.
    DoorOpened {
        boot: BootIdentity,
        handle: HandleIdentity,
    },
    /// Opening the proxy door failed.
    DoorNotOpened {
        failure: CallFailure,
        retry_in: Option<Duration>,
    },
    /// The handle is to be closed; no post begins from here on.
    DoorClosing {
        reason: CloseReason,
        posts_in_flight: usize,
    },
    /// The handle is closed.
    DoorClosed,
    /// The kernel has no reference to the door any more.
    DoorUnreferenced,
    /// The door is being revoked.
    DoorRevoked,
    /// A connection attempt begins.
    Connecting { attempt: u64 },
    /// A connection attempt failed.
    NotConnected {
        failure: ConnectFailure,
        retry_in: Duration,
    },
    /// Connections are accepted.
    Listening,
    /// Listening failed.
    NotListening { errno: i32, retry_in: Duration },
    /// A transport connection stands.
    Connected {
        connection: ConnectionId,
        address: Option<SocketAddr>,
    },
    /// A connection was given up before it was a link.
    HandshakeFailed {
        connection: ConnectionId,
        reason: BreakReason,
    },
    /// The greeting of the peer was accepted. Node and boot are known on the default link.
    PeerGreeted {
        connection: ConnectionId,
        host: String,
        node: Option<Node>,
        boot: Option<BootIdentity>,
    },
    /// The peer has another proxy door handle than on the link before.
    PeerRelayRestarted {
        old: HandleIdentity,
        new: HandleIdentity,
    },
    /// A link stands: upcalls are accepted. No version on the demo link.
    LinkUp {
        connection: ConnectionId,
        host: String,
        peer: Node,
        version: Option<u16>,
    },
    /// The link ended. `unconfirmed` is the most messages of ours that are lost with it, `discarded` those of the peer.
    LinkDown {
        connection: ConnectionId,
        reason: BreakReason,
        unconfirmed: u64,
        discarded: u64,
        lasted: Duration,
    },
    /// When the next attempt comes.
    Reconnecting { retry_in: Duration },
    /// ALUA is being enabled.
    AluaSetting { node: Node },
    /// ALUA is enabled.
    AluaSet { node: Node },
    /// ALUA could not be enabled.
    AluaNotSet { failure: CallFailure },
    /// The first upcall refused since a link last stood; the others are only counted.
    UpcallsRefused { refusal: UpcallRefusal },
    /// How many were refused, said when a link stands again.
    UpcallsRefusedWhileDown { count: u64 },
    /// A message of the kernel is longer than both relays accept.
    UpcallTooLong { length: usize, bound: usize },
    /// The kernel sent no bytes.
    UpcallEmpty,
    /// Messages of the peer were dropped apart from the end of a link.
    MessagesDiscarded { count: u64 },
    /// A post returned an error.
    PostFailed { post: PostId, failure: CallFailure },
    /// A post has not returned for longer than the patience.
    PostSlow { post: PostId, since: Duration },
    /// A call of the door API has not returned for longer than the patience.
    DoorSlow { call: DoorCall, since: Duration },
    /// The relay begins to end.
    Stopping {
        cause: StopCause,
        posts_in_flight: usize,
    },
    /// The relay has ended.
    Stopped,
    /// The driver did something that makes no sense.
    Misuse(Misuse),
}

impl Event {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Event::HandshakeFailed {
                reason: BreakReason::Refused(refusal),
                ..
            } => match refusal {
                Refusal::OutOfDate { .. } => Severity::Info,
                _ => Severity::Error,
            },
            Event::DoorNotOpened { .. }
            | Event::AluaNotSet { .. }
            | Event::UpcallTooLong { .. }
            | Event::Misuse(_) => Severity::Error,
            Event::DoorClosing {
                reason: CloseReason::Stopping,
                ..
            }
            | Event::LinkDown {
                reason: BreakReason::Stopping,
                ..
            } => Severity::Info,
            Event::DoorClosing { .. }
            | Event::NotConnected { .. }
            | Event::NotListening { .. }
            | Event::HandshakeFailed { .. }
            | Event::PeerRelayRestarted { .. }
            | Event::LinkDown { .. }
            | Event::UpcallsRefused { .. }
            | Event::UpcallsRefusedWhileDown { .. }
            | Event::UpcallEmpty
            | Event::MessagesDiscarded { .. }
            | Event::PostFailed { .. }
            | Event::PostSlow { .. }
            | Event::DoorSlow { .. } => Severity::Warning,
            Event::Stopping { cause, .. } if *cause != StopCause::Asked => Severity::Error,
            _ => Severity::Info,
        }
    }
}
