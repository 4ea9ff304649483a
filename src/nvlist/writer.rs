// SPDX-License-Identifier: MPL-2.0
//! Packing lists: sizes first, then one pass over the output.

use super::{
    DataType, Limits, NAME_LIMIT, PACKED_LIMIT, PackError, Shape, align4, decoded_size, words,
};

/// A name and what to pack under it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// The name: no NUL, shorter than [`NAME_LIMIT`].
    pub name: &'a [u8],
    /// The value.
    pub data: Data<'a>,
}

/// A value to pack; the counterpart of [`Value`](super::Value), which is what reading gives.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is the DataType of its name")]
pub enum Data<'a> {
    Boolean,
    Byte(u8),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    /// Without NUL.
    String(&'a [u8]),
    ByteArray(&'a [u8]),
    Int16Array(&'a [i16]),
    Uint16Array(&'a [u16]),
    Int32Array(&'a [i32]),
    Uint32Array(&'a [u32]),
    Int64Array(&'a [i64]),
    Uint64Array(&'a [u64]),
    /// Each without NUL.
    StringArray(&'a [&'a [u8]]),
    Hrtime(i64),
    Nvlist(&'a [Field<'a>]),
    NvlistArray(&'a [&'a [Field<'a>]]),
    BooleanValue(bool),
    Int8(i8),
    Uint8(u8),
    BooleanArray(&'a [bool]),
    /// The bytes of the signed integers.
    Int8Array(&'a [u8]),
    Uint8Array(&'a [u8]),
}

impl Data<'_> {
    /// The type that is packed.
    pub fn data_type(&self) -> DataType {
        match self {
            Data::Boolean => DataType::Boolean,
            Data::Byte(_) => DataType::Byte,
            Data::Int16(_) => DataType::Int16,
            Data::Uint16(_) => DataType::Uint16,
            Data::Int32(_) => DataType::Int32,
            Data::Uint32(_) => DataType::Uint32,
            Data::Int64(_) => DataType::Int64,
            Data::Uint64(_) => DataType::Uint64,
            Data::String(_) => DataType::String,
            Data::ByteArray(_) => DataType::ByteArray,
            Data::Int16Array(_) => DataType::Int16Array,
            Data::Uint16Array(_) => DataType::Uint16Array,
            Data::Int32Array(_) => DataType::Int32Array,
            Data::Uint32Array(_) => DataType::Uint32Array,
            Data::Int64Array(_) => DataType::Int64Array,
            Data::Uint64Array(_) => DataType::Uint64Array,
            Data::StringArray(_) => DataType::StringArray,
            Data::Hrtime(_) => DataType::Hrtime,
            Data::Nvlist(_) => DataType::Nvlist,
            Data::NvlistArray(_) => DataType::NvlistArray,
            Data::BooleanValue(_) => DataType::BooleanValue,
            Data::Int8(_) => DataType::Int8,
            Data::Uint8(_) => DataType::Uint8,
            Data::BooleanArray(_) => DataType::BooleanArray,
            Data::Int8Array(_) => DataType::Int8Array,
            Data::Uint8Array(_) => DataType::Uint8Array,
        }
    }

    /// How many elements the pair says it has.
    fn count(&self) -> usize {
        match self {
            Data::Boolean => 0,
            Data::ByteArray(bytes) | Data::Int8Array(bytes) | Data::Uint8Array(bytes) => {
                bytes.len()
            }
            Data::Int16Array(integers) => integers.len(),
            Data::Uint16Array(integers) => integers.len(),
            Data::Int32Array(integers) => integers.len(),
            Data::Uint32Array(integers) => integers.len(),
            Data::Int64Array(integers) => integers.len(),
            Data::Uint64Array(integers) => integers.len(),
            Data::BooleanArray(booleans) => booleans.len(),
            Data::StringArray(strings) => strings.len(),
            Data::NvlistArray(lists) => lists.len(),
            _ => 1,
        }
    }

    /// Bytes of the value in the memory of a 64-bit host.
    fn native(&self) -> u64 {
        let elements = (self.count() as u64).saturating_mul(self.data_type().native_element());
        match self {
            Data::String(string) => string.len() as u64 + 1,
            Data::StringArray(strings) => strings
                .iter()
                .fold(elements, |sum, string| sum + string.len() as u64 + 1),
            _ => elements,
        }
    }
}

/// What something takes on the wire.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Bytes where it stands.
    wire: u64,
    /// Bytes that the count words of empty arrays would take. They are counted in every size
    /// that covers them, but only come, as zeros, after the end of the whole.
    ghosts: u64,
}

impl Size {
    fn plus(self, other: Size) -> Size {
        Size {
            wire: self.wire.saturating_add(other.wire),
            ghosts: self.ghosts.saturating_add(other.ghosts),
        }
    }
}

/// Bytes that [`pack`] will write.
///
/// # Errors
///
/// As [`pack`].
pub fn packed_size(fields: &[Field<'_>]) -> Result<usize, PackError> {
    let size = list_size(fields, Limits::DEFAULT_MAX_DEPTH)?;
    let size = size.wire.saturating_add(size.ghosts) + super::HEADER_LEN as u64;
    match usize::try_from(size) {
        Ok(fits) if fits <= PACKED_LIMIT => Ok(fits),
        _ => Err(PackError::TooLarge { size }),
    }
}

/// Appends a packed list: header as a kernel on x86 sends it, flags for unique names (it is up to
/// the caller that they are), and the fields in their order.
///
/// # Errors
///
/// A name or a string that the form cannot hold, nesting deeper than
/// [`Limits::DEFAULT_MAX_DEPTH`], or a size over [`PACKED_LIMIT`]; then nothing was appended.
pub fn pack(fields: &[Field<'_>], out: &mut Vec<u8>) -> Result<(), PackError> {
    let size = packed_size(fields)?;
    let end = out.len() + size;
    out.reserve(size);
    out.extend_from_slice(&[1, 1, 0, 0]);
    put_list(fields, out)?;
    // The count words of empty arrays.
    out.resize(end, 0);
    Ok(())
}

fn list_size(fields: &[Field<'_>], depth_left: u32) -> Result<Size, PackError> {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        let limit = Limits::DEFAULT_MAX_DEPTH;
        return Err(PackError::TooDeep { limit });
    };
    // Version, flags and end mark.
    let mut sum = Size {
        wire: 16,
        ghosts: 0,
    };
    for field in fields {
        sum = sum.plus(pair_size(field, depth_left)?);
    }
    Ok(sum)
}

fn pair_size(field: &Field<'_>, depth_left: u32) -> Result<Size, PackError> {
    let length = field.name.len();
    if length >= NAME_LIMIT || field.name.contains(&0) {
        return Err(PackError::Name { length });
    }
    let head = Size {
        wire: (20 + align4(length)) as u64,
        ghosts: 0,
    };
    let count = field.data.count() as u64;
    let value = match (field.data.data_type().shape(), field.data) {
        (Shape::Scalar { words }, _) => Size {
            wire: 4 * words as u64,
            ghosts: 0,
        },
        (Shape::Counted { .. }, _) if count == 0 => Size { wire: 0, ghosts: 4 },
        (Shape::Counted { words }, _) => Size {
            wire: 4 + 4 * words as u64 * count,
            ghosts: 0,
        },
        (_, Data::String(string)) => string_size(string)?,
        (_, Data::ByteArray(bytes)) => Size {
            wire: align4(bytes.len()) as u64,
            ghosts: 0,
        },
        (_, Data::StringArray(strings)) => {
            let mut sum = Size::default();
            for string in strings {
                sum = sum.plus(string_size(string)?);
            }
            sum
        }
        (_, Data::Nvlist(fields)) => list_size(fields, depth_left)?,
        (_, Data::NvlistArray(lists)) => {
            let mut sum = Size::default();
            for fields in lists {
                sum = sum.plus(list_size(fields, depth_left)?);
            }
            sum
        }
        _ => Size::default(),
    };
    Ok(head.plus(value))
}

fn string_size(string: &[u8]) -> Result<Size, PackError> {
    match string.iter().position(|byte| *byte == 0) {
        Some(offset) => Err(PackError::StringWithNul { offset }),
        None => Ok(Size {
            wire: (4 + align4(string.len())) as u64,
            ghosts: 0,
        }),
    }
}

fn put_word(word: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&word.to_be_bytes());
}

fn put_double_word(words: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&words.to_be_bytes());
}

fn put_padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    let padding = align4(bytes.len()) - bytes.len();
    out.extend_from_slice(&[0; 3][..padding]);
}

fn put_string(string: &[u8], out: &mut Vec<u8>) {
    put_word(string.len() as u32, out);
    put_padded(string, out);
}

/// Version, flags, pairs, end mark. Sizes were checked to fit.
fn put_list(fields: &[Field<'_>], out: &mut Vec<u8>) -> Result<(), PackError> {
    put_word(0, out);
    put_word(1, out);
    for field in fields {
        // Depth was checked by the first pass; what is wanted here is only the size.
        let size = pair_size(field, Limits::DEFAULT_MAX_DEPTH)?;
        put_word(size.wire.saturating_add(size.ghosts) as u32, out);
        put_word(
            decoded_size(field.name.len(), field.data.native()) as u32,
            out,
        );
        put_string(field.name, out);
        put_word(u32::from(field.data.data_type().number()), out);
        put_word(field.data.count() as u32, out);
        put_data(&field.data, out)?;
    }
    put_double_word(0, out);
    Ok(())
}

fn put_data(data: &Data<'_>, out: &mut Vec<u8>) -> Result<(), PackError> {
    if let Shape::Counted { .. } = data.data_type().shape() {
        if data.count() == 0 {
            return Ok(());
        }
        put_word(data.count() as u32, out);
    }
    match *data {
        Data::Boolean => {}
        Data::Byte(byte) | Data::Uint8(byte) => put_word(words::extend(byte), out),
        Data::Int8(integer) => put_word(integer as u32, out),
        Data::Int16(integer) => put_word(integer as u32, out),
        Data::Uint16(integer) => put_word(u32::from(integer), out),
        Data::Int32(integer) => put_word(integer as u32, out),
        Data::Uint32(integer) => put_word(integer, out),
        Data::Int64(integer) | Data::Hrtime(integer) => put_double_word(integer as u64, out),
        Data::Uint64(integer) => put_double_word(integer, out),
        Data::BooleanValue(boolean) => put_word(u32::from(boolean), out),
        Data::String(string) => put_string(string, out),
        Data::ByteArray(bytes) => put_padded(bytes, out),
        Data::Int16Array(integers) => integers.iter().for_each(|i| put_word(*i as u32, out)),
        Data::Uint16Array(integers) => integers.iter().for_each(|i| put_word((*i).into(), out)),
        Data::Int32Array(integers) => integers.iter().for_each(|i| put_word(*i as u32, out)),
        Data::Uint32Array(integers) => integers.iter().for_each(|i| put_word(*i, out)),
        Data::Int64Array(integers) => {
            integers
                .iter()
                .for_each(|i| put_double_word(*i as u64, out));
        }
        Data::Uint64Array(integers) => integers.iter().for_each(|i| put_double_word(*i, out)),
        Data::BooleanArray(booleans) => booleans.iter().for_each(|b| put_word((*b).into(), out)),
        Data::Int8Array(bytes) | Data::Uint8Array(bytes) => words::expand(bytes, out),
        Data::StringArray(strings) => strings.iter().for_each(|string| put_string(string, out)),
        Data::Nvlist(fields) => put_list(fields, out)?,
        Data::NvlistArray(lists) => {
            for fields in lists {
                put_list(fields, out)?;
            }
        }
    }
    Ok(())
}
