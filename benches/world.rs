// SPDX-License-Identifier: MPL-2.0
//! How fast worlds run: reads through the standby path, worlds made and dropped, idle time.
//! `cargo bench -p stmf-sim --bench world`, with `-- reads` (or `worlds`, `watched`, `idle`,
//! `reads/1`) for a part of it. The figures are for a person to read. One thread does it all, and
//! what counts is the time that it had the processor, where the system tells that: the same as
//! time on the wall on a machine that has nothing else to do. Each figure is the best of a few
//! tries; with `-- --once` all is done once and less often, for a profiler. How much memory a world
//! takes is told by tests/world_memory.rs.

#[path = "../tests/common/pair.rs"]
mod pair;

use pair::{insert_disk, set_up};
use std::time::{Duration, Instant};
use stmf_sim::findings::Watch;
use stmf_sim::kernel::sbd::Fill;
use stmf_sim::scsi::cdb;
use stmf_sim::world::{Path, Transfer, World};

async fn start(world: &World) -> Path {
    set_up(world).await.unwrap();
    let path = world.node(0).login(&world.initiator(), 0).await.unwrap();
    while !ready(&path).await {
        world.sleep(Duration::from_millis(1)).await;
    }
    path
}

async fn ready(path: &Path) -> bool {
    let reply = path
        .command([0; 8], &cdb::test_unit_ready(), Transfer::None)
        .await;
    reply.outcome.is_good()
}

fn world(seed: u64) -> World {
    let world = World::builder().seed(seed).build();
    insert_disk(&world, Fill::Zeros);
    world
}

/// How often each figure is taken.
const TRIES: u32 = 5;

/// Once, and with a fiftieth of the work.
const ONCE: &str = "--once";

fn once() -> bool {
    std::env::args().any(|argument| argument == ONCE)
}

fn work_of(whole: u64) -> u64 {
    if once() { whole / 50 } else { whole }
}

/// Time that this thread had the processor since `begun`, or just time.
struct Stopwatch {
    begun: Instant,
    processor: Option<u64>,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch {
            begun: Instant::now(),
            processor: Stopwatch::nanoseconds(),
        }
    }

    fn elapsed(&self) -> Duration {
        match (self.processor, Stopwatch::nanoseconds()) {
            (Some(begun), Some(now)) => Duration::from_nanos(now - begun),
            _ => self.begun.elapsed(),
        }
    }

    /// Linux only.
    fn nanoseconds() -> Option<u64> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok()
    }
}

/// The shortest of some runs, in seconds, and what the last one gave.
fn best<T>(mut run: impl FnMut() -> (Duration, T)) -> (f64, T) {
    let (mut shortest, mut told) = run();
    for _ in 1..if once() { 1 } else { TRIES } {
        let (time, other) = run();
        (shortest, told) = (shortest.min(time), other);
    }
    (shortest.as_secs_f64(), told)
}

/// What a world did, for each of `count` things.
fn work(world: &World, since: (u64, u64), count: u64) -> String {
    let count = count as f64;
    let steps = (world.executor().steps() - since.0) as f64 / count;
    let events = (world.trace().events() - since.1) as f64 / count;
    format!("{steps:.1} steps and {events:.1} events")
}

fn done(world: &World) -> (u64, u64) {
    (world.executor().steps(), world.trace().events())
}

fn reads(depth: u64) {
    let reads = work_of(20_000);
    let (seconds, work) = best(|| {
        let world = world(1);
        let path = world.run(async |world| start(&world).await).unwrap();
        let since = done(&world);
        let begun = Stopwatch::start();
        world
            .run(async move |world| read(world, path, depth, reads).await)
            .unwrap();
        (begun.elapsed(), work(&world, since, reads))
    });
    println!(
        "standby path, 4 KiB reads, {depth:>2} at once: {:.0} reads/s, {:.0} messages/s; {work} each",
        reads as f64 / seconds,
        4.0 * reads as f64 / seconds
    );
}

async fn read(world: World, path: Path, depth: u64, reads: u64) {
    let done = stmf_sim::executor::sync::Queue::new(world.executor(), "a reader");
    for reader in 0..depth {
        let (path, done) = (path.clone(), done.clone());
        world.spawn("reader", async move {
            for number in 0..reads / depth {
                let lba = ((reader + number * depth) * 8 % 2040) as u32;
                let cdb = cdb::read_10(lba, 8);
                let reply = path.command([0; 8], &cdb, Transfer::Read(4096)).await;
                assert_eq!(reply.data.len(), 4096);
            }
            done.push(());
        });
    }
    for _ in 0..depth {
        done.pop().await;
    }
}

/// Worlds that are made, send commands, and are dropped.
fn worlds(commands: u64, watched: bool) {
    let worlds = work_of(1000);
    let (seconds, work) = best(|| {
        let begun = Stopwatch::start();
        let mut told = String::new();
        for seed in 0..worlds {
            let (world, watch) = match watched {
                false => (world(seed), None),
                true => {
                    let watch = Watch::shared();
                    let world = World::builder().seed(seed).sink(watch.clone()).build();
                    world.disks().listen(watch.clone());
                    insert_disk(&world, Fill::Zeros);
                    (world, Some(watch))
                }
            };
            let ended = world.run(async move |world| {
                let path = start(&world).await;
                for _ in 0..commands {
                    assert!(ready(&path).await);
                }
            });
            ended.unwrap();
            if let Some(watch) = watch {
                let found = watch.borrow_mut().finish(world.now());
                assert!(found.is_empty(), "{found:?}");
            }
            if seed == 0 {
                told = work(&world, (0, 0), 1);
            }
        }
        (begun.elapsed(), told)
    });
    let name = match watched {
        false => "worlds",
        true => "worlds with all watchers",
    };
    println!(
        "{name} of {commands} TEST UNIT READY through the standby path: {:.0} worlds/s; {work} each",
        worlds as f64 / seconds
    );
}

fn idle() {
    let idle_seconds = work_of(100_000);
    let (seconds, work) = best(|| {
        let world = world(1);
        world.run(async |world| drop(start(&world).await)).unwrap();
        let since = done(&world);
        let begun = Stopwatch::start();
        world.run_for(Duration::from_secs(idle_seconds));
        (begun.elapsed(), work(&world, since, idle_seconds))
    });
    println!(
        "an idle pair: {:.0} simulated seconds a second; {work} each",
        idle_seconds as f64 / seconds
    );
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let part = |name: &str, run: &dyn Fn()| {
        if wanted.is_empty() || wanted.iter().any(|wanted| name.starts_with(wanted)) {
            run();
        }
    };
    part("reads/1", &|| reads(1));
    part("reads/32", &|| reads(32));
    part("worlds/0", &|| worlds(0, false));
    part("worlds/10", &|| worlds(10, false));
    part("worlds/60", &|| worlds(60, false));
    part("watched/10", &|| worlds(10, true));
    part("watched/60", &|| worlds(60, true));
    part("idle", &idle);
}
