// SPDX-License-Identifier: MPL-2.0
//! Recordings that somebody has changed: what was changed is found, and told.

use super::worlds::*;
use crate::replay::node::{DivergenceKind, NodeRun};
use stmf_proxy::message::{Body, Dialect, Message};
use stmf_proxy::trace::{Event, Record, RecordBuf};

fn recording() -> Vec<RecordBuf> {
    let recorded = world(1);
    recorded.world.run(busy_life).unwrap().unwrap();
    recorded.records()
}

/// The records, with the event of one of them changed.
fn with_message(
    records: &[RecordBuf],
    place: usize,
    change: impl FnOnce(&mut Message),
) -> Vec<RecordBuf> {
    let mut records = records.to_vec();
    let record = records[place].get();
    let mut message = Message::decode(&record.message().unwrap(), Dialect::Current).unwrap();
    change(&mut message);
    let bytes = message.encode(Dialect::Current).unwrap();
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
            message: &bytes,
        },
        Event::Post { post, .. } => Event::Post {
            post,
            message: &bytes,
        },
        event => event,
    };
    let changed = RecordBuf::from(&Record { event, ..record });
    records[place] = changed;
    records
}

/// The place of the nth upcall of a node that `wanted` wants.
fn upcall(records: &[RecordBuf], node: u8, nth: usize, wanted: impl Fn(&Body) -> bool) -> usize {
    let found = records.iter().enumerate().filter(|(_, record)| {
        let record = record.get();
        record.node == Some(node)
            && matches!(record.event, Event::Upcall { message, .. }
                if Message::decode(message, Dialect::Current)
                    .is_ok_and(|message| wanted(&message.body)))
    });
    found
        .map(|(place, _)| place)
        .nth(nth)
        .expect("there are enough")
}

fn told(run: &NodeRun) -> String {
    run.divergence.as_ref().expect("it diverges").to_string()
}

#[test]
fn a_changed_status_byte_is_found() {
    let records = recording();
    let place = upcall(&records, 0, 3, |body| matches!(body, Body::ScsiStatus(_)));
    let changed = with_message(&records, place, |message| {
        if let Body::ScsiStatus(status) = &mut message.body {
            status.status ^= 0x10;
        }
    });
    let run = replay(&changed, settings(0));
    let divergence = run.divergence.as_ref().unwrap();
    assert_eq!(divergence.kind, DivergenceKind::Differs);
    assert_eq!(divergence.sequence, records[place].get().sequence);
    insta::assert_snapshot!(told(&run));
}

#[test]
fn changed_data_is_found() {
    let records = recording();
    // The blocks that were written before.
    let data = |body: &Body| matches!(body, Body::ScsiData(data) if data.data == [7; 4096]);
    let place = upcall(&records, 0, 0, data);
    let changed = with_message(&records, place, |message| {
        if let Body::ScsiData(data) = &mut message.body {
            data.data[1000] ^= 1;
        }
    });
    let run = replay(&changed, settings(0));
    insta::assert_snapshot!(told(&run));
}

#[test]
fn a_dropped_upcall_is_found() {
    let records = recording();
    let place = upcall(&records, 1, 5, |body| {
        matches!(body, Body::ScsiDataTransferDone(_))
    });
    let Event::Upcall { call, .. } = records[place].get().event else {
        unreachable!()
    };
    let dropped: Vec<RecordBuf> = records
        .iter()
        .filter(|record| {
            let record = record.get();
            let of_call = match record.event {
                Event::Upcall { call: other, .. } | Event::UpcallDone { call: other, .. } => {
                    other == call
                }
                _ => false,
            };
            !(record.node == Some(1) && of_call)
        })
        .cloned()
        .collect();
    let run = replay(&dropped, settings(1));
    let divergence = run.divergence.as_ref().unwrap();
    assert!(divergence.sequence > records[place].get().sequence);
    insta::assert_snapshot!(told(&run));
}

#[test]
fn a_changed_answer_of_the_door_is_found_by_what_it_does() {
    let mut records = recording();
    // The kernel takes a command for lost whose message could not be sent.
    let place = upcall(&records, 1, 4, |body| matches!(body, Body::ScsiCommand(_)));
    let Event::Upcall { call, .. } = records[place].get().event else {
        unreachable!()
    };
    let done = records
        .iter()
        .position(|record| {
            let record = record.get();
            record.node == Some(1)
                && matches!(record.event, Event::UpcallDone { call: other, .. } if other == call)
        })
        .unwrap();
    let event = Event::UpcallDone {
        call,
        outcome: Err(9),
    };
    let changed = RecordBuf::from(&Record {
        event,
        ..records[done].get()
    });
    records[done] = changed;
    let run = replay(&records, settings(1));
    assert!(run.divergence.as_ref().unwrap().sequence > records[done].get().sequence);
    insta::assert_snapshot!(told(&run));
}

#[test]
fn the_end_of_a_post_is_compared() {
    let mut records = recording();
    let done = records
        .iter()
        .position(|record| {
            let record = record.get();
            record.node == Some(0) && matches!(record.event, Event::PostDone { .. })
        })
        .unwrap();
    let Event::PostDone { post, .. } = records[done].get().event else {
        unreachable!()
    };
    let event = Event::PostDone {
        post,
        outcome: Err(22),
    };
    let changed = RecordBuf::from(&Record {
        event,
        ..records[done].get()
    });
    records[done] = changed;
    let run = replay(&records, settings(0));
    insta::assert_snapshot!(told(&run));
}
