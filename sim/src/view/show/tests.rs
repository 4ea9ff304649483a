// SPDX-License-Identifier: MPL-2.0

use super::*;
use crate::view::example;
use crate::view::filter::{LunChoice, TypeChoice};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use stmf_proxy::message::MessageType;
use stmf_proxy::trace::{Event, EventKind, Record, RingSettings, Sink, Writer};
use tempfile::TempDir;

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trace/version-1.pcapng")
}

/// What is shown of a file.
fn shown(path: &Path, settings: &Settings) -> (String, Shown) {
    let mut files = Files::open(path).expect("a trace");
    let mut out = Vec::new();
    let shown = show(&mut files, settings, &mut out).expect("memory takes it");
    let text = String::from_utf8(out).expect("UTF-8");
    // Where the file lies is not what is tested; it stands in JSON only.
    let directory = path.parent().expect("in a directory").display().to_string();
    (text.replace(&directory, "DIR"), shown)
}

/// What is shown of a trace in memory.
fn of_bytes(bytes: &[u8], settings: &Settings) -> (String, Shown) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a.pcapng");
    fs::write(&path, bytes).expect("a file");
    shown(&path, settings)
}

fn with(filter: Filter) -> Settings {
    Settings {
        filter,
        ..Settings::default()
    }
}

fn text(long: bool, absolute: bool, width: usize) -> Settings {
    let style = Style::PLAIN;
    Settings {
        form: Form::Text {
            width,
            style,
            long,
            absolute,
        },
        ..Settings::default()
    }
}

fn json(data: bool) -> Settings {
    Settings {
        form: Form::Json { data },
        ..Settings::default()
    }
}

#[test]
fn a_trace_reads_well_at_80_columns() {
    let (listing, shown) = of_bytes(&example::trace(), &Settings::default());
    insta::assert_snapshot!(listing);
    assert!(shown.complete());
    assert_eq!(shown.shown, shown.read);
    assert_eq!(shown.remarks(), Vec::<String>::new());
}

#[test]
fn every_kind_of_event_has_a_line() {
    insta::assert_snapshot!(shown(&fixture(), &Settings::default()).0);
}

#[test]
fn everything_can_be_shown_with_times_of_day() {
    let settings = Settings {
        filter: Filter {
            tasks: vec![example::TASK + 1],
            ..Filter::default()
        },
        ..text(true, true, 100)
    };
    insta::assert_snapshot!(of_bytes(&example::trace(), &settings).0);
}

#[test]
fn json_has_a_line_for_everything() {
    let (listing, _) = of_bytes(&example::trace(), &json(false));
    for line in listing.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(value.is_object());
    }
    insta::assert_snapshot!(listing);
    insta::assert_snapshot!("json_with_data", shown(&fixture(), &json(true)).0);
}

#[test]
fn nothing_is_wider_than_it_may_be() {
    for width in [60, 80, 133] {
        for (long, absolute) in [(false, false), (true, false), (false, true), (true, true)] {
            let settings = text(long, absolute, width);
            for listing in [
                of_bytes(&example::trace(), &settings).0,
                shown(&fixture(), &settings).0,
            ] {
                for line in listing.lines() {
                    let columns = crate::view::text::width(line);
                    assert!(columns <= width, "{columns}: {line}");
                    assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn filters_show_what_belongs_together() {
    let trace = example::trace();
    let listing = |filter| of_bytes(&trace, &with(filter)).0;
    let task = Filter {
        tasks: vec![example::TASK],
        ..Filter::default()
    };
    insta::assert_snapshot!("filter_task", listing(task));
    let errors = Filter {
        errors: true,
        ..Filter::default()
    };
    insta::assert_snapshot!("filter_errors", listing(errors));
    let by_number = listing(Filter {
        luns: vec![LunChoice::Number(3)],
        ..Filter::default()
    });
    let events = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(events(&by_number) > 30, "{by_number}");
    // By the LU's id there are its registration and its access state too, but not the command
    // that never got as far as a message.
    let by_id = listing(Filter {
        luns: vec![LunChoice::Lu(example::LU)],
        ..Filter::default()
    });
    let registered = events(&by_id) - events(&by_number);
    assert_eq!(registered, 3, "{by_number}\n{by_id}");
    let types = listing(Filter {
        types: vec![
            TypeChoice::Message(MessageType::ScsiStatus),
            TypeChoice::Kind(EventKind::Panic),
        ],
        ..Filter::default()
    });
    assert_eq!(events(&types), 9, "{types}");
    let window = listing(Filter {
        from: Some(0),
        to: Some(5_000_000),
        nodes: vec![0],
        ..Filter::default()
    });
    assert_eq!(events(&window), 2, "{window}");
    let session = listing(Filter {
        sessions: vec![example::SESSION],
        ..Filter::default()
    });
    assert_eq!(events(&session), events(&by_number) + 1, "{session}");
}

#[test]
fn commands_that_wait_for_their_task_are_bounded() {
    let mut bytes = Vec::new();
    let mut story = example::Story::new(&mut bytes, example::section());
    for tag in 0..3 {
        story.command(1, tag, &example::READ, 4096);
    }
    let message = example::scsi_cmd(1, 7, &example::READ, 0);
    story.upcall(1, 0, 1, &message);
    drop(story);
    let filter = Filter {
        tasks: vec![7],
        ..Filter::default()
    };
    let (listing, _) = of_bytes(&bytes, &with(filter));
    let lines: Vec<&str> = listing
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 3, "{listing}");
    assert!(lines[0].contains("i0#0 READ(10)"), "the oldest: {listing}");
}

#[test]
fn what_is_wrong_with_a_file_stands_where_it_was_found() {
    let whole = example::trace();
    // A byte of the version in the tenth record is changed, and the end is cut off.
    let mut files = tempfile_with(&whole);
    let mut offsets = Vec::new();
    while let Some(entry) = files.1.next_entry().expect("whole") {
        offsets.push(entry.offset as usize);
    }
    let mut damaged = whole[..offsets[20] + 50].to_vec();
    damaged[offsets[9] + 28] = 99;
    let (listing, shown) = of_bytes(&damaged, &Settings::default());
    insta::assert_snapshot!(listing);
    assert_eq!((shown.notices, shown.broken, shown.read), (2, 1, 19));
    insta::assert_snapshot!(shown.remarks().join("\n"));
    let (listing, _) = of_bytes(&damaged, &json(false));
    let notices = listing
        .lines()
        .filter(|line| line.starts_with("{\"notice\":"));
    assert_eq!(notices.count(), 3);
}

fn tempfile_with(bytes: &[u8]) -> (TempDir, Files) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a.pcapng");
    fs::write(&path, bytes).expect("a file");
    let files = Files::open(path).expect("a trace");
    (directory, files)
}

#[test]
fn a_ring_is_shown_as_one_trace() {
    let directory = TempDir::new().expect("a directory");
    let settings = RingSettings::default()
        .with_max_bytes(RingSettings::MIN_MAX_BYTES)
        .expect("in range");
    let mut ring = stmf_proxy::trace::Ring::create(directory.path(), example::section(), settings)
        .expect("a ring");
    for sequence in 1..=300 {
        let time = stmf_proxy::time::Time::from_nanos(sequence * 1_000_000);
        let text = "x".repeat(500);
        ring.record(&Record::new(
            sequence,
            time,
            Some(0),
            Event::RelayLog(&text),
        ));
    }
    ring.finish();
    let (listing, shown) = shown(directory.path(), &Settings::default());
    assert_eq!(shown.read, 300);
    assert!(shown.complete(), "{listing}");
    assert!(listing.contains("# trace-00000002.pcapng, section 2 by stmf-proxy 0.1.0, part 2"));
    let last = listing.lines().last().expect("a line");
    assert!(last.trim_start().starts_with("0.299000 0 "), "{last}");
}

#[test]
fn two_clocks_do_not_mix() {
    let mut bytes = Vec::new();
    for origin in [
        Origin::Unix(1_000_000_000_000),
        Origin::World,
        Origin::World,
    ] {
        let section = Section {
            origin,
            ..Section::new("a test")
        };
        let mut writer = Writer::new(&mut bytes, section).expect("memory takes it");
        for sequence in 1..3 {
            let time = stmf_proxy::time::Time::from_nanos(sequence * 1_000_000);
            writer.record(&Record::new(sequence, time, None, Event::RelayStarted));
        }
    }
    let (listing, shown) = of_bytes(&bytes, &Settings::default());
    assert!(shown.complete(), "sections are no oddity");
    let times: Vec<&str> = listing
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        times,
        [
            "0.000000", "0.001000", "0.000000", "0.001000", "0.000000", "0.001000"
        ]
    );
}

fn filters() -> impl Strategy<Value = Filter> {
    let some = |values: &[u64]| proptest::sample::subsequence(values.to_vec(), 0..=1);
    let task = example::TASK;
    let luns = prop_oneof![
        Just(vec![]),
        Just(vec![LunChoice::Number(3)]),
        Just(vec![LunChoice::Lu(example::LU)]),
        Just(vec![LunChoice::Lun(example::LUN)]),
    ];
    let types = prop_oneof![
        Just(vec![]),
        Just(vec![TypeChoice::Message(MessageType::ScsiCommand)]),
        Just(vec![TypeChoice::Kind(EventKind::Command)]),
        Just(vec![
            TypeChoice::Kind(EventKind::CommandDone),
            TypeChoice::Message(MessageType::Status)
        ]),
    ];
    (
        some(&[0, 1]),
        some(&[task, task + 1, task + 2, task + 3, 5]),
        some(&[example::SESSION, 1]),
        luns,
        types,
        any::<bool>(),
        proptest::option::of(-1_000_000_000i128..80_000_000_000),
        proptest::option::of(-1_000_000_000i128..80_000_000_000),
    )
        .prop_map(
            |(nodes, tasks, sessions, luns, types, errors, from, to)| Filter {
                nodes: nodes.iter().map(|node| *node as u8).collect(),
                tasks,
                sessions,
                luns,
                types,
                errors,
                from,
                to,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_filter_only_takes_lines_away(filter in filters(), json: bool) {
        let form = match json {
            true => Form::Json { data: false },
            false => Form::default(),
        };
        let trace = tempfile_with(&example::trace());
        let path = trace.0.path().join("a.pcapng");
        let all = shown(&path, &Settings { form, ..Settings::default() }).0;
        let some = shown(&path, &Settings { form, filter }).0;
        // Lines come in the same order, so one walk finds them all.
        let mut lines = all.lines();
        for line in some.lines() {
            prop_assert!(lines.any(|of_all| of_all == line), "{line}");
        }
    }
}
