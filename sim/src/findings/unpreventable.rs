// SPDX-License-Identifier: MPL-2.0
//! Traps of the kernel that are sprung though every relay keeps its rules, because of what was
//! done to the node: such a panic is named and counted apart, and nothing else is.
//!
//! Which of the traps of docs/kernel.md that are, was worked out one by one for two nodes whose
//! relays keep the rules of docs/relay.md, under any of the faults that can be injected:
//!
//! | trap | what a sound relay does about it |
//! | --- | --- |
//! | 1, 2, 6 | session ids come again only after a reboot of the peer, and then the handle was closed in between; the end of a session that gets lost (a door that fails, a link that breaks) leaves one behind whose nexus comes back with a higher id only, which replaces it; messages of a port, a session, a nexus stay in order |
//! | 3 | every scsi_data is confirmed at most once: confirmations are sent by the peer's kernel alone, are not repeated, and do not outlive the link on which the data came; a call that is tried again after EAGAIN has reached nobody before |
//! | 4, 5 | checksums on the link; a kernel sends no such message (one of the 2009 dialect does send the like of trap 4: the two do not go together, and a scenario that mixes them is found) |
//! | 7 | **none**: the status goes out through the door in the middle of the post, and whatever makes that call fail springs it |
//! | 8 | ALUA is set before the first post |
//! | 9 | **none**: the peer's kernel copies the flags of a command of which it hands on no data |
//! | 10, 11, 14 | nothing is posted twice, and the peer's kernel sends one buffer at a time, one status |
//! | 12, 13 | a kernel's ids begin at 1 |
//!
//! So two are left. For each the trace has to show the cause, right before the panic; where it
//! does not, the panic is a finding like any other.

use super::{Finding, Kind};
use crate::scsi::opcode;
use crate::world::trace::{Event, NodeId, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stmf_proxy::message::status::task_flags;
use stmf_proxy::status::Step;
use stmf_proxy::time::Time;

/// How the names of faults begin that make a door call fail ([`Event::Fault`]): with an error
/// number. Others of the door only delay it, or answer it with a result, which is harmless.
const DOOR_FAULT: &str = "door-e";

/// So long after an initiator's command its message may still arrive at the peer.
const COMMAND_LIFE: Duration = Duration::from_secs(200);

/// Posts of a node that are remembered.
const MOST_POSTS: usize = 4_096;

/// A way in which a trap is sprung that no relay can prevent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unpreventable {
    /// The trap (docs/kernel.md).
    pub trap: u8,
    /// What must stand in the trace before.
    sign: Sign,
    /// What springs it, as a part of a sentence.
    pub cause: &'static str,
}

/// What a trace shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    /// The last call of the door on the node failed just now, by an injected fault.
    CallFailed,
    /// The last call of the door on the node failed just now, and a post is in progress there whose
    /// relay had ended without closing its handle.
    RelayGone,
    /// An initiator at the peer has sent data along with a command that takes none.
    BurstForNothing,
}

/// All of them.
pub const UNPREVENTABLE: [Unpreventable; 3] = [
    Unpreventable {
        trap: 7,
        sign: Sign::CallFailed,
        cause: "the call of the door with the status of a small read was made to fail while its \
                confirmation was being posted",
    },
    Unpreventable {
        trap: 7,
        sign: Sign::RelayGone,
        cause: "the relay was killed while it posted the confirmation of a small read",
    },
    Unpreventable {
        trap: 9,
        sign: Sign::BurstForNothing,
        cause: "an initiator at the peer sent data along with a command that takes none, and the \
                peer's kernel handed on its flags without the data",
    },
];

/// A panic that no relay could prevent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excused {
    /// What was found.
    pub finding: Finding,
    /// Why it is no fault of a relay.
    pub by: Unpreventable,
}

/// What is remembered of a node.
#[derive(Default)]
struct Signs {
    /// When a door call was made to fail last.
    fault: Option<Time>,
    /// When a door call failed last.
    failed: Option<Time>,
    /// Posts in progress.
    posts: BTreeSet<u64>,
    /// Posts in progress of a relay process that has ended without closing its handle.
    orphans: BTreeSet<u64>,
    /// The relay has begun to close its handle.
    closing: bool,
    /// When an initiator last sent data along with a command that takes none.
    burst: Option<Time>,
}

/// Looks out for the signs.
#[derive(Default)]
pub(super) struct Signals(BTreeMap<NodeId, Signs>);

impl Signals {
    pub(super) fn event(&mut self, record: &Record<'_>) {
        let (Some(node), now) = (record.node, record.time) else {
            return;
        };
        // Most events are none of these.
        let change: &dyn Fn(&mut Signs) = match record.event {
            Event::UpcallDone {
                outcome: Err(_), ..
            } => &|signs| signs.failed = Some(now),
            Event::Fault(text) if text.starts_with(DOOR_FAULT) => &|signs| signs.fault = Some(now),
            Event::Call {
                step: Step::CloseProxyService,
                ..
            } => &|signs| signs.closing = true,
            Event::Post { post, .. } => &move |signs| {
                if signs.posts.len() < MOST_POSTS {
                    signs.posts.insert(post);
                }
            },
            Event::PostDone { post, .. } => &move |signs| {
                signs.posts.remove(&post);
                signs.orphans.remove(&post);
            },
            Event::RelayStarted => &|signs| signs.closing = false,
            Event::RelayEnded => &|signs| {
                let posts = std::mem::take(&mut signs.posts);
                if !signs.closing {
                    signs.orphans.extend(posts);
                }
            },
            Event::Boot { .. } => &|signs| *signs = Signs::default(),
            Event::Command { flags, cdb, .. }
                if flags & task_flags::INITIAL_BURST != 0 && !hands_on_data(cdb) =>
            {
                &|signs| signs.burst = Some(now)
            }
            _ => return,
        };
        change(self.0.entry(node).or_default());
    }

    /// Why no relay could prevent this panic, if that is so. `record` is the panic.
    pub(super) fn unpreventable(&self, record: &Record<'_>) -> Option<Unpreventable> {
        let Event::Panic { trap, .. } = record.event else {
            return None;
        };
        let (node, now) = (record.node?, record.time);
        let nothing = Signs::default();
        let signs = self.0.get(&node).unwrap_or(&nothing);
        let peer = self.0.get(&(node ^ 1)).unwrap_or(&nothing);
        let shows = |sign| match sign {
            Sign::CallFailed => signs.failed == Some(now) && signs.fault == Some(now),
            Sign::RelayGone => signs.failed == Some(now) && !signs.orphans.is_empty(),
            Sign::BurstForNothing => peer.burst.is_some_and(|time| now - time <= COMMAND_LIFE),
        };
        let mut all = UNPREVENTABLE.into_iter();
        all.find(|known| known.trap == trap && shows(known.sign))
    }
}

/// Whether a standby node hands the data of a command on with it: where there is a parameter
/// list.
fn hands_on_data(cdb: &[u8]) -> bool {
    let list = match cdb.first() {
        Some(&opcode::MODE_SELECT_6) => cdb.get(4..5),
        Some(&opcode::MODE_SELECT_10) => cdb.get(7..9),
        Some(&opcode::PERSISTENT_RESERVE_OUT) => cdb.get(5..9),
        _ => None,
    };
    list.is_some_and(|length| length.iter().any(|byte| *byte != 0))
}

/// Takes those findings of this record out that no relay could prevent.
pub(super) fn excuse(
    findings: &mut Vec<Finding>,
    from: usize,
    excused: &mut Vec<Excused>,
    by: Unpreventable,
) {
    let new = findings.split_off(from.min(findings.len()));
    for finding in new {
        match finding.kind {
            Kind::NodePanic => excused.push(Excused { finding, by }),
            _ => findings.push(finding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Watch;
    use super::*;
    use crate::world::trace::Sink;

    const PANIC: Event<'static> = Event::Panic {
        trap: 7,
        reason: "used after it was freed",
    };

    /// Feeds a watch for exploration; the answer is how many panics were found, and what excused
    /// the others.
    fn judge(events: &[(u64, NodeId, Event<'_>)]) -> (usize, Vec<Unpreventable>) {
        let mut watch = Watch::for_exploration();
        for (sequence, (seconds, node, event)) in (1..).zip(events) {
            let time = Time::from_nanos(seconds * 1_000_000_000);
            watch.record(&Record::new(sequence, time, Some(*node), *event));
        }
        let excused = watch.excused().iter().map(|excused| excused.by).collect();
        let found = watch.finish(Time::from_nanos(1 << 40)).into_iter();
        let panics = found.filter(|finding| finding.kind == Kind::NodePanic);
        (panics.count(), excused)
    }

    fn failed(errno: i32) -> Event<'static> {
        let outcome = Err(errno);
        Event::UpcallDone { call: 1, outcome }
    }

    #[test]
    fn a_call_that_was_made_to_fail_excuses_trap_7() {
        let fault = Event::Fault("door-errno: call 1, EINTR (4)");
        let (found, by) = judge(&[(1, 0, fault), (1, 0, failed(4)), (1, 0, PANIC)]);
        assert_eq!((found, by), (0, vec![UNPREVENTABLE[0]]));
        // On the other node, at another time, of another kind, for another trap: no.
        let elsewhere = [(1, 1, fault), (1, 0, failed(4)), (1, 0, PANIC)];
        let earlier = [(1, 0, fault), (2, 0, failed(4)), (2, 0, PANIC)];
        let disk = Event::Fault("door-result: 5");
        let other = [(1, 0, disk), (1, 0, failed(4)), (1, 0, PANIC)];
        let (trap, reason) = (2, "in the list twice");
        let panic = Event::Panic { trap, reason };
        let trap = [(1, 0, fault), (1, 0, failed(4)), (1, 0, panic)];
        let nothing = [(1, 0, fault), (1, 0, PANIC), (1, 0, failed(4))];
        for events in [elsewhere, earlier, other, trap, nothing] {
            assert_eq!(judge(&events), (1, vec![]), "{events:?}");
        }
    }

    #[test]
    fn a_relay_that_was_killed_excuses_trap_7_and_one_that_ends_by_itself_does_not() {
        let (ended, started) = ((1, 0, Event::RelayEnded), (1, 0, Event::RelayStarted));
        let message: &[u8] = &[];
        let post = (0, 0, Event::Post { post: 7, message });
        let outcome = Ok(());
        let posted = (0, 0, Event::PostDone { post: 7, outcome });
        let calls = [(2, 0, failed(9)), (2, 0, PANIC)];
        let step = Step::CloseProxyService;
        let closes = (1, 0, Event::Call { call: 3, step });
        // Another relay may have been started in its place.
        for excused in [
            vec![started, post, ended],
            vec![started, post, ended, started],
            vec![started, post, ended, started, closes, ended],
        ] {
            let events = [&excused[..], &calls].concat();
            assert_eq!(judge(&events), (0, vec![UNPREVENTABLE[1]]), "{events:?}");
        }
        // By itself, with nothing in progress, or no more: no.
        for found in [
            vec![post, closes, ended],
            vec![post],
            vec![ended],
            vec![post, posted, ended],
            vec![post, ended, posted],
        ] {
            let events = [&found[..], &calls].concat();
            assert_eq!(judge(&events), (1, vec![]), "{events:?}");
        }
    }

    #[test]
    fn data_for_a_command_that_takes_none_excuses_trap_9() {
        let cdb = crate::scsi::cdb::test_unit_ready();
        let command = |flags, cdb| Event::Command {
            initiator: 0,
            tag: 1,
            session: 1,
            lun: [0; 8],
            flags,
            expected: 4,
            cdb,
            data: b"what",
        };
        let (trap, reason) = (9, "brings no data buffer");
        let panic = (1, 0, Event::Panic { trap, reason });
        let (excused, _) = judge(&[(1, 1, command(0xa1, &cdb)), panic]);
        assert_eq!(excused, 0);
        let select = crate::scsi::cdb::mode_select_6(false, 4);
        assert_eq!(judge(&[(1, 1, command(0xa1, &select)), panic]).0, 1);
        assert_eq!(judge(&[(1, 1, command(0x21, &cdb)), panic]).0, 1);
        assert_eq!(judge(&[(1, 0, command(0xa1, &cdb)), panic]).0, 1);
    }
}
