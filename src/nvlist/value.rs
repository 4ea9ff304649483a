// SPDX-License-Identifier: MPL-2.0
//! Values of a packed list, borrowed from it.

use super::{DataType, List};

/// The value of a pair. Scalars are decoded; everything else borrows from the packed bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is the DataType of its name")]
pub enum Value<'a> {
    Boolean,
    Byte(u8),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    String(&'a [u8]),
    ByteArray(&'a [u8]),
    Int16Array(Integers<'a, i16>),
    Uint16Array(Integers<'a, u16>),
    Int32Array(Integers<'a, i32>),
    Uint32Array(Integers<'a, u32>),
    Int64Array(Integers<'a, i64>),
    Uint64Array(Integers<'a, u64>),
    StringArray(Strings<'a>),
    Hrtime(i64),
    Nvlist(List<'a>),
    NvlistArray(Lists<'a>),
    BooleanValue(bool),
    Int8(i8),
    Uint8(u8),
    BooleanArray(Booleans<'a>),
    Int8Array(Bytes<'a>),
    Uint8Array(Bytes<'a>),
}

impl Value<'_> {
    /// The type of the value.
    pub fn data_type(&self) -> DataType {
        match self {
            Value::Boolean => DataType::Boolean,
            Value::Byte(_) => DataType::Byte,
            Value::Int16(_) => DataType::Int16,
            Value::Uint16(_) => DataType::Uint16,
            Value::Int32(_) => DataType::Int32,
            Value::Uint32(_) => DataType::Uint32,
            Value::Int64(_) => DataType::Int64,
            Value::Uint64(_) => DataType::Uint64,
            Value::String(_) => DataType::String,
            Value::ByteArray(_) => DataType::ByteArray,
            Value::Int16Array(_) => DataType::Int16Array,
            Value::Uint16Array(_) => DataType::Uint16Array,
            Value::Int32Array(_) => DataType::Int32Array,
            Value::Uint32Array(_) => DataType::Uint32Array,
            Value::Int64Array(_) => DataType::Int64Array,
            Value::Uint64Array(_) => DataType::Uint64Array,
            Value::StringArray(_) => DataType::StringArray,
            Value::Hrtime(_) => DataType::Hrtime,
            Value::Nvlist(_) => DataType::Nvlist,
            Value::NvlistArray(_) => DataType::NvlistArray,
            Value::BooleanValue(_) => DataType::BooleanValue,
            Value::Int8(_) => DataType::Int8,
            Value::Uint8(_) => DataType::Uint8,
            Value::BooleanArray(_) => DataType::BooleanArray,
            Value::Int8Array(_) => DataType::Int8Array,
            Value::Uint8Array(_) => DataType::Uint8Array,
        }
    }
}

/// An integer that an array can have for its elements.
pub trait Integer: Copy + sealed::Sealed {
    /// Bytes that an element takes on the wire: 4 or 8.
    const WIRE: usize;
    /// The element in the first [`Integer::WIRE`] bytes; 0 when there are fewer.
    fn from_wire(wire: &[u8]) -> Self;
}

mod sealed {
    /// Only the integers of this module.
    pub trait Sealed {}
}

macro_rules! integer {
    ($($integer:ty: $word:ty),*) => {$(
        impl sealed::Sealed for $integer {}
        impl Integer for $integer {
            const WIRE: usize = size_of::<$word>();
            fn from_wire(wire: &[u8]) -> $integer {
                // 16-bit integers are the low half of their word.
                wire.first_chunk().map_or(0, |bytes| <$word>::from_be_bytes(*bytes) as $integer)
            }
        }
    )*};
}
integer!(i16: u32, u16: u32, i32: u32, u32: u32, i64: u64, u64: u64);

/// An array of integers of 16 bits or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integers<'a, T> {
    wire: &'a [u8],
    element: std::marker::PhantomData<T>,
}

impl<'a, T: Integer + 'a> Integers<'a, T> {
    /// Over the elements, without their count word.
    pub(super) fn new(wire: &'a [u8]) -> Integers<'a, T> {
        Integers {
            wire,
            element: std::marker::PhantomData,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.wire.len() / T::WIRE
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each element in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + 'a {
        self.wire.chunks_exact(T::WIRE).map(T::from_wire)
    }
}

/// An array of truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booleans<'a> {
    wire: &'a [u8],
}

impl<'a> Booleans<'a> {
    pub(super) fn new(wire: &'a [u8]) -> Booleans<'a> {
        Booleans { wire }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.wire.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each element in turn; any word but 0 is true.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> + 'a {
        self.wire.chunks_exact(4).map(|word| word != [0; 4])
    }
}

/// An array of 8-bit integers: a word each, of which the low byte counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a> {
    wire: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// The bytes in words as they lie on the wire.
    pub(crate) fn new(wire: &'a [u8]) -> Bytes<'a> {
        Bytes { wire }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.wire.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The words as they lie on the wire: `4 * len()` bytes.
    pub fn words(&self) -> &'a [u8] {
        self.wire
    }

    /// Each byte in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u8> + 'a {
        self.wire.chunks_exact(4).map(|word| word[3])
    }

    /// The bytes, in memory of their own.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        super::words::compress(self.wire, &mut bytes);
        bytes
    }

    /// The bytes, if there are exactly `N`.
    pub fn to_array<const N: usize>(&self) -> Option<[u8; N]> {
        super::words::compress_exact(self.wire)
    }
}

/// An array of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strings<'a> {
    pub(super) wire: &'a [u8],
    pub(super) count: usize,
}

impl<'a> Strings<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each string in turn, as bytes.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + 'a {
        let mut rest = self.wire;
        (0..self.count).map_while(move |_| {
            let (length, after) = rest.split_first_chunk()?;
            let length = u32::from_be_bytes(*length) as usize;
            let string = after.get(..length)?;
            rest = after.get(super::align4(length)..)?;
            Some(string)
        })
    }
}

/// An array of embedded lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lists<'a> {
    pub(super) packed: &'a [u8],
    pub(super) start: usize,
    pub(super) count: usize,
}

impl<'a> Lists<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each list in turn.
    pub fn iter(&self) -> impl Iterator<Item = List<'a>> + 'a {
        let packed = self.packed;
        let mut at = self.start;
        (0..self.count).map_while(move |_| {
            let (list, end) = List::embedded(packed, at)?;
            at = end;
            Some(list)
        })
    }
}
