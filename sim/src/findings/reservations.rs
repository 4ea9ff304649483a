// SPDX-License-Identifier: MPL-2.0
//! Commands that are carried out though a reservation forbids them to their nexus.
//!
//! The reservations of each LU are followed as initiators see them: RESERVE and RELEASE (SPC-2),
//! PERSISTENT RESERVE OUT, what outlives a failover (registrations with APTPL). A command is
//! judged only where there is no doubt: nothing that changes reservations or the access of the LU
//! overlaps it in time, and everything that had done so before ended in a known way. Otherwise
//! nothing is known until it is seen anew: by CLEAR, or by an answer that there are no
//! registrations.
//!
//! What leaves doubt: a change without a status, or with "unavailable" (it may have reached the
//! peer all the same); two changes at once; two nodes that are active at once. A RESERVE belongs
//! to a session, so sessions that come and go, resets, ports, relays and links end what is known of
//! it.

mod model;

use super::text::lu_name;
use super::units::{LuId, Units};
use super::{Finding, Found, Kind, Seen, Watcher};
use crate::scsi::reservation::READ_KEYS;
use crate::scsi::{Sense, SenseKey, Status, be, opcode};
use crate::world::faults::{self, SERVICE_DISABLED, SERVICE_ENABLED};
use crate::world::trace::{Event, InitiatorId, LuAccess, NodeId, Record};
use model::{Access, Nexus, NotDone, Persistent, access};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stmf_proxy::message::{MessageType, peek};
use stmf_proxy::time::Time;

/// So long after a change without a known end it may still be carried out.
const DOUBT: Duration = Duration::from_secs(300);

/// Commands that are followed at once.
const MOST: usize = 16_384;

/// A session of a node.
type SessionId = (NodeId, u64);

/// What is known of a LU.
#[derive(Default)]
struct Unit {
    /// Nodes on which it is active.
    active: BTreeSet<NodeId>,
    /// The one that became so last.
    latest: Option<NodeId>,
    /// Persistent reservations on the active node, if they are known.
    persistent: Option<Persistent>,
    /// What an import would find, if that is known.
    stored: Option<Persistent>,
    /// Who holds a RESERVE, if that is known.
    reserved: Option<Option<SessionId>>,
    /// The last event that changed something, or may have.
    changed: u64,
    /// Changes under way.
    changing: usize,
    /// Their effect is not known.
    muddled: bool,
    /// Something was changed since a second node became active.
    dirty: bool,
    /// Nothing can be known before.
    doubtful_until: Time,
}

impl Unit {
    fn doubt(&mut self) {
        self.persistent = None;
        self.stored = None;
        self.reserved = None;
        self.dirty = true;
    }

    /// The one active node begins with what is stored.
    fn import(&mut self) {
        let known = self.changing == 0;
        self.persistent = self.stored.clone().filter(|_| known);
        self.reserved = known.then_some(None);
        self.dirty = false;
    }

    fn access(&mut self, node: NodeId, access: LuAccess, now: u64) {
        let was_active = self.active.remove(&node);
        if access != LuAccess::Active && !was_active {
            return;
        }
        if access == LuAccess::Active && was_active {
            // Imported where it is served already: whether that keeps reservations is not said.
            self.active.insert(node);
            return self.doubt();
        }
        self.changed = now;
        self.muddled |= self.changing > 0;
        if access == LuAccess::Active {
            self.latest = Some(node);
            self.persistent = None;
            self.reserved = None;
            if self.active.is_empty() {
                self.import();
            }
            self.dirty = false;
            self.active.insert(node);
        } else if self.active.len() == 1 && self.active.first() == self.latest.as_ref() {
            match self.dirty {
                true => self.doubt(),
                false => self.import(),
            }
        } else {
            self.persistent = None;
            self.reserved = None;
            self.dirty |= !self.active.is_empty();
        }
    }

    /// Nobody is registered, and nothing is reserved.
    fn is_free(&mut self) {
        self.persistent = Some(Persistent::default());
        self.stored = Some(Persistent::default());
        self.reserved = Some(None);
    }
}

struct Command {
    node: NodeId,
    session: u64,
    lu: LuId,
    access: Access,
    cdb: Vec<u8>,
    data: Vec<u8>,
    began: u64,
    /// It began beside a change.
    beside: bool,
}

/// How a change has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Refused,
    Unknown,
}

/// See the module.
#[derive(Default)]
pub(super) struct Reservations {
    names: Units,
    units: BTreeMap<LuId, Unit>,
    /// Nodes whose boot the trace has: nothing was stored before it.
    booted: BTreeSet<NodeId>,
    sessions: BTreeMap<SessionId, Nexus>,
    nexuses: BTreeMap<(InitiatorId, Vec<u8>), Nexus>,
    commands: BTreeMap<(InitiatorId, u64), Command>,
    /// A reset may be under way.
    resets_until: Time,
    /// The last event that may have ended what sessions had reserved.
    shaken: u64,
}

impl Reservations {
    fn unit(&mut self, lu: LuId) -> &mut Unit {
        let fresh = !self.booted.is_empty();
        self.units.entry(lu).or_insert_with(|| Unit {
            stored: fresh.then(Persistent::default),
            ..Unit::default()
        })
    }

    fn begin(&mut self, record: &Record<'_>, node: NodeId) {
        let Event::Command {
            initiator,
            tag,
            session,
            lun,
            cdb,
            data,
            expected,
            ..
        } = record.event
        else {
            return;
        };
        let access = access(cdb);
        if access == Access::Other {
            return;
        }
        let Some(lu) = self.names.lu(node, lun) else {
            return;
        };
        let full = self.commands.len() >= MOST;
        let changes = is_change(access);
        let unit = self.unit(lu);
        let beside = unit.changing > 0;
        if changes {
            unit.changed = record.sequence;
            unit.muddled |= beside;
            unit.changing += 1;
        }
        if full {
            // If it is a change, it never ends: nothing is judged any more.
            return;
        }
        // Only parameter lists matter.
        let list = match access {
            Access::PersistentOut => &data[..data.len().min(expected as usize)],
            _ => &[],
        };
        let command = Command {
            node,
            session,
            lu,
            access,
            cdb: cdb.to_vec(),
            data: list.to_vec(),
            began: record.sequence,
            beside,
        };
        self.commands.insert((initiator, tag), command);
    }

    fn ended(
        &mut self,
        record: &Record<'_>,
        id: (InitiatorId, u64),
        end: End,
        data: &[u8],
    ) -> Option<Finding> {
        let command = self.commands.remove(&id)?;
        let (now, time) = (record.sequence, record.time);
        let nexus = self.sessions.get(&(command.node, command.session)).copied();
        let (resets, shaken) = (time < self.resets_until, self.shaken);
        let unit = self.units.get_mut(&command.lu)?;
        let mut beside = command.beside || unit.changed > command.began;
        if is_change(command.access) {
            // Its own beginning has moved the mark.
            beside = command.beside || unit.muddled || unit.changed > command.began;
            unit.changing = unit.changing.saturating_sub(1);
            unit.changed = now;
            if end == End::Unknown {
                unit.doubt();
                unit.doubtful_until = unit.doubtful_until.max(time + DOUBT);
            }
            if unit.muddled {
                unit.muddled = unit.changing > 0;
                if end == End::Done {
                    unit.doubt();
                }
                return None;
            }
        }
        let alone = unit.active.len() == 1;
        if end != End::Done || beside || !alone {
            if is_change(command.access) && end == End::Done {
                unit.doubt();
            }
            return None;
        }
        let Some(nexus) = nexus else {
            if is_change(command.access) {
                unit.doubt();
            }
            return None;
        };
        let session = (command.node, command.session);
        let certain = match command.access {
            Access::Reserve => time >= unit.doubtful_until && !resets && command.began > shaken,
            _ => time >= unit.doubtful_until,
        };
        let why = unit
            .judge(nexus, session, &command)
            .or_else(|| unit.done(nexus, session, &command, data, certain));
        let why = why?;
        unit.doubt();
        let why = match why {
            Why::Reserve((node, session)) => {
                format!("session {session} of node {node} had reserved it with RESERVE")
            }
            Why::Persistent(kind, holder) => {
                let name = |holder| {
                    let mut names = self.nexuses.iter();
                    names
                        .find(|(_, known)| **known == holder)
                        .map(|(name, _)| name)
                };
                match holder.and_then(name) {
                    Some((initiator, port)) => format!(
                        "initiator {initiator} had reserved it through port {} ({kind})",
                        port.escape_ascii()
                    ),
                    None => format!("it was reserved for all who are registered ({kind})"),
                }
            }
            Why::Forbidden(why) => why.to_string(),
        };
        Some(Finding {
            kind: Kind::ReservationBroken,
            time,
            node: Some(command.node),
            text: format!(
                "node {} carried out initiator {}'s {} (session {}, tag {}) on {}, though {why}",
                command.node,
                id.0,
                opcode::name(&command.cdb),
                command.session,
                id.1,
                lu_name(&command.lu),
            ),
        })
    }

    /// Commands that never end in the trace: those of a node, or of a session of it.
    fn gone(&mut self, node: NodeId, session: Option<u64>, now: Time) {
        let (units, mut doubtful) = (&mut self.units, Vec::new());
        self.commands.retain(|_, command| {
            let gone = command.node == node && session.is_none_or(|one| one == command.session);
            if gone && is_change(command.access) {
                doubtful.push(command.lu);
            }
            !gone
        });
        for lu in doubtful {
            if let Some(unit) = units.get_mut(&lu) {
                unit.changing = unit.changing.saturating_sub(1);
                unit.muddled &= unit.changing > 0;
                unit.doubt();
                unit.doubtful_until = unit.doubtful_until.max(now + DOUBT);
            }
        }
    }

    /// Something has happened to the sessions of this pair of nodes.
    fn sessions_changed(&mut self, now: u64) {
        self.shaken = now;
        self.units
            .values_mut()
            .for_each(|unit| unit.reserved = None);
    }
}

/// Why a command should not have been carried out.
enum Why {
    Reserve(SessionId),
    Persistent(crate::scsi::reservation::ReservationType, Option<Nexus>),
    Forbidden(&'static str),
}

impl Unit {
    fn judge(&self, nexus: Nexus, session: SessionId, command: &Command) -> Option<Why> {
        if let Some(Some(holder)) = self.reserved {
            let forbidden = match command.access {
                Access::Reads | Access::Writes | Access::Reserve => holder != session,
                Access::PersistentOut => true,
                Access::Release | Access::PersistentIn | Access::Other => false,
            };
            if forbidden {
                return Some(Why::Reserve(holder));
            }
        }
        let (kind, holder) = self.persistent.as_ref()?.forbids(nexus, command.access)?;
        Some(Why::Persistent(kind, holder))
    }

    /// A command that nothing forbids has ended with GOOD: what follows from it.
    fn done(
        &mut self,
        nexus: Nexus,
        session: SessionId,
        command: &Command,
        data: &[u8],
        certain: bool,
    ) -> Option<Why> {
        match command.access {
            Access::Reserve => {
                // With somebody registered it does nothing.
                let takes = self
                    .persistent
                    .as_ref()
                    .map(|state| !state.any_registered());
                self.reserved = match (takes, certain) {
                    (Some(true), true) => Some(Some(session)),
                    (Some(false), true) => self.reserved,
                    _ => None,
                };
                None
            }
            Access::Release => {
                if self.reserved == Some(Some(session)) {
                    self.reserved = Some(None);
                }
                None
            }
            Access::PersistentOut => self.persistent_out(nexus, command, certain),
            Access::PersistentIn if certain => {
                let keys = command.cdb.get(1).map(|byte| byte & 0x1f) == Some(READ_KEYS);
                if keys && data.len() >= 8 && be(data, 4, 4) == 0 {
                    self.is_free();
                }
                None
            }
            Access::PersistentIn | Access::Reads | Access::Writes | Access::Other => None,
        }
    }

    fn persistent_out(&mut self, nexus: Nexus, command: &Command, certain: bool) -> Option<Why> {
        use crate::scsi::reservation::OutAction;
        self.dirty = true;
        if !certain {
            self.doubt();
            return None;
        }
        let action = command.cdb.get(1).map(|byte| byte & 0x1f);
        let clears = action == Some(OutAction::Clear as u8);
        let Some(state) = &mut self.persistent else {
            match clears {
                true => self.is_free(),
                false => self.doubt(),
            }
            return None;
        };
        match state.out(nexus, &command.cdb, &command.data) {
            Ok(()) => {
                self.stored = Some(state.stored());
                // It would have been refused if there had been a RESERVE.
                self.reserved = Some(None);
                None
            }
            Err(NotDone::Forbidden(why)) => Some(Why::Forbidden(why)),
            Err(NotDone::Unclear) => {
                self.doubt();
                None
            }
        }
    }
}

fn is_change(access: Access) -> bool {
    matches!(
        access,
        Access::Reserve | Access::Release | Access::PersistentOut
    )
}

/// How a command has ended that has this status.
fn end_of(status: u8, sense: &[u8]) -> End {
    match Status(status) {
        Status::GOOD => End::Done,
        Status::RESERVATION_CONFLICT | Status::BUSY => End::Refused,
        Status::CHECK_CONDITION => match Sense::from_bytes(sense) {
            // The message may have reached the peer, though its call failed.
            Some(Sense::UNAVAILABLE) | None => End::Unknown,
            Some(sense) => match sense.key {
                SenseKey::NOT_READY | SenseKey::ILLEGAL_REQUEST | SenseKey::UNIT_ATTENTION => {
                    End::Refused
                }
                _ => End::Unknown,
            },
        },
        _ => End::Unknown,
    }
}

impl Watcher for Reservations {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        match record.event {
            Event::Command { .. } => self.begin(record, node),
            Event::CommandDone {
                initiator,
                tag,
                status,
                sense,
                data,
                ..
            } => {
                let (id, end) = ((initiator, tag), end_of(status, sense));
                found.extend(self.ended(record, id, end, data));
            }
            Event::Aborted { initiator, tag } | Event::TimedOut { initiator, tag } => {
                self.ended(record, (initiator, tag), End::Unknown, &[]);
            }
            Event::LuAccess { lu, access } => {
                self.names.event(record);
                self.unit(lu).access(node, access, record.sequence);
            }
            Event::SessionOpened {
                initiator,
                session,
                port,
                ..
            } => {
                let next = self.nexuses.len() as Nexus;
                let nexus = (initiator, port.to_vec());
                let nexus = *self.nexuses.entry(nexus).or_insert(next);
                self.sessions.insert((node, session), nexus);
                self.sessions_changed(record.sequence);
            }
            Event::SessionClosed { session, .. } => {
                self.gone(node, Some(session), record.time);
                self.sessions.remove(&(node, session));
                self.sessions_changed(record.sequence);
            }
            Event::Boot { .. } | Event::PowerOff | Event::Panic { .. } => {
                self.names.event(record);
                self.booted.insert(node);
                self.gone(node, None, record.time);
                self.sessions.retain(|(of, _), _| *of != node);
                for unit in self.units.values_mut() {
                    unit.access(node, LuAccess::Gone, record.sequence);
                }
                self.sessions_changed(record.sequence);
            }
            // Who lets go of a session or a port ends what that session had reserved: before it
            // tells the peer, and the peer when it is told.
            Event::Post { message, .. } | Event::Upcall { message, .. } => {
                let held =
                    |unit: &Unit| matches!(unit.reserved, Some(Some(_))) || unit.changing > 0;
                if self.units.values().any(held)
                    && peek(message).is_none_or(|seen| {
                        matches!(
                            seen.message_type,
                            MessageType::DeregisterProxyPort | MessageType::SessionDestroy
                        )
                    })
                {
                    self.sessions_changed(record.sequence);
                }
            }
            // With the service off, ports and their sessions are closed.
            Event::Fault(text) => {
                if matches!(faults::name(text), SERVICE_DISABLED | SERVICE_ENABLED) {
                    self.sessions_changed(record.sequence);
                }
            }
            Event::Management { .. } => {
                self.sessions_changed(record.sequence);
                // Its copy for the peer may come late.
                let until = record.time + DOUBT;
                self.resets_until = self.resets_until.max(until);
            }
            Event::ManagementDone { .. }
            | Event::AluaState { .. }
            | Event::PortRemoved { .. }
            | Event::RelayStarted
            | Event::RelayEnded
            | Event::Connect { .. }
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Call { .. } => self.sessions_changed(record.sequence),
            _ => {}
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests;
