// SPDX-License-Identifier: MPL-2.0
//! The disk of the demonstration: a file of the user's, or one made for the run.
//!
//! The file is opened for reading only; what the nodes write stays in memory.

use super::{Settings, Sha256Digest};
use crate::kernel::sbd::{Content, Disk, FileStore, SharedDisk};
use crate::report;
use crate::world::random::Random;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes of a block.
pub const BLOCK: u32 = 512;

/// Where the disk comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A temporary file is made and filled from the seed.
    Made {
        /// Its size in bytes, 1 to [`Settings::LARGEST_DISK`].
        size: u64,
    },
    /// A file of the user's. It is never changed.
    File(PathBuf),
}

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The temporary file could not be made.
    #[error("cannot make the disk in {}: {error}; free some space there, set TMPDIR, or give a file with --disk", .directory.display())]
    Make {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file could not be opened or read.
    #[error("cannot read the disk {}: {error}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is a directory.
    #[error("{} is a directory; give a file that holds the bytes of a disk", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
    },
    /// There are no bytes.
    #[error("the disk is empty; give one of 1 to {} bytes", Settings::LARGEST_DISK)]
    Empty,
    /// There are too many bytes.
    #[error("the disk has {} bytes; give one of 1 to {} bytes", .size, Settings::LARGEST_DISK)]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
}

/// A disk to run with.
pub struct Image {
    /// The disk.
    pub disk: SharedDisk,
    /// Where it came from, for people.
    pub description: String,
    /// Size in bytes, with the padding.
    pub size: u64,
    /// Zero bytes after the end of the file.
    pub padding: u64,
    /// Of all bytes, with the padding.
    pub sha256: Sha256Digest,
}

/// Makes or opens a disk; one that is made follows from the seed.
///
/// # Errors
///
/// [`DiskError`] if there is none to be had.
pub fn open(source: &Source, seed: u64) -> Result<Image, DiskError> {
    let (file, path, description) = match source {
        Source::Made { size } => {
            check(*size)?;
            let directory = std::env::temp_dir();
            let description = format!("{} made for this run", report::bytes(*size));
            let file = make(*size, seed).map_err(|error| DiskError::Make {
                directory: directory.clone(),
                error,
            })?;
            (file, directory, description)
        }
        Source::File(path) => {
            let failed = |error| DiskError::Read {
                path: path.clone(),
                error,
            };
            let mut file = File::open(path).map_err(failed)?;
            if file.metadata().map_err(failed)?.is_dir() {
                return Err(DiskError::Directory { path: path.clone() });
            }
            // By seeking, which works for devices too.
            let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
            check(size)?;
            let description = format!("{}, {}", path.display(), report::bytes(size));
            (file, path.clone(), description)
        }
    };
    let failed = |error| DiskError::Read {
        path: path.clone(),
        error,
    };
    let sha256 = digest(&file).map_err(failed)?;
    let store = FileStore::new(file, BLOCK).map_err(failed)?;
    let padding = store.padding();
    let content = match source {
        Source::Made { .. } => Content::Made { seed },
        Source::File(path) => Content::File {
            name: path.display().to_string(),
            sha256: stmf_proxy::message::hex::encode(&sha256),
        },
    };
    let disk = Rc::new(RefCell::new(Disk::new(store).with_content(content)));
    let size = disk.borrow().size();
    Ok(Image {
        disk,
        description,
        size,
        padding,
        sha256,
    })
}

fn check(size: u64) -> Result<(), DiskError> {
    match size {
        0 => Err(DiskError::Empty),
        size if size > Settings::LARGEST_DISK => Err(DiskError::TooLarge { size }),
        _ => Ok(()),
    }
}

/// A file that is gone when it is closed, filled from the seed.
fn make(size: u64, seed: u64) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    // A stream of its own: what the disk holds must not depend on what else is drawn.
    let mut random = Random::stream(seed, u64::from_le_bytes(*b"the disk"));
    let mut piece = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let length = left.min(piece.len() as u64) as usize;
        random.fill(&mut piece[..length]);
        file.write_all(&piece[..length])?;
        left -= length as u64;
    }
    file.flush()?;
    Ok(file)
}

/// SHA-256 of a file and the zeros that make its last block whole.
fn digest(mut file: &File) -> io::Result<Sha256Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut size = 0u64;
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                hash.update(&piece[..length]);
                size += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let padding = size.next_multiple_of(BLOCK.into()) - size;
    hash.update(&[0; BLOCK as usize][..padding as usize]);
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, Source) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = Source::File(file.path().into());
        (file, source)
    }

    #[test]
    fn a_file_is_padded_to_whole_blocks() {
        let (_keep, source) = file(&[7; 1000]);
        let image = open(&source, 0).unwrap();
        assert_eq!((image.size, image.padding), (1024, 24));
        let mut padded = vec![7; 1000];
        padded.resize(1024, 0);
        assert_eq!(image.sha256[..], Sha256::digest(&padded)[..]);
        let mut read = vec![1; 1024];
        image.disk.borrow_mut().read(0, &mut read).unwrap();
        assert_eq!(read, padded);
    }

    #[test]
    fn a_whole_number_of_blocks_is_not_padded() {
        let (_keep, source) = file(&[7; 1024]);
        let image = open(&source, 0).unwrap();
        assert_eq!((image.size, image.padding), (1024, 0));
    }

    #[test]
    fn the_disk_that_is_made_follows_from_the_seed() {
        let sha = |seed| open(&Source::Made { size: 5000 }, seed).unwrap().sha256;
        assert_eq!(sha(1), sha(1));
        assert_ne!(sha(1), sha(2));
    }

    #[test]
    fn bad_disks_are_told_apart() {
        let (_keep, empty) = file(&[]);
        assert!(matches!(open(&empty, 0), Err(DiskError::Empty)));
        let directory = Source::File(std::env::temp_dir());
        assert!(matches!(
            open(&directory, 0),
            Err(DiskError::Directory { .. })
        ));
        let missing = Source::File("/nonexistent/disk".into());
        assert!(matches!(open(&missing, 0), Err(DiskError::Read { .. })));
        assert!(matches!(
            open(&Source::Made { size: 0 }, 0),
            Err(DiskError::Empty)
        ));
        // Sparse: nothing is written. One byte over the edge.
        let (large, source) = file(&[1]);
        large.as_file().set_len(Settings::LARGEST_DISK + 1).unwrap();
        let refused = open(&source, 0).err().unwrap();
        assert!(matches!(refused, DiskError::TooLarge { .. }));
        assert_eq!(
            refused.to_string(),
            "the disk has 2147483649 bytes; give one of 1 to 2147483648 bytes"
        );
    }
}
