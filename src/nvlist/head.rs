// SPDX-License-Identifier: MPL-2.0
//! What precedes the value of a pair whose name and type are known beforehand, worked out when
//! the program is compiled: messages consist of little else.

use super::{DataType, Shape, align4, decoded_size};

/// Bytes before the value of a pair: two sizes, name, type, element count.
pub(crate) const fn head_len(name: &str) -> usize {
    8 + 4 + align4(name.len()) + 8
}

/// A name, its type, and the bytes that precede its value. `N` is [`head_len`] of the name.
#[derive(Debug)]
pub(crate) struct Head<const N: usize> {
    /// The name.
    pub(crate) name: &'static str,
    /// The type.
    pub(crate) data_type: DataType,
    /// The bytes. For scalars they are complete; for other types [`Head::sized`] completes them.
    pub(crate) bytes: [u8; N],
}

impl<const N: usize> Head<N> {
    /// For a name without NUL, shorter than the limit.
    pub(crate) const fn new(name: &'static str, data_type: DataType) -> Head<N> {
        assert!(N == head_len(name), "N is head_len(name)");
        let mut bytes = [0; N];
        let text = name.as_bytes();
        put(&mut bytes, 8, text.len() as u32);
        let mut index = 0;
        while index < text.len() {
            bytes[12 + index] = text[index];
            index += 1;
        }
        put(&mut bytes, N - 8, data_type.number() as u32);
        let mut head = Head {
            name,
            data_type,
            bytes,
        };
        if let Shape::Scalar { words } = data_type.shape() {
            head.bytes = head.sized(1, 4 * words, data_type.native_element());
        }
        head
    }

    /// The bytes for a value of `count` elements, that takes `wire` bytes on the wire and
    /// `native` in the memory of a 64-bit host. All of them are far below 2^31.
    #[inline]
    pub(crate) const fn sized(&self, count: usize, wire: usize, native: u64) -> [u8; N] {
        let mut bytes = self.bytes;
        put(&mut bytes, 0, (N + wire) as u32);
        put(&mut bytes, 4, decoded_size(self.name.len(), native) as u32);
        put(&mut bytes, N - 4, count as u32);
        bytes
    }
}

#[inline]
const fn put<const N: usize>(bytes: &mut [u8; N], at: usize, word: u32) {
    let word = word.to_be_bytes();
    bytes[at] = word[0];
    bytes[at + 1] = word[1];
    bytes[at + 2] = word[2];
    bytes[at + 3] = word[3];
}

/// A constant [`Head`] for a name and a type.
macro_rules! heads {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $data_type:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) static $constant: $crate::nvlist::head::Head<
            { $crate::nvlist::head::head_len($name) },
        > = $crate::nvlist::head::Head::new($name, $crate::nvlist::DataType::$data_type);
    )*};
}
pub(crate) use heads;
