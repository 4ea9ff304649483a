// SPDX-License-Identifier: MPL-2.0
//! The options at the end of a block.

use super::super::block::option;
use super::blocks::Endian;

/// Options with where their values lie; ends at the end mark, or where an option does not fit.
pub(super) struct Options<'a> {
    left: &'a [u8],
    endian: Endian,
}

impl<'a> Options<'a> {
    pub(super) fn new(left: &'a [u8], endian: Endian) -> Options<'a> {
        Options { left, endian }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let code = self.endian.u16(self.left)?;
        let length = usize::from(self.endian.u16(self.left.get(2..)?)?);
        if code == option::END {
            self.left = &[];
            return None;
        }
        let rest = self.left.get(4..)?;
        let value = rest.get(..length)?;
        self.left = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    }
}
