// SPDX-License-Identifier: MPL-2.0
//! Promise: what version 1 of the trace format has written stays readable, to the same records,
//! and version 1 is still what is written, byte for byte.
//!
//! `fixtures/trace/version-1.pcapng` has an event of every kind. When a later version of the
//! format is made, this file stays, and the test of what is written moves to a file of its own.
//! `UPDATE_FIXTURES=1 cargo test --test trace_format` writes it anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use stmf_proxy::message::{Body, Dialect, Message, ScsiData};
use stmf_proxy::status::Step;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{
    ConnectionEnd, Event, EventKind, Files, LuAccess, LuOperation, Origin, Reader, Record, Section,
    Sink, Snap, Writer,
};

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/trace/version-1.pcapng")
}

fn message() -> Vec<u8> {
    let body = Body::ScsiData(ScsiData {
        task_msgid: 0x1122,
        session_id: 0x3344,
        lun_id: [0x60; 16],
        data: (0..16).collect(),
    });
    let message = Message { msgid: 0, body };
    message.encode(Dialect::Current).expect("it is encodable")
}

/// One event of every kind, in the order of their numbers.
fn events(message: &[u8]) -> Vec<Event<'_>> {
    let (initiator, tag, session, lun) = (3, 17, 0x3344, [0, 1, 0, 0, 0, 0, 0, 0]);
    let (lu, connection, call) = ([0x60; 16], 5, 2);
    let port = b"iqn.2026-01.example:target";
    vec![
        Event::Upcall {
            call: 1,
            attempt: 2,
            lock_held: true,
            message,
        },
        Event::UpcallDone {
            call: 1,
            outcome: Ok(134),
        },
        Event::Post { post: 1, message },
        Event::PostDone {
            post: 1,
            outcome: Err(12),
        },
        Event::KernelLog("pppt: message lost"),
        Event::Panic {
            trap: 4,
            reason: "no transport id",
        },
        Event::RelayLog("link up"),
        Event::RelayStarted,
        Event::RelayEnded,
        Event::Boot { boot: 2 },
        Event::PowerOff,
        Event::AluaState {
            enabled: true,
            number: 1,
            outcome: Ok(()),
        },
        Event::LuAccess {
            lu,
            access: LuAccess::Active,
        },
        Event::Connect { connection },
        Event::Connected { connection },
        Event::Disconnected {
            connection,
            end: ConnectionEnd::Reset,
        },
        Event::Sent {
            connection,
            bytes: b"to the peer",
        },
        Event::Received {
            connection,
            bytes: b"from the peer",
        },
        Event::SessionOpened {
            initiator,
            session,
            port,
            name: b"iqn.2026-01.example:host",
        },
        Event::SessionClosed { initiator, session },
        Event::Command {
            initiator,
            tag,
            session,
            lun,
            flags: 0xA1,
            expected: 8,
            cdb: &[0x2A, 0, 0, 0, 0, 9, 0, 0, 1, 0],
            data: b"customer",
        },
        Event::CommandDone {
            initiator,
            tag,
            status: 2,
            residual_flags: 2,
            residual: 8,
            sense: &[0x70, 0, 5],
            data: b"data",
        },
        Event::Management {
            initiator,
            tag,
            session,
            lun,
            function: 5,
        },
        Event::ManagementDone {
            initiator,
            tag,
            status: 0,
        },
        Event::Aborted { initiator, tag },
        Event::TimedOut { initiator, tag },
        Event::Fault("the link is cut"),
        Event::Step("copy the disk"),
        Event::Call {
            call,
            step: Step::InstallDoor,
        },
        Event::CallDone {
            call,
            step: Step::InstallDoor,
            outcome: Err(16),
        },
        Event::Unreferenced,
        Event::Lost { events: 9 },
        Event::PortAdded {
            port,
            alua: true,
            buffer_size: 65_536,
        },
        Event::PortRemoved { port },
        Event::LuOperation {
            lu,
            operation: LuOperation::Import,
            outcome: Ok(()),
        },
        Event::Choices(&[1, 2, 3]),
        Event::Operation {
            operation: 4,
            steps: 9,
            ended: 2,
            text: "{\"break\":{\"one\":0,\"other\":1}}",
            data: b"data",
        },
    ]
}

fn records<'a>(events: &[Event<'a>]) -> Vec<Record<'a>> {
    let record = |(index, event): (usize, &Event<'a>)| {
        let number = index as u64 + 1;
        Record {
            hash: (index % 2 == 0).then_some(number << 32),
            ..Record::new(
                number,
                Time::from_nanos(number * 1_000_001),
                [Some(0), Some(1), None][index % 3],
                *event,
            )
        }
    };
    events.iter().enumerate().map(record).collect()
}

fn section(snap: Snap) -> Section {
    Section {
        recorder: "stmf-proxy 0.1.0".to_owned(),
        nodes: BTreeMap::from([(0, Some(Dialect::Current)), (1, Some(Dialect::Y2009))]),
        origin: Origin::Unix(1_767_225_600_000_000_000),
        seed: Some(7),
        scenario: Some("every kind of event".to_owned()),
        snap,
        notes: BTreeMap::from([("disk".to_owned(), "none".to_owned())]),
        ..Section::default()
    }
}

/// Two sections: everything, and with digests in place of the data.
fn written() -> Vec<u8> {
    let message = message();
    let events = events(&message);
    let mut bytes = Vec::new();
    for snap in [Snap::ALL, Snap::DIGEST] {
        let mut writer = Writer::new(&mut bytes, section(snap)).expect("memory takes it");
        records(&events).iter().for_each(|each| writer.record(each));
        writer.finish().expect("memory takes it");
    }
    bytes
}

#[test]
fn version_1_is_written_byte_for_byte() {
    let bytes = written();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(fixture(), &bytes).expect("the fixture can be written");
    }
    let stored = std::fs::read(fixture()).expect("the fixture is there");
    let differ = stored.iter().zip(&bytes).position(|(a, b)| a != b);
    assert_eq!(differ, None, "the first byte that differs");
    assert_eq!(stored.len(), bytes.len());
}

#[test]
fn version_1_stays_readable() {
    let message = message();
    let events = events(&message);
    assert_eq!(events.len(), EventKind::ALL.len(), "every kind is there");
    let expected = records(&events);
    let mut reader = Reader::open(fixture()).expect("it begins as a trace");
    assert_eq!(*reader.section(), section(Snap::ALL));
    for record in &expected {
        let entry = reader.next_entry().expect("whole").expect("another record");
        assert_eq!(entry.record, *record);
        let trouble = record.event.trouble().map(|trouble| trouble.to_string());
        assert_eq!(entry.comment.map(str::to_owned), trouble);
    }
    for record in &expected {
        let entry = reader.next_entry().expect("whole").expect("another record");
        assert_eq!(entry.record.original_length(), record.original_length());
        let has_data = matches!(
            record.event,
            Event::Upcall { .. }
                | Event::Post { .. }
                | Event::Sent { .. }
                | Event::Received { .. }
                | Event::Command { .. }
                | Event::CommandDone { .. }
                | Event::Operation { .. }
        );
        assert_eq!(entry.record.cut.is_some(), has_data);
        if !has_data {
            assert_eq!(entry.record, *record);
        }
    }
    assert_eq!(*reader.section(), section(Snap::DIGEST));
    assert!(reader.next_entry().expect("the end").is_none());
    assert_eq!(reader.notices(), []);
    let files = Files::open(fixture()).expect("a file is a trace too");
    assert_eq!(files.count(), 2 * expected.len());
}
