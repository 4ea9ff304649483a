// SPDX-License-Identifier: MPL-2.0
//! A message in a few words, as findings name it.

use stmf_proxy::message::{MessageType, Subject, hex, peek};

/// As "register_proxy_port (msgid 7) of port wwn.2100" or "scsi_cmd (task 5, session 1)".
pub(super) fn describe(message: &[u8]) -> String {
    let Some(seen) = peek(message) else {
        return format!("a message of {} bytes that cannot be read", message.len());
    };
    let (name, msgid) = (seen.message_type.name(), seen.msgid);
    match seen.subject {
        Subject::Port(port) => {
            let port = port_name(&port.to_vec());
            format!("{name} (msgid {msgid}) of port {port}")
        }
        Subject::Lun(lu) => format!("{name} (msgid {msgid}) of LU {}", hex::encode(&lu)),
        Subject::Session { session_id, .. } => {
            format!("{name} (msgid {msgid}, session {session_id})")
        }
        Subject::Task {
            session_id,
            task_msgid,
            ..
        } => format!("{name} (task {task_msgid}, session {session_id})"),
        Subject::Answer {
            message_type,
            msgid,
        } => match MessageType::from_number(message_type) {
            Some(answered) => format!("{name} for {} (msgid {msgid})", answered.name()),
            None => format!("{name} for msgid {msgid}"),
        },
        Subject::Nothing => format!("{name} (msgid {msgid})"),
    }
}

/// The `ident` of a device id, for people.
pub(super) fn port_name(ident: &[u8]) -> String {
    String::from_utf8_lossy(ident).into_owned()
}

/// A time in seconds, to the millisecond.
pub(super) fn seconds(time: stmf_proxy::time::Time) -> String {
    let milliseconds = time.as_nanos() / 1_000_000;
    format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn messages_are_told_in_a_few_words() {
        assert_eq!(
            describe(&register_port(7, "wwn.21")),
            "register_proxy_port (msgid 7) of port wwn.21"
        );
        assert_eq!(
            describe(&command(5, 1, "wwn.21", 9)),
            "scsi_cmd (task 5, session 1)"
        );
        assert_eq!(describe(&refusal(5)), "status for scsi_cmd (msgid 5)");
        assert_eq!(
            describe(b"what?"),
            "a message of 5 bytes that cannot be read"
        );
    }
}
