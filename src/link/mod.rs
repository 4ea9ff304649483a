// SPDX-License-Identifier: MPL-2.0
//! The peer link: how two relays talk to each other, as pure state machines.
//!
//! Two protocols run over one ordered byte stream (TCP, or TLS over it; the driver's business):
//!
//! * the *default link* ([`frame`], [`greeting`]), laid out byte by byte in `docs/link.md`;
//! * the *demo link* ([`demo`]), which the relay daemon shipped as COMSTAR's demonstration speaks.
//!
//! Invariants: nothing here reads a clock, a socket or a random device; no bytes from the peer
//! make it panic or allocate more than the configured bound; what belongs to one connection is
//! never taken for something of another. This module knows nothing of doors, posts or lanes:
//! a message is bytes.

pub(crate) mod backoff;
pub(crate) mod connection;
pub mod demo;
pub mod error;
pub mod frame;
pub mod greeting;
mod ledger;
pub(crate) mod splitter;

use std::fmt;
use std::time::Duration;

pub use error::{BreakReason, GoodbyeReason, LinkError, Refusal, TransportEnd};
pub use frame::Frame;
pub use greeting::{Greeting, Welcome};

/// One transport connection, named by the driver. The driver never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// Identity of one boot of one kernel: a number that no other boot of any node has, for
/// instance a random one kept where a reboot clears it. Printed in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootIdentity(pub u128);

impl fmt::Display for BootIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Identity of one open proxy door handle: fresh each time the door is opened. Never zero;
/// zero on the wire means that no handle is open. Printed in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandleIdentity(pub u128);

impl fmt::Display for HandleIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The ALUA node number of a relay's node; stmf knows only these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// Node 0; on the demo link the node that connects.
    Zero,
    /// Node 1; on the demo link the node that listens.
    One,
}

impl Node {
    /// The number that stmf takes: 0 or 1.
    pub const fn number(self) -> u32 {
        match self {
            Node::Zero => 0,
            Node::One => 1,
        }
    }

    /// The other node of the pair.
    pub const fn peer(self) -> Node {
        match self {
            Node::Zero => Node::One,
            Node::One => Node::Zero,
        }
    }

    /// The node with this number; `None` for anything but 0 and 1.
    pub const fn from_number(number: u32) -> Option<Node> {
        match number {
            0 => Some(Node::Zero),
            1 => Some(Node::One),
            _ => None,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.number())
    }
}

/// Which end of the transport a relay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It waits for the peer to connect.
    Listen,
    /// It connects to the peer, again and again until it succeeds.
    Connect,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Listen => "listening",
            Role::Connect => "connecting",
        })
    }
}

/// Longest keepalive interval, of this relay and believed of a peer.
pub const KEEPALIVE_LONGEST: Duration = Duration::from_secs(1000);

/// The times of the link. Both links use them, but for what is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTimes {
    /// How long a connection attempt may take. Default 10 s, at least 1 ms.
    pub connect_timeout: Duration,
    /// How long the peer's greeting may take once connected. Default 10 s, at least 1 ms.
    pub greeting_timeout: Duration,
    /// How often a keepalive is sent, whatever else is. Default 2 s, 1 ms to
    /// [`KEEPALIVE_LONGEST`].
    /// Default link only: the demo link has no keepalive.
    pub keepalive_interval: Duration,
    /// With nothing heard from the peer, or no byte of ours confirmed, for so long, the link
    /// is taken for dead. Default 10 s, at least twice the keepalive interval. The demo link
    /// can only see that its own bytes are not taken.
    pub dead_peer_time: Duration,
    /// First delay before connecting again; doubles with each attempt. Default 250 ms, at least
    /// 1 ms. The delay drawn lies between half of it and the whole. (The demo link has its
    /// fixed [`demo::RETRY`].)
    pub backoff_first: Duration,
    /// The delay never grows past this. Default 30 s, at least `backoff_first`.
    pub backoff_max: Duration,
    /// A link that lived for so long starts the back-off from the beginning again. Default 10 s.
    pub stable_after: Duration,
}

impl Default for LinkTimes {
    fn default() -> LinkTimes {
        LinkTimes {
            connect_timeout: Duration::from_secs(10),
            greeting_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(2),
            dead_peer_time: Duration::from_secs(10),
            backoff_first: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
        }
    }
}
