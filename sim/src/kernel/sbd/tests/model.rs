// SPDX-License-Identifier: MPL-2.0
//! Persistent reservations against a naive restatement of what SPC-4, 5.13, says: maps and sets
//! instead of lists, the conflict table as a table.

use super::*;
use crate::scsi::cdb::{self, PageControl};
use crate::scsi::reservation::{
    FullStatus, Held, Keys, OutAction, ReservationType, parameter_list,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SESSIONS: std::ops::RangeInclusive<u64> = 1..=4;

#[derive(Default)]
struct Model {
    generation: u32,
    keys: BTreeMap<u64, u64>,
    held: Option<(ReservationType, BTreeSet<u64>)>,
    told: BTreeSet<(u64, Sense)>,
    abort: BTreeSet<u64>,
}

fn is_shared(kind: ReservationType) -> bool {
    [5, 6, 7, 8].contains(&(kind as u8))
}

fn is_for_all(kind: ReservationType) -> bool {
    [7, 8].contains(&(kind as u8))
}

impl Model {
    /// Who holds the reservation now: of the last two types everybody who is registered.
    fn holders(&self) -> BTreeSet<u64> {
        match &self.held {
            None => BTreeSet::new(),
            Some((kind, _)) if is_for_all(*kind) => self.keys.keys().copied().collect(),
            Some((_, holder)) => holder.clone(),
        }
    }

    fn tell(&mut self, who: impl IntoIterator<Item = u64>, by: u64, sense: Sense) {
        self.told.extend(
            who.into_iter()
                .filter(|other| *other != by)
                .map(|other| (other, sense)),
        );
    }

    fn registered(&self) -> Vec<u64> {
        self.keys.keys().copied().collect()
    }

    fn out(
        &mut self,
        who: u64,
        action: OutAction,
        kind: ReservationType,
        key: u64,
        action_key: u64,
    ) -> Completion {
        let own = self.keys.get(&who).copied();
        let conflict = Completion::RESERVATION_CONFLICT;
        let register = [OutAction::Register, OutAction::RegisterAndIgnore].contains(&action);
        if action == OutAction::Register && key != own.unwrap_or(0) || !register && own != Some(key)
        {
            return conflict;
        }
        match action {
            OutAction::Register | OutAction::RegisterAndIgnore => {
                self.generation += 1;
                if action_key != 0 {
                    self.keys.insert(who, action_key);
                    return Completion::GOOD;
                }
                let held = self.holders().contains(&who);
                self.keys.remove(&who);
                if let Some((kind, _)) = self.held.clone().filter(|_| held)
                    && (!is_for_all(kind) || self.keys.is_empty())
                {
                    self.held = None;
                    if is_shared(kind) {
                        self.tell(self.registered(), who, Sense::RESERVATIONS_RELEASED);
                    }
                }
            }
            OutAction::Reserve => match &self.held {
                None => self.held = Some((kind, BTreeSet::from([who]))),
                Some((present, _)) if self.holders().contains(&who) && *present == kind => {}
                Some(_) => return conflict,
            },
            OutAction::Release => {
                if self.holders().contains(&who) {
                    if self.held.as_ref().unwrap().0 != kind {
                        return Sense::INVALID_RELEASE.into();
                    }
                    self.held = None;
                    if is_shared(kind) {
                        self.tell(self.registered(), who, Sense::RESERVATIONS_RELEASED);
                    }
                }
            }
            OutAction::Clear => {
                self.generation += 1;
                self.tell(self.registered(), who, Sense::RESERVATIONS_PREEMPTED);
                self.keys.clear();
                self.held = None;
            }
            OutAction::Preempt | OutAction::PreemptAndAbort => {
                let for_all = self
                    .held
                    .as_ref()
                    .is_some_and(|(kind, _)| is_for_all(*kind));
                if action_key == 0 && !for_all {
                    return Sense::INVALID_FIELD_IN_LIST.into();
                }
                let named: BTreeSet<u64> = match action_key {
                    0 => self.keys.keys().copied().collect(),
                    key => self
                        .keys
                        .iter()
                        .filter(|k| *k.1 == key)
                        .map(|k| *k.0)
                        .collect(),
                };
                if named.is_empty() {
                    return conflict;
                }
                let hits_holder = match for_all {
                    true => action_key == 0,
                    false => self.holders().intersection(&named).next().is_some(),
                };
                self.generation += 1;
                let mut lost = named;
                if hits_holder {
                    lost.remove(&who);
                }
                self.keys.retain(|nexus, _| !lost.contains(nexus));
                self.tell(lost.clone(), who, Sense::REGISTRATIONS_PREEMPTED);
                if action == OutAction::PreemptAndAbort {
                    self.abort = lost;
                }
                if hits_holder {
                    if self.held.as_ref().unwrap().0 != kind {
                        self.tell(self.registered(), who, Sense::RESERVATIONS_RELEASED);
                    }
                    self.held = Some((kind, BTreeSet::from([who])));
                } else if self.keys.is_empty() {
                    self.held = None;
                }
            }
        }
        Completion::GOOD
    }

    /// The tables of SPC-4 and SBC-3: a dot is "allowed", an x "conflict", for the types in their
    /// order: write exclusive, exclusive access, the same for registrants only, the same for all
    /// registrants.
    fn allows(&self, who: u64, class: Class) -> bool {
        let Some((kind, _)) = &self.held else {
            return true;
        };
        let row = match (
            class,
            self.holders().contains(&who),
            self.keys.contains_key(&who),
        ) {
            (Class::Condition, _, _) => "......",
            (_, true, _) => "......",
            (Class::Read, false, true) => ".x....",
            (Class::Read, false, false) => ".x.x.x",
            (Class::Write, false, true) => "xx....",
            (Class::Write, false, false) => "xxxxxx",
        };
        let column = ReservationType::ALL.iter().position(|k| k == kind).unwrap();
        row.as_bytes()[column] == b'.'
    }
}

#[derive(Clone, Copy)]
enum Class {
    Condition,
    Read,
    Write,
}

/// A command of each sort, that changes nothing even where it is allowed.
fn probes() -> Vec<(Class, Vec<u8>)> {
    vec![
        (Class::Condition, cdb::test_unit_ready().to_vec()),
        (Class::Condition, cdb::read_capacity_10().to_vec()),
        (Class::Condition, cdb::read_capacity_16(32).to_vec()),
        (Class::Condition, cdb::inquiry(36).to_vec()),
        (
            Class::Condition,
            cdb::report_target_port_groups(36).to_vec(),
        ),
        (Class::Condition, cdb::start_stop_unit(true).to_vec()),
        (Class::Read, cdb::read_10(0, 1).to_vec()),
        (Class::Read, cdb::verify_10(0, 1, false).to_vec()),
        (
            Class::Read,
            cdb::mode_sense_6(0x3f, PageControl::Current, 255).to_vec(),
        ),
        (Class::Write, cdb::write_10(0, 0).to_vec()),
        (Class::Write, cdb::synchronize_cache_10(0, 0).to_vec()),
        (Class::Write, cdb::mode_select_6(false, 0).to_vec()),
    ]
}

/// Everything that a nexus is told, as REQUEST SENSE takes it away.
fn drain(unit: &mut LogicalUnit, session: u64) -> BTreeSet<(u64, Sense)> {
    std::iter::from_fn(|| {
        let (_, data) = run(unit, session, &cdb::request_sense(18), &[]);
        Sense::from_bytes(&data).filter(|sense| *sense != Sense::NONE)
    })
    .map(|sense| (session, sense))
    .collect()
}

fn agrees(unit: &mut LogicalUnit, model: &Model) -> Result<(), TestCaseError> {
    let (_, data) = run(unit, 1, &cdb::persistent_reserve_in(0, 255), &[]);
    let keys = Keys::parse(&data).unwrap();
    prop_assert_eq!(keys.generation, model.generation);
    let sorted = |mut keys: Vec<u64>| {
        keys.sort_unstable();
        keys
    };
    prop_assert_eq!(
        sorted(keys.keys),
        sorted(model.keys.values().copied().collect())
    );

    let (_, data) = run(unit, 2, &cdb::persistent_reserve_in(1, 255), &[]);
    let held = Held::parse(&data).unwrap().reservation;
    let expected = model
        .held
        .as_ref()
        .map(|(kind, holder)| match is_for_all(*kind) {
            true => (0, *kind),
            false => (model.keys[holder.first().unwrap()], *kind),
        });
    prop_assert_eq!(held, expected);

    let (_, data) = run(unit, 3, &cdb::persistent_reserve_in(3, 1000), &[]);
    let full: BTreeMap<_, _> = FullStatus::parse_list(&data)
        .unwrap()
        .into_iter()
        .map(|s| (s.initiator.clone(), s))
        .collect();
    prop_assert_eq!(full.len(), model.keys.len());
    for (session, key) in &model.keys {
        let status = &full[&nexus(*session).id.initiator.to_vec()];
        prop_assert_eq!((status.key, status.relative_port_id), (*key, 1));
        let holds = model.holders().contains(session);
        prop_assert_eq!(
            status.holds,
            model.held.as_ref().map(|h| h.0).filter(|_| holds)
        );
    }

    for session in SESSIONS {
        for (class, probe) in probes() {
            let (completion, _) = run(unit, session, &probe, &[]);
            let expected = match model.allows(session, class) {
                true => Completion::GOOD,
                false => Completion::RESERVATION_CONFLICT,
            };
            prop_assert_eq!(completion, expected, "session {} {:x?}", session, probe);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn persistent_reservations_are_as_the_standard_says(
        steps in prop::collection::vec(
            (SESSIONS, 0u8..7, 0usize..6, prop::bool::weighted(0.85), 0u64..4, 0u64..4),
            1..30,
        )
    ) {
        let mut unit = quiet_unit();
        let mut model = Model::default();
        for (session, action, kind, with_own_key, key, action_key) in steps {
            let (action, kind) = (OutAction::from_byte(action).unwrap(), ReservationType::ALL[kind]);
            let own = model.keys.get(&session).copied().unwrap_or(0);
            let key = if with_own_key { own } else { key };
            let list = parameter_list(key, action_key, false);
            let out = cdb::persistent_reserve_out(action, kind);
            let (outcome, _) = run_fully(&mut unit, &nexus(session), &out, &list).unwrap();
            model.told.clear();
            model.abort.clear();
            let expected = model.out(session, action, kind, key, action_key);
            prop_assert_eq!(outcome.completion, expected);
            let abort: BTreeSet<NexusId> = outcome.abort.iter().cloned().collect();
            prop_assert_eq!(abort, model.abort.iter().map(|s| nexus(*s).id).collect());
            let told: BTreeSet<_> = SESSIONS.flat_map(|s| drain(&mut unit, s)).collect();
            prop_assert_eq!(&told, &model.told);
            agrees(&mut unit, &model)?;
        }
    }
}
