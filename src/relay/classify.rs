// SPDX-License-Identifier: MPL-2.0
//! The lane of a message from its bytes: the only place where the relay looks at what it carries.
//!
//! A look ([`message::peek`](crate::message::peek)) finds what the message is about, and
//! [`Subject::lane`] says what follows. A message that cannot be read is a barrier: the kernel
//! will drop it, and until then nothing overtakes it.

use super::subject::{Lane, Subject};
use crate::message::{MessageType, Subject as Seen, peek};
use crate::nvlist::Bytes;

/// The longest `ident` of a device id: its length is said in one byte.
const IDENT_MAX: usize = 255;

/// The default [`Classifier`](super::Classifier).
pub fn by_object(message: &[u8]) -> Lane {
    let Some(seen) = peek(message) else {
        return Lane::barrier();
    };
    match seen.subject {
        Seen::Port(port) => with_ident(port, |port| Subject::Port { port }.lane()),
        Seen::Lun(lun_id) => Subject::LogicalUnit { lun_id: &lun_id }.lane(),
        Seen::Session { session_id, target } => with_ident(target, |target| {
            Subject::Session { session_id, target }.lane()
        }),
        Seen::Task {
            session_id,
            task_msgid,
            target: Some(target),
            lun_id: Some(lun_id),
        } => with_ident(target, |target| {
            let lun_id = &lun_id;
            Subject::Command {
                session_id,
                task_msgid,
                target,
                lun_id,
            }
            .lane()
        }),
        Seen::Task {
            session_id,
            task_msgid,
            lun_id: Some(lun_id),
            ..
        } => Subject::Answer {
            session_id,
            task_msgid,
            lun_id: &lun_id,
        }
        .lane(),
        Seen::Task {
            session_id,
            task_msgid,
            ..
        } => match seen.message_type {
            MessageType::ReadyToTransfer => Subject::ReadyToTransfer {
                session_id,
                task_msgid,
            }
            .lane(),
            _ => Subject::TransferDone {
                session_id,
                task_msgid,
            }
            .lane(),
        },
        Seen::Answer { msgid, .. } => Subject::Status {
            status_msgid: msgid,
        }
        .lane(),
        Seen::Nothing => Subject::Echo.lane(),
    }
}

/// Names of ports lie in the message at four bytes a byte.
fn with_ident(ident: Bytes<'_>, lane: impl FnOnce(&[u8]) -> Lane) -> Lane {
    let mut name = [0; IDENT_MAX];
    match name.get_mut(..ident.len()) {
        Some(name) => {
            name.iter_mut()
                .zip(ident.iter())
                .for_each(|(to, from)| *to = from);
            lane(name)
        }
        None => Lane::barrier(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{
        Body, DeviceId, Dialect, EchoRequest, LunMessage, Message, ReadyToTransfer,
        RegisterProxyPort, ScsiCommand, ScsiData, ScsiDataTransferDone, SessionMessage, Status,
    };
    use crate::relay::subject::Object;

    fn device(ident: &[u8]) -> DeviceId {
        let ident = ident.to_vec();
        DeviceId {
            protocol_id: 5,
            code_set: 2,
            piv: 1,
            association: 1,
            ident_type: 8,
            ident,
        }
    }

    fn lane(body: Body) -> Lane {
        let message = Message { msgid: 1, body };
        by_object(&message.encode(Dialect::Current).expect("it can be sent"))
    }

    fn command(session_id: u64, task_msgid: u64, target: &[u8], lun_id: [u8; 16]) -> Body {
        Body::ScsiCommand(ScsiCommand {
            task_msgid,
            ini_devid: device(b"initiator"),
            tgt_devid: device(target),
            rport: Some(vec![5; 24]),
            lun_id,
            session_id,
            task_lun_no: [0; 8],
            task_expected_xfer_length: 0,
            task_cdb: vec![0; 6],
            task_flags: 1,
            task_priority: 0,
            task_mgmt_function: 0,
            immed_data: Vec::new(),
        })
    }

    fn registration(port: &[u8]) -> Body {
        let (port_id, cb_arg) = (device(port), Vec::new());
        Body::RegisterProxyPort(RegisterProxyPort {
            port_id,
            relative_port_id: 1,
            cb_arg,
        })
    }

    fn lun_active(lun_id: [u8; 16]) -> Body {
        Body::LunActive(LunMessage {
            lun_id,
            lu_provider_name: b"sbd".into(),
            cb_arg: vec![],
        })
    }

    #[test]
    fn a_command_waits_for_its_port_its_lu_and_its_session_and_for_nothing_else() {
        let command_lane = lane(command(1, 10, b"port a", [1; 16]));
        assert!(command_lane.conflicts_with(&lane(registration(b"port a"))));
        assert!(command_lane.conflicts_with(&lane(lun_active([1; 16]))));
        assert!(!command_lane.conflicts_with(&lane(registration(b"port b"))));
        assert!(!command_lane.conflicts_with(&lane(lun_active([2; 16]))));
        // Another session's command on the same port and LU goes beside it.
        assert!(!command_lane.conflicts_with(&lane(command(2, 11, b"port a", [1; 16]))));
        assert!(command_lane.conflicts_with(&lane(command(1, 12, b"port a", [1; 16]))));
        let end = SessionMessage {
            ini_devid: device(b"initiator"),
            tgt_devid: device(b"port a"),
            rport: Some(vec![5; 24]),
            session_id: 1,
        };
        assert!(command_lane.conflicts_with(&lane(Body::SessionDestroy(end))));
    }

    #[test]
    fn every_message_has_the_lane_that_its_fields_promise() {
        let lun_id = [7; 16];
        let (session_id, task_msgid) = (3, 4);
        for (body, expected) in [
            (registration(b"p"), Subject::Port { port: b"p" }.lane()),
            (
                lun_active(lun_id),
                Subject::LogicalUnit { lun_id: &lun_id }.lane(),
            ),
            (
                command(session_id, task_msgid, b"p", lun_id),
                Subject::Command {
                    session_id,
                    task_msgid,
                    target: b"p",
                    lun_id: &lun_id,
                }
                .lane(),
            ),
            (
                Body::ScsiData(ScsiData {
                    task_msgid,
                    session_id,
                    lun_id,
                    data: vec![1],
                }),
                Subject::Answer {
                    session_id,
                    task_msgid,
                    lun_id: &lun_id,
                }
                .lane(),
            ),
            (
                Body::ScsiDataTransferDone(ScsiDataTransferDone {
                    task_msgid,
                    session_id,
                    status: 0,
                }),
                Subject::TransferDone {
                    session_id,
                    task_msgid,
                }
                .lane(),
            ),
            (
                Body::ReadyToTransfer(ReadyToTransfer {
                    task_msgid,
                    session_id,
                    offset: 0,
                    length: 1,
                }),
                Subject::ReadyToTransfer {
                    session_id,
                    task_msgid,
                }
                .lane(),
            ),
            (
                Body::Status(Status {
                    status_msg_type: 0,
                    status_msgid: 9,
                    status: 0,
                }),
                Subject::Status { status_msgid: 9 }.lane(),
            ),
            (
                Body::EchoRequest(EchoRequest { data: vec![1] }),
                Subject::Echo.lane(),
            ),
        ] {
            let name = body.message_type();
            assert_eq!(lane(body), expected, "{name}");
        }
        assert!(by_object(b"not a message").is_barrier());
    }

    #[test]
    fn the_longest_name_of_a_port_is_told_from_others() {
        let name = [0xfe; IDENT_MAX];
        let claims = lane(registration(&name));
        assert_eq!(claims.claims()[0].object, Object::port(&name));
        assert_ne!(Object::port(&name), Object::port(&name[1..]));
    }
}
