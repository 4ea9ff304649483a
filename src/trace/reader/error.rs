// SPDX-License-Identifier: MPL-2.0
//! What ends the reading of a trace, and what is merely odd in it.

use super::super::block::LINK_TYPE;
use super::super::packet::{FORMAT_VERSION, PacketError};
use crate::time::Time;
use std::io;

/// Where and why a trace cannot be read on. Everything before that place was given.
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct ReadError {
    /// Where the block begins that could not be read, in bytes from the start of the input.
    pub offset: u64,
    /// What is the matter with it.
    #[source]
    pub problem: ReadProblem,
}

/// Why a trace cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadProblem {
    /// The input failed.
    #[error("the file cannot be read: {0}")]
    Input(#[source] io::Error),
    /// There is nothing.
    #[error("the file is empty; the recording ended before anything was written")]
    Empty,
    /// It ends inside a block.
    #[error(
        "the file ends inside a block, after {left}{of} bytes of it; everything before was read; \
         the recording was cut off (crash, full disk) or the copy is not complete",
        of = needed.map_or_else(String::new, |needed| format!(" of {needed}"))
    )]
    Truncated {
        /// How long the block is, if that could be read.
        needed: Option<u32>,
        /// Bytes of it that there are.
        left: u64,
    },
    /// It is compressed.
    #[error("the file is compressed ({with}); uncompress it first")]
    Compressed {
        /// With what.
        with: &'static str,
    },
    /// It is a classic pcap file.
    #[error("this is a capture in the old pcap format, not a trace of stmf-proxy, which is pcapng")]
    ClassicPcap,
    /// It begins like no pcapng file.
    #[error("this is not a pcapng file: it begins with {found:02x?}; give a trace of stmf-proxy")]
    NotPcapng {
        /// The first bytes.
        found: [u8; 4],
    },
    /// The mark of the byte order is neither.
    #[error("a section has byte order mark {found:02x?}; the file is damaged from here on")]
    ByteOrder {
        /// The mark.
        found: [u8; 4],
    },
    /// pcapng of a version that nobody has seen.
    #[error("pcapng version {found}, this program reads version 1; use a newer stmf-proxy")]
    PcapngVersion {
        /// The major version.
        found: u16,
    },
    /// A later version of stmf-proxy wrote it.
    #[error(
        "trace format version {found}, this program reads up to {FORMAT_VERSION}; \
         use a newer stmf-proxy to read it"
    )]
    FutureVersion {
        /// The version.
        found: u64,
    },
    /// A capture of something else.
    #[error(
        "packets of link type {found}, and none of the section are of {LINK_TYPE}: this is a \
         capture of something else, not a trace of stmf-proxy"
    )]
    WrongLinkType {
        /// The link type.
        found: u16,
    },
    /// The length of a block is not one that a block can have.
    #[error(
        "a block of {found} bytes cannot be (12 at least, whole words); the file is damaged from \
         here on, everything before was read"
    )]
    BlockLength {
        /// Its length.
        found: u32,
    },
    /// A block says its length twice, not the same.
    #[error(
        "a block says that it has {expected} bytes, and at its end {found}; the file is damaged \
         here, everything before was read"
    )]
    LengthsDiffer {
        /// What it says first.
        expected: u32,
        /// What it says at its end.
        found: u32,
    },
    /// A section header or interface description without what belongs in it.
    #[error(
        "a section header or interface description is too short or too long; the file is damaged"
    )]
    ShortBlock,
    /// More interfaces than anybody needs.
    #[error("more than {limit} interfaces in one section; raise the limit if they are real")]
    TooManyInterfaces {
        /// How many are allowed.
        limit: usize,
    },
}

impl ReadProblem {
    /// What a file of something else begins with.
    pub(super) fn known_other_format(head: &[u8]) -> Option<ReadProblem> {
        const MAGICS: [(&[u8], &str); 4] = [
            (&[0x1F, 0x8B], "gzip"),
            (&[0x28, 0xB5, 0x2F, 0xFD], "zstd"),
            (&[0xFD, b'7', b'z', b'X', b'Z'], "xz"),
            (b"BZh", "bzip2"),
        ];
        let with = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
        if let Some((_, with)) = with {
            return Some(ReadProblem::Compressed { with });
        }
        let magic = u32::from_le_bytes(*head.first_chunk()?);
        let classic = [0xA1B2_C3D4u32, 0xA1B2_3C4D].map(|magic| [magic, magic.swap_bytes()]);
        classic
            .as_flattened()
            .contains(&magic)
            .then_some(ReadProblem::ClassicPcap)
    }
}

/// Something odd that did not end the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct Notice {
    /// Where the block begins, in bytes from the start of the input.
    pub offset: u64,
    /// What is odd about it.
    pub kind: NoticeKind,
}

/// What is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeKind {
    /// A section says nothing of itself.
    #[error("the section has no description; another program has written or changed the file")]
    NoDescription,
    /// A block that is longer than the reader takes on.
    #[error("a block of {length} bytes was passed over, {limit} are allowed")]
    BlockTooLong {
        /// Its length.
        length: u32,
        /// The bound.
        limit: u32,
    },
    /// A packet that does not fit its block.
    #[error("a damaged packet was passed over: it is longer than its block")]
    ShortPacket,
    /// A packet of an interface that is not described.
    #[error("a packet of interface {interface}, which is not described, was passed over")]
    UnknownInterface {
        /// The number of the interface.
        interface: u32,
    },
    /// A packet of something else.
    #[error("a packet of link type {found} was passed over")]
    OtherLinkType {
        /// The link type.
        found: u16,
    },
    /// A packet that is not a record.
    #[error("a damaged record was passed over: {0}")]
    Damaged(PacketError),
    /// The number of a record does not follow that of the one before.
    #[error("record {found} comes after record {last}: records are missing or out of order")]
    Sequence {
        /// The number before.
        last: u64,
        /// The number found.
        found: u64,
    },
    /// A record of an earlier time than the one before.
    #[error("time goes back from {last} to {found}")]
    TimeGoesBack {
        /// The time before.
        last: Time,
        /// The time found.
        found: Time,
    },
}
