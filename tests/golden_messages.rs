// SPDX-License-Identifier: MPL-2.0
//! The promise: bytes and fields are those of the kernel's own message code, as recorded in
//! `fixtures/golden`. Damaged messages are never taken for something else than it takes them
//! for, never accepted where it refuses, and refused where it accepts only for the few reasons
//! that `docs/wire-format.md` lists.

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use stmf_proxy::message::{
    Body, DecodeError, Dialect, FieldProblem, Message, MessageType, NvlistProblem, hex, peek,
};

/// The lines of a packed file of recordings.
fn lines(name: &str) -> impl Iterator<Item = String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("fixtures/golden").join(name);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines.map(|line| line.expect("a sound gzip file of UTF-8 lines"))
}

#[derive(Deserialize)]
struct Recorded {
    msg: Message,
    wire: String,
}

#[derive(Deserialize)]
struct Mutation {
    wire: String,
    accepted: bool,
    msg: Option<serde_json::Value>,
}

/// What decoding gives for a message that was encoded.
fn as_decoded(message: &Message) -> Message {
    let mut message = message.clone();
    match &mut message.body {
        Body::ScsiCommand(command) => command.task_priority = 0,
        Body::Status(status) => status.status &= 0xFF,
        _ => {}
    }
    message
}

#[test]
fn recorded_messages_encode_to_their_bytes_and_decode_to_their_fields() {
    let mut counts = BTreeMap::new();
    for (number, line) in lines("messages.jsonl.gz").enumerate() {
        let number = number + 1;
        let recorded: Recorded = serde_json::from_str(&line).expect("a recorded message");
        let encoded = recorded.msg.encode(Dialect::Current).expect("it was sent");
        assert_eq!(hex::encode(&encoded), recorded.wire, "line {number}");
        assert_eq!(
            recorded.msg.encoded_len(Dialect::Current),
            Ok(encoded.len())
        );

        let decoded = Message::decode(&encoded, Dialect::Current);
        let outcome = match (&recorded.msg.body, decoded) {
            (Body::ScsiData(data), Err(error)) if data.data.is_empty() => {
                let problem = error.field().map(|field| field.problem);
                assert_eq!(problem, Some(FieldProblem::NoData), "line {number}");
                "refused: scsi_data without data"
            }
            (_, Ok(decoded)) => {
                assert_eq!(decoded, as_decoded(&recorded.msg), "line {number}");
                let seen = peek(&encoded).expect("it decodes");
                assert_eq!(seen.message_type, decoded.message_type(), "line {number}");
                assert_eq!(seen.msgid, decoded.msgid, "line {number}");
                if decoded == recorded.msg {
                    "same fields"
                } else if let Body::ScsiCommand(_) = decoded.body {
                    "same fields, task_priority 0"
                } else {
                    "same fields, 8 bits of status"
                }
            }
            (_, Err(error)) => panic!("line {number}: {error}"),
        };
        *counts.entry(outcome).or_insert(0) += 1;

        let written: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&recorded.msg).expect("JSON"))
                .expect("JSON");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(written, read["msg"], "line {number}");
    }
    println!("{counts:#?}");
    let expected = BTreeMap::from([
        ("refused: scsi_data without data", 4),
        ("same fields", 154),
        ("same fields, 8 bits of status", 10),
        ("same fields, task_priority 0", 12),
    ]);
    assert_eq!(counts, expected);
}

#[test]
fn damaged_messages_are_judged_as_recorded() {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, line) in lines("mutations.jsonl.gz").enumerate() {
        let number = number + 1;
        let mutation: Mutation = serde_json::from_str(&line).expect("a recorded mutation");
        let wire = hex::decode(mutation.wire.as_bytes()).expect("hexadecimal");
        let ours = Message::decode(&wire, Dialect::Current);
        let class = match (mutation.accepted, &ours) {
            (true, Ok(message)) => match compare(message, mutation.msg.as_ref()) {
                Ok(how) => format!("both accept, {how}"),
                Err(why) => {
                    wrong.push(format!("line {number}: {why}"));
                    continue;
                }
            },
            (false, Err(_)) => "both refuse".to_owned(),
            (true, Err(DecodeError::Unpack(error))) if error.problem.is_own_bound() => {
                match error.problem {
                    NvlistProblem::NativeEncoding => "refused here alone: native encoding",
                    NvlistProblem::CountWord { .. } => "refused here alone: count word",
                    NvlistProblem::TooDeep { .. } => "refused here alone: nesting",
                    _ => "refused here alone: size",
                }
                .to_owned()
            }
            (true, Err(error)) => {
                wrong.push(format!(
                    "line {number}: refused, but the kernel takes it: {error}"
                ));
                continue;
            }
            (false, Ok(message)) => {
                wrong.push(format!("line {number}: the kernel refuses it: {message:?}"));
                continue;
            }
        };
        *counts.entry(class).or_insert(0) += 1;
    }
    println!("{counts:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // None of the damage happens to be of a kind that is refused here alone.
    let expected: BTreeMap<String, u32> = [
        ("both accept, no fields recorded", 63),
        ("both accept, only the type recorded", 30),
        ("both accept, same fields", 387),
        ("both refuse", 1006),
    ]
    .map(|(class, count)| (class.to_owned(), count))
    .into();
    assert_eq!(counts, expected);
}

/// Compares with what was recorded, of which some types have little: kernels drop two unseen, and
/// of a third only the type was kept.
fn compare(
    message: &Message,
    recorded: Option<&serde_json::Value>,
) -> Result<&'static str, String> {
    let written = serde_json::to_value(message).expect("JSON");
    match (message.message_type(), recorded) {
        (MessageType::ReadyToTransfer | MessageType::EchoReply, None) => Ok("no fields recorded"),
        (MessageType::EchoRequest, Some(recorded)) if recorded["type"] == "echo_request" => {
            Ok("only the type recorded")
        }
        (_, Some(recorded)) if written == *recorded => Ok("same fields"),
        (_, recorded) => Err(format!("{written} differs from {recorded:?}")),
    }
}
