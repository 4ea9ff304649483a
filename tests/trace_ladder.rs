// SPDX-License-Identifier: MPL-2.0
//! The promise: `stmf-sim trace ladder` draws any trace, as text and as a picture, says what it
//! leaves out, and names what it cannot read.

use std::cell::RefCell;
use std::path::Path;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, Record, Ring, RingSettings, Section, Sink, Writer};
use stmf_sim::kernel::sbd::{Disk, Fill, MemoryStore};
use stmf_sim::scsi::cdb;
use stmf_sim::world::{PortConfig, Transfer, World};

const LU: [u8; 16] = [0x60; 16];

fn ladder(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(["trace", "ladder"])
        .args(arguments)
        .output()
        .unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = ladder(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two nodes, a read through the standby path, and one while the link is broken.
fn record(path: &Path) {
    let mut section = Section::new("a test");
    section.seed = Some(3);
    section.scenario = Some("one read, then none".to_owned());
    section.nodes = [(0, None), (1, None)].into();
    let writer = Rc::new(RefCell::new(Writer::create(path, section).unwrap()));
    let world = World::builder().seed(3).build();
    world.trace().add_sink(writer.clone());
    let store = MemoryStore::new(1 << 20, Fill::RECORDED);
    world.disks().insert(LU, Disk::shared(store));
    world
        .run(async |world| {
            for node in world.nodes() {
                node.add_port(PortConfig::default()).await.unwrap();
                node.start_relay().unwrap();
            }
            world.node(1).add_lu(LU, true).await.unwrap();
            for node in world.nodes() {
                assert!(node.wait_for_alua(Duration::from_secs(60)).await.unwrap());
            }
            // What a message needs to get to the other node.
            world.sleep(Duration::from_secs(1)).await;
            let host = world.initiator();
            let path = world.node(0).login(&host, 0).await.unwrap();
            for _ in 0..3 {
                let read = cdb::read_10(0, 1);
                path.command([0; 8], &read, Transfer::Read(512)).await;
            }
            world.step("the link breaks");
            world.network().hold(0, 1);
            let read = cdb::read_10(9, 1);
            let _ = path.command([0; 8], &read, Transfer::Read(512)).await;
        })
        .unwrap();
    writer.borrow_mut().flush();
}

#[test]
fn a_run_is_drawn_and_what_is_lost_stands_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("run.pcapng");
    record(&file);
    let trace = file.to_str().unwrap();
    let all = text(&[trace, "--lines", "1000"]);
    assert!(
        all.starts_with("one read, then none: run.pcapng\n"),
        "{all}"
    );
    assert!(all.contains("recorded by a test"), "{all}");
    assert!(!all.contains('\x1b'), "no colour where nobody looks");
    let first = all.lines().nth(3).unwrap();
    for lane in ["initiator", "kernel 0", "relay 0", "relay 1", "kernel 1"] {
        assert!(first.contains(lane), "{first}");
    }
    assert!(
        all.contains("X lost") && all.contains("aborted #4"),
        "{all}"
    );
    let wide = |text: &str| text.lines().map(|line| line.chars().count()).max();
    assert!(wide(&all) <= Some(100));
    let narrow = text(&[trace, "--lines", "1000", "--width", "80"]);
    assert!(wide(&narrow) <= Some(80));

    let few = text(&[trace]);
    assert!(few.contains("the first 50 lines of "), "{few}");
    let errors = text(&[trace, "--errors"]);
    assert!(
        errors.contains("X lost") && !errors.contains("scsi_status"),
        "{errors}"
    );
    let errors_of_none = text(&[trace, "--errors", "--task", "0x12345"]);
    assert!(!errors_of_none.contains("scsi_cmd"), "{errors_of_none}");
    let end = text(&[
        trace, "--from", "1s", "--to", "1500ms", "--type", "scsi_cmd",
    ]);
    assert!(
        end.contains("scsi_cmd") && !end.contains("READ(10) #"),
        "{end}"
    );
    let one = text(&[trace, "--node", "0"]);
    assert!(one.contains("peer") && !one.contains("kernel 1"), "{one}");
    assert!(one.contains("events of other nodes are not drawn"), "{one}");

    let picture = directory.path().join("out.svg");
    let said = text(&[trace, "--svg", picture.to_str().unwrap()]);
    assert!(
        said.contains(" lost") && said.contains("out.svg: "),
        "{said}"
    );
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("one read, then none"));
    assert_eq!(text(&[trace, "--svg", "-"]), svg);
}

#[test]
fn a_ring_is_drawn_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let settings = RingSettings::default()
        .with_max_bytes(RingSettings::MIN_MAX_BYTES)
        .unwrap();
    let section = Section::new("a test");
    let mut ring = Ring::create(directory.path(), section, settings).unwrap();
    // Two of these do not fit one file.
    let long = "x".repeat(40_000);
    for sequence in 1..7 {
        let time = Time::from_nanos(sequence * 1000);
        let event = match sequence % 2 {
            0 => Event::Boot { boot: sequence },
            _ => Event::KernelLog(&long),
        };
        ring.record(&Record::new(sequence, time, Some(4), event));
    }
    drop(ring);
    assert!(std::fs::read_dir(directory.path()).unwrap().count() >= 3);
    let text = text(&[directory.path().to_str().unwrap()]);
    assert!(
        text.contains("kernel 4") && text.contains("boot 2"),
        "{text}"
    );
    let boots = ["boot 2", "boot 4", "boot 6"].map(|boot| text.find(boot));
    assert!(boots.is_sorted(), "{text}");
}

#[test]
fn a_cut_file_is_drawn_as_far_as_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cut.pcapng");
    let mut writer = Writer::create(&file, Section::new("a test")).unwrap();
    for boot in 1..4 {
        let event = Event::Boot { boot };
        writer.record(&Record::new(boot, Time::ZERO, Some(0), event));
    }
    writer.finish().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    let output = ladder(&[file.to_str().unwrap()]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not all could be read"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("boot 2") && !text.contains("boot 3"),
        "{text}"
    );
    assert!(text.contains("not all could be read"), "{text}");
}

#[test]
fn what_is_wrong_with_the_arguments_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().to_str().unwrap();
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (arguments, message) in [
        (&["/nonexistent"][..], "/nonexistent"),
        (&[empty], "no files of a trace here"),
        (&[here], "Cargo.toml"),
        (&[here, "--node", "0,1,2"], "one node or two"),
        (&[here, "--lines", "0"], "--lines"),
        (&[here, "--width", "79"], "--width"),
        (&[here, "--from", "1m"], "20ms"),
        (&[here, "--type", "scsi"], "scsi_cmd"),
        (&[here, "--task", "x"], "0x"),
    ] {
        let output = ladder(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(message), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
