// SPDX-License-Identifier: MPL-2.0
//! What the recordings do not show: the traps, each on both profiles, and what happens while
//! something else is going on. (Ordinary traffic, one thing after the other, is in the
//! recordings.)

mod concurrent;
mod traps;

use stmf_proxy::message::status::task_flags;
use stmf_proxy::message::{
    Body, DeregisterProxyPort, DeviceId, RegisterProxyPort, ScsiCommand, ScsiDataTransferDone,
    SessionMessage,
};

const TEST_UNIT_READY: [u8; 6] = [0; 6];
const READ_ONE: [u8; 10] = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const WRITE_ONE: [u8; 10] = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];

fn name(ident: &str) -> DeviceId {
    DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 8,
        ident: ident.into(),
    }
}

fn rport(initiator: &str, padded: usize) -> Vec<u8> {
    let mut id = vec![5, 0, 0, padded as u8];
    id.extend_from_slice(initiator.as_bytes());
    id.resize(4 + padded, 0);
    id
}

/// A command as the peer would send it.
#[derive(Clone)]
struct Request {
    target: DeviceId,
    initiator: &'static str,
    session: u64,
    task: u64,
    cdb: Vec<u8>,
    expected: u32,
    flags: u8,
    data: Vec<u8>,
    padded: usize,
}

fn ready(session: u64, task: u64) -> Request {
    Request {
        target: name("t1"),
        initiator: "iqn.x:i1",
        session,
        task,
        cdb: TEST_UNIT_READY.to_vec(),
        expected: 0,
        flags: 0,
        data: vec![],
        padded: 20,
    }
}

fn read(session: u64, task: u64) -> Request {
    Request {
        cdb: READ_ONE.to_vec(),
        expected: 512,
        flags: task_flags::READ_DATA,
        ..ready(session, task)
    }
}

impl Request {
    fn body(&self) -> Body {
        Body::ScsiCommand(ScsiCommand {
            task_msgid: self.task,
            ini_devid: name(self.initiator),
            tgt_devid: self.target.clone(),
            rport: Some(rport(self.initiator, self.padded)),
            lun_id: [6; 16],
            session_id: self.session,
            task_lun_no: [0; 8],
            task_expected_xfer_length: self.expected,
            task_cdb: self.cdb.clone(),
            task_flags: self.flags,
            task_priority: 0,
            task_mgmt_function: 0,
            immed_data: self.data.clone(),
        })
    }
}

fn register(target: &str, code_set: u8) -> Body {
    Body::RegisterProxyPort(RegisterProxyPort {
        port_id: DeviceId {
            code_set,
            ..name(target)
        },
        relative_port_id: 256,
        cb_arg: vec![],
    })
}

fn deregister(target: &str) -> Body {
    let port_id = name(target);
    Body::DeregisterProxyPort(DeregisterProxyPort {
        port_id,
        cb_arg: vec![],
    })
}

fn transfer_done(task: u64, status: u64) -> Body {
    let body = ScsiDataTransferDone {
        task_msgid: task,
        session_id: 1,
        status,
    };
    Body::ScsiDataTransferDone(body)
}

fn destroy(session: u64, initiator: &'static str, target: &str) -> Body {
    Body::SessionDestroy(SessionMessage {
        ini_devid: name(initiator),
        tgt_devid: name(target),
        rport: Some(rport(initiator, 20)),
        session_id: session,
    })
}
