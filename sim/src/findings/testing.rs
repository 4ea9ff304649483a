// SPDX-License-Identifier: MPL-2.0
//! Messages and records for the tests of watchers.

use super::{Finding, Seen, Watcher};
use crate::world::trace::{Event, NodeId, Record};
use stmf_proxy::message::{
    Body, DeregisterProxyPort, DeviceId, Dialect, Message, MessageType, RegisterProxyPort,
    ScsiCommand, ScsiData, ScsiStatus, Status,
};
use stmf_proxy::time::Time;

fn name(ident: &str) -> DeviceId {
    DeviceId {
        protocol_id: 0,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 3,
        ident: ident.into(),
    }
}

fn encode(msgid: u64, body: Body) -> Vec<u8> {
    let message = Message { msgid, body };
    message.encode(Dialect::Current).expect("a sound message")
}

pub(super) fn register_port(msgid: u64, port: &str) -> Vec<u8> {
    let body = RegisterProxyPort {
        port_id: name(port),
        relative_port_id: 1,
        cb_arg: Vec::new(),
    };
    encode(msgid, Body::RegisterProxyPort(body))
}

pub(super) fn deregister_port(msgid: u64, port: &str) -> Vec<u8> {
    let body = DeregisterProxyPort {
        port_id: name(port),
        cb_arg: Vec::new(),
    };
    encode(msgid, Body::DeregisterProxyPort(body))
}

/// The CDB of all commands.
pub(super) const CDB: [u8; 10] = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];

const LU: [u8; 16] = [0x60; 16];

/// A READ(10) of initiator `initiator` through `port`.
pub(super) fn command(task: u64, session: u64, port: &str, initiator: u8) -> Vec<u8> {
    let mut rport = vec![0; 24];
    rport[15] = initiator;
    let body = ScsiCommand {
        task_msgid: task,
        ini_devid: name(&format!("wwn.initiator{initiator}")),
        tgt_devid: name(port),
        rport: Some(rport),
        lun_id: LU,
        session_id: session,
        task_lun_no: [0; 8],
        task_expected_xfer_length: 512,
        task_cdb: CDB.to_vec(),
        task_flags: 0x41,
        task_priority: 0,
        task_mgmt_function: 0,
        immed_data: Vec::new(),
    };
    encode(task, Body::ScsiCommand(body))
}

pub(super) fn data(task: u64, session: u64) -> Vec<u8> {
    let body = ScsiData {
        task_msgid: task,
        session_id: session,
        lun_id: LU,
        data: vec![1; 512],
    };
    encode(0, Body::ScsiData(body))
}

pub(super) fn status(task: u64, session: u64) -> Vec<u8> {
    let body = ScsiStatus {
        task_msgid: task,
        session_id: session,
        lun_id: LU,
        response: 0,
        status: 0,
        flags: 0,
        resid: 0,
        sense: Vec::new(),
    };
    encode(0, Body::ScsiStatus(body))
}

/// The status message with which a kernel refuses a command.
pub(super) fn refusal(task: u64) -> Vec<u8> {
    let body = Status {
        status_msg_type: MessageType::ScsiCommand.number(),
        status_msgid: task,
        status: 0,
    };
    encode(task, Body::Status(body))
}

/// Feeds a watcher.
pub(super) struct Bench<W> {
    pub(super) watcher: W,
    pub(super) found: Vec<Finding>,
    milliseconds: u64,
    sequence: u64,
    calls: u64,
}

impl<W: Watcher> Bench<W> {
    pub(super) fn new(watcher: W) -> Bench<W> {
        Bench {
            watcher,
            found: Vec::new(),
            milliseconds: 0,
            sequence: 0,
            calls: 0,
        }
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.milliseconds * 1_000_000)
    }

    pub(super) fn wait(&mut self, milliseconds: u64) {
        self.milliseconds += milliseconds;
    }

    pub(super) fn event(&mut self, node: NodeId, event: Event<'_>) {
        self.sequence += 1;
        let record = Record::new(self.sequence, self.now(), Some(node), event);
        Seen::with(&record, |seen| self.watcher.event(seen, &mut self.found));
    }

    /// A kernel sends a message, and its relay answers with `result`.
    pub(super) fn send(&mut self, node: NodeId, message: &[u8], result: u32) {
        self.calls += 1;
        let call = self.calls;
        self.event(
            node,
            Event::Upcall {
                call,
                attempt: 1,
                lock_held: false,
                message,
            },
        );
        let outcome = Ok(result);
        self.event(node, Event::UpcallDone { call, outcome });
    }

    /// A post that does not come back.
    pub(super) fn post_begins(&mut self, node: NodeId, message: &[u8]) {
        self.calls += 1;
        let post = self.calls;
        self.event(node, Event::Post { post, message });
    }

    /// The last post comes back.
    pub(super) fn post_ends(&mut self, node: NodeId) {
        let (post, outcome) = (self.calls, Ok(()));
        self.event(node, Event::PostDone { post, outcome });
    }

    /// The number of the last call or post.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn post(&mut self, node: NodeId, message: &[u8]) {
        self.post_begins(node, message);
        let (post, outcome) = (self.calls, Ok(()));
        self.event(node, Event::PostDone { post, outcome });
    }

    /// From one node to the other, as it should be.
    pub(super) fn carry(&mut self, from: NodeId, message: &[u8]) {
        self.send(from, message, 0);
        self.post(from ^ 1, message);
    }

    /// The run is over: the texts of what was found.
    pub(super) fn finish(mut self) -> Vec<String> {
        let now = self.now();
        self.watcher.end(now, &mut self.found);
        self.found.iter().map(Finding::to_string).collect()
    }
}
