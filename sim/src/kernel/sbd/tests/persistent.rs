// SPDX-License-Identifier: MPL-2.0
//! Persistent reservations case by case: what the model test does not reach.

use super::*;
use crate::scsi::cdb;
use crate::scsi::reservation::{Keys, OutAction, ReservationType, parameter_list};

fn out(
    unit: &mut LogicalUnit,
    nexus: &Nexus,
    action: OutAction,
    keys: (u64, u64),
    kind: ReservationType,
) -> Outcome {
    let list = parameter_list(keys.0, keys.1, false);
    run_fully(
        unit,
        nexus,
        &cdb::persistent_reserve_out(action, kind),
        &list,
    )
    .unwrap()
    .0
}

const ANY: ReservationType = ReservationType::WriteExclusive;

#[test]
fn preempt_and_abort_names_whose_commands_end() {
    let mut unit = quiet_unit();
    for session in 1..=3 {
        let outcome = out(
            &mut unit,
            &nexus(session),
            OutAction::Register,
            (0, session),
            ANY,
        );
        assert_eq!(outcome, Completion::GOOD.into());
    }
    let kind = ReservationType::ExclusiveAccessRegistrantsOnly;
    let reserved = out(&mut unit, &nexus(2), OutAction::Reserve, (2, 0), kind);
    assert_eq!(reserved.completion, Completion::GOOD);
    let outcome = out(
        &mut unit,
        &nexus(1),
        OutAction::PreemptAndAbort,
        (1, 2),
        kind,
    );
    assert_eq!(
        outcome,
        Outcome {
            completion: Completion::GOOD,
            abort: vec![nexus(2).id]
        }
    );
    assert_eq!(
        sense_of(run(&mut unit, 2, &[0; 6], &[]).0),
        Sense::REGISTRATIONS_PREEMPTED
    );
    assert_eq!(
        run(&mut unit, 3, &[0; 6], &[]).0,
        Completion::GOOD,
        "same type: nothing to tell"
    );
    let held = unit.persistent_state().reservation.clone().unwrap();
    assert_eq!(
        held,
        Reservation {
            kind,
            holder: Some(nexus(1).id)
        }
    );
}

#[test]
fn the_same_initiator_on_another_port_is_another_nexus() {
    let mut unit = quiet_unit();
    let mut second_path = nexus(1);
    second_path.session_id = 11;
    second_path.id.target_port = b"iqn.2010-08.org.illumos:t2"[..].into();
    second_path.relative_port_id = 2;
    second_path.through_proxy = true;
    out(&mut unit, &nexus(1), OutAction::Register, (0, 5), ANY);
    out(&mut unit, &nexus(1), OutAction::Reserve, (5, 0), ANY);
    let write = cdb::write_10(0, 1);
    let refused = run_as(&mut unit, &second_path, &write, &[0; 512]).0;
    assert_eq!(refused, Completion::RESERVATION_CONFLICT);
    // And another session of the same nexus is the same.
    let again = Nexus {
        session_id: 12,
        ..nexus(1)
    };
    assert_eq!(
        sense_of(run_as(&mut unit, &again, &write, &[0; 512]).0),
        Sense::POWER_ON
    );
    assert_eq!(
        run_as(&mut unit, &again, &write, &[0; 512]).0,
        Completion::GOOD
    );
}

#[test]
fn registrations_are_bounded() {
    let mut unit = unit(&disk(), AccessState::Active);
    let register = |unit: &mut LogicalUnit, session: u64, key: u64| {
        let nexus = Nexus {
            through_proxy: true,
            ..nexus(session)
        };
        out(unit, &nexus, OutAction::RegisterAndIgnore, (0, key), ANY).completion
    };
    for session in 0..MAX_REGISTRATIONS as u64 {
        assert_eq!(register(&mut unit, session, session + 1), Completion::GOOD);
    }
    let one_more = MAX_REGISTRATIONS as u64;
    assert_eq!(
        sense_of(register(&mut unit, one_more, 7)),
        Sense::NO_REGISTRATION_ROOM
    );
    assert_eq!(
        register(&mut unit, 3, 9),
        Completion::GOOD,
        "a key can still be changed"
    );
    let nexus = Nexus {
        through_proxy: true,
        ..nexus(0)
    };
    for action in [0, 3] {
        let (_, data) = run_as(
            &mut unit,
            &nexus,
            &cdb::persistent_reserve_in(action, u16::MAX),
            &[],
        );
        assert!(data.len() <= usize::from(u16::MAX));
        let announced = crate::scsi::be(&data, 4, 4) as usize;
        let record = if action == 0 {
            8
        } else {
            24 + nexus.id.initiator.len()
        };
        assert!(
            announced >= MAX_REGISTRATIONS * record,
            "the whole length, cut off or not"
        );
    }
    assert_eq!(register(&mut unit, 3, 0), Completion::GOOD);
    assert_eq!(register(&mut unit, one_more, 7), Completion::GOOD);
}

#[test]
fn capabilities_say_what_is_served() {
    let mut unit = quiet_unit();
    let capabilities =
        |unit: &mut LogicalUnit| run(unit, 1, &cdb::persistent_reserve_in(2, 255), &[]).1;
    assert_eq!(
        capabilities(&mut unit),
        [0, 8, 0x11, 0x80, 0xea, 0x01, 0, 0]
    );
    let register = cdb::persistent_reserve_out(OutAction::Register, ANY);
    run(&mut unit, 1, &register, &parameter_list(0, 1, true));
    assert_eq!(capabilities(&mut unit)[3], 0x81, "APTPL is active");
}

#[test]
fn unsupported_forms_of_registering_change_nothing() {
    let mut unit = quiet_unit();
    let register = cdb::persistent_reserve_out(OutAction::Register, ANY);
    for flag in [0x08, 0x04] {
        let mut list = parameter_list(0, 1, false);
        list[20] = flag;
        let refused = sense_of(run(&mut unit, 1, &register, &list).0);
        assert_eq!(refused, Sense::INVALID_FIELD_IN_LIST);
    }
    let short = sense_of(run(&mut unit, 1, &register, &[0; 23]).0);
    assert_eq!(short, Sense::PARAMETER_LIST_LENGTH);
    let (_, data) = run(&mut unit, 1, &cdb::persistent_reserve_in(0, 255), &[]);
    assert_eq!(
        Keys::parse(&data),
        Some(Keys {
            generation: 0,
            keys: vec![]
        })
    );
}

#[test]
fn reserve_of_a_registered_nexus_succeeds_and_does_nothing() {
    let mut unit = quiet_unit();
    out(&mut unit, &nexus(1), OutAction::Register, (0, 1), ANY);
    assert_eq!(
        run(&mut unit, 1, &cdb::reserve_6(), &[]).0,
        Completion::GOOD
    );
    let conflict = Completion::RESERVATION_CONFLICT;
    assert_eq!(run(&mut unit, 2, &cdb::reserve_6(), &[]).0, conflict);
    assert_eq!(run(&mut unit, 2, &cdb::release_6(), &[]).0, conflict);
    assert_eq!(
        run(&mut unit, 2, &cdb::write_10(0, 1), &[0; 512]).0,
        Completion::GOOD
    );
    assert_eq!(
        run(&mut unit, 1, &cdb::release_6(), &[]).0,
        Completion::GOOD
    );
}
