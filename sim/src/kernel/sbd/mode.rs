// SPDX-License-Identifier: MPL-2.0
//! Mode pages: caching (08h) and control (0Ah), read with MODE SENSE, changed with MODE SELECT.
//!
//! One bit can be changed, WCE, "write cache enabled". Its saved value is metadata of the disk, so
//! it follows the disk to the other node. The bit changes nothing else here: what was written is
//! never lost.

use super::cdb::{ModeHeader, ModeSense};
use crate::scsi::reports::Capacity;
use crate::scsi::{Sense, be};

const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;

const CACHING_LENGTH: usize = 20;
const CONTROL_LENGTH: usize = 12;

const WCE: u8 = 0x04;

/// PC of MODE SENSE.
const CHANGEABLE: u8 = 1;
const DEFAULT: u8 = 2;
const SAVED: u8 = 3;

/// DEVICE-SPECIFIC PARAMETER: writable, DPO and FUA are accepted.
const DPOFUA: u8 = 0x10;

/// The current values of everything that can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ModePages {
    pub(super) write_cache_enabled: bool,
}

/// The caching page; PS says that it can be saved.
fn caching(write_cache_enabled: bool) -> [u8; CACHING_LENGTH] {
    let mut page = [0; CACHING_LENGTH];
    page[0] = 0x80 | CACHING;
    page[1] = CACHING_LENGTH as u8 - 2;
    page[2] = if write_cache_enabled { WCE } else { 0 };
    page
}

/// The control page. QUEUE ALGORITHM MODIFIER 1: commands may be reordered without restriction.
fn control(changeable: bool) -> [u8; CONTROL_LENGTH] {
    let mut page = [0; CONTROL_LENGTH];
    page[0] = 0x80 | CONTROL;
    page[1] = CONTROL_LENGTH as u8 - 2;
    page[3] = if changeable { 0 } else { 0x10 };
    page
}

impl ModePages {
    /// The data of MODE SENSE. `saved` is the saved value of WCE.
    pub(super) fn sense(
        &self,
        what: ModeSense,
        capacity: Capacity,
        saved: bool,
    ) -> Result<Vec<u8>, Sense> {
        let write_cache = match what.control {
            CHANGEABLE | DEFAULT => true,
            SAVED => saved,
            _ => self.write_cache_enabled,
        };
        if !matches!(what.subpage, 0 | ALL_SUBPAGES) {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        let mut pages = Vec::new();
        if matches!(what.page, CACHING | ALL_PAGES) {
            pages.extend(caching(write_cache));
        }
        if matches!(what.page, CONTROL | ALL_PAGES) {
            pages.extend(control(what.control == CHANGEABLE));
        }
        if pages.is_empty() {
            return Err(Sense::INVALID_FIELD_IN_CDB);
        }
        let long = what.long_descriptor;
        let descriptor = match what.block_descriptor {
            true => block_descriptor(capacity, long),
            false => Vec::new(),
        };
        let mut data = match what.header {
            ModeHeader::Short => vec![0, 0, DPOFUA, descriptor.len() as u8],
            ModeHeader::Long => {
                let long_lba = u8::from(long && !descriptor.is_empty());
                vec![0, 0, 0, DPOFUA, long_lba, 0, 0, descriptor.len() as u8]
            }
        };
        data.extend(descriptor);
        data.extend(pages);
        // MODE DATA LENGTH does not count itself. Two pages are far below the limit of one byte.
        match what.header {
            ModeHeader::Short => data[0] = data.len() as u8 - 1,
            ModeHeader::Long => {
                let length = data.len() as u16 - 2;
                data[..2].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(data)
    }

    /// What MODE SELECT with parameter list `list` makes of the pages. Nothing changes unless the
    /// whole list is right.
    pub(super) fn select(
        &self,
        header: ModeHeader,
        list: &[u8],
        capacity: Capacity,
    ) -> Result<ModePages, Sense> {
        let (header_length, medium_type, descriptor_length, long) = match header {
            ModeHeader::Short => (4, be(list, 1, 1), be(list, 3, 1), false),
            ModeHeader::Long => (8, be(list, 2, 1), be(list, 6, 2), be(list, 4, 1) & 1 != 0),
        };
        let rest = list
            .get(header_length..)
            .ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        let descriptor_size = if long { 16 } else { 8 };
        if medium_type != 0 || !(descriptor_length == 0 || descriptor_length == descriptor_size) {
            return Err(Sense::INVALID_FIELD_IN_LIST);
        }
        let descriptor = rest
            .get(..descriptor_length as usize)
            .ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        check_descriptor(descriptor, capacity)?;
        let mut rest = &rest[descriptor.len()..];
        let mut new = *self;
        while !rest.is_empty() {
            let head = rest.get(..2).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
            let length = 2 + usize::from(head[1]);
            let mut page = rest
                .get(..length)
                .ok_or(Sense::PARAMETER_LIST_LENGTH)?
                .to_vec();
            page[0] |= 0x80; // PS is reserved here
            match head[0] & 0x7f {
                CACHING if length == CACHING_LENGTH => {
                    new.write_cache_enabled = page[2] & WCE != 0;
                    if page != caching(new.write_cache_enabled) {
                        return Err(Sense::INVALID_FIELD_IN_LIST);
                    }
                }
                CONTROL if page == control(false) => {}
                _ => return Err(Sense::INVALID_FIELD_IN_LIST),
            }
            rest = &rest[length..];
        }
        Ok(new)
    }
}

/// The mode parameter block descriptor of a disk, 8 bytes or 16.
fn block_descriptor(capacity: Capacity, long: bool) -> Vec<u8> {
    if long {
        let mut bytes = capacity.blocks.to_be_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(capacity.block_size.to_be_bytes());
        return bytes;
    }
    let blocks = u32::try_from(capacity.blocks).unwrap_or(u32::MAX);
    [blocks.to_be_bytes(), capacity.block_size.to_be_bytes()].concat()
}

/// A block descriptor may be sent if it changes nothing: blocks 0 mean "as it is".
fn check_descriptor(descriptor: &[u8], capacity: Capacity) -> Result<(), Sense> {
    if descriptor.is_empty() {
        return Ok(());
    }
    let long = descriptor.len() == 16;
    let present = block_descriptor(capacity, long);
    let (blocks, size) = descriptor.split_at(if long { 8 } else { 4 });
    let same_blocks = blocks.iter().all(|b| *b == 0) || *blocks == present[..blocks.len()];
    if same_blocks && *size == present[blocks.len()..] {
        return Ok(());
    }
    Err(Sense::INVALID_FIELD_IN_LIST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity {
        blocks: 2048,
        block_size: 512,
    };
    const ON: ModePages = ModePages {
        write_cache_enabled: true,
    };
    const OFF: ModePages = ModePages {
        write_cache_enabled: false,
    };

    fn ask(header: ModeHeader, control: u8, page: u8) -> ModeSense {
        ModeSense {
            header,
            control,
            page,
            subpage: 0,
            block_descriptor: true,
            long_descriptor: false,
        }
    }

    #[test]
    fn all_pages_have_a_true_length_in_both_headers() {
        let short = ON
            .sense(ask(ModeHeader::Short, 0, 0x3f), CAPACITY, true)
            .unwrap();
        assert_eq!(usize::from(short[0]), short.len() - 1);
        assert_eq!(short[1..4], [0, 0x10, 8]);
        assert_eq!(short[4..12], [0, 0, 8, 0, 0, 0, 2, 0]);
        assert_eq!(short.len(), 12 + CACHING_LENGTH + CONTROL_LENGTH);
        let long = ON
            .sense(ask(ModeHeader::Long, 0, 0x3f), CAPACITY, true)
            .unwrap();
        assert_eq!(be(&long, 0, 2) as usize, long.len() - 2);
        assert_eq!(long[16..], short[12..]);
    }

    #[test]
    fn page_control_selects_the_values() {
        let wce = |pages: ModePages, control, saved| {
            pages
                .sense(ask(ModeHeader::Short, control, CACHING), CAPACITY, saved)
                .unwrap()[14]
        };
        assert_eq!((wce(ON, 0, false), wce(OFF, 0, true)), (WCE, 0));
        assert_eq!(
            (wce(OFF, CHANGEABLE, false), wce(OFF, DEFAULT, false)),
            (WCE, WCE)
        );
        assert_eq!((wce(ON, SAVED, false), wce(OFF, SAVED, true)), (0, WCE));
        let changeable = ask(ModeHeader::Short, CHANGEABLE, CONTROL);
        assert_eq!(ON.sense(changeable, CAPACITY, true).unwrap()[14..], [0; 10]);
    }

    #[test]
    fn unknown_pages_are_refused() {
        let refused = Err(Sense::INVALID_FIELD_IN_CDB);
        assert_eq!(
            ON.sense(ask(ModeHeader::Short, 0, 0x02), CAPACITY, true),
            refused
        );
        let mut subpage = ask(ModeHeader::Short, 0, CACHING);
        subpage.subpage = 1;
        assert_eq!(ON.sense(subpage, CAPACITY, true), refused);
        subpage.subpage = 0xff;
        assert!(ON.sense(subpage, CAPACITY, true).is_ok());
    }

    #[test]
    fn the_block_descriptor_can_be_left_out_or_long() {
        let mut what = ask(ModeHeader::Long, 0, CONTROL);
        what.long_descriptor = true;
        let data = ON.sense(what, CAPACITY, true).unwrap();
        assert_eq!((data[4], data[7]), (1, 16));
        assert_eq!(
            data[8..24],
            [0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0]
        );
        what.block_descriptor = false;
        let data = ON.sense(what, CAPACITY, true).unwrap();
        assert_eq!((data[4], data[7], data.len()), (0, 0, 8 + CONTROL_LENGTH));
    }

    #[test]
    fn what_sense_tells_select_takes() {
        for pages in [ON, OFF] {
            for header in [ModeHeader::Short, ModeHeader::Long] {
                let list = pages.sense(ask(header, 0, 0x3f), CAPACITY, true).unwrap();
                assert_eq!(ON.select(header, &list, CAPACITY), Ok(pages));
                // Cut anywhere inside a header, descriptor or page it is too short.
                for cut in 0..list.len() {
                    let whole = if header == ModeHeader::Short { 12 } else { 16 };
                    let result = ON.select(header, &list[..cut], CAPACITY);
                    if cut == whole || cut == whole + CACHING_LENGTH {
                        assert!(result.is_ok(), "{cut}");
                    } else {
                        assert_eq!(result, Err(Sense::PARAMETER_LIST_LENGTH), "{cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_changed_is_refused_and_nothing_changes() {
        let refused = Err(Sense::INVALID_FIELD_IN_LIST);
        let good = OFF
            .sense(ask(ModeHeader::Short, 0, 0x3f), CAPACITY, true)
            .unwrap();
        // Every bit of descriptor and pages but WCE, PS and the number of blocks being zero.
        for at in 4..good.len() {
            for bit in 0..8 {
                let free = (at == 14 && bit == 2) || (bit == 7 && [12, 32].contains(&at));
                let mut list = good.clone();
                list[at] ^= 1 << bit;
                let result = ON.select(ModeHeader::Short, &list, CAPACITY);
                if free {
                    assert!(result.is_ok(), "byte {at} bit {bit}");
                } else if [4, 5, 6, 7].contains(&at) && list[4..8] == [0; 4] {
                    assert!(result.is_ok());
                } else {
                    assert!(result.is_err(), "byte {at} bit {bit}");
                }
            }
        }
        assert_eq!(
            ON.select(ModeHeader::Short, &[0, 1, 0, 0], CAPACITY),
            refused
        );
        assert_eq!(
            ON.select(ModeHeader::Short, &[0, 0, 0, 7, 0, 0, 0], CAPACITY),
            refused
        );
        assert_eq!(
            ON.select(ModeHeader::Short, &[0, 0, 0, 0, 0x02, 0], CAPACITY),
            refused
        );
        assert_eq!(
            ON.select(ModeHeader::Short, &[0, 0, 0, 0], CAPACITY),
            Ok(ON)
        );
    }
}
