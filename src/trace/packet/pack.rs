// SPDX-License-Identifier: MPL-2.0
//! From a record to bytes.

use super::{
    FORMAT_VERSION, GAP_LENGTH, HEADER_LENGTH, MAX_SHORT, NO_MESSAGE_TYPE, NO_NODE, flags,
};
use crate::message::{Subject, peek};
use crate::status::Step;
use crate::trace::snap::Kept;
use crate::trace::{Event, Record};

/// Appends a record in packed form, with what is kept of its bulk.
pub(in crate::trace) fn pack(record: &Record<'_>, kept: &Kept<'_>, out: &mut Vec<u8>) {
    let event = &record.event;
    let start = out.len();
    out.resize(start + HEADER_LENGTH, 0);
    let mut flag_bits = 0;
    if let Some(cut) = kept.cut {
        flag_bits |= flags::GAP;
        flag_bits |= if cut.words { flags::GAP_WORDS } else { 0 };
        flag_bits |= cut.digest.map_or(0, |_| flags::DIGEST);
        out.extend_from_slice(&cut.offset.to_be_bytes());
        out.extend_from_slice(&cut.length.to_be_bytes());
        out.extend_from_slice(&cut.digest.unwrap_or_default());
    }
    let header_length = (out.len() - start) as u16;
    let fields_start = out.len();
    let Told { number, outcome } = pack_fields(event, &mut Fields(out));
    let fields_length = (out.len() - fields_start) as u32;
    out.extend_from_slice(kept.before);
    out.extend_from_slice(kept.after);

    let hints = Hints::of(event);
    flag_bits |= match outcome {
        None => 0,
        Some(Ok(_)) => flags::OUTCOME,
        Some(Err(_)) => flags::OUTCOME | flags::ERRNO,
    };
    flag_bits |= if hints.lane == 0 { 0 } else { flags::LANE };
    flag_bits |= record.hash.map_or(0, |_| flags::HASH);
    flag_bits |= event.trouble().map_or(0, |_| flags::TROUBLE);
    let outcome = outcome.map_or(0, |outcome| match outcome {
        Ok(result) => result,
        Err(errno) => errno.cast_unsigned(),
    });
    let Some(header) = out
        .get_mut(start..)
        .and_then(|packet| packet.first_chunk_mut::<HEADER_LENGTH>())
    else {
        return;
    };
    header[0] = FORMAT_VERSION;
    header[1] = event.kind_number();
    header[2] = record.node.unwrap_or(NO_NODE);
    header[3] = flag_bits;
    header[4..6].copy_from_slice(&header_length.to_be_bytes());
    header[6] = hints.message_type;
    header[8..12].copy_from_slice(&fields_length.to_be_bytes());
    header[12..16].copy_from_slice(&outcome.to_be_bytes());
    header[16..24].copy_from_slice(&record.sequence.to_be_bytes());
    header[24..32].copy_from_slice(&number.to_be_bytes());
    let original = u32::try_from(record.original_length()).unwrap_or(u32::MAX);
    header[32..36].copy_from_slice(&original.to_be_bytes());
    header[36..40].copy_from_slice(&hints.lane.to_be_bytes());
    header[40..48].copy_from_slice(&hints.session.to_be_bytes());
    header[48..56].copy_from_slice(&hints.task.to_be_bytes());
    header[56..64].copy_from_slice(&record.hash.unwrap_or_default().to_be_bytes());
}

/// Writes another sequence number into a packed record.
pub(in crate::trace) fn renumber(packet: &mut [u8], sequence: u64) {
    if let Some(bytes) = packet.get_mut(16..24) {
        bytes.copy_from_slice(&sequence.to_be_bytes());
    }
}

/// The most bytes that the packed record of an event takes.
pub(in crate::trace) fn size_bound(event: &Event<'_>) -> usize {
    let named = match *event {
        Event::SessionOpened { port, name, .. } => port.len() + name.len(),
        Event::Command { cdb, .. } => cdb.len(),
        Event::CommandDone { sense, .. } => sense.len(),
        Event::PortAdded { port, .. } | Event::PortRemoved { port } => port.len(),
        Event::Operation { text, .. } => text.len(),
        Event::Other { fields, .. } => fields.len(),
        _ => 0,
    };
    HEADER_LENGTH + GAP_LENGTH + MOST_FIXED_FIELDS + named + event.bulk().len()
}

/// What of an event stands in the header.
struct Told {
    number: u64,
    outcome: Option<Result<u32, i32>>,
}

/// What the header tells of a message, for those who filter without decoding it.
struct Hints {
    message_type: u8,
    lane: u32,
    session: u64,
    task: u64,
}

impl Hints {
    fn of(event: &Event<'_>) -> Hints {
        let mut hints = Hints {
            message_type: NO_MESSAGE_TYPE,
            lane: 0,
            session: 0,
            task: 0,
        };
        let Some(peeked) = event.message().and_then(peek) else {
            return hints;
        };
        hints.message_type = peeked.message_type.number();
        hints.lane = match &peeked.subject {
            Subject::Port(name) => lane(b'P', &name.to_vec()),
            Subject::Lun(lu) => lane(b'L', lu),
            Subject::Session { session_id, .. } | Subject::Task { session_id, .. } => {
                lane(b'S', &session_id.to_be_bytes())
            }
            Subject::Answer {
                message_type,
                msgid,
            } => {
                let [a, b, c, d, e, f, g, h] = msgid.to_be_bytes();
                lane(b'A', &[*message_type, a, b, c, d, e, f, g, h])
            }
            Subject::Nothing => 0,
        };
        match peeked.subject {
            Subject::Session { session_id, .. } => hints.session = session_id,
            Subject::Task {
                session_id,
                task_msgid,
                ..
            } => (hints.session, hints.task) = (session_id, task_msgid),
            _ => {}
        }
        hints
    }
}

/// The number of a lane: 32-bit FNV-1a over a letter for the kind of object and its name; never
/// 0.
pub(super) fn lane(kind: u8, name: &[u8]) -> u32 {
    let bytes = std::iter::once(&kind).chain(name);
    let hash = bytes.fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}

/// The most bytes that the fields of an event take, but for CDBs, names and sense data: those of
/// a command.
const MOST_FIXED_FIELDS: usize = 4 + 8 + 8 + 1 + 4 + 4;

/// Appends fields.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }
    fn u32(&mut self, value: u32) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }
    fn u64(&mut self, value: u64) -> &mut Self {
        self.fixed(&value.to_be_bytes())
    }
    fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
    /// A length and the bytes. What is longer than can be said is cut.
    fn short(&mut self, bytes: &[u8]) -> &mut Self {
        let bytes = &bytes[..bytes.len().min(MAX_SHORT)];
        self.u32(bytes.len() as u32).fixed(bytes)
    }
}

/// Appends the fields of an event.
fn pack_fields(event: &Event<'_>, out: &mut Fields<'_>) -> Told {
    let done = |number, outcome: Result<(), i32>| Told {
        number,
        outcome: Some(outcome.map(|()| 0)),
    };
    let told = |number| Told {
        number,
        outcome: None,
    };
    match *event {
        Event::Upcall {
            call,
            attempt,
            lock_held,
            ..
        } => {
            out.u8(attempt).u8(lock_held.into());
            told(call)
        }
        Event::UpcallDone { call, outcome } => Told {
            number: call,
            outcome: Some(outcome),
        },
        Event::Post { post, .. } => told(post),
        Event::PostDone { post, outcome } => done(post, outcome),
        Event::Panic { trap, .. } => {
            out.u8(trap);
            told(0)
        }
        Event::KernelLog(_)
        | Event::RelayLog(_)
        | Event::Fault(_)
        | Event::Step(_)
        | Event::Choices(_)
        | Event::RelayStarted
        | Event::RelayEnded
        | Event::PowerOff
        | Event::Unreferenced => told(0),
        Event::Boot { boot } => told(boot),
        Event::Lost { events } => told(events),
        Event::AluaState {
            enabled,
            number,
            outcome,
        } => {
            out.u8(enabled.into()).u32(number);
            done(0, outcome)
        }
        Event::LuAccess { lu, access } => {
            out.fixed(&lu).u8(access as u8);
            told(0)
        }
        Event::LuOperation {
            lu,
            operation,
            outcome,
        } => {
            out.fixed(&lu).u8(operation as u8);
            done(0, outcome)
        }
        Event::Connect { connection }
        | Event::Connected { connection }
        | Event::Sent { connection, .. }
        | Event::Received { connection, .. } => told(connection.into()),
        Event::Disconnected { connection, end } => {
            out.u8(end as u8);
            told(connection.into())
        }
        Event::SessionOpened {
            initiator,
            session,
            port,
            name,
        } => {
            out.u32(initiator).short(port).short(name);
            told(session)
        }
        Event::SessionClosed { initiator, session } => {
            out.u32(initiator);
            told(session)
        }
        Event::Command {
            initiator,
            tag,
            session,
            lun,
            flags,
            expected,
            cdb,
            ..
        } => {
            out.u32(initiator).u64(session).fixed(&lun);
            out.u8(flags).u32(expected).short(cdb);
            told(tag)
        }
        Event::CommandDone {
            initiator,
            tag,
            status,
            residual_flags,
            residual,
            sense,
            ..
        } => {
            out.u32(initiator).u8(status).u8(residual_flags);
            out.u32(residual).short(sense);
            told(tag)
        }
        Event::Management {
            initiator,
            tag,
            session,
            lun,
            function,
        } => {
            out.u32(initiator).u64(session).fixed(&lun).u8(function);
            told(tag)
        }
        Event::ManagementDone {
            initiator,
            tag,
            status,
        } => {
            out.u32(initiator).u8(status);
            told(tag)
        }
        Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
            out.u32(initiator);
            told(tag)
        }
        Event::Call { call, step } => {
            out.u8(step_number(step));
            told(call)
        }
        Event::CallDone {
            call,
            step,
            outcome,
        } => {
            out.u8(step_number(step));
            done(call, outcome)
        }
        Event::PortAdded {
            port,
            alua,
            buffer_size,
        } => {
            out.u8(alua.into()).u32(buffer_size).short(port);
            told(0)
        }
        Event::PortRemoved { port } => {
            out.short(port);
            told(0)
        }
        Event::Operation {
            operation,
            steps,
            ended,
            text,
            ..
        } => {
            out.u64(steps).u64(ended).short(text.as_bytes());
            told(operation)
        }
        Event::Other { number, fields, .. } => {
            out.fixed(fields);
            told(number)
        }
    }
}

/// Numbers of steps are part of the format.
pub(super) fn step_number(step: Step) -> u8 {
    match step {
        Step::CreateDoor => 0,
        Step::OpenProxyService => 1,
        Step::InstallDoor => 2,
        Step::PostMessage => 3,
        Step::CloseProxyService => 4,
        Step::RevokeDoor => 5,
        Step::OpenStmf => 6,
        Step::SetAluaState => 7,
        Step::GetAluaState => 8,
        Step::OpenSbd => 9,
        Step::SetLuStandby => 10,
    }
}
