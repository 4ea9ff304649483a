// SPDX-License-Identifier: MPL-2.0
//! An explored scenario, as a value: the world, what is in it, what is done to it.

use super::act::Timed;
use crate::kernel::KernelConfig;
use crate::kernel::stmf::types::LuId;
use crate::world::StandardRelay;
use crate::world::network::NetworkConfig;
use crate::world::trace::NodeId;
use std::fmt;
use std::time::Duration;

/// A LU of a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Its disk, in blocks of 512 bytes.
    pub blocks: u32,
    /// The node that serves it at first.
    pub active: NodeId,
}

/// What is explored in one run. The same value makes the same run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// Where the choices of the world come from.
    pub seed: u64,
    /// What it is called: the name of its family.
    pub name: &'static str,
    /// The kernels of the two nodes.
    pub kernels: [KernelConfig; 2],
    /// The relay programs of the two nodes, by name ([`crate::relays`]).
    pub relays: [String; 2],
    /// How bytes travel at first.
    pub network: NetworkConfig,
    /// The largest data buffers of the ports of each node, in bytes: one number a port.
    pub ports: [Vec<u32>; 2],
    /// The LUs.
    pub units: Vec<Unit>,
    /// How many hosts there are.
    pub hosts: u8,
    /// How long hosts wait for a command.
    pub timeout: Duration,
    /// Waits until the relays have found each other before anything else is done.
    pub settled: bool,
    /// What is done, in order.
    pub acts: Vec<Timed>,
}

impl Scenario {
    /// The id of a LU.
    pub fn lu(number: u8) -> LuId {
        let mut id = [0x60; 16];
        id[15] = number;
        id
    }
}

/// One line: what somebody wants to know of it first.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let [first, second] = &self.ports;
        write!(
            f,
            "{}: {} and {}, {}, {}, {}",
            self.name,
            first.len(),
            counted(second.len(), "port"),
            counted(self.units.len(), "LU"),
            counted(self.hosts.into(), "host"),
            counted(self.acts.len(), "act"),
        )?;
        let [one, other] = &self.relays;
        match one == other {
            true if one == StandardRelay::NAME => Ok(()),
            true => write!(f, ", relay {one}"),
            false => write!(f, ", relays {one} and {other}"),
        }
    }
}
