// SPDX-License-Identifier: MPL-2.0
//! Persistent reservations: registered keys, the reservation, and what PERSISTENT RESERVE OUT and
//! IN do with them (SPC-4, 5.13).
//!
//! All six types; scope is always the logical unit. Not supported, and said so by REPORT
//! CAPABILITIES: SPEC_I_PT, ALL_TG_PT, REGISTER AND MOVE.
//!
//! Over a failover: the node that becomes standby forgets them. With APTPL they are also stored
//! with the disk, and the node that imports the disk restores them from there, generation 0;
//! without APTPL they are lost, as they would be in a loss of power. A nexus is known by initiator
//! port and target port identifier, so that a registration made through the proxy port of a node
//! is that of the same path after the other node has become the active one.

use super::attention::Attention;
use super::{MAX_REGISTRATIONS, Nexus, NexusId};
use crate::scsi::reservation::{
    OutAction, PARAMETER_LIST_LENGTH, READ_FULL_STATUS, READ_KEYS, READ_RESERVATION,
    ReservationType,
};
use crate::scsi::{Completion, Sense, be};

/// A registered nexus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Who it is.
    pub nexus: NexusId,
    /// Relative port identifier of its target port when it was last heard here.
    pub relative_port_id: u16,
    /// Its key; never 0.
    pub key: u64,
}

/// A persistent reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// Its type.
    pub kind: ReservationType,
    /// Who holds it: always a registered nexus. `None` for the types that all registrants hold.
    pub holder: Option<NexusId>,
}

/// Everything that APTPL stores.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PersistentState {
    /// In order of registration.
    pub registrations: Vec<Registration>,
    /// The reservation, if there is one; never without a registration.
    pub reservation: Option<Reservation>,
}

/// What a PERSISTENT RESERVE OUT does to others.
#[derive(Default, Debug)]
pub(super) struct Effects {
    pub(super) attentions: Vec<(NexusId, Attention)>,
    pub(super) abort: Vec<NexusId>,
}

/// The state of one logical unit on the node where it is active.
#[derive(Default, Debug)]
pub(super) struct PersistentReservations {
    generation: u32,
    state: PersistentState,
    aptpl: bool,
}

impl PersistentReservations {
    /// What an import finds stored with the disk.
    pub(super) fn restore(stored: Option<PersistentState>) -> PersistentReservations {
        let aptpl = stored.is_some();
        PersistentReservations {
            generation: 0,
            state: stored.unwrap_or_default(),
            aptpl,
        }
    }

    /// What is to be stored with the disk.
    pub(super) fn to_store(&self) -> Option<PersistentState> {
        self.aptpl.then(|| self.state.clone())
    }

    pub(super) fn state(&self) -> &PersistentState {
        &self.state
    }

    fn find(&self, nexus: &NexusId) -> Option<usize> {
        self.state
            .registrations
            .iter()
            .position(|r| r.nexus == *nexus)
    }

    pub(super) fn is_registered(&self, nexus: &NexusId) -> bool {
        self.find(nexus).is_some()
    }

    pub(super) fn any_registered(&self) -> bool {
        !self.state.registrations.is_empty()
    }

    pub(super) fn reservation(&self) -> Option<&Reservation> {
        self.state.reservation.as_ref()
    }

    /// Whether `nexus` holds the reservation.
    pub(super) fn holds(&self, nexus: &NexusId) -> bool {
        match self.reservation() {
            None => false,
            Some(Reservation {
                holder: Some(holder),
                ..
            }) => holder == nexus,
            Some(Reservation { holder: None, .. }) => self.is_registered(nexus),
        }
    }

    /// PERSISTENT RESERVE OUT. `kind` is the type, for the service actions that have one.
    pub(super) fn out(
        &mut self,
        nexus: &Nexus,
        action: OutAction,
        kind: Option<ReservationType>,
        list: &[u8],
    ) -> Result<Effects, Completion> {
        if list.len() < PARAMETER_LIST_LENGTH {
            return Err(Sense::PARAMETER_LIST_LENGTH.into());
        }
        let (key, action_key, flags) = (be(list, 0, 8), be(list, 8, 8), list[20]);
        if matches!(action, OutAction::Register | OutAction::RegisterAndIgnore) {
            return self.register(nexus, action, key, action_key, flags);
        }
        let own = self
            .find(&nexus.id)
            .filter(|i| self.state.registrations[*i].key == key);
        let Some(own) = own else {
            return Err(Completion::RESERVATION_CONFLICT);
        };
        self.state.registrations[own].relative_port_id = nexus.relative_port_id;
        match (action, kind) {
            (OutAction::Reserve, Some(kind)) => self.reserve(&nexus.id, kind),
            (OutAction::Release, Some(kind)) => self.release(&nexus.id, kind),
            (OutAction::Preempt, Some(kind)) => self.preempt(&nexus.id, kind, action_key),
            (OutAction::PreemptAndAbort, Some(kind)) => {
                let mut effects = self.preempt(&nexus.id, kind, action_key)?;
                let removed = effects
                    .attentions
                    .iter()
                    .filter(|e| e.1 == Attention::RegistrationsPreempted);
                effects
                    .abort
                    .extend(removed.map(|(nexus, _)| nexus.clone()));
                if !self.is_registered(&nexus.id) {
                    effects.abort.push(nexus.id.clone());
                }
                Ok(effects)
            }
            (OutAction::Clear, _) => Ok(self.clear(&nexus.id)),
            _ => Err(Sense::INVALID_FIELD_IN_CDB.into()),
        }
    }

    fn register(
        &mut self,
        nexus: &Nexus,
        action: OutAction,
        key: u64,
        new_key: u64,
        flags: u8,
    ) -> Result<Effects, Completion> {
        const SPEC_I_PT: u8 = 0x08;
        const ALL_TG_PT: u8 = 0x04;
        const APTPL: u8 = 0x01;
        if flags & (SPEC_I_PT | ALL_TG_PT) != 0 {
            return Err(Sense::INVALID_FIELD_IN_LIST.into());
        }
        let own = self.find(&nexus.id);
        let own_key = own.map_or(0, |i| self.state.registrations[i].key);
        if action == OutAction::Register && key != own_key {
            return Err(Completion::RESERVATION_CONFLICT);
        }
        let mut effects = Effects::default();
        match (own, new_key) {
            (None, 0) => {}
            (None, key) => {
                if self.state.registrations.len() >= MAX_REGISTRATIONS {
                    return Err(Sense::NO_REGISTRATION_ROOM.into());
                }
                let relative_port_id = nexus.relative_port_id;
                let nexus = nexus.id.clone();
                self.state.registrations.push(Registration {
                    nexus,
                    relative_port_id,
                    key,
                });
            }
            (Some(own), 0) => {
                let held_alone = self.holds(&nexus.id)
                    && self
                        .reservation()
                        .is_some_and(|r| !r.kind.all_registrants());
                self.state.registrations.remove(own);
                if held_alone || !self.any_registered() {
                    self.end_reservation(&nexus.id, &mut effects);
                }
            }
            (Some(own), key) => {
                self.state.registrations[own].key = key;
                self.state.registrations[own].relative_port_id = nexus.relative_port_id;
            }
        }
        self.aptpl = flags & APTPL != 0;
        self.generation = self.generation.wrapping_add(1);
        Ok(effects)
    }

    /// Ends the reservation; of the types that registrants share, the others are told.
    fn end_reservation(&mut self, by: &NexusId, effects: &mut Effects) {
        let ended = self.state.reservation.take();
        if ended.is_some_and(|r| r.kind.shared_by_registrants()) {
            self.tell_others(by, Attention::ReservationsReleased, effects);
        }
    }

    fn tell_others(&self, by: &NexusId, attention: Attention, effects: &mut Effects) {
        let others = self.state.registrations.iter().filter(|r| r.nexus != *by);
        effects
            .attentions
            .extend(others.map(|r| (r.nexus.clone(), attention)));
    }

    fn reserve(&mut self, nexus: &NexusId, kind: ReservationType) -> Result<Effects, Completion> {
        match self.reservation() {
            None => self.state.reservation = Some(new_reservation(nexus, kind)),
            Some(present) if self.holds(nexus) && present.kind == kind => {}
            Some(_) => return Err(Completion::RESERVATION_CONFLICT),
        }
        Ok(Effects::default())
    }

    fn release(&mut self, nexus: &NexusId, kind: ReservationType) -> Result<Effects, Completion> {
        let mut effects = Effects::default();
        match self.reservation() {
            Some(present) if self.holds(nexus) => {
                if present.kind != kind {
                    return Err(Sense::INVALID_RELEASE.into());
                }
                self.end_reservation(nexus, &mut effects);
            }
            _ => {}
        }
        Ok(effects)
    }

    fn clear(&mut self, nexus: &NexusId) -> Effects {
        let mut effects = Effects::default();
        self.tell_others(nexus, Attention::ReservationsPreempted, &mut effects);
        self.state = PersistentState::default();
        self.generation = self.generation.wrapping_add(1);
        effects
    }

    fn preempt(
        &mut self,
        nexus: &NexusId,
        kind: ReservationType,
        victim_key: u64,
    ) -> Result<Effects, Completion> {
        let present = self.state.reservation.clone();
        let held_by_all = present.as_ref().is_some_and(|r| r.holder.is_none());
        if victim_key == 0 && !held_by_all {
            return Err(Sense::INVALID_FIELD_IN_LIST.into());
        }
        // Either the reservation is taken over (its holder, or all of them, are the victims), or
        // registrations are removed and the reservation stays as it is.
        let takes_over = match present.as_ref().map(|r| &r.holder) {
            None => false,
            Some(None) => victim_key == 0,
            Some(Some(holder)) => self
                .find(holder)
                .is_some_and(|i| self.state.registrations[i].key == victim_key),
        };
        let is_victim = |r: &Registration| victim_key == 0 || r.key == victim_key;
        if !takes_over && !self.state.registrations.iter().any(is_victim) {
            return Err(Completion::RESERVATION_CONFLICT);
        }
        let mut effects = Effects::default();
        self.state.registrations.retain(|r| {
            let own = r.nexus == *nexus;
            let removed = is_victim(r) && !(own && takes_over);
            if removed && !own {
                let lost = (r.nexus.clone(), Attention::RegistrationsPreempted);
                effects.attentions.push(lost);
            }
            !removed
        });
        if takes_over {
            if present.is_some_and(|r| r.kind != kind) {
                self.tell_others(nexus, Attention::ReservationsReleased, &mut effects);
            }
            self.state.reservation = Some(new_reservation(nexus, kind));
        } else if !self.any_registered() {
            self.state.reservation = None;
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(effects)
    }

    /// PERSISTENT RESERVE IN, service actions 0 to 3. At most `limit` bytes are made; the lengths
    /// in them are those of the whole answer.
    pub(super) fn report(&self, action: u8, limit: usize) -> Vec<u8> {
        let mut data = self.generation.to_be_bytes().to_vec();
        match action {
            READ_KEYS => {
                data.extend((self.state.registrations.len() as u32 * 8).to_be_bytes());
                data.extend(
                    self.state
                        .registrations
                        .iter()
                        .flat_map(|r| r.key.to_be_bytes()),
                );
            }
            READ_RESERVATION => match self.reservation() {
                None => data.extend([0; 4]),
                Some(reservation) => {
                    let holder = reservation.holder.as_ref().and_then(|h| self.find(h));
                    let key = holder.map_or(0, |i| self.state.registrations[i].key);
                    data.extend(16u32.to_be_bytes());
                    data.extend(key.to_be_bytes());
                    data.extend([0, 0, 0, 0, 0, reservation.kind as u8, 0, 0]);
                }
            },
            READ_FULL_STATUS => {
                let length: usize = self
                    .state
                    .registrations
                    .iter()
                    .map(|r| 24 + r.nexus.initiator.len())
                    .sum();
                data.extend((length as u32).to_be_bytes());
                for registration in &self.state.registrations {
                    if data.len() >= limit {
                        break;
                    }
                    self.full_status(registration, &mut data);
                }
            }
            // CRH and PTPL_C; type mask valid, PTPL_A; the six types.
            _ => data = vec![0, 8, 0x11, 0x80 | u8::from(self.aptpl), 0xea, 0x01, 0, 0],
        }
        data.truncate(limit);
        data
    }

    fn full_status(&self, registration: &Registration, data: &mut Vec<u8>) {
        let held = self
            .reservation()
            .filter(|_| self.holds(&registration.nexus));
        let (holder, kind) = held.map_or((0, 0), |reservation| (1, reservation.kind as u8));
        data.extend(registration.key.to_be_bytes());
        data.extend([0, 0, 0, 0, holder, kind, 0, 0, 0, 0]);
        data.extend(registration.relative_port_id.to_be_bytes());
        data.extend((registration.nexus.initiator.len() as u32).to_be_bytes());
        data.extend(&registration.nexus.initiator[..]);
    }
}

fn new_reservation(nexus: &NexusId, kind: ReservationType) -> Reservation {
    Reservation {
        kind,
        holder: (!kind.all_registrants()).then(|| nexus.clone()),
    }
}
