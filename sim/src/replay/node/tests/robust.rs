// SPDX-License-Identifier: MPL-2.0
//! Recordings that begin in the middle, and such as no node has ever made.

use super::worlds::*;
use crate::replay::node::{Limits, NodeScript, NodeSettings, ScriptBuilder, ScriptError};
use proptest::prelude::*;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, Record, RecordBuf};

fn of_node(records: &[RecordBuf], node: u8) -> Vec<RecordBuf> {
    let of_node = |record: &&RecordBuf| record.get().node == Some(node);
    records.iter().filter(of_node).cloned().collect()
}

#[test]
fn a_recording_that_begins_in_the_middle_says_what_it_assumes() {
    let mut diverged = Vec::new();
    let mut runs = 0;
    for seed in 0..3 {
        let recorded = world(seed);
        recorded.world.run(busy_life).unwrap().unwrap();
        for node in [0, 1] {
            let whole = of_node(&recorded.records(), node);
            for records in [without_initiators(&whole), whole] {
                for tenth in 1..10 {
                    let rest = &records[records.len() * tenth / 10..];
                    let script = script(rest, settings(node));
                    let run = script.run(script.settings());
                    runs += 1;
                    assert!(
                        run.panic.is_none(),
                        "seed {seed}, node {node}, {tenth}:\n{run}"
                    );
                    assert!(!run.exhausted);
                    if !run.agrees() {
                        let text = run.to_string();
                        let front: Vec<&str> = text.lines().take(16).collect();
                        let front = front.join("\n");
                        diverged.push(format!("seed {seed}, node {node}, {tenth}:\n{front}"));
                    } else if tenth < 8 {
                        assert!(!script.assumptions().is_empty());
                    }
                }
            }
        }
    }
    println!("{} of {runs} diverge", diverged.len());
    // A reservation that was made before the recording begins is not known to it.
    assert!(
        diverged.len() * 10 <= runs,
        "{} of {runs}:\n{}",
        diverged.len(),
        diverged.join("\n")
    );
}

#[test]
fn what_is_cut_away_is_not_played_and_not_compared() {
    let records = panicking();
    let script = script(&records, settings(1));
    let inputs = script.inputs();
    assert_eq!(inputs.len(), script.input_count());
    let whole = script.retain(&vec![true; inputs.len()]);
    assert!(whole.is_whole());
    assert_eq!(whole.run(script.settings()), script.run(script.settings()));
    // Without the command that brings the node down it stays up; without the rest it does not.
    let last = inputs.len() - 1 - inputs.iter().rev().position(is_post).unwrap();
    let mut keep = vec![true; inputs.len()];
    keep[last] = false;
    let run = script.retain(&keep).run(script.settings());
    assert!(run.panic.is_none() && run.agrees(), "{run}");
    let needed: Vec<bool> = (0..inputs.len())
        .map(|place| place == last || !is_post(&inputs[place]))
        .collect();
    let cut = script.retain(&needed);
    assert!(!cut.is_whole() && cut.input_count() < script.input_count());
    let run = cut.run(script.settings());
    assert!(
        run.panic.as_ref().is_some_and(|panic| panic.trap == 4),
        "{run}"
    );
    let nothing = script.retain(&vec![false; inputs.len()]);
    assert_eq!(nothing.input_count(), 0);
    assert!(nothing.run(script.settings()).panic.is_none());
}

fn is_post(input: &crate::replay::node::TimedInput) -> bool {
    matches!(input.input, crate::replay::node::Input::Post { .. })
}

#[test]
fn limits_are_exact() {
    let boot = |sequence| Record::new(sequence, Time::ZERO, Some(0), Event::Boot { boot: 1 });
    let limits = Limits {
        events: 2,
        bytes: 1 << 20,
    };
    let two = NodeScript::from_records(settings(0), limits, [boot(1), boot(2)]);
    assert_eq!(two.map(|script| script.records()), Ok(2));
    let three = NodeScript::from_records(settings(0), limits, [boot(1), boot(2), boot(3)]);
    assert_eq!(three.err(), Some(ScriptError::TooManyEvents { limit: 2 }));
    let bytes = |limit| Limits {
        events: 10,
        bytes: limit,
    };
    let text = Record::new(1, Time::ZERO, Some(0), Event::KernelLog("12345678"));
    let mut builder = ScriptBuilder::new(settings(0), bytes(136));
    assert_eq!(builder.push(&text), Ok(()));
    assert_eq!(
        builder.push(&text),
        Err(ScriptError::TooManyBytes { limit: 136 })
    );
    let other = Record::new(1, Time::ZERO, Some(1), Event::KernelLog("of another node"));
    assert_eq!(builder.push(&other), Ok(()));
    assert_eq!(builder.finish().map(|script| script.records()), Ok(1));
    let none = NodeScript::from_records(settings(2), Limits::default(), [boot(1)]);
    assert_eq!(none.err(), Some(ScriptError::NoEvents { node: 2 }));
}

#[test]
fn steps_are_bounded() {
    let recorded = world(0);
    recorded.world.run(busy_life).unwrap().unwrap();
    let script = script(&recorded.records(), settings(0));
    let few = NodeSettings {
        steps: 100,
        ..settings(0)
    };
    let run = script.run(&few);
    assert!(run.exhausted && !run.agrees());
}

/// Something that is done to a recording.
#[derive(Clone, Debug)]
enum Damage {
    Drop(prop::sample::Index),
    Twice(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Time(prop::sample::Index, u64),
    Byte(prop::sample::Index, prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Drop),
        index().prop_map(Damage::Twice),
        (index(), index()).prop_map(|(one, other)| Damage::Swap(one, other)),
        (index(), any::<u64>()).prop_map(|(place, time)| Damage::Time(place, time)),
        (index(), index(), any::<u8>()).prop_map(|(place, at, to)| Damage::Byte(place, at, to)),
    ]
}

fn damaged(records: &mut Vec<RecordBuf>, damage: &Damage) {
    if records.len() < 2 {
        return;
    }
    match damage {
        Damage::Drop(place) => {
            records.remove(place.index(records.len()));
        }
        Damage::Twice(place) => {
            let place = place.index(records.len());
            records.insert(place, records[place].clone());
        }
        Damage::Swap(one, other) => {
            let (one, other) = (one.index(records.len()), other.index(records.len()));
            records.swap(one, other);
        }
        Damage::Time(place, time) => {
            let place = place.index(records.len());
            let time = Time::from_nanos(*time);
            let changed = RecordBuf::from(&Record {
                time,
                ..records[place].get()
            });
            records[place] = changed;
        }
        Damage::Byte(place, at, to) => {
            let place = place.index(records.len());
            let record = records[place].get();
            let Some(message) = record.event.message().filter(|message| !message.is_empty()) else {
                return;
            };
            let mut message = message.to_vec();
            let at = at.index(message.len());
            message[at] = *to;
            let event = match record.event {
                Event::Upcall {
                    call,
                    attempt,
                    lock_held,
                    ..
                } => Event::Upcall {
                    call,
                    attempt,
                    lock_held,
                    message: &message,
                },
                Event::Post { post, .. } => Event::Post {
                    post,
                    message: &message,
                },
                event => event,
            };
            let changed = RecordBuf::from(&Record { event, ..record });
            records[place] = changed;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_recording_is_too_strange(
        seed in 0u64..4,
        node in 0u8..2,
        stripped: bool,
        compare: bool,
        part in any::<(prop::sample::Index, prop::sample::Index)>(),
        damages in prop::collection::vec(damage(), 0..12),
        keep in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let mut records = RECORDINGS.with(|recordings| recordings[seed as usize].clone());
        if stripped {
            records = without_initiators(&records);
        }
        records = of_node(&records, node);
        let (one, other) = (part.0.index(records.len()), part.1.index(records.len()));
        records = records[one.min(other)..=one.max(other)].to_vec();
        for damage in &damages {
            damaged(&mut records, damage);
        }
        let settings = NodeSettings { steps: 50_000, compare, ..settings(node) };
        let script = NodeScript::from_records(
            settings.clone(),
            Limits::default(),
            records.iter().map(RecordBuf::get),
        );
        // What passes between relays makes no script.
        let Ok(script) = script else { return Ok(()) };
        let run = script.run(&settings);
        prop_assert_eq!(&script.run(&settings), &run);
        let _ = run.to_string();
        let _ = script.retain(&keep).run(&settings).to_string();
    }
}

thread_local! {
    static RECORDINGS: Vec<Vec<RecordBuf>> = (0..4)
        .map(|seed| {
            let recorded = world(seed);
            recorded.world.run(busy_life).unwrap().unwrap();
            recorded.records()
        })
        .collect();
}
