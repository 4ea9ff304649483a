// SPDX-License-Identifier: MPL-2.0
//! From records to the blocks of a section. Everything is appended to a buffer of the caller's,
//! a whole block at a time; nothing here does input or output.

use super::block;
use super::event::NodeId;
use super::kind::Channel;
use super::packet;
use super::record::Record;
use super::section::Section;
use super::snap::Kept;
use super::writer::WriteError;
use crate::message::peek;
use std::collections::BTreeMap;

/// The most bytes of bulk that are recorded of an event, 64 MiB: the longest message that
/// [`ProxyDoor`](crate::proxy_door::ProxyDoor) posts by default. What is longer is cut.
pub const MAX_BULK: usize = 64 << 20;

/// The longest comment beside an event, in bytes.
const MAX_COMMENT: usize = 4096;

/// Writes one section.
#[derive(Debug)]
pub(super) struct Encoder {
    section: Section,
    comment: String,
    interfaces: BTreeMap<(Option<NodeId>, Channel), u32>,
}

impl Encoder {
    /// An encoder for a section that says this of itself.
    pub(super) fn new(section: Section) -> Result<Encoder, WriteError> {
        let comment = section.to_comment();
        let length = comment.len();
        if length > block::MAX_OPTION {
            return Err(WriteError::SectionTooLong { length });
        }
        Ok(Encoder {
            section,
            comment,
            interfaces: BTreeMap::new(),
        })
    }

    /// How many interfaces were described.
    pub(super) fn interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// What was appended after the first `described` interfaces will not be written.
    pub(super) fn forget_interfaces(&mut self, described: usize) {
        self.interfaces
            .retain(|_, number| (*number as usize) < described);
    }

    /// Begins the section anew: its header, and the interfaces of its nodes.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        block::section_header(&self.section.recorder, &self.comment, out);
        self.interfaces.clear();
        let nodes: Vec<NodeId> = self.section.nodes.keys().copied().collect();
        for node in nodes {
            for channel in Channel::ALL {
                self.interface(Some(node), channel, out);
            }
        }
    }

    /// The number of an interface, which is described first if it is new.
    fn interface(&mut self, node: Option<NodeId>, channel: Channel, out: &mut Vec<u8>) -> u32 {
        let next = self.interfaces.len() as u32;
        *self.interfaces.entry((node, channel)).or_insert_with(|| {
            let name = match node {
                Some(node) => format!("node {node} {}", channel.name()),
                None => format!("world {}", channel.name()),
            };
            block::interface(&name, out);
            next
        })
    }

    /// Appends a record, of whose bulk at most `limit` bytes are kept, and gives the length of
    /// what was kept of it. `note` is added to the comment.
    pub(super) fn record(
        &mut self,
        record: &Record<'_>,
        limit: usize,
        note: Option<&str>,
        out: &mut Vec<u8>,
    ) -> usize {
        let kept = Kept::within(record, self.section.snap, limit.min(MAX_BULK));
        let interface = self.interface(record.node, record.event.channel(), out);
        let origin = self.section.origin.unix_nanos();
        let time = origin.saturating_add(record.time.as_nanos());
        let missing = kept.cut.map_or(0, |cut| cut.length);
        let comment = comment(record, note);
        block::packet(interface, time, missing, comment.as_deref(), out, |out| {
            packet::pack(record, &kept, out);
        });
        kept.length()
    }
}

/// What is said beside a record: what went wrong, and whatever else is to be noted.
fn comment(record: &Record<'_>, note: Option<&str>) -> Option<String> {
    let mut comment = match (record.event.trouble(), record.event.message()) {
        (Some(trouble), _) => Some(trouble.to_string()),
        (None, Some(message)) if record.cut.is_none() && peek(message).is_none() => {
            Some("damaged: this cannot be read as a message".to_owned())
        }
        _ => None,
    };
    if let Some(note) = note {
        let text = comment.get_or_insert_default();
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(note);
    }
    if let Some(text) = &mut comment
        && text.len() > MAX_COMMENT
    {
        let ends = (0..=MAX_COMMENT).rev();
        let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    comment
}
