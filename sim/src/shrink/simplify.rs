// SPDX-License-Identifier: MPL-2.0
//! Making what is left of a world's script simpler: a plain network, no chance, small commands on
//! few paths, short and round times.
//!
//! What decides whether something counts as a failure is left alone: the time-outs of commands
//! (a command is soon lost that may take no time) and the patience of the world.

use super::cut::{Cuttable, first_choices, is_command, path_of};
use super::search::{Over, Search, Subject};
use crate::kernel::sbd::Content;
use crate::replay::script::{Input, Oracle};
use crate::scsi::{cdb, opcode};
use crate::world::Ratio;
use crate::world::network::NetworkConfig;
use crate::world::operation::{Movement, Operation, PathNumber};
use std::collections::BTreeSet;
use std::time::Duration;
use stmf_proxy::time::Time;

type Tried<E> = Result<(), Over<E>>;

/// Up to how many inputs each is made simpler by itself.
const MOST_ONE_BY_ONE: usize = 200;

/// Gaps between inputs that are tried, shortest first.
const GAPS: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
];

/// All of it, from what helps later tries most.
pub(super) fn all<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    search.set_step("leaving chance out");
    disks(search)?;
    network(search)?;
    oracle(search)?;
    if search.best().inputs() > MOST_ONE_BY_ONE {
        search.set_step("making commands smaller");
        return commands_at_once(search);
    }
    search.set_step("making commands smaller");
    commands_at_once(search)?;
    commands(search)?;
    faults(search)?;
    search.set_step("using fewer paths");
    paths(search)?;
    search.set_step("shortening times");
    gaps_at_once(search)?;
    gaps(search)
}

/// Disks that hold zeros need no file and no time to make.
fn disks<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    let candidate = search.best().changed(|script| {
        for input in &mut script.inputs {
            if let Operation::Disk { content, .. } = &mut input.operation {
                *content = Some(Content::Zeros);
            }
        }
    });
    search.attempt(candidate).map(|_| ())
}

/// Ways to make a network plainer, the plainest first.
const PLAINER: [fn(&mut NetworkConfig); 4] = [
    |config| PLAINER[1..].iter().for_each(|change| change(config)),
    |config| config.jitter = Duration::ZERO,
    |config| config.cut = Ratio::NEVER,
    |config| config.bytes_per_second = None,
];

fn network<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    for plainer in PLAINER {
        let candidate = search.best().changed(|script| {
            plainer(&mut script.plan.network);
            for input in &mut script.inputs {
                if let Operation::SetNetwork { config } = &mut input.operation {
                    plainer(config);
                }
            }
        });
        if search.attempt(candidate)? {
            break;
        }
    }
    Ok(())
}

fn oracle<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    match &search.best().script().oracle {
        Oracle::Log(log) if log.is_empty() => Ok(()),
        Oracle::Seed(0) => search
            .attempt(search.best().with_oracle(first_choices()))
            .map(|_| ()),
        _ => {
            if !search.attempt(search.best().with_oracle(first_choices()))? {
                search.attempt(search.best().with_oracle(Oracle::Seed(0)))?;
            }
            Ok(())
        }
    }
}

/// Ways to make a command smaller, the smallest first; none where it would not.
const SMALLER: [fn(&Input) -> Option<Input>; 5] = [
    nothing_at_all,
    one_block,
    half_the_blocks,
    first_block,
    zeros,
];

fn commands_at_once<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    for smaller in SMALLER {
        let pinned = search.best().pinned();
        let candidate = search.best().changed(|script| {
            let inputs = script.inputs.iter_mut().zip(pinned);
            for (input, _) in inputs.filter(|(_, pinned)| !pinned) {
                if let Some(other) = smaller(input) {
                    *input = other;
                }
            }
        });
        search.attempt(candidate)?;
    }
    Ok(())
}

fn commands<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    let mut place = 0;
    while let Some(input) = search.best().script().inputs.get(place) {
        if search.best().pinned()[place] {
            place += 1;
            continue;
        }
        let mut helped = false;
        let candidates: Vec<Input> = SMALLER
            .iter()
            .filter_map(|smaller| smaller(input))
            .collect();
        for other in candidates {
            let candidate = search.best().changed(|script| script.inputs[place] = other);
            if search.attempt(candidate)? {
                helped = true;
                break;
            }
        }
        if !helped {
            place += 1;
        }
    }
    Ok(())
}

/// What a command does with blocks, where that is in its CDB.
struct Blocks {
    lba: u64,
    blocks: u32,
}

fn blocks(cdb: &[u8]) -> Option<Blocks> {
    use opcode::*;
    let number = |at: std::ops::Range<usize>| {
        let bytes = cdb.get(at)?;
        Some(
            bytes
                .iter()
                .fold(0u64, |number, byte| number << 8 | u64::from(*byte)),
        )
    };
    let (lba, blocks) = match *cdb.first()? {
        READ_6 | WRITE_6 => {
            let blocks = number(4..5)?;
            (
                number(1..4)? & 0x1f_ffff,
                if blocks == 0 { 256 } else { blocks },
            )
        }
        READ_10 | WRITE_10 | VERIFY_10 => (number(2..6)?, number(7..9)?),
        READ_12 | WRITE_12 => (number(2..6)?, number(6..10)?),
        READ_16 | WRITE_16 | VERIFY_16 => (number(2..10)?, number(10..14)?),
        _ => return None,
    };
    let blocks = u32::try_from(blocks).ok()?;
    Some(Blocks { lba, blocks })
}

/// The same command for other blocks.
fn with_blocks(cdb: &[u8], lba: u64, blocks: u32) -> Option<Vec<u8>> {
    use opcode::*;
    let mut cdb = cdb.to_vec();
    match *cdb.first()? {
        READ_6 | WRITE_6 => {
            cdb[1] = cdb[1] & 0xe0 | (lba >> 16) as u8 & 0x1f;
            cdb[2..4].copy_from_slice(&(lba as u16).to_be_bytes());
            cdb[4] = blocks as u8;
        }
        READ_10 | WRITE_10 | VERIFY_10 => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
        }
        READ_12 | WRITE_12 => {
            cdb[2..6].copy_from_slice(&(lba as u32).to_be_bytes());
            cdb[6..10].copy_from_slice(&blocks.to_be_bytes());
        }
        _ => {
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
        }
    }
    Some(cdb)
}

/// The command with another CDB, and as much data as it says.
fn command(input: &Input, cdb: Vec<u8>, transfer: Movement, data: Vec<u8>) -> Option<Input> {
    let mut other = input.clone();
    let Operation::Command {
        cdb: to,
        transfer: moves,
        ..
    } = &mut other.operation
    else {
        return None;
    };
    (*to, *moves) = (cdb, transfer);
    other.data = data;
    Some(other)
}

fn parts(input: &Input) -> Option<(&[u8], Movement)> {
    match &input.operation {
        Operation::Command { cdb, transfer, .. } => Some((cdb, *transfer)),
        _ => None,
    }
}

/// TEST UNIT READY in its place.
fn nothing_at_all(input: &Input) -> Option<Input> {
    let (cdb, _) = parts(input)?;
    let simple = cdb::test_unit_ready();
    if cdb == simple {
        return None;
    }
    command(input, simple.to_vec(), Movement::None, Vec::new())
}

fn of_blocks(input: &Input, count: impl FnOnce(u32) -> u32) -> Option<Input> {
    let (cdb, transfer) = parts(input)?;
    let Blocks { lba, blocks } = blocks(cdb)?;
    let fewer = count(blocks);
    if fewer == 0 || fewer >= blocks {
        return None;
    }
    let share = |bytes: u64| bytes / u64::from(blocks) * u64::from(fewer);
    let transfer = match transfer {
        Movement::Read(length) => Movement::Read(share(length.into()) as u32),
        other => other,
    };
    let length = share(input.data.len() as u64) as usize;
    let data = input.data[..length].to_vec();
    command(input, with_blocks(cdb, lba, fewer)?, transfer, data)
}

fn one_block(input: &Input) -> Option<Input> {
    of_blocks(input, |_| 1)
}

fn half_the_blocks(input: &Input) -> Option<Input> {
    of_blocks(input, |blocks| blocks / 2)
}

/// The same number of blocks from the beginning of the LU.
fn first_block(input: &Input) -> Option<Input> {
    let (cdb, transfer) = parts(input)?;
    let Blocks { lba, blocks } = blocks(cdb)?;
    if lba == 0 {
        return None;
    }
    command(
        input,
        with_blocks(cdb, 0, blocks)?,
        transfer,
        input.data.clone(),
    )
}

fn zeros(input: &Input) -> Option<Input> {
    let (cdb, transfer) = parts(input)?;
    if input.data.iter().all(|byte| *byte == 0) {
        return None;
    }
    command(input, cdb.to_vec(), transfer, vec![0; input.data.len()])
}

/// Faults that happen once.
fn faults<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    for place in 0..search.best().inputs() {
        let Some(input) = search.best().script().inputs.get(place) else {
            break;
        };
        let mut input = input.clone();
        let times = match &mut input.operation {
            Operation::DoorFault { fault, .. } => fault.times(),
            Operation::KernelFault { fault, .. } => fault.times(),
            _ => continue,
        };
        if *times > 1 {
            *times = 1;
            search.attempt(search.best().changed(|script| script.inputs[place] = input))?;
        }
    }
    Ok(())
}

/// Sends the commands of one path over another one that was opened before it.
fn paths<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    let opened = |search: &Search<'_, Cuttable, E>| -> Vec<PathNumber> {
        let pinned = search.best().pinned();
        let inputs = search.best().script().inputs.iter().zip(pinned);
        let paths = inputs
            .filter(|(_, pinned)| !pinned)
            .filter_map(|(input, _)| path_of(&input.operation));
        paths
            .filter_map(|(path, opens)| opens.then_some(path))
            .collect()
    };
    let mut from = opened(search).len();
    while from > 1 {
        from -= 1;
        for to in 0..from {
            let paths = opened(search);
            let (Some(&old), Some(&new)) = (paths.get(from), paths.get(to)) else {
                break;
            };
            if search.attempt(merged(search.best(), old, new))? {
                break;
            }
        }
    }
    Ok(())
}

/// Without the login `old`; its commands go over `new`, with tags of their own there.
fn merged(cuttable: &Cuttable, old: PathNumber, new: PathNumber) -> Cuttable {
    let is_login = |operation: &Operation| path_of(operation) == Some((old, true));
    let mut inputs = cuttable.script().inputs.clone();
    inputs.retain(|input| !is_login(&input.operation));
    let mut tags = BTreeSet::new();
    for input in &mut inputs {
        match &mut input.operation {
            Operation::Command { path, tag, .. } | Operation::Manage { path, tag, .. } => {
                if *path == old {
                    *path = new;
                }
                if *path == new && !tags.insert(*tag) {
                    *tag = tags.last().map_or(1, |last| last + 1);
                    tags.insert(*tag);
                }
            }
            Operation::Logout { path } if *path == old => *path = new,
            _ => {}
        }
    }
    cuttable.with_inputs(inputs)
}

/// The inputs with other gaps between them; places among steps are no more than the time. Healing
/// takes the time that it takes.
fn with_gaps(cuttable: &Cuttable, gap: impl Fn(usize, Duration) -> Duration) -> Cuttable {
    let mut inputs = cuttable.script().inputs.clone();
    let healing = cuttable.healing().unwrap_or(inputs.len());
    let (mut before, mut now) = (Time::ZERO, Time::ZERO);
    for (place, input) in inputs.iter_mut().enumerate() {
        let old = input.time - before;
        now = now
            + if place > healing {
                old
            } else {
                gap(place, old)
            };
        before = input.time;
        (input.time, input.steps, input.ended) = (now, 0, 0);
    }
    cuttable.with_inputs(inputs)
}

fn gaps_at_once<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    for most in GAPS {
        let candidate = with_gaps(search.best(), |_, gap| gap.min(most));
        if candidate == *search.best() || search.attempt(candidate)? {
            break;
        }
    }
    Ok(())
}

fn gaps<E>(search: &mut Search<'_, Cuttable, E>) -> Tried<E> {
    let healing = search.best().healing();
    for place in 0..healing.map_or(search.best().inputs(), |place| place + 1) {
        for shorter in GAPS {
            let inputs = &search.best().script().inputs;
            let before = place.checked_sub(1).and_then(|before| inputs.get(before));
            let Some(input) = inputs.get(place) else {
                return Ok(());
            };
            if input.time - before.map_or(Time::ZERO, |before| before.time) <= shorter {
                break;
            }
            let chosen = |at, gap| if at == place { shorter } else { gap };
            if search.attempt(with_gaps(search.best(), chosen))? {
                break;
            }
        }
    }
    Ok(())
}

/// How many inputs are commands, and how many bytes they move.
pub(super) fn commands_and_bytes(inputs: &[Input]) -> (usize, u64) {
    let commands = inputs.iter().filter(|input| is_command(&input.operation));
    let bytes = inputs.iter().map(|input| match &input.operation {
        Operation::Command {
            transfer: Movement::Read(length),
            ..
        } => u64::from(*length),
        _ => input.data.len() as u64,
    });
    (commands.count(), bytes.sum())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{input, script};
    use super::*;

    fn sent(cdb: &[u8], transfer: Movement, data: &[u8]) -> Input {
        let operation = Operation::Command {
            path: 0,
            tag: 1,
            lun: [0; 8],
            cdb: cdb.to_vec(),
            transfer,
            timeout: 1,
        };
        Input {
            data: data.to_vec(),
            ..input(0, operation)
        }
    }

    #[test]
    fn commands_of_blocks_stay_consistent() {
        let data = [7; 4096];
        let cases = [
            (
                sent(&cdb::read_6(9, 8), Movement::Read(4096), &[]),
                cdb::read_6(9, 1).to_vec(),
            ),
            (
                sent(&cdb::read_10(9, 8), Movement::Read(4096), &[]),
                cdb::read_10(9, 1).to_vec(),
            ),
            (
                sent(&cdb::write_10(9, 8), Movement::Write, &data),
                cdb::write_10(9, 1).to_vec(),
            ),
            (
                sent(&cdb::write_12(9, 8), Movement::Write, &data),
                cdb::write_12(9, 1).to_vec(),
            ),
            (
                sent(&cdb::write_16(9, 8), Movement::WriteImmediate, &data),
                cdb::write_16(9, 1).to_vec(),
            ),
        ];
        for (whole, expected) in cases {
            let one = one_block(&whole).unwrap();
            let (cdb, transfer) = parts(&one).unwrap();
            assert_eq!(cdb, expected);
            match transfer {
                Movement::Read(length) => assert_eq!(length, 512),
                _ => assert_eq!(one.data.len(), 512),
            }
            assert_eq!(one_block(&one), None);
            assert_eq!(half_the_blocks(&one), None);
            let first = first_block(&one).unwrap();
            assert_eq!(blocks(parts(&first).unwrap().0).unwrap().lba, 0);
            assert_eq!(first_block(&first), None);
        }
        let half = half_the_blocks(&sent(&cdb::write_10(0, 8), Movement::Write, &data)).unwrap();
        assert_eq!(half.data.len(), 2048);
        let none = sent(&cdb::test_unit_ready(), Movement::None, &[]);
        assert!(SMALLER.iter().all(|smaller| smaller(&none).is_none()));
        // READ(6) of 256 blocks says 0.
        let most = sent(&cdb::read_6(1, 0), Movement::Read(131_072), &[]);
        assert_eq!(blocks(parts(&most).unwrap().0).unwrap().blocks, 256);
        // Too short for its opcode: left as it is.
        assert_eq!(
            one_block(&sent(&[opcode::READ_10, 0, 0], Movement::None, &[])),
            None
        );
    }

    #[test]
    fn gaps_move_what_comes_after() {
        let inputs = [5, 20, 20, 100].map(|at| {
            input(
                at * 1_000_000,
                Operation::Step {
                    text: String::new(),
                },
            )
        });
        let whole = Cuttable::new(script(inputs.to_vec()), Duration::from_secs(1));
        let times = |cuttable: &Cuttable| -> Vec<u64> {
            let inputs = cuttable.script().inputs.iter();
            inputs
                .map(|input| input.time.as_nanos() / 1_000_000)
                .collect()
        };
        let most = with_gaps(&whole, |_, gap| gap.min(Duration::from_millis(10)));
        assert_eq!(times(&most), [5, 15, 15, 25]);
        let one = with_gaps(&whole, |at, gap| if at == 1 { Duration::ZERO } else { gap });
        assert_eq!(times(&one), [5, 5, 5, 85]);
        let (end, _) = one.script().end.clone().unwrap();
        assert_eq!(end.time, one.script().last_time() + Duration::from_secs(1));
    }

    #[test]
    fn merged_paths_have_no_tag_twice() {
        let login = |path| Operation::Login {
            node: 0,
            port: 0,
            initiator: path,
            path,
        };
        let manage = |path, tag| Operation::Manage {
            path,
            tag,
            lun: [0; 8],
            function: 5,
            timeout: 1,
        };
        let operations = [login(0), login(1), manage(0, 1), manage(1, 1), manage(1, 2)];
        let inputs = operations.map(|operation| input(0, operation)).to_vec();
        let whole = Cuttable::new(script(inputs), Duration::ZERO);
        let one = merged(&whole, 1, 0);
        let operations: Vec<Operation> = one
            .script()
            .inputs
            .iter()
            .map(|input| input.operation.clone())
            .collect();
        assert_eq!(
            operations,
            [login(0), manage(0, 1), manage(0, 2), manage(0, 3)]
        );
    }
}
