// SPDX-License-Identifier: MPL-2.0
//! Reading a trace wherever it lies: in one file, or in a directory that a ring has left.

use super::reader::{Entry, Notice, ReadError, ReadLimits, Reader};
use super::record::RecordBuf;
use super::ring::file_number;
use super::section::Section;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// What keeps the files of a trace from being read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or directory cannot be opened or listed.
    #[error("{}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory holds no trace.
    #[error("{}: no files of a trace here (they are named trace-00000001.pcapng)", path.display())]
    NoFiles {
        /// Which.
        path: PathBuf,
    },
    /// A file cannot be read, or not to its end.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Where and why.
        error: ReadError,
    },
}

/// Reads the files of a trace in order, one at a time.
///
/// A file of a ring that is broken does not keep those after it from being read: what is the
/// matter with it is noted ([`broken`](Self::broken)).
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    current: usize,
    reader: Option<Reader<BufReader<File>>>,
    broken: Vec<FilesError>,
    records: u64,
    sections: u64,
    /// Of files that were read to their end.
    notices: Vec<(PathBuf, Notice)>,
    notice_count: u64,
}

impl Files {
    /// Reads a file, or the files of a ring in a directory.
    ///
    /// # Errors
    ///
    /// If there is none, or not one of them can be read from its beginning.
    pub fn open(path: impl AsRef<Path>) -> Result<Files, FilesError> {
        let path = path.as_ref();
        let failed = |source| FilesError::Open {
            path: path.to_owned(),
            source,
        };
        let paths = if fs::metadata(path).map_err(failed)?.is_dir() {
            let mut numbered = Vec::new();
            for entry in fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if let Some(number) = entry.file_name().to_str().and_then(file_number) {
                    numbered.push((number, entry.path()));
                }
            }
            numbered.sort_unstable();
            numbered.into_iter().map(|(_, path)| path).collect()
        } else {
            vec![path.to_owned()]
        };
        if paths.is_empty() {
            let path = path.to_owned();
            return Err(FilesError::NoFiles { path });
        }
        let mut files = Files {
            paths,
            current: 0,
            reader: None,
            broken: Vec::new(),
            records: 0,
            sections: 0,
            notices: Vec::new(),
            notice_count: 0,
        };
        files.begin()?;
        Ok(files)
    }

    /// Opens the current file, or the first after it that can be.
    fn begin(&mut self) -> Result<(), FilesError> {
        while let Some(path) = self.paths.get(self.current) {
            let opened = File::open(path).map_err(|source| FilesError::Open {
                path: path.clone(),
                source,
            });
            let reader = opened.and_then(|file| {
                Reader::new(BufReader::with_capacity(64 << 10, file)).map_err(|error| {
                    FilesError::Read {
                        path: path.clone(),
                        error,
                    }
                })
            });
            match reader {
                Ok(reader) => {
                    self.reader = Some(reader);
                    return Ok(());
                }
                Err(error) => self.give_up(error)?,
            }
        }
        Ok(())
    }

    /// The current file cannot be read on: goes to the next, if there is one.
    fn give_up(&mut self, error: FilesError) -> Result<(), FilesError> {
        self.finish_file();
        if self.current < self.paths.len() {
            self.broken.push(error);
            Ok(())
        } else {
            Err(error)
        }
    }

    fn finish_file(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            self.records += reader.records();
            self.sections += reader.sections();
            self.notice_count += reader.notice_count();
            if let Some(path) = self.path().map(Path::to_owned) {
                // Whoever does not take them shall not fill the memory with them.
                let room = ReadLimits::DEFAULT_MAX_NOTICES.saturating_sub(self.notices.len());
                let notices = reader.take_notices().into_iter().take(room);
                self.notices
                    .extend(notices.map(|notice| (path.clone(), notice)));
            }
        }
        self.current += 1;
    }

    /// The file that is being read.
    pub fn path(&self) -> Option<&Path> {
        self.paths.get(self.current).map(PathBuf::as_path)
    }

    /// The reader of that file, with its notices; `None` at the end.
    pub fn reader(&self) -> Option<&Reader<BufReader<File>>> {
        self.reader.as_ref()
    }

    /// What the section that was read from last says of itself; `None` at the end.
    pub fn section(&self) -> Option<&Section> {
        self.reader.as_ref().map(Reader::section)
    }

    /// How many records were given, of all files.
    pub fn records(&self) -> u64 {
        self.records + self.reader.as_ref().map_or(0, Reader::records)
    }

    /// How many sections were begun, of all files.
    pub fn sections(&self) -> u64 {
        self.sections + self.reader.as_ref().map_or(0, Reader::sections)
    }

    /// Takes what was odd in the files since it was taken last, with the file that it was odd
    /// in. What was odd about a record is there once the record was given. Between two calls no
    /// more than [`ReadLimits::max_notices`] of a file are kept, and as many of all earlier ones
    /// together; [`notice_count`](Self::notice_count) counts all.
    pub fn take_notices(&mut self) -> Vec<(PathBuf, Notice)> {
        let mut notices = std::mem::take(&mut self.notices);
        if let Some(reader) = &mut self.reader
            && let Some(path) = self.paths.get(self.current)
        {
            let taken = reader.take_notices().into_iter();
            notices.extend(taken.map(|notice| (path.clone(), notice)));
        }
        notices
    }

    /// How many oddities there were, of all files, taken or not.
    pub fn notice_count(&self) -> u64 {
        self.notice_count + self.reader.as_ref().map_or(0, Reader::notice_count)
    }

    /// Files that could not be read, or not to their end.
    pub fn broken(&self) -> &[FilesError] {
        &self.broken
    }

    /// The next record, lent until the next call; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the last file cannot be read on; after that, `None`.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, FilesError> {
        self.advance()?;
        Ok(self.entry())
    }

    /// The record that was read last; `None` at the end.
    pub fn entry(&self) -> Option<Entry<'_>> {
        self.reader.as_ref().and_then(Reader::entry)
    }

    /// Goes to the next record; false at the end.
    ///
    /// # Errors
    ///
    /// As [`next_entry`](Self::next_entry).
    pub fn advance(&mut self) -> Result<bool, FilesError> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(false);
            };
            match reader.advance() {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    self.finish_file();
                    self.begin()?;
                }
                Err(error) => {
                    let path = self.paths[self.current].clone();
                    self.give_up(FilesError::Read { path, error })?;
                    self.begin()?;
                }
            }
        }
    }
}

impl Iterator for Files {
    type Item = Result<RecordBuf, FilesError>;

    fn next(&mut self) -> Option<Result<RecordBuf, FilesError>> {
        match self.next_entry() {
            Ok(entry) => entry.map(|entry| Ok(entry.to_owned())),
            Err(error) => Some(Err(error)),
        }
    }
}
