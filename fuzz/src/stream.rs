// SPDX-License-Identifier: MPL-2.0
//! What a peer sends on either link, right, nearly right or wrong, out of the bytes of the fuzzer.
//!
//! A frame of the default link has checksums that no fuzzer guesses, so it is made of parts, each
//! of which may be off, and sealed; and it may be damaged after that.

use super::input::Input;
use bytes::Bytes;
use stmf_proxy::link::frame::{HEADER_LENGTH, Header, Kind, MAGIC};
use stmf_proxy::link::greeting::{Greeting, Welcome};
use stmf_proxy::link::{BootIdentity, HandleIdentity, Node, demo};

/// The name of the pair of relays.
pub const PAIR: &str = "pair";

/// Where in a greeting's bytes on the wire its session number stands: behind magic, header and
/// the fields before it.
const SESSION_AT: usize = MAGIC.len() + HEADER_LENGTH + 48;

/// The session number in a greeting as it was sent, magic and all.
pub fn session_of(greeting: &[u8]) -> Option<u64> {
    let bytes = greeting.get(SESSION_AT..SESSION_AT + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Somebody who makes frames of the default link for a relay.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The receiver's session number.
    pub session: u64,
    /// The sender's node number.
    pub node: Node,
    /// Number of the next frame.
    pub sequence: u64,
    /// Bytes that the receiver has sent, to be confirmed.
    pub received: u64,
}

impl Peer {
    /// A greeting that fits, or nearly.
    fn greeting(&self, input: &mut Input<'_>) -> Greeting {
        let mut greeting = Greeting {
            version_low: 1,
            version_high: 1,
            node: self.node,
            max_message: 1 << 20,
            keepalive_ms: 2000,
            boot: BootIdentity(1 + u128::from(input.below(2))),
            handle: Some(HandleIdentity(1 + u128::from(input.below(3)))),
            session: 77,
            relay: 5 + u64::from(input.below(2)),
            attempt: 1 + u64::from(input.below(4)),
            pair: PAIR.to_owned(),
            host: "peer".to_owned(),
        };
        match input.byte() {
            0xf0 => greeting.node = greeting.node.peer(),
            0xf1 => greeting.version_low = input.short(),
            0xf2 => greeting.version_high = input.short(),
            0xf3 => greeting.pair = "other".to_owned(),
            0xf4 => greeting.max_message = input.short().into(),
            0xf5 => greeting.keepalive_ms = input.long() as u32,
            0xf6 => greeting.handle = None,
            0xf7 => greeting.attempt = input.long(),
            _ => {}
        }
        greeting
    }

    /// The next frame, which is sound unless the input has it otherwise.
    pub fn frame(&mut self, input: &mut Input<'_>, message: &[u8]) -> Vec<u8> {
        let kind = input.below(8);
        let (kind, mut payload) = match kind {
            0 => (Kind::Greeting, self.greeting(input).encode().to_vec()),
            1 => {
                let version = if input.rarely() { input.short() } else { 1 };
                let handle = Some(HandleIdentity(1 + u128::from(input.below(3))));
                (Kind::Welcome, Welcome { version, handle }.encode().to_vec())
            }
            2 => {
                let confirmed = match input.byte() {
                    0xff => input.long(),
                    part => self.received * u64::from(part) / 0xfe,
                };
                (Kind::Keepalive, confirmed.to_be_bytes().to_vec())
            }
            3 => {
                let reason = u16::from(input.below(14));
                (Kind::Goodbye, reason.to_be_bytes().to_vec())
            }
            _ => (Kind::Message, message.to_vec()),
        };
        let oddity = input.byte();
        match oddity {
            0xe0 => payload.truncate(input.byte().into()),
            0xe1 => payload.extend_from_slice(input.run()),
            _ => {}
        }
        let session = if kind == Kind::Greeting {
            0
        } else {
            self.session
        };
        let mut bytes = Header {
            kind,
            length: payload.len() as u32,
            session,
            sequence: self.sequence,
            payload_checksum: crc32c::crc32c(&payload),
        }
        .encode();
        match oddity {
            // The header says something else, and is sealed again.
            0xe2 => bytes[usize::from(input.below(28))] = input.byte(),
            0xe3 => bytes[4..8].copy_from_slice(&(input.long() as u32).to_be_bytes()),
            0xe4 => bytes[24] ^= 1, // the checksum of the payload
            _ => {}
        }
        let checksum = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_be_bytes());
        let mut frame = Vec::new();
        if self.sequence == 0 {
            frame.extend_from_slice(&MAGIC);
        }
        frame.extend_from_slice(&bytes);
        frame.extend_from_slice(&payload);
        if oddity == 0xe5 {
            let place = usize::from(input.short()) % frame.len();
            frame[place] ^= 1 << input.below(8);
        }
        self.sequence += 1;
        frame
    }
}

/// The next frame of the demo link, with the right length unless the input has it otherwise. The
/// first is to be the greeting.
pub fn demo_frame(input: &mut Input<'_>, first: bool, message: &[u8]) -> Vec<u8> {
    let body = if first && !input.rarely() {
        demo::greeting("peer")
    } else {
        Bytes::copy_from_slice(message)
    };
    let mut length = body.len() as u32;
    match input.byte() {
        0xff => length = input.long() as u32,
        0xfe => length = length.wrapping_add(1),
        0xfd => length = length.wrapping_sub(1),
        _ => {}
    }
    [&length.to_be_bytes()[..], &body].concat()
}
