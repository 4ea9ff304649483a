// SPDX-License-Identifier: MPL-2.0
//! Greeting and welcome of the default link: who the relays are, and whether they fit.
//!
//! Both relays greet as soon as the transport stands. Each compares the peer's greeting with its
//! own ([`agree`]); only if all fits, and its own kernel is ready for this peer's messages, does
//! it send its welcome. A link stands where a welcome was both sent and received.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::{LinkError, Refusal};
use super::{BootIdentity, HandleIdentity, Node};

/// Lowest version of the link that is spoken here.
pub const VERSION_LOW: u16 = 1;
/// Highest version of the link that is spoken here.
pub const VERSION_HIGH: u16 = 1;

/// Longest pair or host name in bytes.
pub const NAME_MAX: usize = 255;
/// Bytes of a greeting before the names.
pub const GREETING_FIXED: usize = 80;
/// Longest greeting payload. Longer than version 1 needs: a later version may add fields behind
/// the names, which an older receiver skips.
pub const GREETING_MAX: usize = 1024;
/// Bytes of a version 1 welcome.
pub const WELCOME_FIXED: usize = 24;
/// Longest welcome payload, with room for a later version.
pub const WELCOME_MAX: usize = 256;

/// Who a relay says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Lowest version that it speaks.
    pub version_low: u16,
    /// Highest version that it speaks.
    pub version_high: u16,
    /// Number of its node.
    pub node: Node,
    /// Longest message in bytes that it accepts.
    pub max_message: u32,
    /// How often it sends a keepalive, in milliseconds.
    pub keepalive_ms: u32,
    /// Boot of its kernel.
    pub boot: BootIdentity,
    /// Its open proxy door handle, if one is open.
    pub handle: Option<HandleIdentity>,
    /// Number of this connection, drawn by the greeter: every frame to it carries this.
    pub session: u64,
    /// Number drawn once in the life of the relay.
    pub relay: u64,
    /// Number of the connection in the life of the relay, growing.
    pub attempt: u64,
    /// Name of its pair of nodes.
    pub pair: String,
    /// Name of its host.
    pub host: String,
}

/// The sender accepts the greeting and is ready for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version to speak: the highest that both know.
    pub version: u16,
    /// The open proxy door handle into which messages will be posted.
    pub handle: Option<HandleIdentity>,
}

impl Greeting {
    /// The payload of the greeting frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(GREETING_FIXED + self.pair.len() + self.host.len());
        out.put_u16(self.version_low);
        out.put_u16(self.version_high);
        out.put_u8(self.node.number() as u8);
        out.put_u8(0);
        out.put_u8(self.pair.len() as u8);
        out.put_u8(self.host.len() as u8);
        out.put_u32(self.max_message);
        out.put_u32(self.keepalive_ms);
        out.put_u128(self.boot.0);
        out.put_u128(self.handle.map_or(0, |handle| handle.0));
        out.put_u64(self.session);
        out.put_u64(self.relay);
        out.put_u64(self.attempt);
        out.put_u64(0);
        out.put_slice(self.pair.as_bytes());
        out.put_slice(self.host.as_bytes());
        out.freeze()
    }

    /// Reads a greeting of any version.
    pub fn decode(payload: &[u8]) -> Result<Greeting, LinkError> {
        let fields = Fields {
            payload,
            kind: "greeting",
        };
        let node = match fields.byte(4)? {
            0 => Node::Zero,
            1 => Node::One,
            _ => return Err(fields.malformed("node is neither 0 nor 1", 4)),
        };
        let pair_length = usize::from(fields.byte(6)?);
        let host_length = usize::from(fields.byte(7)?);
        let host_at = GREETING_FIXED + pair_length;
        Ok(Greeting {
            version_low: fields.short(0)?,
            version_high: fields.short(2)?,
            node,
            max_message: fields.word(8)?,
            keepalive_ms: fields.word(12)?,
            boot: BootIdentity(fields.identity(16)?),
            handle: Some(fields.identity(32)?)
                .filter(|id| *id != 0)
                .map(HandleIdentity),
            session: fields.long(48)?,
            relay: fields.long(56)?,
            attempt: fields.long(64)?,
            pair: fields.name(GREETING_FIXED, pair_length)?,
            host: fields.name(host_at, host_length)?,
        })
    }
}

impl Welcome {
    /// The payload of the welcome frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(WELCOME_FIXED);
        out.put_u16(self.version);
        out.put_bytes(0, 6);
        out.put_u128(self.handle.map_or(0, |handle| handle.0));
        out.freeze()
    }

    /// Reads a welcome.
    pub fn decode(payload: &[u8]) -> Result<Welcome, LinkError> {
        let fields = Fields {
            payload,
            kind: "welcome",
        };
        Ok(Welcome {
            version: fields.short(0)?,
            handle: Some(fields.identity(8)?)
                .filter(|id| *id != 0)
                .map(HandleIdentity),
        })
    }
}

/// The version that both speak, or why the peer is refused. Both sides find the same, each from
/// the other's greeting.
pub fn agree(ours: &Greeting, theirs: &Greeting) -> Result<u16, Refusal> {
    let version = ours.version_high.min(theirs.version_high);
    if version < ours.version_low || version < theirs.version_low {
        return Err(Refusal::Version {
            theirs_low: theirs.version_low,
            theirs_high: theirs.version_high,
            ours_low: ours.version_low,
            ours_high: ours.version_high,
        });
    }
    if ours.pair != theirs.pair {
        let (theirs, ours) = (theirs.pair.clone(), ours.pair.clone());
        return Err(Refusal::Stranger { theirs, ours });
    }
    if ours.relay == theirs.relay && ours.boot == theirs.boot {
        return Err(Refusal::Itself);
    }
    if ours.node == theirs.node {
        return Err(Refusal::NodeConflict {
            node: ours.node,
            host: theirs.host.clone(),
        });
    }
    Ok(version)
}

/// Bounded reads out of a payload.
pub(crate) struct Fields<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) kind: &'static str,
}

impl Fields<'_> {
    fn malformed(&self, what: &'static str, offset: usize) -> LinkError {
        LinkError::Malformed {
            kind: self.kind,
            what,
            offset,
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], LinkError> {
        self.payload
            .get(at..at + N)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| self.malformed("too short", self.payload.len()))
    }

    fn byte(&self, at: usize) -> Result<u8, LinkError> {
        self.array(at).map(u8::from_be_bytes)
    }

    pub(crate) fn short(&self, at: usize) -> Result<u16, LinkError> {
        self.array(at).map(u16::from_be_bytes)
    }

    fn word(&self, at: usize) -> Result<u32, LinkError> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(crate) fn long(&self, at: usize) -> Result<u64, LinkError> {
        self.array(at).map(u64::from_be_bytes)
    }

    fn identity(&self, at: usize) -> Result<u128, LinkError> {
        self.array(at).map(u128::from_be_bytes)
    }

    fn name(&self, at: usize, length: usize) -> Result<String, LinkError> {
        let bytes = self
            .payload
            .get(at..at + length)
            .ok_or_else(|| self.malformed("too short", self.payload.len()))?;
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(name.to_owned()),
            Err(error) => Err(self.malformed("a name is not UTF-8", at + error.valid_up_to())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn example() -> Greeting {
        Greeting {
            version_low: 1,
            version_high: 1,
            node: Node::One,
            max_message: 64 << 20,
            keepalive_ms: 2000,
            boot: BootIdentity(0x1111_2222_3333_4444_5555_6666_7777_8888),
            handle: Some(HandleIdentity(5)),
            session: 0x0102_0304_0506_0708,
            relay: 0x1112_1314_1516_1718,
            attempt: 3,
            pair: "cluster-a".to_owned(),
            host: "head1".to_owned(),
        }
    }

    fn other() -> Greeting {
        Greeting {
            node: Node::Zero,
            relay: 1,
            boot: BootIdentity(9),
            ..example()
        }
    }

    #[test]
    fn a_greeting_reads_back_and_so_does_each_cut_of_it_give_an_error() {
        let bytes = example().encode();
        assert_eq!(Greeting::decode(&bytes), Ok(example()));
        for length in 0..bytes.len() {
            assert_eq!(
                Greeting::decode(&bytes[..length]),
                Err(LinkError::Malformed {
                    kind: "greeting",
                    what: "too short",
                    offset: length
                })
            );
        }
        let mut longer = bytes.to_vec();
        longer.extend_from_slice(b"fields of a later version");
        assert_eq!(Greeting::decode(&longer), Ok(example()));
    }

    #[test]
    fn the_longest_names_fit() {
        let long = Greeting {
            pair: "p".repeat(NAME_MAX),
            host: "h".repeat(NAME_MAX),
            ..example()
        };
        let bytes = long.encode();
        assert!(bytes.len() <= GREETING_MAX);
        assert_eq!(Greeting::decode(&bytes), Ok(long));
    }

    #[test]
    fn node_and_names_are_checked() {
        let mut bytes = example().encode().to_vec();
        bytes[4] = 2;
        assert!(matches!(
            Greeting::decode(&bytes),
            Err(LinkError::Malformed { offset: 4, .. })
        ));
        bytes[4] = 1;
        bytes[GREETING_FIXED + 1] = 0xff;
        assert!(matches!(
            Greeting::decode(&bytes),
            Err(LinkError::Malformed { offset: 81, .. })
        ));
    }

    #[test]
    fn the_highest_common_version_is_chosen_by_both() {
        let old = Greeting {
            version_high: 3,
            ..example()
        };
        let new = Greeting {
            version_low: 2,
            version_high: 9,
            ..other()
        };
        assert_eq!(agree(&old, &new), Ok(3));
        assert_eq!(agree(&new, &old), Ok(3));
        let newer = Greeting {
            version_low: 4,
            ..new
        };
        assert!(matches!(
            agree(&old, &newer),
            Err(Refusal::Version { theirs_low: 4, .. })
        ));
        assert!(matches!(
            agree(&newer, &old),
            Err(Refusal::Version { ours_low: 4, .. })
        ));
    }

    #[test]
    fn strangers_mirrors_and_equal_nodes_are_refused_by_both() {
        let (ours, theirs) = (example(), other());
        assert_eq!(agree(&ours, &theirs), Ok(1));
        let stranger = Greeting {
            pair: "cluster-b".to_owned(),
            ..theirs.clone()
        };
        assert!(matches!(
            agree(&ours, &stranger),
            Err(Refusal::Stranger { .. })
        ));
        assert!(matches!(
            agree(&stranger, &ours),
            Err(Refusal::Stranger { .. })
        ));
        let twin = Greeting {
            node: ours.node,
            ..theirs
        };
        assert!(matches!(
            agree(&ours, &twin),
            Err(Refusal::NodeConflict {
                node: Node::One,
                ..
            })
        ));
        assert!(matches!(
            agree(&twin, &ours),
            Err(Refusal::NodeConflict {
                node: Node::One,
                ..
            })
        ));
        assert_eq!(agree(&ours, &ours.clone()), Err(Refusal::Itself));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_greeting_or_an_error(payload in prop::collection::vec(any::<u8>(), 0..700)) {
            if let Ok(greeting) = Greeting::decode(&payload) {
                prop_assert_eq!(Greeting::decode(&greeting.encode()), Ok(greeting));
            }
            let _ = Welcome::decode(&payload);
        }
    }
}
