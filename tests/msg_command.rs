// SPDX-License-Identifier: MPL-2.0
//! The promise: `stmf-sim msg decode` and `msg encode` turn streams of messages into JSON and
//! back, a line for a line, whatever the lines are; `msg show` shows one to a person.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stmf-sim"))
        .arg("msg")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Runs to the end with this input.
fn run(arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.into();
    // The program may stop reading before the end, which is none of this thread's business.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("writing does not panic");
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn recorded(name: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = File::open(root.join("../fixtures/golden").join(name)).expect("a fixture");
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("a sound file");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn recorded_messages_encode_line_for_line() {
    let recorded = recorded("messages.jsonl.gz");
    let messages: String = recorded
        .iter()
        .map(|line| format!("{}\n", line["msg"]))
        .collect();
    let output = run(&["encode"], messages);
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
    let wires: Vec<&str> = text(&output.stdout).lines().collect();
    let expected: Vec<&str> = recorded
        .iter()
        .map(|line| line["wire"].as_str().expect("text"))
        .collect();
    assert_eq!(wires, expected);
}

#[test]
fn every_recorded_mutation_is_answered_in_order() {
    let recorded = recorded("mutations.jsonl.gz");
    let wires: String = recorded
        .iter()
        .map(|line| {
            format!(
                "{}\r\n",
                line["wire"].as_str().expect("text").to_uppercase()
            )
        })
        .collect();
    let output = run(&["decode"], wires);
    assert!(output.status.success());
    let answers: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(answers.len(), recorded.len());
    for (answer, recorded) in answers.iter().zip(&recorded) {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        assert_eq!(answer["accepted"], recorded["accepted"], "{answer}");
        if answer["accepted"] == true {
            assert!(answer["error"].is_null());
            let only_type = answer["msg"]["type"] == "echo_request";
            if !recorded["msg"].is_null() && !only_type {
                assert_eq!(answer["msg"], recorded["msg"]);
            }
        } else {
            assert!(answer["msg"].is_null());
            assert!(!answer["error"].as_str().expect("text").is_empty());
        }
    }
}

#[test]
fn bad_lines_do_not_stop_decoding() {
    let good = run(&["encode"], r#"{"type":"echo_reply","msgid":1,"data":""}"#);
    let good = text(&good.stdout);
    let mut input = format!("{good}\n0\nzz\n").into_bytes();
    input.extend_from_slice(b"\xFF\xFE\n");
    input.extend_from_slice(format!("  {good}").as_bytes());
    let output = run(&["decode"], input);
    assert!(output.status.success());
    let expected = [
        r#"{"accepted":true,"msg":{"type":"echo_reply","msgid":1,"data":""}}"#,
        r#"{"accepted":false,"error":"packed list, byte 0: expected the header (4 bytes), but only 0 bytes are left"}"#,
        r#"{"accepted":false,"error":"1 hexadecimal digits; expected an even number, two for each byte"}"#,
        r#"{"accepted":false,"error":"byte 0x7a at 0 is no hexadecimal digit"}"#,
        r#"{"accepted":false,"error":"byte 0xff at 0 is no hexadecimal digit"}"#,
        r#"{"accepted":true,"msg":{"type":"echo_reply","msgid":1,"data":""}}"#,
    ];
    let answers: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(answers, expected);
}

#[test]
fn lines_are_bounded_and_the_bound_can_be_set() {
    let at_bound = "00".repeat(16) + &" ".repeat(64 << 10);
    let over = format!("{at_bound} ");
    let output = run(
        &["decode", "--max-message", "16"],
        format!("{at_bound}\n{over}\n00\n"),
    );
    assert!(output.status.success());
    let answers: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(answers.len(), 3);
    assert!(answers[0].contains("native encoding"), "{}", answers[0]);
    let long = r#"{"accepted":false,"error":"line of more than 65568 bytes; see --max-message"}"#;
    assert_eq!(answers[1], long);
    assert!(
        answers[2].contains("only 1 bytes are left"),
        "{}",
        answers[2]
    );

    let message = r#"{"type":"echo_reply","msgid":1,"data":""}"#;
    assert!(
        run(&["encode", "--max-message", "136"], message)
            .status
            .success()
    );
    let output = run(&["encode", "--max-message", "135"], message);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "stmf-sim msg encode: line 1: 136 bytes when encoded, over 135; see --max-message\n"
    );
}

/// What `msg encode` says about a line after a good one and an empty one.
fn complaint(line: &str) -> String {
    let good = r#"{"type":"echo_reply","msgid":18446744073709551615,"data":""}"#;
    let output = run(&["encode"], format!("{good}\n\n{line}\n{good}\n"));
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert_eq!(
        text(&output.stdout).lines().count(),
        1,
        "the line before comes: {line}"
    );
    let said = text(&output.stderr);
    let said = said
        .strip_prefix("stmf-sim msg encode: line 3: ")
        .unwrap_or_else(|| panic!("{said}"));
    said.trim_end().to_owned()
}

#[test]
fn an_invalid_line_is_named_and_what_is_wrong_with_it() {
    let said: String = [
        "nonsense",
        "[]",
        "{}",
        r#"{"type":"scsi_cmmd","msgid":1}"#,
        r#"{"type":"r2t","msgid":1}"#,
        r#"{"type":"echo_reply","msgid":1,"data":"","more":1}"#,
        r#"{"type":"echo_reply","msgid":1,"data":"","data":""}"#,
        r#"{"type":"echo_reply","msgid":-1,"data":""}"#,
        r#"{"type":"echo_reply","msgid":1.0,"data":""}"#,
        r#"{"type":"echo_reply","msgid":18446744073709551616,"data":""}"#,
        r#"{"type":"echo_reply","msgid":"1","data":""}"#,
        r#"{"type":"echo_reply","msgid":1,"data":"0"}"#,
        r#"{"type":"echo_reply","msgid":1,"data":"0g"}"#,
        r#"{"type":"echo_reply","msgid":1,"data":null}"#,
        r#"{"type":"echo_reply","msgid":1,"data":""} {}"#,
        r#"{"type":"lun_active","msgid":1,"lun_id":"00","lu_provider_name":"sbd","cb_arg":""}"#,
        r#"{"type":"lun_active","msgid":1,"lun_id":"00000000000000000000000000000000","lu_provider_name":"s\u0000","cb_arg":""}"#,
        r#"{"type":"lun_active","msgid":1,"lun_id":"00000000000000000000000000000000","lu_provider_name":"\u0100","cb_arg":""}"#,
        r#"{"type":"deregister_proxy_port","msgid":1,"port_id":{"protocol_id":5},"cb_arg":""}"#,
        r#"{"type":"deregister_proxy_port","msgid":1,"port_id":{"protocol_id":16,"code_set":2,"piv":1,"association":1,"ident_type":8,"ident":""},"cb_arg":""}"#,
    ]
    .map(|line| format!("{line}\n  {}\n", complaint(line)))
    .concat();
    insta::assert_snapshot!(said);
}

#[test]
fn the_dialects_differ_in_the_transport_id() {
    let id =
        r#"{"protocol_id":5,"code_set":2,"piv":1,"association":1,"ident_type":8,"ident":"69"}"#;
    let old = format!(
        r#"{{"type":"session_create","msgid":1,"ini_devid":{id},"tgt_devid":{id},"session_id":9}}"#
    );
    let wire = run(&["encode", "--dialect", "2009"], old.clone());
    assert!(wire.status.success());
    let answer = run(&["decode", "--dialect", "2009"], wire.stdout.clone());
    assert_eq!(
        text(&answer.stdout),
        format!("{{\"accepted\":true,\"msg\":{old}}}\n")
    );
    let answer = run(&["decode", "--dialect", "current"], wire.stdout);
    let expected = "{\"accepted\":false,\"error\":\"session_create: icscd_rport: missing\"}\n";
    assert_eq!(text(&answer.stdout), expected);
    let output = run(&["encode"], old);
    let expected = "stmf-sim msg encode: line 1: icscd_rport: missing; only the dialect of 2009 \
                    does without\n";
    assert_eq!(text(&output.stderr), expected);
    assert!(!run(&["decode", "--dialect", "2011"], "").status.success());
}

#[test]
fn answers_come_before_more_is_asked() {
    let mut child = start(&["decode"]);
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    for line in ["00\n01", "02\n", "03\n"] {
        stdin.write_all(line.as_bytes()).expect("it reads");
        stdin.flush().expect("it reads");
        let mut answer = String::new();
        stdout.read_line(&mut answer).expect("it answers");
        assert!(answer.starts_with("{\"accepted\":false"), "{answer}");
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = start(&["decode"]);
    let mut stdin = child.stdin.take().expect("piped");
    drop(child.stdout.take());
    let writer = thread::spawn(move || {
        // Ends with a broken pipe, once the program has gone.
        while stdin.write_all(&b"00\n".repeat(10_000)).is_ok() {}
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("writing does not panic");
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn one_message_is_shown_to_a_person() {
    let message =
        r#"{"type":"echo_request","msgid":3,"data":"00112233445566778899aabbccddeeff41424344"}"#;
    let wire = run(&["encode"], message);
    let wire = text(&wire.stdout).trim();
    let (first, second) = wire.split_at(100);
    let from_input = run(&["show"], format!("{first}\n  {second}\n"));
    let from_argument = run(&["show", wire], "");
    assert_eq!(from_input.stdout, from_argument.stdout);
    insta::assert_snapshot!(text(&from_input.stdout));

    let refused = run(&["show"], first);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(text(&refused.stdout), "");
    insta::assert_snapshot!(text(&refused.stderr));
}
