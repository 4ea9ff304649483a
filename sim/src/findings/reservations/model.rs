// SPDX-License-Identifier: MPL-2.0
//! Persistent reservations as SPC has them (SPC-4, 5.13; SBC-3, 4.17), for one LU. Written for
//! checking, apart from the device server that it checks; a test lets both do the same.

use crate::scsi::be;
use crate::scsi::opcode::*;
use crate::scsi::reservation::{OutAction, PARAMETER_LIST_LENGTH, ReservationType};
use std::collections::BTreeMap;

/// An initiator port at a target port, by number.
pub(super) type Nexus = u32;

/// What a command does, as far as reservations go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Reads,
    Writes,
    /// RESERVE and RELEASE.
    Reserve,
    Release,
    PersistentOut,
    PersistentIn,
    /// Whatever is not judged.
    Other,
}

pub(super) fn access(cdb: &[u8]) -> Access {
    match cdb.first().copied().unwrap_or(0) {
        READ_6 | READ_10 | READ_12 | READ_16 => Access::Reads,
        WRITE_6 | WRITE_10 | WRITE_12 | WRITE_16 => Access::Writes,
        SYNCHRONIZE_CACHE_10 | SYNCHRONIZE_CACHE_16 | MODE_SELECT_6 | MODE_SELECT_10 => {
            Access::Writes
        }
        RESERVE_6 | RESERVE_10 => Access::Reserve,
        RELEASE_6 | RELEASE_10 => Access::Release,
        PERSISTENT_RESERVE_OUT => Access::PersistentOut,
        PERSISTENT_RESERVE_IN => Access::PersistentIn,
        _ => Access::Other,
    }
}

/// Why a PERSISTENT RESERVE OUT that ended with GOOD has no known effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotDone {
    /// SPC forbids it to this nexus: why, as part of a sentence.
    Forbidden(&'static str),
    /// Who knows.
    Unclear,
}

/// Registrations, the reservation, and whether they outlive a loss of power.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Persistent {
    keys: BTreeMap<Nexus, u64>,
    /// Its type and holder; no holder if all registrants hold it.
    held: Option<(ReservationType, Option<Nexus>)>,
    aptpl: bool,
}

impl Persistent {
    /// What is there after a failover or a reboot.
    pub(super) fn stored(&self) -> Persistent {
        match self.aptpl {
            true => self.clone(),
            false => Persistent::default(),
        }
    }

    pub(super) fn any_registered(&self) -> bool {
        !self.keys.is_empty()
    }

    fn holds(&self, nexus: Nexus) -> bool {
        match self.held {
            None => false,
            Some((_, Some(holder))) => holder == nexus,
            Some((_, None)) => self.keys.contains_key(&nexus),
        }
    }

    /// The reservation that keeps `nexus` from this, and who holds it.
    pub(super) fn forbids(
        &self,
        nexus: Nexus,
        access: Access,
    ) -> Option<(ReservationType, Option<Nexus>)> {
        let (kind, holder) = self.held?;
        let concerns = match access {
            Access::Reads => kind.excludes_reads(),
            Access::Writes => true,
            _ => false,
        };
        let shares = kind.shared_by_registrants() && self.keys.contains_key(&nexus);
        (concerns && !shares && !self.holds(nexus)).then_some((kind, holder))
    }

    /// A PERSISTENT RESERVE OUT of `nexus` has ended with GOOD.
    pub(super) fn out(&mut self, nexus: Nexus, cdb: &[u8], list: &[u8]) -> Result<(), NotDone> {
        const SPEC_I_PT: u8 = 0x08;
        const ALL_TG_PT: u8 = 0x04;
        const APTPL: u8 = 0x01;
        let action = cdb
            .get(1)
            .and_then(|byte| OutAction::from_byte(byte & 0x1f));
        let action = action.ok_or(NotDone::Unclear)?;
        let kind = cdb
            .get(2)
            .and_then(|byte| ReservationType::from_byte(byte & 0xf));
        let length = be(cdb, 5, 4) as usize;
        if length != PARAMETER_LIST_LENGTH || list.len() != PARAMETER_LIST_LENGTH {
            return Err(NotDone::Unclear);
        }
        let (key, action_key, flags) = (be(list, 0, 8), be(list, 8, 8), list[20]);
        if flags & (SPEC_I_PT | ALL_TG_PT) != 0 {
            return Err(NotDone::Unclear);
        }
        let own = self.keys.get(&nexus).copied();
        if matches!(action, OutAction::Register | OutAction::RegisterAndIgnore) {
            if action == OutAction::Register && key != own.unwrap_or(0) {
                let why = "it registered with a key that it had not";
                return Err(NotDone::Forbidden(why));
            }
            self.register(nexus, own, action_key);
            self.aptpl = flags & APTPL != 0;
            return Ok(());
        }
        if own != Some(key) {
            return Err(NotDone::Forbidden(
                "it was not registered with the key that it gave",
            ));
        }
        match (action, kind) {
            (OutAction::Clear, _) => {
                self.keys.clear();
                self.held = None;
                Ok(())
            }
            (OutAction::Reserve, Some(kind)) => match self.held {
                None => {
                    self.take(nexus, kind);
                    Ok(())
                }
                Some((held, _)) if self.holds(nexus) && held == kind => Ok(()),
                Some(_) => {
                    let why = "another reservation was held";
                    Err(NotDone::Forbidden(why))
                }
            },
            (OutAction::Release, Some(kind)) => match self.held {
                Some((held, _)) if self.holds(nexus) => {
                    if held != kind {
                        return Err(NotDone::Unclear);
                    }
                    self.held = None;
                    Ok(())
                }
                _ => Ok(()),
            },
            (OutAction::Preempt | OutAction::PreemptAndAbort, Some(kind)) => {
                self.preempt(nexus, kind, action_key)
            }
            _ => Err(NotDone::Unclear),
        }
    }

    fn take(&mut self, nexus: Nexus, kind: ReservationType) {
        self.held = Some((kind, (!kind.all_registrants()).then_some(nexus)));
    }

    fn register(&mut self, nexus: Nexus, own: Option<u64>, key: u64) {
        match (own, key) {
            (None, 0) => {}
            (_, 0) => {
                self.keys.remove(&nexus);
                let held_alone = self.held.is_some_and(|(_, holder)| holder == Some(nexus));
                if held_alone || self.keys.is_empty() {
                    self.held = None;
                }
            }
            (_, key) => {
                self.keys.insert(nexus, key);
            }
        }
    }

    fn preempt(&mut self, nexus: Nexus, kind: ReservationType, victim: u64) -> Result<(), NotDone> {
        let takes_over = match self.held {
            None => false,
            Some((_, None)) => victim == 0,
            Some((_, Some(holder))) => self.keys.get(&holder) == Some(&victim),
        };
        let of_all = matches!(self.held, Some((_, None)));
        if victim == 0 && !of_all {
            return Err(NotDone::Unclear);
        }
        let is_victim = |key: u64| victim == 0 || key == victim;
        if !takes_over && !self.keys.values().any(|key| is_victim(*key)) {
            return Err(NotDone::Unclear);
        }
        self.keys
            .retain(|other, key| !is_victim(*key) || (*other == nexus && takes_over));
        if takes_over {
            self.take(nexus, kind);
        } else if self.keys.is_empty() {
            self.held = None;
        }
        Ok(())
    }
}
