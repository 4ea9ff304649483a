// SPDX-License-Identifier: MPL-2.0
//! The lane of a message from its bytes: the only place where the relay looks at what it carries.
//!
//! A look ([`message::peek`](crate::message::peek)) finds what the message is about, and
//! [`Subject::lane`] says what follows. A message that cannot be read is a barrier: the kernel
//! will drop it, and until then nothing overtakes it.

use super::subject::{Lane, Subject};
use crate::message::{MessageType, Route, Subject as Seen, peek};
use crate::nvlist::Bytes;

/// The longest `ident` of a device id: its length is said in one byte.
const IDENT_MAX: usize = 255;

/// The longest transport id that is told from others. The longest that there is, an iSCSI name
/// with a session identifier, has some 250 bytes; a message with a longer one is a barrier.
const TRANSPORT_ID_MAX: usize = 512;

/// The default [`Classifier`](super::Classifier).
pub fn by_object(message: &[u8]) -> Lane {
    let Some(seen) = peek(message) else {
        return Lane::barrier();
    };
    match seen.subject {
        Seen::Port(port) => with_bytes::<IDENT_MAX>(port, |port| Subject::Port { port }.lane()),
        Seen::Lun(lun_id) => Subject::LogicalUnit { lun_id: &lun_id }.lane(),
        Seen::Session {
            session_id,
            target,
            initiator,
        } => with_nexus(initiator, target, |initiator, target| {
            Subject::Session {
                session_id,
                target,
                initiator,
            }
            .lane()
        }),
        Seen::Task {
            session_id,
            task_msgid,
            route:
                Some(Route {
                    target,
                    initiator,
                    lun,
                }),
            lun_id: Some(lun_id),
        } => with_nexus(initiator, target, |initiator, target| {
            Subject::Command {
                session_id,
                task_msgid,
                target,
                initiator,
                lun_id: &lun_id,
                lun,
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

fn with_nexus(
    initiator: Bytes<'_>,
    target: Bytes<'_>,
    lane: impl FnOnce(&[u8], &[u8]) -> Lane,
) -> Lane {
    with_bytes::<TRANSPORT_ID_MAX>(initiator, |initiator| {
        with_bytes::<IDENT_MAX>(target, |target| lane(initiator, target))
    })
}

/// Names lie in the message at four bytes a byte.
fn with_bytes<const MAX: usize>(bytes: Bytes<'_>, lane: impl FnOnce(&[u8]) -> Lane) -> Lane {
    let mut name = [0; MAX];
    match name.get_mut(..bytes.len()) {
        Some(name) => {
            name.iter_mut()
                .zip(bytes.iter())
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

    const LUN: [u8; 8] = [0, 6, 0, 0, 0, 0, 0, 0];

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
        command_of(
            vec![session_id as u8; 24],
            session_id,
            task_msgid,
            target,
            lun_id,
        )
    }

    fn command_of(
        rport: Vec<u8>,
        session_id: u64,
        task_msgid: u64,
        target: &[u8],
        lun_id: [u8; 16],
    ) -> Body {
        Body::ScsiCommand(ScsiCommand {
            task_msgid,
            ini_devid: device(b"initiator"),
            tgt_devid: device(target),
            rport: Some(rport),
            lun_id,
            session_id,
            task_lun_no: LUN,
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
            rport: Some(vec![1; 24]),
            session_id: 1,
        };
        assert!(command_lane.conflicts_with(&lane(Body::SessionDestroy(end))));
    }

    /// An initiator that logs in again gets a new session at once. A command of the old one that is
    /// overtaken would leave the peer's kernel with a session that it can never close.
    #[test]
    fn a_command_of_a_new_session_waits_for_the_old_one_of_the_same_initiator_and_port() {
        let rport = || vec![9; 24];
        let old = lane(command_of(rport(), 5, 10, b"port a", [1; 16]));
        let new = lane(command_of(rport(), 7, 11, b"port a", [1; 16]));
        let end = lane(Body::SessionDestroy(SessionMessage {
            ini_devid: device(b"initiator"),
            tgt_devid: device(b"port a"),
            rport: Some(rport()),
            session_id: 5,
        }));
        assert!(new.conflicts_with(&old) && new.conflicts_with(&end) && end.conflicts_with(&old));
        let of_another = lane(command_of(vec![8; 24], 7, 11, b"port a", [1; 16]));
        assert!(!of_another.conflicts_with(&old) && !of_another.conflicts_with(&end));
    }

    #[test]
    fn without_a_transport_id_the_device_id_tells_the_initiator() {
        let Body::ScsiCommand(mut with) = command(5, 10, b"port a", [1; 16]) else {
            unreachable!("made as one")
        };
        with.rport = None;
        let of = |name: &[u8], session_id, task_msgid| {
            let ini_devid = device(name);
            let body = Body::ScsiCommand(ScsiCommand {
                ini_devid,
                session_id,
                task_msgid,
                ..with.clone()
            });
            let message = Message { msgid: 1, body };
            by_object(&message.encode(Dialect::Y2009).expect("it can be sent"))
        };
        assert!(of(b"host 1", 5, 10).conflicts_with(&of(b"host 1", 7, 11)));
        assert!(!of(b"host 1", 5, 10).conflicts_with(&of(b"host 2", 7, 11)));
    }

    #[test]
    fn a_transport_id_is_told_up_to_its_bound() {
        let of = |length| lane(command_of(vec![1; length], 5, 10, b"port a", [1; 16]));
        assert!(!of(TRANSPORT_ID_MAX).is_barrier());
        assert!(of(TRANSPORT_ID_MAX + 1).is_barrier());
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
                    initiator: &[session_id as u8; 24],
                    lun_id: &lun_id,
                    lun: LUN,
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
