// SPDX-License-Identifier: MPL-2.0
//! The standby side: a command becomes a message for the peer, and the peer's data and status
//! become the initiator's.

use super::Stmf;
use super::target::MANAGEMENT_ID;
use super::types::*;
use crate::scsi::Sense;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::{Body, Message, ScsiData, ScsiDataTransferDone, ScsiStatus, status};

/// How long a proxied task may take before it is aborted.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(75);

/// How often stmf looks for proxied tasks that take too long.
pub const TIMEOUT_CHECK: Duration = Duration::from_secs(5);

/// Buffers with data of the peer that one task can have on the way to its initiator; one more
/// aborts it.
pub const PROXIED_BUFFERS_MAX: u32 = 4;

impl Stmf<'_> {
    /// Sends a command to the peer, with the initiator's data if it has any; its LU is standby
    /// here. Where the standby path is not in use, or the message cannot be sent, the command is
    /// answered with "target port in unavailable state" (02/04/0C).
    pub async fn proxy_command(&self, task: &Rc<Task>, data: Vec<u8>) {
        let Some(lu) = task.lu.clone() else { return };
        let (enabled, _) = self.alua();
        if !enabled {
            self.0
                .warn("a command for a standby LU while the ALUA state is disabled");
        }
        if !enabled || !task.port.proxy_registered.get() {
            return self.send_check_condition(task, Sense::UNAVAILABLE).await;
        }
        let msgid = self.take_msgid().await;
        if task.flags.get().aborting {
            return;
        }
        if !data.is_empty() {
            // The initiator's data has used up the first message's place.
            task.proxied_messages.set(1);
        }
        task.proxy_msgid.set(msgid);
        self.watch_timeouts();
        let message = self.command_message(task, msgid, lu.id, data);
        if self.transmit(&message).await != status::SUCCESS {
            task.proxy_msgid.set(0);
            self.send_check_condition(task, Sense::UNAVAILABLE).await;
        }
    }

    /// Takes the next message id, for a message that uses it up whatever becomes of it.
    pub(super) async fn take_msgid(&self) -> u64 {
        let state = self.state();
        let _lock = state.lock.lock().await;
        let msgid = state.next_msgid.get();
        state.next_msgid.set(msgid.wrapping_add(1));
        msgid
    }

    /// Finds a task by LU and message id, newest first. Id 0 finds tasks that are not proxied at
    /// all (trap 12).
    fn find_proxied(&self, lun_id: LuId, msgid: u64) -> Option<Rc<Task>> {
        if msgid == 0 && !self.0.has_traps() {
            self.0
                .warn("data or status for task 0, which no proxied task has: refused");
            return None;
        }
        let lu = self.lu(lun_id)?;
        let tasks = lu.tasks.borrow();
        tasks
            .iter()
            .find(|task| task.proxy_msgid.get() == msgid && !task.flags.get().aborting)
            .cloned()
    }

    /// Data for a proxied command has come.
    pub(super) async fn proxied_data(&self, data: &ScsiData) {
        if data.task_msgid & MANAGEMENT_ID != 0 {
            return;
        }
        let Some(task) = self.find_proxied(data.lun_id, data.task_msgid) else {
            return self
                .send_transfer_done(data.task_msgid, 0, status::FAILURE)
                .await;
        };
        if task.flags.get().status_sent && !self.0.has_traps() {
            self.0
                .warn("data for a task whose status is on the way to the initiator: refused");
            return;
        }
        if task.proxy_msgid.get() != 0 && self.is_second_after_write_data(&task) {
            return self
                .trap(10, "a second buffer for a task that carried write data")
                .await;
        }
        if task.proxied_buffers.get() > 0 && !self.0.has_traps() {
            self.0
                .warn("data for a task whose last data is still on the way: refused");
            return;
        }
        if task.proxied_buffers.get() >= PROXIED_BUFFERS_MAX {
            self.0
                .warn("too much data of the peer on the way to one initiator: task aborted");
            return self.abort_task(&task);
        }
        task.proxied_buffers.set(task.proxied_buffers.get() + 1);
        let limit = task.port.buffer_size as usize;
        let given = data.data.len().min(limit);
        // Every message that comes before the port is done with the last begins at the same place
        // (trap 14).
        let start = task.transferred.get();
        let buffer = DataBuffer::new(data.data[..given].to_vec(), start, true);
        if given < data.data.len() {
            let message = data.data.clone();
            *buffer.rest.borrow_mut() = Some(Remainder {
                message,
                given,
                start,
            });
        }
        self.transfer(&task, buffer).await;
    }

    fn is_second_after_write_data(&self, task: &Rc<Task>) -> bool {
        const SECOND: u32 = 2;
        match task.proxied_messages.get() {
            0 => false,
            messages => {
                task.proxied_messages.set(messages + 1);
                messages >= SECOND
            }
        }
    }

    /// A buffer with data of the peer has reached the initiator: the next piece of its message
    /// goes out, or the peer is told that it can go on. LU providers call this for transfers that
    /// are not their own.
    pub async fn proxied_transfer_done(&self, task: &Rc<Task>, buffer: Rc<DataBuffer>) {
        if buffer.status.get() != status::SUCCESS {
            return self.abort_task(task);
        }
        let rest = buffer.rest.borrow_mut().take();
        let length = buffer.data.borrow().len();
        task.transferred
            .set(task.transferred.get().wrapping_add(length as u32));
        task.command_length
            .set(task.command_length.get().wrapping_add(length as u32));
        if let Some(Remainder {
            message,
            given,
            start,
        }) = rest
            && given < message.len()
        {
            let end = message.len().min(given + task.port.buffer_size as usize);
            let piece = message[given..end].to_vec();
            // The real kernel counts from the start of this message, not of the command: right
            // for the first message of a task, wrong from the second on.
            let repaired = !self.0.has_traps() || self.0.config().repairs.piece_offsets;
            let offset = if repaired { start } else { 0 }.wrapping_add(given as u32);
            let next = DataBuffer::new(piece, offset, true);
            *next.rest.borrow_mut() = Some(Remainder {
                message,
                given: end,
                start,
            });
            return self.transfer(task, next).await;
        }
        task.proxied_buffers
            .set(task.proxied_buffers.get().saturating_sub(1));
        self.send_transfer_done(task.proxy_msgid.get(), task.session.id, status::SUCCESS)
            .await;
    }

    async fn send_transfer_done(&self, task_msgid: u64, session_id: u64, status: u64) {
        let msgid = self.take_msgid().await;
        let body = Body::ScsiDataTransferDone(ScsiDataTransferDone {
            task_msgid,
            session_id,
            status,
        });
        self.transmit(&Message { msgid, body }).await;
    }

    /// The status of a proxied command has come: status and sense go to the initiator.
    pub(super) async fn proxied_status(&self, message: &ScsiStatus) {
        if message.task_msgid & MANAGEMENT_ID != 0 {
            return;
        }
        let Some(task) = self.find_proxied(message.lun_id, message.task_msgid) else {
            return;
        };
        if task.flags.get().status_sent {
            if !self.0.has_traps() {
                self.0
                    .warn("a second status for a task before the port is done: refused");
                return;
            }
            // The port gets it all the same, and the task will be finished twice (trap 11).
            task.update(|flags| flags.status_sent = false);
        }
        self.send_status(&task, message.status, &message.sense)
            .await;
    }

    /// A trap: the real kernel goes down, the hardened one refuses the message.
    async fn trap(&self, number: u8, reason: &str) {
        if self.0.has_traps() {
            return self.0.panic(number, reason).await;
        }
        self.0.warn(format!("{reason}: message refused"));
    }

    /// Sees to it that somebody aborts proxied tasks that take too long. Nobody looks while
    /// there are none: an idle kernel has no timers.
    fn watch_timeouts(&self) {
        if self.state().timeouts_watched.replace(true) {
            return;
        }
        let kernel = self.0.clone();
        self.0.spawn("stmf time-out check", async move {
            loop {
                let now = kernel.executor().now();
                let period = TIMEOUT_CHECK.as_nanos() as u64;
                let next = (now.as_nanos() / period + 1).saturating_mul(period);
                let next = stmf_proxy::time::Time::from_nanos(next);
                kernel.executor().sleep_in_background(next).await;
                if !kernel.stmf().abort_expired() {
                    kernel.stmf_state().timeouts_watched.set(false);
                    return;
                }
            }
        });
    }

    /// Aborts what has taken too long; whether there are proxied tasks left to watch.
    fn abort_expired(&self) -> bool {
        let now = self.0.executor().now();
        let mut left = false;
        for lu in self.lus() {
            let tasks = lu.tasks.borrow().clone();
            for task in tasks.iter().filter(|task| task.proxy_msgid.get() != 0) {
                if now - task.started >= PROXY_TIMEOUT {
                    self.abort_task(task);
                } else {
                    left = true;
                }
            }
        }
        left
    }
}
