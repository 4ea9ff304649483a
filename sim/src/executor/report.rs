// SPDX-License-Identifier: MPL-2.0
//! Who waits for what: the report on a system in which nothing can run.

use super::{Executor, State, ThreadId, Wait};
use std::fmt;

/// A thread that cannot run, what it waits for and what it holds meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedThread {
    /// The group (node or process) of the thread.
    pub group: String,
    /// The thread's name.
    pub thread: String,
    /// What it waits for.
    pub waits_for: String,
    /// Who holds that, if it is a lock.
    pub held_by: Option<Holder>,
    /// Whether that is the thread itself: it has taken a lock that it holds already.
    pub held_by_itself: bool,
    /// The locks that the thread holds while it waits.
    pub holds: Vec<String>,
    /// Whether only time is missing.
    pub sleeping: bool,
    /// What stands behind it, if it waits for a lock: the thread that holds the lock and what that
    /// one waits for, and so on, to one that waits for no lock, or that is in the row already.
    pub behind: Vec<Link>,
}

/// A link of the chain behind a thread that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who holds what is waited for.
    pub holder: Holder,
    /// What the holder waits for; none if it can run.
    pub waits_for: Option<String>,
}

impl BlockedThread {
    /// The thread, what it waits for and whatever stands behind that, from the outside to the
    /// inside, each with more indentation: the nearest to a stack that threads of a simulation
    /// have.
    pub fn stack(&self) -> String {
        let mut text = format!(
            "{}, {}: waits for {}",
            self.group, self.thread, self.waits_for
        );
        if !self.holds.is_empty() {
            text.push_str(&format!("; holds {}", self.holds.join(", ")));
        }
        for (depth, Link { holder, waits_for }) in self.behind.iter().enumerate() {
            let indent = "  ".repeat(depth + 1);
            let what = waits_for.as_deref();
            let what = what.map_or("it can run".into(), |what| format!("waits for {what}"));
            text.push_str(&format!(
                "\n{indent}held by {}, {}: {what}",
                holder.group, holder.thread
            ));
        }
        text
    }
}

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The group of the thread that holds the lock.
    pub group: String,
    /// Its name.
    pub thread: String,
}

impl fmt::Display for BlockedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}: waits for {}",
            self.group, self.thread, self.waits_for
        )?;
        if self.held_by_itself {
            f.write_str(", held by itself (recursive)")?;
        } else if let Some(holder) = &self.held_by {
            write!(f, ", held by {} ({})", holder.thread, holder.group)?;
        }
        if !self.holds.is_empty() {
            write!(f, "; holds {}", self.holds.join(", "))?;
        }
        Ok(())
    }
}

/// A lock that a thread holds while it waits for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// The group of the lock.
    pub group: String,
    /// The lock.
    pub lock: &'static str,
    /// The thread that holds it.
    pub holder: Holder,
}

impl State {
    /// See [`BlockedThread::behind`].
    fn behind(&self, thread: ThreadId) -> Vec<Link> {
        let mut met = vec![thread];
        let mut links = Vec::new();
        let mut wait = self.thread(thread).and_then(|thread| thread.waiting);
        while let Some(Wait::Lock(lock)) = wait {
            let Some(id) = self.locks[lock as usize].holder else {
                break;
            };
            let Some(holder) = self.thread(id) else { break };
            wait = holder.waiting;
            links.push(Link {
                holder: Holder {
                    group: self.groups[holder.group.0 as usize].name.clone(),
                    thread: holder.name.to_string(),
                },
                waits_for: wait.map(|wait| self.describe(wait)),
            });
            if met.contains(&id) {
                break;
            }
            met.push(id);
        }
        links
    }

    fn describe(&self, wait: Wait) -> String {
        match wait {
            Wait::Lock(lock) => {
                let lock = &self.locks[lock as usize];
                let place = &self.groups[lock.group.0 as usize].name;
                format!("the {} of {place}", lock.name)
            }
            Wait::Event(what) => what.to_string(),
            Wait::Sleep => "a timer".to_string(),
        }
    }
}

impl Executor {
    /// Every lock whose holder waits. At rest, when everything has had time to end, there is none.
    pub fn held_locks(&self) -> Vec<HeldLock> {
        let state = self.0.state.borrow();
        let held = state.locks.iter().filter_map(|lock| {
            let holder = state.thread(lock.holder?)?;
            holder.waiting?;
            Some(HeldLock {
                group: state.groups[lock.group.0 as usize].name.clone(),
                lock: lock.name,
                holder: Holder {
                    group: state.groups[holder.group.0 as usize].name.clone(),
                    thread: holder.name.to_string(),
                },
            })
        });
        held.collect()
    }

    /// Every thread that waits, in the order of their creation slots.
    pub fn blocked_threads(&self) -> Vec<BlockedThread> {
        let state = self.0.state.borrow();
        let name_of = |id: ThreadId| {
            state.thread(id).map(|thread| Holder {
                group: state.groups[thread.group.0 as usize].name.clone(),
                thread: thread.name.to_string(),
            })
        };
        let mut blocked = Vec::new();
        for (index, slot) in state.slots.iter().enumerate() {
            let id = ThreadId {
                slot: index as u32,
                generation: slot.generation,
            };
            let Some(thread) = &slot.thread else { continue };
            let Some(wait) = thread.waiting else { continue };
            let holds = state
                .locks
                .iter()
                .filter(|lock| lock.holder == Some(id))
                .map(|lock| format!("the {}", lock.name))
                .collect();
            let held_by_itself = match wait {
                Wait::Lock(lock) => state.locks[lock as usize].holder == Some(id),
                Wait::Event(_) | Wait::Sleep => false,
            };
            let held_by = match wait {
                Wait::Lock(lock) => state.locks[lock as usize].holder.and_then(name_of),
                Wait::Event(_) | Wait::Sleep => None,
            };
            let waits_for = state.describe(wait);
            blocked.push(BlockedThread {
                group: state.groups[thread.group.0 as usize].name.clone(),
                thread: thread.name.to_string(),
                waits_for,
                held_by,
                held_by_itself,
                holds,
                sleeping: wait == Wait::Sleep,
                behind: state.behind(id),
            });
        }
        blocked
    }

    /// Whether threads wait in a ring, each for a lock that the next one holds (or one for a lock
    /// that it holds itself): nothing can ever free them.
    pub fn has_deadlock(&self) -> bool {
        let state = self.0.state.borrow();
        let next = |id: ThreadId| match state.thread(id)?.waiting? {
            Wait::Lock(lock) => state.locks[lock as usize].holder,
            Wait::Event(_) | Wait::Sleep => None,
        };
        let holders = state.locks.iter().filter_map(|lock| lock.holder);
        holders.into_iter().any(|start| {
            // A ring has no more threads in it than there are locks.
            let mut at = next(start);
            for _ in 0..state.locks.len() {
                match at {
                    Some(id) if id == start => return true,
                    Some(id) => at = next(id),
                    None => return false,
                }
            }
            false
        })
    }
}
