// SPDX-License-Identifier: MPL-2.0
//! A recorded event in a line.

use crate::scsi::opcode;
use stmf_proxy::message::{Body, Dialect, Message, hex};
use stmf_proxy::status::{Errno, Step};
use stmf_proxy::trace::{Event, Record};

const fn step_name(step: Step) -> &'static str {
    match step {
        Step::CreateDoor => "door_create",
        Step::OpenProxyService => "open of the proxy service",
        Step::InstallDoor => "installation of the door",
        Step::PostMessage => "post",
        Step::CloseProxyService => "close of the proxy service",
        Step::RevokeDoor => "door_revoke",
        Step::OpenStmf => "open of stmf",
        Step::SetAluaState => "set of the ALUA state",
        Step::GetAluaState => "get of the ALUA state",
        Step::OpenSbd => "open of sbd",
        Step::SetLuStandby => "set of a LU to standby",
    }
}

fn errno(number: i32) -> String {
    Errno::from_number(number).to_string()
}

pub(super) fn outcome(outcome: Result<(), i32>) -> String {
    match outcome {
        Ok(()) => "ok".into(),
        Err(number) => errno(number),
    }
}

/// What a message says, in a few words.
pub(super) fn message(message: &Message) -> String {
    let name = message.message_type().name();
    let said = match &message.body {
        Body::RegisterProxyPort(port) => port.port_id.ident.escape_ascii().to_string(),
        Body::DeregisterProxyPort(port) => port.port_id.ident.escape_ascii().to_string(),
        Body::RegisterLun(lun) | Body::DeregisterLun(lun) | Body::LunActive(lun) => {
            hex::encode(&lun.lun_id)
        }
        Body::ScsiCommand(command) if command.task_mgmt_function != 0 => format!(
            "session {}, function {}",
            command.session_id, command.task_mgmt_function
        ),
        Body::ScsiCommand(command) => format!(
            "session {}, task {}, {}",
            command.session_id,
            command.task_msgid,
            opcode::name(&command.task_cdb)
        ),
        Body::ScsiData(data) => format!(
            "session {}, task {}, {} bytes",
            data.session_id,
            data.task_msgid,
            data.data.len()
        ),
        Body::ScsiDataTransferDone(done) => format!(
            "session {}, task {}, status {:#x}",
            done.session_id, done.task_msgid, done.status
        ),
        Body::ScsiStatus(status) => format!(
            "session {}, task {}, status {:#04x}",
            status.session_id, status.task_msgid, status.status
        ),
        Body::ReadyToTransfer(ready) => {
            format!("session {}, task {}", ready.session_id, ready.task_msgid)
        }
        Body::Status(status) => format!(
            "{} for message {} of type {}",
            status.status, status.status_msgid, status.status_msg_type
        ),
        Body::SessionCreate(session) | Body::SessionDestroy(session) => {
            format!("session {}", session.session_id)
        }
        Body::EchoRequest(echo) => format!("{} bytes", echo.data.len()),
        Body::EchoReply(echo) => format!("{} bytes", echo.data.len()),
    };
    format!("{name} {}: {said}", message.msgid)
}

fn message_of(record: &Record<'_>, dialect: Dialect) -> String {
    let bytes = record.message();
    let decoded = bytes.as_ref().map(|bytes| Message::decode(bytes, dialect));
    match decoded {
        Some(Ok(decoded)) => message(&decoded),
        _ => format!("{} bytes that cannot be decoded", record.original_length()),
    }
}

/// The event of a record.
pub(super) fn event(record: &Record<'_>, dialect: Dialect) -> String {
    let kind = record.event.kind().map_or("other", |kind| kind.name());
    let said = match record.event {
        Event::Upcall { call, attempt, .. } => {
            let attempt = match attempt {
                0 | 1 => String::new(),
                attempt => format!(", attempt {attempt}"),
            };
            format!("{call}{attempt}: {}", message_of(record, dialect))
        }
        Event::UpcallDone { call, outcome } => match outcome {
            Ok(result) => format!("{call}: {result}"),
            Err(number) => format!("{call}: {}", errno(number)),
        },
        Event::Post { post, .. } => format!("{post}: {}", message_of(record, dialect)),
        Event::PostDone { post, outcome: end } => format!("{post}: {}", outcome(end)),
        Event::KernelLog(text) | Event::RelayLog(text) | Event::Fault(text) | Event::Step(text) => {
            text.lines().next().unwrap_or_default().to_owned()
        }
        Event::Panic { trap: 0, reason } => reason.to_owned(),
        Event::Panic { trap, reason } => format!("trap {trap}: {reason}"),
        Event::Boot { boot } => boot.to_string(),
        Event::AluaState {
            enabled,
            number,
            outcome: end,
        } => {
            let enabled = if enabled { "on" } else { "off" };
            format!("{enabled}, node {number}: {}", outcome(end))
        }
        Event::LuAccess { lu, access } => format!("{} {access:?}", hex::encode(&lu)),
        Event::LuOperation {
            lu,
            operation,
            outcome: end,
        } => format!("{} {operation:?}: {}", hex::encode(&lu), outcome(end)),
        Event::SessionOpened { session, port, .. } => {
            format!("{session} on {}", port.escape_ascii())
        }
        Event::SessionClosed { session, .. } => session.to_string(),
        Event::Command {
            initiator,
            tag,
            session,
            cdb,
            ..
        } => format!(
            "initiator {initiator}, tag {tag}, session {session}: {}",
            opcode::name(cdb)
        ),
        Event::CommandDone {
            initiator,
            tag,
            status,
            data,
            ..
        } => format!(
            "initiator {initiator}, tag {tag}: status {status:#04x}, {} bytes",
            data.len()
        ),
        Event::Management {
            initiator,
            tag,
            function,
            ..
        } => format!("initiator {initiator}, tag {tag}: function {function}"),
        Event::ManagementDone {
            initiator,
            tag,
            status,
        } => format!("initiator {initiator}, tag {tag}: status {status:#04x}"),
        Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
            format!("initiator {initiator}, tag {tag}")
        }
        Event::Call { call, step } => format!("{call}: {}", step_name(step)),
        Event::CallDone {
            call,
            step,
            outcome: end,
        } => format!("{call}: {}: {}", step_name(step), outcome(end)),
        Event::Lost { events } => format!("{events} events"),
        Event::PortAdded { port, .. } | Event::PortRemoved { port } => {
            port.escape_ascii().to_string()
        }
        _ => String::new(),
    };
    format!("{:>6} {} {kind} {said}", record.sequence, record.time)
        .trim_end()
        .to_owned()
}
