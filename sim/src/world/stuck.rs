// SPDX-License-Identifier: MPL-2.0
//! The report on a world in which nothing goes on: who holds what, and who waits for what.

use super::World;
use crate::executor::BlockedThread;
use std::fmt;
use stmf_proxy::time::Time;

/// A scenario waits, and nothing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// When it was given up, in virtual time.
    pub time: Time,
    /// When something last went on.
    pub since: Time,
    /// Threads ran and ran, more often than was allowed
    /// ([`Builder::most_steps`](super::Builder::most_steps)).
    pub endless: bool,
    /// Every thread that waits for something that is not just its next work, those that hold
    /// locks first.
    pub threads: Vec<BlockedThread>,
}

/// What threads wait for that have nothing to do.
const IDLE: [&str; 4] = [
    "something to carry",
    "its alarm",
    "the order to stop",
    "work",
];

/// What a thread in an upcall waits for.
const THE_ANSWER: &str = "the answer of the door server";

impl Stuck {
    pub(super) fn new(world: &World, since: Time) -> Stuck {
        let mut threads = world.executor().blocked_threads();
        threads.retain(|thread| !thread.sleeping && !IDLE.contains(&thread.waits_for.as_str()));
        threads.sort_by_key(|thread| (thread.holds.is_empty(), thread.held_by.is_none()));
        Stuck {
            time: world.now(),
            since,
            endless: false,
            threads,
        }
    }

    /// The same for a world whose threads run without end.
    pub(super) fn endless(world: &World, since: Time) -> Stuck {
        Stuck {
            endless: true,
            ..Stuck::new(world, since)
        }
    }

    /// The thread that waits for a lock that it holds itself, if there is one.
    pub fn recursive(&self) -> Option<&BlockedThread> {
        self.threads.iter().find(|thread| thread.held_by_itself)
    }

    /// Every thread that waits, with whatever stands behind what it waits for
    /// ([`BlockedThread::stack`]), for a report that has the room.
    pub fn stacks(&self) -> String {
        let stacks: Vec<String> = self.threads.iter().map(BlockedThread::stack).collect();
        stacks.join("\n")
    }

    /// Whether threads wait for locks of others that wait themselves: a deadlock, and not only
    /// an answer that never came.
    pub fn is_deadlock(&self) -> bool {
        self.threads.iter().any(|thread| thread.held_by.is_some())
    }
}

impl fmt::Display for Stuck {
    /// A headline that names the holders, as `deadlock: node 0 holds the stmf lock in an
    /// upcall`, and a line for each thread that waits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(thread) = self.recursive() {
            write!(
                f,
                "deadlock: {} holds {}, recursive: thread \"{}\" waits for {}, which it holds \
                 itself",
                thread.group,
                thread.holds.join(", "),
                thread.thread,
                thread.waits_for,
            )?;
        } else if self.is_deadlock() {
            let mut headline = "deadlock: ";
            // Whoever waits for a lock himself is not where it began.
            for thread in self
                .threads
                .iter()
                .filter(|thread| thread.held_by.is_none())
            {
                if thread.holds.is_empty() {
                    continue;
                }
                let holds = thread.holds.join(", ");
                write!(f, "{headline}{} holds {holds} ", thread.group)?;
                match thread.waits_for.as_str() {
                    THE_ANSWER => f.write_str("in an upcall")?,
                    other => write!(f, "and waits for {other}")?,
                }
                headline = "; ";
            }
            if headline != "; " {
                f.write_str("deadlock: each waits for a lock that another one holds")?;
            }
        } else if self.endless {
            f.write_str("the run does not come to an end, though threads run and run")?;
        } else {
            f.write_str("nothing goes on")?;
        }
        write!(
            f,
            "\n  nothing has happened since {} s; given up at {} s",
            self.since, self.time
        )?;
        for thread in &self.threads {
            write!(f, "\n  {thread}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Stuck {}
