// SPDX-License-Identifier: MPL-2.0
//! Reading packed lists in place.

use super::{
    Booleans, Bytes, DataType, HEADER_LEN, Integers, LOOKUP_FLAGS, Limits, Lists, LookupError,
    NAME_LIMIT, NvlistError, NvlistProblem, PACKED_LIMIT, Shape, Strings, Value, align4,
    decoded_size,
};
use std::fmt;

/// The sizes, the length of the name, type and element count: what a pair has at the least.
const PAIR_LEN: u64 = 20;

/// What the smallest pair takes in the memory of a 64-bit host.
const LEAST_DECODED_SIZE: u64 = 24;

/// A list inside packed bytes that were checked as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    packed: &'a [u8],
    /// Where the first pair, or the end mark, begins.
    start: usize,
    flags: u32,
}

/// A name and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// The name, as bytes without NUL.
    pub name: &'a [u8],
    /// The value.
    pub value: Value<'a>,
    /// Where the pair begins, in bytes from the start of the packed list.
    pub offset: usize,
    /// Where its value begins, in bytes from the start of the packed list.
    pub value_offset: usize,
}

impl<'a> List<'a> {
    /// Checks a packed list as a kernel does, and gives the outer list of it. What is accepted is
    /// what a kernel accepts, except where [`NvlistProblem::is_own_bound`] says otherwise; bytes
    /// after the end of the list are ignored.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the bytes.
    pub fn unpack(packed: &'a [u8], limits: &Limits) -> Result<List<'a>, NvlistError> {
        let limit = limits.max_size.min(PACKED_LIMIT);
        if packed.len() > limit {
            let size = packed.len();
            return Err(refused(0, NvlistProblem::TooLarge { size, limit }));
        }
        let mut cursor = Cursor { packed, at: 0 };
        match cursor.take(HEADER_LEN as u64, "the header")?.first() {
            Some(1) => {}
            Some(0) => return Err(refused(0, NvlistProblem::NativeEncoding)),
            found => {
                let found = found.copied().unwrap_or_default();
                return Err(refused(0, NvlistProblem::UnknownEncoding { found }));
            }
        }
        cursor.word("the version of the list")?;
        let flags = cursor.word("the flags of the list")?;
        let list = List {
            packed,
            start: cursor.at,
            flags,
        };
        let depth = Depth {
            left: limits.max_depth.min(Limits::HIGHEST_MAX_DEPTH),
            limit: limits.max_depth.min(Limits::HIGHEST_MAX_DEPTH),
        };
        cursor.pairs_to_end(depth.inside(0)?)?;
        Ok(list)
    }

    /// The outer list without any check of what is in it: its pairs end before the first that is
    /// damaged.
    pub(crate) fn open(packed: &'a [u8]) -> Option<List<'a>> {
        let mut cursor = Cursor { packed, at: 0 };
        let [1, _, _, _] = cursor.take(HEADER_LEN as u64, "the header").ok()? else {
            return None;
        };
        cursor.word("the version of the list").ok()?;
        let flags = cursor.word("the flags of the list").ok()?;
        Some(List {
            packed,
            start: cursor.at,
            flags,
        })
    }

    /// The list whose version word is at `at`, and where it ends. Only over bytes that
    /// [`List::unpack`] has accepted.
    pub(super) fn embedded(packed: &'a [u8], at: usize) -> Option<(List<'a>, usize)> {
        let mut cursor = Cursor { packed, at };
        let list = cursor.embedded(Depth::TRUSTED).ok()?;
        Some((list, cursor.at))
    }

    /// The flag word of the list: 1 for unique names in all that kernels send.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Where the first pair (or the end mark) begins, in bytes from the start of the packed list.
    pub fn offset(&self) -> usize {
        self.start
    }

    /// All pairs in the order of the wire, duplicates too.
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs {
            cursor: Cursor {
                packed: self.packed,
                at: self.start,
            },
        }
    }

    /// The first pair with that name and that type, as a kernel finds it.
    ///
    /// # Errors
    ///
    /// Also when the flags of the list forbid lookups, whatever it holds.
    pub fn lookup(&self, name: &[u8], data_type: DataType) -> Result<Pair<'a>, LookupError> {
        if self.flags & LOOKUP_FLAGS == 0 {
            return Err(LookupError::Flags { flags: self.flags });
        }
        let mut other = None;
        for pair in self.pairs().filter(|pair| pair.name == name) {
            let found = pair.value.data_type();
            if found == data_type {
                return Ok(pair);
            }
            other.get_or_insert(LookupError::WrongType {
                expected: data_type,
                found,
                offset: pair.offset,
            });
        }
        Err(other.unwrap_or(LookupError::Missing))
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.pairs()
                    .map(|pair| (pair.name.escape_ascii().to_string(), pair.value)),
            )
            .finish()
    }
}

/// The pairs of a list in turn; see [`List::pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    cursor: Cursor<'a>,
}

impl Pairs<'_> {
    /// Where the next pair (or the end mark) begins, in bytes from the start of the packed list;
    /// after the last pair was given and then nothing, where the list ends.
    pub fn offset(&self) -> usize {
        self.cursor.at
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        // The bytes were checked, so an error cannot come; if it did, the list would end there.
        self.cursor.pair(Depth::TRUSTED).ok().flatten()
    }
}

fn refused(offset: usize, problem: NvlistProblem) -> NvlistError {
    NvlistError { offset, problem }
}

/// How many lists may still be opened inside one another.
#[derive(Clone, Copy)]
struct Depth {
    left: u32,
    limit: u32,
}

impl Depth {
    /// For bytes that were checked before.
    const TRUSTED: Depth = Depth {
        left: Limits::HIGHEST_MAX_DEPTH,
        limit: Limits::HIGHEST_MAX_DEPTH,
    };

    /// One list further inside.
    fn inside(self, offset: usize) -> Result<Depth, NvlistError> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Depth { left, ..self }),
            None => {
                let limit = self.limit;
                Err(refused(offset, NvlistProblem::TooDeep { limit }))
            }
        }
    }
}

/// A place in packed bytes. Every read is checked against their end.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    packed: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.packed.len().saturating_sub(self.at)
    }

    #[inline]
    fn take(&mut self, length: u64, expected: &'static str) -> Result<&'a [u8], NvlistError> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.packed.get(self.at..)?.get(..length));
        match taken {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(refused(
                self.at,
                NvlistProblem::Truncated {
                    expected,
                    needed: length,
                    left: self.left(),
                },
            )),
        }
    }

    #[inline]
    fn word(&mut self, expected: &'static str) -> Result<u32, NvlistError> {
        let bytes = self.take(4, expected)?;
        Ok(bytes
            .first_chunk()
            .map_or(0, |word| u32::from_be_bytes(*word)))
    }

    fn double_word(&mut self, expected: &'static str) -> Result<u64, NvlistError> {
        let bytes = self.take(8, expected)?;
        Ok(bytes
            .first_chunk()
            .map_or(0, |words| u64::from_be_bytes(*words)))
    }

    /// A length, that many bytes, and padding of any content.
    #[inline]
    fn string(&mut self, expected: &'static str) -> Result<&'a [u8], NvlistError> {
        let length = self.word(expected)?;
        let padded = (u64::from(length) + 3) & !3;
        let bytes = self.take(padded, expected)?;
        Ok(bytes.get(..length as usize).unwrap_or(bytes))
    }

    /// All pairs up to and with the end mark.
    fn pairs_to_end(&mut self, depth: Depth) -> Result<(), NvlistError> {
        while self.pair(depth)?.is_some() {}
        Ok(())
    }

    /// An embedded list from its version to its end mark.
    fn embedded(&mut self, depth: Depth) -> Result<List<'a>, NvlistError> {
        let at = self.at;
        let depth = depth.inside(at)?;
        let found = self.word("the version of an embedded list")? as i32;
        // Lists of version 0 are all that is sent. Kernels were seen to take a negative version.
        if found > 0 {
            return Err(refused(at, NvlistProblem::EmbeddedVersion { found }));
        }
        let flags = self.word("the flags of an embedded list")?;
        let list = List {
            packed: self.packed,
            start: self.at,
            flags,
        };
        self.pairs_to_end(depth)?;
        Ok(list)
    }

    /// The next pair, or `None` after the end mark.
    fn pair(&mut self, depth: Depth) -> Result<Option<Pair<'a>>, NvlistError> {
        let offset = self.at;
        let left = self.left() as u64;
        // The encoded size is not looked at: kernels ignore it.
        self.word("the encoded size of a pair")?;
        let size_at = self.at;
        let size = self.word("the decoded size of a pair")? as i32;
        if size == 0 {
            return Ok(None);
        }
        let room = left.saturating_sub(PAIR_LEN);
        let most = LEAST_DECODED_SIZE + 2 * room + align4(room as usize / 4) as u64;
        if size < LEAST_DECODED_SIZE as i32 || size as u64 > most {
            let problem = NvlistProblem::DecodedSizeRange {
                found: size,
                least: LEAST_DECODED_SIZE,
                most,
            };
            return Err(refused(size_at, problem));
        }
        let name_at = self.at;
        let name = self.string("a name")?;
        if name.len() >= NAME_LIMIT {
            let found = name.len() as u32;
            return Err(refused(name_at, NvlistProblem::NameTooLong { found }));
        }
        if name.contains(&0) {
            return Err(refused(name_at, NvlistProblem::NameWithNul));
        }
        let type_at = self.at;
        let found = self.word("a type")? as i32;
        let Some(data_type) = DataType::from_number(found) else {
            return Err(refused(type_at, NvlistProblem::UnknownType { found }));
        };
        let count = self.count(data_type)?;
        let value_offset = self.at;
        let (value, native) = self.value(data_type, count, depth)?;
        let expected = decoded_size(name.len(), native);
        if size as u64 != expected {
            let found = size;
            return Err(refused(
                size_at,
                NvlistProblem::DecodedSize { found, expected },
            ));
        }
        Ok(Some(Pair {
            name,
            value,
            offset,
            value_offset,
        }))
    }

    /// The element count of a pair.
    #[inline]
    fn count(&mut self, data_type: DataType) -> Result<u32, NvlistError> {
        let at = self.at;
        let found = self.word("an element count")? as i32;
        let (fits, expected) = match data_type.shape() {
            Shape::Nothing => (found == 0, "0"),
            Shape::Scalar { .. } | Shape::String | Shape::List => (found == 1, "1"),
            Shape::Octets | Shape::Counted { .. } | Shape::Strings | Shape::Lists => {
                (found >= 0, "0 or more")
            }
        };
        if fits {
            Ok(found as u32)
        } else {
            let problem = NvlistProblem::ElementCount {
                data_type,
                found,
                expected,
            };
            Err(refused(at, problem))
        }
    }

    /// A value, and what it takes in the memory of a 64-bit host.
    fn value(
        &mut self,
        data_type: DataType,
        count: u32,
        depth: Depth,
    ) -> Result<(Value<'a>, u64), NvlistError> {
        let native = u64::from(count).saturating_mul(data_type.native_element());
        let value = match data_type {
            DataType::Boolean => Value::Boolean,
            // Of a narrow integer the low bits count; the rest extends the sign, or should.
            DataType::Byte => Value::Byte(self.word("a value")? as u8),
            DataType::Int8 => Value::Int8(self.word("a value")? as i8),
            DataType::Uint8 => Value::Uint8(self.word("a value")? as u8),
            DataType::Int16 => Value::Int16(self.word("a value")? as i16),
            DataType::Uint16 => Value::Uint16(self.word("a value")? as u16),
            DataType::Int32 => Value::Int32(self.word("a value")? as i32),
            DataType::Uint32 => Value::Uint32(self.word("a value")?),
            DataType::Int64 => Value::Int64(self.double_word("a value")? as i64),
            DataType::Uint64 => Value::Uint64(self.double_word("a value")?),
            DataType::Hrtime => Value::Hrtime(self.double_word("a value")? as i64),
            DataType::BooleanValue => {
                let at = self.at;
                match self.word("a truth value")? {
                    0 => Value::BooleanValue(false),
                    1 => Value::BooleanValue(true),
                    found => return Err(refused(at, NvlistProblem::TruthValue { found })),
                }
            }
            DataType::String => {
                let string = self.string_value()?;
                return Ok((Value::String(string), string.len() as u64 + 1));
            }
            DataType::ByteArray => {
                let padded = (u64::from(count) + 3) & !3;
                let bytes = self.take(padded, "the bytes of an array")?;
                Value::ByteArray(bytes.get(..count as usize).unwrap_or(bytes))
            }
            DataType::Int16Array => Value::Int16Array(Integers::new(self.counted(count, 4)?)),
            DataType::Uint16Array => Value::Uint16Array(Integers::new(self.counted(count, 4)?)),
            DataType::Int32Array => Value::Int32Array(Integers::new(self.counted(count, 4)?)),
            DataType::Uint32Array => Value::Uint32Array(Integers::new(self.counted(count, 4)?)),
            DataType::Int64Array => Value::Int64Array(Integers::new(self.counted(count, 8)?)),
            DataType::Uint64Array => Value::Uint64Array(Integers::new(self.counted(count, 8)?)),
            DataType::BooleanArray => Value::BooleanArray(Booleans::new(self.counted(count, 4)?)),
            DataType::Int8Array => Value::Int8Array(Bytes::new(self.counted(count, 4)?)),
            DataType::Uint8Array => Value::Uint8Array(Bytes::new(self.counted(count, 4)?)),
            DataType::StringArray => {
                let start = self.at;
                let mut bytes = 0;
                for _ in 0..count {
                    bytes += self.string_value()?.len() as u64 + 1;
                }
                let strings = Strings {
                    wire: self.packed.get(start..self.at).unwrap_or_default(),
                    count: count as usize,
                };
                return Ok((Value::StringArray(strings), native.saturating_add(bytes)));
            }
            DataType::Nvlist => Value::Nvlist(self.embedded(depth)?),
            DataType::NvlistArray => {
                let lists = Lists {
                    packed: self.packed,
                    start: self.at,
                    count: count as usize,
                };
                for _ in 0..count {
                    self.embedded(depth)?;
                }
                Value::NvlistArray(lists)
            }
        };
        Ok((value, native))
    }

    /// A string that is a value.
    fn string_value(&mut self) -> Result<&'a [u8], NvlistError> {
        let at = self.at;
        let string = self.string("a string")?;
        if string.contains(&0) {
            return Err(refused(at, NvlistProblem::StringWithNul));
        }
        Ok(string)
    }

    /// The elements of an array after its count word, which is absent when there are none.
    fn counted(&mut self, expected: u32, element: u64) -> Result<&'a [u8], NvlistError> {
        if expected == 0 {
            return Ok(&[]);
        }
        let at = self.at;
        let found = self.word("the count word of an array")?;
        if found != expected {
            return Err(refused(at, NvlistProblem::CountWord { found, expected }));
        }
        self.take(u64::from(expected) * element, "the elements of an array")
    }
}
