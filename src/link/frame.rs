// SPDX-License-Identifier: MPL-2.0
//! Frames of the default link: header layout, checksums, and what a frame on its way out is.
//!
//! The layout is `docs/link.md`, byte for byte. All integers are big-endian. The header has a
//! checksum of its own, so that a length is believed only after it has been checked; a damaged
//! message never reaches a kernel, which would panic on some.

use std::fmt;

use bytes::Bytes;

use super::error::LinkError;

/// The first eight bytes in each direction. A demo link daemon takes the first four for a length
/// of 2.3 GB, so the two are told apart at once.
pub const MAGIC: [u8; 8] = *b"\x89STMFLK\n";

/// Bytes of a frame header.
pub const HEADER_LENGTH: usize = 32;

/// Longest head of a frame on its way out: magic and header.
const HEAD_MAX: usize = MAGIC.len() + HEADER_LENGTH;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: who the sender is. First frame in each direction.
    Greeting,
    /// 2: the receiver's greeting is accepted and the sender is ready. Second but for keepalives.
    Welcome,
    /// 3: one message for the kernel.
    Message,
    /// 4: a sign of life, confirming what arrived.
    Keepalive,
    /// 5: the last frame in its direction.
    Goodbye,
}

impl Kind {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Kind::Greeting => 1,
            Kind::Welcome => 2,
            Kind::Message => 3,
            Kind::Keepalive => 4,
            Kind::Goodbye => 5,
        }
    }

    /// The kind with this byte.
    pub const fn from_code(code: u8) -> Option<Kind> {
        match code {
            1 => Some(Kind::Greeting),
            2 => Some(Kind::Welcome),
            3 => Some(Kind::Message),
            4 => Some(Kind::Keepalive),
            5 => Some(Kind::Goodbye),
            _ => None,
        }
    }

    /// The name that errors use.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Greeting => "greeting",
            Kind::Welcome => "welcome",
            Kind::Message => "message",
            Kind::Keepalive => "keepalive",
            Kind::Goodbye => "goodbye",
        }
    }

    /// The longest payload in bytes, `max_message` being the bound on messages.
    pub const fn longest(self, max_message: u32) -> u32 {
        match self {
            Kind::Greeting => super::greeting::GREETING_MAX as u32,
            Kind::Welcome => super::greeting::WELCOME_MAX as u32,
            Kind::Message => max_message,
            Kind::Keepalive => KEEPALIVE_LENGTH as u32,
            Kind::Goodbye => GOODBYE_LENGTH as u32,
        }
    }
}

/// Bytes of a keepalive's payload: u64, all bytes received on this connection so far.
pub const KEEPALIVE_LENGTH: usize = 8;

/// Bytes of a goodbye's payload: u16 reason.
pub const GOODBYE_LENGTH: usize = 2;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it carries.
    pub kind: Kind,
    /// Bytes of payload.
    pub length: u32,
    /// The receiver's session number, from its greeting; 0 in a greeting.
    pub session: u64,
    /// Number of the frame in its direction, from 0.
    pub sequence: u64,
    /// CRC-32C of the payload.
    pub payload_checksum: u32,
}

impl Header {
    /// The header in its wire form.
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0] = self.kind.code();
        bytes[4..8].copy_from_slice(&self.length.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.payload_checksum.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// Reads a header. `due` is the number and session that it should have: they are checked too,
    /// and the length against its bound, so that a header that is returned may be acted on.
    pub fn decode(
        bytes: &[u8; HEADER_LENGTH],
        due: Due,
        max_message: u32,
    ) -> Result<Header, LinkError> {
        let sequence = due.sequence;
        let computed = crc32c::crc32c(&bytes[..28]);
        let sent = word(bytes, 28);
        if computed != sent {
            return Err(LinkError::HeaderChecksum {
                sequence,
                computed,
                sent,
            });
        }
        let Some(kind) = Kind::from_code(bytes[0]) else {
            return Err(LinkError::UnknownKind {
                sequence,
                kind: bytes[0],
            });
        };
        if bytes[1..4] != [0; 3] {
            return Err(LinkError::ReservedNotZero { sequence });
        }
        let header = Header {
            kind,
            length: word(bytes, 4),
            session: long(bytes, 8),
            sequence: long(bytes, 16),
            payload_checksum: word(bytes, 24),
        };
        let expected = if kind == Kind::Greeting {
            0
        } else {
            due.session
        };
        if header.session != expected {
            let found = header.session;
            return Err(LinkError::WrongSession {
                sequence,
                expected,
                found,
            });
        }
        if header.sequence != sequence {
            return Err(LinkError::OutOfSequence {
                expected: sequence,
                found: header.sequence,
            });
        }
        let bound = kind.longest(max_message);
        if header.length > bound {
            return Err(LinkError::TooLong {
                sequence,
                length: header.length,
                bound,
            });
        }
        if kind == Kind::Message && header.length == 0 {
            return Err(LinkError::EmptyMessage { sequence });
        }
        Ok(header)
    }

    /// Whether the payload is the one that was sent.
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), LinkError> {
        let computed = crc32c::crc32c(payload);
        let sent = self.payload_checksum;
        if computed == sent {
            Ok(())
        } else {
            Err(LinkError::PayloadChecksum {
                sequence: self.sequence,
                computed,
                sent,
            })
        }
    }
}

/// What the next header has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Session number of this connection, as this side's greeting gave it.
    pub session: u64,
    /// Number of the frame.
    pub sequence: u64,
}

fn word(bytes: &[u8; HEADER_LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8; HEADER_LENGTH], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}

/// Bytes on their way to the peer, in two parts so that a message is not copied to stand behind
/// its header: send `head`, then `body` (one vectored write does).
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    head: [u8; HEAD_MAX],
    head_length: u8,
    body: Bytes,
}

impl Frame {
    /// The frame that `header` and `body` make. The header's length and checksum are set from
    /// the body; `magic` puts the magic in front.
    pub(crate) fn build(
        kind: Kind,
        session: u64,
        sequence: u64,
        body: Bytes,
        magic: bool,
    ) -> Frame {
        let header = Header {
            kind,
            length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            session,
            sequence,
            payload_checksum: crc32c::crc32c(&body),
        };
        let start = if magic { MAGIC.len() } else { 0 };
        let mut head = [0; HEAD_MAX];
        head[..start].copy_from_slice(&MAGIC[..start]);
        head[start..start + HEADER_LENGTH].copy_from_slice(&header.encode());
        Frame {
            head,
            head_length: (start + HEADER_LENGTH) as u8,
            body,
        }
    }

    /// A frame of the demo link: length and bytes.
    pub(crate) fn demo(body: Bytes) -> Frame {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut head = [0; HEAD_MAX];
        head[..4].copy_from_slice(&length.to_be_bytes());
        Frame {
            head,
            head_length: 4,
            body,
        }
    }

    /// The first part: at most 40 bytes.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_length)]
    }

    /// The second part: the payload, shared with whoever made it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes of both parts.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a frame has a head, so it is never empty"
    )]
    pub fn len(&self) -> usize {
        usize::from(self.head_length) + self.body.len()
    }

    /// Both parts in one buffer, for those that want to look at them.
    pub fn to_vec(&self) -> Vec<u8> {
        [self.head(), &self.body].concat()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("head", &format_args!("{:02x?}", self.head()))
            .field("body_length", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Due = Due {
        session: 7,
        sequence: 3,
    };

    fn message(body: &'static [u8]) -> Frame {
        Frame::build(Kind::Message, 7, 3, Bytes::from_static(body), false)
    }

    fn header(frame: &Frame) -> [u8; HEADER_LENGTH] {
        frame.head().try_into().expect("no magic in front")
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        // The check value of the catalogue of CRCs (CRC-32/ISCSI).
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_frame_reads_back() {
        let frame = message(b"bytes");
        let header = Header::decode(&header(&frame), DUE, 5).expect("well-formed");
        assert_eq!((header.kind, header.length), (Kind::Message, 5));
        assert_eq!(header.check_payload(b"bytes"), Ok(()));
        assert!(matches!(
            header.check_payload(b"bytez"),
            Err(LinkError::PayloadChecksum { sequence: 3, .. })
        ));
        assert_eq!(frame.len(), 37);
        assert_eq!(frame.to_vec().len(), 37);
    }

    #[test]
    fn every_single_bit_flip_in_a_header_is_found() {
        let good = header(&message(b"bytes"));
        for bit in 0..HEADER_LENGTH * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(
                    Header::decode(&bad, DUE, 5),
                    Err(LinkError::HeaderChecksum { .. })
                ),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn the_length_bound_holds_at_its_edge() {
        let good = header(&message(b"bytes"));
        assert!(Header::decode(&good, DUE, 5).is_ok());
        assert_eq!(
            Header::decode(&good, DUE, 4),
            Err(LinkError::TooLong {
                sequence: 3,
                length: 5,
                bound: 4
            })
        );
        assert_eq!(
            Header::decode(&header(&message(b"")), DUE, 5),
            Err(LinkError::EmptyMessage { sequence: 3 })
        );
    }

    #[test]
    fn frames_of_another_session_or_out_of_order_are_refused() {
        let good = header(&message(b"bytes"));
        assert_eq!(
            Header::decode(
                &good,
                Due {
                    session: 8,
                    sequence: 3
                },
                5
            ),
            Err(LinkError::WrongSession {
                sequence: 3,
                expected: 8,
                found: 7
            })
        );
        assert_eq!(
            Header::decode(
                &good,
                Due {
                    session: 7,
                    sequence: 4
                },
                5
            ),
            Err(LinkError::OutOfSequence {
                expected: 4,
                found: 3
            })
        );
    }

    #[test]
    fn unknown_kinds_and_reserved_bytes_are_refused() {
        let mut bytes = header(&message(b"bytes"));
        let seal = |bytes: &mut [u8; HEADER_LENGTH]| {
            let checksum = crc32c::crc32c(&bytes[..28]);
            bytes[28..].copy_from_slice(&checksum.to_be_bytes());
        };
        bytes[0] = 6;
        seal(&mut bytes);
        assert_eq!(
            Header::decode(&bytes, DUE, 5),
            Err(LinkError::UnknownKind {
                sequence: 3,
                kind: 6
            })
        );
        bytes[0] = 3;
        bytes[2] = 1;
        seal(&mut bytes);
        assert_eq!(
            Header::decode(&bytes, DUE, 5),
            Err(LinkError::ReservedNotZero { sequence: 3 })
        );
    }
}
