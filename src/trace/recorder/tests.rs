// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::trace::EventKind;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A clock that ticks at every look.
fn ticking() -> impl Clock {
    let now = Mutex::new(0);
    move || {
        let mut now = locked(&now);
        *now += 1;
        Time::from_nanos(*now)
    }
}

/// Blocks in every record until it is let go on; says what it saw.
struct Gate {
    entered: Sender<()>,
    go: Receiver<()>,
    seen: Vec<RecordBuf>,
}

impl Sink for Gate {
    fn record(&mut self, record: &Record<'_>) {
        let _ = self.entered.send(());
        // An error means that the gate stays open.
        let _ = self.go.recv();
        self.seen.push(RecordBuf::from(record));
    }
}

fn gated(settings: QueueSettings) -> (Recording<Gate>, Receiver<()>, Sender<()>) {
    let (entered, is_in) = channel();
    let (let_go, go) = channel();
    let gate = Gate {
        entered,
        go,
        seen: Vec::new(),
    };
    let recording = Recording::start(gate, ticking(), settings).unwrap();
    (recording, is_in, let_go)
}

fn told(records: &[RecordBuf]) -> Vec<(u64, u64, String)> {
    let told = |record: &RecordBuf| {
        let record = record.get();
        let event = format!("{:?}", record.event);
        (record.sequence, record.time.as_nanos(), event)
    };
    records.iter().map(told).collect()
}

#[test]
fn a_full_queue_counts_what_it_drops_and_says_so_later() {
    let settings = QueueSettings {
        events: 2,
        ..QueueSettings::default()
    };
    let (recording, is_in, let_go) = gated(settings);
    let recorder = recording.recorder();
    let tell = |text| recorder.tell(Some(0), Event::RelayLog(text));
    tell("a");
    is_in.recv().unwrap();
    // One is being written, one more fits, two do not. None of these calls waits.
    tell("b");
    tell("c");
    tell("d");
    assert_eq!(recorder.lost(), 2);
    let_go.send(()).unwrap();
    is_in.recv().unwrap();
    tell("e");
    tell("f");
    drop(let_go);
    let sink = recording.finish().unwrap();
    tell("too late");
    let text = |text: &str| format!("RelayLog({text:?})");
    let lost = |events: u64| format!("Lost {{ events: {events} }}");
    let expected = [
        (1, 1, text("a")),
        (2, 2, text("b")),
        (3, 3, lost(2)),
        (4, 3, text("e")),
        (5, 4, lost(1)),
    ];
    assert_eq!(told(&sink.seen), expected);
    assert_eq!(recorder.lost(), 4);
}

#[test]
fn the_bound_on_bytes_holds_at_its_edge() {
    let event = Event::RelayLog("0123456789");
    let size = RecordBuf::size_of(&event);
    for (bytes, lost) in [(size, 0), (size - 1, 1)] {
        let settings = QueueSettings {
            bytes,
            ..QueueSettings::default()
        };
        let recording = Recording::start(Vec::new(), ticking(), settings).unwrap();
        let recorder = recording.recorder();
        recorder.tell(None, event);
        assert_eq!(recorder.lost(), lost);
        let records = recording.finish().unwrap();
        let kinds: Vec<_> = records.iter().map(|r| r.get().event.kind()).collect();
        let expected = [EventKind::RelayLog, EventKind::Lost][lost as usize];
        assert_eq!(kinds, [Some(expected)]);
    }
}

#[test]
fn events_of_many_threads_are_numbered_in_the_order_of_their_times() {
    let recording = Recording::start(Vec::new(), ticking(), QueueSettings::default()).unwrap();
    thread::scope(|scope| {
        for node in 0..4 {
            let recorder = recording.recorder();
            scope.spawn(move || {
                for post in 1..=50 {
                    let message = &[1, 2, 3];
                    recorder.tell(Some(node), Event::Post { post, message });
                }
            });
        }
    });
    let records = recording.finish().unwrap();
    assert_eq!(records.len(), 200);
    for (index, record) in records.iter().enumerate() {
        let number = index as u64 + 1;
        let record = record.get();
        assert_eq!((record.sequence, record.time.as_nanos()), (number, number));
    }
    for node in 0..4 {
        let posts = records
            .iter()
            .filter(|record| record.get().node == Some(node));
        let numbers = posts.map(|record| match record.get().event {
            Event::Post { post, .. } => post,
            _ => 0,
        });
        assert!(numbers.eq(1..=50));
    }
}

#[test]
fn a_sink_that_panics_ends_the_recording_only() {
    struct Bomb;
    impl Sink for Bomb {
        fn record(&mut self, _: &Record<'_>) {
            std::panic::resume_unwind(Box::new("thrown"));
        }
    }
    let recording = Recording::start(Bomb, ticking(), QueueSettings::default()).unwrap();
    let recorder = recording.recorder();
    recorder.tell(None, Event::RelayStarted);
    recorder.tell(None, Event::RelayEnded);
    assert_eq!(recording.finish().err(), Some(SinkPanicked));
}

#[test]
fn a_dropped_recording_is_written_to_its_end() {
    let seen = Arc::new(Mutex::new(0));
    struct Count(Arc<Mutex<u64>>);
    impl Sink for Count {
        fn record(&mut self, _: &Record<'_>) {
            *locked(&self.0) += 1;
        }
    }
    let sink = Count(seen.clone());
    let recording = Recording::start(sink, ticking(), QueueSettings::default()).unwrap();
    let recorder = recording.recorder();
    (0..9).for_each(|_| recorder.tell(None, Event::RelayStarted));
    drop(recording);
    assert_eq!(*locked(&seen), 9);
}

#[test]
fn the_clock_of_the_system_goes_on() {
    let clock = SystemClock::start();
    let before = clock.now();
    assert!(clock.now() >= before);
    assert!(clock.origin().unix_nanos() > 0);
}
