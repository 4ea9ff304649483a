// SPDX-License-Identifier: MPL-2.0
//! Access states, two nodes on one disk, and commands through a proxy port.

use super::*;
use crate::scsi::cdb;
use crate::scsi::reservation::{OutAction, ReservationType, parameter_list};

fn register(unit: &mut LogicalUnit, nexus: &Nexus, key: u64, aptpl: bool) {
    let register = cdb::persistent_reserve_out(
        OutAction::RegisterAndIgnore,
        ReservationType::WriteExclusive,
    );
    let list = parameter_list(0, key, aptpl);
    assert_eq!(run_as(unit, nexus, &register, &list).0, Completion::GOOD);
}

fn reserve(unit: &mut LogicalUnit, nexus: &Nexus, key: u64) {
    let reserve = cdb::persistent_reserve_out(OutAction::Reserve, ReservationType::WriteExclusive);
    let list = parameter_list(key, 0, false);
    assert_eq!(run_as(unit, nexus, &reserve, &list).0, Completion::GOOD);
}

fn through_proxy(session_id: u64) -> Nexus {
    Nexus {
        through_proxy: true,
        ..nexus(session_id)
    }
}

#[test]
fn in_transition_everything_is_refused_and_no_attention_is_lost() {
    for begin in [LogicalUnit::begin_standby, LogicalUnit::begin_active] {
        let mut unit = unit(&disk(), AccessState::Active);
        begin(&mut unit);
        let any: [&[u8]; 5] = [
            &[0; 6],
            &cdb::inquiry(36),
            &cdb::request_sense(18),
            &cdb::read_10(0, 1),
            &[0xff],
        ];
        for cdb in any {
            assert_eq!(sense_of(run(&mut unit, 1, cdb, &[]).0), Sense::TRANSITION);
        }
        unit.become_active();
        assert_eq!(sense_of(run(&mut unit, 1, &[0; 6], &[]).0), Sense::POWER_ON);
        assert_eq!(
            sense_of(run(&mut unit, 1, &[0; 6], &[]).0),
            Sense::ACCESS_STATE_CHANGED
        );
        assert_eq!(run(&mut unit, 1, &[0; 6], &[]).0, Completion::GOOD);
    }
}

#[test]
fn through_a_proxy_port_no_attention_is_seen() {
    let mut unit = unit(&disk(), AccessState::Active);
    let nexus = through_proxy(5);
    assert_eq!(run_as(&mut unit, &nexus, &[0; 6], &[]).0, Completion::GOOD);
    unit.reset(None);
    assert_eq!(run_as(&mut unit, &nexus, &[0; 6], &[]).0, Completion::GOOD);
    unit.begin_standby();
    assert_eq!(
        sense_of(run_as(&mut unit, &nexus, &[0; 6], &[]).0),
        Sense::TRANSITION
    );
    unit.become_standby();
    unit.become_active();
    assert_eq!(run_as(&mut unit, &nexus, &[0; 6], &[]).0, Completion::GOOD);
}

#[test]
fn an_attention_on_the_standby_path_comes_before_its_rules_but_not_for_inquiry() {
    let mut unit = quiet_unit();
    unit.become_standby();
    let inquiry = run_fully(&mut unit, &nexus(1), &cdb::inquiry(36), &[]);
    assert_eq!(inquiry.unwrap_err(), 0);
    let write = cdb::write_10(0, 1);
    assert_eq!(
        sense_of(run(&mut unit, 1, &write, &[0; 512]).0),
        Sense::ACCESS_STATE_CHANGED
    );
    assert_eq!(
        sense_of(run(&mut unit, 1, &write, &[0; 512]).0),
        Sense::STANDBY
    );
}

#[test]
fn what_one_node_wrote_the_other_reads_after_failover() {
    let disk = disk();
    let mut old = unit(&disk, AccessState::Active);
    let mut new = unit(&disk, AccessState::Standby);
    let (local, remote) = (nexus(1), through_proxy(2));
    run_as(&mut old, &local, &[0; 6], &[]);
    run_as(&mut old, &local, &cdb::write_10(7, 1), &[1; 512]);
    run_as(&mut old, &remote, &cdb::write_10(8, 1), &[2; 512]);
    old.begin_standby();
    new.begin_active();
    new.become_active();
    old.become_standby();
    let (_, blocks) = run_as(&mut new, &remote, &cdb::read_10(7, 2), &[]);
    assert_eq!((blocks[0], blocks[512]), (1, 2));
}

#[test]
fn reservations_end_on_the_node_that_becomes_standby() {
    let disk = disk();
    let mut unit = unit(&disk, AccessState::Active);
    let (one, two) = (through_proxy(1), through_proxy(2));
    register(&mut unit, &one, 0xabc, false);
    reserve(&mut unit, &one, 0xabc);
    let write = cdb::write_10(0, 1);
    assert_eq!(
        run_as(&mut unit, &two, &write, &[0; 512]).0,
        Completion::RESERVATION_CONFLICT
    );
    unit.become_standby();
    assert_eq!(unit.persistent_state(), &PersistentState::default());
    unit.become_active();
    assert_eq!(unit.persistent_state(), &PersistentState::default());
    assert_eq!(
        run_as(&mut unit, &two, &write, &[0; 512]).0,
        Completion::GOOD
    );
    assert_eq!(
        run_as(&mut unit, &one, &cdb::reserve_6(), &[]).0,
        Completion::GOOD
    );
    unit.become_standby();
    unit.become_active();
    assert_eq!(
        run_as(&mut unit, &two, &write, &[0; 512]).0,
        Completion::GOOD
    );
}

#[test]
fn with_aptpl_the_importing_node_finds_the_reservation() {
    let disk = disk();
    let mut old = unit(&disk, AccessState::Active);
    let mut new = unit(&disk, AccessState::Standby);
    // One path to each node; on the old node the second comes through the proxy port.
    let (one, two) = (nexus(1), through_proxy(2));
    run_as(&mut old, &one, &[0; 6], &[]);
    register(&mut old, &two, 0xabc, true);
    reserve(&mut old, &two, 0xabc);
    let held = old.persistent_state().clone();
    assert_eq!(disk.borrow().metadata().reservations.as_ref(), Some(&held));
    old.begin_standby();
    new.become_active();
    old.become_standby();
    assert_eq!(old.persistent_state(), &PersistentState::default());
    assert_eq!(new.persistent_state(), &held);
    // Now the second path is the local one, with another session, and it still holds.
    let two = Nexus {
        through_proxy: false,
        session_id: 77,
        ..two
    };
    let write = cdb::write_10(0, 1);
    assert_eq!(
        sense_of(run_as(&mut new, &two, &write, &[0; 512]).0),
        Sense::POWER_ON
    );
    assert_eq!(
        run_as(&mut new, &two, &write, &[0; 512]).0,
        Completion::GOOD
    );
    let one = Nexus {
        through_proxy: true,
        ..one
    };
    assert_eq!(
        run_as(&mut new, &one, &write, &[0; 512]).0,
        Completion::RESERVATION_CONFLICT
    );
    // Registering without APTPL takes what is stored away.
    register(&mut new, &two, 0xabc, false);
    assert_eq!(disk.borrow().metadata().reservations, None);
}

#[test]
fn a_reset_tells_the_others_and_on_a_standby_unit_nobody() {
    let mut unit = quiet_unit();
    unit.reset(Some(2));
    assert_eq!(sense_of(run(&mut unit, 1, &[0; 6], &[]).0), Sense::POWER_ON);
    assert_eq!(run(&mut unit, 2, &[0; 6], &[]).0, Completion::GOOD);
    unit.become_standby();
    for session in 1..=2 {
        let changed = sense_of(run(&mut unit, session, &[0; 6], &[]).0);
        assert_eq!(changed, Sense::ACCESS_STATE_CHANGED);
    }
    unit.reset(Some(2));
    assert_eq!(
        run_fully(&mut unit, &nexus(1), &[0; 6], &[]).unwrap_err(),
        0
    );
}
