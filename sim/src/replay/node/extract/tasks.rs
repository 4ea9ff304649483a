// SPDX-License-Identifier: MPL-2.0
//! Commands on their way through a recording: which record begins them, and which is the first
//! thing that they cause.

use crate::kernel::stmf::types::LuId;
use crate::replay::node::input::{CommandNumber, Extent, Piece, RecordIndex, Strictness, TaskName};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A command of the peer's.
pub(super) struct PeerTask {
    pub(super) cdb: Vec<u8>,
    pub(super) lu: LuId,
    pub(super) lun: [u8; 8],
    pub(super) extent: Option<Extent>,
    pub(super) strictness: Strictness,
    /// The step that releases it, once there is one.
    pub(super) release: Option<usize>,
    /// Bytes that it has sent so far.
    pub(super) sent: u64,
    /// The record that posted it, and the step.
    pub(super) posted: RecordIndex,
    pub(super) step: usize,
    /// Task management function, 0 for a command.
    pub(super) function: u8,
}

/// A command of an initiator of this node.
pub(super) struct LocalTask {
    pub(super) number: CommandNumber,
    pub(super) session: u64,
    pub(super) lun: [u8; 8],
    pub(super) cdb: Vec<u8>,
    pub(super) expected: u32,
    pub(super) function: u8,
    pub(super) extent: Option<Extent>,
    pub(super) strictness: Strictness,
    pub(super) released: bool,
    /// It was sent to the peer, under an id.
    pub(super) proxied: bool,
    /// The step that begins it.
    pub(super) step: usize,
}

/// Commands of one life of the kernel.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) peer: BTreeMap<(u64, u64), PeerTask>,
    /// By initiator and tag.
    pub(super) local: BTreeMap<(u32, u64), LocalTask>,
    /// Commands that are out, oldest first, for each session.
    pub(super) open: BTreeMap<u64, VecDeque<(u32, u64)>>,
    /// What this node has sent its peer: CDB and LU, by id.
    pub(super) proxied: BTreeMap<u64, (Vec<u8>, LuId)>,
    /// Messages of the peer that are answered with a status: type and id.
    pub(super) answered: BTreeSet<(u8, u64)>,
    pub(super) echoes: u64,
}

/// What a message says of a command.
pub(super) struct Asked<'a> {
    pub(super) session: u64,
    pub(super) lun: [u8; 8],
    pub(super) cdb: &'a [u8],
    pub(super) expected: u32,
    pub(super) function: u8,
}

impl Tasks {
    pub(super) fn begin(&mut self, initiator: u32, tag: u64, task: LocalTask) {
        let open = self.open.entry(task.session).or_default();
        open.push_back((initiator, tag));
        self.local.insert((initiator, tag), task);
    }

    /// The oldest recorded command that a message to the peer can be about.
    pub(super) fn sent(&mut self, asked: &Asked<'_>) -> Option<&mut LocalTask> {
        let open = self.open.get(&asked.session)?;
        let local = &self.local;
        let name = open.iter().copied().find(|name| {
            local.get(name).is_some_and(|task| {
                !task.proxied
                    && task.lun == asked.lun
                    && task.function == asked.function
                    && task.cdb == asked.cdb
                    && task.expected == asked.expected
            })
        })?;
        let task = self.local.get_mut(&name)?;
        task.proxied = true;
        Some(task)
    }

    /// The command is over.
    pub(super) fn end(&mut self, initiator: u32, tag: u64) -> Option<LocalTask> {
        let task = self.local.remove(&(initiator, tag))?;
        if let Some(open) = self.open.get_mut(&task.session) {
            open.retain(|name| *name != (initiator, tag));
        }
        Some(task)
    }

    /// The oldest task management function that waits for a LU.
    pub(super) fn manager_of(&mut self, lun: [u8; 8]) -> Option<&mut LocalTask> {
        let waiting =
            |task: &&mut LocalTask| task.function != 0 && !task.released && task.lun == lun;
        self.local
            .values_mut()
            .filter(waiting)
            .min_by_key(|task| task.number)
    }
}

impl Tasks {
    /// Task management functions of which nothing was ever seen, with the steps that begin them:
    /// they wait for tasks that do not end, and have done the rest.
    pub(super) fn silent_managers(&self) -> Vec<(usize, TaskName)> {
        let peer = self.peer.iter().filter_map(|(name, task)| {
            let silent = task.function != 0 && task.release.is_none();
            silent.then_some((task.step, TaskName::Peer(name.0, name.1)))
        });
        let local = self.local.values().filter_map(|task| {
            let silent = task.function != 0 && !task.released;
            silent.then_some((task.step, TaskName::Local(task.number)))
        });
        peer.chain(local).collect()
    }

    /// The same of the peer's.
    pub(super) fn manager_of_peer(&self, lun: [u8; 8]) -> Option<(u64, u64)> {
        let waiting = self
            .peer
            .iter()
            .filter(|(_, task)| task.function != 0 && task.release.is_none() && task.lun == lun);
        let oldest = waiting.min_by_key(|(_, task)| task.posted);
        oldest.map(|(name, _)| *name)
    }
}

/// A read's data at a record.
pub(super) fn piece(offset: u64, record: RecordIndex) -> Piece {
    Piece { offset, record }
}

/// The name of a task of this node.
pub(super) fn local(number: CommandNumber) -> TaskName {
    TaskName::Local(number)
}
