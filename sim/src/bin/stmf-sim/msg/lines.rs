// SPDX-License-Identifier: MPL-2.0
//! Lines of bytes, of bounded length, from a buffered input.

use std::io::{self, BufRead, BufReader, Read};

/// Reads lines into one buffer that it keeps.
pub struct Lines<R> {
    input: BufReader<R>,
    limit: usize,
    number: u64,
    line: Vec<u8>,
}

/// What there was to read.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without blanks around it.
    Text(&'a [u8]),
    /// A line of more bytes than `limit`. It was passed over.
    TooLong { limit: usize },
    /// The end of the input.
    End,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `limit` bytes, their ends not counted.
    pub fn new(input: BufReader<R>, limit: usize) -> Lines<R> {
        Lines {
            input,
            limit,
            number: 0,
            line: Vec::new(),
        }
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether reading the next line may have to wait for input.
    pub fn would_wait(&self) -> bool {
        !self.input.buffer().contains(&b'\n')
    }

    /// The next line.
    pub fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        let limit = self.limit;
        // One more for the end of the line.
        let most = (limit as u64).saturating_add(1);
        let read = (&mut self.input)
            .take(most)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.number += 1;
        if self.line.len() > limit && !self.line.ends_with(b"\n") {
            self.input.skip_until(b'\n')?;
            return Ok(Line::TooLong { limit });
        }
        Ok(Line::Text(self.line.trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], limit: usize) -> Vec<String> {
        let mut lines = Lines::new(BufReader::with_capacity(4, input), limit);
        let mut seen = Vec::new();
        loop {
            match lines.next().expect("memory does not fail") {
                Line::End => return seen,
                line => seen.push(format!("{line:?}").replace("Text", "")),
            }
            assert_eq!(lines.number(), seen.len() as u64);
        }
    }

    #[test]
    fn lines_end_anywhere_and_lose_blanks() {
        assert!(all(b"", 9).is_empty());
        assert_eq!(all(b"\n", 9), ["([])"]);
        assert_eq!(all(b" a \r\nb", 9), ["([97])", "([98])"]);
    }

    #[test]
    fn a_line_over_the_bound_is_passed_over() {
        let long = "TooLong { limit: 3 }";
        assert_eq!(all(b"aaa\nb", 3), ["([97, 97, 97])", "([98])"]);
        assert_eq!(all(b"aaaa\nb\n", 3), [long, "([98])"]);
        assert_eq!(all(b"aaaaaaaaaaaa", 3), [long]);
        assert_eq!(all(b"aaa", 3), ["([97, 97, 97])"]);
    }
}
