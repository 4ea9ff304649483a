// SPDX-License-Identifier: MPL-2.0
//! Lanes: what a message is about, as far as its order among others counts.

use std::collections::{BTreeMap, BTreeSet};
use stmf_proxy::message::{Body, Message};

/// The object that a message of a kernel is about. Messages of one lane are compared in order;
/// those of different ones can come in any order, as threads of a real kernel run.
///
/// The lanes are those of relays (port, LU, session, answer), with the tasks of a session taken
/// apart: what the answers to two commands do to each other is no kernel's promise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// A local port, by the `ident` of its device id.
    Port(Vec<u8>),
    /// A LU.
    Lu([u8; 16]),
    /// The end of a session.
    Session(u64),
    /// Commands of a session.
    Commands(u64),
    /// Task management functions of a session.
    Management(u64),
    /// Data and status of a command of the peer: session and task.
    Task(u64, u64),
    /// Confirmations of data for a task of this node.
    Confirmations(u64),
    /// Statuses that answer a message: its type and id.
    Answer(u8, u64),
    /// Echoes.
    Echo,
    /// What cannot be decoded.
    Damaged,
}

impl Lane {
    /// The lane of a message that a kernel sends.
    pub fn of(message: &Message) -> Lane {
        match &message.body {
            Body::RegisterProxyPort(port) => Lane::Port(port.port_id.ident.clone()),
            Body::DeregisterProxyPort(port) => Lane::Port(port.port_id.ident.clone()),
            Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
                Lane::Lu(lun.lun_id)
            }
            Body::ScsiCommand(command) if command.task_mgmt_function != 0 => {
                Lane::Management(command.session_id)
            }
            Body::ScsiCommand(command) => Lane::Commands(command.session_id),
            Body::ScsiData(data) => Lane::Task(data.session_id, data.task_msgid),
            Body::ScsiStatus(status) => Lane::Task(status.session_id, status.task_msgid),
            Body::ReadyToTransfer(ready) => Lane::Task(ready.session_id, ready.task_msgid),
            Body::ScsiDataTransferDone(done) => Lane::Confirmations(done.task_msgid),
            Body::Status(status) => Lane::Answer(status.status_msg_type, status.status_msgid),
            Body::SessionCreate(session) | Body::SessionDestroy(session) => {
                Lane::Session(session.session_id)
            }
            Body::EchoRequest(_) | Body::EchoReply(_) => Lane::Echo,
        }
    }
}

/// Message ids of the recording and of the replay, where they differ.
#[derive(Default)]
pub(super) struct Ids {
    to_simulated: BTreeMap<u64, u64>,
    to_recorded: BTreeMap<u64, u64>,
    /// Ids that one side has used and the other not yet.
    only_recorded: BTreeSet<u64>,
    only_simulated: BTreeSet<u64>,
    mapped: u64,
}

impl Ids {
    /// The two ids are the same message's.
    pub(super) fn pair(&mut self, recorded: u64, simulated: u64) {
        if let Some(other) = self.to_simulated.remove(&recorded) {
            self.to_recorded.remove(&other);
        }
        if let Some(other) = self.to_recorded.remove(&simulated) {
            self.to_simulated.remove(&other);
        }
        if recorded == simulated {
            return;
        }
        self.mapped += 1;
        self.to_simulated.insert(recorded, simulated);
        self.to_recorded.insert(simulated, recorded);
        if !self.only_simulated.remove(&recorded) {
            self.only_recorded.insert(recorded);
        }
        if !self.only_recorded.remove(&simulated) {
            self.only_simulated.insert(simulated);
        }
    }

    pub(super) fn simulated(&self, recorded: u64) -> u64 {
        self.to_simulated
            .get(&recorded)
            .copied()
            .unwrap_or(recorded)
    }

    pub(super) fn recorded(&self, simulated: u64) -> u64 {
        self.to_recorded
            .get(&simulated)
            .copied()
            .unwrap_or(simulated)
    }

    /// How many ids differ, and how many of them are not a mere change of order.
    pub(super) fn mapped(&self) -> (u64, u64) {
        (self.mapped, self.only_recorded.len() as u64)
    }

    /// A message of the peer as the simulated kernel has to see it. None: it is the same.
    pub(super) fn for_simulated(&self, message: &Message) -> Option<Message> {
        if self.to_simulated.is_empty() {
            return None;
        }
        let mut changed = message.clone();
        match &mut changed.body {
            Body::ScsiData(data) => data.task_msgid = self.simulated(data.task_msgid),
            Body::ScsiStatus(status) => status.task_msgid = self.simulated(status.task_msgid),
            Body::Status(status) => status.status_msgid = self.simulated(status.status_msgid),
            _ => return None,
        }
        (changed != *message).then_some(changed)
    }

    /// A message of the simulated kernel as the recorded one would have sent it, but for the ids
    /// that it has newly given out.
    pub(super) fn for_recorded(&self, message: &mut Message) {
        if let Body::ScsiDataTransferDone(done) = &mut message.body {
            done.task_msgid = self.recorded(done.task_msgid);
        }
    }

    /// Whether the sender of such a message gives it an id out of the kernel's counter.
    pub(super) fn are_counted(message: &Message) -> bool {
        matches!(
            message.body,
            Body::RegisterProxyPort(_)
                | Body::DeregisterProxyPort(_)
                | Body::RegisterLun(_)
                | Body::DeregisterLun(_)
                | Body::LunActive(_)
                | Body::SessionDestroy(_)
                | Body::ScsiCommand(_)
                | Body::ScsiDataTransferDone(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stmf_proxy::message::{ScsiStatus, Status};

    #[test]
    fn ids_are_mapped_both_ways_and_a_change_of_order_comes_out_even() {
        let mut ids = Ids::default();
        ids.pair(4, 4);
        ids.pair(5, 6);
        assert_eq!(
            (ids.simulated(5), ids.recorded(6), ids.mapped()),
            (6, 5, (1, 1))
        );
        ids.pair(6, 5);
        assert_eq!(ids.mapped(), (2, 0));
        let status = Message {
            msgid: 0,
            body: Body::Status(Status {
                status_msg_type: 0,
                status_msgid: 5,
                status: 0,
            }),
        };
        let changed = ids.for_simulated(&status).expect("the id is another");
        assert!(matches!(changed.body, Body::Status(status) if status.status_msgid == 6));
        // An id that is given out again for another message forgets what it was.
        ids.pair(5, 5);
        assert_eq!((ids.simulated(5), ids.recorded(6)), (5, 6));
    }

    #[test]
    fn tasks_have_lanes_of_their_own() {
        let status = |task_msgid| Message {
            msgid: 0,
            body: Body::ScsiStatus(ScsiStatus {
                task_msgid,
                session_id: 1,
                lun_id: [0; 16],
                response: 0,
                status: 0,
                flags: 0,
                resid: 0,
                sense: vec![],
            }),
        };
        assert_eq!(Lane::of(&status(3)), Lane::Task(1, 3));
        assert_ne!(Lane::of(&status(3)), Lane::of(&status(4)));
    }
}
