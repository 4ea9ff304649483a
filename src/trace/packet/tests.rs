// SPDX-License-Identifier: MPL-2.0
use super::pack::{lane, step_number};
use super::*;
use crate::status::Step;
use crate::time::Time;
use crate::trace::snap::Kept;
use crate::trace::{Cut, Event, Record, RecordBuf, Snap, arbitrary};
use proptest::prelude::*;

fn packed(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack(record, &Kept::of(record, Snap::ALL), &mut bytes);
    bytes
}

fn a_message() -> Vec<u8> {
    use crate::message::{Body, Dialect, Message, ScsiData};
    let message = Message {
        msgid: 0,
        body: Body::ScsiData(ScsiData {
            task_msgid: 0x1122,
            session_id: 0x3344,
            lun_id: [6; 16],
            data: vec![1, 2, 3],
        }),
    };
    message.encode(Dialect::Current).unwrap()
}

fn an_upcall(message: &[u8]) -> Record<'_> {
    let event = Event::Upcall {
        call: 0x77,
        attempt: 2,
        lock_held: true,
        message,
    };
    Record {
        hash: Some(0xABCD),
        ..Record::new(5, Time::from_nanos(9), Some(1), event)
    }
}

/// The figures of docs/trace-format.md.
#[test]
fn the_header_lies_as_documented() {
    let message = a_message();
    let bytes = packed(&an_upcall(&message));
    let length = message.len() as u32;
    let mut expected = vec![1, 0, 1, flags::LANE | flags::HASH, 0, 64, 5, 0];
    expected.extend(2u32.to_be_bytes());
    expected.extend(0u32.to_be_bytes());
    expected.extend(5u64.to_be_bytes());
    expected.extend(0x77u64.to_be_bytes());
    expected.extend(length.to_be_bytes());
    expected.extend(lane(b'S', &0x3344u64.to_be_bytes()).to_be_bytes());
    expected.extend(0x3344u64.to_be_bytes());
    expected.extend(0x1122u64.to_be_bytes());
    expected.extend(0xABCDu64.to_be_bytes());
    expected.extend([2, 1]);
    expected.extend(&message);
    assert_eq!(bytes, expected);
}

#[test]
fn a_gap_and_an_errno_lie_as_documented() {
    let record = Record {
        cut: Some(Cut {
            offset: 1,
            length: 7,
            words: true,
            digest: Some([9; 16]),
        }),
        ..Record::new(1, Time::ZERO, None, Event::KernelLog("ab"))
    };
    let bytes = packed(&record);
    assert_eq!(bytes[2], 255);
    assert_eq!(bytes[3], flags::GAP | flags::GAP_WORDS | flags::DIGEST);
    assert_eq!(bytes[4..6], [0, 88]);
    assert_eq!(bytes[32..36], 9u32.to_be_bytes());
    assert_eq!(bytes[64..72], [0, 0, 0, 1, 0, 0, 0, 7]);
    assert_eq!(bytes[72..88], [9; 16]);
    assert_eq!(&bytes[88..], b"ab");

    let outcome = Err(-2);
    let event = Event::PostDone { post: 3, outcome };
    let bytes = packed(&Record::new(1, Time::ZERO, Some(0), event));
    assert_eq!(bytes[3], flags::OUTCOME | flags::ERRNO | flags::TROUBLE);
    assert_eq!(bytes[12..16], [0xFF, 0xFF, 0xFF, 0xFE]);
    assert_eq!(bytes.len(), HEADER_LENGTH);
}

#[test]
fn lanes_are_those_of_fnv() {
    // Published values of 32-bit FNV-1a for "a" and "foobar".
    assert_eq!(lane(b'a', b""), 0xE40C_292C);
    assert_eq!(lane(b'f', b"oobar"), 0xBF9C_F968);
}

#[test]
fn numbers_of_steps_are_their_places() {
    for (place, step) in Step::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(step_number(step)), place);
    }
}

#[test]
fn a_longer_header_and_more_fields_of_a_later_minor_version_are_passed_over() {
    let record = Record::new(
        1,
        Time::ZERO,
        Some(0),
        Event::Panic {
            trap: 3,
            reason: "x",
        },
    );
    let mut bytes = packed(&record);
    bytes[5] += 4;
    bytes[11] += 2;
    bytes.splice(HEADER_LENGTH..HEADER_LENGTH, [0xEE; 4]);
    bytes.splice(HEADER_LENGTH + 5..HEADER_LENGTH + 5, [0xDD; 2]);
    assert_eq!(unpack(&bytes, Time::ZERO), Ok(record));
}

#[test]
fn damage_is_named() {
    let message = a_message();
    let good = packed(&an_upcall(&message));
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        unpack(&bytes, Time::ZERO).unwrap_err()
    };
    assert_eq!(with(0, 2), PacketError::FutureVersion { found: 2 });
    let field = "the format version";
    assert_eq!(with(0, 0), PacketError::Value { field, found: 0 });
    let field = "the length of the header";
    assert_eq!(with(5, 63), PacketError::Value { field, found: 63 });
    let field = "whether the lock is held";
    assert_eq!(with(65, 2), PacketError::Value { field, found: 2 });
    let what = "the header of a record";
    assert!(matches!(with(4, 9), PacketError::Short { what: w, .. } if w == what));
    assert!(matches!(with(8, 9), PacketError::Short { what: w, .. } if w == what));
    for length in 0..HEADER_LENGTH + 2 {
        let error = unpack(&good[..length], Time::ZERO).unwrap_err();
        assert!(
            matches!(error, PacketError::Short { .. }),
            "{length}: {error}"
        );
    }
    let log = packed(&Record::new(1, Time::ZERO, None, Event::KernelLog("a")));
    let mut bytes = log;
    bytes.push(0xFF);
    let told = unpack(&bytes, Time::ZERO);
    assert_eq!(told, Err(PacketError::Text { valid_up_to: 1 }));
}

proptest! {
    #[test]
    fn any_record_comes_back(
        kind in any::<u8>(),
        sequence: u64,
        node in proptest::option::of(0..255u8),
        hash: Option<u64>,
        from in arbitrary::ingredients(),
    ) {
        let event = arbitrary::event(kind, &from);
        let record = Record { hash, ..Record::new(sequence, Time::from_nanos(3), node, event) };
        let bytes = packed(&record);
        prop_assert!(bytes.len() <= size_bound(&event));
        prop_assert_eq!(unpack(&bytes, Time::from_nanos(3)), Ok(record));
        let owned = RecordBuf::from(&record);
        prop_assert_eq!(owned.get(), record);
    }

    #[test]
    fn damaged_bytes_never_panic(
        record in arbitrary::record(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = packed(&record.get());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = unpack(&bytes, Time::ZERO);
        bytes.truncate(length.index(bytes.len() + 1));
        let _ = unpack(&bytes, Time::ZERO);
    }
}
