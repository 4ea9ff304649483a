// SPDX-License-Identifier: MPL-2.0
//! Where the bytes of a disk come from and go to.
//!
//! A store is addressed in bytes and knows nothing of blocks, SCSI or nodes. Both stores here
//! keep what is written in memory, over a base that is never changed: a rule that makes bytes, or
//! a file that may be somebody's own disk. Memory grows by what is written, in steps of 4 KiB,
//! and is bounded by the size of the disk.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Why a store could not read or write.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The range does not lie inside the store: a mistake of the caller.
    #[error("{length} bytes at {offset} are outside a store of {size} bytes; ask for less")]
    OutOfRange {
        /// Where the range begins, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// Size of the store in bytes.
        size: u64,
    },
    /// The file behind the store failed.
    #[error("the disk file failed at offset {offset}: {kind}; check the file and its device")]
    Io {
        /// Where the range begins, in bytes.
        offset: u64,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The medium is damaged there; see [`Fault`](super::Fault).
    #[error("the medium is damaged at offset {offset}")]
    Medium {
        /// First damaged byte.
        offset: u64,
    },
}

/// Bytes that can be read and written anywhere.
pub trait Store {
    /// Size in bytes; it never changes.
    fn size(&self) -> u64;
    /// Fills `out` with the bytes from `offset` on.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError>;
    /// Replaces the bytes from `offset` on.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;
    /// Makes what was written lasting, as far as the store can.
    fn flush(&mut self) -> Result<(), StoreError>;
    /// What it held at first, if that can be said in a word.
    fn content(&self) -> Option<Content> {
        None
    }
}

const CHUNK: u64 = 4096;

/// Written bytes, by the number of the 4 KiB chunk that they are in.
#[derive(Default)]
struct Overlay(BTreeMap<u64, Box<[u8]>>);

impl Overlay {
    /// Puts what was written over what `out` holds of the base.
    fn read(&self, offset: u64, out: &mut [u8]) {
        if out.is_empty() {
            return;
        }
        let end = offset + out.len() as u64;
        for (number, chunk) in self.0.range(offset / CHUNK..=(end - 1) / CHUNK) {
            let (from, to) = (
                (number * CHUNK).max(offset),
                ((number + 1) * CHUNK).min(end),
            );
            let inside = (from - number * CHUNK) as usize..(to - number * CHUNK) as usize;
            out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(&chunk[inside]);
        }
    }

    /// Keeps `bytes`; `base` fills a chunk that is only partly covered.
    fn write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        base: impl Fn(u64, &mut [u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let number = at / CHUNK;
            let inside = (at % CHUNK) as usize;
            let count = (CHUNK as usize - inside).min(bytes.len() - done);
            let chunk = match self.0.entry(number) {
                std::collections::btree_map::Entry::Occupied(chunk) => chunk.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    let mut chunk = vec![0; CHUNK as usize].into_boxed_slice();
                    if count < CHUNK as usize {
                        base(number * CHUNK, &mut chunk)?;
                    }
                    free.insert(chunk)
                }
            };
            chunk[inside..inside + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        Ok(())
    }
}

fn check(offset: u64, length: usize, size: u64) -> Result<(), StoreError> {
    let length = length as u64;
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(StoreError::OutOfRange {
            offset,
            length,
            size,
        }),
    }
}

/// What a byte is that was never written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// Zero.
    Zeros,
    /// As on the disks that the recordings in the fixtures were made with: the byte at offset o
    /// is `(o ^ (o >> 9)) & 0xff`, so that no two neighbouring blocks are alike.
    Recorded,
    /// Every 8 bytes hold a number that follows from their offset, so that no two blocks are alike
    /// and a block can be told by what it holds.
    Numbered,
}

impl Fill {
    /// As [`Fill::Recorded`].
    pub const RECORDED: Fill = Fill::Recorded;

    fn read(self, offset: u64, out: &mut [u8]) {
        match self {
            Fill::Zeros => out.fill(0),
            Fill::Recorded => {
                let byte = |offset: u64| (offset ^ (offset >> 9)) as u8;
                out.iter_mut().zip(offset..).for_each(|(b, o)| *b = byte(o));
            }
            Fill::Numbered => {
                let mut at = offset;
                let mut rest = out;
                while !rest.is_empty() {
                    let inside = (at % 8) as usize;
                    let count = (8 - inside).min(rest.len());
                    let (now, later) = rest.split_at_mut(count);
                    let word = Fill::number(at / 8).to_le_bytes();
                    now.copy_from_slice(&word[inside..inside + count]);
                    (at, rest) = (at + count as u64, later);
                }
            }
        }
    }

    /// The number that [`Fill::Numbered`] has in this place; the same for no two places.
    fn number(place: u64) -> u64 {
        (place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// What a disk holds before anything is written, in a word: enough to make it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// [`Fill::Zeros`].
    Zeros,
    /// [`Fill::Recorded`].
    Recorded,
    /// [`Fill::Numbered`].
    Numbered,
    /// Made from a seed, as the disk of the demonstration.
    Made {
        /// The seed.
        seed: u64,
    },
    /// The bytes of a file, and zeros after it.
    File {
        /// Its name.
        name: String,
        /// SHA-256 of the whole disk, in hexadecimal.
        sha256: String,
    },
}

/// A disk in memory that holds only what was written.
pub struct MemoryStore {
    size: u64,
    fill: Fill,
    written: Overlay,
}

impl MemoryStore {
    /// A store of `size` bytes.
    pub fn new(size: u64, fill: Fill) -> MemoryStore {
        MemoryStore {
            size,
            fill,
            written: Overlay::default(),
        }
    }
}

impl Store for MemoryStore {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        check(offset, out.len(), self.size)?;
        self.fill.read(offset, out);
        self.written.read(offset, out);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        check(offset, bytes.len(), self.size)?;
        let fill = self.fill;
        self.written.write(offset, bytes, |at, out| {
            fill.read(at, out);
            Ok(())
        })
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn content(&self) -> Option<Content> {
        Some(match self.fill {
            Fill::Zeros => Content::Zeros,
            Fill::Recorded => Content::Recorded,
            Fill::Numbered => Content::Numbered,
        })
    }
}

/// A disk whose content is a file. The file is only ever read: what is written stays in memory
/// and is gone with the store.
pub struct FileStore {
    file: File,
    file_size: u64,
    size: u64,
    written: Overlay,
}

impl FileStore {
    /// Opens `path` for reading and takes its size now. A size that is not a multiple of
    /// `block_size` is rounded up with zeros; see [`FileStore::padding`].
    pub fn open(path: &Path, block_size: u32) -> io::Result<FileStore> {
        FileStore::new(File::open(path)?, block_size)
    }

    /// As [`FileStore::open`], of a file that is open.
    pub fn new(mut file: File, block_size: u32) -> io::Result<FileStore> {
        // By seeking, and not from the metadata: that works for block devices too.
        let file_size = file.seek(SeekFrom::End(0))?;
        let size = file_size.checked_next_multiple_of(u64::from(block_size.max(1)));
        let size = size.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(FileStore {
            file,
            file_size,
            size,
            written: Overlay::default(),
        })
    }

    /// Zero bytes that the store has after the end of the file.
    pub fn padding(&self) -> u64 {
        self.size - self.file_size
    }

    /// Reads from the file; what lies behind its end is zero.
    fn base(file: &File, file_size: u64, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let there = file_size.saturating_sub(offset).min(out.len() as u64) as usize;
        let (from_file, behind) = out.split_at_mut(there);
        behind.fill(0);
        let mut file = file;
        if !from_file.is_empty() {
            file.seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(from_file))
                .map_err(|error| StoreError::Io {
                    offset,
                    kind: error.kind(),
                })?;
        }
        Ok(())
    }
}

impl Store for FileStore {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        check(offset, out.len(), self.size)?;
        FileStore::base(&self.file, self.file_size, offset, out)?;
        self.written.read(offset, out);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        check(offset, bytes.len(), self.size)?;
        let (file, file_size) = (&self.file, self.file_size);
        self.written.write(offset, bytes, |at, out| {
            FileStore::base(file, file_size, at, out)
        })
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    #[test]
    fn recorded_content_is_the_rule_of_the_recordings() {
        let store = MemoryStore::new(2048 * 512, Fill::RECORDED);
        let mut block = [0; 4];
        store.read(512, &mut block).unwrap();
        assert_eq!(block, [1, 0, 3, 2]);
        store.read(2047 * 512, &mut block).unwrap();
        assert_eq!(block, [0xff, 0xfe, 0xfd, 0xfc]);
    }

    #[test]
    fn the_edge_of_a_store_is_exact() {
        let mut store = MemoryStore::new(10, Fill::Zeros);
        assert!(store.read(0, &mut [0; 10]).is_ok());
        assert!(store.read(10, &mut []).is_ok());
        let outside = StoreError::OutOfRange {
            offset: 9,
            length: 2,
            size: 10,
        };
        assert_eq!(store.read(9, &mut [0; 2]), Err(outside.clone()));
        assert_eq!(store.write(9, &[0; 2]), Err(outside));
        assert!(store.write(u64::MAX, &[0; 2]).is_err());
    }

    #[test]
    fn a_file_is_padded_and_never_changed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 1000]).unwrap();
        let mut store = FileStore::open(file.path(), 512).unwrap();
        assert_eq!((store.size(), store.padding()), (1024, 24));
        store.write(900, &[9; 124]).unwrap();
        store.flush().unwrap();
        let mut all = vec![0; 1024];
        store.read(0, &mut all).unwrap();
        assert_eq!(all[..900], [7; 900]);
        assert_eq!(all[900..], [9; 124]);
        assert_eq!(std::fs::read(file.path()).unwrap(), vec![7; 1000]);
        let again = FileStore::open(file.path(), 512).unwrap();
        again.read(0, &mut all).unwrap();
        assert_eq!(all[1000..], [0; 24]);
    }

    #[test]
    fn a_file_of_two_to_the_31_and_more_is_read_at_its_end() {
        let file = tempfile::tempfile().unwrap();
        let size = (1 << 31) + 4096 + 1;
        file.set_len(size).unwrap(); // sparse: takes no room
        (&file).seek(SeekFrom::Start(size - 1)).unwrap();
        (&file).write_all(&[5]).unwrap();
        let mut store = FileStore::new(file, 512).unwrap();
        assert_eq!(store.size(), (1 << 31) + 4096 + 512);
        store.write(1 << 31, b"here").unwrap();
        let mut out = [0; 4];
        store.read(1 << 31, &mut out).unwrap();
        assert_eq!(&out, b"here");
        store.read(size - 1, &mut out).unwrap();
        assert_eq!(out, [5, 0, 0, 0]);
    }

    #[test]
    fn a_file_that_shrank_is_an_error_and_not_a_panic() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8192).unwrap();
        let store = FileStore::open(file.path(), 512).unwrap();
        file.as_file().set_len(100).unwrap();
        let error = store.read(4096, &mut [0; 512]).unwrap_err();
        assert_eq!(
            error,
            StoreError::Io {
                offset: 4096,
                kind: io::ErrorKind::UnexpectedEof
            }
        );
    }

    proptest! {
        #[test]
        fn both_stores_behave_as_one_flat_array(
            writes in prop::collection::vec((0u64..20_000, 0usize..9_000, any::<u8>()), 0..12),
            reads in prop::collection::vec((0u64..20_000, 0usize..9_000), 1..8),
        ) {
            const SIZE: u64 = 20_000;
            let byte = |offset: u64| (offset ^ (offset >> 9)) as u8;
            let mut flat: Vec<u8> = (0..SIZE).map(byte).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&flat).unwrap();
            let mut memory = MemoryStore::new(SIZE, Fill::RECORDED);
            let mut on_file = FileStore::new(file, 1).unwrap();
            for (offset, length, value) in writes {
                let length = length.min((SIZE - offset) as usize);
                let bytes = vec![value; length];
                flat[offset as usize..][..length].copy_from_slice(&bytes);
                memory.write(offset, &bytes).unwrap();
                on_file.write(offset, &bytes).unwrap();
            }
            for (offset, length) in reads {
                let length = length.min((SIZE - offset) as usize);
                let mut out = vec![0xee; length];
                memory.read(offset, &mut out).unwrap();
                prop_assert_eq!(&out[..], &flat[offset as usize..][..length]);
                out.fill(0xee);
                on_file.read(offset, &mut out).unwrap();
                prop_assert_eq!(&out[..], &flat[offset as usize..][..length]);
            }
        }
    }
}
