// SPDX-License-Identifier: MPL-2.0
//! The promise: Wireshark's dissector in contrib/wireshark tells what the library tells. Every
//! field of every message appears with the value that our decoder gives, exactly the messages
//! and records that the library refuses are marked as malformed, and nothing throws, whatever
//! the bytes are.
//!
//! Needs tshark. Without it these tests say so and pass, except where the environment variable
//! CI is set: there they fail.

#[path = "wireshark/event.rs"]
mod event;
#[path = "wireshark/message.rs"]
mod message;
#[path = "wireshark/tshark.rs"]
mod tshark;

use event::check_event;
use flate2::read::GzDecoder;
use message::check_message;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use stmf_proxy::message::{Body, Dialect, Message, MessageType, ScsiData, hex};
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{Event, EventKind, Reader, Record, RecordBuf, Section, Sink, Snap, Writer};
use tshark::Tshark;

/// The lines of a packed file of recordings.
fn golden(name: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("fixtures/golden").join(name);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let lines = lines.map(|line| line.expect("a sound gzip file of UTF-8 lines"));
    lines
        .map(|line| serde_json::from_str(&line).expect("a JSON object"))
        .collect()
}

fn golden_wire(line: &Value) -> Vec<u8> {
    let text = line["wire"].as_str().expect("bytes");
    hex::decode(text.as_bytes()).expect("hexadecimal")
}

fn golden_messages() -> Vec<Message> {
    let lines = golden("messages.jsonl.gz");
    let message = |line: &Value| serde_json::from_value(line["msg"].clone()).expect("a message");
    lines.iter().map(message).collect()
}

fn mutations() -> Vec<Vec<u8>> {
    let lines = golden("mutations.jsonl.gz");
    lines.iter().map(golden_wire).collect()
}

/// Upcalls and posts in turn, as a trace.
fn trace_of(messages: &[Vec<u8>], snap: Snap) -> Vec<u8> {
    let section = Section {
        snap,
        ..Section::new("test")
    };
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, section).expect("memory takes it");
    for (index, message) in messages.iter().enumerate() {
        let number = index as u64 + 1;
        let event = if index % 2 == 0 {
            Event::Upcall {
                call: number,
                attempt: 1,
                lock_held: false,
                message,
            }
        } else {
            let post = number;
            Event::Post { post, message }
        };
        let time = Time::from_nanos(number);
        writer.record(&Record::new(number, time, Some((index % 2) as u8), event));
    }
    writer.finish().expect("memory takes it");
    file
}

/// Which dialects take a message, in the words of the dissector.
fn dialects(message: &[u8]) -> &'static str {
    let takes = |dialect| Message::decode(message, dialect).is_ok();
    match (takes(Dialect::Current), takes(Dialect::Y2009)) {
        (true, true) => "both",
        (true, false) => "current",
        (false, true) => "2009",
        (false, false) => "none",
    }
}

/// Checks all that can be compared of messages that were recorded whole.
fn check_messages(tshark: &Tshark, messages: &[Vec<u8>], sent: &[Message]) {
    let packets = tshark.packets(&trace_of(messages, Snap::ALL), &[]);
    assert_eq!(packets.len(), messages.len());
    for (index, (packet, wire)) in packets.iter().zip(messages).enumerate() {
        let what = format!("message {} ({})", index + 1, hex::encode(wire));
        let kind = (index % 2 * 2) as u64;
        assert_eq!(packet.number("stmf.kind"), Some(kind), "{what}");
        let taken = dialects(wire);
        assert_eq!(packet.value("stmf.msg.dialects"), Some(taken), "{what}");
        assert_eq!(packet.has("stmf.malformed"), taken == "none", "{what}");
        let one_only = matches!(taken, "current" | "2009");
        assert_eq!(packet.has("stmf.one_dialect_only"), one_only, "{what}");
        let decoded = Message::decode(wire, Dialect::Current)
            .or_else(|_| Message::decode(wire, Dialect::Y2009));
        let priority = sent.get(index).and_then(|message| match &message.body {
            Body::ScsiCommand(command) => Some(command.task_priority),
            _ => None,
        });
        if let Ok(decoded) = decoded {
            check_message(packet, &decoded, priority, &what);
        }
    }
}

#[test]
fn every_field_of_every_message_is_shown() {
    let Some(tshark) = Tshark::find() else { return };
    // Twelve of each type, in both dialects.
    let messages = golden_messages();
    let seen: BTreeSet<_> = messages.iter().map(Message::message_type).collect();
    assert_eq!(seen, BTreeSet::from(MessageType::ALL));
    for dialect in [Dialect::Current, Dialect::Y2009] {
        let mut wires = Vec::new();
        for message in &messages {
            // Once as upcall and once as post.
            let wire = message.encode(dialect).expect("it was sent");
            wires.extend([wire.clone(), wire]);
        }
        let sent: Vec<Message> = messages
            .iter()
            .flat_map(|each| [each.clone(), each.clone()])
            .collect();
        check_messages(&tshark, &wires, &sent);
    }
}

#[test]
fn damaged_messages_are_marked_and_no_others() {
    let Some(tshark) = Tshark::find() else { return };
    let messages = mutations();
    assert_eq!(messages.len(), 1486);
    check_messages(&tshark, &messages, &[]);
    // With a dialect given, what it refuses is malformed.
    let file = trace_of(&messages, Snap::ALL);
    for (name, dialect) in [("current", Dialect::Current), ("2009", Dialect::Y2009)] {
        let preference = format!("stmf.dialect:{name}");
        let rows = tshark.rows(&file, &["stmf.malformed"], &["-o", &preference]);
        for (index, (row, wire)) in rows.iter().zip(&messages).enumerate() {
            let taken = Message::decode(wire, dialect).is_ok();
            assert_eq!(row[0].is_empty(), taken, "{name}, message {}", index + 1);
        }
    }
    // What can be found with a filter is what was marked.
    let found = tshark.rows(&file, &["frame.number"], &["-Y", "stmf.malformed"]);
    let refused = messages.iter().filter(|wire| dialects(wire) == "none");
    assert_eq!(found.len(), refused.count());
}

#[test]
fn numbers_are_shown_as_kernels_keep_them() {
    let Some(tshark) = Tshark::find() else { return };
    let messages = golden_messages();
    let mut wide = Vec::new();
    for message_type in [MessageType::RegisterProxyPort, MessageType::ScsiStatus] {
        let of_type = messages
            .iter()
            .filter(|each| each.message_type() == message_type);
        let wires = of_type.map(|each| each.encode(Dialect::Current).expect("it was sent"));
        let wire = wires.min_by_key(Vec::len).expect("there are twelve");
        for at in (0..wire.len()).step_by(4) {
            for word in [0xFFFF_FFFF_u32, 0x8421_A5A5] {
                let mut copy = wire.clone();
                copy[at..at + 4].copy_from_slice(&word.to_be_bytes());
                wide.push(copy);
            }
        }
    }
    check_messages(&tshark, &wide, &[]);
}

/// Where chance would need luck: every word of a message replaced by every other that means
/// something, and every length.
#[test]
fn damage_anywhere_in_a_message_is_seen() {
    let Some(tshark) = Tshark::find() else { return };
    let messages = golden_messages();
    let mut damaged = Vec::new();
    for message_type in MessageType::ALL {
        let of_type = messages
            .iter()
            .filter(|each| each.message_type() == message_type);
        let wires = of_type.map(|each| each.encode(Dialect::Current).expect("it was sent"));
        let wire = wires.min_by_key(Vec::len).expect("there are twelve");
        for (turn, at) in (0..wire.len()).step_by(4).enumerate() {
            // Half of them at each word.
            let words = [0, 1, 19, 26, 0x7FFF_FFFF, 0x8000_0000_u32, u32::MAX];
            for word in words.into_iter().skip(turn % 2).step_by(2) {
                let mut copy = wire.clone();
                copy[at..at + 4].copy_from_slice(&word.to_be_bytes());
                damaged.push(copy);
            }
            damaged.push(wire[..at + turn % 4].to_vec());
        }
    }
    let file = trace_of(&damaged, Snap::ALL);
    let rows = tshark.rows(&file, &["stmf.msg.dialects", "stmf.malformed"], &[]);
    assert_eq!(rows.len(), damaged.len());
    for (row, wire) in rows.iter().zip(&damaged) {
        let taken = dialects(wire);
        assert_eq!(row[0], taken, "{}", hex::encode(wire));
        assert_eq!(row[1].is_empty(), taken != "none", "{}", hex::encode(wire));
    }
}

#[test]
fn what_was_cut_is_shown_as_cut() {
    let Some(tshark) = Tshark::find() else { return };
    let mut messages: Vec<Vec<u8>> = golden("messages.jsonl.gz")
        .iter()
        .map(golden_wire)
        .collect();
    messages.extend(mutations());
    let keep_some = Snap {
        keep: Some(3),
        digest: true,
    };
    for snap in [Snap::NO_DATA, keep_some] {
        let file = trace_of(&messages, snap);
        let packets = tshark.packets(&file, &[]);
        let mut reader = Reader::new(&*file).expect("it begins as a trace");
        let mut cuts = 0;
        for packet in &packets {
            let entry = reader.next_entry().expect("whole").expect("another record");
            let record = entry.record;
            let what = format!("record {}", record.sequence);
            assert_eq!(
                packet.has("stmf.gap.length"),
                record.cut.is_some(),
                "{what}"
            );
            assert_eq!(packet.has("stmf.cut"), record.cut.is_some(), "{what}");
            let message = record.message().expect("it is short");
            let taken = dialects(&message);
            assert_eq!(packet.value("stmf.msg.dialects"), Some(taken), "{what}");
            assert_eq!(packet.has("stmf.malformed"), taken == "none", "{what}");
            let Some(cut) = record.cut else { continue };
            cuts += 1;
            let (offset, length) = (u64::from(cut.offset), u64::from(cut.length));
            assert_eq!(packet.number("stmf.gap.offset"), Some(offset), "{what}");
            assert_eq!(packet.number("stmf.gap.length"), Some(length), "{what}");
            let digest = packet
                .value("stmf.gap.digest")
                .map(|text| text.replace(':', ""));
            assert_eq!(
                digest,
                cut.digest.map(|digest| hex::encode(&digest)),
                "{what}"
            );
            // The zeros that stand for data are not shown as data.
            if let Ok(Message {
                body: Body::ScsiData(data),
                ..
            }) = Message::decode(&message, Dialect::Current)
            {
                let kept = data.data.len() - (cut.length / 4) as usize;
                let shown = packet.value("stmf.scsi_data.data").unwrap_or_default();
                let expected = hex::encode(&data.data[..kept]);
                assert_eq!(shown.replace(':', ""), expected, "{what}");
            }
        }
        assert!(cuts > 100, "{cuts} messages were cut");
        assert!(reader.next_entry().expect("the end").is_none());
    }
}

#[test]
fn every_kind_of_event_is_shown() {
    let Some(tshark) = Tshark::find() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(root.join("fixtures/trace/version-1.pcapng")).expect("it is there");
    let packets = tshark.packets(&file, &[]);
    assert_eq!(packets.len(), 2 * EventKind::ALL.len());
    let mut reader = Reader::new(&*file).expect("it begins as a trace");
    for packet in &packets {
        let entry = reader.next_entry().expect("whole").expect("another record");
        let Record {
            sequence,
            node,
            hash,
            event,
            ..
        } = entry.record;
        let what = format!("{event:?}");
        assert!(!packet.has("stmf.malformed"), "{what}");
        assert_eq!(packet.number("stmf.kind"), Some(event.kind_number().into()));
        assert_eq!(packet.number("stmf.node"), Some(node.unwrap_or(255).into()));
        assert_eq!(packet.number("stmf.sequence"), Some(sequence), "{what}");
        assert_eq!(packet.number("stmf.hash"), hash, "{what}");
        let trouble = event.trouble().is_some();
        assert_eq!(packet.has("stmf.trouble"), trouble, "{what}");
        check_event(packet, &event, &what);
    }
}

/// The summary has names for what numbers mean.
#[test]
fn the_columns_read_well() {
    let Some(tshark) = Tshark::find() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut file = std::fs::read(root.join("fixtures/trace/version-1.pcapng")).expect("there");
    file.extend(trace_of(
        &golden_messages()
            .chunks(12)
            .map(|twelve| twelve[0].encode(Dialect::Current).expect("it was sent"))
            .collect::<Vec<_>>(),
        Snap::ALL,
    ));
    let columns = [
        "_ws.col.Source",
        "_ws.col.Destination",
        "_ws.col.Protocol",
        "_ws.col.Info",
    ];
    let rows = tshark.rows(&file, &columns, &[]);
    let lines: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// Wireshark gives a file up at a packet of more than 256 KiB; a record can be made to fit.
#[test]
fn the_longest_packet_that_wireshark_takes_is_read() {
    const LONGEST: usize = 262_144;
    let Some(tshark) = Tshark::find() else { return };
    let data = vec![0x5A; 200_000];
    let message = Message {
        msgid: 0,
        body: Body::ScsiData(ScsiData {
            task_msgid: 1,
            session_id: 2,
            lun_id: [3; 16],
            data: data.clone(),
        }),
    };
    let message = message.encode(Dialect::Current).expect("it can be sent");
    let connection = 1;
    let events = [
        Event::Post {
            post: 1,
            message: &message,
        },
        // Without a gap: 64 bytes of header.
        Event::Sent {
            connection,
            bytes: &data,
        },
        Event::Sent {
            connection,
            bytes: &vec![0; LONGEST - 64],
        },
    ];
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, Section::new("test")).expect("memory takes it");
    for (event, number) in events.into_iter().zip(1..) {
        let record = Record::new(number, Time::from_nanos(number), Some(0), event);
        let snap = Snap {
            keep: Some(1000),
            digest: true,
        };
        let fitted = RecordBuf::within(&record, snap, LONGEST).expect("it fits");
        writer.record(&fitted.get());
    }
    writer.finish().expect("memory takes it");
    let packets = tshark.packets(&file, &[]);
    assert_eq!(packets.len(), 3);
    let shown = packets[0]
        .value("stmf.scsi_data.data")
        .expect("it is there");
    assert_eq!(shown.replace(':', ""), hex::encode(&data[..1000]));
    assert!(!packets[0].has("stmf.malformed"));
    assert!(!packets[2].has("stmf.cut"));
}

#[test]
fn it_works_as_a_plugin() {
    let Some(tshark) = Tshark::find() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(root.join("fixtures/trace/version-1.pcapng")).expect("there");
    let filter = "stmf.command contains \"WRITE\" && stmf.tag == 17";
    let shown = tshark.run_with_plugin(&file, &["-Y", filter, "-T", "fields", "-e", "stmf.kind"]);
    assert_eq!(shown, "20\n20\n");
}

/// Every filter that the page beside the dissector names is one.
#[test]
fn the_filters_of_the_page_work() {
    let Some(tshark) = Tshark::find() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("contrib/wireshark/README.md")).expect("there");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `stmf."));
    let filters: Vec<String> = rows
        .filter_map(|row| Some(format!("(stmf.{})", row.split_once("` |")?.0)))
        .collect();
    assert!(filters.len() > 10, "{filters:?}");
    let file = trace_of(&mutations(), Snap::ALL);
    tshark.rows(&file, &["frame.number"], &["-Y", &filters.join(" || ")]);
}

#[test]
fn error_numbers_are_named_as_in_the_library() {
    let Some(tshark) = Tshark::find() else { return };
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, Section::new("test")).expect("memory takes it");
    for (index, errno) in Errno::NAMED.iter().enumerate() {
        let number = index as u64 + 1;
        let outcome = Err(errno.number());
        let event = Event::PostDone {
            post: number,
            outcome,
        };
        writer.record(&Record::new(
            number,
            Time::from_nanos(number),
            Some(0),
            event,
        ));
    }
    writer.finish().expect("memory takes it");
    let rows = tshark.rows(&file, &["_ws.col.Info"], &[]);
    for (index, (row, errno)) in rows.iter().zip(Errno::NAMED).enumerate() {
        let name = errno.name().expect("they are those with names");
        assert_eq!(row[0], format!("post-done {}: {name}", index + 1));
    }
}

/// Records with bytes changed anywhere, header and fields too: those that the library's reader
/// passes over are malformed, and no others but for the messages in them.
#[test]
fn damaged_records_are_marked() {
    let Some(tshark) = Tshark::find() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = std::fs::read(root.join("fixtures/trace/version-1.pcapng")).expect("there");
    let packets = packet_data(&fixture);
    // A block as it is, but for one byte of its packet.
    let damaged = |data: &Range<usize>, at: usize, byte: u8, file: &mut Vec<u8>| {
        let length = word(&fixture[data.start - 24..]);
        let start = file.len();
        file.extend(&fixture[data.start - 28..][..length]);
        file[start + 28 + at] = byte;
    };
    // The header of the first section, and its interfaces, which serve all packets: those of the
    // second are the same.
    let mut file = Vec::new();
    for (index, block) in blocks(&fixture).into_iter().enumerate() {
        match block_type(&fixture[block.clone()]) {
            SECTION_HEADER if index > 0 => break,
            SECTION_HEADER | INTERFACE => file.extend(&fixture[block]),
            _ => {}
        }
    }
    let mut count = 0;
    for data in &packets {
        // Header and fields, and some of the bulk. Not the version: what a later one writes ends
        // the reading.
        for at in 1..data.len().min(112) {
            let byte = fixture[data.start + at];
            let bytes: &[u8] = match at {
                0..64 => &[0, 255, byte ^ 1],
                _ => &[0, 2, 3, 4, 5, 11, 255],
            };
            for byte in bytes {
                damaged(data, at, *byte, &mut file);
                count += 1;
            }
        }
    }
    let mut reader = Reader::new(&*file).expect("it begins as a trace");
    let mut sound = BTreeSet::new();
    while let Some(entry) = reader.next_entry().expect("only records are damaged") {
        let record = entry.record;
        let readable = match record.event.message() {
            None => true,
            Some(_) => record
                .message()
                .is_none_or(|message| dialects(&message) != "none"),
        };
        if readable {
            sound.insert(entry.offset as usize);
        }
    }
    let rows = tshark.rows(&file, &["frame.number", "stmf.malformed"], &[]);
    let offsets = packet_data(&file).into_iter().map(|data| data.start - 28);
    let mut marked = 0;
    for (row, offset) in rows.iter().zip(offsets) {
        let malformed = !row[1].is_empty();
        marked += usize::from(malformed);
        assert_eq!(malformed, !sound.contains(&offset), "packet {}", row[0]);
    }
    assert_eq!(rows.len(), count);
    assert!(marked > 200, "{marked} were damaged");
}

const SECTION_HEADER: usize = 0x0A0D_0D0A;
const INTERFACE: usize = 1;
const PACKET: usize = 6;

fn word(bytes: &[u8]) -> usize {
    let bytes = bytes.first_chunk().expect("four bytes");
    u32::from_le_bytes(*bytes) as usize
}

fn block_type(block: &[u8]) -> usize {
    word(block)
}

/// Where the blocks of a trace lie.
fn blocks(file: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let end = at + word(&file[at + 4..]);
        found.push(at..end);
        at = end;
    }
    found
}

/// Where the data of the packets lies in a trace.
fn packet_data(file: &[u8]) -> Vec<Range<usize>> {
    let packets = blocks(file).into_iter();
    packets
        .filter(|block| block_type(&file[block.clone()]) == PACKET)
        .map(|block| {
            let data = block.start + 28;
            data..data + word(&file[block.start + 20..])
        })
        .collect()
}
