// SPDX-License-Identifier: MPL-2.0
//! Each command on an active unit.

use super::*;
use crate::scsi::cdb::{self, PageControl};
use crate::scsi::inquiry::{Designator, StandardInquiry, designators, supported_pages};
use crate::scsi::reports::GroupState;

fn refused(unit: &mut LogicalUnit, cdb: &[u8], data: &[u8]) -> Sense {
    sense_of(run(unit, 1, cdb, data).0)
}

fn good(unit: &mut LogicalUnit, cdb: &[u8], data: &[u8]) -> Vec<u8> {
    let (completion, data) = run(unit, 1, cdb, data);
    assert_eq!(completion, Completion::GOOD, "{cdb:x?}");
    data
}

#[test]
fn reads_and_writes_of_every_size_reach_the_same_blocks() {
    let mut unit = quiet_unit();
    let reads: [&[u8]; 4] = [
        &cdb::read_6(100, 2),
        &cdb::read_10(100, 2),
        &cdb::read_12(100, 2),
        &cdb::read_16(100, 2),
    ];
    let writes: [&[u8]; 4] = [
        &cdb::write_6(100, 2),
        &cdb::write_10(100, 2),
        &cdb::write_12(100, 2),
        &cdb::write_16(100, 2),
    ];
    for read in reads {
        assert_eq!(good(&mut unit, read, &[]), recorded_blocks(100, 2));
    }
    for (value, write) in (1..).zip(writes) {
        assert_eq!(good(&mut unit, write, &[value; 1024]), [0u8; 0]);
        for read in reads {
            assert_eq!(good(&mut unit, read, &[]), [value; 1024]);
        }
    }
    assert_eq!(
        good(&mut unit, &cdb::read_10(99, 1), &[]),
        recorded_blocks(99, 1)
    );
    assert_eq!(
        good(&mut unit, &cdb::read_10(102, 1), &[]),
        recorded_blocks(102, 1)
    );
}

#[test]
fn six_byte_commands_count_zero_as_256() {
    let mut unit = quiet_unit();
    assert_eq!(
        good(&mut unit, &cdb::read_6(1792, 0), &[]),
        recorded_blocks(1792, 256)
    );
    assert_eq!(
        refused(&mut unit, &cdb::read_6(1793, 0), &[]),
        Sense::LBA_OUT_OF_RANGE
    );
}

#[test]
fn the_end_of_the_medium_is_exact() {
    let mut unit = quiet_unit();
    assert_eq!(
        good(&mut unit, &cdb::read_10(2047, 1), &[]),
        recorded_blocks(2047, 1)
    );
    assert_eq!(good(&mut unit, &cdb::read_10(2048, 0), &[]), [0u8; 0]);
    let outside: [&[u8]; 8] = [
        &cdb::read_10(2048, 1),
        &cdb::read_10(2047, 2),
        &cdb::read_12(u32::MAX, u32::MAX),
        &cdb::read_16(u64::MAX, 1),
        &cdb::read_16(2049, 0),
        &cdb::verify_10(2048, 1, false),
        &cdb::synchronize_cache_10(2048, 1),
        &cdb::synchronize_cache_16(u64::MAX, u32::MAX),
    ];
    for cdb in outside {
        assert_eq!(
            refused(&mut unit, cdb, &[]),
            Sense::LBA_OUT_OF_RANGE,
            "{cdb:x?}"
        );
    }
    assert_eq!(
        refused(&mut unit, &cdb::write_16(2048, 1), &[0; 512]),
        Sense::LBA_OUT_OF_RANGE
    );
}

#[test]
fn a_write_that_gets_less_data_writes_what_it_got() {
    let mut unit = quiet_unit();
    good(&mut unit, &cdb::write_10(0, 2), &[9; 700]);
    let blocks = good(&mut unit, &cdb::read_10(0, 2), &[]);
    assert_eq!(blocks[..700], [9; 700]);
    assert_eq!(blocks[700..], recorded_blocks(0, 2)[700..]);
    good(&mut unit, &cdb::write_10(0, 1), &[8; 2000]);
    assert_eq!(
        good(&mut unit, &cdb::read_10(1, 1), &[])[..188],
        [9; 188],
        "no more than asked"
    );
}

#[test]
fn verify_compares_if_told_to() {
    let mut unit = quiet_unit();
    good(&mut unit, &cdb::verify_10(0, 2048, false), &[]);
    let mut blocks = recorded_blocks(5, 20);
    good(&mut unit, &cdb::verify_10(5, 20, true), &blocks);
    good(&mut unit, &cdb::verify_16(5, 20, true), &blocks);
    *blocks.last_mut().unwrap() ^= 1;
    assert_eq!(
        refused(&mut unit, &cdb::verify_10(5, 20, true), &blocks),
        Sense::MISCOMPARE
    );
}

#[test]
fn a_damaged_medium_is_told_of() {
    let mut unit = quiet_unit();
    let damage = |kind| Fault {
        range: 5000..5001,
        kind,
        times: 1,
    };
    unit.disk().borrow_mut().damage(damage(FaultKind::Read));
    assert_eq!(
        refused(&mut unit, &cdb::read_10(0, 100), &[]),
        Sense::READ_ERROR
    );
    unit.disk().borrow_mut().damage(damage(FaultKind::Read));
    assert_eq!(
        refused(&mut unit, &cdb::verify_10(0, 100, false), &[]),
        Sense::READ_ERROR
    );
    unit.disk().borrow_mut().damage(damage(FaultKind::Write));
    assert_eq!(
        refused(&mut unit, &cdb::write_10(9, 1), &[0; 512]),
        Sense::WRITE_ERROR
    );
    assert_eq!(unit.disk().borrow().faults_met(), 3);
    good(&mut unit, &cdb::write_10(9, 1), &[0; 512]);
}

#[test]
fn synchronize_cache_does_nothing_well() {
    let mut unit = quiet_unit();
    good(&mut unit, &cdb::synchronize_cache_10(0, 0), &[]);
    good(&mut unit, &cdb::synchronize_cache_16(10, 10), &[]);
}

#[test]
fn capacity_is_told_in_both_forms() {
    let mut unit = quiet_unit();
    let expected = Some(Capacity {
        blocks: 2048,
        block_size: 512,
    });
    assert_eq!(
        Capacity::parse_10(&good(&mut unit, &cdb::read_capacity_10(), &[])),
        expected
    );
    let long = good(&mut unit, &cdb::read_capacity_16(32), &[]);
    assert_eq!((Capacity::parse_16(&long), long.len()), (expected, 32));
    assert_eq!(good(&mut unit, &cdb::read_capacity_16(12), &[]), long[..12]);
}

#[test]
fn inquiry_and_its_pages() {
    let mut unit = quiet_unit();
    let standard = StandardInquiry::parse(&good(&mut unit, &cdb::inquiry(255), &[])).unwrap();
    assert_eq!((standard.tpgs, standard.device_type), (1, 0));
    let pages = good(&mut unit, &cdb::inquiry_page(0, 255), &[]);
    for page in supported_pages(&pages).unwrap() {
        assert_eq!(
            good(&mut unit, &cdb::inquiry_page(*page, 255), &[])[1],
            *page
        );
    }
    let names = designators(&good(&mut unit, &cdb::inquiry_page(0x83, 255), &[])).unwrap();
    let expected = [
        Designator::LogicalUnitNaa(GUID.to_vec()),
        Designator::RelativePortId(1),
        Designator::TargetPortGroup(0),
    ];
    assert_eq!(names, expected);
    let unknown = cdb::inquiry_page(0xb2, 255);
    assert_eq!(
        refused(&mut unit, &unknown, &[]),
        Sense::INVALID_FIELD_IN_CDB
    );
}

#[test]
fn request_sense_tells_and_takes_a_unit_attention() {
    let mut unit = unit(&disk(), AccessState::Active);
    let request = cdb::request_sense(252);
    let inquiry = run(&mut unit, 1, &cdb::inquiry(36), &[]);
    assert_eq!(
        inquiry.0,
        Completion::GOOD,
        "INQUIRY does not mind a unit attention"
    );
    assert_eq!(good(&mut unit, &request, &[]), Sense::POWER_ON.to_bytes());
    assert_eq!(good(&mut unit, &request, &[]), Sense::NONE.to_bytes());
    assert_eq!(good(&mut unit, &cdb::test_unit_ready(), &[]), [0u8; 0]);
    assert_eq!(
        good(&mut unit, &cdb::request_sense(4), &[]),
        Sense::NONE.to_bytes()[..4]
    );
}

#[test]
fn mode_select_changes_the_write_cache_and_tells_the_others() {
    let mut unit = quiet_unit();
    let ask = |control| cdb::mode_sense_6(0x08, control, 255);
    let mut list = good(&mut unit, &ask(PageControl::Current), &[]);
    assert_eq!(list[14] & 4, 4);
    (list[0], list[2], list[14]) = (0, 0, 0);
    let select = cdb::mode_select_6(false, list.len() as u8);
    let short = refused(&mut unit, &select, &list[..20]);
    assert_eq!(short, Sense::PARAMETER_LIST_LENGTH);
    good(&mut unit, &select, &list);
    assert_eq!(good(&mut unit, &ask(PageControl::Current), &[])[14] & 4, 0);
    assert_eq!(good(&mut unit, &ask(PageControl::Saved), &[])[14] & 4, 4);
    assert_eq!(
        sense_of(run(&mut unit, 2, &[0; 6], &[]).0),
        Sense::MODE_CHANGED
    );
    good(&mut unit, &select, &list);
    assert_eq!(
        run(&mut unit, 2, &[0; 6], &[]).0,
        Completion::GOOD,
        "nothing changed this time"
    );
    unit.reset(None);
    assert_eq!(refused(&mut unit, &[0; 6], &[]), Sense::POWER_ON);
    assert_eq!(good(&mut unit, &ask(PageControl::Current), &[])[14] & 4, 4);
    good(&mut unit, &cdb::mode_select_10(true, 0), &[]);
    let select = cdb::mode_select_6(true, list.len() as u8);
    good(&mut unit, &select, &list);
    unit.reset(None);
    assert_eq!(refused(&mut unit, &[0; 6], &[]), Sense::POWER_ON);
    assert_eq!(
        good(&mut unit, &ask(PageControl::Current), &[])[14] & 4,
        0,
        "saved"
    );
    assert!(!unit.disk().borrow().metadata().write_cache_enabled);
}

#[test]
fn a_stopped_unit_is_not_ready_for_the_medium() {
    let mut unit = quiet_unit();
    good(&mut unit, &cdb::start_stop_unit(false), &[]);
    let write = cdb::write_10(0, 1);
    let not_ready: [&[u8]; 4] = [
        &cdb::test_unit_ready(),
        &cdb::read_10(0, 1),
        &write,
        &cdb::verify_10(0, 1, false),
    ];
    for cdb in not_ready {
        assert_eq!(refused(&mut unit, cdb, &[]), Sense::STOPPED);
    }
    good(&mut unit, &cdb::inquiry(36), &[]);
    good(&mut unit, &cdb::read_capacity_10(), &[]);
    good(&mut unit, &cdb::start_stop_unit(true), &[]);
    good(&mut unit, &write, &[0; 512]);
}

#[test]
fn reserve_keeps_others_out_until_release_reset_or_the_end_of_the_session() {
    let conflict = Completion::RESERVATION_CONFLICT;
    let mut unit = quiet_unit();
    good(&mut unit, &cdb::reserve_6(), &[]);
    good(&mut unit, &cdb::reserve_6(), &[]);
    let kept_out: [&[u8]; 7] = [
        &cdb::test_unit_ready(),
        &cdb::read_10(0, 1),
        &cdb::write_10(0, 1),
        &cdb::reserve_6(),
        &cdb::mode_sense_6(0x3f, PageControl::Current, 255),
        &cdb::persistent_reserve_in(0, 255),
        &cdb::read_capacity_10(),
    ];
    for cdb in kept_out {
        assert_eq!(run(&mut unit, 2, cdb, &[]).0, conflict, "{cdb:x?}");
    }
    let allowed: [&[u8]; 4] = [
        &cdb::inquiry(36),
        &cdb::request_sense(18),
        &cdb::report_target_port_groups(64),
        &cdb::release_6(), // does nothing
    ];
    for cdb in allowed {
        assert_eq!(run(&mut unit, 2, cdb, &[]).0, Completion::GOOD, "{cdb:x?}");
    }
    assert_eq!(run(&mut unit, 2, &cdb::reserve_6(), &[]).0, conflict);
    let persistent = run(&mut unit, 1, &cdb::persistent_reserve_in(0, 255), &[]);
    assert_eq!(
        persistent.0, conflict,
        "not even the holder mixes both sorts"
    );

    good(&mut unit, &cdb::release_6(), &[]);
    assert_eq!(
        run(&mut unit, 2, &cdb::reserve_6(), &[]).0,
        Completion::GOOD
    );
    unit.session_ended(2);
    good(&mut unit, &cdb::reserve_6(), &[]);
    unit.reset(None);
    assert_eq!(sense_of(run(&mut unit, 3, &[0; 6], &[]).0), Sense::POWER_ON);
    assert_eq!(
        run(&mut unit, 3, &cdb::reserve_6(), &[]).0,
        Completion::GOOD
    );
}

#[test]
fn a_conflict_comes_before_a_unit_attention() {
    let mut unit = quiet_unit();
    good(&mut unit, &cdb::reserve_6(), &[]);
    let newcomer = run(&mut unit, 9, &[0; 6], &[]).0;
    assert_eq!(newcomer, Completion::RESERVATION_CONFLICT);
    good(&mut unit, &cdb::release_6(), &[]);
    assert_eq!(sense_of(run(&mut unit, 9, &[0; 6], &[]).0), Sense::POWER_ON);
}

#[test]
fn target_port_groups_are_those_of_the_node() {
    let mut unit = quiet_unit();
    let data = good(&mut unit, &cdb::report_target_port_groups(1024), &[]);
    let groups = TargetPortGroup::parse_list(&data).unwrap();
    let states: Vec<_> = groups
        .iter()
        .map(|g| (g.id, g.state, g.preferred))
        .collect();
    assert_eq!(
        states,
        [
            (0, GroupState::ACTIVE, true),
            (1, GroupState::STANDBY, false)
        ]
    );
    assert_eq!(groups[1].ports, [256]);
    let none = good(&mut unit, &cdb::report_identifying_information(64), &[]);
    assert_eq!(none, [0; 4]);
}

#[test]
fn a_unit_of_large_blocks_and_more_than_two_to_the_32_of_them() {
    let store = MemoryStore::new((1 << 32) * 4096 + 4096, Fill::RECORDED);
    let config = Config {
        block_size: 4096,
        ..Config::new(GUID)
    };
    let mut unit = LogicalUnit::new(config, Disk::shared(store), AccessState::Active).unwrap();
    assert_eq!(refused(&mut unit, &[0; 6], &[]), Sense::POWER_ON);
    let short = good(&mut unit, &cdb::read_capacity_10(), &[]);
    assert_eq!(short[..4], [0xff; 4]);
    let long = good(&mut unit, &cdb::read_capacity_16(32), &[]);
    let capacity = Capacity::parse_16(&long).unwrap();
    assert_eq!(
        (capacity.blocks, capacity.block_size),
        ((1 << 32) + 1, 4096)
    );
    good(&mut unit, &cdb::write_16(1 << 32, 1), &[3; 4096]);
    assert_eq!(good(&mut unit, &cdb::read_16(1 << 32, 1), &[]), [3; 4096]);
    assert_eq!(
        refused(&mut unit, &cdb::read_16((1 << 32) + 1, 1), &[]),
        Sense::LBA_OUT_OF_RANGE
    );
}

#[test]
fn a_unit_that_cannot_be_is_refused() {
    let make = |size, block_size| {
        let config = Config {
            block_size,
            ..Config::new(GUID)
        };
        let disk = Disk::shared(MemoryStore::new(size, Fill::Zeros));
        LogicalUnit::new(config, disk, AccessState::Active).err()
    };
    for block_size in [0, 256, 513, 65_536] {
        assert_eq!(
            make(1 << 20, block_size),
            Some(ConfigError::BlockSize(block_size))
        );
    }
    assert_eq!(
        make(511, 512),
        Some(ConfigError::Empty {
            size: 511,
            block_size: 512
        })
    );
    assert_eq!(make(512, 512), None);
    assert_eq!(make(32_768, 32_768), None);
}
