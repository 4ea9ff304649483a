// SPDX-License-Identifier: MPL-2.0
//! Writing a trace to one file, or to anything that takes bytes.

use super::encoder::{Encoder, MAX_BULK};
use super::record::{Record, Sink};
use super::section::Section;
use crate::time::Time;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Blocks are collected until they come to this many bytes.
pub const FLUSH_BYTES: usize = 64 << 10;

/// Blocks are written at the latest with the first event that happens this long after them.
pub const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// Why a trace cannot be written, or not on.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output refused bytes: a full disk, as a rule.
    #[error(
        "the trace could not be written on after {records} events ({bytes} bytes): {source}; \
         those can be read, what came later is lost; make room, or record into a ring"
    )]
    Output {
        /// Events that were written before.
        records: u64,
        /// Bytes that were written before.
        bytes: u64,
        /// What the output said.
        source: io::Error,
    },
    /// What the section says of itself does not fit a comment.
    #[error(
        "the description of the trace takes {length} bytes, {max} fit; shorten the notes or the \
         name of the scenario",
        max = super::block::MAX_OPTION
    )]
    SectionTooLong {
        /// Its length in bytes.
        length: usize,
    },
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// Events that the output took.
    pub records: u64,
    /// Bytes that the output took.
    pub bytes: u64,
    /// Events that were told but not written.
    pub lost: u64,
}

/// Writes a trace as it happens.
///
/// Only whole blocks are handed on: at once when something went wrong
/// ([`Event::trouble`](super::Event::trouble)), else when they come to [`FLUSH_BYTES`] or are
/// [`FLUSH_AFTER`] old by the time of the events, and when told to ([`flush`](Self::flush)) or
/// dropped. So whatever ends the process or fills the disk leaves a file that can be read up to
/// the last whole block that was handed on.
///
/// When the output refuses bytes, recording ends: [`failure`](Self::failure) says why, later
/// events are only counted. Nothing panics, and what was written stays as it is.
#[derive(Debug)]
pub struct Writer<W: Write> {
    output: W,
    encoder: Encoder,
    buffer: Buffer,
    written: Written,
    failure: Option<WriteError>,
}

/// Whole blocks that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) blocks: Vec<u8>,
    /// How many events are among them.
    pub(super) records: u64,
    since: Option<Time>,
}

impl Buffer {
    /// An event at this time was appended; whether the blocks should be written now.
    pub(super) fn appended(&mut self, record: &Record<'_>) -> bool {
        self.records += 1;
        let since = *self.since.get_or_insert(record.time);
        self.blocks.len() >= FLUSH_BYTES
            || record.event.trouble().is_some()
            || record.time - since >= FLUSH_AFTER
    }

    /// Empty; a buffer that has grown large is given back.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.blocks.shrink_to(2 * FLUSH_BYTES);
        self.records = 0;
        self.since = None;
    }
}

impl Writer<File> {
    /// Writes to a new file; one of that name is replaced.
    ///
    /// # Errors
    ///
    /// [`WriteError::Output`] if there can be none, [`WriteError::SectionTooLong`].
    pub fn create(path: impl AsRef<Path>, section: Section) -> Result<Writer<File>, WriteError> {
        let made = File::create(path);
        let output = made.map_err(|source| Written::default().error(source))?;
        Writer::new(output, section)
    }
}

impl Written {
    pub(super) fn error(self, source: io::Error) -> WriteError {
        WriteError::Output {
            records: self.records,
            bytes: self.bytes,
            source,
        }
    }
}

impl<W: Write> Writer<W> {
    /// Writes to `output`, beginning with the section's header.
    ///
    /// # Errors
    ///
    /// As [`create`](Writer::create).
    pub fn new(output: W, section: Section) -> Result<Writer<W>, WriteError> {
        let mut writer = Writer {
            output,
            encoder: Encoder::new(section)?,
            buffer: Buffer::default(),
            written: Written::default(),
            failure: None,
        };
        writer.encoder.begin(&mut writer.buffer.blocks);
        writer.flush();
        match writer.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(writer),
        }
    }

    /// Writes an event with a note beside it, which tools show as its comment.
    pub fn record_with_note(&mut self, record: &Record<'_>, note: &str) {
        self.write(record, Some(note));
    }

    fn write(&mut self, record: &Record<'_>, note: Option<&str>) {
        if self.failure.is_some() {
            self.written.lost += 1;
            return;
        }
        let blocks = &mut self.buffer.blocks;
        self.encoder.record(record, MAX_BULK, note, blocks);
        if self.buffer.appended(record) {
            self.flush();
        }
    }

    /// Hands on what was collected.
    pub fn flush(&mut self) {
        if self.failure.is_none() && !self.buffer.blocks.is_empty() {
            let handed = self.output.write_all(&self.buffer.blocks);
            match handed.and_then(|()| self.output.flush()) {
                Ok(()) => {
                    self.written.bytes += self.buffer.blocks.len() as u64;
                    self.written.records += self.buffer.records;
                }
                Err(source) => {
                    self.written.lost += self.buffer.records;
                    self.failure = Some(self.written.error(source));
                }
            }
            self.buffer.clear();
        }
    }

    /// Why recording has ended, if it has.
    pub fn failure(&self) -> Option<&WriteError> {
        self.failure.as_ref()
    }

    /// What the output took so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Hands on what was collected and says how it went.
    ///
    /// # Errors
    ///
    /// [`WriteError::Output`] if recording has ended early.
    pub fn finish(mut self) -> Result<Written, WriteError> {
        self.flush();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.written),
        }
    }
}

impl<W: Write> Sink for Writer<W> {
    fn record(&mut self, record: &Record<'_>) {
        self.write(record, None);
    }

    fn flush(&mut self) {
        Writer::flush(self);
    }
}

impl<W: Write> Drop for Writer<W> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
