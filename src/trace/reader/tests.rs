// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::trace::{Event, Origin, Sink, Writer, arbitrary};
use proptest::prelude::*;
use std::io::Write;

fn trace(records: &[RecordBuf]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut section = Section::new("test");
    section.nodes.insert(0, None);
    let mut writer = Writer::new(&mut bytes, section).unwrap();
    records.iter().for_each(|each| writer.record(&each.get()));
    drop(writer);
    bytes
}

fn logs(count: u64) -> Vec<RecordBuf> {
    let log = |sequence| {
        let time = Time::from_nanos(sequence * 1000);
        RecordBuf::from(&Record::new(
            sequence,
            time,
            Some(0),
            Event::RelayLog("a line"),
        ))
    };
    (1..=count).map(log).collect()
}

/// Reads all there is: the records, and how it ended.
fn read(bytes: &[u8]) -> (Vec<RecordBuf>, Option<ReadError>, Vec<Notice>) {
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error), Vec::new()),
    };
    let mut records = Vec::new();
    let mut ended = None;
    for record in reader.by_ref() {
        match record {
            Ok(record) => records.push(record),
            Err(error) => ended = Some(error),
        }
    }
    assert!(reader.next().is_none(), "the end stays the end");
    (records, ended, reader.notices().to_vec())
}

/// Where each block begins, and the end of the last.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut boundaries = vec![0];
    while at < bytes.len() {
        at += u32::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
        boundaries.push(at);
    }
    boundaries
}

/// The same file as a machine of the other byte order writes it.
fn swapped(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let ends = boundaries(bytes);
    let swap = |out: &mut Vec<u8>, at: usize, width: usize| out[at..at + width].reverse();
    for pair in ends.windows(2) {
        let (start, end) = (pair[0], pair[1]);
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
        let mut options = match word(start) {
            block::SECTION_HEADER => {
                swap(&mut out, start + 8, 4);
                swap(&mut out, start + 12, 2);
                swap(&mut out, start + 14, 2);
                start + 24
            }
            block::INTERFACE => {
                swap(&mut out, start + 8, 2);
                start + 16
            }
            _ => {
                (8..28)
                    .step_by(4)
                    .for_each(|at| swap(&mut out, start + at, 4));
                start + 28 + (word(start + 20) as usize).next_multiple_of(4)
            }
        };
        while options < end - 4 {
            let length = usize::from(bytes[options + 2]) | usize::from(bytes[options + 3]) << 8;
            swap(&mut out, options, 2);
            swap(&mut out, options + 2, 2);
            options += 4 + length.next_multiple_of(4);
        }
        for at in [start, start + 4, end - 4] {
            swap(&mut out, at, 4);
        }
    }
    out
}

#[test]
fn a_file_cut_at_any_byte_gives_all_whole_records_and_says_where_it_ends() {
    let mut records = logs(3);
    records.push(RecordBuf::from(&Record::new(
        4,
        Time::from_nanos(4000),
        None,
        Event::PowerOff,
    )));
    let bytes = trace(&records);
    let boundaries = boundaries(&bytes);
    // A section, five interfaces, three records, an interface, a record.
    assert_eq!(boundaries.len(), 12);
    for length in 0..=bytes.len() {
        let whole = boundaries.iter().filter(|end| **end <= length).count() - 1;
        let expected = match whole {
            0..=6 => 0,
            7..=9 => whole - 6,
            10 => 3,
            _ => 4,
        };
        let (given, ended, notices) = read(&bytes[..length]);
        assert_eq!(given, records[..expected], "cut at {length}");
        assert_eq!(notices, []);
        match ended {
            None => assert!(boundaries[1..].contains(&length), "cut at {length}"),
            Some(error) => {
                assert_eq!(error.offset, boundaries[whole] as u64);
                match error.problem {
                    ReadProblem::Empty => assert_eq!(length, 0),
                    ReadProblem::Truncated { left, .. } => {
                        assert_eq!(left as usize, length - boundaries[whole]);
                    }
                    other => panic!("cut at {length}: {other}"),
                }
            }
        }
    }
}

#[test]
fn either_byte_order_is_read_and_sections_may_follow_one_another() {
    let records = logs(3);
    let little = trace(&records);
    let big = swapped(&little);
    assert_ne!(little, big);
    let both = [&*big, &*little, &*big].concat();
    let (given, ended, notices) = read(&both);
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(notices, []);
    let expected = [&*records, &*records, &*records].concat();
    assert_eq!(given, expected);
    assert_eq!(Reader::new(&*big).unwrap().section().recorder, "test");
}

fn refusal(bytes: &[u8]) -> String {
    let (_, ended, _) = read(bytes);
    ended.map(|error| error.to_string()).unwrap_or_default()
}

/// A section header and a packet on an interface of the given link type.
fn foreign(link_type: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    block::section_header("other", "a comment", &mut bytes);
    let start = bytes.len();
    block::interface("eth0", &mut bytes);
    bytes[start + 8..start + 10].copy_from_slice(&link_type.to_le_bytes());
    block::packet(0, 0, 0, None, &mut bytes, |out| out.extend([0; 60]));
    bytes
}

#[test]
fn refusals_say_where_what_and_what_to_do() {
    let good = trace(&logs(2));
    let last = boundaries(&good)[7];
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let mut later = Vec::new();
    block::section_header("x", "stmf-proxy trace 2", &mut later);
    let text = [
        ("empty", refusal(&[])),
        ("cut", refusal(&good[..last + 30])),
        ("text", refusal(b"these are no bytes of a trace")),
        ("gzip", refusal(&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0])),
        ("pcap", refusal(&[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0])),
        ("future", refusal(&later)),
        ("pcapng 2", refusal(&with(12, &[2]))),
        ("byte order", refusal(&with(8, &[0; 4]))),
        ("ethernet", refusal(&foreign(1))),
        ("length 8", refusal(&with(last + 4, &[8, 0, 0, 0]))),
        ("length 33", refusal(&with(last + 4, &[33, 0, 0, 0]))),
        ("lengths differ", refusal(&with(good.len() - 4, &[1, 2]))),
    ]
    .map(|(what, refusal)| format!("{what}: {refusal}\n"))
    .concat();
    insta::assert_snapshot!(text);
}

#[test]
fn oddities_are_noted_and_the_rest_is_read() {
    let mut bytes = Vec::new();
    block::section_header("x", "not ours", &mut bytes);
    block::interface("a", &mut bytes);
    let eth = bytes.len();
    block::interface("b", &mut bytes);
    bytes[eth + 8] = 1;
    let record = |sequence, time| {
        let mut packet = Vec::new();
        let record = Record::new(sequence, Time::ZERO, None, Event::RelayStarted);
        packet::pack(
            &record,
            &super::super::snap::Kept::of(&record, Default::default()),
            &mut packet,
        );
        move |interface, bytes: &mut Vec<u8>| {
            block::packet(interface, time, 0, None, bytes, |out| out.extend(&packet));
        }
    };
    record(7, 500)(0, &mut bytes);
    record(8, 400)(0, &mut bytes);
    record(10, 600)(0, &mut bytes);
    record(11, 600)(1, &mut bytes);
    record(11, 600)(2, &mut bytes);
    block::packet(0, 600, 0, None, &mut bytes, |out| out.extend([2; 70]));
    block::packet(0, 600, 0, None, &mut bytes, |out| out.extend([1; 70]));
    let short = bytes.len();
    record(11, 600)(0, &mut bytes);
    bytes[short + 20] = 0xF0;
    // A block of a type that nobody knows.
    bytes.extend([[0xAB, 0, 0, 0], [12, 0, 0, 0], [12, 0, 0, 0]].concat());
    record(11, 700)(0, &mut bytes);
    let (given, ended, notices) = read(&bytes);
    assert!(ended.is_none());
    let sequences: Vec<_> = given.iter().map(|record| record.get().sequence).collect();
    assert_eq!(sequences, [7, 8, 10, 11]);
    let text: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
    insta::assert_snapshot!(text);
}

fn trace_with_long_header() -> Vec<u8> {
    let mut bytes = Vec::new();
    block::section_header(&"x".repeat(999), "", &mut bytes);
    bytes
}

#[test]
fn the_bounds_hold_at_their_edges() {
    let text = "a long line ".repeat(20);
    let log = |sequence| {
        let record = Record::new(sequence, Time::ZERO, Some(0), Event::RelayLog(&text));
        RecordBuf::from(&record)
    };
    let bytes = trace(&[log(1), log(2)]);
    let ends = boundaries(&bytes);
    let longest = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap() as u32;
    let limits = ReadLimits {
        max_block: longest,
        max_interfaces: 5,
        max_notices: 1,
    };
    let records = |limits| {
        let mut reader = Reader::with_limits(&*bytes, limits).unwrap();
        let given = reader.by_ref().map(Result::unwrap).count();
        (given, reader.notices().len(), reader.notice_count())
    };
    assert_eq!(records(limits), (2, 0, 0));
    // The packets are the longest blocks.
    let shorter = ReadLimits {
        max_block: longest - 1,
        ..limits
    };
    assert_eq!(records(shorter), (0, 1, 2));
    let fewer = ReadLimits {
        max_interfaces: 4,
        ..limits
    };
    let long_header = [&*bytes, &*trace_with_long_header()].concat();
    let mut reader = Reader::with_limits(&*long_header, limits).unwrap();
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 2);
    assert_eq!(reader.offset(), long_header.len() as u64, "it ended there");
    assert!(Reader::with_limits(&*trace_with_long_header(), limits).is_err());
    let error = Reader::with_limits(&*bytes, fewer).unwrap().next().unwrap();
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("more than 4 interfaces")
    );
}

/// Goes on for ever with a block that says it is 4 GiB long.
struct Endless {
    head: Vec<u8>,
    given: u64,
}

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.head.is_empty() {
            bytes.fill(0);
            self.given += bytes.len() as u64;
            // 3 MiB, then the end.
            return Ok(if self.given > 3 << 20 { 0 } else { bytes.len() });
        }
        let taken = bytes.len().min(self.head.len());
        bytes[..taken].copy_from_slice(&self.head[..taken]);
        self.head.drain(..taken);
        Ok(taken)
    }
}

#[test]
fn a_length_that_is_a_lie_costs_no_memory() {
    let mut head = trace(&[]);
    head.extend([6, 0, 0, 0, 0xFC, 0xFF, 0xFF, 0xFF]);
    for (max_block, most) in [(u32::MAX, 8 << 20), (1 << 20, 0)] {
        let limits = ReadLimits {
            max_block,
            ..ReadLimits::default()
        };
        let input = Endless {
            head: head.clone(),
            given: 0,
        };
        let mut reader = Reader::with_limits(input, limits).unwrap();
        let error = reader.next().unwrap().unwrap_err();
        assert!(matches!(
            error.problem,
            ReadProblem::Truncated {
                needed: Some(0xFFFF_FFFC),
                ..
            }
        ));
        assert!(
            reader.blocks.capacity() <= most.max(1 << 10),
            "{}",
            reader.blocks.capacity()
        );
    }
}

#[test]
fn times_of_other_resolutions_and_offsets_are_understood() {
    let cases = [
        (Resolution::Decimal(9), 5, 5),
        (Resolution::Decimal(6), 5, 5_000),
        (Resolution::Decimal(0), 5, 5_000_000_000),
        (Resolution::Decimal(12), 5_999, 5),
        (Resolution::Decimal(127), u64::MAX, 0),
        (Resolution::Binary(1), 3, 1_500_000_000),
        (Resolution::Binary(127), u64::MAX, 0),
        (Resolution::Decimal(0), u64::MAX, u64::MAX),
    ];
    for (resolution, units, nanoseconds) in cases {
        assert_eq!(resolution.nanoseconds(units), nanoseconds, "{resolution:?}");
    }
    let mut bytes = trace(&[]);
    bytes.clear();
    let section = Section {
        origin: Origin::Unix(7_000_000_000),
        ..Section::new("x")
    };
    block::section_header("x", &section.to_comment(), &mut bytes);
    let start = bytes.len();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend([154, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([14, 0, 8, 0]);
    bytes.extend(6i64.to_le_bytes());
    let length = (bytes.len() + 4 - start) as u32;
    bytes[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    let record = Record::new(1, Time::ZERO, None, Event::RelayStarted);
    let owned = RecordBuf::from(&record);
    block::packet(0, 1_500_000, 0, None, &mut bytes, |out| {
        let record = owned.get();
        let kept = super::super::snap::Kept::of(&record, Default::default());
        packet::pack(&record, &kept, out);
    });
    // Microseconds where nothing is said, six seconds of offset, less the origin.
    let (given, ended, _) = read(&bytes);
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(given[0].get().time, Time::from_nanos(500_000_000));
}

#[test]
fn a_failing_input_is_reported_where_it_fails() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            match self.0.is_empty() {
                true => Err(std::io::Error::other("the disk is gone")),
                false => (&mut self.0).take(7).read(bytes),
            }
        }
    }
    let bytes = trace(&logs(1));
    let mut reader = Reader::new(Failing(&bytes)).unwrap();
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.offset, bytes.len() as u64);
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    assert!(reader.next().is_none());
}

#[test]
fn a_long_trace_is_read_in_the_memory_of_its_longest_record() {
    // 64 MiB of it, made as it is read.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let told = std::thread::spawn(move || {
        let message = vec![7; 1 << 16];
        let mut trace = Writer::new(&mut writer, Section::new("long")).unwrap();
        for sequence in 1..=1024 {
            let post = Event::Post {
                post: sequence,
                message: &message,
            };
            trace.record(&Record::new(sequence, Time::ZERO, Some(0), post));
        }
        trace.finish().unwrap();
        writer.flush().unwrap();
    });
    let mut read = Reader::new(&mut reader).unwrap();
    let mut most = 0;
    while read.next_entry().unwrap().is_some() {
        most = most.max(read.blocks.capacity());
    }
    told.join().unwrap();
    assert_eq!(read.records(), 1024);
    assert!(most <= 4 << 16, "{most}");
}

proptest! {
    #[test]
    fn any_trace_cut_anywhere_gives_a_front_of_it(
        records in arbitrary::records(6),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = trace(&records);
        let length = cut.index(bytes.len() + 1);
        let (given, ended, _) = read(&bytes[..length]);
        prop_assert_eq!(&given[..], &records[..given.len()]);
        prop_assert!(ended.is_none_or(|error| error.offset <= length as u64));
    }

    #[test]
    fn damage_never_panics_and_never_takes_more_memory_than_there_are_bytes(
        records in arbitrary::records(6),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = trace(&records);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(mut reader) = Reader::new(&*bytes) {
            let given = reader.by_ref().filter(Result::is_ok).count();
            prop_assert!(given <= records.len());
            prop_assert!(reader.blocks.capacity() <= 2 * bytes.len() + 64);
        }
    }

    #[test]
    fn any_bytes_after_a_section_header_never_panic(
        tail in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = trace(&[]);
        bytes.extend(tail);
        read(&bytes);
    }
}
