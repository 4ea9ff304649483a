// SPDX-License-Identifier: MPL-2.0
//! Reads that return what is not on the disk.
//!
//! What a block may hold follows from what the disk held at first, where that is known, and from
//! the writes since. A write that overlaps others in time, or whose end nobody saw, leaves all of
//! them possible; a read may return whatever was possible at some time while it ran. Blocks are
//! remembered by a 64-bit digest, and only those that were written.

use super::text::lu_name;
use super::units::{Access, Extent, LuId, Units, extent};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::kernel::sbd::{Content, Fill, MemoryStore, Store};
use crate::world::trace::{Event, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::time::Time;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a block.
const BLOCK: usize = 512;

/// Blocks that are remembered at most, of all LUs together. An LU of which more is written is
/// not watched any more.
const MOST_BLOCKS: usize = 1 << 20;

/// Commands that are remembered at most.
const MOST_COMMANDS: usize = 65_536;

/// How far from a wrong block its content is looked for, in blocks.
const NEIGHBOURHOOD: u64 = 2048;

/// An initiator and the tag of one of its commands.
type CommandId = (u32, u64);

/// How certain a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Being written.
    Writing(CommandId),
    /// Written, or perhaps written, by an event of this number.
    Settled(u64),
    /// May be written at any time from now on: its initiator has given up waiting.
    Loose,
}

/// Something that a block may hold.
struct Value {
    /// None: anything.
    digest: Option<u64>,
    state: State,
    /// The number of the event by which it was replaced.
    replaced: Option<u64>,
}

#[derive(Default)]
struct Disk {
    size: u64,
    content: Option<Fill>,
    blocks: BTreeMap<u64, Vec<Value>>,
    /// Not watched any more.
    given_up: bool,
}

impl Disk {
    /// The digest of what a block held at first, if that is known.
    fn first(&self, block: u64) -> Option<u64> {
        let mut bytes = [0; BLOCK];
        let store = MemoryStore::new(self.size, self.content?);
        let offset = block.checked_mul(BLOCK as u64)?;
        store.read(offset, &mut bytes).ok()?;
        Some(xxh3_64(&bytes))
    }

    /// Whether a read that began with event `since` may return this.
    fn may_hold(&self, block: u64, digest: u64, since: u64) -> bool {
        match self.blocks.get(&block) {
            None => self.first(block).is_none_or(|first| first == digest),
            Some(values) => values.iter().any(|value| {
                value.replaced.is_none_or(|replaced| replaced > since)
                    && value.digest.is_none_or(|known| known == digest)
            }),
        }
    }

    /// Whether the block must hold this, as far as is known.
    fn holds(&self, block: u64, digest: u64) -> bool {
        match self.blocks.get(&block) {
            None => self.first(block) == Some(digest),
            Some(values) => {
                let mut now = values.iter().filter(|value| value.replaced.is_none());
                now.any(|value| value.digest == Some(digest))
            }
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
    /// Blocks that it writes, digests of their content.
    written: Vec<u64>,
}

/// See the module.
#[derive(Default)]
pub(super) struct DataWatcher {
    units: Units,
    disks: BTreeMap<LuId, Disk>,
    remembered: usize,
    commands: BTreeMap<CommandId, Command>,
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
        let blocks = command.extent.blocks;
        let gives_up = match command.extent.access {
            Access::Read => false,
            Access::Write => cut || blocks > room as u64,
            Access::Other => true,
        };
        if disk.given_up || gives_up || self.commands.len() >= MOST_COMMANDS {
            if command.extent.access != Access::Read && !disk.given_up {
                disk.given_up = true;
                self.remembered -= std::mem::take(&mut disk.blocks).len();
            }
            return;
        }
        if command.extent.access == Access::Write {
            let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
            command.written = data.chunks_exact(BLOCK).take(blocks).map(xxh3_64).collect();
            for (block, digest) in (command.extent.lba..).zip(&command.written) {
                if !disk.blocks.contains_key(&block) {
                    let first = Value {
                        digest: disk.first(block),
                        state: State::Settled(0),
                        replaced: None,
                    };
                    disk.blocks.insert(block, vec![first]);
                    self.remembered += 1;
                }
                disk.blocks.entry(block).or_default().push(Value {
                    digest: Some(*digest),
                    state: State::Writing(id),
                    replaced: None,
                });
            }
        }
        self.commands.insert(id, command);
    }

    /// A write is over; `state` is what its values are from now on, none if nothing was written.
    /// `whole`: all of it was, and it is what the blocks hold.
    fn written(&mut self, id: CommandId, now: u64, state: Option<State>, whole: bool) {
        let Some(command) = self.commands.remove(&id) else {
            return;
        };
        let reads = self
            .commands
            .values()
            .filter(|c| c.extent.access == Access::Read);
        let oldest_read = reads.map(|read| read.began).min().unwrap_or(u64::MAX);
        let Some(disk) = self.disks.get_mut(&command.lu) else {
            return;
        };
        let blocks = command.extent.lba..command.extent.lba + command.written.len() as u64;
        for (_, values) in disk.blocks.range_mut(blocks) {
            for value in values.iter_mut() {
                match value.state {
                    State::Writing(writer) if writer == id => match state {
                        Some(state) => value.state = state,
                        None => value.replaced = Some(0),
                    },
                    State::Settled(at) if whole && at < command.began => {
                        value.replaced.get_or_insert(now);
                    }
                    State::Writing(_) | State::Settled(_) | State::Loose => {}
                }
            }
            values.retain(|value| value.replaced.is_none_or(|at| at > oldest_read));
        }
    }

    /// A read is over. `whole`: as many bytes came as it asked for, says the target.
    fn read(&mut self, time: Time, id: CommandId, data: &[u8], whole: bool) -> Option<Finding> {
        let command = self.commands.remove(&id)?;
        let disk = self.disks.get(&command.lu).filter(|disk| !disk.given_up)?;
        let most = usize::try_from(command.extent.blocks).unwrap_or(usize::MAX);
        let blocks = (command.extent.lba..).zip(data.chunks_exact(BLOCK).take(most));
        let mut wrong = 0;
        let mut first = None;
        for (block, bytes) in blocks {
            let digest = xxh3_64(bytes);
            if disk.may_hold(block, digest, command.began) {
                continue;
            }
            wrong += 1;
            first.get_or_insert((block, digest, bytes));
        }
        let mut wrongs = Vec::new();
        if let Some((block, digest, bytes)) = first {
            let near = block.saturating_sub(NEIGHBOURHOOD)..block.saturating_add(NEIGHBOURHOOD);
            let what = match near.into_iter().find(|other| disk.holds(*other, digest)) {
                Some(other) => format!("the content of block {other}"),
                None if bytes.iter().all(|byte| *byte == 0) => "zeros".to_string(),
                None => "what was never written near there".to_string(),
            };
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
            kind: Kind::CorruptData,
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

    /// The node is gone, and with it what it had not done yet.
    fn node_gone(&mut self, node: NodeId, now: u64) {
        let of_node = self
            .commands
            .iter()
            .filter(|(_, command)| command.node == node);
        let ids: Vec<CommandId> = of_node.map(|(id, _)| *id).collect();
        for id in ids {
            self.written(id, now, Some(State::Settled(now)), false);
        }
    }
}

/// Whether a command that ends so has written nothing: it was refused before.
fn refused(status: u8, sense: &[u8]) -> bool {
    const CHECK_CONDITION: u8 = 2;
    const NOT_READY: u8 = 2;
    const ILLEGAL_REQUEST: u8 = 5;
    const UNIT_ATTENTION: u8 = 6;
    let key = sense.get(2).map(|byte| byte & 0x0f);
    status != CHECK_CONDITION || matches!(key, Some(NOT_READY | ILLEGAL_REQUEST | UNIT_ATTENTION))
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
                    written: Vec::new(),
                };
                let data = &data[..data.len().min(expected as usize)];
                self.begin((initiator, tag), command, data, record.cut.is_some());
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
                        let whole = residual_flags == 0;
                        found.extend(self.read(record.time, id, data, whole));
                    }
                    (Access::Read, _) => {
                        self.commands.remove(&id);
                    }
                    (_, 0) => {
                        let state = State::Settled(now);
                        self.written(id, now, Some(state), residual_flags == 0);
                    }
                    (_, status) => {
                        let state = (!refused(status, sense)).then_some(State::Settled(now));
                        self.written(id, now, state, false);
                    }
                }
            }
            Event::Aborted { initiator, tag } => {
                let state = Some(State::Settled(now));
                self.written((initiator, tag), now, state, false);
            }
            Event::TimedOut { initiator, tag } => {
                self.written((initiator, tag), now, Some(State::Loose), false);
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
