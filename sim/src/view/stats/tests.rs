// SPDX-License-Identifier: MPL-2.0

use super::*;
use crate::report::style::Style;
use crate::view::example;
use std::fs;
use std::path::PathBuf;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Record, Sink, Writer};
use tempfile::TempDir;

fn of_bytes(bytes: &[u8], limit: usize) -> Stats {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("a.pcapng");
    fs::write(&path, bytes).expect("a file");
    collect_within(&mut Files::open(path).expect("a trace"), limit)
}

fn of_fixture() -> Stats {
    let fixture =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/trace/version-1.pcapng");
    collect(&mut Files::open(fixture).expect("a trace"))
}

#[test]
fn figures_read_well_at_80_columns() {
    let stats = of_bytes(&example::trace(), TABLE_LIMIT);
    let text = stats.text(Style::PLAIN);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(stats.complete());
    insta::assert_snapshot!(text);
    insta::assert_snapshot!("every_kind", of_fixture().text(Style::PLAIN));
}

#[test]
fn figures_are_json_too() {
    let json = of_bytes(&example::trace(), TABLE_LIMIT).json();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).expect("JSON"));
}

#[test]
fn without_initiators_tasks_tell_what_was_not_answered() {
    let mut bytes = Vec::new();
    let mut story = example::Story::new(&mut bytes, example::section());
    let message = example::scsi_cmd(1, 7, &example::READ, 0);
    story.upcall(0, 0, 1, &message);
    story.post(100, 1, 1, &message);
    story.upcall(200, 1, 1, &example::scsi_status(7, 0, &[]));
    story.tell(300, 0, Event::RelayEnded);
    drop(story);
    let stats = of_bytes(&bytes, TABLE_LIMIT);
    assert_eq!(stats.unanswered_count, 1);
    assert_eq!(stats.unanswered[0].what, "task 7 handed over: READ(10)");
    let served = &stats.latency[&(Measured::Served, "READ(10)")];
    assert_eq!((served.count(), served.max()), (1, 221_000));
}

#[test]
fn the_bound_on_what_is_under_way_is_told() {
    let mut bytes = Vec::new();
    let mut story = example::Story::new(&mut bytes, example::section());
    for tag in 0..=20 {
        story.command(1, tag, &example::READ, 0);
    }
    drop(story);
    let stats = of_bytes(&bytes, 20);
    assert_eq!((stats.forgotten, stats.unanswered_count), (1, 20));
    assert_eq!(stats.unanswered.len(), UNANSWERED);
    let text = stats.text(Style::PLAIN);
    assert!(text.contains("1 of them were\nforgotten"), "{text}");
    assert!(
        text.contains("20 commands, of which the first 10:"),
        "{text}"
    );
}

#[test]
fn only_the_longest_gaps_are_told_longest_first() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, example::section()).expect("memory takes it");
    let mut time = 0;
    for (number, gap) in [0, 5, 9, 1, 9, 7, 3, 8].into_iter().enumerate() {
        time += gap;
        let time = Time::from_nanos(time);
        writer.record(&Record::new(
            number as u64 + 1,
            time,
            None,
            Event::RelayStarted,
        ));
    }
    // Time that goes back is no gap.
    writer.record(&Record::new(9, Time::ZERO, None, Event::RelayStarted));
    writer.finish().expect("memory takes it");
    let stats = of_bytes(&bytes, 10);
    let gaps: Vec<_> = stats
        .gaps
        .iter()
        .map(|gap| (gap.length, gap.after))
        .collect();
    assert_eq!(gaps, [(9, 2), (9, 4), (8, 7), (7, 5), (5, 1)]);
    assert_eq!(stats.notices, 1);
    assert_eq!(stats.span, 42);
}

#[test]
fn kinds_of_trouble_are_bounded() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, example::section()).expect("memory takes it");
    for number in 1..=TROUBLES as u64 + 10 {
        let post = number;
        let outcome = Err(1000 + number as i32);
        let event = Event::PostDone { post, outcome };
        writer.record(&Record::new(number, Time::ZERO, Some(0), event));
    }
    drop(writer);
    let stats = of_bytes(&bytes, 10);
    assert_eq!(stats.troubles.len(), TROUBLES + 1);
    assert_eq!(stats.troubles[&(Some(0), "other trouble".to_owned())], 10);
}
