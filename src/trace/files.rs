// SPDX-License-Identifier: MPL-2.0
//! Reading a trace wherever it lies: in one file, or in a directory that a ring has left.

use super::reader::{Entry, ReadError, Reader};
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
        self.records += self.reader.take().map_or(0, |reader| reader.records());
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
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(None);
            };
            match reader.advance() {
                Ok(true) => break,
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
        Ok(self.reader.as_ref().and_then(Reader::entry))
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
