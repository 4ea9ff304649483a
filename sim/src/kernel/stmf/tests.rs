// SPDX-License-Identifier: MPL-2.0
//! What the recordings do not show: the hardened profile, small port buffers, and threads that
//! wait for the stmf lock. (What they show is tested by playing them, in tests/.)

use crate::kernel::play::{NodePlayer, Player};
use crate::kernel::{KernelConfig, Profile};
use serde_json::{Value, json};

const LU: &str = "600144f0000000000000000000000001";
const INITIATOR: &str = "iqn.1993-08.org.debian:01:i1";

/// A node with a port, a standby LU and a session, ALUA on, the port registered with the peer:
/// the next message id is 2.
fn node(profile: Profile) -> NodePlayer {
    let mut node = NodePlayer::new(KernelConfig {
        profile,
        ..KernelConfig::default()
    });
    for step in [
        json!({"op": "open"}),
        json!({"op": "install"}),
        json!({"op": "add_port", "port": "p", "alua": true}),
        json!({"op": "add_lu", "guid": LU, "state": "standby"}),
        json!({"op": "alua", "enabled": true, "node": 0}),
        post(
            json!({"type": "status", "msgid": 1, "status_msg_type": 0, "status_msgid": 1,
            "status": 0}),
        ),
        json!({"op": "session", "port": "p", "initiator": INITIATOR, "id": 7}),
    ] {
        do_step(&mut node, step);
    }
    node
}

fn do_step(node: &mut NodePlayer, step: Value) -> Value {
    let line = step.to_string();
    let output = node
        .step(&line)
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    serde_json::to_value(output).expect("an outcome is JSON")
}

fn post(msg: Value) -> Value {
    json!({"op": "post", "msg": msg})
}

fn read(tag: u64, blocks: u8) -> Value {
    let cdb = format!("280000000000000{:03x}00", u16::from(blocks));
    json!({"op": "scsi", "port": "p", "initiator": INITIATOR, "tag": tag, "lun": 0,
        "cdb": cdb, "expected": u32::from(blocks) * 512})
}

fn data(task: u64, data: &[u8]) -> Value {
    let data = stmf_proxy::message::hex::encode(data);
    post(
        json!({"type": "scsi_data", "msgid": 0, "task_msgid": task, "session_id": 7,
        "lun_id": LU, "data": data}),
    )
}

fn scsi_status(task: u64) -> Value {
    post(
        json!({"type": "scsi_status", "msgid": 0, "task_msgid": task, "session_id": 7,
        "lun_id": LU, "response": 0, "status": 0, "flags": 0, "resid": 0, "sense": ""}),
    )
}

fn ended_by_panic(outcome: &Value) -> bool {
    outcome.get("panic").is_some()
}

fn offsets(outcome: &Value) -> Vec<u64> {
    let events = outcome["initiator"].as_array().expect("a list of events");
    events
        .iter()
        .filter_map(|event| event["offset"].as_u64())
        .collect()
}

#[test]
fn a_message_before_the_first_enable_springs_trap_8_unless_hardened() {
    for (profile, panics) in [(Profile::Illumos, true), (Profile::Hardened, false)] {
        let mut node = NodePlayer::new(KernelConfig {
            profile,
            ..KernelConfig::default()
        });
        do_step(&mut node, json!({"op": "open"}));
        let outcome = do_step(&mut node, scsi_status(2));
        assert_eq!(ended_by_panic(&outcome), panics, "{profile:?}: {outcome}");
    }
}

#[test]
fn a_second_buffer_for_a_command_with_write_data_springs_trap_10_unless_hardened() {
    for (profile, panics) in [(Profile::Illumos, true), (Profile::Hardened, false)] {
        let mut node = node(profile);
        do_step(
            &mut node,
            json!({"op": "scsi", "port": "p", "initiator": INITIATOR, "tag": 1, "lun": 0,
                "cdb": "151000000400", "expected": 4, "data": "00000000"}),
        );
        assert!(!ended_by_panic(&do_step(&mut node, data(2, &[1; 4]))));
        assert_eq!(
            ended_by_panic(&do_step(&mut node, data(2, &[2; 4]))),
            panics
        );
    }
}

#[test]
fn a_second_status_before_the_port_is_done_springs_trap_11_unless_hardened() {
    for (profile, panics) in [(Profile::Illumos, true), (Profile::Hardened, false)] {
        let mut node = node(profile);
        do_step(&mut node, read(1, 1));
        do_step(&mut node, json!({"op": "port_hold", "on": true}));
        let first = do_step(&mut node, scsi_status(2));
        assert_eq!(first["initiator"].as_array().map(Vec::len), Some(1));
        do_step(&mut node, scsi_status(2));
        let finished = do_step(&mut node, json!({"op": "port_hold", "on": false}));
        assert_eq!(ended_by_panic(&finished), panics, "{profile:?}");
    }
}

#[test]
fn task_0_and_registration_0_are_refused_when_hardened() {
    let mut hardened = node(Profile::Hardened);
    do_step(
        &mut hardened,
        json!({"op": "add_port", "port": "unregistered", "alua": false}),
    );
    let answered = do_step(
        &mut hardened,
        post(
            json!({"type": "status", "msgid": 9, "status_msg_type": 0, "status_msgid": 0,
            "status": 0}),
        ),
    );
    assert_eq!(answered["proxy_registered"], json!(["p"]));
    do_step(
        &mut hardened,
        json!({"op": "add_lu", "state": "active",
        "guid": "600144f0000000000000000000000002"}),
    );
    let refused = do_step(&mut hardened, scsi_status(0));
    assert_eq!(refused["initiator"], json!([]));
}

#[test]
fn data_that_does_not_wait_begins_at_the_same_offset_or_is_refused_when_hardened() {
    for (profile, expected) in [(Profile::Illumos, vec![0]), (Profile::Hardened, vec![])] {
        let mut node = node(profile);
        do_step(&mut node, read(1, 2));
        do_step(&mut node, json!({"op": "port_hold", "on": true}));
        assert_eq!(offsets(&do_step(&mut node, data(2, &[1; 512]))), [0]);
        assert_eq!(
            offsets(&do_step(&mut node, data(2, &[2; 512]))),
            expected,
            "{profile:?}"
        );
    }
}

#[test]
fn a_fifth_buffer_on_the_way_to_the_initiator_aborts_the_task() {
    let mut node = node(Profile::Illumos);
    do_step(&mut node, read(1, 8));
    do_step(&mut node, json!({"op": "port_hold", "on": true}));
    for _ in 0..super::proxy::PROXIED_BUFFERS_MAX {
        assert_eq!(
            do_step(&mut node, data(2, &[1; 512]))["outstanding"],
            json!([1])
        );
    }
    let fifth = do_step(&mut node, data(2, &[1; 512]));
    assert_eq!(fifth["initiator"], json!([{"tag": 1, "aborted": true}]));
    assert_eq!(fifth["outstanding"], json!([]));
}

/// The defect of large reads: pieces of the second message of a task go to the wrong place.
#[test]
fn pieces_of_a_second_large_message_are_misplaced_unless_hardened() {
    const MESSAGE: usize = 131_072 + 512;
    let second_piece = 131_072;
    for (profile, expected) in [
        (Profile::Illumos, [MESSAGE as u64, second_piece]),
        (
            Profile::Hardened,
            [MESSAGE as u64, MESSAGE as u64 + second_piece],
        ),
    ] {
        let mut node = node(profile);
        do_step(
            &mut node,
            json!({"op": "scsi", "port": "p", "initiator": INITIATOR, "tag": 1, "lun": 0,
                "cdb": "28000000000000020200", "expected": 2 * MESSAGE}),
        );
        assert_eq!(
            offsets(&do_step(&mut node, data(2, &vec![1; MESSAGE]))),
            [0, second_piece]
        );
        let second = do_step(&mut node, data(2, &vec![2; MESSAGE]));
        assert_eq!(offsets(&second), expected, "{profile:?}");
    }
}

#[test]
fn a_proxied_task_is_aborted_between_75_and_80_seconds() {
    for (begun_at, early, late) in [(0, 74, 80), (3, 75, 77), (4, 75, 76)] {
        let mut node = node(Profile::Illumos);
        do_step(&mut node, json!({"op": "advance", "seconds": begun_at}));
        do_step(&mut node, read(1, 1));
        let before = do_step(&mut node, json!({"op": "advance", "seconds": early}));
        assert_eq!(before["outstanding"], json!([1]), "begun at {begun_at} s");
        let after = do_step(&mut node, json!({"op": "advance", "seconds": late - early}));
        assert_eq!(after["outstanding"], json!([]), "begun at {begun_at} s");
    }
}

const PEER_PORT: &str = "iqn.2010-08.org.illumos:peer1";

fn device(name: &str) -> Value {
    json!({"protocol_id": 5, "code_set": 2, "piv": 1, "association": 1, "ident_type": 8,
        "ident": stmf_proxy::message::hex::encode(name.as_bytes())})
}

/// A node whose LU is active, with a proxy port of the peer's.
fn active_node() -> NodePlayer {
    let mut node = NodePlayer::new(KernelConfig::default());
    for step in [
        json!({"op": "open"}),
        json!({"op": "install"}),
        json!({"op": "add_lu", "guid": LU, "state": "active"}),
        json!({"op": "alua", "enabled": true, "node": 0}),
        post(
            json!({"type": "register_proxy_port", "msgid": 50, "port_id": device(PEER_PORT),
            "relative_port_id": 300, "cb_arg": ""}),
        ),
    ] {
        do_step(&mut node, step);
    }
    node
}

/// A TransportID of the length that [`INITIATOR`] needs.
fn transport_id() -> String {
    let name = stmf_proxy::message::hex::encode(INITIATOR.as_bytes());
    format!("05000020{name:0<64}")
}

/// A command of the peer's in session 1.
fn peer_command(task: u64, lun: u8, cdb: &str, expected: u32, flags: u8, data: &[u8]) -> Value {
    let data = stmf_proxy::message::hex::encode(data);
    post(
        json!({"type": "scsi_cmd", "msgid": task, "task_msgid": task, "session_id": 1,
        "ini_devid": device(INITIATOR), "tgt_devid": device(PEER_PORT),
        "rport": transport_id(), "lun_id": LU, "task_lun_no": format!("{lun:04x}000000000000"),
        "task_expected_xfer_length": expected, "task_cdb": cdb, "task_flags": flags,
        "task_priority": 0, "task_mgmt_function": 0, "immed_data": data}),
    )
}

fn transfer_done(task: u64) -> Value {
    post(
        json!({"type": "scsi_data_xfer_done", "msgid": 0, "task_msgid": task, "session_id": 1,
        "status": 0}),
    )
}

fn message_types(outcome: &Value) -> Vec<&str> {
    let messages = outcome["upcalls"].as_array().expect("a list of messages");
    messages
        .iter()
        .filter_map(|message| message["type"].as_str())
        .collect()
}

/// Nobody but stmf holds such a task while the peer has its data.
#[test]
fn a_number_without_lu_answers_the_peer_with_data_and_status() {
    let mut node = active_node();
    let inquiry = peer_command(1, 3, "120000002400", 36, 0x41, &[]);
    assert_eq!(message_types(&do_step(&mut node, inquiry)), ["scsi_data"]);
    let status = do_step(&mut node, transfer_done(1));
    assert_eq!(message_types(&status), ["scsi_status"]);
    assert_eq!(status["tasks"], json!(0));

    // And one that waits for the peer does not keep its session from being closed.
    do_step(&mut node, peer_command(2, 3, "120000002400", 36, 0x41, &[]));
    let closed = do_step(&mut node, json!({"op": "close"}));
    assert_eq!(
        (&closed["result"], &closed["tasks"]),
        (&json!("ok"), &json!(0))
    );
}

#[test]
fn a_write_with_more_data_than_it_moves_is_aborted_without_an_answer() {
    const BURST: u8 = 0xa1;
    let write = "2a000000000100000100";
    for (task, bytes, answers) in [(1, 512, true), (2, 513, false), (3, 511, false)] {
        let mut node = active_node();
        let outcome = do_step(
            &mut node,
            peer_command(task, 0, write, 512, BURST, &vec![7; bytes]),
        );
        assert_eq!(!message_types(&outcome).is_empty(), answers, "{bytes}");
        // Too little data: the task waits for the rest for ever.
        assert_eq!(outcome["tasks"], json!(u8::from(bytes < 512)), "{bytes}");
        let read = peer_command(9, 0, "28000000000100000100", 512, 0x41, &[]);
        let data = do_step(&mut node, read);
        let written = data["upcalls"][0]["data"].as_str().expect("data")[..4] == *"0707";
        assert_eq!(written, bytes <= 512, "{bytes}");
    }
}

#[test]
fn the_flags_of_a_command_are_as_the_step_says() {
    for (flags, sent) in [(None, 0xa1), (Some(0x21), 0x21), (Some(0x80), 0x80)] {
        let mut node = node(Profile::Illumos);
        let outcome = do_step(
            &mut node,
            json!({"op": "scsi", "port": "p", "initiator": INITIATOR, "tag": 1, "lun": 0,
                "cdb": "151000000400", "expected": 4, "data": "00000000", "immediate": true,
                "flags": flags}),
        );
        assert_eq!(outcome["upcalls"][0]["task_flags"], json!(sent));
    }
}

#[test]
fn a_command_outlives_its_session_and_its_port() {
    let mut node = node(Profile::Illumos);
    do_step(&mut node, read(1, 1));
    for step in [
        json!({"op": "end_session", "port": "p", "initiator": INITIATOR, "no_abort": true}),
        json!({"op": "remove_port", "port": "p"}),
    ] {
        assert_eq!(do_step(&mut node, step)["outstanding"], json!([1]));
    }
    do_step(&mut node, json!({"op": "port_hold", "on": true}));
    let answered = do_step(&mut node, scsi_status(2));
    assert_eq!(
        answered["initiator"],
        json!([{"tag": 1, "status": 0, "resid": 512, "resid_kind": "under"}])
    );
    assert_eq!(answered["outstanding"], json!([1]));
    let aborted = do_step(&mut node, json!({"op": "abort", "tag": 1}));
    assert_eq!(aborted["result"], json!("ok"));
    assert_eq!(aborted["outstanding"], json!([]));
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let mut node = node(Profile::Illumos);
    for step in [
        json!({"op": "lu_hold", "on": true, "why": "a note"}),
        json!({"op": "port_hold", "on": true, "why": "a note"}),
    ] {
        assert_eq!(do_step(&mut node, step)["result"], json!("ok"));
    }
}

#[test]
fn steps_that_make_no_sense_are_refused_before_anything_is_done() {
    let mut node = node(Profile::Illumos);
    for (step, complaint) in [
        (
            json!({"op": "remove_lu", "guid": "6001"}),
            "\"guid\" has 2 bytes; the id of a LU has 16",
        ),
        (
            json!({"op": "tm", "port": "p", "initiator": INITIATOR, "tag": 1, "lun": 16384,
            "function": 5}),
            "lun: 16384 is more than 16383, the most that two bytes can say",
        ),
        (
            json!({"op": "advance", "seconds": u64::MAX}),
            "seconds: 18446744073709551615 is more than 31536000, a year",
        ),
        (
            json!({"op": "scsi", "port": "p", "initiator": INITIATOR, "tag": 1, "lun": 0,
            "cdb": "zz", "expected": 0}),
            "\"cdb\" is not hexadecimal: byte 0x7a at 0 is no hexadecimal digit",
        ),
    ] {
        let error = node
            .step(&step.to_string())
            .expect_err("the step makes no sense");
        assert_eq!(error.to_string(), complaint);
    }
}

/// From 256 on LUNs have another form; the LU behind one is found by it.
#[test]
fn a_lu_past_the_256th_is_addressed() {
    let mut node = NodePlayer::new(KernelConfig::default());
    for step in [
        json!({"op": "add_port", "port": "p", "alua": true}),
        json!({"op": "add_lu", "guid": LU, "state": "active", "lun": 300}),
        json!({"op": "session", "port": "p", "initiator": INITIATOR, "id": 7}),
    ] {
        do_step(&mut node, step);
    }
    let inquiry = json!({"op": "scsi", "port": "p", "initiator": INITIATOR, "tag": 1,
        "lun": 300, "cdb": "120000002400", "expected": 36});
    let outcome = do_step(&mut node, inquiry).to_string();
    // A LUN without a LU is told by peripheral qualifier and device type 0x7f.
    assert!(!outcome.contains("\"7f"), "{outcome}");
    assert!(
        outcome.contains("53554e"),
        "vendor SUN is missing: {outcome}"
    );
}
