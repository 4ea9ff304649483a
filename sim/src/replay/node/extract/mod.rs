// SPDX-License-Identifier: MPL-2.0
//! From records to steps.
//!
//! Three passes: what operators and processes did, with its beginning where it began to show
//! ([`causes`]); the steps in order, with commands derived where none was recorded ([`build`]);
//! what all that presupposes ([`assume`]).

mod assume;
mod build;
mod causes;
mod given_up;
mod names;
mod tasks;

use super::input::Step;
use super::script::Facts;
use super::settings::NodeSettings;
use stmf_proxy::message::{Dialect, Message};
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, Record, RecordBuf};

/// The records, decoded as far as they can be.
pub(super) struct Recording<'a> {
    pub(super) dialect: Dialect,
    pub(super) records: &'a [RecordBuf],
    pub(super) times: &'a [Time],
}

impl<'a> Recording<'a> {
    pub(super) fn get(&self, index: usize) -> Record<'a> {
        self.records[index].get()
    }

    /// The message of a record, with zeros for what was cut.
    pub(super) fn message(&self, record: &Record<'_>) -> Option<Message> {
        Message::decode(&record.message()?, self.dialect).ok()
    }
}

/// Makes the steps of the records.
pub(super) fn extract(
    settings: &NodeSettings,
    records: &[RecordBuf],
    times: &[Time],
) -> (Vec<Step>, Facts) {
    let recording = Recording {
        dialect: settings.dialect,
        records,
        times,
    };
    let names = names::Names::collect(&recording);
    let operations = causes::operations(&recording, &names);
    let built = build::build(&recording, operations);
    assume::assume(&recording, &names, settings, built)
}

/// Whether a kernel begins or ends with this event.
pub(super) fn ends_life(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Boot { .. } | Event::PowerOff | Event::Panic { .. }
    )
}
