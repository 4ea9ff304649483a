// SPDX-License-Identifier: MPL-2.0
//! What injected faults are called in traces.
//!
//! When a fault really hits something, an [`Event::Fault`] says so: its name, and behind ": "
//! what it hit, as `post-failed: post 17, ENOMEM (12)`. Names never change and hold nothing that
//! varies, so that faults can be counted by them. A fault that is waiting for something to hit
//! tells nothing.
//!
//! [`Event::Fault`]: super::trace::Event::Fault

use super::trace::{Event, NodeId, Trace};
use crate::executor::Executor;
use crate::world::DiskFaultKind;
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Its name in traces.
    pub name: &'static str,
    /// What happens, in a line.
    pub about: &'static str,
}

/// Nothing on the node runs for a while.
pub const PAUSE: &str = "pause";
/// The relay process ends wherever it stands.
pub const RELAY_KILLED: &str = "relay-killed";
/// An access to a disk that takes long.
pub const DISK_SLOW: &str = DiskFaultKind::Slow(Duration::ZERO).name();
/// The service stmf is switched off.
pub const SERVICE_DISABLED: &str = "service-disabled";
/// The service stmf is on again.
pub const SERVICE_ENABLED: &str = "service-enabled";
/// Connections break, and both ends hear of it.
pub const LINK_BROKEN: &str = "link-broken";
/// Connections break, and one end does not hear of it.
pub const LINK_HALF_OPEN: &str = "link-half-open";
/// What travels one way is held up.
pub const LINK_HELD: &str = "link-held";
/// A bit of what is sent is turned over.
pub const LINK_DAMAGE: &str = "link-damage";
/// What arrives is taken in slowly.
pub const LINK_SLOW_READER: &str = "link-slow-reader";
/// Bytes travel for another time than usual.
pub const LINK_LATENCY: &str = "link-latency";
/// The times for which bytes travel differ by another amount.
pub const LINK_JITTER: &str = "link-jitter";
/// The bandwidth is another one.
pub const LINK_BANDWIDTH: &str = "link-bandwidth";
/// What is sent at once arrives in other pieces than usual.
pub const LINK_PIECES: &str = "link-pieces";
/// All threads that serve the door are busy: calls wait.
pub const DOOR_NO_THREAD: &str = "door-no-thread";

const fn fault(name: &'static str, about: &'static str) -> Fault {
    Fault { name, about }
}

/// All kinds of faults, in the order of docs/world.md.
pub const FAULTS: &[Fault] = &[
    fault(PAUSE, "nothing on the node runs for a while"),
    fault(RELAY_KILLED, "the relay process ends wherever it stands"),
    fault(SERVICE_DISABLED, "the service stmf is switched off"),
    fault(SERVICE_ENABLED, "the service stmf is on again"),
    fault(LINK_BROKEN, "connections break, and both ends hear of it"),
    fault(
        LINK_HALF_OPEN,
        "connections break, and one end does not hear of it",
    ),
    fault(LINK_HELD, "what travels one way is held up"),
    fault(LINK_DAMAGE, "a bit of what is sent is turned over"),
    fault(LINK_SLOW_READER, "what arrives is taken in slowly"),
    fault(LINK_LATENCY, "bytes travel for another time than usual"),
    fault(
        LINK_JITTER,
        "the times for which bytes travel differ by another amount",
    ),
    fault(LINK_BANDWIDTH, "the bandwidth is another one"),
    fault(
        LINK_PIECES,
        "what is sent at once arrives in other pieces than usual",
    ),
    fault("door-eagain", "a door call fails with EAGAIN"),
    fault("door-eintr", "a door call fails with EINTR"),
    fault("door-e2big", "a door call fails with E2BIG"),
    fault(
        "door-ebadf",
        "a door call fails with EBADF, as for a door that was revoked",
    ),
    fault("door-errno", "a door call fails with some other errno"),
    fault(
        "door-result",
        "a door call is answered with something else than 0; the message is lost",
    ),
    fault(
        DOOR_NO_THREAD,
        "all threads that serve the door are busy: calls wait",
    ),
    fault(
        "post-failed",
        "a post fails, and its message reaches nobody",
    ),
    fault(
        "memory-ioctl-buffer",
        "no memory for a message that is posted: ENOMEM",
    ),
    fault(
        "memory-proxy-port",
        "no memory for a proxy port: its registration is refused",
    ),
    fault(
        "memory-session",
        "no memory for a session of a proxy port: the command is refused",
    ),
    fault(
        "memory-proxy-task",
        "no memory for a task of the peer: the command is dropped silently",
    ),
    fault(
        "memory-stmf-task",
        "no memory for the task of stmf: the command is dropped silently",
    ),
    fault(
        "slow-registration",
        "the registration of a proxy port takes long",
    ),
    fault(DISK_SLOW, "an access to a disk takes long"),
    fault("disk-read-error", "an access to a disk fails with 03/11/00"),
    fault(
        "disk-write-error",
        "an access to a disk fails with 03/0C/00",
    ),
];

/// The name in the text of an event.
pub fn name(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(name, _)| name)
}

/// The number behind `word` in the text of an event: 17 for "post" in
/// `post-failed: post 17, ENOMEM (12)`.
pub fn number(text: &str, word: &str) -> Option<u64> {
    let (_, detail) = text.split_once(": ")?;
    let mut words = detail.split([' ', ',']);
    words.find(|found| *found == word)?;
    words.next()?.parse().ok()
}

/// The call that this fault has fail, if it is such a fault: one that only has it wait is none.
pub(crate) fn failed_call(text: &str) -> Option<u64> {
    let waits = name(text) == DOOR_NO_THREAD;
    number(text, "call").filter(|_| !waits)
}

/// For how long a node stands still, if this is the text of [`PAUSE`].
pub(crate) fn pause_of(text: &str) -> Option<Duration> {
    let milliseconds = (name(text) == PAUSE).then(|| number(text, "for"))??;
    Some(Duration::from_millis(milliseconds))
}

/// For how long all threads that serve a door are busy, if this is the text of
/// [`DOOR_NO_THREAD`].
pub(crate) fn busy_of(text: &str) -> Option<Duration> {
    let (name, detail) = text.split_once(": ")?;
    let (_, busy) = detail.rsplit_once(", ")?;
    let milliseconds =
        (name == DOOR_NO_THREAD).then(|| busy.strip_suffix(" ms")?.parse().ok())??;
    Some(Duration::from_millis(milliseconds))
}

/// Says that a fault hits something now.
pub(super) fn tell(trace: &Trace, executor: &Executor, node: NodeId, name: &str, detail: &str) {
    let text = match detail {
        "" => name.to_string(),
        detail => format!("{name}: {detail}"),
    };
    trace.record(executor.now(), Some(node), Event::Fault(&text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let text = "post-failed: post 17, ENOMEM (12)";
        assert_eq!(name(text), "post-failed");
        assert_eq!(number(text, "post"), Some(17));
        assert_eq!(number(text, "call"), None);
        assert_eq!(name("relay-killed"), "relay-killed");
        assert_eq!(number("relay-killed", "post"), None);
        assert_eq!(pause_of("pause: for 3000 ms"), Some(Duration::from_secs(3)));
        assert_eq!(failed_call("door-eintr: call 3, EINTR (4)"), Some(3));
        assert_eq!(failed_call("door-no-thread: call 3, 20 ms"), None);
        let busy = busy_of("door-no-thread: call 3, 20 ms");
        assert_eq!(busy, Some(Duration::from_millis(20)));
        assert_eq!(busy_of("door-eintr: call 3, EINTR (4)"), None);
        assert_eq!(pause_of("post-failed: for 3000 ms"), None);
    }

    #[test]
    fn every_fault_of_kernels_and_disks_is_listed() {
        use crate::kernel::doors::DoorFault;
        use crate::kernel::faults::{Allocation, POST_FAILED, SLOW_REGISTRATION};
        use crate::kernel::sbd::FaultKind;
        use stmf_proxy::status::Errno;
        let errno = |errno| DoorFault::Errno { errno, times: 1 }.name();
        let mut names = vec![
            POST_FAILED,
            SLOW_REGISTRATION,
            errno(Errno::EAGAIN),
            errno(Errno::EINTR),
            errno(Errno::E2BIG),
            errno(Errno::EBADF),
            errno(Errno::ENOBUFS),
            DoorFault::NoThread {
                delay: Duration::ZERO,
                times: 1,
            }
            .name(),
            DoorFault::Result {
                result: 1,
                times: 1,
            }
            .name(),
            FaultKind::Read.name(),
            FaultKind::Write.name(),
            FaultKind::Slow(Duration::ZERO).name(),
        ];
        names.extend(Allocation::ALL.map(Allocation::fault_name));
        for name in names {
            assert!(FAULTS.iter().any(|fault| fault.name == name), "{name}");
        }
    }

    #[test]
    fn no_name_stands_for_two() {
        for (place, fault) in FAULTS.iter().enumerate() {
            let first = FAULTS.iter().position(|other| other.name == fault.name);
            assert_eq!(first, Some(place), "{}", fault.name);
        }
    }
}
