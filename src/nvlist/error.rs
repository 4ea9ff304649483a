// SPDX-License-Identifier: MPL-2.0
//! What can be wrong with a packed list: while unpacking, while looking a name up, while packing.

use super::{DataType, LOOKUP_FLAGS, NAME_LIMIT, PACKED_LIMIT};
use thiserror::Error;

/// A packed list was refused as a whole: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("packed list, byte {offset}: {problem}")]
pub struct NvlistError {
    /// Bytes from the start of the packed list to what was refused.
    pub offset: usize,
    /// What was found there, and what was expected.
    pub problem: NvlistProblem,
}

/// Why a packed list was refused.
///
/// A kernel accepts what [`NvlistProblem::is_own_bound`] is true for; everything else it refuses
/// as well.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NvlistProblem {
    /// The list is longer than the configured bound.
    #[error("{size} bytes are more than the bound of {limit}; raise the bound or send less")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// The bound, inclusive.
        limit: usize,
    },
    /// The bytes end before what has to be there.
    #[error("expected {expected} ({needed} bytes), but only {left} bytes are left")]
    Truncated {
        /// What was being read.
        expected: &'static str,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that were left.
        left: usize,
    },
    /// The encoding byte says native, which no kernel sends and this decoder does not read.
    #[error("native encoding (0) is not supported; expected XDR (1)")]
    NativeEncoding,
    /// The encoding byte is neither 0 nor 1.
    #[error("unknown encoding {found}; expected XDR (1)")]
    UnknownEncoding {
        /// The byte.
        found: u8,
    },
    /// An embedded list has a version over 0.
    #[error("embedded list of version {found}; expected at most 0")]
    EmbeddedVersion {
        /// The version word.
        found: i32,
    },
    /// Lists nest deeper than the configured bound.
    #[error("lists nest deeper than the bound of {limit}")]
    TooDeep {
        /// The bound, inclusive.
        limit: u32,
    },
    /// The decoded size of a pair is not what its name and value come to.
    #[error("decoded size {found}; expected {expected} for this name and value")]
    DecodedSize {
        /// The word on the wire.
        found: i32,
        /// What name and value take in the memory of a 64-bit host.
        expected: u64,
    },
    /// The decoded size of a pair is not possible, whatever follows.
    #[error("decoded size {found}; expected 0 (end of list) or {least} to {most}")]
    DecodedSizeRange {
        /// The word on the wire.
        found: i32,
        /// The least that a pair can come to.
        least: u64,
        /// The most that a pair in the bytes left can come to.
        most: u64,
    },
    /// A name has a NUL byte in it.
    #[error("name with a NUL byte in it; expected none")]
    NameWithNul,
    /// A name is too long.
    #[error("name of {found} bytes; expected fewer than {NAME_LIMIT}")]
    NameTooLong {
        /// Its length.
        found: u32,
    },
    /// A string has a NUL byte in it.
    #[error("string with a NUL byte in it; expected none")]
    StringWithNul,
    /// A type that kernels do not know.
    #[error("unknown type {found}; expected 1 to 26")]
    UnknownType {
        /// The type word.
        found: i32,
    },
    /// The element count does not fit the type.
    #[error("{found} elements of type {data_type}; expected {expected}")]
    ElementCount {
        /// The type of the pair.
        data_type: DataType,
        /// The count word.
        found: i32,
        /// Which counts the type can have.
        expected: &'static str,
    },
    /// The second count of an array differs from the first. A kernel accepts this and then reads
    /// memory that it never filled.
    #[error("array with a count word of {found}; expected {expected}, its number of elements")]
    CountWord {
        /// The count before the elements.
        found: u32,
        /// The element count of the pair.
        expected: u32,
    },
    /// A truth value is neither 0 nor 1.
    #[error("truth value {found}; expected 0 or 1")]
    TruthValue {
        /// The word.
        found: u32,
    },
}

impl NvlistProblem {
    /// Whether this is refused for reasons of this decoder's own, although a kernel takes it:
    /// native encoding, a count word that differs, nesting or size past the configured bound.
    pub fn is_own_bound(&self) -> bool {
        matches!(
            self,
            NvlistProblem::NativeEncoding
                | NvlistProblem::CountWord { .. }
                | NvlistProblem::TooDeep { .. }
                | NvlistProblem::TooLarge { .. }
        )
    }
}

/// A name could not be looked up in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The flag word of the list allows no lookups.
    #[error("the list's flags are {flags:#x}; expected one of the bits {LOOKUP_FLAGS:#x}")]
    Flags {
        /// The flag word.
        flags: u32,
    },
    /// No pair has that name.
    #[error("no such name")]
    Missing,
    /// Pairs of that name have other types.
    #[error("type {found}; expected {expected}")]
    WrongType {
        /// The type asked for.
        expected: DataType,
        /// The type of the first pair of that name.
        found: DataType,
        /// Where that pair begins, in bytes from the start of the packed list.
        offset: usize,
    },
}

/// A list cannot be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PackError {
    /// A name has a NUL byte in it, or is too long.
    #[error("name with a NUL byte or of {length} bytes; names have none and fewer than 32768")]
    Name {
        /// Its length.
        length: usize,
    },
    /// A string has a NUL byte in it.
    #[error("string with a NUL byte at {offset}; the packed form cannot hold one")]
    StringWithNul {
        /// Where in the string.
        offset: usize,
    },
    /// Lists nest deeper than a reader would follow.
    #[error("lists nest deeper than {limit}")]
    TooDeep {
        /// The bound, inclusive.
        limit: u32,
    },
    /// Sizes in the packed form are signed 32-bit words.
    #[error("{size} bytes when packed; the most is {PACKED_LIMIT}")]
    TooLarge {
        /// What it would come to.
        size: u64,
    },
}
