// SPDX-License-Identifier: MPL-2.0
//! Reads that return what is not on the disk.
//!
//! Every block of 512 bytes is an atomic register ([`register`]): reads and writes take place at
//! some moment between command and status, in an order that all initiators on both nodes agree on.
//! What a block may hold follows from what the disk held at first, where that is known, and from
//! the writes since. A write that nobody saw the end of (aborted, timed out, on a node that went
//! down) may take place at any time, or never. Blocks are remembered by digests, and only those
//! that were written.
//!
//! What is found is told apart: a write that had ended with GOOD and is not there (*lost*), a
//! newer state that a read had returned and a later one did not (*went back*), a block that is
//! partly one write and partly another (*torn*), and anything else (another block's content, zeros,
//! what nobody wrote).
//!
//! The tester of the crate stateright (`stateright::semantics::LinearizabilityTester`) was judged
//! for this. It takes any sequential specification, wants one operation at a time of each thread,
//! keeps the whole history, and looks for an order by trying them all, anew each time that it is
//! asked: exponential in what is concurrent, and every write without an end stays concurrent to
//! the end of the run. A register is the one specification that needs none of this. One comparison
//! a value and read decides it, in bounded memory and at the very read that is wrong, and the
//! tests compare the verdicts with those of such a search. So it was not taken.

mod register;

use super::text::lu_name;
use super::units::{Access, Extent, LuId, Units, extent};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::kernel::sbd::{Content, Fill, MemoryStore, Store};
use crate::world::trace::{Event, NodeId};
use register::{BLOCK, CommandId, Digest, Fate, Register, Wrong};
use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::time::Time;

/// Blocks that are remembered at most, of all LUs together. An LU of which more is written is
/// not watched any more.
const MOST_BLOCKS: usize = 1 << 19;

/// Commands that are remembered at most.
const MOST_COMMANDS: usize = 65_536;

/// How far from a wrong block its content is looked for, in blocks.
const NEIGHBOURHOOD: u64 = 2048;

#[derive(Default)]
struct Disk {
    size: u64,
    content: Option<Fill>,
    blocks: BTreeMap<u64, Register>,
    /// Not watched any more.
    given_up: bool,
}

impl Disk {
    /// The digest of what a block held at first, if that is known.
    fn first(&self, block: u64) -> Option<Digest> {
        let mut bytes = [0; BLOCK];
        let store = MemoryStore::new(self.size, self.content?);
        let offset = block.checked_mul(BLOCK as u64)?;
        store.read(offset, &mut bytes).ok()?;
        Some(Digest::of(&bytes))
    }

    /// Whether a read that began and ended then may have returned this.
    fn read(&mut self, block: u64, digest: &Digest, began: u64, now: u64) -> Result<(), Wrong> {
        match self.blocks.get_mut(&block) {
            Some(register) => register.read(digest, began, now),
            None => match self.first(block).is_none_or(|first| first == *digest) {
                true => Ok(()),
                false => Err(Wrong::Foreign),
            },
        }
    }

    /// Whether the block may hold this now, as far as is known.
    fn may_hold(&self, block: u64, digest: &Digest) -> bool {
        match self.blocks.get(&block) {
            Some(register) => register.may_hold(digest),
            None => self.first(block).as_ref() == Some(digest),
        }
    }
}

struct Command {
    node: NodeId,
    lu: LuId,
    extent: Extent,
    /// Bytes that the initiator expects.
    expected: u32,
    began: u64,
    /// Blocks that it writes.
    written: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct DataWatcher {
    units: Units,
    disks: BTreeMap<LuId, Disk>,
    remembered: usize,
    commands: BTreeMap<CommandId, Command>,
    /// When the reads that are under way began.
    reads: BTreeSet<u64>,
    /// Some port moves less than whole blocks: nothing is atomic.
    broken_blocks: bool,
}

impl DataWatcher {
    /// There is a disk for this LU.
    pub(super) fn disk(&mut self, lu: LuId, size: u64, content: Option<&Content>) {
        let content = match content {
            Some(Content::Zeros) => Some(Fill::Zeros),
            Some(Content::Recorded) => Some(Fill::Recorded),
            Some(Content::Numbered) => Some(Fill::Numbered),
            // Only what is written is known.
            Some(Content::Made { .. } | Content::File { .. }) | None => None,
        };
        let disk = Disk {
            size,
            content,
            ..Disk::default()
        };
        if let Some(old) = self.disks.insert(lu, disk) {
            self.remembered -= old.blocks.len();
        }
    }

    fn begin(&mut self, id: CommandId, mut command: Command, data: &[u8], cut: bool) {
        let disk = self.disks.entry(command.lu).or_default();
        let room = MOST_BLOCKS - self.remembered;
        let gives_up = match command.extent.access {
            Access::Read => false,
            Access::Write => cut || command.extent.blocks > room as u64,
            Access::Other => true,
        };
        if disk.given_up || gives_up || self.commands.len() >= MOST_COMMANDS {
            if command.extent.access != Access::Read && !disk.given_up {
                disk.given_up = true;
                self.remembered -= std::mem::take(&mut disk.blocks).len();
            }
            return;
        }
        let (began, lba) = (command.began, command.extent.lba);
        if command.extent.access == Access::Write {
            let blocks = usize::try_from(command.extent.blocks).unwrap_or(usize::MAX);
            for (block, bytes) in (lba..).zip(data.chunks(BLOCK).take(blocks)) {
                if !disk.blocks.contains_key(&block) {
                    let first = disk.first(block);
                    disk.blocks.insert(block, Register::new(first));
                    self.remembered += 1;
                }
                let register = disk
                    .blocks
                    .entry(block)
                    .or_insert_with(|| Register::new(None));
                match bytes.len() {
                    BLOCK => register.write(id, Digest::of(bytes), began),
                    // The initiator sends part of a block.
                    _ => register.give_up(),
                }
                command.written += 1;
            }
        } else {
            self.reads.insert(began);
        }
        self.commands.insert(id, command);
    }

    /// A write is over; `fate` is what became of it, none if it was refused, `ended` when it can
    /// have done nothing any more, if that is known.
    fn written(&mut self, id: CommandId, now: u64, fate: Option<Fate>, ended: Option<u64>) {
        let Some(command) = self.commands.remove(&id) else {
            return;
        };
        self.reads.remove(&command.began);
        let oldest_read = self.reads.first().copied().unwrap_or(now);
        let Some(disk) = self.disks.get_mut(&command.lu) else {
            return;
        };
        let blocks = command.extent.lba..command.extent.lba + command.written;
        for (_, register) in disk.blocks.range_mut(blocks) {
            match fate {
                Some(fate) => register.written(id, fate, ended),
                None => register.refused(id),
            }
            register.forget(oldest_read);
        }
    }

    /// A read is over. `whole`: as many bytes came as it asked for, says the target.
    fn read(
        &mut self,
        (time, now): (Time, u64),
        id: CommandId,
        data: &[u8],
        whole: bool,
    ) -> Option<Finding> {
        let command = self.commands.remove(&id)?;
        self.reads.remove(&command.began);
        let disk = self.disks.get_mut(&command.lu);
        let disk = disk.filter(|disk| !disk.given_up)?;
        let most = usize::try_from(command.extent.blocks).unwrap_or(usize::MAX);
        let blocks = (command.extent.lba..).zip(data.chunks_exact(BLOCK).take(most));
        let mut wrong = 0;
        let mut first = None;
        for (block, bytes) in blocks {
            let digest = Digest::of(bytes);
            if let Err(why) = disk.read(block, &digest, command.began, now) {
                wrong += 1;
                first.get_or_insert((block, digest, bytes, why));
            }
        }
        let mut kind = Kind::CorruptData;
        let mut wrongs = Vec::new();
        if let Some((block, digest, bytes, why)) = first {
            let (sort, what) = tell(disk, block, &digest, bytes, why);
            kind = sort;
            wrongs.push(format!(
                "{wrong} of them are wrong (block {block} came with {what})"
            ));
        }
        if whole && data.len() < command.expected as usize {
            let missing = command.expected as usize - data.len();
            wrongs.push(format!("the last {missing} bytes never came"));
        }
        if wrongs.is_empty() {
            return None;
        }
        Some(Finding {
            kind,
            time,
            node: Some(command.node),
            text: format!(
                "initiator {} read blocks {} to {} of {} at node {} (command {}) with status \
                 GOOD, and {}",
                id.0,
                command.extent.lba,
                command.extent.lba + command.extent.blocks.saturating_sub(1),
                lu_name(&command.lu),
                command.node,
                id.1,
                wrongs.join(", and "),
            ),
        })
    }

    /// The node is gone. What it had written or not before that, nobody knows.
    fn node_gone(&mut self, node: NodeId, now: u64) {
        let of_node = self
            .commands
            .iter()
            .filter(|(_, command)| command.node == node);
        let ids: Vec<CommandId> = of_node.map(|(id, _)| *id).collect();
        for id in ids {
            self.written(id, now, Some(Fate::Unknown), None);
        }
    }
}

/// What a wrong block came with.
fn tell(disk: &Disk, block: u64, digest: &Digest, bytes: &[u8], why: Wrong) -> (Kind, String) {
    let name = |writer: Option<CommandId>| match writer {
        Some((initiator, tag)) => format!("initiator {initiator}'s write (command {tag})"),
        None => "the disk's first content".to_string(),
    };
    match why {
        Wrong::Lost(by) => (
            Kind::LostWrite,
            format!(
                "what was there before {}, which had ended with GOOD",
                name(by)
            ),
        ),
        Wrong::WentBack(by) => (
            Kind::StaleRead,
            format!(
                "what was there before {}, whose data an earlier read had returned",
                name(by)
            ),
        ),
        Wrong::Torn(one, two) => (
            Kind::TornWrite,
            format!("a part of {} and a part of {}", name(one), name(two)),
        ),
        Wrong::Foreign => {
            let near = block.saturating_sub(NEIGHBOURHOOD)..block.saturating_add(NEIGHBOURHOOD);
            let what = match near.into_iter().find(|at| disk.may_hold(*at, digest)) {
                Some(other) => format!("the content of block {other}"),
                None if bytes.iter().all(|byte| *byte == 0) => "zeros".to_string(),
                None => "what was never written near there".to_string(),
            };
            (Kind::CorruptData, what)
        }
    }
}

/// Whether a command that ends so has written nothing: it was refused before.
fn refused(status: u8, sense: &[u8]) -> bool {
    const CHECK_CONDITION: u8 = 2;
    const TASK_ABORTED: u8 = 0x40;
    const NOT_READY: u8 = 2;
    const ILLEGAL_REQUEST: u8 = 5;
    const UNIT_ATTENTION: u8 = 6;
    let key = sense.get(2).map(|byte| byte & 0x0f);
    match status {
        CHECK_CONDITION => matches!(key, Some(NOT_READY | ILLEGAL_REQUEST | UNIT_ATTENTION)),
        status => status != TASK_ABORTED,
    }
}

impl Watcher for DataWatcher {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        let now = record.sequence;
        match record.event {
            Event::LuAccess { .. } => self.units.event(record),
            Event::Boot { .. } => {
                self.node_gone(node, now);
                self.units.event(record);
            }
            Event::PowerOff | Event::Panic { .. } => self.node_gone(node, now),
            Event::PortAdded { buffer_size, .. } => {
                self.broken_blocks |= !buffer_size.is_multiple_of(BLOCK as u32);
            }
            Event::Command {
                initiator,
                tag,
                lun,
                expected,
                cdb,
                data,
                ..
            } => {
                let (Some(extent), Some(lu)) = (extent(cdb), self.units.lu(node, lun)) else {
                    return;
                };
                let command = Command {
                    node,
                    lu,
                    extent,
                    expected,
                    began: now,
                    written: 0,
                };
                let data = &data[..data.len().min(expected as usize)];
                let cut = record.cut.is_some() || self.broken_blocks;
                self.begin((initiator, tag), command, data, cut);
            }
            Event::CommandDone {
                initiator,
                tag,
                status,
                residual_flags,
                sense,
                data,
                ..
            } => {
                let id = (initiator, tag);
                let Some(command) = self.commands.get(&id) else {
                    return;
                };
                match (command.extent.access, status) {
                    (Access::Read, 0) if record.cut.is_none() => {
                        let (whole, at) = (residual_flags == 0, (record.time, now));
                        found.extend(self.read(at, id, data, whole));
                    }
                    (_, 0) => {
                        let fate = match residual_flags {
                            0 => Fate::Done,
                            _ => Fate::Unknown,
                        };
                        self.written(id, now, Some(fate), Some(now));
                    }
                    (_, status) => {
                        let fate = (!refused(status, sense)).then_some(Fate::Unknown);
                        self.written(id, now, fate, Some(now));
                    }
                }
            }
            Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
                self.written((initiator, tag), now, Some(Fate::Unknown), None);
            }
            _ => {}
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;
    use crate::scsi::{Sense, cdb};
    use crate::world::trace::LuAccess;

    const LU: LuId = [0x60; 16];
    const ACTIVE: (NodeId, Event<'static>) = (
        1,
        Event::LuAccess {
            lu: LU,
            access: LuAccess::Active,
        },
    );

    fn watcher(content: Option<Content>) -> DataWatcher {
        let mut watcher = DataWatcher::default();
        watcher.disk(LU, 1 << 20, content.as_ref());
        watcher
    }

    fn bytes(from: u64, blocks: usize) -> Vec<u8> {
        let mut bytes = vec![0; blocks * BLOCK];
        let store = MemoryStore::new(1 << 20, Fill::Recorded);
        store.read(from * BLOCK as u64, &mut bytes).unwrap();
        bytes
    }

    fn command<'a>(tag: u64, cdb: &'a [u8], data: &'a [u8]) -> (NodeId, Event<'a>) {
        let event = Event::Command {
            initiator: 0,
            tag,
            session: 1,
            lun: [0; 8],
            flags: 1,
            expected: u32::from(cdb[8]) * 512,
            cdb,
            data,
        };
        (1, event)
    }

    fn done<'a>(tag: u64, sense: &'a [u8], data: &'a [u8]) -> (NodeId, Event<'a>) {
        let event = Event::CommandDone {
            initiator: 0,
            tag,
            status: if sense.is_empty() { 0 } else { 2 },
            residual_flags: 0,
            residual: 0,
            sense,
            data,
        };
        (1, event)
    }

    #[test]
    fn a_block_in_the_place_of_another_is_named() {
        let read = cdb::read_10(4, 2);
        let data = [bytes(4, 1), bytes(9, 1)].concat();
        let events = [ACTIVE, command(1, &read, &[]), done(1, &[], &data)];
        assert_eq!(
            only(watcher(Some(Content::Recorded)), &events).to_string(),
            "corrupt-data: initiator 0 read blocks 4 to 5 of LU \
             60606060606060606060606060606060 at node 1 (command 1) with status GOOD, and 1 of \
             them are wrong (block 5 came with the content of block 9)"
        );
        let right = bytes(4, 2);
        let events = [ACTIVE, command(1, &read, &[]), done(1, &[], &right)];
        assert!(findings(watcher(Some(Content::Recorded)), &events).is_empty());
        let events = [ACTIVE, command(1, &read, &[]), done(1, &[], &data)];
        assert!(findings(watcher(None), &events).is_empty(), "nobody knows");
        let events = [ACTIVE, command(1, &read, &[]), done(1, &[], &right[..512])];
        let found = only(watcher(None), &events).to_string();
        assert!(
            found.ends_with("GOOD, and the last 512 bytes never came"),
            "{found}"
        );
    }

    #[test]
    fn what_was_written_is_expected_and_nothing_else() {
        let (read, write) = (cdb::read_10(0, 1), cdb::write_10(0, 1));
        let (old, new) = ([0; BLOCK], [7; BLOCK]);
        let story = |data, expected| {
            let events = [
                ACTIVE,
                command(1, &write, &new),
                done(1, &[], &[]),
                command(2, &read, &[]),
                done(2, &[], data),
            ];
            let found = findings(watcher(Some(Content::Zeros)), &events);
            assert_eq!(found.len(), expected, "{found:?}");
        };
        story(&new, 0);
        story(&old, 1);
    }

    #[test]
    fn lost_torn_and_stale_are_told_apart() {
        let (read, write) = (cdb::read_10(0, 1), cdb::write_10(0, 1));
        let (old, new) = ([0; BLOCK], [7; BLOCK]);
        let mut torn = old;
        torn[..256].fill(7);
        let (initiator, tag) = (0, 1);
        let aborted = (1, Event::Aborted { initiator, tag });
        let good = done(1, &[], &[]);
        let mut told = Vec::new();
        for (end, reads) in [
            (good, &[&old][..]),
            (good, &[&torn]),
            (aborted, &[&new, &old]),
        ] {
            let mut events = vec![ACTIVE, command(1, &write, &new), end];
            for (tag, data) in (2..).zip(reads) {
                events.push(command(tag, &read, &[]));
                events.push(done(tag, &[], *data));
            }
            told.push(only(watcher(Some(Content::Zeros)), &events).to_string());
        }
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_write_of_part_of_a_block_makes_it_unknown() {
        let (read, write) = (cdb::read_10(0, 1), cdb::write_10(0, 1));
        let events = [
            ACTIVE,
            command(1, &write, &[7; 100]),
            done(1, &[], &[]),
            command(2, &read, &[]),
            done(2, &[], &[9; BLOCK]),
        ];
        assert!(findings(watcher(Some(Content::Zeros)), &events).is_empty());
    }

    #[test]
    fn a_read_beside_a_write_may_return_either() {
        let (read, write) = (cdb::read_10(0, 1), cdb::write_10(0, 1));
        let (old, new, other) = ([0; BLOCK], [7; BLOCK], [8; BLOCK]);
        for (data, expected) in [(&old, 0), (&new, 0), (&other, 1)] {
            let events = [
                ACTIVE,
                command(1, &read, &[]),
                command(2, &write, &new),
                done(2, &[], &[]),
                done(1, &[], data),
            ];
            let found = findings(watcher(Some(Content::Zeros)), &events);
            assert_eq!(found.len(), expected, "{found:?}");
        }
    }

    #[test]
    fn a_write_that_nobody_saw_the_end_of_may_come_at_any_time() {
        let (read, write) = (cdb::read_10(0, 1), cdb::write_10(0, 1));
        let (lost, new) = ([6; BLOCK], [7; BLOCK]);
        let (initiator, tag) = (0, 1);
        for data in [&lost, &new] {
            let events = [
                ACTIVE,
                command(1, &write, &lost),
                (1, Event::TimedOut { initiator, tag }),
                command(2, &write, &new),
                done(2, &[], &[]),
                command(3, &read, &[]),
                done(3, &[], data),
            ];
            assert!(findings(watcher(Some(Content::Zeros)), &events).is_empty());
        }
    }

    #[test]
    fn a_write_that_is_refused_writes_nothing() {
        let (read, write) = (cdb::read_10(0, 1), cdb::write_10(0, 1));
        let new = [7; BLOCK];
        let standby = Sense::STANDBY.to_bytes();
        let events = [
            ACTIVE,
            command(1, &write, &new),
            done(1, &standby, &[]),
            command(2, &read, &[]),
            done(2, &[], &new),
        ];
        assert_eq!(findings(watcher(Some(Content::Zeros)), &events).len(), 1);
    }
}
