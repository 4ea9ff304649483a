// SPDX-License-Identifier: MPL-2.0
//! From bytes to blocks: lengths and byte order, nothing of what blocks mean.

use super::super::block::{BYTE_ORDER_MAGIC, LEAST_BLOCK, SECTION_HEADER};
use super::error::{ReadError, ReadProblem};
use std::io::{self, ErrorKind, Read};

/// The byte order of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Endian {
    pub(super) fn u16(self, bytes: &[u8]) -> Option<u16> {
        let bytes = *bytes.first_chunk()?;
        Some(match self {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        })
    }
    pub(super) fn u32(self, bytes: &[u8]) -> Option<u32> {
        let bytes = *bytes.first_chunk()?;
        Some(match self {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }
    pub(super) fn u64(self, bytes: &[u8]) -> Option<u64> {
        let bytes = *bytes.first_chunk()?;
        Some(match self {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }
}

/// What a buffer that was needed once for a long block may keep.
const KEPT_CAPACITY: usize = 1 << 20;

/// The blocks of an input.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    input: R,
    max_block: u32,
    /// Where the current block begins.
    start: u64,
    /// Where the next one does.
    offset: u64,
    endian: Endian,
    block_type: u32,
    /// The current block without its type and lengths; for a section header without nothing of
    /// it: the byte order mark is its first word.
    body: Vec<u8>,
    passed_over: Option<u32>,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R, max_block: u32) -> Blocks<R> {
        Blocks {
            input,
            max_block,
            start: 0,
            offset: 0,
            endian: Endian::Little,
            block_type: 0,
            body: Vec::new(),
            passed_over: None,
        }
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn endian(&self) -> Endian {
        self.endian
    }

    pub(super) fn block_type(&self) -> u32 {
        self.block_type
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The length of the current block, if it is so long that it was not kept.
    pub(super) fn passed_over(&self) -> Option<u32> {
        self.passed_over
    }

    /// Reads the first block, which must be a section header.
    pub(super) fn first(&mut self) -> Result<(), ReadError> {
        if !self.next()? {
            return Err(self.error(ReadProblem::Empty));
        }
        match self.passed_over {
            Some(_) => Err(self.error(ReadProblem::ShortBlock)),
            None => Ok(()),
        }
    }

    /// How much memory the current block may take.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.body.capacity()
    }

    fn error(&self, problem: ReadProblem) -> ReadError {
        ReadError {
            offset: self.start,
            problem,
        }
    }

    /// Reads the next block; false at the end of the input.
    pub(super) fn next(&mut self) -> Result<bool, ReadError> {
        self.start = self.offset;
        self.passed_over = None;
        let mut head = [0; 8];
        let got = self.fill(&mut head)?;
        let first = self.start == 0;
        if got == 0 {
            return Ok(false);
        }
        if first {
            ReadProblem::known_other_format(&head[..got]).map_or(Ok(()), |p| Err(self.error(p)))?;
        }
        if got < head.len() {
            return Err(self.truncated(None, got as u64));
        }
        let mut kept = 0;
        self.body.clear();
        self.body.shrink_to(KEPT_CAPACITY);
        // Reads the same in either byte order.
        if head[..4] == SECTION_HEADER.to_le_bytes() {
            let mut magic = [0; 4];
            let got = self.fill(&mut magic)?;
            if got < magic.len() {
                return Err(self.truncated(None, (head.len() + got) as u64));
            }
            self.endian = if magic == BYTE_ORDER_MAGIC.to_le_bytes() {
                Endian::Little
            } else if magic == BYTE_ORDER_MAGIC.to_be_bytes() {
                Endian::Big
            } else {
                return Err(self.error(ReadProblem::ByteOrder { found: magic }));
            };
            self.body.extend_from_slice(&magic);
            kept = magic.len() as u32;
        } else if first {
            let [a, b, c, d, ..] = head;
            let found = [a, b, c, d];
            return Err(self.error(ReadProblem::NotPcapng { found }));
        }
        self.block_type = self.endian.u32(&head).unwrap_or_default();
        let length = self.endian.u32(&head[4..]).unwrap_or_default();
        let least = LEAST_BLOCK + kept;
        if length < least || !length.is_multiple_of(4) {
            return Err(self.error(ReadProblem::BlockLength { found: length }));
        }
        let left = length - least;
        let mut input = Counted {
            input: &mut self.input,
            count: 0,
        };
        let mut piece = (&mut input).take(left.into());
        let read = if length > self.max_block {
            self.passed_over = Some(length);
            io::copy(&mut piece, &mut io::sink())
        } else {
            // Grows with what comes, not with what the length says.
            piece.read_to_end(&mut self.body).map(|read| read as u64)
        };
        self.offset += input.count;
        let read = read.map_err(|source| self.error(ReadProblem::Input(source)))?;
        if read < left.into() {
            let left = self.offset - self.start;
            return Err(self.truncated(Some(length), left));
        }
        let mut tail = [0; 4];
        if self.fill(&mut tail)? < tail.len() {
            let left = self.offset - self.start;
            return Err(self.truncated(Some(length), left));
        }
        let found = self.endian.u32(&tail).unwrap_or_default();
        if found != length {
            let expected = length;
            return Err(self.error(ReadProblem::LengthsDiffer { expected, found }));
        }
        Ok(true)
    }

    fn truncated(&self, needed: Option<u32>, left: u64) -> ReadError {
        self.error(ReadProblem::Truncated { needed, left })
    }

    /// Fills as much of `bytes` as there is.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let mut got = 0;
        while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(more) => {
                    got += more;
                    self.offset += more as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(self.error(ReadProblem::Input(source))),
            }
        }
        Ok(got)
    }
}

/// Counts what is read.
struct Counted<'a, R> {
    input: &'a mut R,
    count: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(bytes)?;
        self.count += got as u64;
        Ok(got)
    }
}
