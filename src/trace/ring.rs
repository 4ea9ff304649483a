// SPDX-License-Identifier: MPL-2.0
//! Recording for weeks: a directory of files of bounded size and number, of which the oldest
//! gives way to the newest.
//!
//! Every file is a trace of its own. Files are named `trace-00000001.pcapng` and so on; the
//! numbers go on where an earlier recording into the same directory has stopped. Whatever else
//! is in the directory is left alone.

mod folder;

pub use folder::{DirectoryFolder, Folder};

use super::encoder::{Encoder, MAX_BULK};
use super::packet;
use super::record::{Record, Sink};
use super::section::Section;
use super::writer::{Buffer, WriteError, Written};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// How much a ring of files may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSettings {
    max_bytes: u64,
    files: u32,
}

/// A setting of a ring that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingSettingsError {
    /// The size of a file.
    #[error(
        "a file of a ring cannot be bounded at {bytes} bytes; choose {min} or more",
        min = RingSettings::MIN_MAX_BYTES
    )]
    MaxBytes {
        /// What was asked for, in bytes.
        bytes: u64,
    },
    /// The number of files.
    #[error(
        "a ring cannot have {files} files; choose 1 to {max}",
        max = RingSettings::MAX_FILES
    )]
    Files {
        /// What was asked for.
        files: u32,
    },
}

impl RingSettings {
    /// 64 MiB.
    pub const DEFAULT_MAX_BYTES: u64 = 64 << 20;
    /// 64 KiB.
    pub const MIN_MAX_BYTES: u64 = 64 << 10;
    /// 16: with the default size, 1 GiB in all.
    pub const DEFAULT_FILES: u32 = 16;
    /// 100,000.
    pub const MAX_FILES: u32 = 100_000;

    /// Sets the most bytes that a file may have; an event that does not fit what is left of one
    /// begins the next, and one that does not fit a whole file is cut. Default
    /// [`DEFAULT_MAX_BYTES`](Self::DEFAULT_MAX_BYTES).
    ///
    /// # Errors
    ///
    /// Less than [`MIN_MAX_BYTES`](Self::MIN_MAX_BYTES).
    pub fn with_max_bytes(self, bytes: u64) -> Result<RingSettings, RingSettingsError> {
        match bytes {
            Self::MIN_MAX_BYTES.. => Ok(RingSettings {
                max_bytes: bytes,
                ..self
            }),
            _ => Err(RingSettingsError::MaxBytes { bytes }),
        }
    }

    /// Sets how many files there may be, the one that is being written included. With 1 there
    /// are times when the ring has just begun it anew and holds next to nothing. Default
    /// [`DEFAULT_FILES`](Self::DEFAULT_FILES).
    ///
    /// # Errors
    ///
    /// 0, or more than [`MAX_FILES`](Self::MAX_FILES).
    pub fn with_files(self, files: u32) -> Result<RingSettings, RingSettingsError> {
        match files {
            1..=Self::MAX_FILES => Ok(RingSettings { files, ..self }),
            _ => Err(RingSettingsError::Files { files }),
        }
    }

    /// The most bytes that a file may have.
    pub const fn max_bytes(self) -> u64 {
        self.max_bytes
    }

    /// How many files there may be.
    pub const fn files(self) -> u32 {
        self.files
    }
}

impl Default for RingSettings {
    fn default() -> RingSettings {
        RingSettings {
            max_bytes: Self::DEFAULT_MAX_BYTES,
            files: Self::DEFAULT_FILES,
        }
    }
}

/// The name of a file of a ring.
pub fn file_name(number: u64) -> String {
    format!("trace-{number:08}.pcapng")
}

/// The number of a file with this name; `None` if it is not one of a ring.
pub fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("trace-")?.strip_suffix(".pcapng")?;
    let number = digits.parse().ok()?;
    // Not `+1`, not `1`, not `000000001`: names that a ring would not give are not its files.
    (file_name(number) == name).then_some(number)
}

/// Whether there is no room on the disk.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// Takes a file away, unless somebody else was quicker.
fn remove(folder: &mut impl Folder, number: u64) -> io::Result<()> {
    match folder.remove(&file_name(number)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// After a failure this many events at most are lost before the ring tries again.
const MOST_BETWEEN_ATTEMPTS: u64 = 1024;

/// Records into a ring of files.
///
/// There are never more files, and never longer ones, than the settings say. When a disk is full
/// the oldest files give way before their time, and nothing is lost. Where that does not help, or
/// the output fails otherwise, events are lost and counted until it does: the next file says how
/// many. As with a [`Writer`](super::Writer), only whole blocks are handed on, and nothing
/// panics.
#[derive(Debug)]
pub struct Ring<F: Folder = DirectoryFolder> {
    folder: F,
    settings: RingSettings,
    section: Section,
    /// The numbers of the files that are there, ascending; the last is the current one, if there
    /// is one.
    numbers: Vec<u64>,
    next: u64,
    current: Option<Current<F::File>>,
    scratch: Vec<u8>,
    written: Written,
    failure: Option<WriteError>,
    /// Events to lose before the next attempt, and how many were to be lost before this one.
    wait: u64,
    waited: u64,
}

#[derive(Debug)]
struct Current<O> {
    file: O,
    encoder: Encoder,
    buffer: Buffer,
    /// Bytes of the file, those in the buffer included.
    bytes: u64,
    /// Bytes that the section header and the interfaces of its nodes took.
    beginning: u64,
}

impl Ring {
    /// Records into a directory, which is made if it is not there. Files of earlier recordings
    /// count as the oldest.
    ///
    /// # Errors
    ///
    /// [`WriteError::Output`] if the directory cannot be made, listed or written to;
    /// [`WriteError::SectionTooLong`].
    pub fn create(
        directory: impl AsRef<Path>,
        section: Section,
        settings: RingSettings,
    ) -> Result<Ring, WriteError> {
        let folder = DirectoryFolder::create(directory.as_ref());
        let folder = folder.map_err(|source| Written::default().error(source))?;
        Ring::new(folder, section, settings)
    }
}

impl<F: Folder> Ring<F> {
    /// Records into a folder of any kind.
    ///
    /// # Errors
    ///
    /// As [`create`](Ring::create).
    pub fn new(
        mut folder: F,
        section: Section,
        settings: RingSettings,
    ) -> Result<Ring<F>, WriteError> {
        let names = folder.names();
        let names = names.map_err(|source| Written::default().error(source))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| file_number(name)).collect();
        numbers.sort_unstable();
        let next = numbers.last().map_or(1, |last| last.saturating_add(1));
        // Found out now, and not when a later file is begun.
        Encoder::new(Section {
            part: u64::MAX,
            lost: u64::MAX,
            ..section.clone()
        })?;
        let mut ring = Ring {
            folder,
            settings,
            section,
            numbers,
            next,
            current: None,
            scratch: Vec::new(),
            written: Written::default(),
            failure: None,
            wait: 0,
            waited: 0,
        };
        match ring.begin_file() {
            Ok(()) => Ok(ring),
            Err(source) => Err(ring.written.error(source)),
        }
    }

    /// Why the ring lost events or files last, if it did.
    pub fn failure(&self) -> Option<&WriteError> {
        self.failure.as_ref()
    }

    /// What was written so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Takes the oldest files away until there are no more than `files`.
    fn make_room(&mut self, files: usize) -> io::Result<()> {
        while self.numbers.len() > files {
            remove(&mut self.folder, self.numbers[0])?;
            self.numbers.remove(0);
        }
        Ok(())
    }

    /// Begins the next file. The one before has been written out.
    fn begin_file(&mut self) -> io::Result<()> {
        self.current = None;
        self.make_room(self.settings.files as usize - 1)?;
        self.section.part += 1;
        self.section.lost = self.written.lost;
        // It fits: that was found out in the beginning.
        let encoder = Encoder::new(self.section.clone());
        let mut encoder = encoder.map_err(io::Error::other)?;
        let name = file_name(self.next);
        let file = loop {
            match self.folder.create(&name) {
                Err(error) if is_full(&error) && !self.numbers.is_empty() => {
                    self.failure = Some(self.written.error(error));
                    self.make_room(self.numbers.len() - 1)?;
                }
                other => break other?,
            }
        };
        self.numbers.push(self.next);
        self.next += 1;
        let mut buffer = Buffer::default();
        encoder.begin(&mut buffer.blocks);
        let bytes = buffer.blocks.len() as u64;
        self.current = Some(Current {
            file,
            encoder,
            buffer,
            bytes,
            beginning: bytes,
        });
        self.hand_on().inspect_err(|_| {
            // Attempts that fail must not push the good files out, one by one.
            if self.folder.remove(&name).is_ok() {
                self.numbers.pop();
            }
        })
    }

    /// Hands on what was collected. On a full disk the oldest files give way. If this fails the
    /// current file is to be given up.
    fn hand_on(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        if current.buffer.blocks.is_empty() {
            return Ok(());
        }
        let mut done = 0;
        while let Some(rest) = current.buffer.blocks.get(done..).filter(|r| !r.is_empty()) {
            match current.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(more) => done += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The file that is being written is the newest.
                Err(error) if is_full(&error) && self.numbers.len() > 1 => {
                    self.failure = Some(self.written.error(error));
                    remove(&mut self.folder, self.numbers[0])?;
                    self.numbers.remove(0);
                }
                Err(error) => return Err(error),
            }
        }
        current.file.flush()?;
        self.written.bytes += done as u64;
        self.written.records += current.buffer.records;
        current.buffer.clear();
        Ok(())
    }

    /// Hands on what was collected.
    pub fn flush(&mut self) {
        if let Err(source) = self.hand_on() {
            self.fail(source);
        }
    }

    /// Something failed: gives the current file up, whose whole blocks can still be read, and
    /// waits longer each time before the next attempt.
    fn fail(&mut self, source: io::Error) {
        if let Some(current) = self.current.take() {
            self.written.lost += current.buffer.records;
        }
        self.failure = Some(self.written.error(source));
        self.waited = (self.waited * 2).clamp(1, MOST_BETWEEN_ATTEMPTS);
        self.wait = self.waited;
    }

    /// Whether there is a file to write to, after trying to begin one if it is time for that.
    fn ready(&mut self) -> bool {
        while self.current.is_none() {
            if self.wait > 0 {
                self.wait -= 1;
                return false;
            }
            match self.begin_file() {
                Ok(()) => self.waited = 0,
                Err(source) => self.fail(source),
            }
        }
        true
    }

    fn write(&mut self, record: &Record<'_>) {
        if !self.ready() || !self.fit(record) {
            self.written.lost += 1;
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        current.bytes += self.scratch.len() as u64;
        current.buffer.blocks.append(&mut self.scratch);
        self.scratch.shrink_to(super::writer::FLUSH_BYTES);
        if current.buffer.appended(record) {
            self.flush();
        }
    }

    /// Encodes a record so that it fits the current file, which may be a new one then.
    fn fit(&mut self, record: &Record<'_>) -> bool {
        let mut limit = MAX_BULK;
        // As it is; in a new file; cut, in a new file.
        for _ in 0..3 {
            if !self.ready() {
                return false;
            }
            let Some(current) = &mut self.current else {
                return false;
            };
            let max_bytes = self.settings.max_bytes;
            let described = current.encoder.interfaces();
            self.scratch.clear();
            let encoder = &mut current.encoder;
            let kept = encoder.record(record, limit, None, &mut self.scratch);
            let bytes = current.bytes + self.scratch.len() as u64;
            if bytes <= max_bytes {
                return true;
            }
            current.encoder.forget_interfaces(described);
            if current.bytes > current.beginning {
                if let Err(source) = self.hand_on().and_then(|()| self.begin_file()) {
                    self.fail(source);
                }
                continue;
            }
            // A description of the gap may come, and padding.
            let excess = (bytes - max_bytes) as usize + packet::GAP_LENGTH + 4;
            let Some(shorter) = kept.checked_sub(excess) else {
                return false;
            };
            limit = shorter;
        }
        false
    }

    /// Hands on what was collected and says what was written. A ring does not end early: look at
    /// [`Written::lost`] and [`failure`](Self::failure).
    pub fn finish(mut self) -> Written {
        self.flush();
        self.written
    }
}

impl<F: Folder> Sink for Ring<F> {
    fn record(&mut self, record: &Record<'_>) {
        self.write(record);
    }

    fn flush(&mut self) {
        Ring::flush(self);
    }
}

impl<F: Folder> Drop for Ring<F> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
