// SPDX-License-Identifier: MPL-2.0
//! Sound messages about few things, so that they are about the same ones again and again: a
//! handful of ports, initiators, sessions, tasks and LUs.

use super::input::Input;
use stmf_proxy::message::{
    Body, DeregisterProxyPort, DeviceId, Dialect, EchoReply, EchoRequest, LunMessage, Message,
    ReadyToTransfer, RegisterProxyPort, ScsiCommand, ScsiData, ScsiDataTransferDone, ScsiStatus,
    SessionMessage, Status,
};

/// Names of ports.
pub const PORTS: u8 = 3;

/// The name of a port as an iSCSI name.
pub fn device(kind: &str, number: u8) -> DeviceId {
    DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 8,
        ident: format!("iqn.2010-08.org.illumos:{kind}{number}").into_bytes(),
    }
}

/// The transport id of an iSCSI initiator, padded with this much more than is needed.
pub fn transport_id(number: u8, more: u8) -> Vec<u8> {
    let name = device("i", number).ident;
    let length = (name.len() + 1 + usize::from(more) * 4).next_multiple_of(4);
    let mut id = vec![5, 0, 0, length as u8];
    id.extend_from_slice(&name);
    id.resize(4 + length, 0);
    id
}

/// The id of a LU; number 0 has none, as task management.
pub fn lu(number: u8) -> [u8; 16] {
    match number {
        0 => [0; 16],
        number => {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&[0x60, 0x01, 0x44, 0xf0]);
            id[15] = number;
            id
        }
    }
}

/// A number that is small, unless the input has it otherwise.
fn number(input: &mut Input<'_>, bound: u8) -> u64 {
    match input.byte() {
        0xff => input.long(),
        byte => u64::from(byte % bound),
    }
}

/// The same from 1, as sessions are counted.
fn from_one(input: &mut Input<'_>, bound: u8) -> u64 {
    number(input, bound).wrapping_add(1)
}

fn session(input: &mut Input<'_>, number: u64) -> SessionMessage {
    // A session is of one nexus, unless the input has it otherwise.
    let odd = input.byte();
    let initiator = if odd & 0x80 == 0 {
        number as u8 & 1
    } else {
        odd & 3
    };
    let target = if odd & 0x40 == 0 {
        (number as u8 >> 1) & 1
    } else {
        (odd >> 2) & 3
    };
    let more = if odd & 0x20 == 0 { 0 } else { odd & 1 };
    SessionMessage {
        ini_devid: device("i", initiator),
        tgt_devid: device("t", target % PORTS),
        rport: Some(transport_id(initiator, more)),
        session_id: number,
    }
}

/// CDBs of which most do something.
pub fn cdb(input: &mut Input<'_>) -> Vec<u8> {
    let (block, blocks) = (input.byte(), input.byte());
    match input.byte() % 20 {
        0 => Vec::new(),
        1 => vec![0; 6],
        2 => vec![0x12, block & 1, blocks, 0, 0xff, 0],
        3 => vec![0x28, 0, 0, 0, 0, block, 0, 0, blocks & 3, 0],
        4 => vec![0x2a, 0, 0, 0, 0, block, 0, 0, blocks & 3, 0],
        5 => vec![0x28, 0, 0, 0, 0, block, 0, blocks & 3, blocks, 0],
        6 => vec![0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        7 => [&[0x9e, 0x10][..], &[0; 11], &[32, 0, 0]].concat(),
        8 => [&[0xa0, 0][..], &[0; 6], &[0, 0, 1, 0, 0, 0]].concat(),
        9 => vec![0x1a, 0, 0x3f, 0, 0xff, 0],
        10 => vec![0x16, 0, 0, 0, 0, 0],
        11 => vec![0x17, 0, 0, 0, 0, 0],
        12 => vec![0x5e, block & 3, 0, 0, 0, 0, 0, 1, 0, 0],
        13 => vec![0x5f, block & 7, blocks & 7, 0, 0, 0, 0, 0, 24, 0],
        14 => vec![0x03, 0, 0, 0, 18, 0],
        15 => vec![0x2f, 0, 0, 0, 0, block, 0, 0, blocks & 3, 0],
        16 => vec![0x41, 0, 0, 0, 0, block, 0, 0, blocks & 3, 0],
        17 => vec![0x35; 10],
        18 => [&[0xa3, 0x0a][..], &[0; 6], &[0, 0, 1, 0, 0, 0]].concat(),
        _ => input.bytes(usize::from(block & 31)).to_vec(),
    }
}

fn lun_message(input: &mut Input<'_>) -> LunMessage {
    let number = input.below(4);
    LunMessage {
        lun_id: lu(number),
        lu_provider_name: match input.byte() {
            0xff => b"other".to_vec(),
            _ => b"sbd".to_vec(),
        },
        cb_arg: format!("lu-{number}\0").into_bytes(),
    }
}

fn command(input: &mut Input<'_>) -> ScsiCommand {
    let session_id = from_one(input, 6);
    let task_msgid = number(input, 8);
    let session = session(input, session_id);
    let task_cdb = cdb(input);
    let management = if input.rarely() { input.below(10) } else { 0 };
    let immed_data = match input.byte() {
        0..=0x7f => Vec::new(),
        length => vec![length; usize::from(length & 0x7f) * 16],
    };
    let task_flags = match input.byte() {
        0..=0x7f if immed_data.is_empty() => 0x41,
        0..=0x7f => 0xa1,
        flags => flags,
    };
    let lun = input.below(4);
    ScsiCommand {
        task_msgid,
        ini_devid: session.ini_devid,
        tgt_devid: session.tgt_devid,
        rport: session.rport,
        lun_id: lu(if management == 0 { lun } else { 0 }),
        session_id,
        task_lun_no: [0, lun % 3, 0, 0, 0, 0, 0, 0],
        task_expected_xfer_length: match input.byte() {
            0xff => input.long() as u32,
            blocks => u32::from(blocks) * 128,
        },
        task_cdb,
        task_flags,
        task_priority: 0,
        task_mgmt_function: management,
        immed_data,
    }
}

/// A message.
pub fn message(input: &mut Input<'_>) -> Message {
    let kind = input.below(20);
    let msgid = number(input, 8);
    let body = match kind {
        0 => Body::RegisterProxyPort(RegisterProxyPort {
            port_id: port(input),
            relative_port_id: 256 + u16::from(input.below(3)),
            cb_arg: Vec::new(),
        }),
        1 => Body::DeregisterProxyPort(DeregisterProxyPort {
            port_id: port(input),
            cb_arg: Vec::new(),
        }),
        2 => Body::RegisterLun(lun_message(input)),
        3 => Body::DeregisterLun(lun_message(input)),
        4 => Body::LunActive(lun_message(input)),
        5 => Body::ScsiData(ScsiData {
            task_msgid: number(input, 8),
            session_id: from_one(input, 6),
            lun_id: lu(input.below(4)),
            data: vec![input.byte(); 1 + usize::from(input.byte()) * 16],
        }),
        6 | 7 => Body::ScsiDataTransferDone(ScsiDataTransferDone {
            task_msgid: number(input, 8),
            session_id: number(input, 6),
            status: if input.rarely() { 1 } else { 0 },
        }),
        8 => Body::ScsiStatus(ScsiStatus {
            task_msgid: number(input, 8),
            session_id: from_one(input, 6),
            lun_id: lu(input.below(4)),
            response: 0,
            status: if input.rarely() { 2 } else { 0 },
            flags: input.below(4),
            resid: input.short().into(),
            sense: vec![0x70; usize::from(input.below(24))],
        }),
        9 => Body::ReadyToTransfer(ReadyToTransfer {
            task_msgid: number(input, 8),
            session_id: from_one(input, 6),
            offset: 0,
            length: 512,
        }),
        10 => Body::Status(Status {
            status_msg_type: input.below(16),
            status_msgid: number(input, 8),
            status: 0,
        }),
        11 => {
            let id = from_one(input, 6);
            Body::SessionCreate(session(input, id))
        }
        12 => {
            let id = from_one(input, 6);
            Body::SessionDestroy(session(input, id))
        }
        13 => Body::EchoRequest(EchoRequest {
            data: vec![1; usize::from(input.byte())],
        }),
        14 => Body::EchoReply(EchoReply {
            data: vec![1; usize::from(input.byte())],
        }),
        _ => Body::ScsiCommand(command(input)),
    };
    Message { msgid, body }
}

fn port(input: &mut Input<'_>) -> DeviceId {
    let mut id = device("t", input.below(PORTS));
    if input.rarely() {
        id.code_set = input.below(4);
    }
    id
}

/// The bytes of a message, damaged if the input has it so.
pub fn wire(input: &mut Input<'_>, dialect: Dialect) -> Vec<u8> {
    let mut wire = message(input).encode(dialect).unwrap_or_default();
    if !input.rarely() {
        return wire;
    }
    for _ in 0..=input.below(3) {
        let (place, value) = (usize::from(input.short()), input.byte());
        if wire.is_empty() {
            break;
        }
        let place = place % wire.len();
        let word = place & !3;
        let end = (word + 4 * usize::from(value & 31)).min(wire.len());
        match input.below(5) {
            0 => wire[place] = value,
            1 => wire[place] ^= 1 << (value & 7),
            2 => drop(wire.drain(word..end)),
            3 => wire.extend_from_within(word..end),
            _ => wire.truncate(place),
        }
    }
    wire
}

/// The registration of a port.
pub fn registration(port: u8, dialect: Dialect) -> Vec<u8> {
    let body = Body::RegisterProxyPort(RegisterProxyPort {
        port_id: device("t", port),
        relative_port_id: 256 + u16::from(port),
        cb_arg: Vec::new(),
    });
    let message = Message { msgid: 1, body };
    message.encode(dialect).unwrap_or_default()
}
