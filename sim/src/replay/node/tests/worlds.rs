// SPDX-License-Identifier: MPL-2.0
//! What the tests record.

use crate::kernel::KernelConfig;
use crate::kernel::sbd::{Disk, Fill, MemoryStore};
use crate::replay::node::{Limits, NodeRun, NodeScript, NodeSettings, RecordedBy};
use crate::scsi::cdb;
use crate::scsi::reservation::{OutAction, ReservationType, parameter_list};
use crate::world::{NodeError, Path, PortConfig, Reply, Transfer, World};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::Dialect;
use stmf_proxy::message::status::task_management;
use stmf_proxy::trace::{Event, NodeId, Reader, RecordBuf, Section, Sink, Snap, Writer};

pub(super) const LU: [u8; 16] = [
    0x60, 0x01, 0x44, 0xf0, 0, 0, 0, 0, 0, 0, 0x4a, 0x2b, 0x3c, 0x4d, 0, 1,
];
pub(super) const LUN: [u8; 8] = [0; 8];
pub(super) const DISK: u64 = 4 << 20;

/// A world that keeps all that happens.
pub(super) struct Recorded {
    pub(super) world: World,
    records: Rc<RefCell<Vec<RecordBuf>>>,
}

pub(super) fn world(seed: u64) -> Recorded {
    recorded(World::builder().seed(seed).build())
}

pub(super) fn recorded(world: World) -> Recorded {
    let records: Rc<RefCell<Vec<RecordBuf>>> = Rc::default();
    world.trace().add_sink(records.clone());
    let store = MemoryStore::new(DISK, Fill::RECORDED);
    world.disks().insert(LU, Disk::shared(store));
    Recorded { world, records }
}

impl Recorded {
    pub(super) fn records(&self) -> Vec<RecordBuf> {
        self.records.borrow().clone()
    }
}

/// Ports on both nodes, the LU active on node 0, relays that have found each other.
pub(super) async fn set_up(world: &World) -> Result<(), NodeError> {
    for node in world.nodes() {
        node.add_port(PortConfig::default()).await?;
        node.add_port(PortConfig {
            alua: false,
            ..PortConfig::default()
        })
        .await?;
    }
    world.node(0).add_lu(LU, true).await?;
    for node in world.nodes() {
        node.start_relay()?;
    }
    for node in world.nodes() {
        node.wait_for_alua(Duration::from_secs(30)).await?;
    }
    world.sleep(Duration::from_secs(1)).await;
    Ok(())
}

pub(super) async fn read(path: &Path, lba: u64, blocks: u32) -> Reply {
    let cdb = cdb::read_16(lba, blocks);
    path.command(LUN, &cdb, Transfer::Read(blocks * 512)).await
}

pub(super) async fn write(path: &Path, lba: u64, blocks: u32, byte: u8) -> Reply {
    let data = vec![byte; blocks as usize * 512];
    let cdb = cdb::write_16(lba, blocks);
    path.command(LUN, &cdb, Transfer::Write(&data)).await
}

/// Everything that a node does in its life, or nearly.
pub(super) async fn busy_life(world: World) -> Result<(), NodeError> {
    set_up(&world).await?;
    let (one, other) = (world.initiator(), world.initiator());
    let active = world.node(0).login(&one, 0).await?;
    let standby = world.node(1).login(&one, 0).await?;
    let second = world.node(1).login(&other, 0).await?;
    for path in [&active, &standby, &second] {
        for _ in 0..3 {
            path.command(LUN, &cdb::test_unit_ready(), Transfer::None)
                .await;
        }
        path.command(LUN, &cdb::inquiry(96), Transfer::Read(96))
            .await;
        path.command(LUN, &cdb::inquiry_page(0x83, 255), Transfer::Read(255))
            .await;
        path.command(LUN, &cdb::read_capacity_16(32), Transfer::Read(32))
            .await;
    }
    write(&active, 16, 8, 7).await;
    read(&standby, 16, 8).await;
    // Longer than a buffer, and several at a time.
    for lba in [0, 64, 128] {
        let path = if lba == 64 {
            second.clone()
        } else {
            standby.clone()
        };
        world.spawn("reader", async move {
            read(&path, lba, 600).await;
        });
    }
    read(&second, 32, 600).await;
    world.sleep(Duration::from_millis(50)).await;
    write(&standby, 0, 1, 9).await;
    let select = [
        0, 0, 0, 0, 0, 0, 0, 0, 8, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut mode_select = [0x55, 0x11, 0, 0, 0, 0, 0, 0, 28, 0];
    mode_select[8] = select.len() as u8;
    standby
        .command(LUN, &mode_select, Transfer::Write(&select))
        .await;
    let mode_sense = [0x5a, 0x08, 0x08, 0, 0, 0, 0, 0, 64, 0];
    standby.command(LUN, &mode_sense, Transfer::Read(64)).await;
    let kind = ReservationType::WriteExclusiveRegistrantsOnly;
    for (action, key, new) in [
        (OutAction::Register, 0, 1),
        (OutAction::Reserve, 1, 0),
        (OutAction::Clear, 1, 0),
    ] {
        let list = parameter_list(key, new, false);
        let out = cdb::persistent_reserve_out(action, kind);
        standby.command(LUN, &out, Transfer::Write(&list)).await;
        second
            .command(
                LUN,
                &cdb::persistent_reserve_in(0, 256),
                Transfer::Read(256),
            )
            .await;
    }
    standby.manage(LUN, task_management::LUN_RESET).await;
    active.manage(LUN, task_management::LUN_RESET).await;
    second.logout().await;
    world.sleep(Duration::from_millis(10)).await;
    // Failover, with reads under way.
    let reader = standby.clone();
    world.spawn("reader", async move {
        for lba in 0..8 {
            read(&reader, lba * 300, 300).await;
        }
    });
    world.sleep(Duration::from_millis(1)).await;
    world.node(0).lu_standby(LU).await?;
    world.node(1).import_lu(LU).await?;
    for path in [&active, &standby] {
        for _ in 0..4 {
            path.command(LUN, &cdb::test_unit_ready(), Transfer::None)
                .await;
        }
        read(path, 16, 300).await;
    }
    write(&standby, 100, 4, 3).await;
    read(&active, 96, 16).await;
    // What was under way then is given up after 75 seconds.
    world.sleep(Duration::from_secs(100)).await;
    world.node(1).remove_port(1).await?;
    active.logout().await;
    world.node(0).remove_port(0).await?;
    standby.logout().await;
    world.node(1).remove_lu(LU).await?;
    world.sleep(Duration::from_secs(3)).await;
    Ok(())
}

pub(super) fn settings(node: NodeId) -> NodeSettings {
    NodeSettings {
        node,
        ..NodeSettings::default()
    }
}

/// Whether a real node's recorder could have told of it.
pub(super) fn is_seen_by_relay(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Upcall { .. }
            | Event::UpcallDone { .. }
            | Event::Post { .. }
            | Event::PostDone { .. }
            | Event::AluaState { .. }
            | Event::RelayStarted
            | Event::RelayEnded
    )
}

pub(super) fn script(records: &[RecordBuf], settings: NodeSettings) -> NodeScript {
    NodeScript::from_records(
        settings,
        Limits::default(),
        records.iter().map(RecordBuf::get),
    )
    .expect("the node has events")
}

pub(super) fn replay(records: &[RecordBuf], settings: NodeSettings) -> NodeRun {
    let script = script(records, settings);
    script.run(script.settings())
}

/// The same without initiators and operators, as a real node's recorder tells it.
pub(super) fn without_initiators(records: &[RecordBuf]) -> Vec<RecordBuf> {
    let seen = |record: &&RecordBuf| is_seen_by_relay(&record.get().event);
    records.iter().filter(seen).cloned().collect()
}

pub(super) fn real(node: NodeId) -> NodeSettings {
    NodeSettings {
        recorded_by: RecordedBy::Node,
        ..settings(node)
    }
}

/// The records as a file has them that leaves data out.
pub(super) fn snapped(records: &[RecordBuf], snap: Snap) -> Vec<RecordBuf> {
    let section = Section {
        snap,
        ..Section::new("a test")
    };
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, section).unwrap();
    for record in records {
        writer.record(&record.get());
    }
    writer.finish().unwrap();
    let mut reader = Reader::new(&*file).unwrap();
    let mut read = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        read.push(RecordBuf::from(&entry.record));
    }
    read
}

/// A world in which node 0 speaks the dialect of 2009: what it sends brings node 1 down.
pub(super) fn panicking() -> Vec<RecordBuf> {
    let recorded = world(5);
    let old = KernelConfig {
        dialect: Dialect::Y2009,
        ..KernelConfig::default()
    };
    let node = recorded.world.node(0);
    node.power_off();
    node.set_kernel_config(old);
    node.boot();
    let host = recorded.world.initiator();
    let outcome = recorded.world.run(async move |world| {
        for node in world.nodes() {
            node.add_port(PortConfig::default()).await?;
        }
        world.node(1).add_lu(LU, true).await?;
        for node in world.nodes() {
            node.start_relay()?;
        }
        for node in world.nodes() {
            node.wait_for_alua(Duration::from_secs(30)).await?;
        }
        world.sleep(Duration::from_secs(1)).await;
        let path = world.node(0).login(&host, 0).await?;
        path.command(LUN, &cdb::test_unit_ready(), Transfer::None)
            .await;
        path.command(LUN, &cdb::test_unit_ready(), Transfer::None)
            .await;
        Ok::<_, NodeError>(())
    });
    outcome.unwrap().unwrap();
    assert!(!recorded.world.node(1).panics().is_empty());
    recorded.records()
}
