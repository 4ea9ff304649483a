// SPDX-License-Identifier: MPL-2.0
//! The promise: `stmf-sim trace show` and `trace stats` tell what is in any file that they are
//! given, as far as it can be read, and say what cannot be; whatever the file is.

#[path = "../sim/src/view/example.rs"]
#[allow(dead_code, reason = "its own tests use the rest")]
mod example;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use stmf_proxy::trace::Reader;
use stmf_sim::replay::compare::is_event;
use tempfile::TempDir;

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trace/version-1.pcapng")
}

fn trace(arguments: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .arg("trace")
        .args(arguments)
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Lines that are not about the file.
fn events(output: &Output) -> Vec<&str> {
    let lines = text(&output.stdout).lines();
    lines.filter(|line| !line.starts_with('#')).collect()
}

/// A file with these bytes, for as long as the directory lives.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("trace.pcapng");
    fs::write(&path, bytes).expect("a file");
    (directory, path)
}

#[test]
fn a_sound_trace_is_shown_without_a_word_on_the_side() {
    let output = trace(&["show"], &fixture());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    // Operations and choices are shown only when they are named.
    assert_eq!(events(&output).len(), 70);
    let named = trace(&["show", "--type", "operation,choices"], &fixture());
    assert_eq!(events(&named).len(), 4);
    let listing = text(&output.stdout);
    assert!(listing.lines().all(|line| line.chars().count() <= 80));
    assert!(!listing.contains('\x1b'), "no colour where no terminal is");
    let coloured = trace(&["show", "--color", "always"], &fixture());
    assert!(text(&coloured.stdout).contains("\x1b[1;31m"));
    let wide = trace(&["show", "--width", "200"], &fixture());
    let wide = text(&wide.stdout);
    assert!(wide.contains("CHECK CONDITION 05/00/00 ILLEGAL REQUEST, no additional sense"));
    let stats = trace(&["stats"], &fixture());
    assert_eq!(stats.status.code(), Some(0));
    assert_eq!(text(&stats.stderr), "");
}

#[test]
fn json_is_an_object_a_line() {
    let (_directory, path) = file(&example::trace());
    let output = trace(&["show", "--json", "--task", "41"], &path);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines[0]["section"] == 1 && lines[0]["event"].is_null());
    let about = |line: &&Value| line["event"] != "command" && !line["event"].is_null();
    let tasks: Vec<&Value> = lines.iter().filter(about).collect();
    assert!(tasks.iter().all(|line| line["about"]["task"] == 41));
    let done = tasks.last().expect("an event");
    assert_eq!(done["event"], "command-done");
    assert_eq!(done["took_ns"], 1_335_000);
    let output = trace(&["stats", "--json"], &path);
    let stats: Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    assert_eq!(stats["unanswered_count"], 2);
    assert_eq!(stats["lost_events"], 12);
}

#[test]
fn errors_stand_alone_when_they_are_wanted() {
    let (_directory, path) = file(&example::trace());
    let output = trace(&["show", "--errors", "--node", "1"], &path);
    let lines = events(&output);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[3].contains("PANIC: trap 4"), "{lines:?}");
    assert!(!text(&output.stdout).contains('\x1b'));
}

#[test]
fn a_file_cut_at_every_edge_is_shown_up_to_there() {
    let whole = fs::read(fixture()).expect("the fixture");
    let mut reader = Reader::new(&*whole).expect("a trace");
    let (mut edges, mut shown) = (Vec::new(), 0);
    while let Some(entry) = reader.next_entry().expect("whole") {
        edges.push((entry.offset as usize, shown));
        shown += usize::from(is_event(&entry.record));
    }
    // At the edge of a block nothing is missing; inside one, the block is.
    for (number, (edge, shown)) in edges.iter().enumerate() {
        for (cut, code) in [(0, 0), (1, 1), (30, 1)] {
            // Before the second section its header and interfaces are cut off too.
            let expected = match (number, cut) {
                (0, 1..) => Some(2),
                _ => Some(code),
            };
            let (_directory, path) = file(&whole[..edge + cut]);
            let output = trace(&["show"], &path);
            assert_eq!(output.status.code(), expected, "event {number}, byte {cut}");
            assert_eq!(events(&output).len(), *shown);
            let said = text(&output.stderr);
            assert_eq!(said.is_empty(), cut == 0, "{said}");
        }
    }
    for cut in [0, 1, 27, 28, 100] {
        let (_directory, path) = file(&whole[..cut]);
        for command in ["show", "stats"] {
            let output = trace(&[command], &path);
            assert_eq!(output.status.code(), Some(2), "{command} of {cut} bytes");
            assert!(!output.stderr.is_empty());
        }
    }
}

#[test]
fn damage_inside_is_told_where_it_is_and_what_follows_is_shown() {
    let mut bytes = example::trace();
    let mut reader = Reader::new(&*bytes).expect("a trace");
    let mut edges = Vec::new();
    while let Some(entry) = reader.next_entry().expect("whole") {
        edges.push(entry.offset as usize);
    }
    // The record's version is the first byte of the packet's data; 9 is one of the future.
    bytes[edges[4] + 28] = 9;
    let all = edges.len();
    let (_directory, path) = file(&bytes);
    let output = trace(&["show"], &path);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(events(&output).len(), all - 1);
    let listing = text(&output.stdout);
    assert!(
        listing.contains("format version 9, this program"),
        "{listing}"
    );
    assert!(listing.contains("records are missing"), "{listing}");
    assert!(text(&output.stderr).contains("2 oddities"), "{output:?}");
    let stats = trace(&["stats"], &path);
    assert_eq!(stats.status.code(), Some(1));
    assert!(text(&stats.stdout).contains("the files have 2 damaged or odd places"));
}

/// What is said of files that are no traces.
#[test]
fn what_is_no_trace_is_refused_with_a_reason() {
    let mut later = example::trace();
    let title = later
        .windows(18)
        .position(|window| window == b"stmf-proxy trace 1")
        .expect("the description begins with it");
    later[title + 17] = b'7';
    let mut foreign = example::trace();
    let interface = [1u8, 0, 0, 0];
    let mut place = 0;
    while let Some(length) = foreign.get(place + 4..place + 8) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if foreign[place..place + 4] == interface {
            foreign[place + 8] = 1;
        }
        place += length;
    }
    let directory = TempDir::new().expect("a directory");
    let path = directory.path();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(path.join(name), bytes).expect("a file");
        path.join(name)
    };
    let ring = path.join("ring");
    fs::create_dir(&ring).expect("a directory");
    fs::write(ring.join("notes.txt"), "nothing").expect("a file");
    let mut said = String::new();
    for (file, of_no_use) in [
        (write("empty", b""), "the file is empty"),
        (write("text", b"this is a letter"), "not a pcapng file"),
        (
            write("gzip", b"\x1f\x8b\x08\0\0\0\0\0"),
            "compressed (gzip)",
        ),
        (
            write("pcap", b"\xd4\xc3\xb2\xa1\x02\0\x04\0"),
            "old pcap format",
        ),
        (write("later", &later), "trace format version 7"),
        (write("foreign", &foreign), "packets of link type 1"),
        (ring, "no files of a trace here"),
        (path.join("missing"), "No such file"),
    ] {
        for command in ["show", "stats"] {
            let output = trace(&[command], &file);
            let complaint = text(&output.stderr).to_owned() + text(&output.stdout);
            assert_eq!(output.status.code(), Some(2), "{command}: {complaint}");
            // Words may stand on two lines of the listing.
            let complaint = complaint.replace("\n# ", " ");
            assert!(complaint.contains(of_no_use), "{command}: {complaint}");
            said += &complaint;
        }
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_ring_with_a_broken_file_is_shown_without_it() {
    let directory = TempDir::new().expect("a directory");
    let whole = example::trace();
    let write = |number: u8, bytes: &[u8]| {
        let name = format!("trace-0000000{number}.pcapng");
        fs::write(directory.path().join(name), bytes).expect("a file");
    };
    write(1, &whole);
    write(2, b"not a trace");
    write(3, &whole);
    let output = trace(&["show"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(events(&output).len(), 2 * 62);
    let listing = text(&output.stdout).replace("\n# ", " ");
    assert!(listing.contains("not a pcapng file"), "{listing}");
    assert!(
        listing.contains("trace-00000003.pcapng, section 2 by"),
        "{listing}"
    );
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    for arguments in [
        ["--task", "x"],
        ["--lun", "99999"],
        ["--type", "scsi"],
        ["--from", "soon"],
        ["--node", "256"],
        ["--data", "--long"],
    ] {
        let output = trace(&[&["show"], &arguments[..]].concat(), &fixture());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let many: Vec<u8> = (0..40).flat_map(|_| example::trace()).collect();
    let (_directory, path) = file(&many);
    let mut child = Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(["trace", "show"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}
