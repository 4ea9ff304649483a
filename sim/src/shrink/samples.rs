// SPDX-License-Identifier: MPL-2.0
//! Scripts for tests of shrinking.

use crate::replay::script::{Input, Script};
use crate::world::World;
use crate::world::operation::Operation;
use stmf_proxy::time::Time;

/// An input at so many nanoseconds.
pub fn input(time: u64, operation: Operation) -> Input {
    Input {
        time: Time::from_nanos(time),
        steps: 3,
        ended: 0,
        operation,
        data: Vec::new(),
    }
}

/// A script of two ordinary nodes.
pub fn script(inputs: Vec<Input>) -> Script {
    let plan = World::builder().seed(5).plan();
    Script {
        oracle: crate::replay::Oracle::Seed(5),
        plan,
        inputs,
        end: None,
        scenario: None,
    }
}
