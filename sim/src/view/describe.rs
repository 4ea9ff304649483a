// SPDX-License-Identifier: MPL-2.0
//! One event in words: a line, or all its fields. Other parts of the program that speak of
//! events (comparisons, reports of a replay, diagrams) do it with these words.

use super::fields::{self, Fields, push};
use super::text::{self, clean, id, quoted};
use stmf_proxy::message::{DecodeError, Dialect, Message, hex};
use stmf_proxy::status::{Errno, Step};
use stmf_proxy::trace::{ConnectionEnd, Cut, Event, LuAccess, LuOperation, Outcome, Record};

/// An event in one line, without time and node, as `upcall 7: scsi_cmd task 5: READ(10) lba 0,
/// 8 blocks, lun 0` or `post-done 3: refused: EINVAL (22)`. Of any length; what comes from
/// outside is in it without control characters.
///
/// `dialect` is that of the node's kernel. Without one, messages are read as either.
pub fn describe(record: &Record<'_>, dialect: Option<Dialect>) -> String {
    let label = label(&record.event);
    let message = decode(record, dialect);
    let what = what(record, message.as_ref());
    let result = result(record).unwrap_or_default();
    let parts = [label, what, result];
    let parts: Vec<&str> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    parts.join(": ")
}

/// All fields of an event, name and value, in a fixed order: first `event`, the name of its
/// kind; those of the message that it carries, by their names in the JSON form; or, if that
/// cannot be decoded, why (`damage`). Bytes of data are given by length and digest, the first 16
/// bytes of their SHA-256, the same whether the data is in the trace or only the digest; data
/// that is not in the trace is told of in a field `left out`.
pub fn details(record: &Record<'_>, dialect: Option<Dialect>) -> Vec<(String, String)> {
    let mut fields = Fields::new();
    push(&mut fields, "event", kind_name(&record.event));
    own_fields(&mut fields, record);
    match decode(record, dialect) {
        None => {}
        Some(Ok(message)) => {
            let of_message = |bytes: &[u8]| message_data(bytes, record.cut);
            fields.extend(fields::all(&message, of_message));
        }
        Some(Err(error)) => {
            push(&mut fields, "damage", clean(&error.to_string()));
            push(&mut fields, "bytes", data(record.event.bulk(), record.cut));
        }
    }
    if let Some(cut) = record.cut {
        let length = match cut.words {
            true => u64::from(cut.length / 4),
            false => u64::from(cut.length),
        };
        push(&mut fields, "left out", text::count(length, "byte"));
    }
    fields
}

/// Why a message of a record is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecoded {
    /// It is damaged.
    #[error("{0}")]
    Damaged(DecodeError),
    /// It is longer than a message that can be recorded.
    #[error("more was left out of it than a message can have")]
    TooLong,
}

/// The message that a record hands over, decoded as its kernel would.
pub(crate) fn decode(
    record: &Record<'_>,
    dialect: Option<Dialect>,
) -> Option<Result<Message, Undecoded>> {
    record.event.message()?;
    let Some(bytes) = record.message() else {
        return Some(Err(Undecoded::TooLong));
    };
    let decoded = match dialect {
        Some(dialect) => Message::decode(&bytes, dialect),
        None => Message::decode(&bytes, Dialect::Current)
            .or_else(|error| Message::decode(&bytes, Dialect::Y2009).map_err(|_| error)),
    };
    Some(decoded.map_err(Undecoded::Damaged))
}

/// The name of an event's kind.
pub(crate) fn kind_name(event: &Event<'_>) -> String {
    match event.kind() {
        Some(kind) => kind.name().to_owned(),
        None => format!("kind-{}", event.kind_number()),
    }
}

/// The kind, and what tells the event apart from others of it.
fn label(event: &Event<'_>) -> String {
    let name = kind_name(event);
    let (number, initiator) = match *event {
        Event::Upcall { call, .. }
        | Event::UpcallDone { call, .. }
        | Event::Call { call, .. }
        | Event::CallDone { call, .. } => (call, None),
        Event::Post { post, .. } | Event::PostDone { post, .. } => (post, None),
        Event::Connect { connection }
        | Event::Connected { connection }
        | Event::Disconnected { connection, .. }
        | Event::Sent { connection, .. }
        | Event::Received { connection, .. } => (connection.into(), None),
        Event::Command { initiator, tag, .. }
        | Event::CommandDone { initiator, tag, .. }
        | Event::Management { initiator, tag, .. }
        | Event::ManagementDone { initiator, tag, .. }
        | Event::Aborted { initiator, tag }
        | Event::TimedOut { initiator, tag } => (tag, Some(initiator)),
        Event::Boot { boot } => (boot, None),
        _ => return name,
    };
    match initiator {
        None => format!("{name} {}", id(number)),
        Some(initiator) => format!("{name} {} of initiator {initiator}", id(number)),
    }
}

/// What an event is about, without its kind and numbers and without its result; may be empty.
pub(crate) fn what(record: &Record<'_>, message: Option<&Result<Message, Undecoded>>) -> String {
    match record.event {
        Event::Upcall {
            attempt, lock_held, ..
        } => {
            let mut words = message_words(record, message);
            if attempt > 1 {
                words += &format!(", attempt {attempt}");
            }
            if lock_held {
                words += ", stmf lock held";
            }
            words
        }
        Event::Post { .. } => message_words(record, message),
        Event::KernelLog(line) | Event::RelayLog(line) | Event::Fault(line) | Event::Step(line) => {
            clean(line)
        }
        Event::Panic { trap, reason } => match trap {
            0 => clean(reason),
            _ => format!("trap {trap}: {}", clean(reason)),
        },
        Event::AluaState {
            enabled, number, ..
        } => {
            let state = if enabled { "on" } else { "off" };
            format!("ALUA {state}, node number {number}")
        }
        Event::LuAccess { lu, access } => format!("{} {}", hex::encode(&lu), access_name(access)),
        Event::Sent { .. } | Event::Received { .. } => text::count(length(record), "byte"),
        Event::SessionOpened {
            initiator,
            session,
            port,
            name,
        } => {
            let session = match session {
                0 => "session".to_owned(),
                _ => format!("session {}", id(session)),
            };
            let (name, port) = (quoted(name), quoted(port));
            format!("{session}, initiator {initiator} {name} to {port}")
        }
        Event::SessionClosed { initiator, session } => {
            format!("session {}, initiator {initiator}", id(session))
        }
        Event::Command { lun, cdb, .. } => {
            let mut words = format!("{}, lun {}", fields::cdb(cdb), text::lun(&lun));
            match length(record) {
                0 => {}
                bytes => words += &format!(", {}", text::count(bytes, "byte")),
            }
            words
        }
        Event::Management { lun, function, .. } => {
            format!("{}, lun {}", fields::function(function), text::lun(&lun))
        }
        Event::Call { step, .. } | Event::CallDone { step, .. } => step_name(step).to_owned(),
        Event::PortAdded {
            port,
            alua,
            buffer_size,
        } => format!(
            "{}{}, buffers of {}",
            quoted(port),
            if alua { "" } else { ", not in ALUA" },
            text::count(buffer_size.into(), "byte")
        ),
        Event::PortRemoved { port } => quoted(port),
        Event::LuOperation { lu, operation, .. } => {
            format!("{} {}", operation_name(operation), hex::encode(&lu))
        }
        Event::Choices(_) => text::count(length(record), "byte"),
        Event::Operation { text, .. } => clean(text),
        Event::Other { number, .. } => {
            format!(
                "number {}, {}",
                id(number),
                text::count(length(record), "byte")
            )
        }
        _ => String::new(),
    }
}

/// How it went, if the event tells that.
pub(crate) fn result(record: &Record<'_>) -> Option<String> {
    let errno = |number| Errno::from_number(number).to_string();
    let refused = |outcome: Outcome| match outcome {
        Ok(()) => "ok".to_owned(),
        Err(number) => format!("refused: {}", errno(number)),
    };
    Some(match record.event {
        Event::UpcallDone { outcome, .. } => match outcome {
            Ok(0) => "ok".to_owned(),
            Ok(number) => match i32::try_from(number) {
                Ok(number) => format!("answered {}", errno(number)),
                Err(_) => format!("answered {number:#x}"),
            },
            Err(number) => format!("failed: {}", errno(number)),
        },
        Event::PostDone { outcome, .. }
        | Event::AluaState { outcome, .. }
        | Event::LuOperation { outcome, .. } => refused(outcome),
        Event::CallDone { outcome, .. } => match outcome {
            Ok(()) => "ok".to_owned(),
            Err(number) => format!("failed: {}", errno(number)),
        },
        Event::CommandDone {
            status,
            residual_flags,
            residual,
            sense,
            ..
        } => {
            let mut words = fields::scsi_status(status, sense);
            if let Some(residual) = fields::residual(residual_flags, residual) {
                words += &format!(", {residual}");
            }
            match length(record) {
                0 => {}
                bytes => words += &format!(", {}", text::count(bytes, "byte")),
            }
            words
        }
        Event::ManagementDone { status, .. } => match status {
            0 => "ok".to_owned(),
            _ => format!("status {status:#04x}"),
        },
        Event::SessionOpened { session: 0, .. } => "refused".to_owned(),
        Event::Disconnected { end, .. } => end_name(end).to_owned(),
        Event::Lost { events } => text::count(events, "event"),
        _ => return None,
    })
}

/// How many bytes of bulk the event had, recorded or not.
fn length(record: &Record<'_>) -> u64 {
    record.original_length() as u64
}

/// A message in a few words, or what is wrong with it.
pub(crate) fn message_words(
    record: &Record<'_>,
    message: Option<&Result<Message, Undecoded>>,
) -> String {
    match message {
        Some(Ok(message)) => fields::summary(message),
        Some(Err(error)) => format!(
            "damaged message of {}: {}",
            text::count(length(record), "byte"),
            clean(&error.to_string())
        ),
        None => String::new(),
    }
}

/// Data of an event by length and digest, whatever of it is in the trace.
fn data(bytes: &[u8], cut: Option<Cut>) -> String {
    match cut {
        None => text::data(bytes),
        Some(cut) => partly(bytes, cut.length.into(), cut.digest),
    }
}

/// Data in a message that was decoded, by length and digest.
fn message_data(bytes: &[u8], cut: Option<Cut>) -> String {
    let Some(cut) = cut else {
        return text::data(bytes);
    };
    // Zeros stand in the message for what is missing: at the end of the data, unless the cut
    // was made elsewhere.
    let missing = cut.length / 4;
    let kept = bytes.len().checked_sub(missing as usize);
    match kept.and_then(|kept| bytes.get(..kept)) {
        Some(kept) if cut.words => partly(kept, missing.into(), cut.digest),
        _ => format!(
            "{}, not all recorded",
            text::count(bytes.len() as u64, "byte")
        ),
    }
}

/// Data of which the end is missing.
fn partly(kept: &[u8], missing: u64, digest: Option<[u8; 16]>) -> String {
    let length = text::count(kept.len() as u64 + missing, "byte");
    let Some(digest) = digest else {
        return format!("{length}, not recorded");
    };
    let digest = hex::encode(&digest);
    if kept.is_empty() {
        return format!("{length}, sha256 {digest}");
    }
    let kept = text::data(kept);
    format!("{length}: first {kept}, then sha256 {digest}")
}

/// The fields of an event apart from its message.
fn own_fields(fields: &mut Fields, record: &Record<'_>) {
    let event = &record.event;
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let of_data = |bytes: &[u8]| data(bytes, record.cut);
    match *event {
        Event::Upcall {
            call,
            attempt,
            lock_held,
            ..
        } => {
            push(fields, "call", id(call));
            push(
                fields,
                "attempt",
                match attempt {
                    0 => "unknown".to_owned(),
                    _ => attempt.to_string(),
                },
            );
            push(fields, "stmf lock held", yes_no(lock_held));
        }
        Event::UpcallDone { call, .. } => push(fields, "call", id(call)),
        Event::Post { post, .. } | Event::PostDone { post, .. } => push(fields, "post", id(post)),
        Event::KernelLog(line) | Event::RelayLog(line) | Event::Fault(line) | Event::Step(line) => {
            push(fields, "text", clean(line));
        }
        Event::Panic { trap, reason } => {
            push(fields, "trap", trap);
            push(fields, "reason", clean(reason));
        }
        Event::Boot { boot } => push(fields, "boot", id(boot)),
        Event::AluaState {
            enabled, number, ..
        } => {
            push(fields, "enabled", yes_no(enabled));
            push(fields, "node number", number);
        }
        Event::LuAccess { lu, access } => {
            push(fields, "lu", hex::encode(&lu));
            push(fields, "access", access_name(access));
        }
        Event::Connect { connection } | Event::Connected { connection } => {
            push(fields, "connection", connection);
        }
        Event::Disconnected { connection, .. } => push(fields, "connection", connection),
        Event::Sent { connection, bytes } | Event::Received { connection, bytes } => {
            push(fields, "connection", connection);
            push(fields, "bytes", of_data(bytes));
        }
        Event::SessionOpened {
            initiator,
            session,
            port,
            name,
        } => {
            push(fields, "initiator", initiator);
            push(fields, "session", id(session));
            push(fields, "target port", quoted(port));
            push(fields, "initiator port", quoted(name));
        }
        Event::SessionClosed { initiator, session } => {
            push(fields, "initiator", initiator);
            push(fields, "session", id(session));
        }
        Event::Command {
            initiator,
            tag,
            session,
            lun,
            flags,
            expected,
            cdb,
            data,
        } => {
            push(fields, "initiator", initiator);
            push(fields, "tag", id(tag));
            push(fields, "session", id(session));
            push(fields, "lun", hex::encode(&lun));
            push(fields, "flags", fields::task_flags(flags));
            push(fields, "expected", text::count(expected.into(), "byte"));
            let command = format!("{} ({})", fields::bytes(cdb), fields::cdb(cdb));
            push(fields, "cdb", command);
            push(fields, "data", of_data(data));
        }
        Event::CommandDone {
            initiator,
            tag,
            sense,
            data,
            ..
        } => {
            push(fields, "initiator", initiator);
            push(fields, "tag", id(tag));
            push(fields, "sense", fields::sense(sense));
            push(fields, "data", of_data(data));
        }
        Event::Management {
            initiator,
            tag,
            session,
            lun,
            function,
        } => {
            push(fields, "initiator", initiator);
            push(fields, "tag", id(tag));
            push(fields, "session", id(session));
            push(fields, "lun", hex::encode(&lun));
            push(fields, "function", fields::function(function));
        }
        Event::ManagementDone { initiator, tag, .. }
        | Event::Aborted { initiator, tag }
        | Event::TimedOut { initiator, tag } => {
            push(fields, "initiator", initiator);
            push(fields, "tag", id(tag));
        }
        Event::Call { call, step } | Event::CallDone { call, step, .. } => {
            push(fields, "call", id(call));
            push(fields, "step", step_name(step));
        }
        Event::Lost { .. } => {}
        Event::PortAdded {
            port,
            alua,
            buffer_size,
        } => {
            push(fields, "target port", quoted(port));
            push(fields, "in ALUA", yes_no(alua));
            push(fields, "buffers", text::count(buffer_size.into(), "byte"));
        }
        Event::PortRemoved { port } => push(fields, "target port", quoted(port)),
        Event::LuOperation { lu, operation, .. } => {
            push(fields, "lu", hex::encode(&lu));
            push(fields, "operation", operation_name(operation));
        }
        Event::Choices(bytes) => push(fields, "bytes", of_data(bytes)),
        Event::Operation {
            operation,
            steps,
            ended,
            text,
            data: written,
        } => {
            push(fields, "number", operation.to_string());
            push(fields, "steps", steps.to_string());
            push(fields, "ended", ended.to_string());
            push(fields, "operation", clean(text));
            push(fields, "data", of_data(written));
        }
        Event::Other {
            number,
            fields: unknown,
            bulk,
            ..
        } => {
            push(fields, "number", id(number));
            push(fields, "fields", fields::bytes(unknown));
            push(fields, "bytes", of_data(bulk));
        }
        Event::RelayStarted | Event::RelayEnded | Event::PowerOff | Event::Unreferenced => {}
    }
    if let Some(result) = result(record) {
        push(fields, "result", result);
    }
}

fn access_name(access: LuAccess) -> &'static str {
    match access {
        LuAccess::Standby => "standby",
        LuAccess::Active => "active",
        LuAccess::Gone => "gone",
    }
}

fn operation_name(operation: LuOperation) -> &'static str {
    match operation {
        LuOperation::Create => "create",
        LuOperation::ImportStandby => "import as standby",
        LuOperation::Import => "import",
        LuOperation::MakeStandby => "make standby",
        LuOperation::Delete => "delete",
    }
}

fn end_name(end: ConnectionEnd) -> &'static str {
    match end {
        ConnectionEnd::Closed => "closed by the peer",
        ConnectionEnd::Reset => "reset",
        ConnectionEnd::Refused => "refused",
        ConnectionEnd::NoAnswer => "no answer",
    }
}

/// A call of the door API by what is called.
pub(crate) fn step_name(step: Step) -> &'static str {
    match step {
        Step::CreateDoor => "door_create",
        Step::OpenProxyService => "open of the proxy service",
        Step::InstallDoor => "installation of the door",
        Step::PostMessage => "post",
        Step::CloseProxyService => "close of the proxy service",
        Step::RevokeDoor => "door_revoke",
        Step::OpenStmf => "open of stmf",
        Step::SetAluaState => "set ALUA state",
        Step::GetAluaState => "get ALUA state",
        Step::OpenSbd => "open of sbd",
        Step::SetLuStandby => "set LU standby",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use stmf_proxy::time::Time;
    use stmf_proxy::trace::Reader;

    /// Every kind of event, whole and with a digest in place of its data.
    #[test]
    fn every_kind_of_event_reads_well() {
        let fixture =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trace/version-1.pcapng");
        let mut reader = Reader::open(fixture).expect("the fixture is a trace");
        let mut lines = String::new();
        let mut all = Vec::new();
        while let Some(entry) = reader.next_entry().expect("it is whole") {
            lines += &describe(&entry.record, None);
            lines.push('\n');
            all.push(details(&entry.record, None));
        }
        let (whole, cut) = all.split_at(all.len() / 2);
        let mut text = String::new();
        for (whole, cut) in whole.iter().zip(cut) {
            for (name, value) in whole {
                text += &format!("{name}: {value}\n");
            }
            // Whoever compares data compares it whether it is there or not.
            let cut: Vec<_> = cut.iter().filter(|(name, _)| name != "left out").collect();
            assert_eq!(whole.iter().collect::<Vec<_>>(), cut);
            text.push('\n');
        }
        insta::assert_snapshot!("describe", lines);
        insta::assert_snapshot!("details", text);
    }

    #[test]
    fn damage_is_told_and_does_not_reach_the_terminal() {
        let event = Event::Post {
            post: 1,
            message: b"\x01\x01\0\0\x1b[2J",
        };
        let record = Record::new(1, Time::ZERO, Some(0), event);
        let line = describe(&record, Some(Dialect::Current));
        assert!(
            line.starts_with("post 1: damaged message of 8 bytes: "),
            "{line}"
        );
        let fields = details(&record, None);
        assert!(
            fields.iter().any(|(name, _)| name == "damage"),
            "{fields:?}"
        );
        let log = Record::new(1, Time::ZERO, None, Event::KernelLog("a\x1b]0;b\x07\nc"));
        assert_eq!(
            describe(&log, None),
            "kernel-log: a\\u{1b}]0;b\\u{7}\\u{a}c"
        );
    }

    #[test]
    fn data_of_which_the_front_was_kept_says_so() {
        let cut = Cut {
            offset: 2,
            length: 6,
            words: false,
            digest: None,
        };
        assert_eq!(data(b"ab", Some(cut)), "8 bytes, not recorded");
        let digest = Some([7; 16]);
        let text = data(b"ab", Some(Cut { digest, ..cut }));
        assert!(
            text.starts_with("8 bytes: first 2 bytes, sha256 fb8e20fc"),
            "{text}"
        );
        assert!(text.ends_with("then sha256 07070707070707070707070707070707"));
        let words = Cut {
            length: 24,
            words: true,
            ..cut
        };
        assert_eq!(
            message_data(b"ab\0\0\0\0\0\0", Some(words)),
            "8 bytes, not recorded"
        );
        assert_eq!(
            message_data(b"ab", Some(words)),
            "2 bytes, not all recorded"
        );
    }
}
