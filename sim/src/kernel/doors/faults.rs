// SPDX-License-Identifier: MPL-2.0
//! Faults of door calls that a scenario asks for. They hit before the server sees anything.

use crate::kernel::faults::errno_number;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::time::Duration;
use stmf_proxy::message::{MessageType, peek};
use stmf_proxy::status::Errno;

/// Something that goes wrong with the next calls through any door of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoorFault {
    /// The calls fail.
    Errno {
        /// How they fail.
        #[serde(with = "errno_number")]
        errno: Errno,
        /// How many of them.
        times: u64,
    },
    /// The calls are answered with this result; the message reaches nobody.
    Result {
        /// The result.
        result: u32,
        /// How many of them.
        times: u64,
    },
    /// A call finds every server thread of its door busy with something else: it waits, and so do
    /// those that come after it, until the threads are free.
    NoThread {
        /// How long they are busy.
        delay: Duration,
        /// How many times.
        times: u64,
    },
}

impl DoorFault {
    /// How often it hits.
    pub fn times(&mut self) -> &mut u64 {
        match self {
            DoorFault::Errno { times, .. }
            | DoorFault::Result { times, .. }
            | DoorFault::NoThread { times, .. } => times,
        }
    }

    /// Its name in traces.
    pub const fn name(&self) -> &'static str {
        match self {
            DoorFault::Errno { errno, .. } => match *errno {
                Errno::EAGAIN => "door-eagain",
                Errno::EINTR => "door-eintr",
                Errno::E2BIG => "door-e2big",
                Errno::EBADF => "door-ebadf",
                _ => "door-errno",
            },
            DoorFault::Result { .. } => "door-result",
            DoorFault::NoThread { .. } => "door-no-thread",
        }
    }

    /// What is to be said about it besides.
    pub(super) fn detail(&self) -> String {
        match self {
            DoorFault::Errno { errno, .. } => errno.to_string(),
            DoorFault::Result { result, .. } => format!("result {result}"),
            DoorFault::NoThread { delay, .. } => format!("{} ms", delay.as_millis()),
        }
    }
}

/// A fault, and the messages that it can hit, if not all.
struct Armed {
    fault: DoorFault,
    only: Option<MessageType>,
}

/// Faults that wait, in the order in which they will hit.
#[derive(Default)]
pub(super) struct Faults(RefCell<Vec<Armed>>);

impl Faults {
    pub(super) fn add(&self, mut fault: DoorFault, only: Option<MessageType>) {
        if *fault.times() > 0 {
            self.0.borrow_mut().push(Armed { fault, only });
        }
    }

    pub(super) fn clear(&self) -> u64 {
        self.0
            .take()
            .into_iter()
            .map(|mut armed| *armed.fault.times())
            .sum()
    }

    /// What hits the call that begins now.
    pub(super) fn next(&self, message: &[u8]) -> Option<DoorFault> {
        let mut faults = self.0.borrow_mut();
        let hits = |armed: &Armed| {
            armed.only.is_none_or(|only| {
                peek(message).is_some_and(|message| message.message_type == only)
            })
        };
        let place = faults.iter().position(hits)?;
        let fault = &mut faults[place].fault;
        let now = *fault;
        *fault.times() -= 1;
        if *fault.times() == 0 {
            faults.remove(place);
        }
        Some(now)
    }
}
