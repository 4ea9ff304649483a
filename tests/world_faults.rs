// SPDX-License-Identifier: MPL-2.0
//! The promise: every fault that can be asked of a world is told under its name when it hits
//! something, has the effect that it has outside, is excused by those who judge the run, and is
//! done again by a replay.

#[path = "common/pair.rs"]
mod pair;

use pair::{LU, insert_disk, set_up};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::MessageType;
use stmf_proxy::status::Errno;
use stmf_sim::findings::{Kind, Watch};
use stmf_sim::kernel::doors::DoorFault;
use stmf_sim::kernel::sbd::Fill;
use stmf_sim::kernel::{Allocation, KernelConfig, Profile};
use stmf_sim::recording::{self, Settings};
use stmf_sim::replay;
use stmf_sim::scsi::{Sense, cdb};
use stmf_sim::world::faults::FAULTS;
use stmf_sim::world::network::NetworkConfig;
use stmf_sim::world::statistics::Statistics;
use stmf_sim::world::{
    Builder, DiskFault, DiskFaultKind, Initiator, NodeError, Outcome, Path, PortConfig, Ratio,
    Transfer, World,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Runs a scenario in a watched world; the faults that were told, and what was found.
fn run<T: 'static>(
    builder: Builder,
    scenario: impl AsyncFnOnce(World) -> T + 'static,
) -> (T, Statistics, Vec<String>) {
    let statistics = Rc::new(RefCell::new(Statistics::default()));
    let world = builder.sink(statistics.clone()).build();
    let watch = Watch::over(&world);
    insert_disk(&world, Fill::RECORDED);
    let result = world.run(scenario).unwrap();
    world.run_for(seconds(100));
    assert_eq!(world.deadlock(), None);
    let findings = watch.borrow_mut().finish(world.now());
    let findings = findings.iter().map(ToString::to_string).collect();
    (result, statistics.take(), findings)
}

/// The same, where nothing may be found and each of these faults must have been told so often.
fn run_told<T: 'static>(
    told: &[(&str, u64)],
    scenario: impl AsyncFnOnce(World) -> T + 'static,
) -> T {
    let (result, statistics, findings) = run(World::builder().seed(1), scenario);
    assert!(findings.is_empty(), "{findings:#?}");
    let expected = told.iter().map(|(name, count)| (name.to_string(), *count));
    assert_eq!(statistics.faults, expected.collect());
    result
}

/// Both nodes up, the LU active on node 1, and the initiator's path to the standby node 0.
async fn start(world: &World, host: &Initiator) -> Result<Path, NodeError> {
    set_up(world).await?;
    let path = world.node(0).login(host, 0).await?;
    heals(world, &path).await;
    Ok(path)
}

async fn read(path: &Path) -> Outcome {
    let reply = path
        .command([0; 8], &cdb::read_10(3, 1), Transfer::Read(512))
        .await;
    if reply.outcome.is_good() {
        let byte = |offset: u64| (offset ^ (offset >> 9)) as u8;
        assert_eq!(reply.data, (1536..2048).map(byte).collect::<Vec<u8>>());
    }
    reply.outcome
}

/// Reads until one succeeds.
async fn heals(world: &World, path: &Path) {
    let end = world.now() + PATIENCE;
    // One that is lost is not waited for.
    path.initiator().set_timeout(seconds(5));
    while !read(path).await.is_good() {
        assert!(world.now() < end, "reads do not succeed again");
        world.sleep(milliseconds(100)).await;
    }
    path.initiator().set_timeout(seconds(100));
}

#[test]
fn a_paused_node_stands_still_and_goes_on() {
    for (node, pause) in [(0, 3), (1, 3), (0, 40), (1, 40)] {
        let told = [("pause", 1)];
        run_told(&told, async move |world| {
            let host = world.initiator();
            let path = start(&world, &host).await.unwrap();
            let direct = world.node(1).login(&host, 0).await.unwrap();
            assert!(heals_now(&direct).await);
            let begin = world.now();
            world.node(node).pause(seconds(pause));
            assert!(world.node(node).is_paused());
            let of_node = if node == 0 { &path } else { &direct };
            read(of_node).await;
            assert!(world.now() - begin >= seconds(pause), "it stood still");
            assert!(!world.node(node).is_paused());
            // Longer than a link bears silence, it is made again.
            let begin = world.now();
            heals(&world, &path).await;
            assert!(world.now() - begin < seconds(20));
        });
    }
}

/// The first read of a path may meet what has changed on the LU.
async fn heals_now(path: &Path) -> bool {
    for _ in 0..4 {
        if read(path).await.is_good() {
            return true;
        }
    }
    false
}

#[test]
fn what_is_done_to_a_paused_node_waits_or_ends_the_pause() {
    let told = [("pause", 2), ("relay-killed", 1)];
    run_told(&told, async |world| {
        let host = world.initiator();
        let path = start(&world, &host).await.unwrap();
        world.node(1).pause(seconds(2));
        world.node(1).kill_relay();
        assert!(
            world.node(1).relay().is_some(),
            "nothing is killed there now"
        );
        world.sleep(seconds(3)).await;
        assert!(world.node(1).relay().is_none());
        world.node(1).start_relay().unwrap();
        heals(&world, &path).await;
        world.node(1).pause(seconds(10));
        world.node(1).power_off();
        assert!(!world.node(1).is_paused());
        world.node(1).boot();
        world.node(1).add_port(PortConfig::default()).await.unwrap();
        world.node(1).start_relay().unwrap();
        world.node(1).add_lu(LU, true).await.unwrap();
        heals(&world, &path).await;
        // Nothing is left of it.
        world.sleep(seconds(20)).await;
        heals(&world, &path).await;
    });
}

#[test]
fn a_disk_is_slow_and_fails() {
    let told = [
        ("disk-read-error", 1),
        ("disk-slow", 2),
        ("disk-write-error", 1),
    ];
    run_told(&told, async |world| {
        let host = world.initiator();
        let path = start(&world, &host).await.unwrap();
        let direct = world.node(1).login(&host, 0).await.unwrap();
        assert!(heals_now(&direct).await);
        let slow = DiskFaultKind::Slow(milliseconds(700));
        world.disks().fail(LU, DiskFault::everywhere(slow, 2));
        for (path, slow) in [(&path, true), (&direct, true), (&direct, false)] {
            let begin = world.now();
            assert!(read(path).await.is_good());
            assert_eq!(world.now() - begin >= milliseconds(700), slow);
        }
        let fault = DiskFault::everywhere(DiskFaultKind::Read, 1);
        world.disks().fail(LU, fault);
        assert_eq!(read(&path).await, Outcome::Status(Sense::READ_ERROR.into()));
        assert!(read(&path).await.is_good());
        let fault = DiskFault::everywhere(DiskFaultKind::Write, 5);
        world.disks().fail(LU, fault);
        let write = async || {
            let cdb = cdb::write_10(0, 1);
            direct
                .command([0; 8], &cdb, Transfer::Write(&[7; 512]))
                .await
        };
        let failed = Outcome::Status(Sense::WRITE_ERROR.into());
        assert_eq!(write().await.outcome, failed);
        world.disks().repair(LU);
        assert!(write().await.outcome.is_good());
    });
}

#[test]
fn posts_that_fail_lose_their_command_and_nothing_else() {
    let told = [("memory-ioctl-buffer", 1), ("post-failed", 1)];
    run_told(&told, async |world| {
        let host = world.initiator();
        let path = start(&world, &host).await.unwrap();
        world.node(1).fail_posts(Errno::ENOMEM, 1).unwrap();
        assert_eq!(read(&path).await, Outcome::Aborted, "stmf gives it up");
        assert!(read(&path).await.is_good());
        world
            .node(0)
            .fail_allocations(Allocation::IoctlBuffer, 1)
            .unwrap();
        assert_eq!(read(&path).await, Outcome::Aborted);
        assert!(read(&path).await.is_good());
    });
}

#[test]
fn memory_is_short_where_it_is_told() {
    for (place, counter) in [
        (Allocation::ProxyTask, "scmd_ptask_alloc_fail"),
        (Allocation::StmfTask, "scmd_stask_alloc_fail"),
        (Allocation::Session, "scmd_sess_create_fail"),
    ] {
        run_told(&[(place.fault_name(), 1)], async move |world| {
            let host = world.initiator();
            let path = start(&world, &host).await.unwrap();
            let other = world.node(0).login(&world.initiator(), 0).await.unwrap();
            world.node(1).fail_allocations(place, 1).unwrap();
            let failed = count(&world, counter);
            // A new session is made for the first command of another path.
            assert_eq!(read(&other).await, Outcome::Aborted);
            assert_eq!(count(&world, counter), failed + 1);
            heals(&world, &other).await;
            assert!(read(&path).await.is_good());
        });
    }
}

fn count(world: &World, counter: &str) -> u64 {
    let kernel = world.node(1).kernel().unwrap();
    let counters = kernel.pppt().counters().all();
    counters
        .iter()
        .find(|(name, _)| *name == counter)
        .unwrap()
        .1
}

#[test]
fn a_proxy_port_for_which_there_is_no_memory_is_made_at_the_next_enabling() {
    run_told(
        &[("link-broken", 1), ("memory-proxy-port", 1)],
        async |world| {
            let host = world.initiator();
            world
                .node(1)
                .fail_allocations(Allocation::ProxyPort, 1)
                .unwrap();
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
            }
            world.node(1).add_lu(LU, true).await.unwrap();
            world.node(0).wait_for_alua(PATIENCE).await.unwrap();
            world.sleep(seconds(1)).await;
            assert_eq!(count(&world, "tgt_reg_create_fail"), 1);
            let path = world.node(0).login(&host, 0).await.unwrap();
            for _ in 0..2 {
                assert!(!read(&path).await.is_good(), "the port is not there");
            }
            world.network().break_connections(0, 1);
            heals(&world, &path).await;
        },
    );
}

#[test]
fn a_slow_registration_holds_up_its_node_and_ends() {
    run_told(&[("slow-registration", 1)], async |world| {
        let host = world.initiator();
        world.node(1).slow_registrations(seconds(4), 1).unwrap();
        let begin = world.now();
        let path = start(&world, &host).await.unwrap();
        assert!(read(&path).await.is_good());
        assert!(world.now() - begin >= seconds(4));
    });
}

#[test]
fn a_door_without_a_free_thread_has_calls_wait() {
    run_told(&[("door-no-thread", 1)], async |world| {
        let host = world.initiator();
        let path = start(&world, &host).await.unwrap();
        let fault = DoorFault::NoThread {
            delay: seconds(3),
            times: 1,
        };
        world.node(0).fail_door_calls(fault).unwrap();
        let begin = world.now();
        let second = path.clone();
        world.spawn("second command", async move {
            assert!(read(&second).await.is_good());
        });
        assert!(read(&path).await.is_good(), "it waits and does not fail");
        let took = world.now() - begin;
        assert!(took >= seconds(3) && took < seconds(4), "{took:?}");
        world.sleep(seconds(1)).await;
    });
}

#[test]
fn door_calls_fail_as_asked() {
    let told = [
        ("door-eagain", 2),
        ("door-eintr", 1),
        ("door-e2big", 1),
        ("door-ebadf", 1),
        ("door-result", 2),
    ];
    let scenario = async |world: World| {
        let host = world.initiator();
        let path = start(&world, &host).await.unwrap();
        let errno = |errno, times| DoorFault::Errno { errno, times };
        world
            .node(0)
            .fail_door_calls(errno(Errno::EAGAIN, 2))
            .unwrap();
        let begin = world.now();
        assert!(read(&path).await.is_good());
        let took = world.now() - begin;
        assert!(
            took >= seconds(2) && took < seconds(3),
            "twice a second later: {took:?}"
        );
        for number in [Errno::EINTR, Errno::E2BIG, Errno::EBADF] {
            world.node(0).fail_door_calls(errno(number, 1)).unwrap();
            let unavailable = Outcome::Status(Sense::UNAVAILABLE.into());
            assert_eq!(read(&path).await, unavailable);
        }
        // Aimed at one kind of message; the kernel takes a result for sent.
        let fault = DoorFault::Result {
            result: 1,
            times: 1,
        };
        for (node, message) in [(0, MessageType::ScsiCommand), (1, MessageType::ScsiStatus)] {
            world
                .node(node)
                .fail_door_calls_with(message, fault)
                .unwrap();
            assert_eq!(read(&path).await, Outcome::Aborted);
            assert!(read(&path).await.is_good());
        }
    };
    let told = {
        let mut told = told.to_vec();
        told.sort_unstable();
        told
    };
    run_told(&told, scenario);
}

#[test]
fn a_status_that_cannot_be_sent_springs_trap_7_where_it_is() {
    for profile in [Profile::Illumos, Profile::Hardened] {
        let kernel = KernelConfig {
            profile,
            ..KernelConfig::default()
        };
        let builder = World::builder().seed(1).kernel(kernel);
        let (panics, statistics, _) = run(builder, async |world| {
            let host = world.initiator();
            let path = start(&world, &host).await.unwrap();
            let (errno, times) = (Errno::EINTR, 1);
            let fault = DoorFault::Errno { errno, times };
            world
                .node(1)
                .fail_door_calls_with(MessageType::ScsiStatus, fault)
                .unwrap();
            read(&path).await;
            world.node(1).panics()
        });
        assert_eq!(statistics.faults["door-eintr"], 1);
        let traps: Vec<_> = panics.iter().map(|panic| panic.trap).collect();
        let expected = match profile {
            Profile::Illumos => vec![Some(7)],
            Profile::Hardened => vec![],
        };
        assert_eq!(traps, expected);
    }
}

#[test]
fn a_service_that_is_off_refuses_and_comes_back() {
    for node in [0, 1] {
        let told = [("service-disabled", 1), ("service-enabled", 1)];
        run_told(&told, async move |world| {
            let host = world.initiator();
            let path = start(&world, &host).await.unwrap();
            world.node(node).set_service(false).await.unwrap();
            world.node(node).set_service(false).await.unwrap();
            let expected = match node {
                // The port is offline.
                0 => Outcome::Lost,
                // The proxy port is: NOT_FOUND, which arrives as 0.
                _ => Outcome::Aborted,
            };
            assert_eq!(read(&path).await, expected);
            if node == 1 {
                let kernel = world.node(1).kernel().unwrap();
                assert!(kernel.pppt().sessions().is_empty(), "they were closed");
            }
            // A port that is added now stays offline.
            let port = world.node(0).add_port(PortConfig::default()).await.unwrap();
            world.sleep(seconds(1)).await;
            let late = world.node(0).login(&host, port).await.unwrap();
            assert!(!read(&late).await.is_good());
            world.node(node).set_service(true).await.unwrap();
            heals(&world, &path).await;
            heals(&world, &late).await;
        });
    }
}

#[test]
fn the_service_can_be_switched_at_any_moment() {
    for (seed, node) in (0..20).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        let (_, statistics, findings) = run(World::builder().seed(seed), async move |world| {
            let host = world.initiator();
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
            }
            world.node(1).add_lu(LU, true).await.unwrap();
            world.sleep(Duration::from_micros(400 + 40 * seed)).await;
            world.node(node).set_service(false).await.unwrap();
            world.node(node).set_service(true).await.unwrap();
            for node in world.nodes() {
                node.wait_for_alua(PATIENCE).await.unwrap();
            }
            let path = world.node(0).login(&host, 0).await.unwrap();
            heals(&world, &path).await;
        });
        assert_eq!(statistics.faults["service-enabled"], 1);
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn what_befalls_the_link_is_told_when_it_hits() {
    let told = [
        ("link-bandwidth", 1),
        ("link-broken", 1),
        ("link-half-open", 1),
        ("link-held", 1),
        ("link-jitter", 1),
        ("link-latency", 1),
        ("link-pieces", 1),
        ("link-slow-reader", 1),
    ];
    run_told(&told, async |world| {
        let network = world.network().clone();
        // There is nothing to hit yet.
        network.break_connections(0, 1);
        network.half_open(0, 1);
        network.hold(0, 1);
        network.release(0, 1);
        let host = world.initiator();
        let path = start(&world, &host).await.unwrap();
        network.break_connections(0, 1);
        heals(&world, &path).await;
        network.half_open(1, 0);
        heals(&world, &path).await;
        network.hold(0, 1);
        world.spawn("command", {
            let path = path.clone();
            async move {
                read(&path).await;
            }
        });
        world.sleep(seconds(1)).await;
        network.release(0, 1);
        heals(&world, &path).await;
        network.set_config(NetworkConfig {
            latency: milliseconds(30),
            jitter: milliseconds(20),
            bytes_per_second: Some(1 << 20),
            cut: Ratio::ALWAYS,
            largest_piece: Some(1),
            ..NetworkConfig::default()
        });
        assert!(read(&path).await.is_good());
        network.set_config(NetworkConfig::default());
        network.slow_reader(1, 0, Some(2_000));
        let begin = world.now();
        assert!(read(&path).await.is_good());
        assert!(
            world.now() - begin >= milliseconds(200),
            "512 bytes and a head"
        );
        network.slow_reader(1, 0, None);
        let begin = world.now();
        assert!(read(&path).await.is_good());
        assert!(world.now() - begin < milliseconds(200));
    });
}

#[test]
fn relays_of_neighbouring_versions_agree_and_others_say_why_not() {
    let find = |name| stmf_sim::relays::find(Some(name)).unwrap();
    for (others, agree) in [("standard-version-2", true), ("version-2-only", false)] {
        let (alua, ..) = run(World::builder().seed(1), async move |world| {
            world.node(1).set_relay(find(others));
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
            }
            let mut alua = Vec::new();
            for node in world.nodes() {
                alua.push(node.wait_for_alua(seconds(20)).await.unwrap());
            }
            alua
        });
        assert_eq!(alua, [agree, agree], "{others}");
    }
    let (alua, ..) = run(World::builder().seed(1), async move |world| {
        for (node, relay) in [(0, "standard-version-2"), (1, "version-2-only")] {
            world.node(node).set_relay(find(relay));
            world.node(node).start_relay().unwrap();
        }
        world.node(0).wait_for_alua(seconds(20)).await.unwrap()
    });
    assert!(alua, "both speak version 2");
}

/// Every new fault there is, with commands under way.
async fn trouble(world: World) -> Result<(), NodeError> {
    let host = world.initiator();
    let path = start(&world, &host).await?;
    for number in 0..12u32 {
        let path = path.clone();
        world.spawn("host", async move {
            for lba in 0..12 {
                let cdb = cdb::read_10(number * 16 + lba, 8);
                path.command([0; 8], &cdb, Transfer::Read(4096)).await;
            }
        });
    }
    let slow = DiskFaultKind::Slow(milliseconds(5));
    world.disks().fail(LU, DiskFault::everywhere(slow, 6));
    world
        .disks()
        .fail(LU, DiskFault::everywhere(DiskFaultKind::Read, 2));
    world.node(1).fail_posts(Errno::ENOMEM, 1)?;
    for place in Allocation::ALL {
        world.node(1).fail_allocations(place, 1)?;
    }
    world.node(1).slow_registrations(milliseconds(50), 1)?;
    let fault = DoorFault::NoThread {
        delay: milliseconds(20),
        times: 2,
    };
    world.node(1).fail_door_calls(fault)?;
    let fault = DoorFault::Result {
        result: 5,
        times: 1,
    };
    world
        .node(1)
        .fail_door_calls_with(MessageType::ScsiData, fault)?;
    world.network().slow_reader(1, 0, Some(100_000));
    world.network().set_config(NetworkConfig {
        largest_piece: Some(700),
        ..NetworkConfig::default()
    });
    world.sleep(milliseconds(300)).await;
    world.node(0).pause(seconds(2));
    world.node(0).kill_relay();
    world.sleep(seconds(3)).await;
    world.node(0).start_relay()?;
    world.network().slow_reader(1, 0, None);
    world.sleep(seconds(3)).await;
    world.node(0).add_port(PortConfig::default()).await?;
    world.sleep(seconds(1)).await;
    world.node(1).set_service(false).await?;
    world.sleep(seconds(1)).await;
    world.node(1).set_service(true).await?;
    world.node(1).pause(seconds(12));
    world.sleep(seconds(15)).await;
    world.disks().repair(LU);
    world.node(0).clear_faults();
    world.node(1).clear_faults();
    world.network().set_config(NetworkConfig::default());
    world.network().break_connections(0, 1);
    heals(&world, &path).await;
    Ok(())
}

#[test]
fn a_run_with_all_faults_replays_with_an_equal_hash_and_excuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    for seed in 0..5 {
        let path = folder.path().join(format!("{seed}.pcapng"));
        let statistics = Rc::new(RefCell::new(Statistics::default()));
        let builder = World::builder().seed(seed).sink(statistics.clone());
        let (builder, recorder) = recording::record(builder, &Settings::file(&path)).unwrap();
        let world = builder.build();
        let watch = Watch::over(&world);
        insert_disk(&world, Fill::RECORDED);
        world.run(trouble).unwrap().unwrap();
        recorder.borrow_mut().flush();
        let (events, hash) = (world.trace().events(), world.hash());
        let replayed = replay::replay_file(&path, Default::default()).unwrap();
        assert_eq!(replayed.divergence, None, "seed {seed}");
        assert_eq!(
            (replayed.equal, replayed.hash),
            (events, hash),
            "seed {seed}"
        );
        told.extend(statistics.take().faults.into_keys());
        world.run_for(seconds(100));
        let findings = watch.borrow_mut().finish(world.now());
        assert!(findings.is_empty(), "seed {seed}: {findings:#?}");
        let lost = |finding: &&stmf_sim::findings::Finding| finding.kind == Kind::LostCommand;
        assert_eq!(findings.iter().filter(lost).count(), 0);
    }
    for name in &told {
        assert!(
            FAULTS.iter().any(|fault| fault.name == name),
            "{name} has no place in the table"
        );
    }
    for name in [
        "pause",
        "relay-killed",
        "disk-slow",
        "disk-read-error",
        "post-failed",
        "memory-ioctl-buffer",
        "memory-proxy-port",
        "memory-proxy-task",
        "memory-stmf-task",
        "slow-registration",
        "door-no-thread",
        "door-result",
        "service-disabled",
        "link-pieces",
        "link-slow-reader",
    ] {
        assert!(
            told.iter().any(|told| told == name),
            "{name} has hit nothing"
        );
    }
}
