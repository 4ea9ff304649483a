// SPDX-License-Identifier: MPL-2.0
//! A made-up trace for tests: two nodes, an initiator that uses the standby path, and what can go
//! wrong with it. Knows only `stmf_proxy`, so that whole-system tests can include this file.
#![allow(missing_docs, reason = "for tests")]

use std::collections::BTreeMap;
use stmf_proxy::message::{
    Body, DeviceId, Dialect, LunMessage, Message, RegisterProxyPort, ScsiCommand, ScsiData,
    ScsiDataTransferDone, ScsiStatus, Status,
};
use stmf_proxy::time::Time;
use stmf_proxy::trace::{
    ConnectionEnd, Event, LuAccess, NodeId, Origin, Record, Section, Sink, Writer,
};

pub const TASK: u64 = 41;
pub const SESSION: u64 = 0xffff_fe01_7d2a_0b40;
pub const LUN: [u8; 8] = [0, 3, 0, 0, 0, 0, 0, 0];
pub const LU: [u8; 16] = *b"\x60\x01\x44\xF0\0\0\0\0\0\0\0\0\0\0\0\x01";
const TARGET: &[u8] = b"iqn.1986-03.com.sun:02:disks";
const HOST: &[u8] = b"iqn.1986-03.com.sun:01:host";

fn port(ident: &[u8]) -> DeviceId {
    DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 8,
        ident: ident.to_vec(),
    }
}

pub fn encoded(msgid: u64, body: Body) -> Vec<u8> {
    let message = Message { msgid, body };
    message.encode(Dialect::Current).expect("it is encodable")
}

pub fn scsi_cmd(msgid: u64, task: u64, cdb: &[u8], function: u8) -> Vec<u8> {
    let command = ScsiCommand {
        task_msgid: task,
        ini_devid: port(HOST),
        tgt_devid: port(TARGET),
        rport: Some([b"\x05\0\0\x1c", HOST].concat()),
        lun_id: LU,
        session_id: SESSION,
        task_lun_no: LUN,
        task_expected_xfer_length: 4096,
        task_cdb: cdb.to_vec(),
        task_flags: 0x41,
        task_priority: 0,
        task_mgmt_function: function,
        immed_data: Vec::new(),
    };
    encoded(msgid, Body::ScsiCommand(command))
}

pub fn scsi_data(task: u64, data: Vec<u8>) -> Vec<u8> {
    encoded(
        0,
        Body::ScsiData(ScsiData {
            task_msgid: task,
            session_id: SESSION,
            lun_id: LU,
            data,
        }),
    )
}

pub fn scsi_status(task: u64, status: u8, sense: &[u8]) -> Vec<u8> {
    encoded(
        0,
        Body::ScsiStatus(ScsiStatus {
            task_msgid: task,
            session_id: SESSION,
            lun_id: LU,
            response: 0,
            status,
            flags: 0,
            resid: 0,
            sense: sense.to_vec(),
        }),
    )
}

fn done(task: u64) -> Vec<u8> {
    let body = ScsiDataTransferDone {
        task_msgid: task,
        session_id: SESSION,
        status: 0,
    };
    encoded(0, Body::ScsiDataTransferDone(body))
}

fn registration() -> Vec<u8> {
    let body = RegisterProxyPort {
        port_id: port(TARGET),
        relative_port_id: 256,
        cb_arg: Vec::new(),
    };
    encoded(1, Body::RegisterProxyPort(body))
}

fn registered() -> Vec<u8> {
    let body = Status {
        status_msg_type: 0,
        status_msgid: 1,
        status: 0,
    };
    encoded(1, Body::Status(body))
}

fn lun_message() -> LunMessage {
    LunMessage {
        lun_id: LU,
        lu_provider_name: b"sbd".to_vec(),
        cb_arg: Vec::new(),
    }
}

pub const READ: [u8; 10] = [0x28, 0, 0, 0, 1, 0, 0, 0, 8, 0];
pub const READY: [u8; 6] = [0; 6];
const SENSE: &[u8] = &[0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 4, 0x0b, 0, 0, 0, 0];

/// Writes events, each some time after the one before.
pub struct Story<'a> {
    writer: Writer<&'a mut Vec<u8>>,
    sequence: u64,
    nanoseconds: u64,
}

impl<'a> Story<'a> {
    pub fn new(out: &'a mut Vec<u8>, section: Section) -> Story<'a> {
        Story {
            writer: Writer::new(out, section).expect("memory takes it"),
            sequence: 0,
            nanoseconds: 2_000_000_000,
        }
    }

    /// After so many microseconds, on a node (9: on none).
    pub fn tell(&mut self, after: u64, node: NodeId, event: Event<'_>) {
        self.sequence += 1;
        self.nanoseconds += after * 1000;
        let node = Some(node).filter(|node| *node != 9);
        let time = Time::from_nanos(self.nanoseconds);
        let record = Record::new(self.sequence, time, node, event);
        self.writer.record(&record);
    }

    pub fn note(&mut self, node: NodeId, event: Event<'_>, note: &str) {
        self.sequence += 1;
        let time = Time::from_nanos(self.nanoseconds);
        let record = Record::new(self.sequence, time, Some(node), event);
        self.writer.record_with_note(&record, note);
    }

    pub fn upcall(&mut self, after: u64, node: NodeId, call: u64, message: &[u8]) {
        let event = Event::Upcall {
            call,
            attempt: 1,
            lock_held: false,
            message,
        };
        self.tell(after, node, event);
        let outcome = Ok(0);
        self.tell(8, node, Event::UpcallDone { call, outcome });
    }

    pub fn post(&mut self, after: u64, node: NodeId, post: u64, message: &[u8]) {
        self.tell(after, node, Event::Post { post, message });
        let outcome = Ok(());
        self.tell(21, node, Event::PostDone { post, outcome });
    }

    pub fn command(&mut self, after: u64, tag: u64, cdb: &[u8], expected: u32) {
        let event = Event::Command {
            initiator: 0,
            tag,
            session: SESSION,
            lun: LUN,
            flags: 0x41,
            expected,
            cdb,
            data: &[],
        };
        self.tell(after, 0, event);
    }
}

pub fn section() -> Section {
    Section {
        nodes: BTreeMap::from([(0, Some(Dialect::Current)), (1, Some(Dialect::Current))]),
        origin: Origin::Unix(1_767_225_598_500_000_000),
        notes: BTreeMap::from([("kernel".to_owned(), "illumos-a1b2c3".to_owned())]),
        ..Section::new("stmf-proxy 0.1.0")
    }
}

/// The trace.
pub fn trace() -> Vec<u8> {
    let mut out = Vec::new();
    let mut story = Story::new(&mut out, section());
    let initiator = 0;
    story.tell(0, 0, Event::Boot { boot: 1 });
    story.tell(5_000, 0, Event::RelayStarted);
    let enabled = Event::AluaState {
        enabled: true,
        number: 0,
        outcome: Ok(()),
    };
    story.tell(1_000, 0, enabled);
    story.tell(100, 0, Event::Connect { connection: 1 });
    story.tell(400, 0, Event::Connected { connection: 1 });
    story.upcall(90, 0, 1, &registration());
    story.post(70, 1, 1, &registration());
    story.upcall(10, 1, 1, &registered());
    story.post(60, 0, 1, &registered());
    story.upcall(5_000, 1, 2, &encoded(2, Body::RegisterLun(lun_message())));
    let standby = Event::LuAccess {
        lu: LU,
        access: LuAccess::Standby,
    };
    story.tell(800, 0, standby);
    let opened = Event::SessionOpened {
        initiator,
        session: SESSION,
        port: TARGET,
        name: HOST,
    };
    story.tell(200_000, 0, opened);

    // A read through the standby path.
    let data = vec![0x5A; 4096];
    story.command(1_000, 1, &READ, 4096);
    let read = scsi_cmd(2, TASK, &READ, 0);
    story.upcall(15, 0, 2, &read);
    let sent = Event::Sent {
        connection: 1,
        bytes: &[7; 952],
    };
    story.tell(2, 0, sent);
    let received = Event::Received {
        connection: 1,
        bytes: &[7; 952],
    };
    story.tell(180, 1, received);
    story.post(9, 1, 2, &read);
    story.upcall(350, 1, 3, &scsi_data(TASK, data.clone()));
    story.post(220, 0, 2, &scsi_data(TASK, data.clone()));
    story.upcall(30, 0, 3, &done(TASK));
    story.post(190, 1, 3, &done(TASK));
    story.upcall(12, 1, 4, &scsi_status(TASK, 0, &[]));
    story.post(200, 0, 3, &scsi_status(TASK, 0, &[]));
    let finished = Event::CommandDone {
        initiator,
        tag: 1,
        status: 0,
        residual_flags: 0,
        residual: 0,
        sense: &[],
        data: &data,
    };
    story.tell(11, 0, finished);

    // One that is refused there, after the door was busy.
    story.command(10_000, 2, &READY, 0);
    let ready = scsi_cmd(3, TASK + 1, &READY, 0);
    let call = 4;
    for attempt in [1, 2] {
        let event = Event::Upcall {
            call,
            attempt,
            lock_held: attempt == 2,
            message: &ready,
        };
        story.tell(10, 0, event);
        let outcome = if attempt == 1 { Err(11) } else { Ok(0) };
        story.tell(1_000, 0, Event::UpcallDone { call, outcome });
    }
    story.post(200, 1, 4, &ready);
    story.upcall(40, 1, 5, &scsi_status(TASK + 1, 2, SENSE));
    story.post(210, 0, 4, &scsi_status(TASK + 1, 2, SENSE));
    let refused = Event::CommandDone {
        initiator,
        tag: 2,
        status: 2,
        residual_flags: 2,
        residual: 36,
        sense: SENSE,
        data: &[],
    };
    story.tell(9, 0, refused);

    // The link breaks; a command is lost and times out; the other node goes down.
    let ended = Event::Disconnected {
        connection: 1,
        end: ConnectionEnd::Reset,
    };
    story.tell(1_000_000, 0, ended);
    story.command(50_000, 3, &READ, 4096);
    let lost = scsi_cmd(4, TASK + 2, &READ, 0);
    let event = Event::Upcall {
        call: 5,
        attempt: 1,
        lock_held: false,
        message: &lost,
    };
    story.tell(12, 0, event);
    let outcome = Ok(134);
    story.tell(6, 0, Event::UpcallDone { call: 5, outcome });
    story.tell(
        3,
        0,
        Event::KernelLog("pppt: bad result from daemon 134, message lost\x1b[31m"),
    );
    story.tell(75_000_000, 0, Event::TimedOut { initiator, tag: 3 });
    let reset = Event::Management {
        initiator,
        tag: 4,
        session: SESSION,
        lun: LUN,
        function: 5,
    };
    story.tell(100, 0, reset);
    story.upcall(20, 0, 6, &scsi_cmd(5, TASK + 3, &[], 5));
    let damaged = &read[..100];
    let post = 5;
    story.tell(
        2_000,
        1,
        Event::Post {
            post,
            message: damaged,
        },
    );
    let outcome = Err(22);
    story.tell(5, 1, Event::PostDone { post, outcome });
    let panic = Event::Panic {
        trap: 4,
        reason: "a scsi_cmd without an initiator port",
    };
    story.note(1, panic, "the customer's node 1 went down here");
    story.tell(1, 9, Event::Lost { events: 12 });
    drop(story);
    out
}
