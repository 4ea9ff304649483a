// SPDX-License-Identifier: MPL-2.0
//! Bytes as hexadecimal text.

use thiserror::Error;

/// A text is not hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HexError {
    /// A character that is no hexadecimal digit.
    #[error("byte {found:#04x} at {offset} is no hexadecimal digit")]
    NotADigit {
        /// Bytes from the start of the text.
        offset: usize,
        /// The byte there.
        found: u8,
    },
    /// A digit too few or too many.
    #[error("{length} hexadecimal digits; expected an even number, two for each byte")]
    OddLength {
        /// How many there are.
        length: usize,
    },
}

/// Appends the lower-case text of `bytes`: two digits each.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    out.reserve(2 * bytes.len());
    let mut block = [[0u8; 2]; 256];
    for chunk in bytes.chunks(block.len()) {
        for (text, byte) in block.iter_mut().zip(chunk) {
            *text = [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 0xF)],
            ];
        }
        out.extend_from_slice(block[..chunk.len()].as_flattened());
    }
}

/// The lower-case text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    encode_into(bytes, &mut out);
    // Digits are ASCII, so nothing is lost.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the bytes that a text in lower or upper case stands for.
///
/// # Errors
///
/// The text is not hexadecimal; what was appended until then is no use.
pub fn decode_into(text: &[u8], out: &mut Vec<u8>) -> Result<(), HexError> {
    let (pairs, rest) = text.as_chunks::<2>();
    let start = out.len();
    // A digit that is none has high bits set, which are gathered and looked at once.
    let mut bad = 0;
    out.extend(pairs.iter().map(|[high, low]| {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        bad |= high | low;
        high << 4 | low
    }));
    if bad & NOT_A_DIGIT != 0 || !rest.is_empty() {
        out.truncate(start);
        let is_bad = |byte: &u8| VALUES[usize::from(*byte)] == NOT_A_DIGIT;
        return Err(match text.iter().position(is_bad) {
            Some(offset) => HexError::NotADigit {
                offset,
                found: text[offset],
            },
            None => HexError::OddLength { length: text.len() },
        });
    }
    Ok(())
}

/// The bytes that a text in lower or upper case stands for.
///
/// # Errors
///
/// The text is not hexadecimal.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, HexError> {
    let mut out = Vec::new();
    decode_into(text, &mut out)?;
    Ok(out)
}

/// Of each byte, the value of the digit that it is.
const VALUES: [u8; 256] = {
    let mut values = [NOT_A_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NOT_A_DIGIT: u8 = 0xF0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let bytes: Vec<u8> = (0..=255).chain(0..=255).chain([7]).collect();
        let text = encode(&bytes);
        assert!(text.starts_with("000102") && text.ends_with("feff07"));
        assert_eq!(decode(text.as_bytes()), Ok(bytes.clone()));
        assert_eq!(decode(text.to_uppercase().as_bytes()), Ok(bytes));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let not_a_digit = HexError::NotADigit {
            offset: 3,
            found: b'g',
        };
        assert_eq!(decode(b"00fg00"), Err(not_a_digit));
        assert_eq!(decode(b"00f"), Err(HexError::OddLength { length: 3 }));
        assert_eq!(
            decode(b"0x"),
            Err(HexError::NotADigit {
                offset: 1,
                found: b'x'
            })
        );
        assert_eq!(decode(b""), Ok(Vec::new()));
        let mut kept = vec![1];
        assert!(decode_into(b"22zz", &mut kept).is_err());
        assert_eq!(kept, [1]);
    }
}
