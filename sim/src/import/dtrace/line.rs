// SPDX-License-Identifier: MPL-2.0
//! A line of a capture, as `contrib/dtrace/README.md` documents them. Knows nothing of what came
//! before it.

use super::Problem;

/// The most bytes that a `data` line can announce.
pub const MAX_CHUNK: u32 = 4096;

/// How many bytes a row of a dump shows.
const ROW: usize = 16;

/// What a line says. Times are nanoseconds since the node booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing in it, or a remark of dtrace's that means nothing here.
    Nothing,
    /// `stmf-proxy-dtrace VERSION`
    Title { version: u64 },
    /// `begin TIME WALL PID`: WALL is in nanoseconds since 1970.
    Begin { time: u64, wall: u64 },
    /// `upcall TIME THREAD SIZE`
    Upcall { time: u64, thread: u64, size: u32 },
    /// `upcall-done TIME THREAD STARTED SIZE RESULT`
    UpcallDone {
        time: u64,
        thread: u64,
        started: u64,
        size: u64,
        result: u32,
    },
    /// `post TIME THREAD SIZE`
    Post { time: u64, thread: u64, size: u32 },
    /// `post-done TIME THREAD STARTED ERRNO`
    PostDone {
        time: u64,
        thread: u64,
        started: u64,
        errno: i32,
    },
    /// `data STARTED THREAD OFFSET LENGTH`, before a dump.
    Data {
        started: u64,
        thread: u64,
        offset: u32,
        length: u32,
    },
    /// The head of a dump: the numbers of the columns.
    Columns,
    /// A row of a dump: where it begins in the chunk, and what it shows.
    Row { at: u64, bytes: &'a str },
    /// `unreferenced TIME THREAD`
    Unreferenced { time: u64 },
    /// `error TIME THREAD CODE`: a probe could not read something.
    Error { time: u64 },
    /// `end TIME`
    End { time: u64 },
    /// dtrace says that it has dropped this many records.
    Drops { records: u64 },
}

/// Reads a line, without its line break.
pub fn parse(line: &str) -> Result<Line<'_>, Problem> {
    let trimmed = line.trim();
    if trimmed.is_empty() {
        return Ok(Line::Nothing);
    }
    if let Some(remark) = trimmed.strip_prefix("dtrace:") {
        return Ok(remark_of_dtrace(remark));
    }
    if let Some(row) = row(line) {
        return Ok(row);
    }
    let mut words = trimmed.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let mut fields = Fields { words };
    let line = match name {
        "stmf-proxy-dtrace" => Line::Title {
            version: fields.number("a version")?,
        },
        "begin" => {
            let time = fields.number("a time")?;
            let wall = fields.number("the time of day")?;
            fields.number::<u64>("a process id")?;
            Line::Begin { time, wall }
        }
        "upcall" | "post" => {
            let time = fields.number("a time")?;
            let thread = fields.number("a thread")?;
            let size = fields.number("a size below 4 GiB")?;
            match name {
                "upcall" => Line::Upcall { time, thread, size },
                _ => Line::Post { time, thread, size },
            }
        }
        "upcall-done" => Line::UpcallDone {
            time: fields.number("a time")?,
            thread: fields.number("a thread")?,
            started: fields.number("the time of the upcall")?,
            size: fields.number("the size of the answer")?,
            result: fields.number("a result")?,
        },
        "post-done" => Line::PostDone {
            time: fields.number("a time")?,
            thread: fields.number("a thread")?,
            started: fields.number("the time of the post")?,
            errno: fields.number("an error number")?,
        },
        "data" => Line::Data {
            started: fields.number("the time of the message")?,
            thread: fields.number("a thread")?,
            offset: fields.number("an offset")?,
            length: fields.number("a length")?,
        },
        "unreferenced" => {
            let time = fields.number("a time")?;
            fields.number::<u64>("a thread")?;
            Line::Unreferenced { time }
        }
        "error" => {
            let time = fields.number("a time")?;
            fields.number::<u64>("a thread")?;
            fields.number::<u64>("a code")?;
            Line::Error { time }
        }
        "end" => Line::End {
            time: fields.number("a time")?,
        },
        _ if trimmed.chars().all(|c| c.is_ascii_hexdigit() || c == ' ') => Line::Columns,
        _ => return Err(Problem::Unknown),
    };
    match fields.words.next() {
        Some(_) if line != Line::Columns => Err(Problem::Field {
            expected: "nothing more",
        }),
        _ => Ok(line),
    }
}

struct Fields<'a> {
    words: std::str::SplitAsciiWhitespace<'a>,
}

impl Fields<'_> {
    fn number<T: std::str::FromStr>(&mut self, expected: &'static str) -> Result<T, Problem> {
        let number = self.words.next().and_then(|word| word.parse().ok());
        number.ok_or(Problem::Field { expected })
    }
}

/// "12 drops on CPU 3", "5 dynamic variable drops with non-empty dirty list", and so on. Other
/// remarks are passed over.
fn remark_of_dtrace(remark: &str) -> Line<'_> {
    let mut words = remark.split_ascii_whitespace();
    let count = words.next().and_then(|word| word.parse().ok());
    let drops = words.any(|word| word == "drop" || word == "drops");
    match count {
        Some(records) if drops => Line::Drops { records },
        _ => Line::Nothing,
    }
}

/// `        10: 01 02 ... 0f  ................`: an offset, at most 16 bytes, and the same as text.
fn row(line: &str) -> Option<Line<'_>> {
    let (at, rest) = line.split_once(": ")?;
    let at = u64::from_str_radix(at.trim_start(), 16).ok()?;
    // The text stands behind two blanks.
    let bytes = rest.split("  ").next()?;
    let hexadecimal = |byte: u8| byte.is_ascii_hexdigit() || byte == b' ';
    let well = bytes.len() < ROW * 3 && bytes.bytes().all(hexadecimal);
    well.then_some(Line::Row { at, bytes })
}

/// Appends the bytes of a row to a chunk that is to have `length`; what a row shows more is
/// passed over. `None` if the row is not what comes next.
pub fn append_row(at: u64, bytes: &str, length: u32, chunk: &mut Vec<u8>) -> Option<()> {
    let length = length as usize;
    if at >= length as u64 {
        return Some(());
    }
    if at != chunk.len() as u64 {
        return None;
    }
    for word in bytes.split_ascii_whitespace() {
        if word.len() != 2 {
            return None;
        }
        let byte = u8::from_str_radix(word, 16).ok()?;
        if chunk.len() < length {
            chunk.push(byte);
        }
    }
    // All rows but the last are full.
    (chunk.len() == length || chunk.len().is_multiple_of(ROW)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_read_as_documented() {
        let upcall = Line::Upcall {
            time: 5,
            thread: 2,
            size: 300,
        };
        assert_eq!(parse("upcall 5 2 300"), Ok(upcall));
        assert_eq!(parse("  "), Ok(Line::Nothing));
        let drops = Line::Drops { records: 12 };
        assert_eq!(parse("dtrace: 12 drops on CPU 3"), Ok(drops));
        assert_eq!(parse("dtrace: 12 dynamic variable drops"), Ok(drops));
        assert_eq!(
            parse("dtrace: script 'x' matched 9 probes"),
            Ok(Line::Nothing)
        );
        let head = "             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef";
        assert_eq!(parse(head), Ok(Line::Columns));
        let expected = Problem::Field {
            expected: "a size below 4 GiB",
        };
        assert_eq!(parse("post 1 2 4294967296"), Err(expected));
        let expected = Problem::Field {
            expected: "nothing more",
        };
        assert_eq!(parse("end 1 2"), Err(expected));
        assert_eq!(parse("CPU     ID   FUNCTION:NAME"), Err(Problem::Unknown));
    }

    #[test]
    fn rows_of_a_dump_are_read() {
        let first = "         0: 01 01 00 00 00 00 00 00 20 20 20 20 20 20 20 41         a: 41";
        let second = "        10: ff 80  ..";
        let mut chunk = Vec::new();
        for line in [first, second] {
            let Ok(Line::Row { at, bytes }) = parse(line) else {
                panic!("{line}");
            };
            assert_eq!(append_row(at, bytes, 17, &mut chunk), Some(()), "{line}");
        }
        assert_eq!(chunk.len(), 17);
        assert_eq!((chunk[15], chunk[16]), (0x41, 0xFF));
        assert_eq!(
            append_row(32, "00", 33, &mut chunk),
            None,
            "a row is missing"
        );
        assert_eq!(
            append_row(32, "00", 17, &mut chunk),
            Some(()),
            "behind the end"
        );
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*|[a-z]{3,8}( [0-9]{1,22}){0,5}| *[0-9a-f]+: [0-9a-f ]*.*") {
            if let Ok(Line::Row { at, bytes }) = parse(&line) {
                let _ = append_row(at, bytes, MAX_CHUNK, &mut Vec::new());
            }
        }
    }
}
