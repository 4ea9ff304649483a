// SPDX-License-Identifier: MPL-2.0
//! Cuts the byte stream of a connection into heads and bodies.
//!
//! The transport delivers pieces of any size. A body that lies whole in one piece is not copied
//! (a slice of the piece is handed out); one that does not is gathered in a buffer made for it
//! once its length is known and has been checked. A slice keeps its whole piece in memory, so a
//! body that is small beside its piece is copied out: what is kept is never more than
//! [`PINNED_MOST`] times what is handed out.

use bytes::{Bytes, BytesMut};

/// Longest head.
pub(crate) const HEAD_MAX: usize = 32;

/// A body smaller than its piece divided by this is copied out of it.
const PINNED_MOST: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Splitter {
    chunk: Bytes,
    chunk_length: usize,
    head: [u8; HEAD_MAX],
    head_length: usize,
    body: BytesMut,
}

impl Splitter {
    /// Adds a piece. All of the piece before must have been used up, which is so when
    /// [`head`](Splitter::head) or [`body`](Splitter::body) said `None`.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.chunk.is_empty() {
            self.chunk_length = piece.len();
            self.chunk = piece;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + piece.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&piece);
            self.chunk_length = joined.len();
            self.chunk = joined.freeze();
        }
    }

    /// Takes the next `N` bytes (at most [`HEAD_MAX`]) if all of them are here.
    pub(crate) fn head<const N: usize>(&mut self) -> Option<[u8; N]> {
        const { assert!(N <= HEAD_MAX) };
        let taken = self.chunk.len().min(N.saturating_sub(self.head_length));
        self.head[self.head_length..self.head_length + taken].copy_from_slice(&self.chunk[..taken]);
        self.head_length += taken;
        let _ = self.chunk.split_to(taken);
        if self.head_length < N {
            return None;
        }
        self.head_length = 0;
        let mut head = [0; N];
        head.copy_from_slice(&self.head[..N]);
        Some(head)
    }

    /// Takes the next `length` bytes, bounded by the caller, if all of them are here.
    pub(crate) fn body(&mut self, length: usize) -> Option<Bytes> {
        if self.body.is_empty() && self.chunk.len() >= length {
            let body = self.chunk.split_to(length);
            let small = length < self.chunk_length / PINNED_MOST;
            return Some(if small {
                Bytes::copy_from_slice(&body)
            } else {
                body
            });
        }
        if self.chunk.is_empty() {
            return None;
        }
        if self.body.is_empty() {
            self.body.reserve(length);
        }
        let taken = self.chunk.len().min(length - self.body.len());
        self.body.extend_from_slice(&self.chunk.split_to(taken));
        if self.body.len() < length {
            return None;
        }
        Some(std::mem::take(&mut self.body).freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same stream cut into pieces anyhow gives the same heads and bodies.
        #[test]
        fn pieces_do_not_matter(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12),
            cuts in prop::collection::vec(1usize..90, 1..20),
        ) {
            let mut stream = Vec::new();
            for body in &bodies {
                stream.extend_from_slice(&(body.len() as u32).to_be_bytes());
                stream.extend_from_slice(body);
            }
            let mut splitter = Splitter::default();
            let mut out: Vec<Vec<u8>> = Vec::new();
            let mut due = None;
            let mut rest = Bytes::from(stream);
            let mut cut = cuts.iter().cycle();
            while !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(*cut.next().expect("endless")));
                splitter.push(piece);
                loop {
                    match due {
                        None => match splitter.head::<4>() {
                            Some(head) => due = Some(u32::from_be_bytes(head) as usize),
                            None => break,
                        },
                        Some(length) => match splitter.body(length) {
                            Some(body) => {
                                out.push(body.to_vec());
                                due = None;
                            }
                            None => break,
                        },
                    }
                }
            }
            prop_assert_eq!(out, bodies);
        }
    }

    #[test]
    fn a_large_body_is_a_slice_and_a_small_one_a_copy() {
        let piece = Bytes::from(vec![7; 100]);
        let start = piece.as_ptr();
        let mut splitter = Splitter::default();
        splitter.push(piece);
        assert_eq!(splitter.body(25).map(|body| body.as_ptr()), Some(start));
        assert_ne!(
            splitter.body(24).map(|body| body.as_ptr()),
            Some(start.wrapping_add(25))
        );
        let last = splitter.body(51).expect("whole");
        assert_eq!(last.as_ptr(), start.wrapping_add(49));
    }

    #[test]
    fn pieces_are_joined_if_the_one_before_was_left() {
        let mut splitter = Splitter::default();
        splitter.push(Bytes::from_static(b"ab"));
        splitter.push(Bytes::from_static(b"cd"));
        assert_eq!(splitter.head::<3>(), Some(*b"abc"));
        assert_eq!(splitter.head::<3>(), None);
        splitter.push(Bytes::from_static(b"ef"));
        assert_eq!(splitter.head::<3>(), Some(*b"def"));
    }
}
