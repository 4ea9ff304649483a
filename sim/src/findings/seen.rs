// SPDX-License-Identifier: MPL-2.0
//! An event as watchers see it: its record, and what its message says.
//!
//! Most watchers look at messages, and most of them at the same ones, so a message is peeked at,
//! and decoded if somebody needs all of it, once for all watchers and only when the first one
//! asks.

use std::cell::OnceCell;
use std::ops::Deref;
use stmf_proxy::message::{Dialect, Message, MessageType, Peek, peek};
use stmf_proxy::trace::Record;

/// A record and what its message says. It can be used as the [`Record`] that it is made of.
pub struct Seen<'a> {
    record: &'a Record<'a>,
    message: Option<&'a [u8]>,
    peek: OnceCell<Option<Peek<'a>>>,
    decoded: OnceCell<Option<Message>>,
}

impl Seen<'_> {
    /// Shows a record to somebody.
    pub fn with<T>(record: &Record<'_>, look: impl FnOnce(&Seen<'_>) -> T) -> T {
        // What was cut from a trace is filled up, so that the rest can be read.
        let message = record.message();
        look(&Seen {
            record,
            message: message.as_deref(),
            peek: OnceCell::new(),
            decoded: OnceCell::new(),
        })
    }
}

impl<'a> Seen<'a> {
    /// The message that the event hands over, zeros in place of what was cut; none if there is
    /// none or it is too long ([`Record::message`]).
    pub fn message(&self) -> Option<&'a [u8]> {
        self.message
    }

    /// What a cheap look at the message tells; none if there is none, or it cannot be read.
    pub fn peek(&self) -> Option<&Peek<'a>> {
        let look = || self.message.and_then(peek);
        self.peek.get_or_init(look).as_ref()
    }

    /// Whether the message is one of this type.
    pub fn is_a(&self, message_type: MessageType) -> bool {
        self.peek()
            .is_some_and(|seen| seen.message_type == message_type)
    }

    /// The whole message, of either dialect; none if there is none, or it cannot be read.
    pub fn decoded(&self) -> Option<&Message> {
        let decode = || {
            let message = self.message?;
            let current = Message::decode(message, Dialect::Current);
            current
                .or_else(|_| Message::decode(message, Dialect::Y2009))
                .ok()
        };
        self.decoded.get_or_init(decode).as_ref()
    }
}

impl<'a> Deref for Seen<'a> {
    type Target = Record<'a>;

    fn deref(&self) -> &Record<'a> {
        self.record
    }
}
