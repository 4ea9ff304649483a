// SPDX-License-Identifier: MPL-2.0
//! Commands carried out: judged in the order that the module page gives, then served.

use super::attention::Attention;
use super::cdb::{Cdb, Command, Extent, ListCommand};
use super::mode::ModePages;
use super::persistent::PersistentReservations;
use super::{
    AccessState, Config, Environment, Execution, LogicalUnit, Nexus, NexusState, Outcome,
    PersistentState, ReadSource, ReadTransfer, SharedDisk, StoreError, WriteSink, WriteTransfer,
    disposition, inquiry,
};
use crate::scsi::opcode::{INQUIRY, REPORT_LUNS, REQUEST_SENSE};
use crate::scsi::reports::{Capacity, TargetPortGroup};
use crate::scsi::{Completion, Sense};

/// Why a logical unit cannot be made of a disk.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The block size is not one that is served.
    #[error("a block of {0} bytes is not served; take a power of two from 512 to 32768")]
    BlockSize(u32),
    /// Not even one block fits.
    #[error("the disk has {size} bytes, less than one block of {block_size}; take a larger one")]
    Empty {
        /// Size of the disk in bytes.
        size: u64,
        /// Bytes in a block.
        block_size: u32,
    },
}

/// What is left of a disk behind its last whole block is not used; a
/// [`FileStore`](super::FileStore) pads instead.
fn capacity(config: &Config, size: u64) -> Result<Capacity, ConfigError> {
    let block_size = config.block_size;
    if !block_size.is_power_of_two() || !(512..=32_768).contains(&block_size) {
        return Err(ConfigError::BlockSize(block_size));
    }
    match size / u64::from(block_size) {
        0 => Err(ConfigError::Empty { size, block_size }),
        blocks => Ok(Capacity { blocks, block_size }),
    }
}

impl LogicalUnit {
    /// A logical unit on one node. If it is active, stored persistent reservations are in force.
    pub fn new(
        config: Config,
        disk: SharedDisk,
        access: AccessState,
    ) -> Result<LogicalUnit, ConfigError> {
        let capacity = capacity(&config, disk.borrow().size())?;
        let mut unit = LogicalUnit {
            capacity,
            config,
            access,
            nexuses: Default::default(),
            reserved_by: None,
            persistent: PersistentReservations::default(),
            mode: ModePages {
                write_cache_enabled: true,
            },
            stopped: false,
            disk,
        };
        unit.load_metadata();
        Ok(unit)
    }

    /// What it was made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its size.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The disk behind it.
    pub fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    /// Its access state on this node.
    pub fn access(&self) -> AccessState {
        self.access
    }

    /// Persistent reservations as they are on this node: nothing unless it is active here.
    pub fn persistent_state(&self) -> &PersistentState {
        self.persistent.state()
    }

    /// The target port groups of a unit that is active on the node whose group is `own`: as
    /// REPORT TARGET PORT GROUPS lists them there.
    pub fn groups_where_active(
        own: u16,
        own_ports: Vec<u16>,
        other: u16,
        other_ports: Vec<u16>,
    ) -> Vec<TargetPortGroup> {
        let mut groups = vec![
            TargetPortGroup::active(own, own_ports),
            TargetPortGroup::standby(other, other_ports),
        ];
        groups.sort_by_key(|group| group.id);
        groups
    }

    /// A transition begins: [`AccessState::ToStandby`] or [`AccessState::ToActive`] (for any other
    /// state nothing happens). Until it ends every command is refused with 02/04/0A.
    pub fn begin_transition(&mut self, to: AccessState) {
        if matches!(to, AccessState::ToStandby | AccessState::ToActive) {
            self.access = to;
        }
    }

    /// The unit is standby here from now on: reservations of both sorts are dropped, and every
    /// nexus gets the unit attention "asymmetric access state changed". Stored persistent
    /// reservations stay with the disk. Nothing happens to a unit that is standby already.
    pub fn become_standby(&mut self) {
        if self.access == AccessState::Standby {
            return;
        }
        self.access = AccessState::Standby;
        self.reserved_by = None;
        self.persistent = PersistentReservations::default();
        self.tell_all(&[Attention::AccessStateChanged]);
    }

    /// The unit is active here from now on (the end of an import): what is stored with the disk is
    /// in force, and every nexus gets the unit attentions "power on" and "asymmetric access state
    /// changed". Nothing happens to a unit that is active already.
    pub fn become_active(&mut self) {
        if self.access == AccessState::Active {
            return;
        }
        self.access = AccessState::Active;
        self.reserved_by = None;
        self.stopped = false;
        self.load_metadata();
        self.tell_all(&[Attention::PowerOn, Attention::AccessStateChanged]);
    }

    /// A logical unit reset: the reservation of RESERVE ends, mode pages take their saved values,
    /// every nexus gets the unit attention "power on". Commands in progress are the caller's.
    pub fn reset(&mut self) {
        self.reserved_by = None;
        self.stopped = false;
        self.mode.write_cache_enabled = self.disk.borrow().metadata.write_cache_enabled;
        self.tell_all(&[Attention::PowerOn]);
    }

    /// Whether a session with this id has been here. A caller that lets a command wait between its
    /// arrival and [`begin`](LogicalUnit::begin) can tell by it whether another was faster.
    pub fn knows_session(&self, session_id: u64) -> bool {
        self.nexuses.contains_key(&session_id)
    }

    /// Whether this nexus, and not only another one with its session id, has been here.
    pub fn knows(&self, nexus: &Nexus) -> bool {
        self.nexuses
            .get(&nexus.session_id)
            .is_some_and(|known| known.id == nexus.id)
    }

    /// A session has ended: its unit attentions and its RESERVE are forgotten. Its persistent
    /// registration stays.
    pub fn session_ended(&mut self, session_id: u64) {
        self.nexuses.remove(&session_id);
        if self.reserved_by == Some(session_id) {
            self.reserved_by = None;
        }
    }

    fn load_metadata(&mut self) {
        if self.access == AccessState::Active {
            let disk = self.disk.borrow();
            self.mode.write_cache_enabled = disk.metadata.write_cache_enabled;
            self.persistent = PersistentReservations::restore(disk.metadata.reservations.clone());
        }
    }

    fn tell_all(&mut self, attentions: &[Attention]) {
        for nexus in self.nexuses.values_mut() {
            attentions
                .iter()
                .for_each(|attention| nexus.tell(*attention));
        }
    }

    /// Takes note of a session when its first command comes; `false` if its id is taken by another
    /// nexus. One that comes to a unit that is not standby starts with "power on".
    pub fn admit(&mut self, nexus: &Nexus) -> bool {
        if let Some(known) = self.nexuses.get(&nexus.session_id) {
            return known.id == nexus.id;
        }
        let (id, through_proxy) = (nexus.id.clone(), nexus.through_proxy);
        let mut state = NexusState {
            id,
            through_proxy,
            attentions: Default::default(),
        };
        if self.access != AccessState::Standby {
            state.tell(Attention::PowerOn);
        }
        self.nexuses.insert(nexus.session_id, state);
        true
    }

    /// The unit attention that `nexus` is to be told now.
    fn attention(&mut self, nexus: &Nexus) -> Option<Sense> {
        self.nexuses.get_mut(&nexus.session_id)?.attentions.take()
    }

    /// A command begins. `expected` is the transfer length in bytes that the initiator expects; a
    /// CDB of any length is taken.
    pub fn begin(
        &mut self,
        nexus: &Nexus,
        cdb: &[u8],
        expected: u64,
        environment: &dyn Environment,
    ) -> Execution {
        match self.judge(nexus, cdb, expected, environment) {
            Ok(execution) => execution,
            Err(completion) => Execution::Done(completion),
        }
    }

    fn judge(
        &mut self,
        nexus: &Nexus,
        cdb: &[u8],
        expected: u64,
        environment: &dyn Environment,
    ) -> Result<Execution, Completion> {
        if !self.admit(nexus) {
            return Err(Completion::BUSY);
        }
        if matches!(self.access, AccessState::ToStandby | AccessState::ToActive) {
            return Err(Sense::TRANSITION.into());
        }
        let cdb = Cdb::new(cdb);
        let command = Command::decode(&cdb);
        if command.is_ok_and(|command| self.conflicts(nexus, &command)) {
            return Err(Completion::RESERVATION_CONFLICT);
        }
        if !matches!(cdb.opcode(), INQUIRY | REPORT_LUNS | REQUEST_SENSE) {
            if let Some(attention) = self.attention(nexus) {
                return Err(attention.into());
            }
        }
        if self.access == AccessState::Standby {
            return Ok(disposition::standby(
                &cdb,
                expected,
                self.config.refuse_standby_reads,
            ));
        }
        self.serve(nexus, command?, environment)
    }

    fn serve(
        &mut self,
        nexus: &Nexus,
        command: Command,
        environment: &dyn Environment,
    ) -> Result<Execution, Completion> {
        let answer =
            |bytes, allocation| Ok(Execution::DataIn(ReadTransfer::bytes(bytes, allocation)));
        match command {
            Command::TestUnitReady => self.ready()?,
            Command::RequestSense { allocation } => {
                let sense = self.attention(nexus).unwrap_or(Sense::NONE);
                return answer(sense.to_bytes().to_vec(), allocation);
            }
            Command::Inquiry {
                page: None,
                allocation,
            } => {
                return answer(inquiry::standard(environment.alua_enabled()), allocation);
            }
            Command::Inquiry {
                page: Some(page),
                allocation,
            } => {
                let page = inquiry::page(page, &self.config.guid, nexus, environment)?;
                return answer(page, allocation);
            }
            Command::Read(extent) => {
                let (offset, length) = self.range(extent)?;
                if length > 0 {
                    return Ok(Execution::DataIn(ReadTransfer::disk(offset, length)));
                }
            }
            Command::Write(extent) => {
                let (offset, length) = self.range(extent)?;
                if length > 0 {
                    let sink = WriteSink::Disk { offset };
                    return Ok(Execution::DataOut(WriteTransfer { length, sink }));
                }
            }
            Command::Verify { extent, compare } => {
                let (offset, length) = self.range(extent)?;
                if compare && length > 0 {
                    let sink = WriteSink::Compare { offset };
                    return Ok(Execution::DataOut(WriteTransfer { length, sink }));
                }
                self.disk
                    .borrow_mut()
                    .verify(offset, length)
                    .map_err(read_failed)?;
            }
            Command::SynchronizeCache(extent) => {
                self.range(extent)?;
                self.disk.borrow_mut().flush().map_err(write_failed)?;
            }
            Command::ReadCapacity10 => return answer(self.capacity.to_bytes_10(), 8),
            Command::ReadCapacity16 { allocation } => {
                return answer(self.capacity.to_bytes_16(), allocation);
            }
            Command::ModeSense { what, allocation } => {
                let saved = self.disk.borrow().metadata.write_cache_enabled;
                return answer(self.mode.sense(what, self.capacity, saved)?, allocation);
            }
            Command::List { command, length } => {
                let received = Vec::new();
                let sink = WriteSink::List {
                    nexus: nexus.clone(),
                    received,
                    command,
                };
                return Ok(Execution::DataOut(WriteTransfer {
                    length: length.into(),
                    sink,
                }));
            }
            Command::EmptyModeSelect => {}
            Command::StartStop { start } => self.stopped = !start,
            Command::Reserve => self.reserve(nexus),
            Command::Release => self.release(nexus),
            Command::PersistentIn { action, allocation } => {
                return answer(
                    self.persistent.report(action, allocation as usize),
                    allocation,
                );
            }
            Command::ReportTargetPortGroups {
                extended_header,
                allocation,
            } => {
                let groups = environment.target_port_groups();
                return answer(
                    TargetPortGroup::list_to_bytes(&groups, extended_header),
                    allocation,
                );
            }
            // Nobody has named it.
            Command::ReportIdentifyingInformation { allocation } => {
                return answer(vec![0; 4], allocation);
            }
        }
        Ok(Execution::Done(Completion::GOOD))
    }

    fn ready(&self) -> Result<(), Completion> {
        if self.stopped {
            Err(Sense::STOPPED.into())
        } else {
            Ok(())
        }
    }

    /// Offset and length in bytes of blocks that exist, on a unit that is not stopped.
    fn range(&self, extent: Extent) -> Result<(u64, u64), Completion> {
        self.ready()?;
        match extent.lba.checked_add(extent.blocks) {
            Some(end) if end <= self.capacity.blocks => {
                let block_size = u64::from(self.capacity.block_size);
                Ok((extent.lba * block_size, extent.blocks * block_size))
            }
            _ => Err(Sense::LBA_OUT_OF_RANGE.into()),
        }
    }

    /// Fetches the piece of a command's data that begins at `offset`, as many bytes as `out` has;
    /// what lies behind the end of the data is zero. An error ends the command.
    pub fn read(
        &mut self,
        transfer: &ReadTransfer,
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), Completion> {
        let there = transfer.length.saturating_sub(offset).min(out.len() as u64) as usize;
        let (data, behind) = out.split_at_mut(there);
        behind.fill(0);
        if data.is_empty() {
            return Ok(());
        }
        match &transfer.source {
            ReadSource::Bytes(bytes) => data.copy_from_slice(&bytes[offset as usize..][..there]),
            ReadSource::Disk { offset: start } => {
                self.disk
                    .borrow_mut()
                    .read(start + offset, data)
                    .map_err(read_failed)?;
            }
        }
        Ok(())
    }

    /// Takes the piece of a command's data that begins at `offset`; what would lie behind the end
    /// is left out. Blocks are written (or compared) at once. An error ends the command.
    pub fn write(
        &mut self,
        transfer: &mut WriteTransfer,
        offset: u64,
        data: &[u8],
    ) -> Result<(), Completion> {
        let wanted = transfer
            .length
            .saturating_sub(offset)
            .min(data.len() as u64) as usize;
        let data = &data[..wanted];
        if data.is_empty() {
            return Ok(());
        }
        match &mut transfer.sink {
            WriteSink::Disk { offset: start } => self
                .disk
                .borrow_mut()
                .write(*start + offset, data)
                .map_err(write_failed),
            WriteSink::Compare { offset: start } => self.compare(*start + offset, data),
            WriteSink::List { received, .. } => {
                let end = offset as usize + data.len();
                if received.len() < end {
                    received.resize(end, 0);
                }
                received[offset as usize..end].copy_from_slice(data);
                Ok(())
            }
        }
    }

    fn compare(&mut self, offset: u64, data: &[u8]) -> Result<(), Completion> {
        let mut present = [0; 4096];
        for (at, part) in (offset..)
            .step_by(present.len())
            .zip(data.chunks(present.len()))
        {
            let present = &mut present[..part.len()];
            self.disk
                .borrow_mut()
                .read(at, present)
                .map_err(read_failed)?;
            if present != part {
                return Err(Sense::MISCOMPARE.into());
            }
        }
        Ok(())
    }

    /// The data of a command are all there, or as many as will come.
    pub fn finish(&mut self, transfer: WriteTransfer) -> Outcome {
        let WriteSink::List {
            nexus,
            received,
            command,
        } = transfer.sink
        else {
            return Completion::GOOD.into();
        };
        match command {
            ListCommand::ModeSelect { .. } if (received.len() as u64) < transfer.length => {
                Completion::check(Sense::PARAMETER_LIST_LENGTH).into()
            }
            ListCommand::ModeSelect { header, save } => {
                let new = match self.mode.select(header, &received, self.capacity) {
                    Ok(new) => new,
                    Err(sense) => return Completion::check(sense).into(),
                };
                if save {
                    let mut disk = self.disk.borrow_mut();
                    disk.metadata.write_cache_enabled = new.write_cache_enabled;
                }
                if new != self.mode {
                    self.mode = new;
                    let others = self.nexuses.iter_mut().filter(|n| *n.0 != nexus.session_id);
                    others.for_each(|(_, other)| other.tell(Attention::ModeChanged));
                }
                Completion::GOOD.into()
            }
            ListCommand::PersistentOut { action, kind } => {
                let effects = match self.persistent.out(&nexus, action, kind, &received) {
                    Ok(effects) => effects,
                    Err(completion) => return completion.into(),
                };
                self.disk.borrow_mut().metadata.reservations = self.persistent.to_store();
                for (id, attention) in effects.attentions {
                    let sessions = self.nexuses.values_mut().filter(|state| state.id == id);
                    sessions.for_each(|state| state.tell(attention));
                }
                Outcome {
                    completion: Completion::GOOD,
                    abort: effects.abort,
                }
            }
        }
    }
}

impl NexusState {
    /// A nexus through a proxy port is told nothing: the node it is on tells it what concerns it.
    fn tell(&mut self, attention: Attention) {
        if !self.through_proxy {
            self.attentions.add(attention);
        }
    }
}

/// A range that was checked cannot be outside, so whatever fails is the medium.
fn read_failed(_: StoreError) -> Completion {
    Sense::READ_ERROR.into()
}

fn write_failed(_: StoreError) -> Completion {
    Sense::WRITE_ERROR.into()
}
