// SPDX-License-Identifier: MPL-2.0

use super::*;
use crate::view::example::{READ, SESSION, scsi_cmd, scsi_status};
use stmf_proxy::time::Time;

fn told(follower: &mut Follower, node: NodeId, now: u64, event: Event<'_>) -> Context {
    let record = Record::new(1, Time::ZERO, Some(node), event);
    follower.follow(&record, None, now)
}

fn upcall(call: u64, attempt: u8, message: &[u8]) -> Event<'_> {
    Event::Upcall {
        call,
        attempt,
        lock_held: false,
        message,
    }
}

fn command(tag: u64) -> Event<'static> {
    Event::Command {
        initiator: 2,
        tag,
        session: SESSION,
        lun: crate::view::example::LUN,
        flags: 0,
        expected: 0,
        cdb: &READ,
        data: &[],
    }
}

#[test]
fn a_command_is_followed_to_the_other_node_and_back() {
    let mut follower = Follower::new();
    for tag in [8, 9] {
        told(&mut follower, 0, 100 + tag, command(tag));
    }
    let message = scsi_cmd(3, 77, &READ, 0);
    let context = told(&mut follower, 0, 110, upcall(1, 1, &message));
    assert_eq!(context.task, Some(77));
    assert_eq!(context.command.map(|key| key.tag), Some(8), "the older");
    // A second attempt is not the second command.
    let done = Event::UpcallDone {
        call: 1,
        outcome: Err(11),
    };
    assert_eq!(told(&mut follower, 0, 112, done).began, Some(110));
    let context = told(&mut follower, 0, 115, upcall(1, 2, &message));
    assert_eq!(context.command.map(|key| key.tag), Some(8));
    let post = Event::Post {
        post: 5,
        message: &message,
    };
    let context = told(&mut follower, 1, 120, post);
    assert_eq!(context.command, None, "it is of the other node");
    let status = scsi_status(77, 0, &[]);
    let context = told(&mut follower, 1, 150, upcall(4, 1, &status));
    assert_eq!(
        (context.began, context.cdb),
        (Some(120), Some(Cdb::new(&READ)))
    );
    let post = Event::Post {
        post: 6,
        message: &status,
    };
    let context = told(&mut follower, 0, 170, post);
    assert_eq!(context.began, Some(110), "the first attempt counts");
    assert_eq!(follower.open_tasks().count(), 0);
    let ended = Event::TimedOut {
        initiator: 2,
        tag: 8,
    };
    let context = told(&mut follower, 0, 180, ended);
    assert_eq!((context.began, context.task), (Some(108), Some(77)));
    let open: Vec<u64> = follower.open_commands().map(|(key, _)| key.tag).collect();
    assert_eq!(open, [9]);
}

#[test]
fn an_answer_is_about_what_it_answers() {
    use stmf_proxy::message::Status;
    let mut follower = Follower::new();
    let message = scsi_cmd(3, 77, &READ, 0);
    told(&mut follower, 0, 10, upcall(1, 1, &message));
    let status = Status {
        status_msg_type: 4,
        status_msgid: 3,
        status: 1,
    };
    let status = crate::view::example::encoded(9, Body::Status(status));
    let post = Event::Post {
        post: 1,
        message: &status,
    };
    assert_eq!(told(&mut follower, 1, 20, post).task, None, "another node");
    let context = told(&mut follower, 0, 20, post);
    assert_eq!((context.task, context.began), (Some(77), Some(10)));
    assert_eq!(follower.open_calls(Way::Down), 2);
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut follower = Follower::with_limit(3);
    for number in 0..3 {
        told(&mut follower, 0, number, command(number));
    }
    assert_eq!(follower.forgotten(), 0);
    told(&mut follower, 0, 4, command(4));
    assert_eq!(follower.forgotten(), 1);
    assert_eq!(follower.open_commands().count(), 3);
    let done = Event::Aborted {
        initiator: 2,
        tag: 0,
    };
    let context = told(&mut follower, 0, 5, done);
    assert_eq!(context.began, None, "forgotten");
    assert_eq!(context.command.map(|key| key.tag), Some(0), "but named");
}
