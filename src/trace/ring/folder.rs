// SPDX-License-Identifier: MPL-2.0
//! What a ring needs of a directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A directory, or what stands for one.
pub trait Folder {
    /// A file that is being written.
    type File: Write;

    /// The names of all that is there.
    ///
    /// # Errors
    ///
    /// If it cannot be listed.
    fn names(&mut self) -> io::Result<Vec<String>>;

    /// Makes a file that was not there.
    ///
    /// # Errors
    ///
    /// If it is there already, or cannot be made.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;

    /// Takes a file away.
    ///
    /// # Errors
    ///
    /// If it is not there, or cannot be taken away.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A directory of the system.
#[derive(Clone, Debug)]
pub struct DirectoryFolder(PathBuf);

impl DirectoryFolder {
    /// The directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn create(path: &Path) -> io::Result<DirectoryFolder> {
        fs::create_dir_all(path)?;
        Ok(DirectoryFolder(path.to_owned()))
    }
}

impl Folder for DirectoryFolder {
    type File = File;

    fn names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            // A name that is not Unicode is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&mut self, name: &str) -> io::Result<File> {
        let path = self.0.join(name);
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }
}
