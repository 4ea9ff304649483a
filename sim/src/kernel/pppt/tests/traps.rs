// SPDX-License-Identifier: MPL-2.0
//! The traps, each on both profiles, and what the recordings do not show. (Ordinary traffic is in
//! the recordings.)

use super::*;
use crate::kernel::play::{Ending, Output, Player, ServicePlayer};
use crate::kernel::{Defects, KernelConfig, Panic, Profile};
use serde_json::json;
use stmf_proxy::message::{Dialect, Message, hex, status};

struct Node(ServicePlayer);

impl Node {
    /// Open, with a door and two proxy ports.
    fn new(profile: Profile) -> Node {
        Node::with(KernelConfig {
            profile,
            ..KernelConfig::default()
        })
    }

    fn with(config: KernelConfig) -> Node {
        let mut node = Node(ServicePlayer::new(config));
        node.step(json!({"op": "open"}));
        node.step(json!({"op": "install"}));
        node.register("t1", 2);
        node.register("t2", 2);
        node
    }

    fn step(&mut self, step: serde_json::Value) -> Output {
        self.0.step(&step.to_string()).expect("a step")
    }

    fn post(&mut self, body: Body) -> Output {
        self.step(json!({"op": "post", "msg": Message { msgid: 99, body }}))
    }

    fn register(&mut self, target: &str, code_set: u8) -> Output {
        self.post(register(target, code_set))
    }

    fn deregister(&mut self, target: &str) -> Output {
        self.post(deregister(target))
    }

    fn command(&mut self, request: &Request) -> Output {
        self.post(request.body())
    }

    fn transfer_done(&mut self, task: u64, status: u64) -> Output {
        self.post(transfer_done(task, status))
    }

    fn destroy(&mut self, session: u64, initiator: &'static str, target: &str) -> Output {
        self.post(destroy(session, initiator, target))
    }

    fn hold(&mut self, on: bool) -> Output {
        self.step(json!({"op": "lu_hold", "on": on}))
    }

    fn fail_door(&mut self, errno: &str, times: u64) {
        self.step(json!({"op": "door", "errno": errno, "times": times}));
    }

    fn panic(&self) -> Panic {
        self.0
            .machinery()
            .kernel()
            .panicked()
            .expect("the node has panicked")
    }

    /// Asserts that nothing has come of it: the node is sound, and goes on working.
    fn assert_sound(&mut self) {
        assert_eq!(self.0.machinery().ending(), None);
        let kernel = self.0.machinery().kernel().clone();
        assert_eq!(kernel.pppt().inconsistencies(), Vec::<String>::new());
        self.hold(false);
        let target = kernel.pppt().targets()[0].id.clone();
        let probe = Request {
            target,
            session: 1000,
            task: 1000,
            ..ready(1000, 1000)
        };
        assert_eq!(types(&self.command(&probe)), ["scsi_status"]);
        assert_eq!(
            self.step(json!({"op": "close"})).result.as_deref(),
            Some("ok")
        );
        assert_eq!(kernel.pppt().session_count(), 0);
        assert_eq!(kernel.stmf().task_count(), 0);
    }
}

fn types(output: &Output) -> Vec<&'static str> {
    output
        .upcalls
        .iter()
        .map(|message| message.message_type().name())
        .collect()
}

/// The outcome on the profile illumos is a panic by this trap; on the profile hardened the
/// message is refused with a line in the log and the node goes on.
fn assert_trap(trap: u8, spring: impl Fn(&mut Node) -> Output) {
    let mut node = Node::new(Profile::Illumos);
    let output = spring(&mut node);
    assert_eq!(output.result, None);
    assert_eq!(node.panic().trap, Some(trap), "{}", node.panic().reason);

    let mut node = Node::new(Profile::Hardened);
    let output = spring(&mut node);
    assert_eq!(output.result.as_deref(), Some("ok"));
    assert!(
        !output.log.is_empty(),
        "a line in the log says what was refused"
    );
    node.assert_sound();
}

#[test]
fn trap_1_a_mismatch_leaks_a_hold_and_whoever_closes_the_session_waits_for_ever() {
    type Do = fn(&mut Node) -> Output;
    let leaks: [(&str, Do); 4] = [
        ("a command for an unknown target", |node| {
            node.command(&Request {
                target: name("t9"),
                ..ready(1, 2)
            })
        }),
        ("a lower id than the nexus has", |node| {
            node.command(&Request {
                target: name("t2"),
                ..ready(7, 2)
            });
            node.command(&Request {
                target: name("t2"),
                ..ready(1, 3)
            })
        }),
        ("an end of session with another initiator", |node| {
            node.destroy(1, "iqn.x:i2", "t1")
        }),
        ("an end of session with another target", |node| {
            node.destroy(1, "iqn.x:i1", "t2")
        }),
    ];
    let closes: [(&str, Do); 4] = [
        ("end of session", |node| node.destroy(1, "iqn.x:i1", "t1")),
        ("a higher id", |node| node.command(&ready(50, 50))),
        ("deregistration", |node| node.deregister("t1")),
        ("close", |node| node.step(json!({"op": "close"}))),
    ];
    for (leaking, leak) in leaks {
        for (closing, close) in closes {
            let mut node = Node::new(Profile::Illumos);
            node.command(&ready(1, 1));
            assert_eq!(leak(&mut node).result.as_deref(), Some("ok"));
            let pppt = node.0.machinery().kernel().clone();
            assert_eq!(
                pppt.pppt().inconsistencies(),
                ["session 1 has 0 tasks but 1 holds"]
            );
            assert_eq!(
                types(&node.command(&ready(1, 4))),
                ["scsi_status"],
                "it goes on working"
            );
            let output = close(&mut node);
            assert!(output.hang, "{leaking}, then {closing}");
            assert_eq!(output.result, None);
            let Some(Ending::Hang(blocked)) = node.0.machinery().ending() else {
                unreachable!()
            };
            let holder = blocked
                .iter()
                .find(|line| line.contains("the last hold on a session"));
            let holder = holder.expect("somebody waits for the hold");
            assert!(holder.contains("the pppt global lock"), "{holder}");
            assert!(holder.contains("the lock of a proxy port"), "{holder}");

            let mut node = Node::new(Profile::Hardened);
            node.command(&ready(1, 1));
            assert!(!leak(&mut node).log.is_empty());
            let output = close(&mut node);
            assert_eq!(
                output.result.as_deref(),
                Some("ok"),
                "{leaking}, then {closing}"
            );
        }
    }
    let mut node = Node::new(Profile::Hardened);
    node.command(&ready(1, 1));
    leaks.iter().for_each(|(_, leak)| drop(leak(&mut node)));
    node.assert_sound();
}

#[test]
fn trap_2_a_session_id_of_another_nexus() {
    assert_trap(2, |node| {
        node.command(&ready(1, 1));
        node.command(&Request {
            target: name("t2"),
            ..ready(1, 2)
        })
    });
    // As after a reboot of the peer: another initiator is first this time.
    assert_trap(2, |node| {
        node.command(&ready(1, 1));
        node.command(&Request {
            initiator: "iqn.x:i2",
            ..ready(1, 2)
        })
    });
}

#[test]
fn trap_3_a_completion_that_nobody_expects() {
    for outcome in [status::SUCCESS, status::FAILURE] {
        // A command that is still running.
        assert_trap(3, |node| {
            node.hold(true);
            node.command(&read(1, 1));
            node.transfer_done(1, outcome)
        });
        // A write that waits for data that never comes.
        assert_trap(3, |node| {
            let flags = task_flags::WRITE_DATA;
            let cdb = WRITE_ONE.to_vec();
            let output = node.command(&Request {
                cdb,
                flags,
                expected: 512,
                ..ready(1, 1)
            });
            assert_eq!(output.tasks, 1);
            node.transfer_done(1, outcome)
        });
    }
    // A second failure.
    assert_trap(3, |node| {
        node.command(&read(1, 1));
        assert_eq!(node.transfer_done(1, status::FAILURE).tasks, 1);
        node.transfer_done(1, status::FAILURE)
    });
    // A failure of data that never went out.
    assert_trap(3, |node| {
        node.fail_door("EIO", 1);
        node.command(&read(1, 1));
        node.transfer_done(1, status::FAILURE)
    });
}

#[test]
fn a_small_read_whose_data_failed_still_ends_with_a_later_good_completion() {
    for lost in [false, true] {
        let mut node = Node::new(Profile::Illumos);
        if lost {
            node.fail_door("EIO", 1);
        }
        node.command(&read(1, 1));
        if !lost {
            assert_eq!(types(&node.transfer_done(1, status::FAILURE)), [""; 0]);
        }
        let output = node.transfer_done(1, status::SUCCESS);
        assert_eq!((types(&output), output.tasks), (vec!["scsi_status"], 0));
        node.assert_sound();
    }
}

/// A message with one field under another name.
fn without(body: Body, field: &str) -> String {
    let mut wire = Message { msgid: 1, body }.encode(Dialect::Current).unwrap();
    let place = wire
        .windows(field.len())
        .position(|part| part == field.as_bytes());
    wire[place.expect("the field is there")] = b'X';
    hex::encode(&wire)
}

#[test]
fn trap_4_a_field_up_to_the_transport_id_is_missing() {
    let session = SessionMessage {
        ini_devid: name("iqn.x:i1"),
        tgt_devid: name("t1"),
        rport: Some(rport("iqn.x:i1", 20)),
        session_id: 1,
    };
    let with_data = Request {
        data: vec![1; 512],
        ..read(1, 1)
    };
    for (body, fields) in [
        (
            with_data.body(),
            &[
                "icsc_task_msgid",
                "icsc_session_id",
                "icsc_task_expected_xfer_length",
                "icsc_task_cdb_length",
                "icsc_task_flags",
                "icsc_task_mgmt_function",
                "icsc_immed_data_len",
                "icsc_ini_devid",
                "icsc_tgt_devid",
                "icsc_rport",
            ][..],
        ),
        (
            Body::SessionCreate(session.clone()),
            &[
                "icscd_session_id",
                "icscd_ini_devid",
                "icscd_tgt_devid",
                "icscd_rport",
            ],
        ),
        (
            Body::SessionDestroy(session),
            &[
                "icscd_session_id",
                "icscd_ini_devid",
                "icscd_tgt_devid",
                "icscd_rport",
            ],
        ),
    ] {
        for field in fields {
            let wire = without(body.clone(), field);
            assert_trap(4, |node| node.step(json!({"op": "post", "wire": wire})));
        }
    }
}

#[test]
fn fields_after_the_transport_id_are_refused_with_a_warning() {
    let with_data = Request {
        data: vec![1; 512],
        ..read(1, 1)
    };
    for field in [
        "icm_msg_type",
        "icm_msgid",
        "icsc_lun_id",
        "icsc_task_lun_no",
        // The shorter name stands in the longer one, which comes first on the wire.
        "icsc_task_cdb\0",
        "icsc_immed_data\0",
    ] {
        let mut node = Node::new(Profile::Illumos);
        let output = node.step(json!({"op": "post", "wire": without(with_data.body(), field)}));
        assert_eq!(output.result.as_deref(), Some("ok"), "{field}");
        assert_eq!(output.log.len(), 1, "{field}");
        node.assert_sound();
    }
}

#[test]
fn trap_5_a_registration_with_another_code_set() {
    assert_trap(5, |node| node.register("t1", 1));
    // The first time it is taken, and found by code set 2 only.
    let mut node = Node::new(Profile::Illumos);
    node.register("t0", 3);
    assert_eq!(node.deregister("t0").status_before_wire, ["STMF_SUCCESS"]);
}

#[test]
fn trap_6_a_transport_id_of_another_length() {
    assert_trap(6, |node| {
        node.command(&ready(1, 1));
        node.command(&Request {
            padded: 24,
            ..ready(1, 2)
        })
    });
}

#[test]
fn trap_7_the_status_of_a_small_read_does_not_go_out() {
    for (errno, times) in [("EIO", 1), ("EBADF", 1), ("EAGAIN", 3)] {
        assert_trap(7, |node| {
            node.command(&read(1, 1));
            node.fail_door(errno, times);
            node.transfer_done(1, status::SUCCESS)
        });
    }
    let mut node = Node::new(Profile::Illumos);
    node.command(&read(1, 1));
    node.step(json!({"op": "door", "result": 5}));
    assert_eq!(
        types(&node.transfer_done(1, status::SUCCESS)),
        ["scsi_status"]
    );
    node.fail_door("EAGAIN", 2);
    node.command(&read(1, 2));
    assert_eq!(
        types(&node.transfer_done(2, status::SUCCESS)),
        ["scsi_status"]
    );
    node.assert_sound();
}

#[test]
fn trap_9_an_initial_burst_without_data() {
    for cdb in [WRITE_ONE.to_vec(), TEST_UNIT_READY.to_vec()] {
        assert_trap(9, |node| {
            let flags = task_flags::INITIAL_BURST | task_flags::WRITE_DATA;
            node.command(&Request {
                cdb: cdb.clone(),
                flags,
                expected: 512,
                ..ready(1, 1)
            })
        });
    }
}

#[test]
fn an_empty_message_is_dropped_like_any_other_that_is_none() {
    let mut node = Node::new(Profile::Illumos);
    let output = node.step(json!({"op": "post", "wire": ""}));
    assert_eq!(
        (output.result.as_deref(), output.log.len()),
        (Some("ok"), 1)
    );
    node.assert_sound();
}

#[test]
fn privilege_and_version_are_checked_before_the_command() {
    let mut node = Node::new(Profile::Illumos);
    for (step, expected) in [
        (json!({"op": "ioctl", "cmd": 77}), "ok"),
        (
            json!({"op": "ioctl", "cmd": "0x50505009", "priv": false}),
            "EPERM",
        ),
        (json!({"op": "ioctl", "cmd": 77, "version": 2}), "EINVAL"),
        (
            json!({"op": "install_again", "priv": false, "version": 0}),
            "EPERM",
        ),
        (json!({"op": "install_again", "version": 0}), "EINVAL"),
        (json!({"op": "install_again"}), "EBUSY"),
        (json!({"op": "post", "wire": "00", "priv": false}), "EPERM"),
        (json!({"op": "post", "wire": "00", "version": 3}), "EINVAL"),
    ] {
        assert_eq!(
            node.step(step.clone()).result.as_deref(),
            Some(expected),
            "{step}"
        );
    }
    assert_eq!(
        node.0.machinery().kernel().pppt().unload_check(),
        Err(stmf_proxy::status::Errno::EBUSY)
    );
    node.assert_sound();
}

#[test]
fn the_dialect_of_2009_knows_initiators_by_their_names() {
    let mut node = Node::with(KernelConfig {
        dialect: Dialect::Y2009,
        ..KernelConfig::default()
    });
    let mut old = ready(1, 1);
    let body = |request: &Request| match request.body() {
        Body::ScsiCommand(command) => Body::ScsiCommand(ScsiCommand {
            rport: None,
            ..command
        }),
        other => other,
    };
    assert_eq!(types(&node.post(body(&old))), ["scsi_status"]);
    old.initiator = "iqn.x:i2";
    old.session = 2;
    assert_eq!(node.post(body(&old)).sessions, 2);
    // A TransportID is made of the name: NUL-terminated, and padded to a multiple of 4.
    let long = Request {
        initiator: "iqn.2009-01.org.x:i1",
        ..ready(9, 9)
    };
    node.post(body(&long));
    let sessions = node.0.machinery().kernel().pppt().sessions();
    assert_eq!(sessions[2].rport, rport(long.initiator, 24));
    node.post(match destroy(9, long.initiator, "t1") {
        Body::SessionDestroy(session) => Body::SessionDestroy(SessionMessage {
            rport: None,
            ..session
        }),
        other => other,
    });
    // The first nexus again, with a higher id.
    old.initiator = "iqn.x:i1";
    old.session = 3;
    assert_eq!(node.post(body(&old)).sessions, 2);
    // Task management cannot be said in this dialect.
    old.cdb.clear();
    let output = node.post(body(&old));
    assert_eq!((types(&output).len(), output.log.len()), (0, 1));
    assert_eq!(output.panic, None, "it is refused in silence");
}

#[test]
fn a_task_that_nobody_holds_is_freed_twice_when_its_id_comes_twice() {
    for unheld_tasks in [false, true] {
        let mut node = Node::with(KernelConfig {
            defects: Defects {
                unheld_tasks,
                ..Defects::default()
            },
            ..KernelConfig::default()
        });
        node.hold(true);
        node.command(&ready(1, 1));
        let panic = node.command(&ready(1, 1)).panic;
        let freed_twice = panic.is_some_and(|panic| panic.contains("freed twice"));
        assert_eq!(freed_twice, unheld_tasks);
    }
}

#[test]
fn a_kernel_that_refuses_proxy_ports_says_so_and_has_none() {
    for refuse_proxy_ports in [false, true] {
        let node = Node::with(KernelConfig {
            defects: Defects {
                refuse_proxy_ports,
                ..Defects::default()
            },
            ..KernelConfig::default()
        });
        let refused = if refuse_proxy_ports { 2 } else { 0 };
        let pppt = node.0.machinery().kernel().pppt();
        assert_eq!(pppt.counters().tgt_reg_create_fail.get(), refused);
        assert_eq!(pppt.targets().len() as u64, 2 - refused);
    }
}
