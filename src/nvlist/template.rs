// SPDX-License-Identifier: MPL-2.0
//! Pairs whose name and type are known beforehand: what precedes their value on the wire, worked
//! out when the program is compiled. Messages consist of little else.

use super::{DataType, Shape, align4, decoded_size};

/// Bytes of a pair before its value: two sizes, name, type, element count.
const fn head_len(name: &str) -> usize {
    8 + 4 + align4(name.len()) + 8
}

/// Bytes at the start of the value that stand in a [`Template`]: all of a scalar, the count word
/// of an array, the length of a string, version and flags of an embedded list.
const fn slot_len(data_type: DataType) -> usize {
    match data_type.shape() {
        Shape::Scalar { words } => 4 * words,
        Shape::String | Shape::Counted { .. } => 4,
        Shape::List => 8,
        Shape::Nothing | Shape::Octets | Shape::Strings | Shape::Lists => 0,
    }
}

/// The length of a [`Template`].
pub(crate) const fn template_len(name: &str, data_type: DataType) -> usize {
    head_len(name) + slot_len(data_type)
}

/// A pair up to and with the first words of its value. `N` is its [`template_len`].
#[derive(Debug)]
pub(crate) struct Template<const N: usize> {
    /// The name.
    pub(crate) name: &'static str,
    /// The type.
    pub(crate) data_type: DataType,
    /// The bytes, with zeros for what differs from pair to pair.
    pub(crate) bytes: [u8; N],
}

impl<const N: usize> Template<N> {
    /// For a name without NUL, shorter than the limit.
    pub(crate) const fn new(name: &'static str, data_type: DataType) -> Template<N> {
        assert!(N == template_len(name, data_type), "N is the template_len");
        let mut bytes = [0; N];
        let text = name.as_bytes();
        put(&mut bytes, 8, text.len() as u32);
        let mut index = 0;
        while index < text.len() {
            bytes[12 + index] = text[index];
            index += 1;
        }
        let head = head_len(name);
        put(&mut bytes, head - 8, data_type.number() as u32);
        put(&mut bytes, head - 4, 1);
        put(&mut bytes, 0, N as u32);
        let native = decoded_size(name.len(), data_type.native_element());
        put(&mut bytes, 4, native as u32);
        if let Shape::List = data_type.shape() {
            // Flags: unique names.
            put(&mut bytes, head + 4, 1);
        }
        Template {
            name,
            data_type,
            bytes,
        }
    }

    /// Completes a pair that was made from [`Template::bytes`], an array of so many bytes (far
    /// below 2^29). An empty one lacks its last word, the count word, although its size counts
    /// it.
    #[inline]
    pub(crate) const fn put_array(&self, pair: &mut [u8; N], count: usize) {
        put(pair, 0, (N + 4 * count) as u32);
        put(pair, 4, self.array_size(count));
        put(pair, N - 8, count as u32);
        put(pair, N - 4, count as u32);
    }

    /// Completes a string of so many bytes (far below 2^31).
    #[inline]
    pub(crate) const fn put_string(&self, pair: &mut [u8; N], length: usize) {
        put(pair, 0, (N + align4(length)) as u32);
        let native = length as u64 + 1;
        put(pair, 4, decoded_size(self.name.len(), native) as u32);
        put(pair, N - 4, length as u32);
    }

    /// Completes an embedded list whose pairs and end mark take so many bytes (far below 2^31).
    #[inline]
    pub(crate) const fn put_list(&self, pair: &mut [u8; N], rest: usize) {
        put(pair, 0, (N + rest) as u32);
    }

    /// The decoded size of an array of so many bytes.
    #[inline]
    const fn array_size(&self, count: usize) -> u32 {
        decoded_size(self.name.len(), count as u64) as u32
    }

    /// Whether these bytes precede the count word of an array of so many bytes. (The size on the
    /// wire, which comes first, is not looked at: nobody does.)
    #[inline]
    pub(crate) fn precedes_array(&self, pair: &[u8; N], count: usize) -> bool {
        // Word for word from where they lie: to build what is expected and compare that would
        // wait for the bytes just built.
        pair[8..N - 8] == self.bytes[8..N - 8]
            && word_at(pair, 4) == self.array_size(count)
            && word_at(pair, N - 8) as usize == count
    }
}

#[inline]
fn word_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

/// Puts a word where it belongs.
#[inline]
pub(crate) const fn put<const N: usize>(bytes: &mut [u8; N], at: usize, word: u32) {
    let word = word.to_be_bytes();
    bytes[at] = word[0];
    bytes[at + 1] = word[1];
    bytes[at + 2] = word[2];
    bytes[at + 3] = word[3];
}

/// A constant [`Template`] for each name and type.
macro_rules! templates {
    ($($constant:ident = $name:literal, $data_type:ident;)*) => {$(
        pub(crate) static $constant: $crate::nvlist::template::Template<{
            $crate::nvlist::template::template_len($name, $crate::nvlist::DataType::$data_type)
        }> = $crate::nvlist::template::Template::new($name, $crate::nvlist::DataType::$data_type);
    )*};
}
pub(crate) use templates;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvlist::{Data, Field, pack};

    templates! {
        SCALAR = "abcde", Uint8;
        WIDE = "abcdefgh", Uint64;
        ARRAY = "a", Uint8Array;
        STRING = "abc", String;
        LIST = "abcdefg", Nvlist;
    }

    /// The bytes of a pair as the general writer packs it, after preamble and before end mark.
    fn packed(name: &str, data: Data<'_>) -> Vec<u8> {
        let name = name.as_bytes();
        let mut out = Vec::new();
        pack(&[Field { name, data }], &mut out).expect("it can be packed");
        out.split_off(12)
    }

    #[test]
    fn templates_are_what_the_writer_writes() {
        fn check<const N: usize>(
            template: &Template<N>,
            complete: impl FnOnce(&mut [u8; N]),
            data: Data<'_>,
        ) {
            let mut pair = template.bytes;
            complete(&mut pair);
            let packed = packed(template.name, data);
            let absent = if data == Data::Uint8Array(b"") { 4 } else { 0 };
            assert_eq!(pair[..N - absent], packed[..N - absent], "{data:?}");
        }
        check(&SCALAR, |pair| pair[N_SCALAR - 1] = 7, Data::Uint8(7));
        check(&WIDE, |_| {}, Data::Uint64(0));
        check(
            &ARRAY,
            |pair| ARRAY.put_array(pair, 3),
            Data::Uint8Array(b"xyz"),
        );
        check(
            &ARRAY,
            |pair| ARRAY.put_array(pair, 0),
            Data::Uint8Array(b""),
        );
        check(
            &STRING,
            |pair| STRING.put_string(pair, 5),
            Data::String(b"hello"),
        );
        check(
            &STRING,
            |pair| STRING.put_string(pair, 0),
            Data::String(b""),
        );
        check(&LIST, |pair| LIST.put_list(pair, 8), Data::Nvlist(&[]));
    }
    const N_SCALAR: usize = template_len("abcde", DataType::Uint8);

    #[test]
    fn an_array_is_recognised_by_all_but_its_size_on_the_wire() {
        let mut pair = ARRAY.bytes;
        ARRAY.put_array(&mut pair, 3);
        assert!(ARRAY.precedes_array(&pair, 3));
        assert!(!ARRAY.precedes_array(&pair, 4));
        for index in 0..pair.len() {
            let mut damaged = pair;
            damaged[index] ^= 1;
            let looked_at = (4..pair.len() - 4).contains(&index);
            assert_eq!(
                ARRAY.precedes_array(&damaged, 3),
                !looked_at,
                "byte {index}"
            );
        }
    }
}
