// SPDX-License-Identifier: MPL-2.0
//! Which commands a reservation lets through: the one of RESERVE (SPC-2) and the persistent one
//! (the tables of SPC-4, 5.13, and SBC-3, 4.17).
//!
//! RESERVE and persistent reservations exclude one another, but for "compatible reservation
//! handling": once a nexus is registered, its own RESERVE and RELEASE succeed and do nothing.

use super::LogicalUnit;
use super::Nexus;
use super::cdb::{Command, ListCommand};

/// What a command does to the logical unit, as far as reservations go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    /// Asks what the unit is. Always allowed.
    Identify,
    /// Asks how it is. Kept out by RESERVE only.
    Condition,
    /// Reads the medium or its parameters.
    Read,
    /// Changes them.
    Write,
    Reserve,
    Release,
    Persistent,
}

fn access(command: &Command) -> Access {
    match command {
        Command::Inquiry { .. }
        | Command::RequestSense { .. }
        | Command::ReportTargetPortGroups { .. }
        | Command::ReportIdentifyingInformation { .. } => Access::Identify,
        Command::TestUnitReady
        | Command::ReadCapacity10
        | Command::ReadCapacity16 { .. }
        | Command::StartStop { start: true } => Access::Condition,
        Command::Read(_) | Command::Verify { .. } | Command::ModeSense { .. } => Access::Read,
        Command::Write(_)
        | Command::SynchronizeCache(_)
        | Command::StartStop { start: false }
        | Command::EmptyModeSelect
        | Command::List {
            command: ListCommand::ModeSelect { .. },
            ..
        } => Access::Write,
        Command::Reserve => Access::Reserve,
        Command::Release => Access::Release,
        Command::PersistentIn { .. }
        | Command::List {
            command: ListCommand::PersistentOut { .. },
            ..
        } => Access::Persistent,
    }
}

impl LogicalUnit {
    /// Whether a reservation keeps `nexus` from doing `command`. PERSISTENT RESERVE OUT has rules
    /// of its own beside this one.
    pub(super) fn conflicts(&self, nexus: &Nexus, command: &Command) -> bool {
        let access = access(command);
        if access == Access::Identify {
            return false;
        }
        if let Some(holder) = self.reserved_by {
            return match access {
                Access::Persistent => true, // for the holder too
                Access::Release => false,
                _ => holder != nexus.session_id,
            };
        }
        let persistent = &self.persistent;
        match access {
            Access::Reserve | Access::Release => {
                persistent.any_registered() && !persistent.is_registered(&nexus.id)
            }
            Access::Read | Access::Write => {
                let Some(reservation) = persistent.reservation() else {
                    return false;
                };
                if access == Access::Read && !reservation.kind.excludes_reads() {
                    return false;
                }
                let shared = reservation.kind.shared_by_registrants();
                !(persistent.holds(&nexus.id) || shared && persistent.is_registered(&nexus.id))
            }
            Access::Identify | Access::Condition | Access::Persistent => false,
        }
    }

    /// RESERVE, which nothing keeps `nexus` from doing.
    pub(super) fn reserve(&mut self, nexus: &Nexus) {
        if !self.persistent.any_registered() {
            self.reserved_by = Some(nexus.session_id);
        }
    }

    /// RELEASE: only the holder's does anything.
    pub(super) fn release(&mut self, nexus: &Nexus) {
        if self.reserved_by == Some(nexus.session_id) {
            self.reserved_by = None;
        }
    }
}
