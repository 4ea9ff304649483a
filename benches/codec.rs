// SPDX-License-Identifier: MPL-2.0
//! How fast messages are encoded and decoded, beside the figures of the kernel's own message
//! code, and beside a plain write of as many bytes.
//!
//! `cargo bench -p stmf-proxy --bench codec`. Each figure is the best of some rounds
//! that repeat the operation for a millisecond or more: what others do on the machine only adds. Encoding appends to a buffer that is kept
//! ([`Message::encode_into`]); decoding makes a [`Message`] that owns its bytes, and drops it
//! ([`Message::decode`]). The figures of the reference were taken elsewhere (one core of a cloud
//! machine, C, -O2), so ratios are a yardstick, not a race.

use std::hint::black_box;
use std::time::{Duration, Instant};
use stmf_proxy::message::{
    Body, DeviceId, Dialect, Message, MessageType, ScsiCommand, ScsiData, ScsiStatus, Status, peek,
    status,
};

const ROUNDS: usize = 200;
const ROUND: Duration = Duration::from_millis(1);

/// Nanoseconds that one call takes.
fn measure(mut operation: impl FnMut()) -> f64 {
    let mut calls = 1u32;
    loop {
        let start = Instant::now();
        (0..calls).for_each(|_| operation());
        if start.elapsed() >= ROUND {
            break;
        }
        calls = calls.saturating_mul(2);
    }
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..calls).for_each(|_| operation());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

fn port(name: &str) -> DeviceId {
    DeviceId {
        protocol_id: 5,
        code_set: 2,
        piv: 1,
        association: 1,
        ident_type: 8,
        ident: name.as_bytes().to_vec(),
    }
}

fn data(length: usize) -> Body {
    Body::ScsiData(ScsiData {
        task_msgid: 0x0102_0304,
        session_id: 7,
        lun_id: [0x60; 16],
        data: (0..length)
            .map(|index| (index ^ (index >> 9)) as u8)
            .collect(),
    })
}

/// What is measured: a name, a body, and what the reference takes to encode and to decode it,
/// in nanoseconds.
fn cases() -> Vec<(&'static str, Body, f64, f64)> {
    let initiator = "iqn.1986-03.com.sun:01:e00000000000.5024c1a2";
    let command = Body::ScsiCommand(ScsiCommand {
        task_msgid: 0x0102_0304,
        ini_devid: port(initiator),
        tgt_devid: port("iqn.1986-03.com.sun:02:7b4d3b3c-3e1a-4f4e"),
        rport: Some([b"\x05\0\0\x2c", initiator.as_bytes()].concat()),
        lun_id: [0x60; 16],
        session_id: 7,
        task_lun_no: [0; 8],
        task_expected_xfer_length: 131_072,
        task_cdb: vec![0x28, 0, 0, 0, 8, 0, 0, 1, 0, 0],
        task_flags: status::task_flags::READ_DATA | status::task_flags::SIMPLE,
        task_priority: 0,
        task_mgmt_function: 0,
        immed_data: Vec::new(),
    });
    let scsi_status = Body::ScsiStatus(ScsiStatus {
        task_msgid: 0x0102_0304,
        session_id: 7,
        lun_id: [0x60; 16],
        response: 0,
        status: 2,
        flags: 0,
        resid: 0,
        sense: b"\x70\0\x05\0\0\0\0\x0a\0\0\0\0\x20\0\0\0\0\0".to_vec(),
    });
    let answer = Body::Status(Status {
        status_msg_type: MessageType::RegisterLun.number(),
        status_msgid: 9,
        status: 0,
    });
    vec![
        ("scsi_cmd without data", command, 4.6e3, 3.5e3),
        ("scsi_status", scsi_status, 1.3e3, 1.2e3),
        ("status", answer, 390.0, 380.0),
        ("scsi_data 64 KiB", data(64 << 10), 377e3, 213e3),
        ("scsi_data 1 MiB", data(1 << 20), 7.1e6, 3.5e6),
    ]
}

fn main() {
    // `cargo test --benches` runs this as well, without the flag: then it is enough to start.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "{:24} {:>9} | {:>9} {:>9} {:>7} | {:>9} {:>9} {:>7} | {:>9}",
        "message", "bytes", "encode", "reference", "ratio", "decode", "reference", "ratio", "peek"
    );
    let mut largest = (0.0, 0.0);
    let mut size = 0;
    for (name, body, encode_reference, decode_reference) in cases() {
        let message = Message { msgid: 42, body };
        let wire = message.encode(Dialect::Current).expect("it can be sent");
        size = wire.len();
        let mut out = Vec::new();
        let encode = measure(|| {
            out.clear();
            let done = black_box(&message).encode_into(Dialect::Current, &mut out);
            done.expect("it can be sent");
            black_box(&mut out);
        });
        let decode = measure(|| {
            let message = Message::decode(black_box(&wire), Dialect::Current);
            drop(black_box(message.expect("it was encoded")));
        });
        let look = measure(|| {
            black_box(peek(black_box(&wire)));
        });
        println!(
            "{name:24} {size:>9} | {:>9} {:>9} {:>6.1}x | {:>9} {:>9} {:>6.1}x | {:>9}",
            time(encode),
            time(encode_reference),
            encode_reference / encode,
            time(decode),
            time(decode_reference),
            decode_reference / decode,
            time(look),
        );
        largest = (encode, decode);
    }

    let mut kept = vec![0u8; size];
    let plain = measure(|| black_box(&mut kept).fill(black_box(0x5A)));
    let fresh = measure(|| drop(black_box(vec![black_box(0x5A_u8); size])));
    let (encode, decode) = largest;
    println!();
    println!("1 MiB of data against a plain write of the {size} bytes that it becomes:");
    println!("  fill of a buffer that is kept   {:>9}", time(plain));
    println!("  fill of a fresh vector          {:>9}", time(fresh));
    println!("  encode, as times the first      {:>8.2}x", encode / plain);
    println!("  decode, as times the first      {:>8.2}x", decode / plain);
}
