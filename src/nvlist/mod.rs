// SPDX-License-Identifier: MPL-2.0
//! Packed name-value lists in their XDR form: a reader that borrows from its input, and a writer
//! that knows the size before it writes.
//!
//! The format is told in `docs/wire-format.md`. This module knows bytes only: which names a
//! message has and what they mean is the business of [`crate::message`].
//!
//! Invariants: [`List::unpack`] checks a whole packed list before anything can be read from it,
//! so that reading from a [`List`] cannot fail half-way; nothing here allocates on the way in,
//! and nothing panics, whatever the bytes are.

mod error;
mod reader;
pub(crate) mod template;
mod value;
pub mod words;
mod writer;

#[cfg(test)]
mod access;
#[cfg(test)]
pub(crate) mod properties;

pub use error::{LookupError, NvlistError, NvlistProblem, PackError};
pub use reader::{List, Pair, Pairs};
pub use value::{Booleans, Bytes, Integers, Lists, Strings, Value};
pub use writer::{Data, Field, pack, packed_size};

/// How many bytes precede the outer list: encoding, endianness, and two that are reserved.
pub const HEADER_LEN: usize = 4;

/// A name has fewer bytes than this.
pub const NAME_LIMIT: usize = 32768;

/// The most bytes that a packed list can have, whatever the configured bound: sizes in it are
/// signed 32-bit words.
pub const PACKED_LIMIT: usize = i32::MAX as usize;

/// The bits of a list's flag word of which at least one must be set before a name can be looked
/// up in it: unique names (1), unique names within a type (2).
pub const LOOKUP_FLAGS: u32 = 0b11;

/// What a decoder takes on before it looks closer. Both bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that a packed list may have. Default [`Limits::DEFAULT_MAX_SIZE`]; values
    /// over [`PACKED_LIMIT`] act as that.
    pub max_size: usize,
    /// How deep lists may nest; the outer list alone is a depth of 1, and 0 refuses everything.
    /// Default [`Limits::DEFAULT_MAX_DEPTH`]. The reader recurses that deep: values over
    /// [`Limits::HIGHEST_MAX_DEPTH`] act as that.
    pub max_depth: u32,
}

impl Limits {
    /// 64 MiB: sixteen times what the largest message of a kernel comes to (1 MiB of data).
    pub const DEFAULT_MAX_SIZE: usize = 64 << 20;
    /// 32, where messages need 2.
    pub const DEFAULT_MAX_DEPTH: u32 = 32;
    /// The deepest nesting that the reader's stack is meant for: also without optimisation it then
    /// needs less than 1 MiB, half of what a thread has unless it asks for more.
    pub const HIGHEST_MAX_DEPTH: u32 = 64;
    /// The defaults.
    pub const DEFAULT: Limits = Limits {
        max_size: Limits::DEFAULT_MAX_SIZE,
        max_depth: Limits::DEFAULT_MAX_DEPTH,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// Types of values, by their number in the packed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DataType {
    /// A name without a value; its presence is what it says.
    Boolean = 1,
    /// An octet.
    Byte = 2,
    /// A signed 16-bit integer.
    Int16 = 3,
    /// An unsigned 16-bit integer.
    Uint16 = 4,
    /// A signed 32-bit integer.
    Int32 = 5,
    /// An unsigned 32-bit integer.
    Uint32 = 6,
    /// A signed 64-bit integer.
    Int64 = 7,
    /// An unsigned 64-bit integer.
    Uint64 = 8,
    /// A string of bytes without NUL.
    String = 9,
    /// Octets, packed densely.
    ByteArray = 10,
    /// Signed 16-bit integers.
    Int16Array = 11,
    /// Unsigned 16-bit integers.
    Uint16Array = 12,
    /// Signed 32-bit integers.
    Int32Array = 13,
    /// Unsigned 32-bit integers.
    Uint32Array = 14,
    /// Signed 64-bit integers.
    Int64Array = 15,
    /// Unsigned 64-bit integers.
    Uint64Array = 16,
    /// Strings.
    StringArray = 17,
    /// A time in nanoseconds, signed 64 bits.
    Hrtime = 18,
    /// An embedded list.
    Nvlist = 19,
    /// Embedded lists.
    NvlistArray = 20,
    /// True or false.
    BooleanValue = 21,
    /// A signed 8-bit integer.
    Int8 = 22,
    /// An unsigned 8-bit integer.
    Uint8 = 23,
    /// Truth values.
    BooleanArray = 24,
    /// Signed 8-bit integers, a word each.
    Int8Array = 25,
    /// Unsigned 8-bit integers, a word each.
    Uint8Array = 26,
}

/// All types in the order of their numbers, beginning with number 1.
const DATA_TYPES: [DataType; 26] = [
    DataType::Boolean,
    DataType::Byte,
    DataType::Int16,
    DataType::Uint16,
    DataType::Int32,
    DataType::Uint32,
    DataType::Int64,
    DataType::Uint64,
    DataType::String,
    DataType::ByteArray,
    DataType::Int16Array,
    DataType::Uint16Array,
    DataType::Int32Array,
    DataType::Uint32Array,
    DataType::Int64Array,
    DataType::Uint64Array,
    DataType::StringArray,
    DataType::Hrtime,
    DataType::Nvlist,
    DataType::NvlistArray,
    DataType::BooleanValue,
    DataType::Int8,
    DataType::Uint8,
    DataType::BooleanArray,
    DataType::Int8Array,
    DataType::Uint8Array,
];

impl DataType {
    /// The type with this number, if a kernel knows it. 27 (a floating-point number) is one that
    /// kernels refuse.
    pub fn from_number(number: i32) -> Option<DataType> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        DATA_TYPES.get(index).copied()
    }

    /// The number in the packed form, 1 to 26.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name as it is written in manual pages, without the prefix `DATA_TYPE_`.
    pub const fn name(self) -> &'static str {
        match self {
            DataType::Boolean => "BOOLEAN",
            DataType::Byte => "BYTE",
            DataType::Int16 => "INT16",
            DataType::Uint16 => "UINT16",
            DataType::Int32 => "INT32",
            DataType::Uint32 => "UINT32",
            DataType::Int64 => "INT64",
            DataType::Uint64 => "UINT64",
            DataType::String => "STRING",
            DataType::ByteArray => "BYTE_ARRAY",
            DataType::Int16Array => "INT16_ARRAY",
            DataType::Uint16Array => "UINT16_ARRAY",
            DataType::Int32Array => "INT32_ARRAY",
            DataType::Uint32Array => "UINT32_ARRAY",
            DataType::Int64Array => "INT64_ARRAY",
            DataType::Uint64Array => "UINT64_ARRAY",
            DataType::StringArray => "STRING_ARRAY",
            DataType::Hrtime => "HRTIME",
            DataType::Nvlist => "NVLIST",
            DataType::NvlistArray => "NVLIST_ARRAY",
            DataType::BooleanValue => "BOOLEAN_VALUE",
            DataType::Int8 => "INT8",
            DataType::Uint8 => "UINT8",
            DataType::BooleanArray => "BOOLEAN_ARRAY",
            DataType::Int8Array => "INT8_ARRAY",
            DataType::Uint8Array => "UINT8_ARRAY",
        }
    }

    /// How a value of this type lies on the wire.
    pub(crate) const fn shape(self) -> Shape {
        match self {
            DataType::Boolean => Shape::Nothing,
            DataType::Byte
            | DataType::Int16
            | DataType::Uint16
            | DataType::Int32
            | DataType::Uint32
            | DataType::BooleanValue
            | DataType::Int8
            | DataType::Uint8 => Shape::Scalar { words: 1 },
            DataType::Int64 | DataType::Uint64 | DataType::Hrtime => Shape::Scalar { words: 2 },
            DataType::String => Shape::String,
            DataType::ByteArray => Shape::Octets,
            DataType::Int16Array
            | DataType::Uint16Array
            | DataType::Int32Array
            | DataType::Uint32Array
            | DataType::BooleanArray
            | DataType::Int8Array
            | DataType::Uint8Array => Shape::Counted { words: 1 },
            DataType::Int64Array | DataType::Uint64Array => Shape::Counted { words: 2 },
            DataType::StringArray => Shape::Strings,
            DataType::Nvlist => Shape::List,
            DataType::NvlistArray => Shape::Lists,
        }
    }

    /// Bytes that one element takes in the memory of a 64-bit host; for strings without their
    /// bytes.
    pub(crate) const fn native_element(self) -> u64 {
        match self {
            DataType::Boolean | DataType::String => 0,
            DataType::Byte
            | DataType::Int8
            | DataType::Uint8
            | DataType::ByteArray
            | DataType::Int8Array
            | DataType::Uint8Array => 1,
            DataType::Int16 | DataType::Uint16 | DataType::Int16Array | DataType::Uint16Array => 2,
            DataType::Int32
            | DataType::Uint32
            | DataType::BooleanValue
            | DataType::Int32Array
            | DataType::Uint32Array
            | DataType::BooleanArray => 4,
            DataType::Int64
            | DataType::Uint64
            | DataType::Hrtime
            | DataType::Int64Array
            | DataType::Uint64Array
            | DataType::StringArray => 8,
            DataType::Nvlist => 24,
            DataType::NvlistArray => 32,
        }
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How a value lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No bytes, and an element count of 0.
    Nothing,
    /// One element of so many words.
    Scalar { words: usize },
    /// A length, bytes, padding.
    String,
    /// As many bytes as elements, padding.
    Octets,
    /// A count word (absent when the count is 0), then so many words for each element.
    Counted { words: usize },
    /// As many strings as elements.
    Strings,
    /// One embedded list.
    List,
    /// As many embedded lists as elements.
    Lists,
}

/// Rounds up to whole words.
pub(crate) const fn align4(size: usize) -> usize {
    size.saturating_add(3) & !3
}

/// Rounds up to whole native words.
pub(crate) const fn align8(size: u64) -> u64 {
    size.saturating_add(7) & !7
}

/// What a pair takes in the memory of a 64-bit host: the decoded size that the packed form
/// carries. `native_value` is the size of the value there.
pub(crate) const fn decoded_size(name_len: usize, native_value: u64) -> u64 {
    align8(16 + name_len as u64 + 1).saturating_add(align8(native_value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_types_agree() {
        for number in -3..40 {
            match DataType::from_number(number) {
                Some(data_type) => assert_eq!(i32::from(data_type.number()), number),
                None => assert!(!(1..=26).contains(&number)),
            }
        }
        assert_eq!(DataType::from_number(27), None, "floating point is refused");
    }

    #[test]
    fn decoded_sizes_are_those_of_a_64_bit_host() {
        // Figures from recorded messages: icm_msg_type, icm_msgid, and an id of 16 bytes.
        assert_eq!(decoded_size("icm_msg_type".len(), 1), 0x28);
        assert_eq!(decoded_size("icm_msgid".len(), 8), 0x28);
        assert_eq!(decoded_size("icrl_lun_id".len(), 16), 0x30);
    }
}
