// SPDX-License-Identifier: MPL-2.0
//! Commands carried out: judged in the order that the module page gives, then served.

use super::attention::Attention;
use super::cdb::{Cdb, Command, Extent, ListCommand};
use super::{
    AccessState, Environment, Execution, LogicalUnit, Nexus, Outcome, ReadSource, ReadTransfer,
    StoreError, WriteSink, WriteTransfer, disposition, inquiry,
};
use crate::scsi::opcode::{INQUIRY, REPORT_LUNS, REQUEST_SENSE};
use crate::scsi::reports::TargetPortGroup;
use crate::scsi::{Completion, Sense};

impl LogicalUnit {
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
        let tells_attention = !matches!(cdb.opcode(), INQUIRY | REPORT_LUNS | REQUEST_SENSE);
        if let Some(attention) = tells_attention.then(|| self.attention(nexus)).flatten() {
            return Err(attention.into());
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
                let saved = self.disk.borrow().metadata().write_cache_enabled;
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
                    disk.metadata_mut().write_cache_enabled = new.write_cache_enabled;
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
                self.disk.borrow_mut().metadata_mut().reservations = self.persistent.to_store();
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

/// A range that was checked cannot be outside, so whatever fails is the medium.
fn read_failed(_: StoreError) -> Completion {
    Sense::READ_ERROR.into()
}

fn write_failed(_: StoreError) -> Completion {
    Sense::WRITE_ERROR.into()
}
