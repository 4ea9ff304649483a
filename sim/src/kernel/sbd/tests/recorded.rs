// SPDX-License-Identifier: MPL-2.0
//! What a real node was recorded to answer.

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

/// What session `session` sees of a command: status and sense data in hex, or `proxied N`.
fn seen(unit: &mut LogicalUnit, session: u64, cdb: &str, data: &[u8]) -> String {
    match run_fully(unit, &nexus(session), &unhex(cdb), data) {
        Err(length) => format!("proxied {length}"),
        Ok((Outcome { completion, .. }, _)) => match completion.sense {
            None => format!("{:02x}", completion.status.0),
            Some(sense) => format!("{:02x} {}", completion.status.0, hex(&sense.to_bytes())),
        },
    }
}

const POWER_ON: &str = "02 700006000000000a00000000290000000000";
const ACCESS_CHANGED: &str = "02 700006000000000a000000002a0600000000";
const TRANSITION: &str = "02 700002000000000a00000000040a00000000";
const STANDBY: &str = "02 700002000000000a00000000040b00000000";

#[test]
fn an_active_unit_serves_as_recorded() {
    let mut unit = unit(&disk(), AccessState::Active);
    assert_eq!(seen(&mut unit, 7, "000000000000", &[]), POWER_ON);
    let (_, block) = run(&mut unit, 7, &unhex("28000000000000000100"), &[]);
    assert_eq!(block, recorded_blocks(0, 1));
    assert_eq!(
        seen(&mut unit, 7, "2a000000000000000100", &[0x5a; 512]),
        "00"
    );
    let (_, block) = run(&mut unit, 7, &unhex("28000000000000000100"), &[]);
    assert_eq!(block, [0x5a; 512]);
    let (_, inquiry) = run(&mut unit, 7, &unhex("120000002400"), &[]);
    let recorded = "000005124518000253554e2020202020434f4d53544152202020202020202020312e3020";
    assert_eq!(hex(&inquiry), recorded);
    let out_of_range = "02 700005000000000a00000000210000000000";
    assert_eq!(
        seen(&mut unit, 7, "28000000080000000100", &[]),
        out_of_range
    );
    let (_, long) = run(&mut unit, 7, &unhex("28000000000000012c00"), &[]);
    assert_eq!(long.len(), 153_600);
    let invalid = "02 700005000000000a00000000200000000000";
    assert_eq!(seen(&mut unit, 7, "ff0000000000", &[]), invalid);
}

#[test]
fn a_standby_unit_proxies_and_refuses_as_recorded() {
    let mut unit = unit(&disk(), AccessState::Standby);
    for (cdb, data, expected) in [
        ("000000000000", 0, "proxied 0"),
        ("28000000000000000100", 0, "proxied 0"),
        ("120000002400", 0, "proxied 0"),
        ("25000000000000000000", 0, "proxied 0"),
        ("1a003f00ff00", 0, "proxied 0"),
        ("151000001000", 16, "proxied 16"),
        ("151000001000", 8, "proxied 8"),
        ("151000000000", 0, "00"),
        (
            "150000001000",
            16,
            "02 700005000000000a00000000240000000000",
        ),
        ("5f000000000000001800", 24, "proxied 24"),
        ("35000000000000000000", 0, STANDBY),
        ("2a000000000000000100", 512, STANDBY),
        ("2a000000000000000000", 512, STANDBY),
        ("7f11111111111111111111111111111111111111", 0, STANDBY),
        ("ff0000000000", 0, STANDBY),
        (
            "ff00000000000000000000000000000000000000000000000000000000000000",
            0,
            STANDBY,
        ),
    ] {
        assert_eq!(seen(&mut unit, 7, cdb, &vec![0; data]), expected, "{cdb}");
    }
}

#[test]
fn a_failover_and_back_is_told_as_recorded() {
    let mut unit = unit(&disk(), AccessState::Active);
    assert_eq!(
        seen(&mut unit, 7, "2a000000000000000100", &[0x11; 512]),
        POWER_ON
    );
    unit.begin_standby();
    unit.become_standby();
    assert_eq!(
        seen(&mut unit, 7, "28000000000000000100", &[]),
        ACCESS_CHANGED
    );
    unit.begin_active();
    unit.become_active();
    assert_eq!(seen(&mut unit, 7, "28000000000000000100", &[]), POWER_ON);
    assert_eq!(
        seen(&mut unit, 7, "28000000000000000100", &[]),
        ACCESS_CHANGED
    );
    let (_, block) = run(&mut unit, 7, &unhex("28000000000000000100"), &[]);
    assert_eq!(
        block,
        recorded_blocks(0, 1),
        "the refused write wrote nothing"
    );
}

#[test]
fn a_session_that_came_in_transition_starts_with_power_on() {
    let mut unit = unit(&disk(), AccessState::Active);
    unit.begin_standby();
    assert_eq!(seen(&mut unit, 7, "000000000000", &[]), TRANSITION);
    unit.become_standby();
    assert_eq!(seen(&mut unit, 7, "000000000000", &[]), POWER_ON);
}

#[test]
fn a_session_that_came_in_standby_starts_quietly() {
    let mut unit = unit(&disk(), AccessState::Standby);
    assert_eq!(
        seen(&mut unit, 7, "2a000000000000000100", &[1; 512]),
        STANDBY
    );
    unit.become_standby(); // the peer registers a unit that is standby already
    assert_eq!(
        seen(&mut unit, 7, "2a000000000000000100", &[1; 512]),
        STANDBY
    );
    unit.become_active();
    assert_eq!(
        seen(&mut unit, 7, "2a000000000000000100", &[1; 512]),
        POWER_ON
    );
    assert_eq!(seen(&mut unit, 8, "000000000000", &[]), POWER_ON);
    assert_eq!(seen(&mut unit, 8, "2a000000000000000100", &[2; 512]), "00");
    assert_eq!(
        seen(&mut unit, 7, "28000000000000000100", &[]),
        ACCESS_CHANGED
    );
}

#[test]
fn another_nexus_with_a_session_id_in_use_is_busy() {
    let mut unit = unit(&disk(), AccessState::Active);
    let first = Nexus {
        session_id: 7,
        ..nexus(1)
    };
    let second = Nexus {
        session_id: 7,
        ..nexus(2)
    };
    assert_eq!(
        sense_of(run_as(&mut unit, &first, &[0; 6], &[]).0),
        Sense::POWER_ON
    );
    assert_eq!(run_as(&mut unit, &second, &[0; 6], &[]).0, Completion::BUSY);
    unit.begin_standby();
    assert_eq!(run_as(&mut unit, &second, &[0; 6], &[]).0, Completion::BUSY);
    assert!(unit.knows_session(7));
    unit.session_ended(7);
    assert!(!unit.knows_session(7));
    assert_eq!(
        sense_of(run_as(&mut unit, &second, &[0; 6], &[]).0),
        Sense::TRANSITION
    );
}
