// SPDX-License-Identifier: MPL-2.0
//! Made-up records for tests: any event that can be recorded.
#![allow(missing_docs, reason = "for tests")]

use super::{
    ConnectionEnd, Cut, Event, EventKind, LuAccess, LuOperation, NodeId, Record, RecordBuf,
};
use crate::message::{Body, Dialect, EchoRequest, Message, ScsiData};
use crate::status::Step;
use crate::time::Time;
use proptest::collection::vec;
use proptest::prelude::*;

/// The bytes of a message with data that [`vec`] made.
pub fn message() -> impl Strategy<Value = Vec<u8>> {
    let data = vec(any::<u8>(), 1..60);
    (data, any::<bool>(), 1..9u64).prop_map(|(data, scsi, task_msgid)| {
        let body = match scsi {
            true => Body::ScsiData(ScsiData {
                task_msgid,
                session_id: task_msgid / 3,
                lun_id: [6; 16],
                data,
            }),
            false => Body::EchoRequest(EchoRequest { data }),
        };
        let message = Message { msgid: 0, body };
        message.encode(Dialect::Current).unwrap_or_default()
    })
}

/// What the fields of events are made of.
#[derive(Clone, Debug)]
pub struct Ingredients {
    pub number: u64,
    pub small: u8,
    pub word: u32,
    pub outcome: Result<u32, i32>,
    pub eight: [u8; 8],
    pub sixteen: [u8; 16],
    pub short: Vec<u8>,
    pub bulk: Vec<u8>,
    pub text: String,
}

/// Ingredients of any event.
pub fn ingredients() -> impl Strategy<Value = Ingredients> {
    let bulk = prop_oneof![vec(any::<u8>(), 0..40), message()];
    (
        prop_oneof![any::<u64>(), 0..9u64],
        0..5u8,
        any::<u32>(),
        prop_oneof![any::<u32>().prop_map(Ok), any::<i32>().prop_map(Err)],
        any::<[u8; 8]>(),
        any::<[u8; 16]>(),
        vec(any::<u8>(), 0..20),
        bulk,
        ".{0,12}",
    )
        .prop_map(
            |(number, small, word, outcome, eight, sixteen, short, bulk, text)| Ingredients {
                number,
                small,
                word,
                outcome,
                eight,
                sixteen,
                short,
                bulk,
                text,
            },
        )
}

/// The event of a kind from ingredients; numbers past the last kind make unknown ones.
pub fn event(kind: u8, from: &Ingredients) -> Event<'_> {
    let Ingredients {
        number,
        small,
        word,
        outcome: result,
        eight: lun,
        sixteen: lu,
        ..
    } = *from;
    let (short, bulk, text) = (&*from.short, &*from.bulk, &*from.text);
    let Some(kind) = EventKind::from_number(kind) else {
        return Event::Other {
            kind,
            number,
            fields: short,
            bulk,
        };
    };
    let flag = small % 2 == 0;
    let outcome = result.map(|_| ());
    let step = Step::ALL[usize::from(small)];
    let (initiator, connection, tag, session) = (word, word, number, number ^ 1);
    match kind {
        EventKind::Upcall => Event::Upcall {
            call: number,
            attempt: small,
            lock_held: flag,
            message: bulk,
        },
        EventKind::UpcallDone => Event::UpcallDone {
            call: number,
            outcome: result,
        },
        EventKind::Post => Event::Post {
            post: number,
            message: bulk,
        },
        EventKind::PostDone => Event::PostDone {
            post: number,
            outcome,
        },
        EventKind::KernelLog => Event::KernelLog(text),
        EventKind::Panic => Event::Panic {
            trap: small,
            reason: text,
        },
        EventKind::RelayLog => Event::RelayLog(text),
        EventKind::RelayStarted => Event::RelayStarted,
        EventKind::RelayEnded => Event::RelayEnded,
        EventKind::Boot => Event::Boot { boot: number },
        EventKind::PowerOff => Event::PowerOff,
        EventKind::AluaState => Event::AluaState {
            enabled: flag,
            number: word,
            outcome,
        },
        EventKind::LuAccess => Event::LuAccess {
            lu,
            access: [LuAccess::Standby, LuAccess::Active, LuAccess::Gone][usize::from(small % 3)],
        },
        EventKind::Connect => Event::Connect { connection },
        EventKind::Connected => Event::Connected { connection },
        EventKind::Disconnected => Event::Disconnected {
            connection,
            end: [ConnectionEnd::Closed, ConnectionEnd::NoAnswer][usize::from(small % 2)],
        },
        EventKind::Sent => Event::Sent {
            connection,
            bytes: bulk,
        },
        EventKind::Received => Event::Received {
            connection,
            bytes: bulk,
        },
        EventKind::SessionOpened => Event::SessionOpened {
            initiator,
            session,
            port: short,
            name: &from.eight,
        },
        EventKind::SessionClosed => Event::SessionClosed { initiator, session },
        EventKind::Command => Event::Command {
            initiator,
            tag,
            session,
            lun,
            flags: small,
            expected: word,
            cdb: short,
            data: bulk,
        },
        EventKind::CommandDone => Event::CommandDone {
            initiator,
            tag,
            status: small,
            residual_flags: small / 2,
            residual: word,
            sense: short,
            data: bulk,
        },
        EventKind::Management => Event::Management {
            initiator,
            tag,
            session,
            lun,
            function: small,
        },
        EventKind::ManagementDone => Event::ManagementDone {
            initiator,
            tag,
            status: small,
        },
        EventKind::Aborted => Event::Aborted { initiator, tag },
        EventKind::TimedOut => Event::TimedOut { initiator, tag },
        EventKind::Fault => Event::Fault(text),
        EventKind::Step => Event::Step(text),
        EventKind::Call => Event::Call { call: number, step },
        EventKind::CallDone => Event::CallDone {
            call: number,
            step,
            outcome,
        },
        EventKind::Unreferenced => Event::Unreferenced,
        EventKind::Lost => Event::Lost { events: number },
        EventKind::PortAdded => Event::PortAdded {
            port: short,
            alua: flag,
            buffer_size: word,
        },
        EventKind::PortRemoved => Event::PortRemoved { port: short },
        EventKind::LuOperation => Event::LuOperation {
            lu,
            operation: [
                LuOperation::Create,
                LuOperation::ImportStandby,
                LuOperation::Import,
                LuOperation::MakeStandby,
                LuOperation::Delete,
            ][usize::from(small)],
            outcome,
        },
        EventKind::Choices => Event::Choices(bulk),
        EventKind::Operation => Event::Operation {
            operation: number,
            steps: session,
            ended: tag,
            text,
            data: bulk,
        },
    }
}

/// Any record.
pub fn record() -> impl Strategy<Value = RecordBuf> {
    let kind = 0..EventKind::ALL.len() as u8 + 2;
    let node = proptest::option::of(0..3 as NodeId);
    let place = (any::<u32>(), any::<u32>(), node);
    let hash = proptest::option::of(any::<u64>());
    let cut = proptest::option::of((any::<u32>(), 1..99u32, any::<bool>(), any::<[u8; 16]>()));
    (kind, place, hash, cut, ingredients()).prop_map(|(kind, place, hash, cut, from)| {
        let (sequence, time, node) = place;
        let event = event(kind, &from);
        let cut = cut.map(|(offset, length, words, digest)| Cut {
            offset: offset % (event.bulk().len() as u32 + 1),
            length,
            words,
            digest: words.then_some(digest),
        });
        RecordBuf::from(&Record {
            sequence: sequence.into(),
            time: Time::from_nanos(time.into()),
            node,
            hash,
            cut,
            event,
        })
    })
}

/// Records as a recorder numbers them: from 1, time going on.
pub fn records(most: usize) -> impl Strategy<Value = Vec<RecordBuf>> {
    vec(record(), 0..most).prop_map(|records| {
        let mut time = Time::ZERO;
        let numbered = records.iter().enumerate().map(|(index, record)| {
            let record = record.get();
            time = time + std::time::Duration::from_nanos(record.time.as_nanos());
            RecordBuf::from(&Record {
                sequence: index as u64 + 1,
                time,
                ..record
            })
        });
        numbered.collect()
    })
}
