// SPDX-License-Identifier: MPL-2.0
//! Who runs next. This is the only place of a replay in which anything is chosen.

use crate::executor::{ChoiceKind, Choices};
use std::cell::Cell;
use std::rc::Rc;

/// Threads run in the order in which they became ready, but for one that is asked to go first.
#[derive(Clone, Default)]
pub(super) struct Directed(Rc<Cell<bool>>);

impl Directed {
    /// The thread that became ready last runs next.
    pub(super) fn newest_first(&self) {
        self.0.set(true);
    }

    /// It has run.
    pub(super) fn clear(&self) {
        self.0.set(false);
    }
}

impl Choices for Directed {
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64 {
        if kind == ChoiceKind::Schedule && self.0.take() {
            alternatives - 1
        } else {
            0
        }
    }
}
