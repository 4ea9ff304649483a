// SPDX-License-Identifier: MPL-2.0
//! What happens in the demonstration, step by step, and what must hold.
//!
//! Node 1 serves the disk, node 0 is its standby. Every check is written down whether it holds or
//! not; a step that cannot go on ends the scenario, and the rest of it has not been checked.

use super::discovery::{self, Found, command};
use super::report::Check;
use super::{Once, Sha256Digest};
use crate::executor::sync::Promise;
use crate::report::{self, thousands};
use crate::scsi::cdb;
use crate::scsi::reports::{GroupState, TargetPortGroup};
use crate::scsi::reservation::{
    Held, Keys, OutAction, READ_KEYS, READ_RESERVATION, ReservationType, parameter_list,
};
use crate::scsi::{Completion, Sense, Status};
use crate::world::random::Random;
use crate::world::statistics::Statistics;
use crate::world::{Outcome, Path, PortConfig, Reply, Transfer, World};
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// The name of the LU.
pub(super) const LU: [u8; 16] = [
    0x60, 0x01, 0x44, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01,
];

/// The node that serves the disk at first, and the one that does after the failover.
const FIRST: u8 = 1;
const SECOND: u8 = 0;

/// Bytes of one read of the copy, and how many are out at once.
const COPY_PIECE: u64 = 1 << 20;
const COPY_DEPTH: usize = 4;

/// Bytes that are written after the failover, at most.
const WRITE_LENGTH: u64 = 64 << 10;

/// What the scenario writes down.
pub(super) struct Sheet {
    pub(super) size: u64,
    pub(super) source_sha256: Sha256Digest,
    pub(super) step: Cell<&'static str>,
    pub(super) copied: Cell<u64>,
    pub(super) copied_sha256: Once<Sha256Digest>,
    pub(super) checks: RefCell<Vec<Check>>,
    pub(super) facts: RefCell<Vec<(String, String)>>,
}

impl Sheet {
    pub(super) fn new(size: u64, source_sha256: Sha256Digest) -> Sheet {
        Sheet {
            size,
            source_sha256,
            step: Cell::new("starting"),
            copied: Cell::new(0),
            copied_sha256: Cell::new(None),
            checks: RefCell::default(),
            facts: RefCell::default(),
        }
    }

    pub(super) fn fail(&self, what: &str, detail: String) {
        self.check(what, false, detail);
    }

    fn check(&self, what: &str, passed: bool, detail: impl Into<String>) {
        let check = Check {
            what: what.into(),
            passed,
            detail: detail.into(),
        };
        self.checks.borrow_mut().push(check);
    }

    fn fact(&self, name: &str, value: impl Into<String>) {
        self.facts.borrow_mut().push((name.into(), value.into()));
    }

    fn begin(&self, world: &World, step: &'static str) {
        self.step.set(step);
        world.step(step);
    }
}

/// The paths of the two hosts. The first host has one to each node.
struct Paths {
    standby: Path,
    active: Path,
    other_host: Path,
}

pub(super) async fn play(world: &World, sheet: &Sheet) -> Result<(), String> {
    let paths = start(world, sheet).await?;
    let found = discover(world, sheet, &paths).await?;
    copy(world, sheet, &paths.standby, &found).await?;
    refuse_write(world, sheet, &paths.standby, found.lun).await;
    reserve(world, sheet, &paths, found.lun).await?;
    fail_over(world, sheet, &paths, found.lun).await?;
    write_and_read_back(world, sheet, &paths, &found).await?;
    stop(world, sheet).await;
    Ok(())
}

async fn start(world: &World, sheet: &Sheet) -> Result<Paths, String> {
    sheet.begin(world, "starting two nodes");
    let text = |error: crate::world::NodeError| error.to_string();
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await.map_err(text)?;
        node.start_relay().map_err(text)?;
    }
    world.node(FIRST).add_lu(LU, true).await.map_err(text)?;
    for node in world.nodes() {
        if !node
            .wait_for_alua(Duration::from_secs(60))
            .await
            .map_err(text)?
        {
            return Err(format!(
                "the relay of node {} does not find its peer",
                node.id()
            ));
        }
    }
    let (host, other) = (world.initiator(), world.initiator());
    let standby = world.node(SECOND).login(&host, 0).await.map_err(text)?;
    let active = world.node(FIRST).login(&host, 0).await.map_err(text)?;
    let other_host = world.node(FIRST).login(&other, 0).await.map_err(text)?;
    Ok(Paths {
        standby,
        active,
        other_host,
    })
}

async fn discover(world: &World, sheet: &Sheet, paths: &Paths) -> Result<Found, String> {
    sheet.begin(world, "discovering the disk on both paths");
    for path in [&paths.other_host, &paths.active] {
        discovery::wait_until_ready(world, path).await?;
    }
    let lun = discovery::wait_until_ready(world, &paths.active).await?;
    let by_active = discovery::discover(&paths.active, lun).await?;
    let lun = discovery::wait_until_ready(world, &paths.standby).await?;
    let by_standby = discovery::discover(&paths.standby, lun).await?;
    sheet.fact("unit", by_standby.name.clone());
    sheet.fact(
        "product",
        format!("{}, serial {}", by_standby.inquiry, by_standby.serial),
    );
    let capacity = by_standby.capacity;
    sheet.fact(
        "capacity",
        format!(
            "{} bytes in blocks of {}",
            thousands(capacity.bytes()),
            capacity.block_size
        ),
    );
    for group in &by_standby.groups {
        sheet.fact("target port group", group.to_string());
    }
    sheet.check(
        "both paths lead to the same unit",
        by_active.name == by_standby.name && by_active.serial == by_standby.serial,
        format!("{} and {}", by_active.name, by_standby.name),
    );
    sheet.check(
        "the unit says that its access is asymmetric",
        by_active.inquiry.tpgs != 0 && by_standby.inquiry.tpgs != 0,
        format!(
            "TPGS {} and {}",
            by_active.inquiry.tpgs, by_standby.inquiry.tpgs
        ),
    );
    sheet.check(
        "both paths tell the size of the disk",
        capacity == by_active.capacity && capacity.bytes() == sheet.size,
        format!(
            "{} and {} bytes",
            by_active.capacity.bytes(),
            capacity.bytes()
        ),
    );
    check_groups(
        sheet,
        "before the failover",
        (&by_active, FIRST),
        (&by_standby, SECOND),
    );
    Ok(by_standby)
}

/// Both paths tell of two groups, one of them active, and each path finds its own group in the
/// state that its node is in.
fn check_groups(sheet: &Sheet, when: &str, active: (&Found, u8), standby: (&Found, u8)) {
    let state = |found: &Found| found.own_state().map(|group| group.state);
    let sorted = |found: &Found| {
        let mut groups = found.groups.clone();
        groups.sort_by_key(|group| group.id);
        groups
    };
    let (active, active_node) = active;
    let (standby, standby_node) = standby;
    let passed = sorted(active) == sorted(standby)
        && active.groups.len() == 2
        && state(active) == Some(GroupState::ACTIVE)
        && state(standby) == Some(GroupState::STANDBY)
        && active.own_group == u16::from(active_node)
        && standby.own_group == u16::from(standby_node);
    let list = |groups: &[TargetPortGroup]| {
        groups
            .iter()
            .map(|group| group.to_string())
            .collect::<Vec<_>>()
            .join("; ")
    };
    let detail = if passed {
        list(&sorted(active))
    } else {
        format!(
            "node {active_node} says {}, node {standby_node} says {}",
            list(&active.groups),
            list(&standby.groups)
        )
    };
    sheet.check(
        &format!("two target port groups {when}, one active"),
        passed,
        detail,
    );
}

async fn copy(world: &World, sheet: &Sheet, path: &Path, found: &Found) -> Result<(), String> {
    sheet.begin(world, "copying the disk through the standby path");
    let began = world.now();
    let block = u64::from(found.capacity.block_size);
    let size = found.capacity.bytes();
    let mut hash = Sha256::new();
    let mut out: VecDeque<(u64, u64, Promise<Reply>)> = VecDeque::new();
    let mut asked = 0;
    while asked < size || !out.is_empty() {
        while asked < size && out.len() < COPY_DEPTH {
            let length = COPY_PIECE.min(size - asked);
            out.push_back((
                asked,
                length,
                read(
                    world,
                    path,
                    found.lun,
                    asked / block,
                    length / block,
                    length,
                ),
            ));
            asked += length;
        }
        let Some((offset, length, reply)) = out.pop_front() else {
            break;
        };
        let data = reply.take().await.good().map_err(|outcome| {
            format!("the read of {length} bytes at {offset} through the standby path: {outcome}")
        })?;
        if data.len() as u64 != length {
            return Err(format!(
                "the read of {length} bytes at {offset} brought {}",
                data.len()
            ));
        }
        hash.update(&data);
        sheet.copied.set(offset + length);
    }
    let copied: Sha256Digest = hash.finalize().into();
    sheet.copied_sha256.set(Some(copied));
    sheet.check(
        "what was copied through the standby path is the disk",
        copied == sheet.source_sha256,
        format!("SHA-256 {}", stmf_proxy::message::hex::encode(&copied)),
    );
    let seconds = world.now() - began;
    sheet.fact(
        "copied",
        format!(
            "{} in {} ms of simulated time",
            report::bytes(size),
            thousands(seconds.as_millis() as u64)
        ),
    );
    Ok(())
}

/// Begins a read.
fn read(
    world: &World,
    path: &Path,
    lun: [u8; 8],
    lba: u64,
    blocks: u64,
    length: u64,
) -> Promise<Reply> {
    let promise = Promise::new(world.executor(), "a read of the copy");
    let (path, told) = (path.clone(), promise.clone());
    world.spawn("copy", async move {
        let cdb = cdb::read_16(lba, blocks as u32);
        told.set(path.command(lun, &cdb, Transfer::Read(length as u32)).await);
    });
    promise
}

async fn refuse_write(world: &World, sheet: &Sheet, path: &Path, lun: [u8; 8]) {
    sheet.begin(world, "writing on the standby path");
    let reply = path
        .command(lun, &cdb::write_10(0, 1), Transfer::Write(&[0xff; 512]))
        .await;
    sheet.check(
        "a write on the standby path is refused as standby",
        reply.outcome == Outcome::Status(Completion::check(Sense::STANDBY)),
        reply.outcome.to_string(),
    );
}

const KEY: u64 = 0x5354_4d46_0000_0001;
const KIND: ReservationType = ReservationType::WriteExclusiveRegistrantsOnly;

async fn reserve(world: &World, sheet: &Sheet, paths: &Paths, lun: [u8; 8]) -> Result<(), String> {
    sheet.begin(world, "reserving through the standby path");
    let reserve = async |action: OutAction, key: u64, action_key: u64| {
        let list = parameter_list(key, action_key, false);
        let cdb = cdb::persistent_reserve_out(action, KIND);
        let done = command(&paths.standby, lun, &cdb, Transfer::Write(&list)).await;
        done.map_err(|outcome| {
            format!("PERSISTENT RESERVE OUT, {action:?}, by the standby path: {outcome}")
        })
    };
    reserve(OutAction::Register, 0, KEY).await?;
    reserve(OutAction::Reserve, KEY, 0).await?;
    let (keys, held) = reservations(&paths.active, lun).await?;
    sheet.check(
        "a reservation made through the standby path is seen from the active one",
        keys == [KEY] && held == Some((KEY, KIND)),
        match held {
            Some((key, kind)) => format!("{kind}, key {key:#018x}"),
            None => format!("no reservation, keys {keys:x?}"),
        },
    );
    let reply = paths
        .other_host
        .command(lun, &cdb::write_10(0, 1), Transfer::Write(&[0xff; 512]))
        .await;
    sheet.check(
        "the reservation keeps another host from writing",
        reply.outcome
            == Outcome::Status(Completion {
                status: Status::RESERVATION_CONFLICT,
                sense: None,
            }),
        reply.outcome.to_string(),
    );
    reserve(OutAction::Clear, KEY, 0).await?;
    let (keys, held) = reservations(&paths.active, lun).await?;
    sheet.check(
        "it is cleared through the standby path",
        keys.is_empty() && held.is_none(),
        format!("{} keys left", keys.len()),
    );
    Ok(())
}

type Reservations = (Vec<u64>, Option<(u64, ReservationType)>);

async fn reservations(path: &Path, lun: [u8; 8]) -> Result<Reservations, String> {
    let ask = async |action: u8| {
        let cdb = cdb::persistent_reserve_in(action, 1024);
        let answer = command(path, lun, &cdb, Transfer::Read(1024)).await;
        answer
            .map(|(data, _)| data)
            .map_err(|outcome| format!("PERSISTENT RESERVE IN: {outcome}"))
    };
    let unreadable = || "the answer to PERSISTENT RESERVE IN cannot be read".to_string();
    let keys = Keys::parse(&ask(READ_KEYS).await?).ok_or_else(unreadable)?;
    let held = Held::parse(&ask(READ_RESERVATION).await?).ok_or_else(unreadable)?;
    Ok((keys.keys, held.reservation))
}

async fn fail_over(
    world: &World,
    sheet: &Sheet,
    paths: &Paths,
    lun: [u8; 8],
) -> Result<(), String> {
    sheet.begin(world, "failing over");
    let began = world.now();
    let failed = |error: crate::world::NodeError| format!("failover: {error}");
    world.node(FIRST).lu_standby(LU).await.map_err(failed)?;
    world.node(SECOND).import_lu(LU).await.map_err(failed)?;
    // The new active node tells its initiators that something has happened.
    let told = command(&paths.standby, lun, &cdb::test_unit_ready(), Transfer::None).await;
    let (told, detail) = match told {
        Ok((_, attentions)) => {
            let told = attentions.contains(&Sense::ACCESS_STATE_CHANGED);
            let names: Vec<String> = attentions.iter().map(|sense| sense.to_string()).collect();
            (
                told,
                if names.is_empty() {
                    "nothing".into()
                } else {
                    names.join(", ")
                },
            )
        }
        Err(outcome) => (false, outcome.to_string()),
    };
    sheet.check(
        "the host is told that the access state has changed",
        told,
        detail,
    );
    let lun = discovery::wait_until_ready(world, &paths.standby).await?;
    let active = discovery::discover(&paths.standby, lun).await?;
    let lun = discovery::wait_until_ready(world, &paths.active).await?;
    let standby = discovery::discover(&paths.active, lun).await?;
    check_groups(
        sheet,
        "after the failover",
        (&active, SECOND),
        (&standby, FIRST),
    );
    for group in &active.groups {
        sheet.fact("after the failover", group.to_string());
    }
    let milliseconds = (world.now() - began).as_millis() as u64;
    sheet.fact(
        "failover",
        format!("{} ms of simulated time", thousands(milliseconds)),
    );
    Ok(())
}

async fn write_and_read_back(
    world: &World,
    sheet: &Sheet,
    paths: &Paths,
    found: &Found,
) -> Result<(), String> {
    sheet.begin(world, "writing on the new active path");
    let block = u64::from(found.capacity.block_size);
    let length = WRITE_LENGTH.min(found.capacity.bytes());
    // In the middle of the disk, on a whole block.
    let lba = (found.capacity.bytes() - length) / 2 / block;
    let blocks = (length / block) as u32;
    let mut data = vec![0; length as usize];
    Random::stream(found.capacity.bytes(), u64::from_le_bytes(*b"written\0")).fill(&mut data);
    let write = command(
        &paths.standby,
        found.lun,
        &cdb::write_16(lba, blocks),
        Transfer::Write(&data),
    )
    .await;
    sheet.check(
        "a write on the new active path succeeds",
        write.is_ok(),
        match &write {
            Ok(_) => format!("{} at block {lba}", report::bytes(length)),
            Err(outcome) => outcome.to_string(),
        },
    );
    for (path, name) in [(&paths.standby, "active"), (&paths.active, "standby")] {
        let cdb = cdb::read_16(lba, blocks);
        let read = command(path, found.lun, &cdb, Transfer::Read(length as u32)).await;
        sheet.check(
            &format!("what was written is read back on the new {name} path"),
            read.as_ref().is_ok_and(|(read, _)| *read == data),
            match read {
                Ok((read, _)) if read == data => report::bytes(length),
                Ok((read, _)) => first_difference(&read, &data),
                Err(outcome) => outcome.to_string(),
            },
        );
    }
    Ok(())
}

fn first_difference(read: &[u8], written: &[u8]) -> String {
    match read
        .iter()
        .zip(written)
        .position(|(read, written)| read != written)
    {
        Some(place) => format!("they differ from byte {place} on"),
        None => format!("{} bytes instead of {}", read.len(), written.len()),
    }
}

async fn stop(world: &World, sheet: &Sheet) {
    sheet.begin(world, "stopping the relays");
    for node in world.nodes() {
        node.stop_relay();
    }
    for _ in 0..600 {
        if world.nodes().iter().all(|node| node.relay().is_none()) {
            break;
        }
        world.sleep(Duration::from_millis(100)).await;
    }
    let running = world
        .nodes()
        .iter()
        .filter(|node| node.relay().is_some())
        .count();
    sheet.check(
        "both relays stop in order",
        running == 0,
        format!("{running} still running"),
    );
}

/// What must hold when all is over.
pub(super) fn check_aftermath(world: &World, sheet: &Sheet, statistics: &Statistics) {
    let panics: Vec<String> = world
        .nodes()
        .iter()
        .flat_map(|node| {
            node.panics()
                .into_iter()
                .map(move |panic| (node.id(), panic))
        })
        .map(|(node, panic)| format!("node {node}: {}", panic.reason))
        .collect();
    sheet.check("no node panicked", panics.is_empty(), panics.join("; "));
    let outstanding: usize = world.nodes().iter().map(|node| node.outstanding()).sum();
    let lost = statistics.timeouts + statistics.aborts + outstanding as u64;
    sheet.check(
        "every command has ended with a status",
        lost == 0,
        format!(
            "{} of {}",
            thousands(statistics.commands - lost.min(statistics.commands)),
            thousands(statistics.commands)
        ),
    );
    let doors = statistics.all_doors();
    let carried = statistics.all_messages();
    sheet.check(
        "every message that a door took was posted, byte for byte as many",
        carried.count == doors.posts
            && carried.bytes == doors.post_bytes
            && doors.posts_refused == 0,
        format!(
            "{} taken, {} posted, {} refused by a kernel",
            thousands(carried.count),
            thousands(doors.posts),
            thousands(doors.posts_refused)
        ),
    );
    sheet.check(
        "no upcall was lost",
        doors.refused == 0 && doors.failed == 0,
        format!(
            "{} answered with an error, {} failed",
            doors.refused, doors.failed
        ),
    );
}
