// SPDX-License-Identifier: MPL-2.0
//! The promise: a run of the simulator that was recorded can be made again from its file, event
//! by event, with an equal hash; and where it does not, the first difference is shown.

#[path = "common/pair.rs"]
mod pair;

use pair::{LU, insert_disk, set_up};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::status::Errno;
use stmf_proxy::trace::{Event, Files, RecordBuf, RingSettings, Sink, Snap, Writer};
use stmf_sim::findings::{Finding, Kind, invariants};
use stmf_sim::kernel::doors::DoorFault;
use stmf_sim::kernel::sbd::Fill;
use stmf_sim::recording::{self, Settings};
use stmf_sim::replay::{self, ScriptRecorder};
use stmf_sim::scsi::cdb;
use stmf_sim::world::{DiskFault, DiskFaultKind, NodeError, PortConfig, Transfer, World};

/// Everything that can be done to a world, with several hosts at once.
async fn scenario(world: World) -> Result<(), NodeError> {
    set_up(&world).await?;
    for number in 0..4u8 {
        let host = world.initiator();
        host.set_timeout(Duration::from_secs(20));
        let path = world.node(number % 2).login(&host, 0).await?;
        world.spawn("host", async move {
            for round in 0..8 {
                let lba = u32::from(number) * 16 + round;
                path.command([0; 8], &cdb::read_10(lba, 8), Transfer::Read(4096))
                    .await;
                let data = [number; 512];
                let transfer = match round % 2 {
                    0 => Transfer::Write(&data),
                    _ => Transfer::WriteImmediate(&data),
                };
                path.command([0; 8], &cdb::write_10(lba, 1), transfer).await;
            }
            path.manage([0; 8], 5).await;
            path.logout().await;
        });
    }
    world.sleep(Duration::from_micros(1500)).await;
    world.step("a link that breaks");
    world.network().break_connections(0, 1);
    world.sleep(Duration::from_secs(3)).await;
    let fault = DoorFault::Errno {
        errno: Errno::EAGAIN,
        times: 2,
    };
    world.node(0).fail_door_calls(fault)?;
    world.network().hold(0, 1);
    let extra = world.node(0).add_port(PortConfig::default()).await?;
    world.sleep(Duration::from_millis(10)).await;
    world.network().release(0, 1);
    world.node(0).remove_port(extra).await?;
    world.node(1).lu_standby(LU).await?;
    world.node(0).import_lu(LU).await?;
    let host = world.initiator();
    let path = world.node(1).login(&host, 0).await?;
    for lba in 0..8 {
        path.command([0; 8], &cdb::read_10(lba, 8), Transfer::Read(4096))
            .await;
    }
    world.node(1).kill_relay();
    host.set_timeout(Duration::from_secs(4));
    path.command([0; 8], &cdb::read_10(0, 8), Transfer::Read(4096))
        .await;
    world.node(1).start_relay()?;
    world.sleep(Duration::from_secs(2)).await;
    world.node(0).power_off();
    world.sleep(Duration::from_secs(1)).await;
    world.node(0).boot();
    world.node(0).set_first_session_id(7);
    world.node(0).add_port(PortConfig::default()).await?;
    world.node(0).start_relay()?;
    world.node(0).remove_lu(LU).await.unwrap_err();
    world.sleep(Duration::from_secs(2)).await;
    world.node(1).stop_relay();
    world.sleep(Duration::from_secs(1)).await;
    Ok(())
}

#[test]
fn a_recorded_run_replays_event_by_event() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let path = folder.path().join(format!("{seed}.pcapng"));
        let builder = World::builder().seed(seed);
        let (builder, recorder) = recording::record(builder, &Settings::file(&path)).unwrap();
        let world = builder.build();
        insert_disk(&world, Fill::RECORDED);
        world.run(scenario).unwrap().unwrap();
        recorder.borrow_mut().flush();
        let (events, hash) = (world.trace().events(), world.hash());
        let replayed = replay::replay_file(&path, Default::default()).unwrap();
        assert_eq!(replayed.divergence, None, "seed {seed}");
        assert_eq!(
            (replayed.equal, replayed.hash),
            (events, hash),
            "seed {seed}"
        );
    }
}

#[test]
fn a_script_that_was_taken_down_replays_from_its_choices() {
    let recorder = Rc::new(RefCell::new(ScriptRecorder::new()));
    let (oracle, _log) =
        stmf_sim::world::choices::Recorded::new(stmf_sim::world::choices::Drawn::new(3));
    let world = World::builder()
        .choices(Box::new(oracle))
        .recorder(recorder.clone())
        .build();
    insert_disk(&world, Fill::RECORDED);
    world.run(scenario).unwrap().unwrap();
    let script = recorder.borrow().script().unwrap();
    let outcome = replay::play(&script, replay::Mode::Exact, Default::default()).unwrap();
    assert_eq!(outcome.world.hash(), world.hash());
}

/// What no trace shows, the kernels at rest, is looked at in a run that is made again too.
#[test]
fn kernels_that_are_not_at_rest_are_found_again() {
    for comes_to_rest in [true, false] {
        let recorder = Rc::new(RefCell::new(ScriptRecorder::new()));
        let builder = World::builder().seed(3).recorder(recorder.clone());
        let world = builder.build();
        insert_disk(&world, Fill::RECORDED);
        let ran = world.run(async move |world| {
            set_up(&world).await?;
            // A command that its disk keeps can be neither answered nor aborted.
            let stall = DiskFault {
                range: 0..u64::MAX,
                kind: DiskFaultKind::Slow(Duration::from_secs(10_000)),
                times: 1,
            };
            world.disks().fail(LU, stall);
            let host = world.initiator();
            let path = world.node(1).login(&host, 0).await?;
            // The first one only hears of what happened before.
            for _ in 0..2 {
                path.command([0; 8], &cdb::read_10(0, 8), Transfer::Read(4096))
                    .await;
            }
            world.sleep(Duration::from_secs(1)).await;
            if comes_to_rest {
                world.step(invariants::COMING_TO_REST);
            }
            world.sleep(Duration::from_secs(200)).await;
            Ok::<_, NodeError>(())
        });
        ran.unwrap().unwrap();
        let found = invariants::check(&world);
        assert!(!found.is_empty(), "a command is old");
        let script = recorder.borrow().script().unwrap();
        for mode in [replay::Mode::Exact, replay::Mode::Loose] {
            let outcome = replay::play(&script, mode, Default::default()).unwrap();
            let of_kernels = |finding: &Finding| finding.kind == Kind::KernelState;
            let again: Vec<_> = outcome.findings.into_iter().filter(of_kernels).collect();
            let expected = if comes_to_rest { &found[..] } else { &[] };
            assert_eq!(again, expected, "{mode:?}");
        }
    }
}

/// Records a run of the scenario; the file.
fn recorded(folder: &std::path::Path, settings: impl FnOnce(&mut Settings)) -> PathBuf {
    let path = folder.join("run.pcapng");
    let mut record = Settings::file(&path);
    settings(&mut record);
    let (builder, recorder) = recording::record(World::builder().seed(1), &record).unwrap();
    let world = builder.build();
    insert_disk(&world, Fill::RECORDED);
    world.run(scenario).unwrap().unwrap();
    let report = recorder.borrow_mut().report();
    assert_eq!(report.failure, None);
    path
}

#[test]
fn a_recording_that_breaks_off_is_replayed_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = recorded(folder.path(), |_| ());
    let whole = std::fs::read(&path).unwrap();
    let all = replay::replay_file(&path, Default::default()).unwrap();
    assert!(all.complete);
    for part in [3, 5, 7, 9] {
        std::fs::write(&path, &whole[..whole.len() * part / 10]).unwrap();
        let replayed = replay::replay_file(&path, Default::default()).unwrap();
        assert_eq!(replayed.divergence, None, "{part} tenths");
        assert!(replayed.broken.unwrap().contains("ends inside a block"));
        assert!(!replayed.complete && replayed.equal < all.equal && replayed.equal > 0);
    }
}

#[test]
fn an_event_that_differs_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = recorded(folder.path(), |_| ());
    // The same trace with one status changed.
    let mut files = Files::open(&path).unwrap();
    let changed = folder.path().join("changed.pcapng");
    let mut writer = Writer::create(&changed, files.section().unwrap().clone()).unwrap();
    let (mut events, mut expected) = (0, None);
    while let Some(entry) = files.next_entry().unwrap() {
        let mut record = entry.record;
        events += u64::from(replay::compare::is_event(&record));
        if let Event::CommandDone { status, .. } = &mut record.event
            && expected.is_none()
            && *status == 0
            && events > 60
        {
            *status = 8;
            record.hash = Some(1);
            expected = Some(events);
        }
        writer.record(&record);
    }
    writer.finish().unwrap();
    let replayed = replay::replay_file(&changed, Default::default()).unwrap();
    let found = replayed.divergence.expect("it was changed");
    assert_eq!(Some(found.number), expected);
    assert_eq!(replayed.equal, found.number - 1);
    let status = |record: &Option<RecordBuf>| match record.as_ref().unwrap().get().event {
        Event::CommandDone { status, .. } => status,
        other => panic!("{other:?}"),
    };
    assert_eq!((status(&found.recorded), status(&found.happened)), (8, 0));
    assert_eq!((found.before.len(), found.after.len()), (5, 5));
    // Two files are compared alike.
    let difference = replay::diff::diff(&path, &changed).unwrap();
    assert_eq!(difference.divergence.as_ref().unwrap().number, found.number);
    assert_eq!(difference.totals(), [events, events]);
    assert!(replay::diff::diff(&path, &path).unwrap().same());
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| {
        let replayed = replay::replay_file(path, Default::default());
        replayed.err().expect("it cannot be replayed").to_string()
    };
    // Data that hosts wrote is missing.
    let path = recorded(folder.path(), |settings| settings.snap = Snap::NO_DATA);
    assert!(refused(&path).contains("snap length"), "{}", refused(&path));
    // One node only.
    let path = recorded(folder.path(), |settings| settings.only_node = Some(0));
    assert!(
        refused(&path).contains("does not say what world"),
        "{}",
        refused(&path)
    );
    // The beginning was deleted by the ring.
    let ring = folder.path().join("ring");
    let bounds = RingSettings::default().with_max_bytes(64 << 10).unwrap();
    let bounds = bounds.with_files(2).unwrap();
    let settings = Settings {
        ring: Some(bounds),
        ..Settings::file(&ring)
    };
    let (builder, recorder) = recording::record(World::builder().seed(1), &settings).unwrap();
    let world = builder.build();
    insert_disk(&world, Fill::RECORDED);
    world.run(scenario).unwrap().unwrap();
    recorder.borrow_mut().flush();
    assert!(refused(&ring).contains("is missing"), "{}", refused(&ring));
    // Somebody reached into the kernel.
    let path = folder.path().join("direct.pcapng");
    let (builder, recorder) = recording::record(World::builder(), &Settings::file(&path)).unwrap();
    let world = builder.build();
    let reached = world.run(async |world| world.node(0).in_kernel("a look", async {}).await);
    reached.unwrap().unwrap();
    recorder.borrow_mut().flush();
    assert!(
        refused(&path).contains("a trace cannot hold"),
        "{}",
        refused(&path)
    );
}
