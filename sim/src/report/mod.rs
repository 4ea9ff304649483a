// SPDX-License-Identifier: MPL-2.0
//! What people read: tables, ladder diagrams, colour, progress.
//!
//! Everything here turns values into text and knows nothing of worlds.

pub mod ladder;
pub mod style;
pub mod table;

/// A number with a comma between thousands, as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the largest unit that divides it without a rest worth telling: `512 B`,
/// `64.0 MiB`, `1.5 GiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    // Tenths, rounded down, in integers: the text is part of what tests compare.
    let mut unit = 0;
    while unit + 1 < UNITS.len() && number >> (10 * (unit + 2)) > 0 {
        unit += 1;
    }
    let shift = 10 * (unit as u32 + 1);
    let tenths = (u128::from(number) * 10) >> shift;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let texts: Vec<String> = [0, 999, 1000, 12_345, 123_456, 1_234_567]
            .map(thousands)
            .to_vec();
        assert_eq!(
            texts,
            ["0", "999", "1,000", "12,345", "123,456", "1,234,567"]
        );
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_have_units() {
        let texts: Vec<String> = [0, 1023, 1024, 1536, 64 << 20, (1 << 31) - 1, 1 << 31]
            .map(bytes)
            .to_vec();
        assert_eq!(
            texts,
            [
                "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "64.0 MiB", "1.9 GiB", "2.0 GiB"
            ]
        );
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
    }
}
