// SPDX-License-Identifier: MPL-2.0
//! Bytes that travel a word each: the hot loop of the codec.
//!
//! Arrays of 8-bit integers take four bytes on the wire for each of theirs. A kernel on x86
//! sends bytes of 0x80 and over sign-extended, and so does [`expand`]; one with unsigned char
//! extends with zeros, so [`compress`] takes the low byte and ignores the rest.
//!
//! Both work on blocks of sixteen bytes, which on x86-64 are shuffled in vector registers: the
//! compiler does not find these few instructions by itself, and needs five times as long for
//! what it finds. Elsewhere it is left to find its own.

/// Appends the word of each byte, sign-extended and big-endian: `4 * bytes.len()` bytes.
pub fn expand(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().saturating_mul(4));
    // Four blocks at a time go from registers to their place with one check of the capacity.
    let (blocks, rest) = bytes.as_chunks::<16>();
    let (fours, blocks) = blocks.as_chunks::<4>();
    for [a, b, c, d] in fours {
        let words = [
            block::expand(a),
            block::expand(b),
            block::expand(c),
            block::expand(d),
        ];
        out.extend_from_slice(words.as_flattened());
    }
    for block in blocks {
        out.extend_from_slice(&block::expand(block));
    }
    if !rest.is_empty() {
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        out.extend_from_slice(&block::expand(&last)[..4 * rest.len()]);
    }
}

/// Appends the low byte of each big-endian word. Bytes after the last whole word are ignored.
pub fn compress(words: &[u8], out: &mut Vec<u8>) {
    out.reserve(words.len() / 4);
    let (blocks, rest) = words.as_chunks::<64>();
    for block in blocks {
        out.extend_from_slice(&block::compress(block));
    }
    let (words, _) = rest.as_chunks::<4>();
    out.extend(words.iter().map(|word| low_byte(*word)));
}

/// The low bytes of as many words as there are places in `out`; `None` when there are not
/// exactly as many words.
pub fn compress_exact<const N: usize>(words: &[u8]) -> Option<[u8; N]> {
    if words.len() != N * 4 {
        return None;
    }
    let mut out = [0; N];
    let (whole, rest) = out.as_chunks_mut::<16>();
    let (blocks, words) = words.as_chunks::<64>();
    for (bytes, block) in whole.iter_mut().zip(blocks) {
        *bytes = block::compress(block);
    }
    for (byte, word) in rest.iter_mut().zip(words.as_chunks().0) {
        *byte = low_byte(*word);
    }
    Some(out)
}

/// The word of one byte, sign-extended.
#[inline]
pub(crate) const fn extend(byte: u8) -> u32 {
    byte as i8 as u32
}

#[inline]
const fn low_byte(word: [u8; 4]) -> u8 {
    u32::from_be_bytes(word) as u8
}

/// Sixteen bytes and their words, in vector registers.
#[cfg(target_arch = "x86_64")]
mod block {
    use safe_arch::{
        cmp_gt_mask_i8_m128i, m128i, pack_i16_to_u8_m128i, pack_i32_to_i16_m128i,
        shr_imm_u32_m128i, unpack_high_i8_m128i, unpack_high_i16_m128i, unpack_low_i8_m128i,
        unpack_low_i16_m128i,
    };

    /// The words of sixteen bytes.
    #[inline]
    pub(super) fn expand(bytes: &[u8; 16]) -> [u8; 64] {
        let bytes = m128i::from(*bytes);
        // Of each byte, eight times its sign: what the three high bytes of its word are.
        let signs = cmp_gt_mask_i8_m128i(m128i::from([0u8; 16]), bytes);
        let high_halves = [
            unpack_low_i8_m128i(signs, signs),
            unpack_high_i8_m128i(signs, signs),
        ];
        let low_halves = [
            unpack_low_i8_m128i(signs, bytes),
            unpack_high_i8_m128i(signs, bytes),
        ];
        let words = [
            unpack_low_i16_m128i(high_halves[0], low_halves[0]),
            unpack_high_i16_m128i(high_halves[0], low_halves[0]),
            unpack_low_i16_m128i(high_halves[1], low_halves[1]),
            unpack_high_i16_m128i(high_halves[1], low_halves[1]),
        ];
        let words: [[u8; 16]; 4] = words.map(Into::into);
        let mut out = [0; 64];
        out.copy_from_slice(words.as_flattened());
        out
    }

    /// The low bytes of sixteen words.
    #[inline]
    pub(super) fn compress(words: &[u8; 64]) -> [u8; 16] {
        let (quarters, _) = words.as_chunks::<16>();
        // The last byte of a big-endian word is the high one here.
        let low = |index: usize| shr_imm_u32_m128i::<24>(m128i::from(quarters[index]));
        let halves = [
            pack_i32_to_i16_m128i(low(0), low(1)),
            pack_i32_to_i16_m128i(low(2), low(3)),
        ];
        pack_i16_to_u8_m128i(halves[0], halves[1]).into()
    }
}

/// Sixteen bytes and their words, one by one.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    /// The words of sixteen bytes.
    #[inline]
    pub(super) fn expand(bytes: &[u8; 16]) -> [u8; 64] {
        let mut out = [0; 64];
        for (word, byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
            *word = super::extend(*byte).to_be_bytes();
        }
        out
    }

    /// The low bytes of sixteen words.
    #[inline]
    pub(super) fn compress(words: &[u8; 64]) -> [u8; 16] {
        let mut out = [0; 16];
        for (byte, word) in out.iter_mut().zip(words.as_chunks().0) {
            *byte = super::low_byte(*word);
        }
        out
    }
}
#[cfg(not(target_arch = "x86_64"))]
use portable as block;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_block_edge_survives() {
        for length in [0, 1, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 4096] {
            let bytes: Vec<u8> = (0..length)
                .map(|index| (index * 37 + index / 256) as u8)
                .collect();
            let mut words = vec![0xEE];
            expand(&bytes, &mut words);
            let one_by_one: Vec<u8> = bytes
                .iter()
                .flat_map(|byte| extend(*byte).to_be_bytes())
                .collect();
            assert_eq!(words[1..], one_by_one, "length {length}");
            let mut back = vec![0xDD];
            compress(&words[1..], &mut back);
            assert_eq!(back[1..], bytes, "length {length}");
        }
    }

    #[test]
    fn blocks_in_registers_and_one_by_one_agree() {
        for start in 0..=255u8 {
            let bytes: [u8; 16] = std::array::from_fn(|index| start.wrapping_add(17 * index as u8));
            let words = block::expand(&bytes);
            assert_eq!(words, portable::expand(&bytes));
            assert_eq!(block::compress(&words), bytes);
            let noise: [u8; 64] = std::array::from_fn(|index| start.wrapping_mul(index as u8 ^ 5));
            assert_eq!(block::compress(&noise), portable::compress(&noise));
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
        let two = compress_exact::<2>(&[0, 0, 0, 0x80, 1, 2, 3, 4]);
        assert_eq!(two, Some([0x80, 4]));
        assert_eq!(compress_exact::<2>(&[0, 0, 0, 0x80]), None);
        let bytes: [u8; 35] = std::array::from_fn(|index| 80 + 5 * index as u8);
        let mut words = Vec::new();
        expand(&bytes, &mut words);
        assert_eq!(compress_exact(&words), Some(bytes));
        assert_eq!(compress_exact::<35>(&words[1..]), None);
    }
}
