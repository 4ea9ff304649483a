// SPDX-License-Identifier: MPL-2.0
//! What comes of a step, as recordings tell it.

use crate::kernel::pppt::TargetReport;
use serde::Serialize;
use std::collections::BTreeMap;
use stmf_proxy::message::{Message, hex};

/// A proxy port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TargetState {
    /// Its name in hexadecimal.
    pub ident: String,
    /// Its state, as TS_STMF_ONLINE.
    pub state: &'static str,
}

impl From<TargetReport> for TargetState {
    fn from(report: TargetReport) -> TargetState {
        TargetState {
            ident: hex::encode(&report.id.ident),
            state: report.state.name(),
        }
    }
}

/// What recordings of both kinds tell of a step.
#[derive(Clone, Debug, Serialize)]
pub struct Common {
    /// The number of the step, from 1.
    pub step: u64,
    /// "ok", the name of an error number, or null where the step did not return.
    pub result: Option<String>,
    /// Messages that reached the door server, in order.
    pub upcalls: Vec<Message>,
    /// Calls that did not, by their error; for the reader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub door_failed: Vec<String>,
    /// Statuses before they were cut to 8 bits; for the reader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status_before_wire: Vec<String>,
    /// Error counters that are not zero.
    pub counters: BTreeMap<&'static str, u64>,
    /// How many sessions the proxy ports have.
    pub sessions: usize,
    /// The proxy ports, in the order of the list.
    pub targets: Vec<TargetState>,
    /// How many tasks the sessions have.
    pub tasks: usize,
    /// Types of the messages that were handed to stmf.
    pub to_stmf: Vec<&'static str>,
    /// Lines of the log; for the reader.
    pub log: Vec<String>,
    /// Why the node panicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic: Option<String>,
    /// The node hangs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hang: bool,
    /// Who waits for what in a node that hangs; for the reader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
    /// For every attempt of an upcall, whether its thread held the stmf lock.
    #[serde(skip)]
    pub lock_held: Vec<bool>,
}

/// What comes of a step of the active side.
pub type Output = Common;
