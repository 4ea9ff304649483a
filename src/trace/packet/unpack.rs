// SPDX-License-Identifier: MPL-2.0
//! From bytes to a record. Nothing here panics or allocates, whatever the bytes are.

use super::{FORMAT_VERSION, NO_NODE, PacketError, flags};
use crate::status::Step;
use crate::time::Time;
use crate::trace::{ConnectionEnd, Cut, Event, EventKind, LuAccess, LuOperation, Record};

/// Reads big-endian values from the front of bytes.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    left: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, needed: usize) -> Result<&'a [u8], PacketError> {
        let Some((taken, left)) = self.left.split_at_checked(needed) else {
            return Err(PacketError::Short {
                what: self.what,
                needed,
                left: self.left.len(),
            });
        };
        self.left = left;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let taken = self.take(N)?;
        Ok(taken.first_chunk().copied().unwrap_or([0; N]))
    }
    fn u8(&mut self) -> Result<u8, PacketError> {
        Ok(u8::from_be_bytes(self.array()?))
    }
    fn u16(&mut self) -> Result<u16, PacketError> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    fn u32(&mut self) -> Result<u32, PacketError> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    fn u64(&mut self) -> Result<u64, PacketError> {
        Ok(u64::from_be_bytes(self.array()?))
    }
    fn short(&mut self) -> Result<&'a [u8], PacketError> {
        let length = self.u32()? as usize;
        self.take(length)
    }
    fn flag(&mut self, field: &'static str) -> Result<bool, PacketError> {
        self.one_of(field, &[false, true])
    }
    /// The value with the number that comes next.
    fn one_of<T: Copy>(&mut self, field: &'static str, all: &[T]) -> Result<T, PacketError> {
        let found = self.u8()?;
        let value = all.get(usize::from(found)).copied();
        value.ok_or(PacketError::Value {
            field,
            found: found.into(),
        })
    }
}

/// The record in a packet's data. Bytes of the header and of the fields that this version does
/// not know are passed over.
pub(in crate::trace) fn unpack(packet: &[u8], time: Time) -> Result<Record<'_>, PacketError> {
    let mut header = Cursor {
        left: packet,
        what: "the header of a record",
    };
    let found = header.u8()?;
    if found > FORMAT_VERSION {
        return Err(PacketError::FutureVersion { found });
    }
    if found == 0 {
        return Err(PacketError::Value {
            field: "the format version",
            found: 0,
        });
    }
    let kind = header.u8()?;
    let node = Some(header.u8()?).filter(|node| *node != NO_NODE);
    let flag_bits = header.u8()?;
    let header_length = usize::from(header.u16()?);
    header.take(2)?;
    let fields_length = header.u32()? as usize;
    let outcome = header.u32()?;
    let outcome = match flag_bits & flags::ERRNO {
        0 => Ok(outcome),
        _ => Err(outcome.cast_signed()),
    };
    let sequence = header.u64()?;
    let number = header.u64()?;
    // The original length and what is known of the message: for those who do not decode it.
    header.take(4 + 4 + 8 + 8)?;
    let hash = Some(header.u64()?).filter(|_| flag_bits & flags::HASH != 0);
    let cut = match flag_bits & flags::GAP {
        0 => None,
        _ => Some(Cut {
            offset: header.u32()?,
            length: header.u32()?,
            words: flag_bits & flags::GAP_WORDS != 0,
            digest: Some(header.array()?).filter(|_| flag_bits & flags::DIGEST != 0),
        }),
    };
    let read = packet.len() - header.left.len();
    let rest = header_length.checked_sub(read).ok_or(PacketError::Value {
        field: "the length of the header",
        found: header_length as u32,
    })?;
    header.take(rest)?;
    let mut fields = Cursor {
        left: header.take(fields_length)?,
        what: "the fields of an event",
    };
    let bulk = header.left;
    if let Some(cut) = cut
        && cut.offset as usize > bulk.len()
    {
        return Err(PacketError::Value {
            field: "the offset of a gap",
            found: cut.offset,
        });
    }
    let event = match EventKind::from_number(kind) {
        Some(kind) => unpack_event(kind, number, outcome, &mut fields, bulk)?,
        None => Event::Other {
            kind,
            number,
            fields: fields.left,
            bulk,
        },
    };
    Ok(Record {
        sequence,
        time,
        node,
        hash,
        cut,
        event,
    })
}

fn text(bytes: &[u8]) -> Result<&str, PacketError> {
    std::str::from_utf8(bytes).map_err(|error| PacketError::Text {
        valid_up_to: error.valid_up_to(),
    })
}

fn unpack_event<'a>(
    kind: EventKind,
    number: u64,
    result: Result<u32, i32>,
    fields: &mut Cursor<'a>,
    bulk: &'a [u8],
) -> Result<Event<'a>, PacketError> {
    let outcome = result.map(|_| ());
    let connection = number as u32;
    Ok(match kind {
        EventKind::Upcall => Event::Upcall {
            call: number,
            attempt: fields.u8()?,
            lock_held: fields.flag("whether the lock is held")?,
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
        EventKind::KernelLog => Event::KernelLog(text(bulk)?),
        EventKind::Panic => Event::Panic {
            trap: fields.u8()?,
            reason: text(bulk)?,
        },
        EventKind::RelayLog => Event::RelayLog(text(bulk)?),
        EventKind::RelayStarted => Event::RelayStarted,
        EventKind::RelayEnded => Event::RelayEnded,
        EventKind::Boot => Event::Boot { boot: number },
        EventKind::PowerOff => Event::PowerOff,
        EventKind::AluaState => Event::AluaState {
            enabled: fields.flag("whether ALUA is on")?,
            number: fields.u32()?,
            outcome,
        },
        EventKind::LuAccess => Event::LuAccess {
            lu: fields.array()?,
            access: fields.one_of("an access state", &LU_ACCESS)?,
        },
        EventKind::Connect => Event::Connect { connection },
        EventKind::Connected => Event::Connected { connection },
        EventKind::Disconnected => Event::Disconnected {
            connection,
            end: fields.one_of("the end of a connection", &CONNECTION_ENDS)?,
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
            initiator: fields.u32()?,
            session: number,
            port: fields.short()?,
            name: fields.short()?,
        },
        EventKind::SessionClosed => Event::SessionClosed {
            initiator: fields.u32()?,
            session: number,
        },
        EventKind::Command => Event::Command {
            initiator: fields.u32()?,
            tag: number,
            session: fields.u64()?,
            lun: fields.array()?,
            flags: fields.u8()?,
            expected: fields.u32()?,
            cdb: fields.short()?,
            data: bulk,
        },
        EventKind::CommandDone => Event::CommandDone {
            initiator: fields.u32()?,
            tag: number,
            status: fields.u8()?,
            residual_flags: fields.u8()?,
            residual: fields.u32()?,
            sense: fields.short()?,
            data: bulk,
        },
        EventKind::Management => Event::Management {
            initiator: fields.u32()?,
            tag: number,
            session: fields.u64()?,
            lun: fields.array()?,
            function: fields.u8()?,
        },
        EventKind::ManagementDone => Event::ManagementDone {
            initiator: fields.u32()?,
            tag: number,
            status: fields.u8()?,
        },
        EventKind::Aborted => Event::Aborted {
            initiator: fields.u32()?,
            tag: number,
        },
        EventKind::TimedOut => Event::TimedOut {
            initiator: fields.u32()?,
            tag: number,
        },
        EventKind::Fault => Event::Fault(text(bulk)?),
        EventKind::Step => Event::Step(text(bulk)?),
        EventKind::Call => Event::Call {
            call: number,
            step: fields.one_of("a step of the door API", &Step::ALL)?,
        },
        EventKind::CallDone => Event::CallDone {
            call: number,
            step: fields.one_of("a step of the door API", &Step::ALL)?,
            outcome,
        },
        EventKind::Unreferenced => Event::Unreferenced,
        EventKind::Lost => Event::Lost { events: number },
        EventKind::PortAdded => Event::PortAdded {
            alua: fields.flag("whether a port takes part in ALUA")?,
            buffer_size: fields.u32()?,
            port: fields.short()?,
        },
        EventKind::PortRemoved => Event::PortRemoved {
            port: fields.short()?,
        },
        EventKind::LuOperation => Event::LuOperation {
            lu: fields.array()?,
            operation: fields.one_of("an operation on a LU", &LU_OPERATIONS)?,
            outcome,
        },
        EventKind::Choices => Event::Choices(bulk),
        EventKind::Operation => Event::Operation {
            operation: number,
            steps: fields.u64()?,
            ended: fields.u64()?,
            text: text(fields.short()?)?,
            data: bulk,
        },
    })
}

const LU_ACCESS: [LuAccess; 3] = [LuAccess::Standby, LuAccess::Active, LuAccess::Gone];
const LU_OPERATIONS: [LuOperation; 5] = [
    LuOperation::Create,
    LuOperation::ImportStandby,
    LuOperation::Import,
    LuOperation::MakeStandby,
    LuOperation::Delete,
];
const CONNECTION_ENDS: [ConnectionEnd; 4] = [
    ConnectionEnd::Closed,
    ConnectionEnd::Reset,
    ConnectionEnd::Refused,
    ConnectionEnd::NoAnswer,
];
