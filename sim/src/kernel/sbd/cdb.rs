// SPDX-License-Identifier: MPL-2.0
//! CDBs as the device server reads them: from bytes to a [`Command`] or the sense that refuses it.
//!
//! Knows formats only; whether blocks exist or a reservation is in the way is judged elsewhere.

use crate::scsi::opcode::*;
use crate::scsi::reservation::{OutAction, PARAMETER_LIST_LENGTH, ReservationType};
use crate::scsi::{Sense, be};

use super::MAX_PARAMETER_LIST;

/// The first 16 bytes of a CDB. A shorter one goes on with zeros, as it does in the kernel, whose
/// buffer for it is cleared; so an empty one acts as TEST UNIT READY.
pub(super) struct Cdb([u8; 16]);

impl Cdb {
    pub(super) fn new(bytes: &[u8]) -> Cdb {
        let mut cdb = [0; 16];
        let length = bytes.len().min(16);
        cdb[..length].copy_from_slice(&bytes[..length]);
        Cdb(cdb)
    }

    pub(super) fn opcode(&self) -> u8 {
        self.0[0]
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    pub(super) fn be(&self, at: usize, width: usize) -> u64 {
        be(&self.0, at, width)
    }

    pub(super) fn service_action(&self) -> u8 {
        self.0[1] & 0x1f
    }

    /// PF of MODE SELECT: the pages are in the standard format.
    pub(super) fn page_format(&self) -> bool {
        self.0[1] & 0x10 != 0
    }
}

/// A run of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) lba: u64,
    pub(super) blocks: u64,
}

/// Where MODE SENSE and MODE SELECT put their fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ModeHeader {
    /// The commands of 6 bytes: 4 bytes of header.
    Short,
    /// The commands of 10 bytes: 8 bytes of header.
    Long,
}

/// What MODE SENSE asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ModeSense {
    pub(super) header: ModeHeader,
    /// PC: 0 current, 1 changeable, 2 default, 3 saved.
    pub(super) control: u8,
    pub(super) page: u8,
    pub(super) subpage: u8,
    pub(super) block_descriptor: bool,
    /// LLBAA: the block descriptor may be the long one.
    pub(super) long_descriptor: bool,
}

/// A command that takes a parameter list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListCommand {
    ModeSelect {
        header: ModeHeader,
        save: bool,
    },
    PersistentOut {
        action: OutAction,
        kind: Option<ReservationType>,
    },
}

/// A well-formed command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    TestUnitReady,
    RequestSense {
        allocation: u64,
    },
    Inquiry {
        page: Option<u8>,
        allocation: u64,
    },
    Read(Extent),
    Write(Extent),
    Verify {
        extent: Extent,
        compare: bool,
    },
    SynchronizeCache(Extent),
    ReadCapacity10,
    ReadCapacity16 {
        allocation: u64,
    },
    ModeSense {
        what: ModeSense,
        allocation: u64,
    },
    /// With a parameter list of at least one byte.
    List {
        command: ListCommand,
        length: u32,
    },
    /// MODE SELECT without a list: changes nothing.
    EmptyModeSelect,
    StartStop {
        start: bool,
    },
    Reserve,
    Release,
    PersistentIn {
        action: u8,
        allocation: u64,
    },
    ReportTargetPortGroups {
        extended_header: bool,
        allocation: u64,
    },
    ReportIdentifyingInformation {
        allocation: u64,
    },
}

const BAD_FIELD: Sense = Sense::INVALID_FIELD_IN_CDB;

fn ensure(condition: bool) -> Result<(), Sense> {
    if condition { Ok(()) } else { Err(BAD_FIELD) }
}

impl Command {
    /// Reads a CDB.
    pub(super) fn decode(cdb: &Cdb) -> Result<Command, Sense> {
        let command = Command::decode_fields(cdb)?;
        // NACA and LINK are not supported (the standard INQUIRY data say so).
        let control = cdb_length(cdb.opcode()).map_or(0, |length| cdb.byte(length - 1));
        ensure(control & 0x05 == 0)?;
        Ok(command)
    }

    fn decode_fields(cdb: &Cdb) -> Result<Command, Sense> {
        let allocation = |at, width| cdb.be(at, width);
        Ok(match cdb.opcode() {
            TEST_UNIT_READY => Command::TestUnitReady,
            REQUEST_SENSE => {
                ensure(cdb.byte(1) & 1 == 0)?; // descriptor format is not supported
                Command::RequestSense {
                    allocation: allocation(4, 1),
                }
            }
            INQUIRY => {
                let (evpd, page) = (cdb.byte(1) & 1 != 0, cdb.byte(2));
                ensure(cdb.byte(1) & 2 == 0 && (evpd || page == 0))?;
                Command::Inquiry {
                    page: evpd.then_some(page),
                    allocation: allocation(3, 2),
                }
            }
            READ_6 => Command::Read(six(cdb)),
            WRITE_6 => Command::Write(six(cdb)),
            READ_10 => Command::Read(unprotected(cdb, 2, 4, 7, 2)?),
            READ_12 => Command::Read(unprotected(cdb, 2, 4, 6, 4)?),
            READ_16 => Command::Read(unprotected(cdb, 2, 8, 10, 4)?),
            WRITE_10 => Command::Write(unprotected(cdb, 2, 4, 7, 2)?),
            WRITE_12 => Command::Write(unprotected(cdb, 2, 4, 6, 4)?),
            WRITE_16 => Command::Write(unprotected(cdb, 2, 8, 10, 4)?),
            VERIFY_10 => verify(cdb, unprotected(cdb, 2, 4, 7, 2)?)?,
            VERIFY_12 => verify(cdb, unprotected(cdb, 2, 4, 6, 4)?)?,
            VERIFY_16 => verify(cdb, unprotected(cdb, 2, 8, 10, 4)?)?,
            SYNCHRONIZE_CACHE_10 => Command::SynchronizeCache(extent(cdb, 2, 4, 7, 2)),
            SYNCHRONIZE_CACHE_16 => Command::SynchronizeCache(extent(cdb, 2, 8, 10, 4)),
            READ_CAPACITY_10 => {
                // Without PMI (byte 8, bit 0) there must be no address; PMI itself is obsolete.
                ensure(cdb.byte(8) & 1 == 0 && cdb.be(2, 4) == 0)?;
                Command::ReadCapacity10
            }
            SERVICE_ACTION_IN_16 => {
                ensure(cdb.service_action() == READ_CAPACITY_16_ACTION)?;
                ensure(cdb.byte(14) & 1 == 0 && cdb.be(2, 8) == 0)?;
                Command::ReadCapacity16 {
                    allocation: allocation(10, 4),
                }
            }
            MODE_SENSE_6 => mode_sense(cdb, ModeHeader::Short, allocation(4, 1)),
            MODE_SENSE_10 => mode_sense(cdb, ModeHeader::Long, allocation(7, 2)),
            MODE_SELECT_6 => mode_select(cdb, ModeHeader::Short, cdb.be(4, 1))?,
            MODE_SELECT_10 => mode_select(cdb, ModeHeader::Long, cdb.be(7, 2))?,
            START_STOP_UNIT => {
                // No power conditions, and nothing to load or eject.
                ensure(cdb.byte(4) & 0xf2 == 0)?;
                Command::StartStop {
                    start: cdb.byte(4) & 1 != 0,
                }
            }
            // Of all forms of reserving only the plain one: no extents, no third party.
            RESERVE_6 | RESERVE_10 => {
                ensure(cdb.byte(1) & 0x1f == 0)?;
                Command::Reserve
            }
            RELEASE_6 | RELEASE_10 => {
                ensure(cdb.byte(1) & 0x1f == 0)?;
                Command::Release
            }
            PERSISTENT_RESERVE_IN => {
                ensure(cdb.service_action() <= 3)?;
                let action = cdb.service_action();
                Command::PersistentIn {
                    action,
                    allocation: allocation(7, 2),
                }
            }
            PERSISTENT_RESERVE_OUT => persistent_out(cdb)?,
            MAINTENANCE_IN => match cdb.service_action() {
                REPORT_TARGET_PORT_GROUPS_ACTION => {
                    let format = cdb.byte(1) >> 5;
                    ensure(format <= 1)?;
                    Command::ReportTargetPortGroups {
                        extended_header: format == 1,
                        allocation: allocation(6, 4),
                    }
                }
                REPORT_IDENTIFYING_INFORMATION_ACTION => {
                    ensure(cdb.byte(10) >> 1 == 0)?;
                    Command::ReportIdentifyingInformation {
                        allocation: allocation(6, 4),
                    }
                }
                _ => return Err(BAD_FIELD),
            },
            _ => return Err(Sense::INVALID_OPCODE),
        })
    }
}

fn six(cdb: &Cdb) -> Extent {
    let blocks = match cdb.byte(4) {
        0 => 256,
        n => n.into(),
    };
    Extent {
        lba: cdb.be(1, 3) & 0x1f_ffff,
        blocks,
    }
}

fn extent(cdb: &Cdb, lba: usize, width: usize, blocks: usize, blocks_width: usize) -> Extent {
    Extent {
        lba: cdb.be(lba, width),
        blocks: cdb.be(blocks, blocks_width),
    }
}

/// The extent of a command that must not ask for protection information.
fn unprotected(
    cdb: &Cdb,
    lba: usize,
    width: usize,
    blocks: usize,
    blocks_width: usize,
) -> Result<Extent, Sense> {
    ensure(cdb.byte(1) & 0xe0 == 0)?;
    Ok(extent(cdb, lba, width, blocks, blocks_width))
}

fn verify(cdb: &Cdb, extent: Extent) -> Result<Command, Sense> {
    let bytchk = cdb.byte(1) >> 1 & 3;
    ensure(bytchk <= 1)?;
    Ok(Command::Verify {
        extent,
        compare: bytchk == 1,
    })
}

fn mode_sense(cdb: &Cdb, header: ModeHeader, allocation: u64) -> Command {
    let what = ModeSense {
        header,
        control: cdb.byte(2) >> 6,
        page: cdb.byte(2) & 0x3f,
        subpage: cdb.byte(3),
        block_descriptor: cdb.byte(1) & 0x08 == 0,
        long_descriptor: header == ModeHeader::Long && cdb.byte(1) & 0x10 != 0,
    };
    Command::ModeSense { what, allocation }
}

fn mode_select(cdb: &Cdb, header: ModeHeader, length: u64) -> Result<Command, Sense> {
    ensure(cdb.page_format())?;
    let save = cdb.byte(1) & 1 != 0;
    match length {
        0 => Ok(Command::EmptyModeSelect),
        _ => list(ListCommand::ModeSelect { header, save }, length),
    }
}

fn persistent_out(cdb: &Cdb) -> Result<Command, Sense> {
    let action = OutAction::from_byte(cdb.service_action()).ok_or(BAD_FIELD)?;
    let mut kind = None;
    if action.has_type() {
        ensure(cdb.byte(2) >> 4 == 0)?; // scope: the logical unit
        kind = Some(ReservationType::from_byte(cdb.byte(2) & 0xf).ok_or(BAD_FIELD)?);
    }
    let length = cdb.be(5, 4);
    if length != PARAMETER_LIST_LENGTH as u64 {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    list(ListCommand::PersistentOut { action, kind }, length)
}

fn list(command: ListCommand, length: u64) -> Result<Command, Sense> {
    match u32::try_from(length) {
        Ok(length) if length <= MAX_PARAMETER_LIST => Ok(Command::List { command, length }),
        _ => Err(Sense::PARAMETER_LIST_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::cdb as build;

    fn decode(cdb: &[u8]) -> Result<Command, Sense> {
        Command::decode(&Cdb::new(cdb))
    }

    #[test]
    fn extents_of_all_sizes() {
        let extent = Extent {
            lba: 0x12345,
            blocks: 3,
        };
        assert_eq!(
            decode(&build::read_6(0x12345, 3)),
            Ok(Command::Read(extent))
        );
        assert_eq!(
            decode(&build::read_10(0x12345, 3)),
            Ok(Command::Read(extent))
        );
        assert_eq!(
            decode(&build::read_12(0x12345, 3)),
            Ok(Command::Read(extent))
        );
        assert_eq!(
            decode(&build::read_16(0x12345, 3)),
            Ok(Command::Read(extent))
        );
        assert_eq!(
            decode(&build::write_6(0x12345, 3)),
            Ok(Command::Write(extent))
        );
        assert_eq!(
            decode(&build::write_10(0x12345, 3)),
            Ok(Command::Write(extent))
        );
        assert_eq!(
            decode(&build::write_12(0x12345, 3)),
            Ok(Command::Write(extent))
        );
        assert_eq!(
            decode(&build::write_16(0x12345, 3)),
            Ok(Command::Write(extent))
        );
        let whole = Extent {
            lba: 0,
            blocks: 256,
        };
        assert_eq!(decode(&build::read_6(0, 0)), Ok(Command::Read(whole)));
        let nothing = Extent { lba: 0, blocks: 0 };
        assert_eq!(decode(&build::read_10(0, 0)), Ok(Command::Read(nothing)));
    }

    #[test]
    fn a_short_cdb_goes_on_with_zeros() {
        assert_eq!(decode(&[]), Ok(Command::TestUnitReady));
        assert_eq!(
            decode(&[0x12]),
            Ok(Command::Inquiry {
                page: None,
                allocation: 0
            })
        );
        assert_eq!(decode(&[0; 40]), Ok(Command::TestUnitReady));
    }

    #[test]
    fn what_is_not_served_is_refused_with_the_right_sense() {
        for opcode in [
            0x04, 0x1e, 0x41, 0x42, 0x7f, 0x83, 0x89, 0xa0, 0xa4, 0xc0, 0xff,
        ] {
            assert_eq!(decode(&[opcode]), Err(Sense::INVALID_OPCODE), "{opcode:x}");
        }
        for bad in [
            &[0x00, 0, 0, 0, 0, 0x04][..],       // NACA
            &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 1],  // LINK
            &[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1],  // RDPROTECT
            &[0x03, 1, 0, 0, 18, 0],             // DESC
            &[0x12, 0, 0x80, 0, 36, 0],          // page without EVPD
            &[0x12, 2, 0, 0, 36, 0],             // CMDDT
            &[0x15, 0, 0, 0, 16, 0],             // no PF
            &[0x16, 0x10, 0, 0, 0, 0],           // third party
            &[0x1b, 0, 0, 0, 3, 0],              // LOEJ
            &[0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0],  // address without PMI
            &[0x2f, 4, 0, 0, 0, 0, 0, 0, 1],     // BYTCHK 10b
            &[0x5e, 4],                          // no such service action
            &[0x5f, 7, 0, 0, 0, 0, 0, 0, 24],    // REGISTER AND MOVE
            &[0x5f, 1, 2, 0, 0, 0, 0, 0, 24],    // type 2
            &[0x5f, 1, 0x11, 0, 0, 0, 0, 0, 24], // extent scope
            &[0x9e, 0x12],                       // GET LBA STATUS
            &[0xa3, 0x0c],                       // REPORT SUPPORTED OPERATION CODES
            &[0xa3, 0x4a],                       // unknown parameter data format
        ] {
            assert_eq!(decode(bad), Err(Sense::INVALID_FIELD_IN_CDB), "{bad:x?}");
        }
    }

    #[test]
    fn parameter_lists_are_bounded_before_they_are_fetched() {
        let most = build::mode_select_10(false, MAX_PARAMETER_LIST as u16);
        assert!(matches!(
            decode(&most),
            Ok(Command::List {
                length: MAX_PARAMETER_LIST,
                ..
            })
        ));
        let more = build::mode_select_10(false, MAX_PARAMETER_LIST as u16 + 1);
        assert_eq!(decode(&more), Err(Sense::PARAMETER_LIST_LENGTH));
        for length in [0, 23, 25] {
            let list = [0x5f, 0, 0, 0, 0, 0, 0, 0, length, 0];
            assert_eq!(decode(&list), Err(Sense::PARAMETER_LIST_LENGTH));
        }
    }
}
