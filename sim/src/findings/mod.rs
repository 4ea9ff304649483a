// SPDX-License-Identifier: MPL-2.0
//! What went wrong in a run, by name: watchers that look at a world's events and tell a
//! [`Finding`], each in a file of its own.
//!
//! They see what a trace shows and nothing else, so that a replay, a shrunk run and an explored
//! one are judged alike. A watcher keeps bounded state and draws no conclusion that a sound pair
//! of nodes could refute: where it says something, something is wrong.

use crate::kernel::sbd::Content;
use crate::world::trace::{Event, NodeId, Record, Sink};
use crate::world::{DiskListener, Stuck, World};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use stmf_proxy::time::Time;

mod answers;
mod bounds;
mod data;
mod demand;
mod describe;
mod ends;
mod hanging_posts;
pub mod invariants;
mod lost_commands;
mod lus;
mod numbers;
mod order;
mod panics;
mod paths;
mod ports;
mod proxied;
mod refused;
mod reservations;
mod same_node;
mod seen;
mod service;
mod standstill;
#[cfg(test)]
mod testing;
mod text;
mod units;
mod unpreventable;
mod upcalls;

pub use demand::DEMAND;
pub use seen::Seen;
pub use unpreventable::{Excused, UNPREVENTABLE, Unpreventable};

/// The kinds of findings, as command lines name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Kind {
    /// Threads wait for each other for ever.
    Deadlock,
    /// Somebody waits, and nothing goes on.
    Hang,
    /// A node went down.
    NodePanic,
    /// Our own code panicked.
    ProgramPanic,
    /// An initiator read what was not written.
    CorruptData,
    /// An initiator read what was there before a write that had ended well.
    LostWrite,
    /// An initiator read what was there before a state that a read had shown.
    StaleRead,
    /// An initiator read a block that is partly one write and partly another.
    TornWrite,
    /// A command had no status in time.
    LostCommand,
    /// A command was ended with what belonged to another one.
    WrongAnswer,
    /// A kernel dropped or refused a message that its peer had sent.
    RefusedMessage,
    /// A message that a door took never reached the peer, while the link stood.
    LostMessage,
    /// A kernel's call of its door came to nothing, and nothing made up for it.
    FailedUpcall,
    /// Messages about one object were posted in another order than they were sent.
    Misordered,
    /// A message was posted twice, or one that nobody had sent.
    Invented,
    /// A port of one node is not known to the other, though ALUA is on and the link stands.
    PortMissing,
    /// A port counts as registered that the peer has refused.
    PortFalselyRegistered,
    /// A LU is gone that nobody removed.
    LuGone,
    /// Both nodes take themselves for the same one.
    SameNode,
    /// Commands go the long way round though they need not.
    SlowPath,
    /// A relay cannot do its work.
    RelayStopped,
    /// A command was not served after everything was healed.
    NotServed,
    /// A kernel at rest keeps what it should have let go of.
    KernelState,
    /// A command was carried out that a reservation forbids to its nexus.
    ReservationBroken,
    /// A message of an earlier link was posted when a later one stood.
    Stale,
    /// A relay keeps more than its bounds allow.
    RelayBound,
    /// A command has not ended for its initiator either.
    NeverEnded,
    /// The same seed did not give the same run.
    Nondeterminism,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 28] = [
        Kind::Deadlock,
        Kind::Hang,
        Kind::NodePanic,
        Kind::ProgramPanic,
        Kind::CorruptData,
        Kind::LostWrite,
        Kind::StaleRead,
        Kind::TornWrite,
        Kind::LostCommand,
        Kind::WrongAnswer,
        Kind::RefusedMessage,
        Kind::LostMessage,
        Kind::FailedUpcall,
        Kind::Misordered,
        Kind::Invented,
        Kind::PortMissing,
        Kind::PortFalselyRegistered,
        Kind::LuGone,
        Kind::SameNode,
        Kind::SlowPath,
        Kind::RelayStopped,
        Kind::NotServed,
        Kind::KernelState,
        Kind::ReservationBroken,
        Kind::Stale,
        Kind::RelayBound,
        Kind::NeverEnded,
        Kind::Nondeterminism,
    ];

    /// The name: lower case, words joined by hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Deadlock => "deadlock",
            Kind::Hang => "hang",
            Kind::NodePanic => "node-panic",
            Kind::ProgramPanic => "program-panic",
            Kind::CorruptData => "corrupt-data",
            Kind::LostWrite => "lost-write",
            Kind::StaleRead => "stale-read",
            Kind::TornWrite => "torn-write",
            Kind::LostCommand => "lost-command",
            Kind::WrongAnswer => "wrong-answer",
            Kind::RefusedMessage => "refused-message",
            Kind::LostMessage => "lost-message",
            Kind::FailedUpcall => "failed-upcall",
            Kind::Misordered => "misordered",
            Kind::Invented => "invented",
            Kind::PortMissing => "port-missing",
            Kind::PortFalselyRegistered => "port-falsely-registered",
            Kind::LuGone => "lu-gone",
            Kind::SameNode => "same-node",
            Kind::SlowPath => "slow-path",
            Kind::RelayStopped => "relay-stopped",
            Kind::NotServed => "not-served",
            Kind::KernelState => "kernel-state",
            Kind::ReservationBroken => "reservation-broken",
            Kind::Stale => "stale",
            Kind::RelayBound => "relay-bound",
            Kind::NeverEnded => "never-ended",
            Kind::Nondeterminism => "nondeterminism",
        }
    }

    /// The kind of this name.
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// When it was noticed, in virtual time.
    pub time: Time,
    /// On which node, where it is one.
    pub node: Option<NodeId>,
    /// What happened, to whom, and why: a sentence that a storage engineer can act on. Without
    /// the name of the kind.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl From<&Stuck> for Finding {
    fn from(stuck: &Stuck) -> Finding {
        let kind = match stuck.is_deadlock() {
            true => Kind::Deadlock,
            false => Kind::Hang,
        };
        let text = stuck.to_string();
        Finding {
            kind,
            time: stuck.time,
            node: None,
            text: text.strip_prefix("deadlock: ").unwrap_or(&text).to_string(),
        }
    }
}

/// The step of a scenario at which faults are over and kernels and relays have had time to do
/// about them what they do by themselves: ports are judged then.
pub const SETTLED: &str = "heal: kernels and relays have had their time";

/// Where watchers put what they find.
pub type Found<'a> = &'a mut Vec<Finding>;

/// Looks at the events of a run.
pub trait Watcher {
    /// Something happened.
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>);
    /// Whether it is told of bytes on the link too.
    fn hears_bytes(&self) -> bool {
        false
    }
    /// The run is over, at this time: what is still owed is overdue. Worlds are judged when
    /// everything had time to come to rest.
    fn end(&mut self, now: Time, found: Found<'_>);
}

/// The most findings of one run that are kept: the first ones tell the story.
pub const MOST_FINDINGS: usize = 100;

/// All watchers over one run, as a sink of its trace.
pub struct Watch {
    watchers: Vec<Box<dyn Watcher>>,
    data: data::DataWatcher,
    findings: Vec<Finding>,
    /// What excuses panics, if anything shall.
    signals: Option<unpreventable::Signals>,
    excused: Vec<Excused>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new()
    }
}

impl Watch {
    /// Every watcher there is.
    pub fn new() -> Watch {
        let mut watch = Watch::without_taste();
        watch.watchers.push(Box::new(paths::Paths::default()));
        watch
    }

    /// Those that judge nothing but right and wrong, for runs that nobody has set up with care:
    /// a random scenario sends commands the long way round because it wants to
    /// ([`Kind::SlowPath`]). Panics that no relay could prevent are kept apart
    /// ([`Watch::excused`]).
    pub fn for_exploration() -> Watch {
        Watch {
            signals: Some(unpreventable::Signals::default()),
            ..Watch::without_taste()
        }
    }

    fn without_taste() -> Watch {
        Watch {
            watchers: vec![
                Box::new(panics::Panics::default()),
                Box::new(refused::Refused::default()),
                Box::new(upcalls::Upcalls::default()),
                Box::new(ports::Ports::default()),
                Box::new(numbers::Numbers::default()),
                Box::new(lus::Lus::default()),
                Box::new(answers::Answers::default()),
                Box::new(service::Service::default()),
                Box::<order::Order>::default(),
                Box::<lost_commands::LostCommands>::default(),
                Box::<hanging_posts::HangingPosts>::default(),
                Box::<same_node::SameNode>::default(),
                Box::<demand::Demand>::default(),
                Box::<reservations::Reservations>::default(),
                Box::<bounds::Bounds>::default(),
                Box::<ends::Ends>::default(),
            ],
            data: data::DataWatcher::default(),
            findings: Vec::new(),
            signals: None,
            excused: Vec::new(),
        }
    }

    /// The same, to be given to a trace.
    pub fn shared() -> Rc<RefCell<Watch>> {
        Rc::new(RefCell::new(Watch::new()))
    }

    /// The same, told of everything that happens in a world and of the disks that are put into
    /// it from now on.
    pub fn over(world: &World) -> Rc<RefCell<Watch>> {
        let watch = Watch::shared();
        world.trace().add_sink(watch.clone());
        world.disks().listen(watch.clone());
        watch
    }

    /// There is a disk of `size` bytes for this LU, and it held this at first.
    pub fn disk(&mut self, lu: [u8; 16], size: u64, content: Option<&Content>) {
        self.data.disk(lu, size, content);
    }

    /// Adds what was found otherwise.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Panics that no relay could prevent, in a watch for exploration: they are no findings.
    pub fn excused(&self) -> &[Excused] {
        &self.excused
    }

    /// What was found until now.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The run is over: everything that was found, in the order in which it was noticed.
    pub fn finish(&mut self, now: Time) -> Vec<Finding> {
        for watcher in &mut self.watchers {
            watcher.end(now, &mut self.findings);
        }
        self.data.end(now, &mut self.findings);
        let mut findings = std::mem::take(&mut self.findings);
        findings.truncate(MOST_FINDINGS);
        findings
    }
}

impl Sink for Watch {
    fn record(&mut self, record: &Record<'_>) {
        let before = self.findings.len();
        // Bytes on the link, half of all events, tell most watchers nothing that their messages
        // do not.
        let bytes = matches!(record.event, Event::Sent { .. } | Event::Received { .. });
        Seen::with(record, |seen| {
            for watcher in &mut self.watchers {
                if !bytes || watcher.hears_bytes() {
                    watcher.event(seen, &mut self.findings);
                }
            }
            if !bytes {
                self.data.event(seen, &mut self.findings);
            }
        });
        if let Some(signals) = &mut self.signals {
            signals.event(record);
            if let Some(by) = signals.unpreventable(record) {
                unpreventable::excuse(&mut self.findings, before, &mut self.excused, by);
            }
        }
        self.findings.truncate(MOST_FINDINGS);
        self.excused.truncate(MOST_FINDINGS);
    }
}

impl DiskListener for Watch {
    fn disk(&mut self, lu: [u8; 16], size: u64, content: Option<&Content>) {
        Watch::disk(self, lu, size, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a watcher finds in these events, each told by a node.
    pub(super) fn findings(watcher: impl Watcher, events: &[(NodeId, Event<'_>)]) -> Vec<Finding> {
        findings_apart(1000, watcher, events)
    }

    /// The same of events that are so many nanoseconds apart.
    pub(super) fn findings_apart(
        nanos: u64,
        mut watcher: impl Watcher,
        events: &[(NodeId, Event<'_>)],
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        for (sequence, (node, event)) in (1..).zip(events) {
            let time = Time::from_nanos(sequence * nanos);
            let record = Record::new(sequence, time, Some(*node), *event);
            Seen::with(&record, |seen| watcher.event(seen, &mut found));
        }
        watcher.end(Time::from_nanos(1_000_000), &mut found);
        found
    }

    /// The only thing that it finds.
    pub(super) fn only(watcher: impl Watcher, events: &[(NodeId, Event<'_>)]) -> Finding {
        let mut found = findings(watcher, events);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn names_and_kinds_go_both_ways() {
        for kind in Kind::ALL {
            assert_eq!(Kind::by_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::by_name("nothing"), None);
    }
}
