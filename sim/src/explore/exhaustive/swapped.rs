// SPDX-License-Identifier: MPL-2.0
//! What the search takes for granted of the watchers: that they find the same whichever of two
//! events comes first, if they belong to different nodes, happen at the same moment, and one at
//! least is of those that [`Compared`] has no place for.

use super::history::Compared;
use crate::explore::{Draw, Scenario, Settings, draw, run};
use crate::field;
use crate::findings::Watch;
use crate::kernel::sbd::Content;
use crate::world::network::NetworkConfig;
use crate::world::random::Random;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{RecordBuf, Sink};

/// All that takes time takes so long, or a multiple of it: so much happens at the same moment.
const MOMENT: Duration = Duration::from_micros(200);

/// The scenario of a seed, in moments.
fn scenario(seed: u64, from: &Draw) -> Scenario {
    let mut scenario = draw(seed, from);
    scenario.network = NetworkConfig::default();
    for timed in &mut scenario.acts {
        let moments = timed.wait.as_nanos() / MOMENT.as_nanos();
        timed.wait = MOMENT * u32::try_from(moments % 32).unwrap_or(0);
    }
    scenario
}

/// Whether two events that follow each other may as well come the other way round.
fn commute(first: &RecordBuf, second: &RecordBuf) -> bool {
    let (first, second) = (first.get(), second.get());
    let kinds = [Compared::of(&first.event), Compared::of(&second.event)];
    let nodes = first.node.is_some() && second.node.is_some() && first.node != second.node;
    let begin = kinds == [Compared::Begins; 2];
    nodes && first.time == second.time && (begin || kinds.contains(&Compared::Nothing))
}

/// Puts events that commute in another order; how many changed places.
fn swap(events: &mut [RecordBuf], random: &mut Random) -> u64 {
    const ROUNDS: u32 = 12;
    let mut swapped = 0;
    for _ in 0..ROUNDS {
        for place in 1..events.len() {
            if commute(&events[place - 1], &events[place]) && random.below(2) == 0 {
                events.swap(place - 1, place);
                swapped += 1;
            }
        }
    }
    swapped
}

/// What the watchers find in these events, in the order of the words.
fn found(scenario: &Scenario, events: &[RecordBuf], end: Time) -> Vec<String> {
    let mut watch = Watch::for_exploration();
    for (number, unit) in (0..).zip(&scenario.units) {
        let size = u64::from(unit.blocks) * u64::from(crate::explore::commands::BLOCK);
        watch.disk(Scenario::lu(number), size, Some(&Content::Numbered));
    }
    for (place, event) in (1..).zip(events) {
        let mut record = event.get();
        record.sequence = place;
        watch.record(&record);
    }
    let mut found: Vec<_> = watch.finish(end).iter().map(ToString::to_string).collect();
    found.extend(watch.excused().iter().map(|excused| format!("{excused:?}")));
    found.sort();
    found
}

#[test]
fn watchers_find_the_same_whichever_event_of_two_nodes_comes_first() {
    const DEFECTS: [&str; 6] = [
        "reorder",
        "lost-result",
        "back-pressure",
        "big-read",
        "6895461",
        "same-node",
    ];
    let (mut swapped, mut with_findings) = (0, 0);
    for seed in 0..60 {
        let defect = DEFECTS.get(seed as usize % (2 * DEFECTS.len()));
        let from = Draw {
            defect: defect.and_then(|id| field::by_id(id)),
            ..Draw::default()
        };
        let scenario = scenario(seed, &from);
        let events = Rc::new(RefCell::new(Vec::new()));
        let settings = Settings {
            sinks: vec![events.clone()],
            ..Settings::default()
        };
        run(&scenario, settings);
        let mut events = events.take();
        let end = events.last().map_or(Time::ZERO, |event| event.get().time);
        let before = found(&scenario, &events, end);
        with_findings += u32::from(!before.is_empty());
        let mut random = Random::new(seed);
        for _ in 0..4 {
            swapped += swap(&mut events, &mut random);
            let after = found(&scenario, &events, end);
            assert_eq!(before, after, "seed {seed}, defect {defect:?}");
        }
    }
    assert!(swapped > 10_000, "only {swapped} events changed places");
    assert!(
        with_findings > 10,
        "only {with_findings} runs show something"
    );
}
