// SPDX-License-Identifier: MPL-2.0
//! The promise: what `contrib/dtrace/stmf-proxy.d` prints becomes a trace of what happened, in
//! order, with what is missing marked; text that it cannot have printed is refused by line, and
//! nothing panics.
//!
//! The captures in `fixtures/dtrace` are made up: the script has not been run on illumos so far.
//! `UPDATE_FIXTURES=1 cargo test -p stmf-sim --test import_dtrace` writes them anew.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;
use stmf_proxy::message::{Body, Dialect, Message, ScsiData, Status};
use stmf_proxy::trace::{Event, Origin, Reader, RecordBuf};
use stmf_sim::import::dtrace::{ImportError, Imported, Problem, Settings, import};

/// When the capture began, by the clock of the node and by the time of day.
const BEGIN: u64 = 5_000_000_000;
const WALL: u64 = 1_767_225_600_000_000_000;

/// What the script captures of a message: so many bytes in chunks of so many, and of a longer
/// one the last ones.
const HEAD: usize = 16_384;
const CHUNK: usize = 2048;
const TAIL: usize = 64;

/// Lines that a chunk takes: its own, a blank one, the head, the rows, another blank one.
const DUMPED: usize = 4 + CHUNK / 16;

/// Something that the script sees.
#[derive(Clone, Debug)]
enum Seen {
    Upcall(Vec<u8>),
    UpcallDone(u64, u32),
    Post(Vec<u8>),
    PostDone(u64, i32),
    Unreferenced,
}

/// Something seen, with its time, thread and CPU.
#[derive(Clone, Debug)]
struct Firing {
    time: u64,
    thread: u64,
    cpu: usize,
    seen: Seen,
}

/// As tracemem() prints it: all of the chunk, whatever of it means something.
fn dump(bytes: &[u8], size: usize, out: &mut String) {
    let mut chunk = bytes.to_vec();
    chunk.resize(size, 0xDB);
    out.push_str(
        "\n             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef\n",
    );
    for (row, bytes) in chunk.chunks(16).enumerate() {
        write!(out, "{:>10x}:", row * 16).expect("strings grow");
        for byte in bytes {
            write!(out, " {byte:02x}").expect("strings grow");
        }
        let shown = |byte: &u8| match byte {
            0x20..=0x7E => char::from(*byte),
            _ => '.',
        };
        writeln!(out, "  {}", bytes.iter().map(shown).collect::<String>()).expect("strings grow");
    }
    out.push('\n');
}

fn message_lines(name: &str, firing: &Firing, message: &[u8], out: &mut String) {
    let Firing { time, thread, .. } = firing;
    let size = message.len();
    writeln!(out, "{name} {time} {thread} {size}").expect("strings grow");
    let mut line = |offset: usize, bytes: &[u8], size: usize| {
        writeln!(out, "data {time} {thread} {offset} {}", bytes.len()).expect("strings grow");
        dump(bytes, size, out);
    };
    for (index, bytes) in message[..size.min(HEAD)].chunks(CHUNK).enumerate() {
        line(index * CHUNK, bytes, CHUNK);
    }
    if size > HEAD {
        let offset = HEAD.max(size - TAIL);
        line(offset, &message[offset..], TAIL);
    }
}

/// The output of the script: what was seen, the CPUs one after the other for every 100 ms.
fn output(firings: &[Firing]) -> String {
    let mut out = format!("stmf-proxy-dtrace 1\nbegin {BEGIN} {WALL} 612\n");
    let mut sorted = firings.to_vec();
    sorted.sort_by_key(|firing| (firing.time / 100_000_000, firing.cpu, firing.time));
    for firing in &sorted {
        let Firing { time, thread, .. } = firing;
        match &firing.seen {
            Seen::Upcall(message) => message_lines("upcall", firing, message, &mut out),
            Seen::Post(message) => message_lines("post", firing, message, &mut out),
            Seen::UpcallDone(started, result) => {
                writeln!(out, "upcall-done {time} {thread} {started} 4 {result}")
                    .expect("strings grow");
            }
            Seen::PostDone(started, errno) => {
                writeln!(out, "post-done {time} {thread} {started} {errno}").expect("strings grow");
            }
            Seen::Unreferenced => {
                writeln!(out, "unreferenced {time} {thread}").expect("strings grow");
            }
        }
    }
    let end = firings.iter().map(|firing| firing.time).max();
    writeln!(out, "end {}", end.unwrap_or(BEGIN) + 1).expect("strings grow");
    out
}

/// The trace that the library makes.
fn imported(text: &str) -> (Result<Imported, ImportError>, Vec<RecordBuf>) {
    imported_with(text, &Settings::default())
}

fn imported_with(
    text: &str,
    settings: &Settings,
) -> (Result<Imported, ImportError>, Vec<RecordBuf>) {
    let mut file = Vec::new();
    let imported = import(text.as_bytes(), settings, &mut file);
    let mut records = Vec::new();
    // Where the beginning is refused there is no trace.
    if !file.is_empty() {
        let mut reader = Reader::new(&*file).expect("it begins as a trace");
        while let Some(entry) = reader.next_entry().expect("it is whole") {
            records.push(entry.to_owned());
        }
        assert_eq!(reader.section().origin, Origin::Unix(WALL));
    }
    (imported, records)
}

fn problem(text: &str) -> (u64, Problem) {
    match imported(text).0 {
        Err(ImportError::Line { line, problem }) => (line, problem),
        other => panic!("{other:?}"),
    }
}

fn scsi_data(length: usize) -> Vec<u8> {
    let body = Body::ScsiData(ScsiData {
        task_msgid: 9,
        session_id: 2,
        lun_id: [0x60; 16],
        data: (0..length).map(|byte| byte as u8).collect(),
    });
    Message { msgid: 0, body }
        .encode(Dialect::Current)
        .expect("it can be sent")
}

fn status() -> Vec<u8> {
    let body = Body::Status(Status {
        status_msg_type: 0,
        status_msgid: 3,
        status: 0,
    });
    Message { msgid: 3, body }
        .encode(Dialect::Current)
        .expect("it can be sent")
}

/// A capture for the fixture: two CPUs, a long message, ends on another CPU.
fn story() -> Vec<Firing> {
    let at = |ms: u64, thread, cpu, seen| Firing {
        time: BEGIN + ms * 1_000_000,
        thread,
        cpu,
        seen,
    };
    let started = |ms: u64| BEGIN + ms * 1_000_000;
    vec![
        at(10, 1, 1, Seen::Post(status())),
        at(11, 1, 0, Seen::PostDone(started(10), 0)),
        at(20, 2, 1, Seen::Upcall(scsi_data(8))),
        at(25, 2, 0, Seen::UpcallDone(started(20), 0)),
        at(30, 1, 1, Seen::Post(scsi_data(8192))),
        at(31, 2, 0, Seen::Upcall(status())),
        at(34, 2, 1, Seen::UpcallDone(started(31), 134)),
        at(40, 1, 0, Seen::PostDone(started(30), 14)),
        at(50, 3, 1, Seen::Unreferenced),
    ]
}

/// A capture in `fixtures/dtrace`, which is held to be what the writer above makes.
fn stored(name: &str, made: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../fixtures/dtrace").join(name);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let file = File::create(&path).expect("the fixture can be written");
        let mut encoder = GzEncoder::new(file, Compression::best());
        encoder
            .write_all(made.as_bytes())
            .expect("it can be written");
        encoder.finish().expect("it can be written");
    }
    let mut text = String::new();
    let file = File::open(&path).expect("the fixture is there");
    let read = GzDecoder::new(file).read_to_string(&mut text);
    read.expect("a sound gzip file of text");
    assert!(text == made, "{name} differs from what is made now");
    text
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .args(["trace", "import-dtrace"])
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn a_capture_becomes_a_trace() {
    let text = stored("two-cpus.txt.gz", &output(&story()));
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("capture.txt");
    std::fs::write(&input, text).expect("the capture can be written");
    let trace = directory.path().join("trace.pcapng");
    let trace_name = trace.to_str().expect("UTF-8");
    let input = input.to_str().expect("UTF-8");
    let done = run(&[input, "--node", "1", "-o", trace_name]);
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    let told = "9 events\n1 messages without some of their bytes\n";
    assert_eq!(String::from_utf8_lossy(&done.stdout), told);
    assert_eq!(done.status.code(), Some(0));
    let mut reader = Reader::open(&trace).expect("a trace");
    let mut lines = String::new();
    while let Some(entry) = reader.next_entry().expect("whole") {
        let record = entry.record;
        assert_eq!(record.node, Some(1));
        let ms = record.time.as_nanos() / 1_000_000;
        let what = match record.event {
            Event::Upcall { call, .. } => format!("upcall {call}"),
            Event::UpcallDone { call, outcome } => format!("upcall-done {call} {outcome:?}"),
            Event::Post { post, .. } => format!("post {post}"),
            Event::PostDone { post, outcome } => format!("post-done {post} {outcome:?}"),
            other => format!("{other:?}"),
        };
        let message = record.message().map(|message| {
            let decoded = Message::decode(&message, Dialect::Current).expect("sound");
            decoded.message_type().to_string()
        });
        let cut = record.cut.map(|cut| (cut.offset, cut.length, cut.words));
        writeln!(lines, "{ms} {what} {} {cut:?}", message.unwrap_or_default())
            .expect("strings grow");
    }
    insta::assert_snapshot!(lines);
    assert_eq!(reader.notices(), []);
}

#[test]
fn drops_are_told_and_what_was_dropped_is_marked() {
    let whole = output(&story());
    // The end of a post is gone, and the second chunk of the long message.
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.retain(|line| !line.starts_with(&format!("upcall {} ", BEGIN + 20_000_000)));
    let orphan = format!("data {} 2 ", BEGIN + 20_000_000);
    let at = |lines: &[&str], start: &str| {
        let found = lines.iter().position(|line| line.starts_with(start));
        found.expect("there is such a line")
    };
    // With its announcement the chunks of a message go too.
    let from = at(&lines, &orphan);
    lines.drain(from..from + DUMPED);
    let long = format!("data {} 1 2048 ", BEGIN + 30_000_000);
    let from = at(&lines, &long);
    lines.drain(from..from + DUMPED);
    lines.insert(4, "dtrace: 131 drops on CPU 1");
    let text = stored("drops.txt.gz", &(lines.join("\n") + "\n"));
    let (imported, records) = imported(&text);
    let expected = Imported {
        events: 9,
        cut: 1,
        dropped: 131,
        unpaired: 1,
        complete: true,
        ..Imported::default()
    };
    assert_eq!(imported.expect("it is a capture"), expected);
    let records: Vec<_> = records.iter().map(RecordBuf::get).collect();
    let lost = records
        .iter()
        .filter(|record| record.event == Event::Lost { events: 131 });
    assert_eq!(lost.count(), 1);
    let cut = records
        .iter()
        .find_map(|record| record.cut)
        .expect("one is cut");
    let size = scsi_data(8192).len();
    assert_eq!(cut.offset, 2048);
    assert_eq!(cut.length as usize, size - 2048 - TAIL);
    assert!(cut.words, "only data is missing");
}

#[test]
fn lines_that_the_script_does_not_print_are_refused() {
    assert_eq!(problem(""), (1, Problem::NoTitle));
    assert_eq!(problem("hello\n"), (1, Problem::NoTitle));
    assert_eq!(problem("\n\nend 1\n"), (3, Problem::NoTitle));
    let found = 2;
    assert_eq!(
        problem("stmf-proxy-dtrace 2\n"),
        (1, Problem::Version { found })
    );
    let begin = format!("stmf-proxy-dtrace 1\nbegin {BEGIN} {WALL} 1\n");
    let after = |text: &str| problem(&format!("{begin}{text}"));
    assert_eq!(after("hello\n"), (3, Problem::Unknown));
    assert_eq!(after("begin 1 2 3\n"), (3, Problem::SecondCapture));
    assert_eq!(after("data 1 2 0 16\n"), (3, Problem::Orphan));
    assert_eq!(after("post 9 1 4\ndata 9 2 0 4\n"), (4, Problem::Orphan));
    assert_eq!(after("        10: 00\n"), (3, Problem::Row));
    let chunk = |offset, length| Problem::Chunk {
        offset,
        length,
        size: 4,
    };
    assert_eq!(after("post 9 1 4\ndata 9 1 0 5\n"), (4, chunk(0, 5)));
    assert_eq!(after("post 9 1 4\ndata 9 1 4 0\n"), (4, chunk(4, 0)));
    let columns = "             0  1  2  3\n";
    let gap = format!("post 9 1 64\ndata 9 1 0 64\n{columns}        10: 00\n");
    assert_eq!(after(&gap), (6, Problem::Row));
    let long = "x".repeat(5000);
    assert_eq!(after(&long), (3, Problem::TooLong));
    let mut bytes = begin.clone().into_bytes();
    bytes.extend(b"\xFF\n");
    let wrong = import(&*bytes, &Settings::default(), Vec::new()).expect_err("not text");
    assert!(wrong.to_string().starts_with("line 3: not text"), "{wrong}");
    // What came before is kept, and a last line that was cut is passed over.
    let (wrong, records) = imported(&format!("{begin}unreferenced 6000000000 1\nhello\n"));
    assert!(wrong.is_err());
    assert_eq!(records.len(), 1);
    let (cut, records) = imported(&format!("{begin}unreferenced 6000000000 1\nupcal"));
    assert!(!cut.expect("it is a capture").complete);
    assert_eq!(records.len(), 1);
}

#[test]
fn the_command_says_what_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| {
        directory
            .path()
            .join(name)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    std::fs::write(path("in.txt"), "stmf-proxy-dtrace 1\nbegin 1 2 3\nhello\n").expect("written");
    let done = run(&[&path("in.txt"), "-o", &path("out.pcapng")]);
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        said.contains("line 3: not a line of stmf-proxy.d"),
        "{said}"
    );
    let done = run(&[&path("none.txt"), "-o", &path("out.pcapng")]);
    assert_eq!(done.status.code(), Some(2));
    let done = run(&[&path("in.txt"), "-o", &path("in.txt")]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("replace its input"));
    let done = run(&[&path("in.txt"), "-o", &path("x"), "--node", "255"]);
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn the_window_and_the_bound_hold_at_their_edges() {
    let begin = format!("stmf-proxy-dtrace 1\nbegin {BEGIN} {WALL} 1\n");
    // The second event comes 100 ns after one that is later than it.
    let text = |late: u64| {
        let (first, second) = (BEGIN + 1000, BEGIN + 1000 - late);
        format!(
            "{begin}unreferenced {first} 1\nunreferenced {} 1\nunreferenced {second} 2\nend {}\n",
            first + 100,
            first + 200
        )
    };
    let settings = Settings {
        window: Duration::from_nanos(100),
        ..Settings::default()
    };
    let late = |by| {
        let (imported, records) = imported_with(&text(by), &settings);
        let times: Vec<_> = records.iter().map(|record| record.get().time).collect();
        (imported.expect("a capture").late, times.is_sorted())
    };
    assert_eq!(late(0), (0, true));
    assert_eq!(late(1), (0, true), "nothing was written before it");
    let short = Settings {
        window: Duration::from_nanos(99),
        ..settings.clone()
    };
    let (imported, records) = imported_with(&text(1), &short);
    assert_eq!(imported.expect("a capture").late, 1);
    assert_eq!(records.len(), 3);
    // Room for one event: each is written when the next comes.
    let small = Settings {
        max_held: 64,
        ..Settings::default()
    };
    let (imported, _) = imported_with(&text(1), &small);
    assert_eq!(imported.expect("a capture").late, 1);
    let enough = Settings {
        max_held: 128,
        ..Settings::default()
    };
    let (imported, _) = imported_with(&text(1), &enough);
    assert_eq!(imported.expect("a capture").late, 0);
}

fn arbitrary_firings() -> impl Strategy<Value = Vec<Firing>> {
    let message = prop_oneof![
        Just(status()),
        (1_usize..40).prop_map(scsi_data),
        (3900_usize..9000).prop_map(scsi_data),
        prop::collection::vec(any::<u8>(), 0..5000),
    ];
    let call = (
        any::<bool>(),
        message,
        0_u32..200,
        1_u64..300_000_000,
        0_usize..4,
        0_usize..4,
    );
    prop::collection::vec((call, 1_u64..80_000_000), 0..12).prop_map(|calls| {
        let mut firings = Vec::new();
        let mut time = BEGIN;
        for (index, ((upcall, message, result, lasts, cpu, other), later)) in
            calls.into_iter().enumerate()
        {
            // Odd beginnings, even ends: no two at the same time.
            time = (time + later * 2) | 1;
            let thread = index as u64 + 1;
            let (begins, ends) = if upcall {
                (Seen::Upcall(message), Seen::UpcallDone(time, result))
            } else {
                (Seen::Post(message), Seen::PostDone(time, result as i32))
            };
            let end = (time + lasts * 2) / 64 * 64 + 2 * thread;
            firings.push(Firing {
                time,
                thread,
                cpu,
                seen: begins,
            });
            firings.push(Firing {
                time: end.max(time + 1),
                thread,
                cpu: other,
                seen: ends,
            });
        }
        firings
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What was seen comes back in order, and whole but for the middle of long messages.
    #[test]
    fn what_is_written_is_read(firings in arbitrary_firings()) {
        let (imported, records) = imported(&output(&firings));
        let imported = imported.expect("it is a capture");
        prop_assert!(imported.complete);
        prop_assert_eq!((imported.late, imported.unpaired, imported.errors), (0, 0, 0));
        let mut expected = firings.clone();
        expected.sort_by_key(|firing| firing.time);
        prop_assert_eq!(records.len(), expected.len());
        let mut numbers = std::collections::BTreeMap::new();
        let (mut calls, mut posts) = (0, 0);
        for (record, firing) in records.iter().zip(&expected) {
            let record = record.get();
            prop_assert_eq!(record.time.as_nanos(), firing.time - BEGIN);
            let message = match (&firing.seen, record.event) {
                (Seen::Upcall(message), Event::Upcall { call, message: kept, .. }) => {
                    calls += 1;
                    prop_assert_eq!(call, calls);
                    numbers.insert(firing.time, call);
                    Some((message, kept))
                }
                (Seen::Post(message), Event::Post { post, message: kept }) => {
                    posts += 1;
                    prop_assert_eq!(post, posts);
                    numbers.insert(firing.time, post);
                    Some((message, kept))
                }
                (Seen::UpcallDone(started, result), Event::UpcallDone { call, outcome }) => {
                    prop_assert_eq!(numbers.get(started), Some(&call));
                    prop_assert_eq!(outcome, Ok(*result));
                    None
                }
                (Seen::PostDone(started, errno), Event::PostDone { post, outcome }) => {
                    prop_assert_eq!(numbers.get(started), Some(&post));
                    prop_assert_eq!(outcome.err().unwrap_or(0), *errno);
                    None
                }
                other => panic!("{other:?}"),
            };
            let Some((message, kept)) = message else { continue };
            prop_assert_eq!(record.original_length(), message.len());
            match record.cut {
                None => prop_assert_eq!(message, kept),
                Some(cut) => {
                    prop_assert!(message.len() > HEAD + TAIL);
                    prop_assert_eq!(cut.offset as usize, HEAD);
                    prop_assert_eq!(kept.len(), HEAD + TAIL);
                    prop_assert_eq!(&kept[..HEAD], &message[..HEAD]);
                    prop_assert_eq!(&kept[HEAD..], &message[message.len() - TAIL..]);
                    // The rest can be decoded.
                    prop_assert!(cut.words);
                    let filled = record.message().expect("it is short");
                    prop_assert!(Message::decode(&filled, Dialect::Current).is_ok());
                }
            }
        }
    }

    /// A capture that is cut anywhere, with anything in place of some of it, is imported up to
    /// there or refused.
    #[test]
    fn damage_never_panics(
        firings in arbitrary_firings(),
        at in any::<prop::sample::Index>(),
        garbage in prop::option::of("\\PC{0,20}|[a-z]{3,8}( [0-9]{1,12}){0,5}\n|\n"),
        rest in any::<bool>(),
    ) {
        let text = output(&firings);
        let at = at.index(text.len());
        let (before, after) = text.split_at(at);
        let damaged = format!(
            "{before}{}{}", garbage.unwrap_or_default(), if rest { after } else { "" }
        );
        let (_, records) = imported(&damaged);
        prop_assert!(records.len() <= 2 * firings.len() + 2);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(\\PC{0,30}\n|[a-z-]{3,12}( [0-9]{1,21}){0,5}\n){0,20}") {
        let begin = format!("stmf-proxy-dtrace 1\nbegin {BEGIN} {WALL} 1\n");
        let _ = imported(&text);
        let _ = imported(&format!("{begin}{text}"));
    }
}
