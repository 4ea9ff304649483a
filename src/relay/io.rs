// SPDX-License-Identifier: MPL-2.0
//! What goes into the relay and what comes out of it.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

use super::event::Event;
use super::subject::Lane;
use crate::link::{
    BootIdentity, BreakReason, ConnectionId, Frame, HandleIdentity, Node, TransportEnd,
};

/// One upcall, named by the driver. In use from [`Input::Upcall`] to [`Action::AnswerUpcall`],
/// which comes out of the very same [`handle`](super::Relay::handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One post, named by the relay. Numbers grow in the order in which messages arrived from the
/// peer and are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostId(pub u64);

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "post {}", self.0)
    }
}

/// How a call of the door API failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("status {status:#06x}, errno {errno}")]
pub struct CallFailure {
    /// The libstmf return code, as 0x8026 for STMF_ERROR_DOOR_INSTALLED.
    pub status: u32,
    /// The errno behind it, 0 if there was none.
    pub errno: i32,
}

/// An open proxy door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedDoor {
    /// The boot of this node's kernel.
    pub boot: BootIdentity,
    /// Fresh with each opening.
    pub handle: HandleIdentity,
}

/// How a connection attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFailure {
    /// The peer's host answered that nobody listens.
    #[error("refused")]
    Refused,
    /// Anything else.
    #[error("errno {0}")]
    Errno(i32),
    /// Nothing was heard within the connect time-out (the relay found out by itself).
    #[error("no answer in time")]
    TimedOut,
}

/// What the driver tells the relay.
///
/// Any sequence of inputs is survived; one that makes no sense is answered with
/// [`Event::Misuse`]. An input about a connection that the relay has given up is no misuse and
/// changes nothing.
#[derive(Clone, Debug)]
pub enum Input {
    /// Begin. The driver has created the door and serves it.
    Start,
    /// End in order. May come at any time; [`Action::Stopped`] follows.
    Stop,
    /// The kernel called the door. Upcalls must be handed in in the order in which they should
    /// arrive at the peer, from one lock or one thread.
    Upcall {
        /// The driver's name for it.
        call: CallId,
        /// The message, copied once from the door's argument.
        message: Bytes,
    },
    /// A post returned.
    PostFinished {
        /// Which.
        post: PostId,
        /// Its result.
        result: Result<(), CallFailure>,
    },
    /// [`Action::OpenProxyDoor`] is done.
    ProxyDoorOpened(Result<OpenedDoor, CallFailure>),
    /// [`Action::CloseProxyDoor`] is done. Every upcall that the kernel began before the close
    /// returned must have been handed in before this.
    ProxyDoorClosed,
    /// [`Action::SetAlua`] is done.
    AluaSet(Result<(), CallFailure>),
    /// A connection stands: the one asked for with [`Action::Connect`], or one that was accepted.
    Connected {
        /// The driver's name for it, never used before.
        connection: ConnectionId,
        /// The peer's address, for the log.
        address: Option<SocketAddr>,
    },
    /// [`Action::Connect`] failed.
    ConnectFailed(ConnectFailure),
    /// [`Action::Listen`] failed, with this errno. It is tried again.
    ListenFailed(i32),
    /// Bytes from the peer, in the order sent, in any pieces.
    Received {
        /// On which connection.
        connection: ConnectionId,
        /// The bytes. The relay may keep slices of them.
        bytes: Bytes,
    },
    /// The transport took bytes over, in the order of the [`Action::Send`]s.
    Sent {
        /// On which connection.
        connection: ConnectionId,
        /// How many more bytes than reported before.
        bytes: usize,
    },
    /// The transport ended. The driver has dropped what was unsent.
    Disconnected {
        /// Which connection.
        connection: ConnectionId,
        /// How.
        end: TransportEnd,
    },
    /// The kernel let go of the door (the unref invocation). Only logged.
    DoorUnreferenced,
    /// The time that [`next_timer`](super::Relay::next_timer) said has come. Early or late or
    /// needless ones do no harm.
    Timer,
}

/// What the relay wants done. The driver carries actions out in the order in which they come,
/// the blocking ones ([`OpenProxyDoor`](Action::OpenProxyDoor),
/// [`CloseProxyDoor`](Action::CloseProxyDoor), [`SetAlua`](Action::SetAlua),
/// [`Post`](Action::Post)) each in a thread that may wait while everything else goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Install the door (stmfInitProxyDoor); answer with [`Input::ProxyDoorOpened`].
    OpenProxyDoor,
    /// Close the handle (stmfDestroyProxyDoor); answer with [`Input::ProxyDoorClosed`]. No post is
    /// in progress; upcalls may still come and are answered.
    CloseProxyDoor,
    /// Revoke the door. The handle is closed; nothing comes from the kernel any more.
    RevokeDoor,
    /// Set the ALUA state (stmfSetAluaState); answer with [`Input::AluaSet`]. Upcalls come while it
    /// is in progress and must be handed in.
    SetAlua {
        /// Always true so far: the relay never turns ALUA off.
        enabled: bool,
        /// The node number to set.
        node: Node,
    },
    /// Give a message to the kernel (stmfPostProxyMsg); answer with [`Input::PostFinished`]. Posts
    /// that stand side by side may run in any order.
    Post {
        /// The relay's name for it.
        post: PostId,
        /// What the message is about: why it may run beside the others.
        lane: Lane,
        /// The message, as the peer's kernel made it.
        message: Bytes,
    },
    /// Return from the door call with this result: 0, or an errno of illumos.
    AnswerUpcall {
        /// Which.
        call: CallId,
        /// The result.
        result: u32,
    },
    /// Connect to the peer; answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect,
    /// Give up the connection attempt in progress. No answer is wanted.
    AbandonConnect,
    /// Listen and accept until [`Action::Stopped`]; each accepted connection is an
    /// [`Input::Connected`].
    Listen,
    /// Send these bytes after all earlier ones of the connection.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The bytes in two parts (see [`Frame`]).
        frame: Frame,
    },
    /// End this connection. Nothing that is still received on it is wanted.
    Disconnect {
        /// Which.
        connection: ConnectionId,
        /// True: send first what was handed over (a goodbye stands last), for as long as the
        /// driver has patience, and close so that the peer can read it (shut down sending, read
        /// until it closes). False: drop it.
        flush: bool,
        /// Why.
        reason: BreakReason,
    },
    /// Something happened that a person may want to know.
    Log(Event),
    /// The relay has ended: nothing follows but answers to upcalls and refusals of connections that
    /// still come, and log lines.
    Stopped(StopCause),
}

/// Why the relay ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopCause {
    /// It was told to.
    #[error("stopped as told")]
    Asked,
    /// The proxy door could not be opened when the relay started.
    #[error("the proxy door could not be opened ({0})")]
    DoorNotOpened(CallFailure),
    /// The demo link ended, and reconnecting is not configured.
    #[error("the demo link ended ({0})")]
    DemoLinkEnded(BreakReason),
    /// The demo link could not be made, for another reason than being refused.
    #[error("the demo link could not be made ({0})")]
    DemoLinkNotMade(ConnectFailure),
}

/// Why an upcall is answered with something else than 0: the message is lost, and the kernel
/// says so in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpcallRefusal {
    /// No link stands.
    LinkDown,
    /// The send queue is full; the link is given up.
    SendQueueFull,
    /// The message is longer than this relay or the peer accepts.
    TooLong,
    /// The message is empty.
    Empty,
    /// The relay is stopping or has stopped.
    Stopping,
}

impl UpcallRefusal {
    /// The errno of illumos that the kernel gets and logs.
    pub const fn errno(self) -> u32 {
        match self {
            UpcallRefusal::Empty => 22,          // EINVAL
            UpcallRefusal::TooLong => 97,        // EMSGSIZE
            UpcallRefusal::SendQueueFull => 132, // ENOBUFS
            UpcallRefusal::LinkDown => 134,      // ENOTCONN
            UpcallRefusal::Stopping => 143,      // ESHUTDOWN
        }
    }
}
