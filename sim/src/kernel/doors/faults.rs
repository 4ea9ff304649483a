// SPDX-License-Identifier: MPL-2.0
//! Faults of door calls that a scenario asks for. They hit before the server sees anything.

use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::VecDeque;
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
}

/// An errno by its number.
mod errno_number {
    use serde::{Deserialize, Deserializer, Serializer};
    use stmf_proxy::status::Errno;

    pub(super) fn serialize<S: Serializer>(errno: &Errno, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i32(errno.number())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Errno, D::Error> {
        i32::deserialize(from).map(Errno::from_number)
    }
}

impl DoorFault {
    fn times(&mut self) -> &mut u64 {
        match self {
            DoorFault::Errno { times, .. } | DoorFault::Result { times, .. } => times,
        }
    }
}

/// Faults that wait, in the order in which they will hit.
#[derive(Default)]
pub(super) struct Faults(RefCell<VecDeque<DoorFault>>);

impl Faults {
    pub(super) fn add(&self, mut fault: DoorFault) {
        if *fault.times() > 0 {
            self.0.borrow_mut().push_back(fault);
        }
    }

    pub(super) fn clear(&self) -> u64 {
        self.0
            .take()
            .into_iter()
            .map(|mut fault| *fault.times())
            .sum()
    }

    /// What hits the call that begins now.
    pub(super) fn next(&self) -> Option<DoorFault> {
        let mut faults = self.0.borrow_mut();
        let fault = faults.front_mut()?;
        let now = *fault;
        *fault.times() -= 1;
        if *fault.times() == 0 {
            faults.pop_front();
        }
        Some(now)
    }
}
