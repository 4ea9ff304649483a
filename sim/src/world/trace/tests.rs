// SPDX-License-Identifier: MPL-2.0
use super::*;

fn time(nanoseconds: u64) -> Time {
    Time::from_nanos(nanoseconds)
}

#[derive(Default)]
struct Hashes(Vec<(u64, TraceHash)>);

impl Sink for Hashes {
    fn record(&mut self, record: &Record<'_>) {
        self.0
            .push((record.sequence, TraceHash(record.hash.unwrap_or(0))));
    }
}

/// The hash of a trace means the same for ever: stored values depend on it.
#[test]
fn the_hash_is_stable() {
    let trace = Trace::new();
    assert_eq!(trace.hash().to_string(), "0000000000000000");
    trace.record(time(5), Some(1), Event::Step("copy"));
    let mut encoding = Vec::new();
    encoding.extend_from_slice(&5u64.to_le_bytes());
    encoding.extend_from_slice(&[1, 27]);
    encoding.extend_from_slice(&4u64.to_le_bytes());
    encoding.extend_from_slice(b"copy");
    let first = xxh3_64(&encoding);
    assert_eq!(trace.hash().0, first);
    let message = [7u8; 300];
    trace.record(
        time(6),
        None,
        Event::Post {
            post: 2,
            message: &message,
        },
    );
    encoding.clear();
    encoding.extend_from_slice(&6u64.to_le_bytes());
    encoding.extend_from_slice(&[255, 2]);
    encoding.extend_from_slice(&2u64.to_le_bytes());
    encoding.extend_from_slice(&300u64.to_le_bytes());
    encoding.extend_from_slice(&xxh3_64(&message).to_le_bytes());
    assert_eq!(trace.hash().0, xxh3_64_with_seed(&encoding, first));
    assert_eq!(trace.hash().to_string(), "d1b9ed3c166b1dd9");
}

#[test]
fn every_difference_counts() {
    let events = [
        (
            1,
            Some(0),
            Event::Upcall {
                call: 1,
                attempt: 1,
                lock_held: false,
                message: b"abc",
            },
        ),
        (
            2,
            Some(0),
            Event::Upcall {
                call: 1,
                attempt: 1,
                lock_held: false,
                message: b"abc",
            },
        ),
        (
            1,
            Some(1),
            Event::Upcall {
                call: 1,
                attempt: 1,
                lock_held: false,
                message: b"abc",
            },
        ),
        (
            1,
            Some(0),
            Event::Upcall {
                call: 2,
                attempt: 1,
                lock_held: false,
                message: b"abc",
            },
        ),
        (
            1,
            Some(0),
            Event::Upcall {
                call: 1,
                attempt: 1,
                lock_held: true,
                message: b"abc",
            },
        ),
        (
            1,
            Some(0),
            Event::Upcall {
                call: 1,
                attempt: 1,
                lock_held: false,
                message: b"abd",
            },
        ),
        (
            1,
            Some(0),
            Event::UpcallDone {
                call: 1,
                outcome: Ok(11),
            },
        ),
        (
            1,
            Some(0),
            Event::UpcallDone {
                call: 1,
                outcome: Err(11),
            },
        ),
        (1, Some(0), Event::KernelLog("text")),
        (1, Some(0), Event::RelayLog("text")),
    ];
    let mut hashes: Vec<u64> = events
        .iter()
        .map(|&(at, node, event)| {
            let trace = Trace::new();
            trace.record(time(at), node, event);
            trace.hash().0
        })
        .collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), events.len());
}

#[test]
fn the_first_divergence_can_be_found() {
    let run = |third: &str| {
        let trace = Trace::new();
        let hashes = Rc::new(RefCell::new(Hashes::default()));
        trace.add_sink(hashes.clone());
        for text in ["one", "two", third, "four"] {
            trace.record(time(1), None, Event::Step(text));
        }
        assert_eq!(trace.events(), 4);
        hashes.take().0
    };
    let (one, other) = (run("three"), run("drei"));
    let first = one.iter().zip(&other).find(|(a, b)| a != b).unwrap().0.0;
    assert_eq!(first, 3);
    assert_ne!(one[3], other[3], "a difference is never forgotten");
}

#[test]
fn what_was_received_counts_by_length_only() {
    let hash = |bytes: &[u8]| {
        let trace = Trace::new();
        trace.record(
            time(0),
            Some(0),
            Event::Received {
                connection: 1,
                bytes,
            },
        );
        trace.hash()
    };
    assert_eq!(hash(b"ab"), hash(b"cd"));
    assert_ne!(hash(b"ab"), hash(b"abc"));
}
