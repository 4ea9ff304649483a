// SPDX-License-Identifier: MPL-2.0
//! Bytes that travel a word each: the hot loop of the codec.
//!
//! Arrays of 8-bit integers take four bytes on the wire for each of theirs. A kernel on x86
//! sends bytes of 0x80 and over sign-extended, and so does [`expand`]; one with unsigned char
//! extends with zeros, so [`compress`] takes the low byte and ignores the rest. Both loops are
//! written so that the compiler can use vector instructions.

/// Bytes expanded at a time: the words of a block stay in the nearest cache while they are
/// copied to the end of the output, which so needs no clearing beforehand.
const BLOCK: usize = 1024;

/// Appends the word of each byte, sign-extended and big-endian: `4 * bytes.len()` bytes.
pub fn expand(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().saturating_mul(4));
    if bytes.len() <= 64 {
        let mut words = [0u8; 4 * 64];
        expand_into(bytes, &mut words);
        out.extend_from_slice(&words[..4 * bytes.len()]);
        return;
    }
    let mut words = [0u8; 4 * BLOCK];
    for block in bytes.chunks(BLOCK) {
        expand_into(block, &mut words);
        out.extend_from_slice(&words[..4 * block.len()]);
    }
}

/// As [`expand`], over the front of `words`, which has at least four bytes for each of `bytes`.
#[inline]
fn expand_into(bytes: &[u8], words: &mut [u8]) {
    let (words, _) = words.as_chunks_mut::<4>();
    for (word, byte) in words.iter_mut().zip(bytes) {
        *word = extend(*byte);
    }
}

/// The word of one byte, sign-extended and big-endian.
#[inline]
pub(crate) const fn extend(byte: u8) -> [u8; 4] {
    (byte as i8 as i32).to_be_bytes()
}

/// Appends the low byte of each big-endian word. Bytes after the last whole word are ignored.
pub fn compress(words: &[u8], out: &mut Vec<u8>) {
    let (words, _) = words.as_chunks::<4>();
    out.extend(words.iter().map(|word| u32::from_be_bytes(*word) as u8));
}

/// The low bytes of as many words as there are places in `out`; `None` when there are not
/// exactly as many words.
pub fn compress_exact<const N: usize>(words: &[u8]) -> Option<[u8; N]> {
    let (words, []) = words.as_chunks::<4>() else {
        return None;
    };
    let words: &[[u8; 4]; N] = words.try_into().ok()?;
    Some(words.map(|word| u32::from_be_bytes(word) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_block_edge_survives() {
        for length in [
            0,
            1,
            3,
            15,
            16,
            17,
            63,
            64,
            65,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            3 * BLOCK + 7,
        ] {
            let bytes: Vec<u8> = (0..length)
                .map(|index| (index * 37 + index / 256) as u8)
                .collect();
            let mut words = vec![0xEE];
            expand(&bytes, &mut words);
            assert_eq!(words.len(), 1 + 4 * length);
            let mut back = vec![0xDD];
            compress(&words[1..], &mut back);
            assert_eq!(&back[1..], bytes, "length {length}");
        }
    }

    #[test]
    fn signs_extend_and_are_ignored() {
        let mut words = Vec::new();
        expand(&[0x7F, 0x80, 0xFF, 0], &mut words);
        let wire = [
            0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0x80, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0,
        ];
        assert_eq!(words, wire);
        let mut back = Vec::new();
        compress(&[0, 0, 0, 0x80, 1, 2, 3, 4, 9], &mut back);
        assert_eq!(back, [0x80, 4]);
        assert_eq!(
            compress_exact::<2>(&[0, 0, 0, 0x80, 1, 2, 3, 4]),
            Some([0x80, 4])
        );
        assert_eq!(compress_exact::<2>(&[0, 0, 0, 0x80]), None);
    }
}
