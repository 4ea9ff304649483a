// SPDX-License-Identifier: MPL-2.0
//! Which end belongs to which beginning. A thread is in one upcall and in one post at a time.

use super::held::What;
use std::collections::BTreeMap;

/// The most calls that are waited for; the oldest is forgotten before there is one more.
const MAX_OPEN: usize = 65_536;

/// Calls that have begun, and the numbers that they were given.
#[derive(Debug, Default)]
pub struct Calls {
    upcalls: Open,
    posts: Open,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// Numbers by the time of the beginning and the thread.
    open: BTreeMap<(u64, u64), u64>,
}

impl Calls {
    fn of(&mut self, what: What) -> &mut Open {
        match what {
            What::Upcall | What::UpcallDone { .. } => &mut self.upcalls,
            _ => &mut self.posts,
        }
    }

    /// A call begins: its number, from 1.
    pub fn begin(&mut self, what: What, thread: u64, started: u64) -> u64 {
        let calls = self.of(what);
        calls.last += 1;
        calls.open.insert((started, thread), calls.last);
        if calls.open.len() > MAX_OPEN {
            calls.open.pop_first();
        }
        calls.last
    }

    /// The number of the call that ends; `None` if it is not known to have begun.
    pub fn end(&mut self, what: What, thread: u64, started: u64) -> Option<u64> {
        self.of(what).open.remove(&(started, thread))
    }
}
