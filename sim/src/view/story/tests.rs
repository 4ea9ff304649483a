// SPDX-License-Identifier: MPL-2.0
//! Stories of made-up traces.

use super::*;
use crate::report::ladder::{Ladder, tests::well_formed};
use crate::report::style::Style;
use crate::scsi::cdb;
use crate::view::filter::TypeChoice;
use proptest::prelude::*;
use stmf_proxy::message::{
    Body, DeviceId, Dialect, Message, ScsiCommand, ScsiData, ScsiDataTransferDone, ScsiStatus,
};
use stmf_proxy::trace::{ConnectionEnd, Event, RecordBuf};

/// A trace that is made by hand. Times are in microseconds.
#[derive(Default)]
struct Script {
    records: Vec<RecordBuf>,
    now: u64,
}

const LU: [u8; 16] = [0x60; 16];
const SESSION: u64 = 1;

fn device(name: &[u8]) -> DeviceId {
    DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 8,
        ident: name.to_vec(),
    }
}

fn encoded(body: Body) -> Vec<u8> {
    let message = Message { msgid: 0, body };
    message.encode(Dialect::Current).unwrap()
}

fn command(task: u64) -> Vec<u8> {
    encoded(Body::ScsiCommand(ScsiCommand {
        task_msgid: task,
        ini_devid: device(b"host"),
        tgt_devid: device(b"target"),
        rport: Some(b"\x05\x80".to_vec()),
        lun_id: LU,
        session_id: SESSION,
        task_lun_no: [0; 8],
        task_expected_xfer_length: 512,
        task_cdb: cdb::read_10(task as u32, 1).to_vec(),
        task_flags: 0x20,
        task_priority: 0,
        task_mgmt_function: 0,
        immed_data: vec![],
    }))
}

fn data(task: u64) -> Vec<u8> {
    encoded(Body::ScsiData(ScsiData {
        task_msgid: task,
        session_id: SESSION,
        lun_id: LU,
        data: vec![7; 16],
    }))
}

fn done(task: u64) -> Vec<u8> {
    encoded(Body::ScsiDataTransferDone(ScsiDataTransferDone {
        task_msgid: task,
        session_id: SESSION,
        status: 0,
    }))
}

fn status(task: u64) -> Vec<u8> {
    encoded(Body::ScsiStatus(ScsiStatus {
        task_msgid: task,
        session_id: SESSION,
        lun_id: LU,
        response: 0,
        status: 0,
        flags: 0,
        resid: 0,
        sense: vec![],
    }))
}

impl Script {
    fn at(&mut self, microseconds: u64) -> &mut Script {
        self.now = microseconds;
        self
    }

    fn tell(&mut self, node: impl Into<Option<NodeId>>, event: Event<'_>) -> &mut Script {
        let sequence = self.records.len() as u64 + 1;
        let time = Time::from_nanos(self.now * 1000);
        let record = Record::new(sequence, time, node.into(), event);
        self.records.push(RecordBuf::from(&record));
        self.now += 5;
        self
    }

    fn reads(&mut self, tag: u64) -> &mut Script {
        self.tell(
            0,
            Event::Command {
                initiator: 0,
                tag,
                session: SESSION,
                lun: [0; 8],
                flags: 0x20,
                expected: 512,
                cdb: &cdb::read_10(tag as u32, 1),
                data: &[],
            },
        )
    }

    fn good(&mut self, tag: u64) -> &mut Script {
        self.tell(
            0,
            Event::CommandDone {
                initiator: 0,
                tag,
                status: 0,
                residual_flags: 0,
                residual: 0,
                sense: &[],
                data: &[7; 512],
            },
        )
    }

    fn call(&mut self, node: NodeId, call: u64, attempt: u8, message: &[u8]) -> &mut Script {
        let lock_held = false;
        self.tell(
            node,
            Event::Upcall {
                call,
                attempt,
                lock_held,
                message,
            },
        )
    }

    fn answer(&mut self, node: NodeId, call: u64, outcome: Result<u32, i32>) -> &mut Script {
        self.tell(node, Event::UpcallDone { call, outcome })
    }

    /// The relay takes a message of a kernel.
    fn sends(&mut self, node: NodeId, call: u64, message: &[u8]) -> &mut Script {
        self.call(node, call, 1, message).answer(node, call, Ok(0))
    }

    fn posts(&mut self, node: NodeId, post: u64, message: &[u8]) -> &mut Script {
        self.tell(node, Event::Post { post, message });
        let outcome = Ok(());
        self.tell(node, Event::PostDone { post, outcome })
    }

    fn story(&self, choice: Choice) -> Ladder {
        self.story_of(Cast::BOTH, 100, choice)
    }

    fn story_of(&self, cast: Cast, most: usize, choice: Choice) -> Ladder {
        let mut story = Story::new(cast, most, choice.clone());
        if choice.needs_survey() {
            let mut surveyor = Story::surveyor(cast, choice);
            for record in &self.records {
                surveyor.record(&record.get());
            }
            story = story.with_survey(surveyor.into_survey());
        }
        for record in &self.records {
            story.record(&record.get());
        }
        story.finish()
    }
}

fn text(ladder: &Ladder) -> String {
    let svg = ladder.svg();
    well_formed(&svg).unwrap();
    ladder.text(Style::PLAIN, 100)
}

/// A read of one block through the standby path.
fn read(script: &mut Script, task: u64) {
    script.reads(task).sends(0, task * 10, &command(task));
    script
        .at(script.now + 200)
        .posts(1, task * 10, &command(task));
    script.sends(1, task * 10 + 1, &data(task));
    script
        .at(script.now + 200)
        .posts(0, task * 10 + 1, &data(task));
    script.sends(0, task * 10 + 2, &done(task));
    script
        .at(script.now + 200)
        .posts(1, task * 10 + 2, &done(task));
    script.sends(1, task * 10 + 3, &status(task));
    script
        .at(script.now + 200)
        .posts(0, task * 10 + 3, &status(task));
    script.good(task);
}

/// A read that is refused by the door twice for want of resources.
fn tried_again(script: &mut Script, task: u64) {
    script.reads(task);
    script.call(0, 90, 1, &command(task)).answer(0, 90, Err(11));
    script.at(script.now + 1_000_000);
    script.call(0, 90, 2, &command(task)).answer(0, 90, Ok(0));
    script.at(script.now + 200).posts(1, 90, &command(task));
}

#[test]
fn a_read_through_the_standby_path() {
    let mut script = Script::default();
    script.tell(None, Event::Step("one read"));
    read(&mut script, 7);
    let ladder = script.story(Choice::default());
    insta::assert_snapshot!(text(&ladder));
    insta::assert_snapshot!("a_read_svg", ladder.svg());
}

#[test]
fn messages_that_a_broken_link_loses() {
    let mut script = Script::default();
    script.tell(0, Event::Connected { connection: 1 });
    script.reads(3).sends(0, 1, &command(3));
    script.reads(4).sends(0, 2, &command(4));
    script.at(400).posts(1, 1, &command(3));
    let end = ConnectionEnd::Reset;
    for node in [0, 1] {
        script.tell(node, Event::Disconnected { connection: 1, end });
    }
    script
        .reads(5)
        .call(0, 3, 1, &command(5))
        .answer(0, 3, Ok(134));
    script.tell(0, Event::KernelLog("bad result 134 from the daemon"));
    script.at(75_000_000).tell(
        0,
        Event::TimedOut {
            initiator: 0,
            tag: 4,
        },
    );
    let ladder = script.story(Choice::default());
    assert_eq!(ladder.count(Fate::Lost), 1);
    assert_eq!(ladder.count(Fate::Refused), 1);
    insta::assert_snapshot!(text(&ladder));
    insta::assert_snapshot!("lost_svg", ladder.svg());
}

#[test]
fn messages_that_are_late_or_overtaken() {
    let mut script = Script::default();
    for task in 1..7 {
        script.sends(0, task, &command(task));
        script.at(script.now + 100).posts(1, task, &command(task));
    }
    script.sends(0, 7, &command(7));
    script.at(script.now + 20_000).posts(1, 7, &command(7));
    script.sends(0, 8, &command(8)).sends(0, 9, &command(9));
    script.posts(1, 9, &command(9)).posts(1, 8, &command(8));
    script.posts(1, 10, &command(8));
    let ladder = script.story(Choice::default());
    assert_eq!(ladder.count(Fate::Late), 2);
    assert_eq!(ladder.count(Fate::Failed), 1, "posted again");
    insta::assert_snapshot!(text(&ladder));
    insta::assert_snapshot!("late_svg", ladder.svg());
}

#[test]
fn an_upcall_that_is_tried_again() {
    let mut script = Script::default();
    tried_again(&mut script, 2);
    insta::assert_snapshot!(text(&script.story(Choice::default())));
}

#[test]
fn a_panic_takes_with_it_what_is_under_way() {
    let mut script = Script::default();
    script.tell(1, Event::Boot { boot: 1 });
    script.sends(0, 1, &command(1)).sends(0, 2, &command(2));
    let message = &command(1);
    script.at(300).tell(1, Event::Post { post: 1, message });
    script.call(1, 1, 1, &data(1));
    script.tell(
        1,
        Event::Panic {
            trap: 2,
            reason: "session 1 is in the list twice",
        },
    );
    script.tell(1, Event::RelayEnded);
    script.at(9_000_000).tell(1, Event::Boot { boot: 2 });
    let ladder = script.story(Choice::default());
    assert_eq!(ladder.count(Fate::Lost), 1, "the second command");
    insta::assert_snapshot!(text(&ladder));
}

#[test]
fn calls_and_posts_that_never_end() {
    let mut script = Script::default();
    script.reads(1).call(0, 1, 1, &command(1));
    let message = &data(9);
    script.tell(0, Event::Post { post: 1, message });
    script.sends(1, 1, &data(8));
    insta::assert_snapshot!(text(&script.story(Choice::default())));
}

#[test]
fn the_recording_of_one_node_has_an_unknown_peer() {
    let mut script = Script::default();
    script.call(0, 1, 0, &command(1)).answer(0, 1, Ok(0));
    script.at(500).posts(0, 1, &status(1));
    script.call(0, 2, 0, &command(2)).answer(0, 2, Ok(134));
    let cast = Cast {
        left: 0,
        right: None,
    };
    let ladder = script.story_of(cast, 100, Choice::default());
    assert_eq!(ladder.lanes, ["kernel 0", "relay 0", "peer"]);
    insta::assert_snapshot!(text(&ladder));
    insta::assert_snapshot!("one_node_svg", ladder.svg());
}

/// The first words of the labels of a diagram.
fn labels(ladder: &Ladder) -> Vec<&str> {
    let items = ladder.items().iter();
    items
        .filter_map(|item| match item {
            Item::Arrow(arrow) if !arrow.goes_on => Some(&*arrow.label),
            _ => None,
        })
        .collect()
}

#[test]
fn choices_take_whole_exchanges() {
    let mut script = Script::default();
    for task in 1..4 {
        read(&mut script, task);
    }
    tried_again(&mut script, 9);
    let all = script.story(Choice::default()).items().len();
    let task = script.story(Choice {
        tasks: vec![2],
        ..Choice::default()
    });
    let of_task = labels(&task);
    assert_eq!(
        (of_task.len(), of_task[0], of_task[9]),
        (10, "READ(10) #2", "GOOD 512 #2"),
        "the command of the initiator belongs to the task"
    );
    assert!(task.remarks[0].contains("left out by the filters"));
    let errors = script.story(Choice {
        errors: true,
        ..Choice::default()
    });
    assert!(
        labels(&errors).iter().all(|label| label.contains('9')),
        "{:?}",
        labels(&errors)
    );
    assert_eq!(labels(&errors).len(), 4);
    let session = |session| Choice {
        sessions: vec![session],
        ..Choice::default()
    };
    assert_eq!(labels(&script.story(session(2))).len(), 0);
    // The note about what has no status belongs to no session, but is worth telling.
    assert_eq!(script.story(session(SESSION)).items().len(), all);
    let types = script.story(Choice {
        types: vec![TypeChoice::Message(MessageType::ScsiStatus)],
        ..Choice::default()
    });
    assert!(
        labels(&types)
            .iter()
            .all(|label| label.starts_with("scsi_status"))
    );
    assert_eq!(labels(&types).len(), 6);
    let late = script.story(Choice {
        from: Some(1_000_000_000),
        ..Choice::default()
    });
    assert_eq!(labels(&late), ["scsi_cmd 9 READ(10)"; 2]);
}

#[test]
fn a_full_diagram_says_what_it_leaves_out() {
    let mut script = Script::default();
    read(&mut script, 1);
    let all = script.story(Choice::default()).items().len();
    let exact = script.story_of(Cast::BOTH, all, Choice::default());
    assert_eq!(exact.remarks, [""; 0]);
    let ladder = script.story_of(Cast::BOTH, all - 1, Choice::default());
    assert_eq!(ladder.items().len(), all - 1);
    assert!(
        ladder
            .text(Style::PLAIN, 100)
            .contains("... 1 line left out")
    );
    assert!(ladder.remarks[0].starts_with("the first 13 lines of 14"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut story = Story::new(Cast::BOTH, 5, Choice::default());
    for call in 1..=TABLE_LIMIT as u64 + 10 {
        let message = call.to_be_bytes();
        let event = Event::Upcall {
            call,
            attempt: 1,
            lock_held: false,
            message: &message,
        };
        story.record(&Record::new(call, Time::ZERO, Some(0), event));
    }
    assert_eq!(story.calls.len(), TABLE_LIMIT);
    assert_eq!(story.travels.len(), TABLE_LIMIT);
    assert_eq!(story.by_digest.len(), TABLE_LIMIT);
    assert_eq!(story.finish().items().len(), 5);
}

fn any_event() -> impl Strategy<Value = (u8, u8, u64, u8)> {
    (0..16u8, 0..3u8, 0..4u64, 0..4u8)
}

proptest! {
    /// Whatever a trace tells, in whatever order, the diagram can be drawn.
    #[test]
    fn any_trace_can_be_told(
        events in prop::collection::vec(any_event(), 0..60),
        most in 0..40usize,
        errors: bool,
    ) {
        let mut script = Script::default();
        for (kind, node, number, what) in events {
            let bytes = match what {
                0 => command(number),
                1 => data(number),
                2 => status(number),
                _ => vec![what, number as u8],
            };
            let outcome = if what == 3 { Err(11) } else { Ok(u32::from(what)) };
            match kind {
                0..4 => script.call(node, number, what, &bytes),
                4..7 => script.answer(node, number, outcome),
                7..9 => script.tell(node, Event::Post { post: number, message: &bytes }),
                9 => script.tell(node, Event::PostDone {
                    post: number,
                    outcome: outcome.map(|_| ()),
                }),
                10 => script.reads(number),
                11 => script.good(number),
                12 => script.tell(node, Event::PowerOff),
                13 => script.tell(node, Event::Boot { boot: number }),
                14 => script.tell(node, Event::Disconnected {
                    connection: 1,
                    end: ConnectionEnd::Closed,
                }),
                _ => script.tell(None, Event::Step("<&>")),
            };
        }
        for cast in [Cast::BOTH, Cast { left: 1, right: None }] {
            let choice = Choice { errors, ..Choice::default() };
            let ladder = script.story_of(cast, most, choice);
            // One more note at the end names commands without status.
            prop_assert!(ladder.items().len() <= most + 1);
            let text = text(&ladder);
            prop_assert!(text.lines().all(|line| line.chars().count() <= 100), "{}", text);
        }
    }
}
