// SPDX-License-Identifier: MPL-2.0
//! What a message is about, and so which messages it may not overtake.
//!
//! A message *claims* objects. A claim is exclusive (nothing else about this object may be in
//! progress) or shared (other shared claims may). Two messages keep the order in which they were
//! sent if they claim an object in common and at least one of the claims is exclusive; all other
//! pairs may be posted in parallel. So commands of two sessions run side by side though both come
//! through one port to one LU (shared claims), and a registration of that port or LU (an
//! exclusive claim) keeps its place among them.
//!
//! An I_T nexus (initiator and target port) is an object of its own: it has one session after
//! another, and the kernel takes a command of the older one after one of the newer one for a
//! mistake, and never lets go of the session that it found (docs/kernel.md, trap 1). What names
//! only a session cannot claim its nexus; the end of a session, and the commands, do both.
//!
//! Sessions and tasks are numbered by the kernel of the node that the initiator is connected to,
//! and both nodes have such. In one direction of the link travel messages about the *sender's*
//! sessions (commands, their end, xfer_done) and about the *receiver's* (data and status going
//! back): session 5 of the one has nothing to do with session 5 of the other.
//!
//! This module knows which fields matter, not where they stand in the bytes: a classifier picks
//! them out of the packed message and makes a [`Subject`].

use std::fmt;

/// Something that messages are about. Identifiers of variable or long form are folded to 64 bits:
/// two that fold alike are kept in order needlessly, never out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A port, by its identifier.
    Port(u64),
    /// A logical unit, by its 16-byte id.
    LogicalUnit(u64),
    /// The logical units that initiators know by this number, whatever port they come through.
    Lun([u8; 8]),
    /// An initiator at a port, whatever its session.
    Nexus(u64),
    /// A session of the node that sent the message.
    SenderSession(u64),
    /// A task of the node that sent the message, by its message id.
    SenderTask(u64),
    /// A session of the node that receives the message.
    ReceiverSession(u64),
    /// A task or registration of the receiving node that is answered, by its message id.
    ReceiverTask(u64),
    /// The echo service.
    Echo,
}

impl Object {
    /// The port with this identifier (`ident` of a device identifier).
    pub fn port(ident: &[u8]) -> Object {
        Object::Port(fold(EMPTY, ident))
    }

    /// The nexus of the initiator with this transport id and the port with this identifier.
    pub fn nexus(initiator: &[u8], target: &[u8]) -> Object {
        Object::Nexus(fold(fold(EMPTY, initiator), target))
    }

    /// The logical unit with this id.
    pub fn logical_unit(id: &[u8; 16]) -> Object {
        Object::LogicalUnit(fold(EMPTY, id))
    }
}

/// What [`fold`] begins with.
const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over 64 bits.
fn fold(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// How an object is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Beside other shared claims.
    Shared,
    /// Alone.
    Exclusive,
}

/// One object of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which object.
    pub object: Object,
    /// How.
    pub mode: Mode,
}

/// The most claims that one message makes.
pub const CLAIMS_MAX: usize = 6;

/// All claims of a message: the place that it keeps among the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    claims: [Claim; CLAIMS_MAX],
    count: u8,
    barrier: bool,
    slow: bool,
}

impl Lane {
    /// A message that claims nothing and may be posted at any time. Add claims to it.
    pub const fn free() -> Lane {
        let none = Claim {
            object: Object::Echo,
            mode: Mode::Shared,
        };
        Lane {
            claims: [none; CLAIMS_MAX],
            count: 0,
            barrier: false,
            slow: false,
        }
    }

    /// A message that cannot be told from its bytes: it waits for all earlier ones, and all later
    /// ones wait for it. This keeps order whatever it is; the price is a short stall.
    pub const fn barrier() -> Lane {
        let mut lane = Lane::free();
        lane.barrier = true;
        lane
    }

    /// This lane with one claim more. A second claim on the same object makes one claim of both,
    /// exclusive if either is. A claim too many makes the lane a barrier, which keeps all order.
    pub fn and(mut self, object: Object, mode: Mode) -> Lane {
        let count = usize::from(self.count);
        if let Some(claim) = self.claims[..count]
            .iter_mut()
            .find(|claim| claim.object == object)
        {
            if mode == Mode::Exclusive {
                claim.mode = mode;
            }
        } else if count < CLAIMS_MAX {
            self.claims[count] = Claim { object, mode };
            self.count += 1;
        } else {
            self.barrier = true;
        }
        self
    }

    /// This lane, marked as one that may take the kernel seconds. Only so many of these are in
    /// progress at once ([`Config::slow_posts_in_flight`](super::Config::slow_posts_in_flight)),
    /// so that they leave room for commands and their answers.
    pub const fn slow(mut self) -> Lane {
        self.slow = true;
        self
    }

    /// The claims.
    pub fn claims(&self) -> &[Claim] {
        &self.claims[..usize::from(self.count)]
    }

    /// Whether everything keeps its order with this message.
    pub const fn is_barrier(&self) -> bool {
        self.barrier
    }

    /// Whether it may take the kernel seconds.
    pub const fn is_slow(&self) -> bool {
        self.slow
    }

    /// Whether a message of this lane and one of `other` must be posted in the order sent.
    pub fn conflicts_with(&self, other: &Lane) -> bool {
        self.barrier
            || other.barrier
            || self.claims().iter().any(|ours| {
                other.claims().iter().any(|theirs| {
                    ours.object == theirs.object
                        && (ours.mode == Mode::Exclusive || theirs.mode == Mode::Exclusive)
                })
            })
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.barrier {
            return f.write_str("barrier");
        }
        f.write_str(if self.slow { "slow[" } else { "[" })?;
        for (index, claim) in self.claims().iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            let mark = if claim.mode == Mode::Shared { "&" } else { "" };
            write!(f, "{gap}{mark}{:?}", claim.object)?;
        }
        f.write_str("]")
    }
}

/// Tells the lane of a packed message from its bytes. Called once for each message that arrives,
/// so it should look at no more than it needs. Bytes that it cannot read: [`Lane::barrier`].
pub type Classifier = fn(&[u8]) -> Lane;

/// A classifier that tells nothing: every message is a barrier, all are posted one by one in the
/// order sent.
pub fn strict_order(_message: &[u8]) -> Lane {
    Lane::barrier()
}

/// The fields of a message that decide its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// register_proxy_port, deregister_proxy_port.
    Port {
        /// `ident` of the port id.
        port: &'a [u8],
    },
    /// register_lun, deregister_lun, lun_active.
    LogicalUnit {
        /// The LU id.
        lun_id: &'a [u8; 16],
    },
    /// scsi_cmd.
    Command {
        /// The sender's session.
        session_id: u64,
        /// The sender's task.
        task_msgid: u64,
        /// `ident` of the target port's id.
        target: &'a [u8],
        /// Transport id of the initiator.
        initiator: &'a [u8],
        /// The LU id; all zero for task management, which names none.
        lun_id: &'a [u8; 16],
        /// The number of the LU, as the initiator sent it.
        lun: [u8; 8],
    },
    /// scsi_data_xfer_done.
    TransferDone {
        /// The sender's session, 0 if the sender knows the task no more.
        session_id: u64,
        /// The sender's task.
        task_msgid: u64,
    },
    /// scsi_data, scsi_status.
    Answer {
        /// The receiver's session.
        session_id: u64,
        /// The receiver's task.
        task_msgid: u64,
        /// The LU id.
        lun_id: &'a [u8; 16],
    },
    /// r2t, which kernels drop.
    ReadyToTransfer {
        /// The receiver's session.
        session_id: u64,
        /// The receiver's task.
        task_msgid: u64,
    },
    /// status: the answer to a registration or a command of the receiver.
    Status {
        /// Message id of what is answered.
        status_msgid: u64,
    },
    /// session_create, session_destroy.
    Session {
        /// The sender's session.
        session_id: u64,
        /// `ident` of the target port's id.
        target: &'a [u8],
        /// Transport id of the initiator.
        initiator: &'a [u8],
    },
    /// echo_request, echo_reply.
    Echo,
    /// Anything else, or a message that lacks one of these fields.
    Unknown,
}

impl Subject<'_> {
    /// The claims that follow. The table of `docs/relay.md` says why.
    pub fn lane(&self) -> Lane {
        use Mode::{Exclusive, Shared};
        match *self {
            Subject::Port { port } => Lane::free().and(Object::port(port), Exclusive).slow(),
            Subject::LogicalUnit { lun_id } => Lane::free()
                .and(Object::logical_unit(lun_id), Exclusive)
                .slow(),
            Subject::Command {
                session_id,
                task_msgid,
                target,
                initiator,
                lun_id,
                lun,
            } => {
                let lane = Lane::free()
                    .and(Object::SenderSession(session_id), Exclusive)
                    .and(Object::SenderTask(task_msgid), Exclusive)
                    .and(Object::nexus(initiator, target), Exclusive)
                    .and(Object::port(target), Shared);
                if *lun_id == [0; 16] {
                    lane.and(Object::Lun(lun), Exclusive)
                } else {
                    lane.and(Object::Lun(lun), Shared)
                        .and(Object::logical_unit(lun_id), Shared)
                }
            }
            Subject::TransferDone {
                session_id,
                task_msgid,
            } => {
                let lane = Lane::free().and(Object::SenderTask(task_msgid), Exclusive);
                if session_id == 0 {
                    lane
                } else {
                    lane.and(Object::SenderSession(session_id), Exclusive)
                }
            }
            Subject::Answer {
                session_id,
                task_msgid,
                lun_id,
            } => Lane::free()
                .and(Object::ReceiverSession(session_id), Exclusive)
                .and(Object::ReceiverTask(task_msgid), Exclusive)
                .and(Object::logical_unit(lun_id), Shared),
            Subject::ReadyToTransfer {
                session_id,
                task_msgid,
            } => Lane::free()
                .and(Object::ReceiverSession(session_id), Exclusive)
                .and(Object::ReceiverTask(task_msgid), Exclusive),
            Subject::Status { status_msgid } => {
                Lane::free().and(Object::ReceiverTask(status_msgid), Exclusive)
            }
            Subject::Session {
                session_id,
                target,
                initiator,
            } => Lane::free()
                .and(Object::SenderSession(session_id), Exclusive)
                .and(Object::nexus(initiator, target), Exclusive)
                .and(Object::port(target), Shared)
                .slow(),
            Subject::Echo => Lane::free().and(Object::Echo, Exclusive),
            Subject::Unknown => Lane::barrier(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LU: [u8; 16] = [0x60; 16];
    const NO_LU: [u8; 16] = [0; 16];

    fn command(session_id: u64, task_msgid: u64, lun_id: &'static [u8; 16]) -> Lane {
        Subject::Command {
            session_id,
            task_msgid,
            target: b"port 1",
            initiator: &session_id.to_be_bytes(),
            lun_id,
            lun: [0; 8],
        }
        .lane()
    }

    #[test]
    fn sessions_run_beside_each_other_and_inside_a_session_all_is_in_order() {
        let first = command(1, 10, &LU);
        assert!(first.conflicts_with(&command(1, 11, &LU)));
        assert!(!first.conflicts_with(&command(2, 12, &LU)));
        let done = Subject::TransferDone {
            session_id: 1,
            task_msgid: 10,
        }
        .lane();
        assert!(first.conflicts_with(&done));
        assert!(!command(2, 12, &LU).conflicts_with(&done));
        let end = Subject::Session {
            session_id: 1,
            target: b"port 1",
            initiator: &1u64.to_be_bytes(),
        }
        .lane();
        assert!(end.conflicts_with(&first) && end.conflicts_with(&done));
        assert!(!end.conflicts_with(&command(2, 12, &LU)));
    }

    #[test]
    fn the_sessions_of_one_nexus_keep_their_order() {
        let command = |session_id, task_msgid, target| {
            Subject::Command {
                session_id,
                task_msgid,
                target,
                initiator: b"host 1",
                lun_id: &LU,
                lun: [0; 8],
            }
            .lane()
        };
        let older = command(5, 10, b"port 1");
        let newer = command(7, 11, b"port 1");
        assert!(newer.conflicts_with(&older));
        let end = Subject::Session {
            session_id: 5,
            target: b"port 1",
            initiator: b"host 1",
        }
        .lane();
        assert!(end.conflicts_with(&older) && newer.conflicts_with(&end));
        let elsewhere = command(7, 11, b"port 2");
        assert!(!elsewhere.conflicts_with(&older) && !elsewhere.conflicts_with(&end));
    }

    #[test]
    fn a_reset_keeps_its_place_among_the_commands_to_its_lun_from_everywhere() {
        let to = |session_id, task_msgid, target, lun_id, lun| {
            let initiator = b"host 1";
            Subject::Command {
                session_id,
                task_msgid,
                target,
                initiator,
                lun_id,
                lun,
            }
            .lane()
        };
        let (zero, one) = ([0; 8], [0, 1, 0, 0, 0, 0, 0, 0]);
        let reset = to(1, 10, b"port 1", &NO_LU, zero);
        assert!(reset.conflicts_with(&to(2, 11, b"port 2", &LU, zero)));
        assert!(!reset.conflicts_with(&to(2, 11, b"port 2", &LU, one)));
        assert!(
            reset.conflicts_with(&to(1, 12, b"port 1", &LU, one)),
            "one session"
        );
        assert!(!to(1, 10, b"port 1", &LU, zero).conflicts_with(&to(2, 11, b"port 2", &LU, zero)));
    }

    #[test]
    fn a_transfer_done_without_session_keeps_order_with_its_task_only() {
        let unknown = Subject::TransferDone {
            session_id: 0,
            task_msgid: 10,
        }
        .lane();
        assert!(unknown.conflicts_with(&command(1, 10, &LU)));
        assert!(!unknown.conflicts_with(&command(1, 11, &LU)));
        let other = Subject::TransferDone {
            session_id: 0,
            task_msgid: 11,
        }
        .lane();
        assert!(!unknown.conflicts_with(&other));
    }

    #[test]
    fn a_port_keeps_order_with_its_sessions_and_not_with_other_ports() {
        let register = Subject::Port { port: b"port 1" }.lane();
        assert!(register.conflicts_with(&register));
        assert!(register.conflicts_with(&command(1, 10, &LU)));
        assert!(!register.conflicts_with(&Subject::Port { port: b"port 2" }.lane()));
        let lun = Subject::LogicalUnit { lun_id: &LU }.lane();
        assert!(!register.conflicts_with(&lun));
        assert!(register.is_slow() && lun.is_slow() && !command(1, 10, &LU).is_slow());
    }

    #[test]
    fn a_logical_unit_keeps_order_with_commands_and_answers_about_it() {
        let lun = Subject::LogicalUnit { lun_id: &LU }.lane();
        let answer = Subject::Answer {
            session_id: 1,
            task_msgid: 10,
            lun_id: &LU,
        }
        .lane();
        assert!(lun.conflicts_with(&command(1, 10, &LU)));
        assert!(lun.conflicts_with(&answer));
        assert!(
            !lun.conflicts_with(&command(1, 10, &NO_LU)),
            "task management names no LU"
        );
    }

    #[test]
    fn sessions_of_the_two_nodes_are_different_objects() {
        let answer = Subject::Answer {
            session_id: 1,
            task_msgid: 10,
            lun_id: &LU,
        }
        .lane();
        assert!(!answer.conflicts_with(&command(1, 10, &LU)));
        let status = Subject::Status { status_msgid: 10 }.lane();
        assert!(status.conflicts_with(&answer));
        assert!(!status.conflicts_with(&command(1, 10, &LU)));
    }

    #[test]
    fn what_cannot_be_told_is_a_barrier_and_so_is_a_claim_too_many() {
        assert!(Subject::Unknown.lane().conflicts_with(&Lane::free()));
        let full = (0..CLAIMS_MAX as u64).fold(Lane::free(), |lane, id| {
            lane.and(Object::Port(id), Mode::Shared)
        });
        assert!(!full.is_barrier());
        assert!(full.and(Object::Echo, Mode::Shared).is_barrier());
        assert!(!full.and(Object::Port(0), Mode::Exclusive).is_barrier());
    }

    #[test]
    fn the_stronger_of_two_claims_on_one_object_counts() {
        let lane = Lane::free()
            .and(Object::Echo, Mode::Shared)
            .and(Object::Echo, Mode::Exclusive);
        let again = Lane::free()
            .and(Object::Echo, Mode::Exclusive)
            .and(Object::Echo, Mode::Shared);
        assert_eq!(lane, again);
        assert_eq!(format!("{lane:?}"), "[Echo]");
    }
}
