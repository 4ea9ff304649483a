// SPDX-License-Identifier: MPL-2.0
//! Unit attentions of one I_T nexus: what it is told with the next command that can be told.
//!
//! A condition is pending or not (never twice), is reported once, most urgent first, and each
//! report takes only that one away: after "power on" a pending "access state changed" still
//! comes with the command after.

use crate::scsi::Sense;

/// A condition, in the order in which pending ones are reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(super) enum Attention {
    PowerOn,
    AccessStateChanged,
    ReservationsPreempted,
    ReservationsReleased,
    RegistrationsPreempted,
    ModeChanged,
}

const ALL: [(Attention, Sense); 6] = [
    (Attention::PowerOn, Sense::POWER_ON),
    (Attention::AccessStateChanged, Sense::ACCESS_STATE_CHANGED),
    (
        Attention::ReservationsPreempted,
        Sense::RESERVATIONS_PREEMPTED,
    ),
    (
        Attention::ReservationsReleased,
        Sense::RESERVATIONS_RELEASED,
    ),
    (
        Attention::RegistrationsPreempted,
        Sense::REGISTRATIONS_PREEMPTED,
    ),
    (Attention::ModeChanged, Sense::MODE_CHANGED),
];

/// The conditions pending for one nexus.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Attentions(u8);

impl Attentions {
    pub(super) fn add(&mut self, attention: Attention) {
        self.0 |= 1 << attention as u8;
    }

    /// Takes the most urgent one.
    pub(super) fn take(&mut self) -> Option<Sense> {
        let (attention, sense) = ALL.into_iter().find(|(a, _)| self.0 & 1 << *a as u8 != 0)?;
        self.0 &= !(1 << attention as u8);
        Some(sense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_and_the_most_urgent_first() {
        let mut pending = Attentions::default();
        assert_eq!(pending.take(), None);
        for (attention, _) in ALL.into_iter().rev() {
            pending.add(attention);
            pending.add(attention);
        }
        let reported: Vec<Sense> = std::iter::from_fn(|| pending.take()).collect();
        assert_eq!(reported, ALL.map(|(_, sense)| sense));
    }

    #[test]
    fn power_on_does_not_hide_a_changed_access_state() {
        let mut pending = Attentions::default();
        pending.add(Attention::AccessStateChanged);
        pending.add(Attention::PowerOn);
        assert_eq!(pending.take(), Some(Sense::POWER_ON));
        assert_eq!(pending.take(), Some(Sense::ACCESS_STATE_CHANGED));
        assert_eq!(pending.take(), None);
    }
}
