// SPDX-License-Identifier: MPL-2.0
//! Times on command lines.

use std::time::Duration;

/// Reads a time: a number of seconds, or one with ms, s, m or h after it.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    let milliseconds = number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| "it must be a number with ms, s, m or h after it, as 90s".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stmf_sim::shrink;

    #[test]
    fn times_have_units() {
        let good = ["90s", "90", "5m", "1h", "250ms"].map(|text| parse_time(text).unwrap());
        let expected = [90_000, 90_000, 300_000, 3_600_000, 250].map(Duration::from_millis);
        assert_eq!(good, expected);
        for bad in [
            "",
            "s",
            "-1s",
            "1.5s",
            "5 s",
            "5d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_time("20s"), Ok(shrink::exec::DEFAULT_PATIENCE));
    }
}
