// SPDX-License-Identifier: MPL-2.0
//! How values look in listings of traces: numbers, times, bytes, text that others have written.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use stmf_proxy::message::hex;
use unicode_width::UnicodeWidthChar;

/// A number that tells things apart. Small ones are decimal; kernels that use addresses or
/// random numbers have large ones, which are hexadecimal.
pub(crate) fn id(number: u64) -> String {
    match number {
        0..=999_999 => number.to_string(),
        _ => format!("{number:#x}"),
    }
}

/// Text from a trace on one line of a terminal: line breaks, escape sequences and the like are
/// written as escapes.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Zero-width and direction marks too: they could make a line read as another.
            _ if character.width().is_none_or(|width| width == 0) => {
                out.extend(character.escape_unicode());
            }
            _ => out.push(character),
        }
    }
    out
}

/// A name from a trace, which is text as a rule: in quotes, other bytes as escapes.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// The number of a LUN in one of the two usual forms (peripheral and flat space addressing,
/// SAM-5 4.7); `None` for others.
pub(crate) fn lun_number(lun: &[u8; 8]) -> Option<u16> {
    let [first, second, rest @ ..] = lun;
    if rest != &[0; 6] {
        return None;
    }
    match first >> 6 {
        0 if *first == 0 => Some(u16::from(*second)),
        1 => Some(u16::from_be_bytes([first & 0x3F, *second])),
        _ => None,
    }
}

/// A LUN, by its number where it has one.
pub(crate) fn lun(lun: &[u8; 8]) -> String {
    lun_number(lun).map_or_else(|| hex::encode(lun), |number| number.to_string())
}

/// `1 byte`, `2 bytes`, with a comma between thousands.
pub(crate) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", crate::report::thousands(number))
}

/// Data by its length and digest: the first 16 bytes of its SHA-256, as recorders write them in
/// place of data.
pub(crate) fn data(bytes: &[u8]) -> String {
    let length = count(bytes.len() as u64, "byte");
    if bytes.is_empty() {
        return length;
    }
    let digest = Sha256::digest(bytes);
    format!("{length}, sha256 {}", hex::encode(&digest[..16]))
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars()
        .map(|character| character.width().unwrap_or(0))
        .sum()
}

/// The text in at most `room` columns; what does not fit gives way to an ellipsis.
pub(crate) fn fit(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = room.saturating_sub(1);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        out.push(character);
    }
    out.truncate(out.trim_end().len());
    if room > 0 {
        out.push('…');
    }
    out
}

/// The text in lines of at most `room` columns, broken between words where that can be; at
/// least one line.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        if let Some(line) = lines.last_mut()
            && !line.is_empty()
        {
            if width(line) + 1 + width(word) <= room {
                line.push(' ');
                line.push_str(word);
                continue;
            }
            lines.push(String::new());
        }
        // A word that is longer than a line is broken.
        loop {
            let mut taken = 0;
            let mut columns = 0;
            for (at, character) in word.char_indices() {
                columns += character.width().unwrap_or(0);
                if columns > room && at > 0 {
                    break;
                }
                taken = at + character.len_utf8();
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(&word[..taken]);
            }
            word = &word[taken..];
            if word.is_empty() {
                break;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// A length of time in nanoseconds with three digits or more, rounded down: `851 ns`, `12.3 us`,
/// `4.56 ms`, `75.0 s`, `12345 s`.
pub(crate) fn duration(nanoseconds: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let unit = UNITS.iter().rev().find(|(_, size)| nanoseconds >= *size);
    let Some((unit, size)) = unit else {
        return format!("{nanoseconds} ns");
    };
    let whole = nanoseconds / size;
    let thousandths = nanoseconds % size / (size / 1000);
    match whole {
        0..10 => format!("{whole}.{:02} {unit}", thousandths / 10),
        10..100 => format!("{whole}.{} {unit}", thousandths / 100),
        _ => format!("{whole} {unit}"),
    }
}

/// Nanoseconds as seconds with six decimals, rounded down (towards the past).
pub(crate) fn seconds(nanoseconds: i128) -> String {
    let micros = nanoseconds.div_euclid(1000);
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Day and time of day (UTC, to the microsecond) of nanoseconds since 1970.
pub(crate) fn calendar(unix: u64) -> (String, String) {
    let (days, of_day) = (unix / 86_400_000_000_000, unix % 86_400_000_000_000);
    // Days since 0000-03-01, in eras of 400 years; years begin in March, so that the leap day
    // is the last of a year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    let seconds = of_day / 1_000_000_000;
    let mut time = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    // Writing to a string cannot fail.
    let _ = write!(time, ".{:06}", of_day % 1_000_000_000 / 1000);
    (format!("{year:04}-{month:02}-{day:02}"), time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_of_others_cannot_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(clean("\u{202e}left"), "\\u{202e}left");
        assert_eq!(clean("naïve 漢字"), "naïve 漢字");
    }

    #[test]
    fn numbers_of_luns_are_found_in_both_usual_forms() {
        assert_eq!(lun(&[0, 7, 0, 0, 0, 0, 0, 0]), "7");
        assert_eq!(lun(&[0x41, 7, 0, 0, 0, 0, 0, 0]), "263");
        assert_eq!(lun(&[0, 7, 0, 1, 0, 0, 0, 0]), "0007000100000000");
        assert_eq!(lun(&[0xC1, 1, 0, 0, 0, 0, 0, 0]), "c101000000000000");
        assert_eq!(lun(&[1, 1, 0, 0, 0, 0, 0, 0]), "0101000000000000");
    }

    #[test]
    fn lengths_of_time_have_three_digits() {
        let texts = [
            0,
            851,
            1_000,
            12_399,
            4_567_890,
            99_999_999,
            75_000_000_000,
            u64::MAX,
        ]
        .map(duration);
        assert_eq!(
            texts,
            [
                "0 ns",
                "851 ns",
                "1.00 us",
                "12.3 us",
                "4.56 ms",
                "99.9 ms",
                "75.0 s",
                "18446744073 s"
            ]
        );
        assert_eq!(seconds(1_999_999), "0.001999");
        assert_eq!(seconds(-1), "-0.000001");
        assert_eq!(seconds(-1_500_000_000), "-1.500000");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let date = |seconds: u64| {
            let (day, time) = calendar(seconds * 1_000_000_000 + 1_999);
            format!("{day} {time}")
        };
        assert_eq!(date(0), "1970-01-01 00:00:00.000001");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00.000001");
        assert_eq!(date(951_868_800), "2000-03-01 00:00:00.000001");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59:59.000001");
        assert_eq!(calendar(u64::MAX).0, "2554-07-21");
    }

    #[test]
    fn long_texts_end_in_an_ellipsis_or_are_wrapped() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdef", 5), "abcd…");
        assert_eq!(fit("ab cdef", 4), "ab…");
        assert_eq!(fit("漢字漢", 5), "漢字…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible", 7), ["incompr", "ehensib", "le"]);
        assert_eq!(wrap("", 7), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_its_room(text: String, room in 2..40usize) {
            let text = clean(&text);
            prop_assert!(width(&fit(&text, room)) <= room);
            let lines = wrap(&text, room);
            prop_assert!(lines.iter().all(|line| width(line) <= room));
            prop_assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
