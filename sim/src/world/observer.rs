// SPDX-License-Identifier: MPL-2.0
//! What a kernel tells of itself, written into the trace of the world.

use super::faults;
use super::trace::{Event, NodeId, Trace};
use crate::executor::{Executor, ThreadId};
use crate::kernel::coverage::Coverage;
use crate::kernel::{KernelEvent, Observer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// A call that a thread of the kernel is in, or will try again.
#[derive(Clone, Copy)]
struct Upcall {
    call: u64,
    attempt: u8,
    length: usize,
}

/// Observes one boot of one node.
pub(super) struct NodeObserver {
    node: NodeId,
    executor: Executor,
    trace: Trace,
    upcalls: RefCell<BTreeMap<Option<ThreadId>, Upcall>>,
    posts: RefCell<BTreeMap<Option<ThreadId>, u64>>,
    calls: Cell<u64>,
    post_count: Cell<u64>,
    panicked: Rc<dyn Fn()>,
    coverage: Option<Rc<Coverage>>,
}

impl NodeObserver {
    /// `panicked` is called when the kernel panics; like the observer it may look and note.
    pub(super) fn new(
        node: NodeId,
        executor: &Executor,
        trace: Trace,
        panicked: Rc<dyn Fn()>,
    ) -> NodeObserver {
        NodeObserver {
            node,
            executor: executor.clone(),
            trace,
            upcalls: RefCell::default(),
            posts: RefCell::default(),
            calls: Cell::new(0),
            post_count: Cell::new(0),
            panicked,
            coverage: None,
        }
    }

    /// Counts what messages meet, if that is wanted.
    pub(super) fn counting(mut self, coverage: Option<Rc<Coverage>>) -> NodeObserver {
        self.coverage = coverage;
        self
    }

    fn upcall(&self, length: usize) -> Upcall {
        let mut upcalls = self.upcalls.borrow_mut();
        let thread = self.executor.current();
        let upcall = match upcalls.get(&thread) {
            // The same thread with as long a message after EAGAIN: it tries again.
            Some(earlier) if earlier.length == length => Upcall {
                attempt: earlier.attempt.saturating_add(1),
                ..*earlier
            },
            _ => Upcall {
                call: next(&self.calls),
                attempt: 1,
                length,
            },
        };
        upcalls.insert(thread, upcall);
        upcall
    }
}

fn next(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get() + 1);
    counter.get()
}

impl Observer for NodeObserver {
    fn counts_meetings(&self) -> bool {
        self.coverage.is_some()
    }

    fn kernel_event(&self, now: Time, event: &KernelEvent<'_>) {
        let thread = self.executor.current();
        let tell = |event: Event<'_>| self.trace.record(now, Some(self.node), event);
        match *event {
            KernelEvent::Log(line) => tell(Event::KernelLog(line)),
            KernelEvent::Upcall { bytes, lock_held } => {
                let Upcall { call, attempt, .. } = self.upcall(bytes.len());
                tell(Event::Upcall {
                    call,
                    attempt,
                    lock_held,
                    message: bytes,
                });
            }
            KernelEvent::UpcallDone { outcome, .. } => {
                let outcome = outcome.map_err(|error| error.errno());
                let mut upcalls = self.upcalls.borrow_mut();
                let upcall = match outcome {
                    Err(Errno::EAGAIN) => upcalls.get(&thread).copied(),
                    _ => upcalls.remove(&thread),
                };
                drop(upcalls);
                let call = upcall.map_or(0, |upcall| upcall.call);
                tell(Event::UpcallDone {
                    call,
                    outcome: outcome.map_err(Errno::number),
                });
            }
            KernelEvent::Post { bytes } => {
                let post = next(&self.post_count);
                self.posts.borrow_mut().insert(thread, post);
                tell(Event::Post {
                    post,
                    message: bytes,
                });
            }
            KernelEvent::PostDone { outcome, .. } => {
                let post = self.posts.borrow_mut().remove(&thread).unwrap_or(0);
                tell(Event::PostDone {
                    post,
                    outcome: outcome.map_err(Errno::number),
                });
            }
            KernelEvent::LuAccess { lu, access } => tell(Event::LuAccess { lu, access }),
            KernelEvent::Fault { name, what } => {
                // What it hits: the call or the post that the thread is in.
                let of_call = name.starts_with("door-");
                let call = self.upcalls.borrow().get(&thread).map(|upcall| upcall.call);
                let post = self.posts.borrow().get(&thread).copied();
                let hit = match (of_call, call, post) {
                    (true, Some(call), _) => format!("call {call}"),
                    (false, _, Some(post)) => format!("post {post}"),
                    _ => String::new(),
                };
                let parts = [hit.as_str(), what];
                let parts = parts.into_iter().filter(|part| !part.is_empty());
                let detail = parts.collect::<Vec<_>>().join(", ");
                faults::tell(&self.trace, &self.executor, self.node, name, &detail);
            }
            KernelEvent::Panicked(panic) => {
                let trap = panic.trap.unwrap_or(0);
                tell(Event::Panic {
                    trap,
                    reason: &panic.reason,
                });
                (self.panicked)();
            }
            KernelEvent::Met { message, states } => {
                if let Some(coverage) = &self.coverage {
                    coverage.met(message, states);
                }
            }
            // What the kernel does inside is not part of the trace: it follows from the rest.
            KernelEvent::ToStmf(_) | KernelEvent::StatusBeforeWire(_) => {}
        }
    }
}
