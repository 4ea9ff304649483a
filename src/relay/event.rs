// SPDX-License-Identifier: MPL-2.0
//! What the relay tells a person: one typed event for each change, with one clear line each.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::io::{CallFailure, ConnectFailure, PostId, StopCause, UpcallRefusal};
use crate::link::error::Seconds;
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

impl fmt::Display for DoorCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DoorCall::Open => "opening the proxy door",
            DoorCall::Close => "closing the proxy door handle",
            DoorCall::SetAlua => "enabling ALUA",
        })
    }
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the Display line of each variant says what it and its fields are"
)]
pub enum Event {
    Started {
        node: Node,
        role: Role,
        link: &'static str,
    },
    DoorOpened {
        boot: BootIdentity,
        handle: HandleIdentity,
    },
    DoorNotOpened {
        failure: CallFailure,
        retry_in: Option<Duration>,
    },
    DoorClosing {
        reason: CloseReason,
        posts_in_flight: usize,
    },
    DoorClosed,
    DoorUnreferenced,
    DoorRevoked,
    Connecting {
        attempt: u64,
    },
    NotConnected {
        failure: ConnectFailure,
        retry_in: Duration,
    },
    Listening,
    NotListening {
        errno: i32,
        retry_in: Duration,
    },
    Connected {
        connection: ConnectionId,
        address: Option<SocketAddr>,
    },
    HandshakeFailed {
        connection: ConnectionId,
        reason: BreakReason,
    },
    PeerGreeted {
        connection: ConnectionId,
        host: String,
        node: Option<Node>,
        boot: Option<BootIdentity>,
    },
    PeerRelayRestarted {
        old: HandleIdentity,
        new: HandleIdentity,
    },
    LinkUp {
        connection: ConnectionId,
        host: String,
        peer: Node,
        version: Option<u16>,
    },
    LinkDown {
        connection: ConnectionId,
        reason: BreakReason,
        unconfirmed: u64,
        discarded: u64,
        lasted: Duration,
    },
    Reconnecting {
        retry_in: Duration,
    },
    AluaSetting {
        node: Node,
    },
    AluaSet {
        node: Node,
    },
    AluaNotSet {
        failure: CallFailure,
    },
    UpcallsRefused {
        refusal: UpcallRefusal,
    },
    UpcallsRefusedWhileDown {
        count: u64,
    },
    UpcallTooLong {
        length: usize,
        bound: usize,
    },
    UpcallEmpty,
    MessagesDiscarded {
        count: u64,
    },
    PostFailed {
        post: PostId,
        failure: CallFailure,
    },
    PostSlow {
        post: PostId,
        since: Duration,
    },
    DoorSlow {
        call: DoorCall,
        since: Duration,
    },
    Stopping {
        cause: StopCause,
        posts_in_flight: usize,
    },
    Stopped,
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

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::PeerRebooted { old, new } => write!(
                f,
                "peer rebooted (boot {old} -> {new}): closing the proxy door handle and opening it again"
            ),
            CloseReason::PeerUnknown => f.write_str(
                "the peer may have rebooted (the demo link does not tell): closing the proxy door \
                 handle and opening it again",
            ),
            CloseReason::NoLink(after) => write!(
                f,
                "no link for {}: closing the proxy door handle until the peer is back",
                Seconds(*after)
            ),
            CloseReason::Stopping => f.write_str("stopping: closing the proxy door handle"),
        }
    }
}

/// `1 post`, `2 posts`.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}{}",
            self.0,
            self.1,
            if self.0 == 1 { "" } else { "s" }
        )
    }
}

fn posts(count: usize) -> Count {
    Count(count as u64, "post")
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { node, role, link } => {
                write!(f, "relay of {node} starts, {role}, on the {link} link")
            }
            Event::DoorOpened { boot, handle } => {
                write!(f, "proxy door open (handle {handle}, boot {boot})")
            }
            Event::DoorNotOpened { failure, retry_in } => {
                write!(f, "proxy door not opened: {failure}")?;
                match retry_in {
                    Some(delay) => write!(f, "; next attempt in {}", Seconds(*delay)),
                    None => Ok(()),
                }
            }
            Event::DoorClosing {
                reason,
                posts_in_flight: 0,
            } => write!(f, "{reason}"),
            Event::DoorClosing {
                reason,
                posts_in_flight,
            } => {
                write!(
                    f,
                    "{reason}, once {} in progress finished",
                    posts(*posts_in_flight)
                )
            }
            Event::DoorClosed => f.write_str("proxy door handle closed"),
            Event::DoorUnreferenced => f.write_str("the kernel let go of the door"),
            Event::DoorRevoked => f.write_str("door revoked"),
            Event::Connecting { attempt } => {
                write!(f, "connecting to the peer (attempt {attempt})")
            }
            Event::NotConnected { failure, retry_in } => {
                write!(
                    f,
                    "not connected: {failure}; next attempt in {}",
                    Seconds(*retry_in)
                )
            }
            Event::Listening => f.write_str("listening for the peer"),
            Event::NotListening { errno, retry_in } => {
                write!(
                    f,
                    "not listening: errno {errno}; next attempt in {}",
                    Seconds(*retry_in)
                )
            }
            Event::Connected {
                connection,
                address: Some(address),
            } => {
                write!(f, "{connection} stands ({address}), greeting the peer")
            }
            Event::Connected {
                connection,
                address: None,
            } => {
                write!(f, "{connection} stands, greeting the peer")
            }
            Event::HandshakeFailed { connection, reason } => {
                write!(f, "{connection} given up before a link stood: {reason}")
            }
            Event::PeerGreeted {
                connection,
                host,
                node,
                boot,
            } => {
                write!(
                    f,
                    "{connection}: greeting from host \"{}\"",
                    host.escape_default()
                )?;
                if let Some(node) = node {
                    write!(f, ", {node}")?;
                }
                match boot {
                    Some(boot) => write!(f, ", boot {boot}"),
                    None => Ok(()),
                }
            }
            Event::PeerRelayRestarted { old, new } => write!(
                f,
                "the peer opened its proxy door anew (handle {old} -> {new}), same boot: what this \
                 node had registered there is gone and is registered again"
            ),
            Event::LinkUp {
                connection,
                host,
                peer,
                version,
            } => {
                write!(
                    f,
                    "link up on {connection} to {peer} (host \"{}\"",
                    host.escape_default()
                )?;
                match version {
                    Some(version) => write!(f, ", version {version})"),
                    None => f.write_str(", demo link)"),
                }
            }
            Event::LinkDown {
                connection,
                reason,
                unconfirmed,
                discarded,
                lasted,
            } => {
                write!(
                    f,
                    "link down on {connection} after {}: {reason}",
                    Seconds(*lasted)
                )?;
                if *unconfirmed > 0 {
                    write!(f, "; up to {} of ours lost", Count(*unconfirmed, "message"))?;
                }
                if *discarded > 0 {
                    write!(
                        f,
                        "; {} of the peer discarded unposted",
                        Count(*discarded, "message")
                    )?;
                }
                Ok(())
            }
            Event::Reconnecting { retry_in } => {
                write!(f, "connecting again in {}", Seconds(*retry_in))
            }
            Event::AluaSetting { node } => write!(f, "enabling ALUA as {node}"),
            Event::AluaSet { node } => write!(f, "ALUA enabled as {node}, posting begins"),
            Event::AluaNotSet { failure } => {
                write!(f, "ALUA not enabled: {failure}; nothing is posted")
            }
            Event::UpcallsRefused { refusal } => {
                let errno = refusal.errno();
                let why = match refusal {
                    UpcallRefusal::LinkDown => "no link stands",
                    UpcallRefusal::SendQueueFull => "the send queue is full",
                    UpcallRefusal::TooLong => "the message is too long",
                    UpcallRefusal::Empty => "the message is empty",
                    UpcallRefusal::Stopping => "the relay is stopping",
                };
                write!(
                    f,
                    "a message of the kernel is refused and lost, and so are those that follow \
                     ({why}, errno {errno})"
                )
            }
            Event::UpcallsRefusedWhileDown { count } => {
                write!(
                    f,
                    "{} of the kernel lost while no link stood",
                    Count(*count, "message")
                )
            }
            Event::UpcallTooLong { length, bound } => write!(
                f,
                "a message of {length} bytes is refused and lost: {bound} allowed, the smaller \
                 of max_message here and at the peer"
            ),
            Event::UpcallEmpty => f.write_str("an empty message of the kernel is refused"),
            Event::MessagesDiscarded { count } => {
                write!(
                    f,
                    "{} of the peer discarded unposted",
                    Count(*count, "message")
                )
            }
            Event::PostFailed { post, failure } => {
                write!(f, "{post} failed, its message is lost: {failure}")
            }
            Event::PostSlow { post, since } => {
                write!(f, "{post} has been in the kernel for {}", Seconds(*since))
            }
            Event::DoorSlow { call, since } => {
                write!(f, "{call} has taken {} so far", Seconds(*since))
            }
            Event::Stopping {
                cause,
                posts_in_flight,
            } => {
                write!(
                    f,
                    "stopping: {cause}; {} in progress",
                    posts(*posts_in_flight)
                )
            }
            Event::Stopped => f.write_str("relay stopped"),
            Event::Misuse(misuse) => write!(f, "mistake in the relay's driver: {misuse}"),
        }
    }
}
