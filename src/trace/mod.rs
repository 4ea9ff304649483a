// SPDX-License-Identifier: MPL-2.0
//! Recorded traffic: what happened on a node or in a simulated world of them, event by event, in
//! files that Wireshark opens.

mod block;
mod encoder;
mod event;
mod files;
mod kind;
pub mod packet;
pub mod platform;
mod reader;
mod record;
mod recorder;
pub mod ring;
mod section;
mod snap;
mod trouble;
mod writer;

pub use block::LINK_TYPE;
pub use encoder::MAX_BULK;
pub use event::{ConnectionEnd, Event, LuAccess, LuOperation, NodeId, Outcome};
pub use files::{Files, FilesError};
pub use kind::{Channel, EventKind};
pub use packet::{FORMAT_VERSION, PacketError};
pub use platform::RecordingPlatform;
pub use reader::{Entry, Notice, NoticeKind, ReadError, ReadLimits, ReadProblem, Reader};
pub use record::{Cut, Record, RecordBuf, Sink};
pub use recorder::{
    Clock, Direct, Queue, QueueSettings, Recorder, Recording, SinkPanicked, SystemClock,
};
pub use ring::{Ring, RingSettings, RingSettingsError};
pub use section::{Origin, Section};
pub use snap::Snap;
pub use trouble::Trouble;
pub use writer::{FLUSH_AFTER, FLUSH_BYTES, WriteError, Writer, Written};

#[cfg(test)]
pub(crate) mod arbitrary;
