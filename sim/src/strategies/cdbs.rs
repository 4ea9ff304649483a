// SPDX-License-Identifier: MPL-2.0
//! SCSI commands as a host sends them: the CDB, and what moves with it.
//!
//! [`sound`] makes commands that a disk of so many blocks carries out or refuses in the ordinary
//! way; [`odd`] those that no host should send, and that no target may fall over: fields out of
//! range, operation codes that nobody knows, lengths that do not match the data.
//!
//! ```
//! use proptest::prelude::*;
//! use proptest::test_runner::TestRunner;
//! use stmf_sim::strategies::cdbs;
//!
//! let checked = TestRunner::default().run(&cdbs::sound(64), |command| {
//!     prop_assert!([6, 10, 12, 16].contains(&command.cdb.len()));
//!     Ok(())
//! });
//! assert_eq!(checked, Ok(()));
//! ```

use crate::scsi::cdb::{self, PageControl};
use crate::scsi::reservation::{OutAction, ReservationType, parameter_list};
use crate::world::Transfer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes of a block.
const BLOCK: usize = 512;

/// The most blocks that one command moves.
pub const MOST_BLOCKS: u16 = 64;

/// What moves with a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// Nothing.
    None,
    /// So many bytes at most come from the target.
    Read(u32),
    /// These bytes go to the target when it asks for them.
    Write(Vec<u8>),
    /// These bytes go to the target with the command.
    WriteImmediate(Vec<u8>),
}

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The CDB.
    pub cdb: Vec<u8>,
    /// What moves with it.
    pub data: Data,
}

impl Command {
    fn new(cdb: impl Into<Vec<u8>>, data: Data) -> Command {
        let cdb = cdb.into();
        Command { cdb, data }
    }

    /// What moves, as [`Path::command`](crate::world::Path::command) takes it.
    pub fn transfer(&self) -> Transfer<'_> {
        match &self.data {
            Data::None => Transfer::None,
            Data::Read(length) => Transfer::Read(*length),
            Data::Write(data) => Transfer::Write(data),
            Data::WriteImmediate(data) => Transfer::WriteImmediate(data),
        }
    }
}

/// Some blocks of a disk of `blocks` blocks: the first one, and how many.
fn range(blocks: u32) -> impl Strategy<Value = (u32, u16)> {
    let blocks = blocks.max(1);
    let length = prop_oneof![4 => 1..=8u16, 1 => 1..=MOST_BLOCKS];
    (0..blocks, length).prop_map(move |(lba, length)| {
        let rest = u16::try_from(blocks - lba).unwrap_or(u16::MAX);
        (lba, length.min(rest))
    })
}

fn bytes_of(blocks: u16) -> u32 {
    u32::from(blocks) * BLOCK as u32
}

fn reading(blocks: u32) -> impl Strategy<Value = Command> {
    (range(blocks), 0..4u8).prop_map(|((lba, blocks), form)| {
        let cdb = match form {
            0 => cdb::read_10(lba, blocks).to_vec(),
            1 => cdb::read_6(lba, blocks as u8).to_vec(),
            2 => cdb::read_12(lba, blocks.into()).to_vec(),
            _ => cdb::read_16(lba.into(), blocks.into()).to_vec(),
        };
        Command::new(cdb, Data::Read(bytes_of(blocks)))
    })
}

fn writing(blocks: u32) -> impl Strategy<Value = Command> {
    let content = (any::<u8>(), any::<bool>());
    (range(blocks), 0..4u8, content).prop_map(|((lba, blocks), form, (fill, immediate))| {
        let cdb = match form {
            0 => cdb::write_10(lba, blocks).to_vec(),
            1 => cdb::write_6(lba, blocks as u8).to_vec(),
            2 => cdb::write_12(lba, blocks.into()).to_vec(),
            _ => cdb::write_16(lba.into(), blocks.into()).to_vec(),
        };
        let data = vec![fill; bytes_of(blocks) as usize];
        Command::new(
            cdb,
            match immediate {
                true => Data::WriteImmediate(data),
                false => Data::Write(data),
            },
        )
    })
}

fn asking() -> impl Strategy<Value = Command> {
    let read = |cdb: &[u8], length: u32| Command::new(cdb, Data::Read(length));
    let page = select(vec![0x00u8, 0x80, 0x83, 0x86, 0x99]);
    let mode = (
        select(vec![0x3fu8, 0x03, 0x04, 0x08, 0x0a, 0x1c]),
        select(vec![
            PageControl::Current,
            PageControl::Changeable,
            PageControl::Default,
            PageControl::Saved,
        ]),
    );
    prop_oneof![
        (5..=255u16).prop_map(move |most| read(&cdb::inquiry(most), most.into())),
        (page, 5..=255u16)
            .prop_map(move |(page, most)| read(&cdb::inquiry_page(page, most), most.into())),
        Just(read(&cdb::request_sense(18), 18)),
        Just(read(&cdb::read_capacity_10(), 8)),
        Just(read(&cdb::read_capacity_16(32), 32)),
        (16..512u32).prop_map(move |most| read(&cdb::report_luns(most), most)),
        (16..512u32).prop_map(move |most| read(&cdb::report_target_port_groups(most), most)),
        (mode, 4..=255u8).prop_map(move |((page, control), most)| {
            read(&cdb::mode_sense_6(page, control, most), most.into())
        }),
        (0..4u8).prop_map(move |action| read(&cdb::persistent_reserve_in(action, 256), 256)),
    ]
}

fn doing() -> impl Strategy<Value = Command> {
    let action = select(OutAction::ALL.to_vec());
    let kind = select(ReservationType::ALL.to_vec());
    let keys = (0..4u64, 0..4u64, any::<bool>());
    prop_oneof![
        Just(Command::new(cdb::test_unit_ready(), Data::None)),
        Just(Command::new(cdb::synchronize_cache_10(0, 0), Data::None)),
        Just(Command::new(cdb::start_stop_unit(true), Data::None)),
        Just(Command::new(cdb::reserve_6(), Data::None)),
        Just(Command::new(cdb::release_6(), Data::None)),
        (action, kind, keys).prop_map(|(action, kind, (mine, new, persistent))| {
            let list = parameter_list(mine, new, persistent);
            let cdb = cdb::persistent_reserve_out(action, kind);
            Command::new(cdb, Data::Write(list.to_vec()))
        }),
    ]
}

/// Commands as hosts send them to a disk of `blocks` blocks of 512 bytes: mostly reads and
/// writes on it, of [`MOST_BLOCKS`] at most.
pub fn sound(blocks: u32) -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => doing(),
        2 => asking(),
        4 => reading(blocks),
        4 => writing(blocks),
    ]
}

fn any_data() -> impl Strategy<Value = Data> {
    let bytes = || (any::<u8>(), 0..3000usize).prop_map(|(fill, length)| vec![fill; length]);
    prop_oneof![
        Just(Data::None),
        (0..200_000u32).prop_map(Data::Read),
        bytes().prop_map(Data::Write),
        bytes().prop_map(Data::WriteImmediate),
    ]
}

/// Commands that no host should send: bytes of a sound one changed, the data of another one with
/// it, or a CDB of any bytes.
///
/// On the profile illumos one kind of them brings a node down that no relay can prevent: data
/// that comes along with a command which takes none (trap 9, docs/kernel.md).
pub fn odd(blocks: u32) -> impl Strategy<Value = Command> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let changed = (sound(blocks), changes).prop_map(|(mut command, changes)| {
        for (place, value) in changes {
            let place = place.index(command.cdb.len());
            command.cdb[place] = value;
        }
        command
    });
    let length = select(vec![6usize, 10, 12, 16]);
    let any_bytes = length.prop_flat_map(|length| vec(any::<u8>(), length));
    prop_oneof![
        3 => changed,
        2 => (sound(blocks), any_data()).prop_map(|(command, data)| Command { data, ..command }),
        1 => (any_bytes, any_data()).prop_map(|(cdb, data)| Command { cdb, data }),
    ]
}

/// Sound commands, and now and then an odd one.
pub fn any_command(blocks: u32) -> impl Strategy<Value = Command> {
    prop_oneof![3 => sound(blocks), 1 => odd(blocks)]
}
