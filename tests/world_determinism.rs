// SPDX-License-Identifier: MPL-2.0
//! The promise: a run is a function of its seed and its scenario, and of nothing else; its
//! choices can be recorded and played back.

use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::scsi::cdb;
use stmf_sim::world::choices::{AtDivergence, ChoiceLog, Drawn, Played, Recorded};
use stmf_sim::world::trace::{Record, Sink, TraceHash};
use stmf_sim::world::{PortConfig, Transfer, World};

const LU: [u8; 16] = [0x60; 16];

/// Every event, as a line, with the hash up to it.
#[derive(Default)]
struct Lines(Vec<(TraceHash, String)>);

impl Sink for Lines {
    fn record(&mut self, record: &Record<'_>) {
        let line = format!("{} {:?} {:?}", record.time, record.node, record.event);
        let hash = TraceHash(record.hash.unwrap_or_default());
        self.0.push((hash, line));
    }
}

/// Two nodes, four hosts that read and write at once through both, a link that breaks.
fn run(world: World) -> Vec<(TraceHash, String)> {
    let lines = Rc::new(RefCell::new(Lines::default()));
    world.trace().add_sink(lines.clone());
    world
        .disks()
        .insert(LU, Disk::shared(MemoryStore::new(1 << 20, Fill::RECORDED)));
    let ended = world.run(async |world| {
        for node in world.nodes() {
            node.add_port(PortConfig::default()).await.unwrap();
            node.start_relay().unwrap();
        }
        world.node(1).add_lu(LU, true).await.unwrap();
        for node in world.nodes() {
            assert!(node.wait_for_alua(Duration::from_secs(60)).await.unwrap());
        }
        for number in 0..4u8 {
            let host = world.initiator();
            host.set_timeout(Duration::from_secs(20));
            let path = world.node(number % 2).login(&host, 0).await.unwrap();
            world.spawn("host", async move {
                for round in 0..10 {
                    let lba = u32::from(number) * 16 + round;
                    let read = cdb::read_10(lba, 8);
                    path.command([0; 8], &read, Transfer::Read(4096)).await;
                    let write = cdb::write_10(lba, 1);
                    path.command([0; 8], &write, Transfer::Write(&[number; 512]))
                        .await;
                }
            });
        }
        world.sleep(Duration::from_micros(1500)).await;
        world.network().break_connections(0, 1);
        world.sleep(Duration::from_secs(120)).await;
    });
    ended.unwrap();
    assert_eq!(world.hash(), lines.borrow().0.last().unwrap().0);
    lines.take().0
}

/// Where two runs part, if they do.
fn first_difference(one: &[(TraceHash, String)], other: &[(TraceHash, String)]) -> Option<String> {
    let place = one
        .iter()
        .zip(other)
        .position(|(one, other)| one.0 != other.0);
    let place = place.or((one.len() != other.len()).then_some(one.len().min(other.len())))?;
    Some(format!(
        "event {}: {:?} and {:?}",
        place + 1,
        one.get(place),
        other.get(place)
    ))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_same_seed_gives_the_same_events(seed: u64) {
        let one = run(World::builder().seed(seed).build());
        let other = run(World::builder().seed(seed).build());
        prop_assert_eq!(first_difference(&one, &other), None);
    }

    #[test]
    fn a_recorded_run_is_played_back(seed: u64) {
        let (recorded, log) = Recorded::new(Drawn::new(seed));
        let original = run(World::builder().choices(Box::new(recorded)).build());
        // As it would be read from a file.
        let log = ChoiceLog::from_bytes(&log.borrow().to_bytes()).unwrap();
        prop_assert!(log.len() > 100);
        let (played, diverged) = Played::new(log, AtDivergence::Note);
        let replay = run(World::builder().choices(Box::new(played)).build());
        prop_assert_eq!(diverged.get(), None);
        prop_assert_eq!(first_difference(&original, &replay), None);
    }
}

#[test]
fn other_seeds_give_other_runs() {
    let hash = |seed| run(World::builder().seed(seed).build()).last().unwrap().0;
    let mut hashes: Vec<u64> = (0..20).map(|seed| hash(seed).0).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn an_edited_log_still_runs() {
    let (recorded, log) = Recorded::new(Drawn::new(5));
    run(World::builder().choices(Box::new(recorded)).build());
    let log = log.borrow().clone();
    // Half of the choices, as shrinking does.
    let half: ChoiceLog = log.iter().take(log.len() as usize / 2).collect();
    let (played, diverged) = Played::new(half, AtDivergence::Adapt);
    run(World::builder().choices(Box::new(played)).build());
    assert!(diverged.get().is_some());
}
