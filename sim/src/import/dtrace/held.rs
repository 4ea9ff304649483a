// SPDX-License-Identifier: MPL-2.0
//! An event that waits to be sorted, and the chunks of its message.

use stmf_proxy::message::data_range;
use stmf_proxy::trace::{Cut, MAX_BULK};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Upcall,
    UpcallDone {
        started: u64,
        size: u64,
        result: u32,
    },
    Post,
    PostDone {
        started: u64,
        errno: i32,
    },
    Unreferenced,
    Lost {
        records: u64,
    },
}

/// An event, with what came of its message.
#[derive(Debug)]
pub struct Held {
    pub what: What,
    pub thread: u64,
    /// How long its message was.
    pub size: u32,
    /// What came of it, with offsets: ascending, inside the message, not overlapping.
    chunks: Vec<(usize, Vec<u8>)>,
    /// Where the last chunk was to end.
    end: u32,
}

impl Held {
    pub fn message(what: What, thread: u64, size: u32) -> Held {
        Held {
            what,
            thread,
            size,
            chunks: Vec::new(),
            end: 0,
        }
    }

    pub fn other(what: What, thread: u64) -> Held {
        Held::message(what, thread, 0)
    }

    /// Whether a chunk can come next: behind the last, inside the message.
    pub fn expects(&self, offset: u32, length: u32) -> bool {
        let end = offset.checked_add(length);
        length > 0 && offset >= self.end && end.is_some_and(|end| end <= self.size)
    }

    /// A chunk that was expected has come, or the front of it. Gives how many bytes are kept:
    /// no more than [`MAX_BULK`] are in all.
    pub fn add(&mut self, offset: u32, length: u32, bytes: Vec<u8>) -> usize {
        let kept = bytes.len();
        self.end = offset.saturating_add(length);
        if kept == 0 || self.kept() + kept > MAX_BULK {
            return 0;
        }
        self.chunks.push((offset as usize, bytes));
        kept
    }

    /// How many bytes it holds.
    pub fn kept(&self) -> usize {
        self.chunks.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// What came of the message up to the first byte that is missing and from the last that is,
    /// and the gap between them.
    pub fn assemble(&self) -> (Vec<u8>, Option<Cut>) {
        let size = self.size as usize;
        let mut kept = Vec::new();
        let mut chunks = self.chunks.as_slice();
        while let Some(((offset, bytes), rest)) = chunks.split_first()
            && *offset == kept.len()
        {
            kept.extend_from_slice(bytes);
            chunks = rest;
        }
        let offset = kept.len();
        if offset == size {
            return (kept, None);
        }
        // The chunks that reach to the end without a gap.
        let mut start = size;
        let mut first = chunks.len();
        for (index, (offset, bytes)) in chunks.iter().enumerate().rev() {
            if offset + bytes.len() != start {
                break;
            }
            (start, first) = (*offset, index);
        }
        for (_, bytes) in chunks.iter().skip(first) {
            kept.extend_from_slice(bytes);
        }
        let mut cut = Cut {
            offset: offset as u32,
            length: (start - offset) as u32,
            words: false,
            digest: None,
        };
        cut.words = is_words(&kept, &cut);
        (kept, Some(cut))
    }
}

/// Whether the gap lies in the data of a message that is sound but for it, and is whole words of
/// that.
fn is_words(kept: &[u8], cut: &Cut) -> bool {
    let Some(filled) = cut.fill(kept, MAX_BULK) else {
        return false;
    };
    let Some(data) = data_range(&filled) else {
        return false;
    };
    let (start, length) = (cut.offset as usize, cut.length as usize);
    data.words
        && data.range.start <= start
        && start + length <= data.range.end
        && (start - data.range.start).is_multiple_of(4)
        && length.is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(size: u32, chunks: &[(u32, &[u8])]) -> Held {
        let mut held = Held::message(What::Post, 1, size);
        for (offset, bytes) in chunks {
            assert!(held.expects(*offset, bytes.len() as u32));
            held.add(*offset, bytes.len() as u32, bytes.to_vec());
        }
        held
    }

    fn told(held: &Held) -> (Vec<u8>, Option<(u32, u32)>) {
        let (kept, cut) = held.assemble();
        (kept, cut.map(|cut| (cut.offset, cut.length)))
    }

    #[test]
    fn what_came_is_put_together_around_one_gap() {
        assert_eq!(told(&held(0, &[])), (vec![], None));
        assert_eq!(
            told(&held(4, &[(0, b"ab"), (2, b"cd")])),
            (b"abcd".to_vec(), None)
        );
        assert_eq!(told(&held(4, &[])), (vec![], Some((0, 4))));
        assert_eq!(
            told(&held(9, &[(0, b"ab"), (8, b"z")])),
            (b"abz".to_vec(), Some((2, 6)))
        );
        assert_eq!(
            told(&held(9, &[(2, b"cd"), (6, b"x"), (7, b"yz")])),
            (b"xyz".to_vec(), Some((0, 6)))
        );
        assert_eq!(
            told(&held(9, &[(0, b"ab"), (3, b"lost")])),
            (b"ab".to_vec(), Some((2, 7)))
        );
    }

    #[test]
    fn chunks_ascend_inside_the_message() {
        let held = held(9, &[(2, b"cd")]);
        assert!(held.expects(4, 5));
        assert!(!held.expects(3, 1), "overlaps");
        assert!(!held.expects(4, 6), "outside");
        assert!(!held.expects(4, 0), "empty");
        assert!(!held.expects(8, u32::MAX), "overflows");
    }
}
