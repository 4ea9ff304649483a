// SPDX-License-Identifier: MPL-2.0
//! Why a capture is not imported, or not to its end.

use super::{MAX_CHUNK, MAX_LINE, VERSION};
use std::io;
use stmf_proxy::trace::WriteError;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is none that the script writes.
    #[error(
        "not a line of stmf-proxy.d; give the output of that script as it is, with nothing else \
         printed into it"
    )]
    Unknown,
    /// It does not begin as a capture does.
    #[error(
        "expected `stmf-proxy-dtrace {VERSION}` and then `begin ...` first: this is not the \
         output of stmf-proxy.d, or its beginning is missing"
    )]
    NoTitle,
    /// Another version wrote it.
    #[error("version {found} of the output, this program reads {VERSION}; use a newer stmf-sim")]
    Version {
        /// The version.
        found: u64,
    },
    /// Two captures in one file.
    #[error("another capture begins here; import each one alone")]
    SecondCapture,
    /// A field is missing, too many, or no number.
    #[error("expected {expected}; the line is damaged: cut the file before it, or capture again")]
    Field {
        /// What was expected.
        expected: &'static str,
    },
    /// A `data` line that fits no message.
    #[error(
        "data of {length} bytes at {offset}, for a message of {size}; a chunk has 1 to \
         {MAX_CHUNK}, comes behind the one before it and lies inside the message"
    )]
    Chunk {
        /// Where it would be.
        offset: u32,
        /// Its length.
        length: u32,
        /// Bytes of the message.
        size: u32,
    },
    /// A `data` line for a message that was not told of, or is no longer waited for.
    #[error("data for a message that was not announced right before; the lines were reordered")]
    Orphan,
    /// A row of a dump that is not the next one.
    #[error("a row of a dump that is not the one to come next; the dump is damaged")]
    Row,
    /// Longer than any line of the script.
    #[error("a line of more than {MAX_LINE} bytes; this is not the output of stmf-proxy.d")]
    TooLong,
    /// Not text.
    #[error("not text; this is not the output of stmf-proxy.d")]
    NotText,
}

/// Why an import has ended early. What came before is in the trace.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The input cannot be read.
    #[error("line {line}: {source}")]
    Read {
        /// The line that was to be read.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The trace cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}
