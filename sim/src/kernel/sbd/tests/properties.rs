// SPDX-License-Identifier: MPL-2.0
//! What holds for any command whatever.

use super::*;
use crate::scsi::cdb::{self, PageControl};
use proptest::prelude::*;

/// A CDB that often is a real one.
fn any_cdb() -> impl Strategy<Value = Vec<u8>> {
    let opcodes = prop::sample::select(vec![
        0x00u8, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x25, 0x28, 0x2a, 0x2f, 0x35,
        0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5f, 0x88, 0x8a, 0x8f, 0x91, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa,
        0xaf, 0xff,
    ]);
    let small = prop::sample::select(vec![0u8, 0, 0, 0, 1, 2, 5, 8, 10, 16, 24, 63, 255]);
    let likely = (opcodes, prop::collection::vec(small, 0..20)).prop_map(|(opcode, mut rest)| {
        rest.insert(0, opcode);
        rest
    });
    prop_oneof![4 => likely, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

#[derive(Clone, Debug)]
enum Step {
    Command {
        session: u64,
        cdb: Vec<u8>,
        data: Vec<u8>,
        expected: u64,
    },
    Standby,
    Active,
    Transition,
    Reset,
    End(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let data = prop::collection::vec(prop::sample::select(vec![0u8, 0, 1, 8, 0x12, 255]), 0..1100);
    let expected = prop_oneof![Just(0), 0u64..2000, any::<u64>()];
    let command =
        (1u64..4, any_cdb(), data, expected).prop_map(|(session, cdb, data, expected)| {
            Step::Command {
                session,
                cdb,
                data,
                expected,
            }
        });
    prop_oneof![
        20 => command,
        1 => Just(Step::Standby),
        2 => Just(Step::Active),
        1 => Just(Step::Transition),
        1 => Just(Step::Reset),
        1 => (1u64..4).prop_map(Step::End),
    ]
}

proptest! {
    /// No panic, no more memory than a parameter list or a short answer, and an end for each.
    #[test]
    fn any_command_ends(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut unit = unit(&disk(), AccessState::Active);
        for step in steps {
            match step {
                Step::Standby => unit.become_standby(),
                Step::Active => unit.become_active(),
                Step::Transition => unit.begin_standby(),
                Step::Reset => unit.reset(Some(1)),
                Step::End(session) => unit.session_ended(session),
                Step::Command { session, cdb, data, expected } => {
                    command(&mut unit, &nexus(session), &cdb, &data, expected)?;
                }
            }
            prop_assert!(unit.persistent_state().registrations.len() <= 3);
            if unit.access() != AccessState::Active && unit.access() != AccessState::ToStandby {
                prop_assert_eq!(unit.persistent_state(), &PersistentState::default());
            }
        }
    }

    /// Less room cuts an answer off and changes nothing else of it.
    #[test]
    fn an_allocation_length_only_truncates(
        page in 0u8..64, control in 0usize..4, room in 0u8..=255, kind in 0usize..8,
    ) {
        use PageControl::*;
        let control = [Current, Changeable, Default, Saved][control];
        let make = |room: u8| -> Vec<u8> {
            match kind {
                0 => cdb::mode_sense_6(page, control, room).to_vec(),
                1 => cdb::mode_sense_10(page, control, room.into()).to_vec(),
                2 => cdb::inquiry(room.into()).to_vec(),
                3 => cdb::inquiry_page([0x00, 0x80, 0x83][usize::from(page % 3)], room.into()).to_vec(),
                4 => cdb::persistent_reserve_in(page % 4, room.into()).to_vec(),
                5 => cdb::report_target_port_groups(room.into()).to_vec(),
                6 => cdb::request_sense(room).to_vec(),
                _ => cdb::read_capacity_16(room.into()).to_vec(),
            }
        };
        let mut unit = quiet_unit();
        let (whole_status, whole) = run(&mut unit, 1, &make(255), &[]);
        let (status, cut) = run(&mut unit, 1, &make(room), &[]);
        prop_assert_eq!(status, whole_status);
        prop_assert_eq!(&cut[..], &whole[..whole.len().min(room.into())]);
    }
}

fn command(
    unit: &mut LogicalUnit,
    nexus: &Nexus,
    cdb: &[u8],
    data: &[u8],
    expected: u64,
) -> Result<(), TestCaseError> {
    let completion = match unit.begin(nexus, cdb, expected, &Node(0)) {
        Execution::Done(completion) => completion,
        Execution::Proxy { data_out } => {
            prop_assert_eq!(unit.access(), AccessState::Standby);
            prop_assert!(data_out <= MAX_PARAMETER_LIST && u64::from(data_out) <= expected);
            Completion::GOOD
        }
        Execution::DataIn(transfer) => {
            let most = if transfer.is_medium() {
                2048 * 512
            } else {
                4096
            };
            prop_assert!(transfer.length() <= most);
            // Any piece can be asked for, behind the end too.
            let mut piece = [0xee; 700];
            let mut last = Ok(());
            for offset in [0, 1, transfer.length() / 2, transfer.length(), u64::MAX] {
                last = unit.read(&transfer, offset, &mut piece);
            }
            prop_assert_eq!(piece, [0; 700]);
            last.map_or_else(|completion| completion, |()| Completion::GOOD)
        }
        Execution::DataOut(mut transfer) => {
            let most = if transfer.is_medium() {
                2048 * 512
            } else {
                MAX_PARAMETER_LIST.into()
            };
            prop_assert!(transfer.length() <= most);
            for offset in [0, 3, u64::MAX] {
                let _ = unit.write(&mut transfer, offset, data);
            }
            unit.finish(transfer).completion
        }
    };
    let with_sense = completion.status == Status::CHECK_CONDITION;
    prop_assert_eq!(completion.sense.is_some(), with_sense);
    let known = [
        Status::GOOD,
        Status::CHECK_CONDITION,
        Status::RESERVATION_CONFLICT,
    ];
    prop_assert!(known.contains(&completion.status));
    Ok(())
}
