// SPDX-License-Identifier: MPL-2.0
//! The demo link: what the relay daemon that shipped with COMSTAR as demonstration code speaks.
//!
//! One TCP connection, port [`PORT`]. Each frame is a big-endian u32 length and that many bytes.
//! The first frame each way is the sender's host name with a NUL behind it; it is read and, but
//! for the log, thrown away. Every later frame is one message for the kernel. The node whose host
//! name is the configured one listens and takes ALUA node 1, the other connects and takes node 0.
//!
//! The wire and the roles are exactly that. What this relay does better on its own side: lengths
//! are bounded before anything is allocated, a silent peer does not get to greet for ever, and
//! the end of the link is reported with its reason.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::error::LinkError;
use super::{Node, Role};

/// The TCP port of the field's daemon.
pub const PORT: u16 = 6543;

/// How long the connecting node waits after each refused attempt.
pub const RETRY: Duration = Duration::from_secs(2);

/// Longest greeting that is accepted, in bytes. A host name has at most 255 and a NUL.
pub const GREETING_MAX: u32 = 4096;

/// Settings of the demo link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoConfig {
    /// Name of this host.
    pub host: String,
    /// Name of the host that listens; both nodes have the same one configured.
    pub listening_host: String,
    /// What to do when the link ends or goes wrong: false, as the field's daemon, end the relay;
    /// true, make the link again. The proxy door handle is then always closed and opened
    /// between, because this link does not tell whether the peer has booted.
    pub reconnect: bool,
}

impl DemoConfig {
    /// The role that follows from the names.
    pub fn role(&self) -> Role {
        if self.host == self.listening_host {
            Role::Listen
        } else {
            Role::Connect
        }
    }

    /// The node number that follows from the names.
    pub fn node(&self) -> Node {
        match self.role() {
            Role::Listen => Node::One,
            Role::Connect => Node::Zero,
        }
    }
}

/// The payload of the greeting: the host name with its NUL.
pub fn greeting(host: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(host.len() + 1);
    out.put_slice(host.as_bytes());
    out.put_u8(0);
    out.freeze()
}

/// What the log says of a peer's greeting: its bytes up to the first NUL, what is not UTF-8
/// replaced.
pub fn greeted_host(payload: &[u8]) -> String {
    let end = payload
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// Checks a frame's length. `sequence` 0 is the greeting, which alone may be empty.
pub fn check_length(length: u32, sequence: u64, max_message: u32) -> Result<(), LinkError> {
    let bound = if sequence == 0 {
        GREETING_MAX
    } else {
        max_message
    };
    if length > bound {
        Err(LinkError::TooLong {
            sequence,
            length,
            bound,
        })
    } else if length == 0 && sequence > 0 {
        Err(LinkError::EmptyMessage { sequence })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Frame;

    #[test]
    fn names_decide_role_and_node() {
        let listening = DemoConfig {
            host: "head1".to_owned(),
            listening_host: "head1".to_owned(),
            reconnect: false,
        };
        assert_eq!(
            (listening.role(), listening.node()),
            (Role::Listen, Node::One)
        );
        let connecting = DemoConfig {
            host: "head0".to_owned(),
            ..listening
        };
        assert_eq!(
            (connecting.role(), connecting.node()),
            (Role::Connect, Node::Zero)
        );
    }

    #[test]
    fn frames_are_length_and_bytes() {
        assert_eq!(
            Frame::demo(greeting("head1")).to_vec(),
            b"\0\0\0\x06head1\0"
        );
        assert_eq!(greeted_host(b"head1\0rest"), "head1");
        assert_eq!(greeted_host(b"no end"), "no end");
    }

    #[test]
    fn lengths_are_bounded_at_their_edges() {
        assert_eq!(check_length(0, 0, 100), Ok(()));
        assert_eq!(check_length(GREETING_MAX, 0, 100), Ok(()));
        assert!(check_length(GREETING_MAX + 1, 0, u32::MAX).is_err());
        assert_eq!(check_length(100, 1, 100), Ok(()));
        assert_eq!(
            check_length(101, 1, 100),
            Err(LinkError::TooLong {
                sequence: 1,
                length: 101,
                bound: 100
            })
        );
        assert_eq!(
            check_length(0, 1, 100),
            Err(LinkError::EmptyMessage { sequence: 1 })
        );
    }
}
