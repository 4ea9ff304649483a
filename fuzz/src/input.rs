// SPDX-License-Identifier: MPL-2.0
//! Reading what to do out of the bytes of the fuzzer, front to back, so that a small change of the
//! bytes is a small change of what is done, and seeds can be written by hand. When the bytes are
//! used up, numbers are 0 and runs of bytes empty.

use arbitrary::Unstructured;

/// The bytes that are still to be read.
pub struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    /// From these bytes.
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(Unstructured::new(bytes))
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, which is 1 at the least.
    pub fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// Whether something is so that mostly is not.
    pub fn rarely(&mut self) -> bool {
        self.byte() >= 0xf0
    }

    /// The next two bytes, the low one first.
    pub fn short(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// The next eight bytes, the low one first.
    pub fn long(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// So many bytes, or what is left.
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let length = length.min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    /// A run of bytes behind its length, which takes two.
    pub fn run(&mut self) -> &'a [u8] {
        let length = self.short();
        self.bytes(length.into())
    }
}
