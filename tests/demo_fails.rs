// SPDX-License-Identifier: MPL-2.0
//! The promise: the checks of the demonstration can fail. A relay that damages, loses, repeats or
//! invents messages is found, and the report says what is wrong.

use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;
use stmf_proxy::message::{MessageType, peek};
use stmf_proxy::relay::{Action, Input, PostId, Relay};
use stmf_proxy::time::Time;
use stmf_sim::demo::{self, Report, Settings, Source};
use stmf_sim::report::style::Style;
use stmf_sim::world::driver::RelayMachine;
use stmf_sim::world::{Host, RelayProgram, StandardRelay};

/// What is done to a message that is about to be posted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Its last byte of data is changed.
    Damage,
    /// It is not posted.
    Skip,
    /// It is posted twice.
    Twice,
}

/// Does something wrong to the `which`th message of a type that comes to a node.
#[derive(Clone, Copy)]
struct Saboteur {
    node: u8,
    message_type: MessageType,
    which: usize,
    wrong: Wrong,
}

struct Sabotaged {
    relay: Relay,
    plan: Option<Saboteur>,
    seen: usize,
    more: VecDeque<Action>,
    skipped: Option<PostId>,
}

impl RelayProgram for Saboteur {
    fn start(&self, host: Host) {
        let standard = StandardRelay::new();
        let relay = Relay::new(standard.config(&host)).unwrap();
        let plan = (host.node() == self.node).then_some(*self);
        let machine = Sabotaged {
            relay,
            plan,
            seen: 0,
            more: VecDeque::new(),
            skipped: None,
        };
        standard.start_machine(host, machine);
    }
}

impl RelayMachine for Sabotaged {
    fn handle(&mut self, now: Time, input: Input) {
        // The second end of a message that was posted twice is not the relay's.
        if let Input::PostFinished { post, .. } = &input
            && self.skipped == Some(*post)
        {
            self.skipped = None;
            return;
        }
        self.relay.handle(now, input);
    }

    fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.more.pop_front() {
            return Some(action);
        }
        let action = self.relay.poll_action()?;
        let (
            Some(plan),
            Action::Post {
                post,
                lane,
                message,
            },
        ) = (self.plan, &action)
        else {
            return Some(action);
        };
        if peek(message).map(|peek| peek.message_type) != Some(plan.message_type) {
            return Some(action);
        }
        self.seen += 1;
        if self.seen != plan.which {
            return Some(action);
        }
        match plan.wrong {
            Wrong::Damage => {
                let mut bytes = message.to_vec();
                // The end of the list takes eight bytes; before it stands the last word of data.
                let place = bytes.len() - 9;
                bytes[place] ^= 1;
                Some(Action::Post {
                    post: *post,
                    lane: *lane,
                    message: Bytes::from(bytes),
                })
            }
            Wrong::Skip => {
                let now = Time::ZERO;
                self.relay.handle(
                    now,
                    Input::PostFinished {
                        post: *post,
                        result: Ok(()),
                    },
                );
                self.poll_action()
            }
            Wrong::Twice => {
                self.more.push_back(action.clone());
                self.skipped = Some(*post);
                Some(action)
            }
        }
    }

    fn next_timer(&self) -> Option<Time> {
        self.relay.next_timer()
    }
}

fn report(relay: impl RelayProgram + 'static) -> Report {
    let source = Source::Made { size: 512 << 10 };
    let settings = Settings {
        source,
        relay: Rc::new(relay),
        ..Settings::default()
    };
    demo::run(settings, |_| ()).unwrap()
}

/// The checks that failed, as the report prints them.
fn failures(report: &Report) -> Vec<String> {
    let failed = report.checks.iter().filter(|check| !check.passed);
    failed
        .map(|check| format!("{}: {}", check.what, check.detail))
        .collect()
}

fn sabotaged(message_type: MessageType, which: usize, wrong: Wrong) -> Report {
    let report = report(Saboteur {
        node: 0,
        message_type,
        which,
        wrong,
    });
    assert!(!report.passed());
    let text = report.text(Style::PLAIN, std::time::Duration::ZERO);
    assert!(
        text.contains("FAIL: ") && text.contains("stmf-sim demo --seed 1"),
        "{text}"
    );
    report
}

#[test]
fn a_relay_that_does_no_wrong_passes() {
    let plan = Saboteur {
        node: 0,
        message_type: MessageType::ScsiData,
        which: usize::MAX,
        wrong: Wrong::Damage,
    };
    assert_eq!(failures(&report(plan)), [""; 0]);
}

#[test]
fn one_damaged_bit_of_data_is_found() {
    let report = sabotaged(MessageType::ScsiData, 9, Wrong::Damage);
    let failed = failures(&report);
    assert!(
        failed[0].starts_with("what was copied through the standby path is the disk: SHA-256"),
        "{failed:#?}"
    );
    assert_eq!(failed.len(), 1, "{failed:#?}");
}

#[test]
fn a_lost_message_is_found() {
    let report = sabotaged(MessageType::ScsiData, 9, Wrong::Skip);
    let failed = failures(&report).join("\n");
    assert!(
        failed.contains("through the standby path: aborted by the target"),
        "{failed}"
    );
    assert!(
        failed.contains("every command has ended with a status"),
        "{failed}"
    );
    assert!(
        failed.contains("every message that a door took was posted"),
        "{failed}"
    );
}

#[test]
fn a_message_that_is_posted_twice_is_found() {
    let report = sabotaged(MessageType::ScsiStatus, 3, Wrong::Twice);
    let failed = failures(&report).join("\n");
    assert!(
        failed.contains("every message that a door took was posted"),
        "{failed}"
    );
}

/// A program that does nothing at all.
struct Absent;

impl RelayProgram for Absent {
    fn start(&self, _: Host) {}
}

#[test]
fn a_relay_that_does_nothing_is_found() {
    let failed = failures(&report(Absent)).join("\n");
    assert!(
        failed.contains("the relay of node 0 does not find its peer"),
        "{failed}"
    );
}
