// SPDX-License-Identifier: MPL-2.0
//! What stmf answers itself: that the list of LUs has changed, REPORT LUNS, commands to a number
//! that has no LU, and task management.

use super::Stmf;
use super::types::*;
use crate::scsi::reports::luns_to_bytes;
use crate::scsi::{Sense, SenseKey, Status, be, opcode};
use std::rc::Rc;
use stmf_proxy::message::status::task_management;
use stmf_proxy::message::{Body, Message, ScsiCommand};

/// Standard INQUIRY data of a number without LU: peripheral qualifier 3, type 1Fh.
const NO_LU_INQUIRY: [u8; 36] = *b"\x3f\x00\x05\x12\x1f\x00\x80\x00NONE    NONE            NONE";

/// 05/0E/03, what a task management function that is not known is answered with.
const UNSUPPORTED_FUNCTION: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x0e, 0x03);

/// Set in the ids of task management functions that are copied to the peer.
pub const MANAGEMENT_ID: u64 = 1 << 63;

/// The longest list that REPORT LUNS returns, in bytes: 65,536 LUs and a header.
const REPORT_LUNS_MAX: usize = 8 + 8 * 65_536;

impl Stmf<'_> {
    /// The first command after a change of the list of LUs is answered with the unit attention
    /// "reported LUNs data has changed", whatever it is but for the three that SPC excepts.
    pub(super) async fn answer_inventory_change(&self, task: &Rc<Task>) -> bool {
        let excepted = matches!(
            task.command.cdb.first(),
            Some(&(opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE))
        );
        if excepted || !task.session.inventory_changed.replace(false) {
            return false;
        }
        self.send_check_condition(task, Sense::REPORTED_LUNS_CHANGED)
            .await;
        true
    }

    /// Whether stmf answers the command though there is a LU.
    pub(super) fn is_own_command(&self, task: &Rc<Task>) -> bool {
        task.command.management_function == 0
            && task.command.cdb.first() == Some(&opcode::REPORT_LUNS)
            && !self.0.config().service_alone
    }

    /// Answers a command that is no LU's.
    pub(super) async fn answer(&self, task: &Rc<Task>) {
        if task.command.management_function != 0 {
            return self.manage(task).await;
        }
        match task.command.cdb.first() {
            Some(&opcode::INQUIRY) => {
                let allocation = be(&task.command.cdb, 3, 2) as usize;
                self.answer_with_data(task, NO_LU_INQUIRY.to_vec(), allocation)
                    .await
            }
            Some(&opcode::REPORT_LUNS) => {
                let allocation = be(&task.command.cdb, 6, 4) as usize;
                self.answer_with_data(task, self.report_luns(), allocation)
                    .await
            }
            _ => self.send_check_condition(task, Sense::INVALID_OPCODE).await,
        }
    }

    /// The parameter data of REPORT LUNS (SPC-4, 6.33): every LU, by number.
    fn report_luns(&self) -> Vec<u8> {
        let mut numbers: Vec<[u8; 8]> = self
            .state()
            .lus
            .borrow()
            .iter()
            .map(|lu| lu.number)
            .collect();
        numbers.sort_unstable();
        let mut data = luns_to_bytes(&numbers);
        data.truncate(REPORT_LUNS_MAX);
        data
    }

    async fn answer_with_data(&self, task: &Rc<Task>, mut data: Vec<u8>, allocation: usize) {
        data.truncate(allocation);
        task.command_length.set(data.len() as u32);
        data.truncate(task.command.expected_length as usize);
        if data.is_empty() {
            return self.send_status(task, 0, &[]).await;
        }
        self.transfer(task, DataBuffer::new(data, 0, true)).await;
    }

    pub(super) async fn own_transfer_done(&self, task: &Rc<Task>) {
        self.send_status(task, 0, &[]).await;
    }

    pub(crate) async fn send_check_condition(&self, task: &Rc<Task>, sense: Sense) {
        self.send_status(task, Status::CHECK_CONDITION.0, &sense.to_bytes())
            .await;
    }

    /// Carries a task management function out: copied to the peer where the standby path is in
    /// use, and done here. A LU reset to a number without LU is copied and never answered.
    pub async fn manage(&self, task: &Rc<Task>) {
        use task_management::*;
        let function = task.command.management_function;
        match function {
            ABORT_TASK | ABORT_TASK_SET | CLEAR_TASK_SET | LUN_RESET => {
                self.copy_to_peer(task).await;
                match &task.lu {
                    Some(lu) => {
                        let commands = self.abort_lu_commands(lu);
                        self.wait_for_ends(&commands).await;
                        if function == LUN_RESET {
                            lu.provider.reset(self.0, lu, &task.session);
                        }
                    }
                    None if function == LUN_RESET => return self.abort_task(task),
                    None => {}
                }
                self.send_status(task, 0, &[]).await;
            }
            TARGET_WARM_RESET | TARGET_COLD_RESET | TARGET_RESET => {
                let lus = self.lus();
                let mut commands = Vec::new();
                for lu in lus.iter().rev() {
                    commands.push(self.abort_lu_commands(lu));
                }
                for (lu, commands) in lus.iter().zip(commands.iter().rev()) {
                    self.wait_for_ends(commands).await;
                    lu.provider.reset(self.0, lu, &task.session);
                }
                self.send_status(task, 0, &[]).await;
            }
            _ => self.send_check_condition(task, UNSUPPORTED_FUNCTION).await,
        }
    }

    async fn copy_to_peer(&self, task: &Rc<Task>) {
        if !self.alua().0 || !task.port.proxy_registered.get() {
            return;
        }
        let lu = task.lu.as_ref().filter(|lu| lu.online.get());
        let function = task.command.management_function;
        if self.0.defects().read_id_of_gone_lu && lu.is_none() {
            let reason = format!(
                "NULL pointer: the id of a LU that is gone is read, to copy task management \
                 function {function} to the peer"
            );
            return self.0.panic(None, reason).await;
        }
        if self.0.defects().assert_no_lu_id && lu.is_some() {
            let reason = format!(
                "assertion failed: task management function {function} for the peer has a LU id"
            );
            return self.0.panic(None, reason).await;
        }
        let msgid = self.take_msgid().await | MANAGEMENT_ID;
        task.proxy_msgid.set(msgid);
        let message = self.command_message(task, msgid, [0; 16], Vec::new());
        // What becomes of the copy does not matter to the initiator.
        self.transmit(&message).await;
    }

    /// The message that carries a command to the peer.
    pub(super) fn command_message(
        &self,
        task: &Rc<Task>,
        msgid: u64,
        lun_id: LuId,
        immed_data: Vec<u8>,
    ) -> Message {
        let command = &task.command;
        Message {
            msgid,
            body: Body::ScsiCommand(ScsiCommand {
                task_msgid: msgid,
                ini_devid: task.session.initiator.clone(),
                tgt_devid: task.port.id.clone(),
                rport: Some(task.session.rport.clone()),
                lun_id,
                session_id: task.session.id,
                task_lun_no: command.lun,
                task_expected_xfer_length: command.expected_length,
                task_cdb: command.cdb.clone(),
                task_flags: command.flags,
                task_priority: 0,
                task_mgmt_function: command.management_function,
                immed_data,
            }),
        }
    }
}
