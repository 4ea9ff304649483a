// SPDX-License-Identifier: MPL-2.0
//! Reading a trace, block by block.
//!
//! Memory is bounded by the longest block and by [`ReadLimits`], whatever the length of the
//! input, and no length in the input is believed before that many bytes have come.
//!
//! # What is broken
//!
//! Reading ends with a [`ReadError`] only where nothing after it can be understood; all that
//! comes before has been given by then. Everything else that is odd (a record that is damaged, a
//! packet of something else, time that goes back) is passed over or given as it is, and noted
//! ([`Reader::notices`]).

mod blocks;
mod error;
mod options;

pub use error::{Notice, NoticeKind, ReadError, ReadProblem};

use super::block::{self, LINK_TYPE};
use super::encoder::MAX_BULK;
use super::packet;
use super::record::{Record, RecordBuf};
use super::section::Section;
use crate::time::Time;
use blocks::Blocks;
use options::Options;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// What a reader takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// The longest block that is looked at, in bytes; longer ones are passed over and noted.
    /// Default [`ReadLimits::DEFAULT_MAX_BLOCK`].
    pub max_block: u32,
    /// How many interfaces a section may describe. Default
    /// [`ReadLimits::DEFAULT_MAX_INTERFACES`].
    pub max_interfaces: usize,
    /// How many notices are kept; the others are only counted. Default
    /// [`ReadLimits::DEFAULT_MAX_NOTICES`].
    pub max_notices: usize,
}

impl ReadLimits {
    /// 65 MiB: what a [`Writer`](super::Writer) writes at most, and room for fields and comment.
    pub const DEFAULT_MAX_BLOCK: u32 = MAX_BULK as u32 + (1 << 20);
    /// 2,048: more than the 256 nodes that there can be have.
    pub const DEFAULT_MAX_INTERFACES: usize = 2048;
    /// 100.
    pub const DEFAULT_MAX_NOTICES: usize = 100;
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits {
            max_block: Self::DEFAULT_MAX_BLOCK,
            max_interfaces: Self::DEFAULT_MAX_INTERFACES,
            max_notices: Self::DEFAULT_MAX_NOTICES,
        }
    }
}

/// A record as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The record.
    pub record: Record<'a>,
    /// What is said beside it.
    pub comment: Option<&'a str>,
    /// Where its block begins, in bytes from the start of the input.
    pub offset: u64,
}

impl Entry<'_> {
    /// The record with memory of its own.
    pub fn to_owned(&self) -> RecordBuf {
        RecordBuf::from(&self.record)
    }
}

/// What a section says of one of its interfaces.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    resolution: Resolution,
    offset_seconds: i64,
}

/// How long a unit of a time stamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// 10 to the power of minus this, in seconds.
    Decimal(u8),
    /// 2 to the power of minus this, in seconds.
    Binary(u8),
}

impl Resolution {
    fn nanoseconds(self, units: u64) -> u64 {
        let units = u128::from(units);
        let nanoseconds = match self {
            Resolution::Decimal(power) => match 10u128.checked_pow(power.abs_diff(9).into()) {
                Some(factor) if power <= 9 => units.saturating_mul(factor),
                Some(factor) => units / factor,
                None => 0,
            },
            Resolution::Binary(power) => (units * 1_000_000_000)
                .checked_shr(power.into())
                .unwrap_or(0),
        };
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }
}

/// Reads a trace. As an iterator it gives records that own what they tell;
/// [`next_entry`](Self::next_entry) lends them.
#[derive(Debug)]
pub struct Reader<R: Read> {
    blocks: Blocks<R>,
    limits: ReadLimits,
    section: Section,
    interfaces: Vec<Interface>,
    /// Whether any interface of the section is ours.
    ours: bool,
    found: Option<Found>,
    last: Option<(u64, Time)>,
    records: u64,
    sections: u64,
    notices: Vec<Notice>,
    notice_count: u64,
    ended: bool,
}

/// Where the parts of a packet lie in its block.
#[derive(Debug)]
struct Found {
    time: Time,
    data: Range<usize>,
    comment: Option<Range<usize>>,
    offset: u64,
}

impl Reader<BufReader<File>> {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// As [`new`](Reader::new).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let opened = File::open(path).map_err(|source| ReadError {
            offset: 0,
            problem: ReadProblem::Input(source),
        })?;
        Reader::new(BufReader::with_capacity(64 << 10, opened))
    }
}

impl<R: Read> Reader<R> {
    /// Reads from `input`, in small pieces: wrap a file in a [`BufReader`].
    ///
    /// # Errors
    ///
    /// If the input cannot be read, or is not a trace from its first block on.
    pub fn new(input: R) -> Result<Reader<R>, ReadError> {
        Reader::with_limits(input, ReadLimits::default())
    }

    /// As [`new`](Self::new), within other limits.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn with_limits(input: R, limits: ReadLimits) -> Result<Reader<R>, ReadError> {
        let mut reader = Reader {
            blocks: Blocks::new(input, limits.max_block),
            limits,
            section: Section::default(),
            interfaces: Vec::new(),
            ours: false,
            found: None,
            last: None,
            records: 0,
            sections: 0,
            notices: Vec::new(),
            notice_count: 0,
            ended: false,
        };
        reader.blocks.first()?;
        reader.section_header()?;
        Ok(reader)
    }

    /// What the section that was read from last says of itself.
    pub fn section(&self) -> &Section {
        &self.section
    }

    /// How many records were given.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many sections were begun.
    pub fn sections(&self) -> u64 {
        self.sections
    }

    /// How far the input was read, in bytes.
    pub fn offset(&self) -> u64 {
        self.blocks.offset()
    }

    /// What was odd so far and was not taken, the first [`ReadLimits::max_notices`] of it.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Takes what was odd since it was taken last, and so makes room for more.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// How many oddities there were, taken or not.
    pub fn notice_count(&self) -> u64 {
        self.notice_count
    }

    fn notice(&mut self, offset: u64, kind: NoticeKind) {
        self.notice_count += 1;
        if self.notices.len() < self.limits.max_notices {
            self.notices.push(Notice { offset, kind });
        }
    }

    /// The next record, lent until the next call; `None` at the end.
    ///
    /// # Errors
    ///
    /// Where nothing more can be understood; after that, `None`.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        self.advance()?;
        Ok(self.entry())
    }

    /// Goes to the next record; false at the end.
    ///
    /// # Errors
    ///
    /// As [`next_entry`](Self::next_entry).
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        self.found = None;
        if !self.ended {
            let found = self.find_record();
            self.ended = !matches!(found, Ok(Some(_)));
            self.found = found?;
        }
        Ok(self.found.is_some())
    }

    /// The record that was read last.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let found = self.found.as_ref()?;
        let body = self.blocks.body();
        // It was unpacked when it was found, so an error cannot come.
        let record = packet::unpack(body.get(found.data.clone())?, found.time).ok()?;
        let comment = found.comment.clone().and_then(|range| body.get(range));
        Some(Entry {
            record,
            comment: comment.and_then(|bytes| std::str::from_utf8(bytes).ok()),
            offset: found.offset,
        })
    }

    /// Reads blocks up to the next packet that is a record.
    fn find_record(&mut self) -> Result<Option<Found>, ReadError> {
        while self.blocks.next()? {
            let offset = self.blocks.start();
            let block_type = self.blocks.block_type();
            if let Some(length) = self.blocks.passed_over() {
                // Without these nothing that follows can be understood.
                if matches!(block_type, block::SECTION_HEADER | block::INTERFACE) {
                    let problem = ReadProblem::ShortBlock;
                    return Err(ReadError { offset, problem });
                }
                let limit = self.limits.max_block;
                self.notice(offset, NoticeKind::BlockTooLong { length, limit });
                continue;
            }
            match block_type {
                block::SECTION_HEADER => self.section_header()?,
                block::INTERFACE => self.interface()?,
                block::PACKET => {
                    if let Some(found) = self.packet()? {
                        return Ok(Some(found));
                    }
                }
                // pcapng has more types of blocks, and they may come in any file.
                _ => {}
            }
        }
        Ok(None)
    }

    /// Begins a section.
    fn section_header(&mut self) -> Result<(), ReadError> {
        let error = |problem| ReadError {
            offset: self.blocks.start(),
            problem,
        };
        let (body, endian) = (self.blocks.body(), self.blocks.endian());
        let major = body.get(4..).and_then(|rest| endian.u16(rest));
        match major {
            Some(1) => {}
            Some(found) => return Err(error(ReadProblem::PcapngVersion { found })),
            None => return Err(error(ReadProblem::ShortBlock)),
        }
        let mut section = None;
        for (code, value) in Options::new(body.get(16..).unwrap_or_default(), endian) {
            if code == block::option::COMMENT
                && section.is_none()
                && let Ok(comment) = std::str::from_utf8(value)
            {
                section = Section::from_comment(comment).map_err(|later| {
                    let found = later.0;
                    error(ReadProblem::FutureVersion { found })
                })?;
            }
        }
        if section.is_none() {
            self.notice(self.blocks.start(), NoticeKind::NoDescription);
        }
        self.section = section.unwrap_or_default();
        self.sections += 1;
        self.interfaces.clear();
        self.ours = false;
        self.last = None;
        Ok(())
    }

    /// Takes the description of an interface.
    fn interface(&mut self) -> Result<(), ReadError> {
        let offset = self.blocks.start();
        let limit = self.limits.max_interfaces;
        if self.interfaces.len() >= limit {
            let problem = ReadProblem::TooManyInterfaces { limit };
            return Err(ReadError { offset, problem });
        }
        let (body, endian) = (self.blocks.body(), self.blocks.endian());
        let Some(link_type) = endian.u16(body) else {
            let problem = ReadProblem::ShortBlock;
            return Err(ReadError { offset, problem });
        };
        let mut interface = Interface {
            link_type,
            resolution: Resolution::Decimal(6),
            offset_seconds: 0,
        };
        for (code, value) in Options::new(body.get(8..).unwrap_or_default(), endian) {
            match (code, value) {
                (block::option::TIME_RESOLUTION, [value, ..]) => {
                    interface.resolution = match value & 0x80 {
                        0 => Resolution::Decimal(*value),
                        _ => Resolution::Binary(value & 0x7F),
                    };
                }
                (block::option::TIME_OFFSET, value) => {
                    interface.offset_seconds = endian.u64(value).unwrap_or_default().cast_signed();
                }
                _ => {}
            }
        }
        self.ours |= link_type == LINK_TYPE;
        self.interfaces.push(interface);
        Ok(())
    }

    /// Takes a packet, if it is a record.
    fn packet(&mut self) -> Result<Option<Found>, ReadError> {
        let offset = self.blocks.start();
        let (body, endian) = (self.blocks.body(), self.blocks.endian());
        let word = |at: usize| body.get(at..).and_then(|rest| endian.u32(rest));
        let (Some(id), Some(high), Some(low), Some(captured)) =
            (word(0), word(4), word(8), word(12))
        else {
            self.notice(offset, NoticeKind::ShortPacket);
            return Ok(None);
        };
        let Some(interface) = self.interfaces.get(id as usize).copied() else {
            self.notice(offset, NoticeKind::UnknownInterface { interface: id });
            return Ok(None);
        };
        if interface.link_type != LINK_TYPE {
            let found = interface.link_type;
            if !self.ours {
                let problem = ReadProblem::WrongLinkType { found };
                return Err(ReadError { offset, problem });
            }
            self.notice(offset, NoticeKind::OtherLinkType { found });
            return Ok(None);
        }
        let data = 20..(captured as usize).saturating_add(20);
        let Some(bytes) = body.get(data.clone()) else {
            self.notice(offset, NoticeKind::ShortPacket);
            return Ok(None);
        };
        let units = u64::from(high) << 32 | u64::from(low);
        let unix = interface.resolution.nanoseconds(units);
        let seconds = interface.offset_seconds.saturating_mul(1_000_000_000);
        let since = unix
            .saturating_add_signed(seconds)
            .saturating_sub(self.section.origin.unix_nanos());
        let time = Time::from_nanos(since);
        let sequence = match packet::unpack(bytes, time) {
            Ok(record) => record.sequence,
            Err(damage) => {
                self.notice(offset, NoticeKind::Damaged(damage));
                return Ok(None);
            }
        };
        let options = data.end.next_multiple_of(4);
        let rest = body.get(options..).unwrap_or_default();
        let comment = Options::new(rest, endian)
            .find(|(code, _)| *code == block::option::COMMENT)
            .map(|(_, value)| {
                let start = value.as_ptr() as usize - body.as_ptr() as usize;
                start..start + value.len()
            });
        self.note_order(offset, sequence, time);
        self.records += 1;
        Ok(Some(Found {
            time,
            data,
            comment,
            offset,
        }))
    }

    fn note_order(&mut self, offset: u64, sequence: u64, time: Time) {
        if let Some((last, before)) = self.last {
            if sequence != last.wrapping_add(1) {
                let kind = NoticeKind::Sequence {
                    last,
                    found: sequence,
                };
                self.notice(offset, kind);
            }
            if time < before {
                let kind = NoticeKind::TimeGoesBack {
                    last: before,
                    found: time,
                };
                self.notice(offset, kind);
            }
        }
        self.last = Some((sequence, time));
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<RecordBuf, ReadError>;

    fn next(&mut self) -> Option<Result<RecordBuf, ReadError>> {
        match self.next_entry() {
            Ok(entry) => entry.map(|entry| Ok(entry.to_owned())),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
