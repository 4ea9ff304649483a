// SPDX-License-Identifier: MPL-2.0
//! Compares what is shown of an event with what the library reads.

use super::tshark::Packet;
use stmf_proxy::message::hex;
use stmf_proxy::trace::Event;

/// Checks the fields of an event of the fixture.
pub fn check_event(packet: &Packet, event: &Event<'_>, what: &str) {
    let number = |name: &str, expected: u64| {
        let name = format!("stmf.{name}");
        assert_eq!(packet.number(&name), Some(expected), "{what}: {name}");
    };
    let text = |name: &str, expected: &str| {
        let name = format!("stmf.{name}");
        assert_eq!(packet.value(&name), Some(expected), "{what}: {name}");
    };
    let bytes = |name: &str, expected: &[u8]| {
        let name = format!("stmf.{name}");
        let shown = packet.value(&name).unwrap_or_default().replace(':', "");
        assert_eq!(shown, hex::encode(expected), "{what}: {name}");
    };
    let outcome = |outcome: Result<u32, i32>| match outcome {
        Ok(result) => number("result", result.into()),
        Err(errno) => number("errno", errno as u64),
    };
    let latin1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    match *event {
        Event::Upcall {
            call,
            attempt,
            lock_held,
            ..
        } => {
            number("call", call);
            number("attempt", attempt.into());
            number("lock_held", lock_held.into());
            number("scsi_data.task_msgid", 0x1122);
        }
        Event::UpcallDone { call, outcome: end } => {
            number("call", call);
            outcome(end);
        }
        Event::Post { post, .. } => {
            number("post", post);
            number("scsi_data.session_id", 0x3344);
        }
        Event::PostDone { post, outcome: end } => {
            number("post", post);
            outcome(end.map(|()| 0));
        }
        Event::KernelLog(line) | Event::RelayLog(line) | Event::Fault(line) | Event::Step(line) => {
            text("text", line)
        }
        Event::Panic { trap, reason } => {
            number("trap", trap.into());
            text("text", reason);
        }
        Event::RelayStarted | Event::RelayEnded | Event::PowerOff | Event::Unreferenced => {}
        Event::Boot { boot } => number("boot", boot),
        Event::AluaState {
            enabled,
            number: node,
            outcome: end,
        } => {
            number("alua_enabled", enabled.into());
            number("alua_node", node.into());
            outcome(end.map(|()| 0));
        }
        Event::LuAccess { lu, access } => {
            bytes("lu", &lu);
            number("lu_access", access as u64);
        }
        Event::Connect { connection } | Event::Connected { connection } => {
            number("connection", connection.into());
        }
        Event::Disconnected { connection, end } => {
            number("connection", connection.into());
            number("end", end as u64);
        }
        Event::Sent {
            connection,
            bytes: sent,
        }
        | Event::Received {
            connection,
            bytes: sent,
        } => {
            number("connection", connection.into());
            bytes("link_bytes", sent);
        }
        Event::SessionOpened {
            initiator,
            session,
            port,
            name,
        } => {
            number("initiator", initiator.into());
            number("session", session);
            text("port", &latin1(port));
            text("initiator_port", &latin1(name));
        }
        Event::SessionClosed { initiator, session } => {
            number("initiator", initiator.into());
            number("session", session);
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
            number("initiator", initiator.into());
            number("tag", tag);
            number("session", session);
            bytes("lun", &lun);
            number("task_flags", flags.into());
            number("expected", expected.into());
            bytes("cdb", cdb);
            text("command", "WRITE(10)");
            number("opcode", 0x2A);
            bytes("data", data);
        }
        Event::CommandDone {
            initiator,
            tag,
            status,
            residual_flags,
            residual,
            sense,
            data,
        } => {
            number("initiator", initiator.into());
            number("tag", tag);
            number("scsi_status", status.into());
            number("residual_flags", residual_flags.into());
            number("residual", residual.into());
            bytes("sense", sense);
            number("sense_key", 5);
            bytes("data", data);
        }
        Event::Management {
            initiator,
            tag,
            session,
            lun,
            function,
        } => {
            number("initiator", initiator.into());
            number("tag", tag);
            number("session", session);
            bytes("lun", &lun);
            number("function", function.into());
        }
        Event::ManagementDone {
            initiator,
            tag,
            status,
        } => {
            number("initiator", initiator.into());
            number("tag", tag);
            number("management_status", status.into());
        }
        Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
            number("initiator", initiator.into());
            number("tag", tag);
        }
        Event::Call { call, step } => {
            number("call", call);
            number("step", step as u64);
        }
        Event::CallDone {
            call,
            step,
            outcome: end,
        } => {
            number("call", call);
            number("step", step as u64);
            outcome(end.map(|()| 0));
        }
        Event::Lost { events } => number("lost", events),
        Event::PortAdded {
            port,
            alua,
            buffer_size,
        } => {
            text("port", &latin1(port));
            number("alua", alua.into());
            number("buffer_size", buffer_size.into());
        }
        Event::PortRemoved { port } => text("port", &latin1(port)),
        Event::LuOperation {
            lu,
            operation,
            outcome: end,
        } => {
            bytes("lu", &lu);
            number("lu_operation", operation as u64);
            outcome(end.map(|()| 0));
        }
        Event::Choices(choices) => bytes("choices", choices),
        Event::Operation {
            operation,
            steps,
            ended,
            text: done,
            data,
        } => {
            number("operation", operation);
            number("steps", steps);
            number("ended", ended);
            text("operation_text", done);
            bytes("data", data);
        }
        Event::Other { .. } => panic!("{what}: not in the fixture"),
    }
}
