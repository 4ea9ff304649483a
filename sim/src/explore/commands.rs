// SPDX-License-Identifier: MPL-2.0
//! The bytes of the commands that hosts of a scenario send.

use super::act::Scsi;
use crate::scsi::cdb::{self, PageControl};
use crate::scsi::reservation::parameter_list;
use crate::world::random::Random;
use crate::world::{Path, Reply, Transfer};

/// Bytes of a block.
pub const BLOCK: u32 = 512;

/// The most blocks that one command of a scenario moves: 1 MiB.
pub const MOST_BLOCKS: u16 = 2048;

/// An operation code that no device server here knows.
const UNKNOWN: u8 = 0xe1;

/// Mode page 08h: header, and a page of 20 bytes whose third has WCE.
fn caching_page(write_cache: bool) -> [u8; 24] {
    let mut list = [0; 24];
    list[4] = 0x08;
    list[5] = 0x12;
    list[6] = u8::from(write_cache) << 2;
    list
}

/// The key under which a host registers.
pub fn key(host: u8) -> u64 {
    0x5354_4d46_0000_0000 | (u64::from(host) + 1)
}

/// Bytes that nothing else writes: those of `seed`, by its number.
fn content(seed: u64, number: u64, blocks: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(blocks) * BLOCK as usize];
    Random::stream(seed, number | 1 << 63).fill(&mut bytes);
    bytes
}

/// Who sends a command, and where to.
pub struct Sender<'a> {
    /// Down which path.
    pub path: &'a Path,
    /// To which number.
    pub lun: [u8; 8],
    /// Who.
    pub host: u8,
    /// The scenario's seed.
    pub seed: u64,
    /// The number of the act: tells what is written apart.
    pub number: u64,
    /// Blocks of the LU.
    pub blocks: u32,
}

impl Sender<'_> {
    /// What a range becomes on this disk: somewhere on it, and one block at least.
    fn place(&self, lba: u32, blocks: u16) -> (u32, u16) {
        let most = u16::try_from(self.blocks).unwrap_or(u16::MAX);
        let blocks = blocks.clamp(1, most.clamp(1, MOST_BLOCKS));
        let room = self.blocks.saturating_sub(u32::from(blocks)) + 1;
        (lba % room, blocks)
    }

    /// Sends a command and waits for its end.
    pub async fn send(&self, command: Scsi) -> Reply {
        let read = Transfer::Read;
        match command {
            Scsi::TestUnitReady => self.put(&cdb::test_unit_ready(), Transfer::None).await,
            Scsi::Inquiry => self.put(&cdb::inquiry(96), read(96)).await,
            Scsi::InquiryPage(page) => self.put(&cdb::inquiry_page(page, 252), read(252)).await,
            Scsi::RequestSense => self.put(&cdb::request_sense(18), read(18)).await,
            Scsi::ReadCapacity => self.put(&cdb::read_capacity_16(32), read(32)).await,
            Scsi::ReportLuns => self.put(&cdb::report_luns(256), read(256)).await,
            Scsi::ReportTargetPortGroups => {
                let cdb = cdb::report_target_port_groups(256);
                self.put(&cdb, read(256)).await
            }
            Scsi::ModeSense(page) => {
                let cdb = cdb::mode_sense_6(page, PageControl::Current, 192);
                self.put(&cdb, read(192)).await
            }
            Scsi::ModeSelect { write_cache } => {
                let list = caching_page(write_cache);
                let cdb = cdb::mode_select_6(false, list.len() as u8);
                self.put(&cdb, Transfer::Write(&list)).await
            }
            Scsi::StartStopUnit { start } => {
                self.put(&cdb::start_stop_unit(start), Transfer::None).await
            }
            Scsi::Reserve => self.put(&cdb::reserve_6(), Transfer::None).await,
            Scsi::Release => self.put(&cdb::release_6(), Transfer::None).await,
            Scsi::PersistentReserveIn(action) => {
                let cdb = cdb::persistent_reserve_in(action, 256);
                self.put(&cdb, read(256)).await
            }
            Scsi::PersistentReserveOut {
                action,
                kind,
                other,
                persistent,
            } => {
                use crate::scsi::reservation::OutAction::*;
                let (mine, theirs) = match action {
                    Register | RegisterAndIgnore => (0, key(self.host)),
                    Reserve | Release | Clear => (key(self.host), 0),
                    Preempt | PreemptAndAbort => (key(self.host), key(other)),
                };
                let list = parameter_list(mine, theirs, persistent);
                let cdb = cdb::persistent_reserve_out(action, kind);
                self.put(&cdb, Transfer::Write(&list)).await
            }
            Scsi::Read { lba, blocks } => {
                let (lba, blocks) = self.place(lba, blocks);
                let length = u32::from(blocks) * BLOCK;
                self.put(&cdb::read_10(lba, blocks), read(length)).await
            }
            Scsi::ReadBeyond => self.put(&cdb::read_10(u32::MAX, 1), read(BLOCK)).await,
            Scsi::Write {
                lba,
                blocks,
                immediate,
            } => {
                let (lba, blocks) = self.place(lba, blocks);
                let data = content(self.seed, self.number, blocks);
                let transfer = match immediate {
                    true => Transfer::WriteImmediate(&data),
                    false => Transfer::Write(&data),
                };
                self.put(&cdb::write_10(lba, blocks), transfer).await
            }
            Scsi::Synchronize => {
                let cdb = cdb::synchronize_cache_10(0, 0);
                self.put(&cdb, Transfer::None).await
            }
            Scsi::Unknown => self.put(&[UNKNOWN, 0, 0, 0, 0, 0], Transfer::None).await,
        }
    }

    async fn put(&self, cdb: &[u8], transfer: Transfer<'_>) -> Reply {
        self.path.command(self.lun, cdb, transfer).await
    }
}
