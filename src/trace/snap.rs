// SPDX-License-Identifier: MPL-2.0
//! Leaving data out of a trace: which bytes of an event are data, and what is said in their
//! place.

use super::event::Event;
use super::record::{Cut, Record};
use crate::message::data_range;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// How much of the data is recorded. The default is all of it.
///
/// Data is what initiators read and write, wherever it passes: with their commands, in messages
/// (`scsi_data`, the data that comes with a `scsi_cmd`, echoes), and, since messages travel on
/// it, every byte of the peer link. Everything else of a message, CDBs and sense data are always
/// whole. What a damaged message has after the damage counts as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Snap {
    /// How many bytes of data are kept of each event, from the front; `None` for all. In a
    /// message a byte of data takes four. Of the peer link, and of damaged messages, none are
    /// kept whatever this says.
    pub keep: Option<u32>,
    /// Whether a digest is recorded of what is left out: it shows whether data came through
    /// unchanged, but also lets whoever can guess the data see that he was right.
    pub digest: bool,
}

impl Snap {
    /// Everything is recorded.
    pub const ALL: Snap = Snap {
        keep: None,
        digest: false,
    };
    /// No data is recorded, and no trace of what it was.
    pub const NO_DATA: Snap = Snap {
        keep: Some(0),
        digest: false,
    };
    /// A digest is recorded in place of the data.
    pub const DIGEST: Snap = Snap {
        keep: Some(0),
        digest: true,
    };
}

/// What is kept of the bulk of an event: the bytes before a gap and those after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept<'a> {
    pub(super) before: &'a [u8],
    pub(super) after: &'a [u8],
    pub(super) cut: Option<Cut>,
}

impl<'a> Kept<'a> {
    /// What a recorder with this setting keeps of a record. A record that was cut before stays
    /// as it is.
    pub(super) fn of(record: &Record<'a>, snap: Snap) -> Kept<'a> {
        let bulk = record.event.bulk();
        let whole = Kept {
            before: bulk,
            after: &[],
            cut: record.cut,
        };
        let (None, Some(keep)) = (record.cut, snap.keep) else {
            return whole;
        };
        let keep = keep as usize;
        let (range, words) = match record.event {
            Event::Upcall { message, .. } | Event::Post { message, .. } => {
                match data_range(message) {
                    None => return whole,
                    Some(data) if data.words => {
                        let start = data.range.start.saturating_add(keep.saturating_mul(4));
                        (start..data.range.end, true)
                    }
                    Some(data) => (data.range, false),
                }
            }
            Event::Command { data, .. }
            | Event::CommandDone { data, .. }
            | Event::Operation { data, .. } => (keep..data.len(), false),
            Event::Sent { bytes, .. } | Event::Received { bytes, .. } => (0..bytes.len(), false),
            _ => return whole,
        };
        Kept::without(bulk, range, words, snap.digest)
    }

    /// As [`Kept::of`], with no more than `limit` bytes of bulk.
    pub(super) fn within(record: &Record<'a>, snap: Snap, limit: usize) -> Kept<'a> {
        let kept = Kept::of(record, snap);
        if kept.length() <= limit {
            return kept;
        }
        // What is cut because it is too long keeps its front, up to where it had been cut.
        let bulk = record.event.bulk();
        match record.cut {
            Some(cut) => {
                let offset = limit.min(cut.offset as usize);
                let more = bulk.len() - offset;
                Kept {
                    before: &bulk[..offset],
                    after: &[],
                    cut: Some(Cut {
                        offset: offset as u32,
                        length: cut.length.saturating_add(more as u32),
                        words: false,
                        digest: None,
                    }),
                }
            }
            None => {
                let front = limit.min(kept.before.len());
                Kept::without(bulk, front..bulk.len(), false, snap.digest)
            }
        }
    }

    fn without(bulk: &'a [u8], range: Range<usize>, words: bool, digest: bool) -> Kept<'a> {
        let whole = Kept {
            before: bulk,
            after: &[],
            cut: None,
        };
        let (Some(before), Some(missing), Some(after)) = (
            bulk.get(..range.start),
            bulk.get(range.clone()),
            bulk.get(range.end..),
        ) else {
            return whole;
        };
        if missing.is_empty() {
            return whole;
        }
        let length = u32::try_from(missing.len()).unwrap_or(u32::MAX);
        Kept {
            before,
            after,
            cut: Some(Cut {
                offset: u32::try_from(before.len()).unwrap_or(u32::MAX),
                length,
                words,
                digest: digest.then(|| digest_of(missing, words)),
            }),
        }
    }

    /// How many bytes are kept.
    pub(super) fn length(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

/// The first 16 bytes of the SHA-256 of data, or of the data in the words of a byte array.
pub(super) fn digest_of(bytes: &[u8], words: bool) -> [u8; 16] {
    let mut hash = Sha256::new();
    if words {
        let mut block = Vec::with_capacity(BLOCK);
        for words in bytes.chunks(4 * BLOCK) {
            block.clear();
            crate::nvlist::words::compress(words, &mut block);
            hash.update(&block);
        }
    } else {
        hash.update(bytes);
    }
    let hash = hash.finalize();
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}

/// How many bytes of data are hashed at a time.
const BLOCK: usize = 4096;

#[cfg(test)]
mod tests;
