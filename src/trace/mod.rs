// SPDX-License-Identifier: MPL-2.0
//! Recorded traffic: what happened on a node or in a simulated world of them, event by event, in
//! files that Wireshark opens. The format is told in `docs/trace-format.md`.
//!
//! The model: an [`Event`] with its place is a [`Record`]; whoever wants to hear of them is a
//! [`Sink`]. The simulator makes records itself; on a real node [`RecordingPlatform`] tells a
//! [`Recorder`] what passes, which makes records of it. [`Writer`] and [`Ring`] are sinks that
//! write files, [`Reader`] and [`Files`] read them.
//!
//! Invariants: an event is handed to the file system in one whole block or not at all; nothing
//! here panics, whatever is read, and memory is bounded whatever its lengths say; nothing that
//! goes wrong with a recording reaches what is recorded. Nothing here knows the relay.
//!
//! ```
//! use stmf_proxy::time::Time;
//! use stmf_proxy::trace::{Event, Reader, Record, Section, Sink, Writer};
//!
//! let mut file = Vec::new();
//! let mut writer = Writer::new(&mut file, Section::new("an example"))?;
//! writer.record(&Record::new(1, Time::ZERO, Some(0), Event::Boot { boot: 1 }));
//! writer.finish()?;
//!
//! let mut reader = Reader::new(&*file)?;
//! while let Some(entry) = reader.next_entry()? {
//!     println!("{} {:?}", entry.record.time, entry.record.event);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
