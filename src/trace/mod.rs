// SPDX-License-Identifier: MPL-2.0
//! Recorded traffic: what happened on a node or in a simulated world of them, event by event, in
//! files that Wireshark opens.

mod event;
mod kind;
pub mod packet;
mod record;
mod trouble;

pub use event::{ConnectionEnd, Event, LuAccess, LuOperation, NodeId, Outcome};
pub use kind::{Channel, EventKind};
pub use packet::{FORMAT_VERSION, PacketError};
pub use record::{Cut, Record, RecordBuf, Sink};
pub use trouble::Trouble;
#[cfg(test)]
pub(crate) mod arbitrary;
