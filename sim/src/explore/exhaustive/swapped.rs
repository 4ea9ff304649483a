// SPDX-License-Identifier: MPL-2.0
//! What the search takes for granted of the watchers: that they find the same whichever of two
//! events comes first, if they belong to different nodes, happen at the same moment, and one at
//! least is of those that [`Compared`] has no place for.

use super::history::Compared;
use super::small::{TICK, in_ticks};
use crate::explore::{Act, Draw, Scenario, Settings, Timed, draw, run};
use crate::field;
use crate::findings::Watch;
use crate::kernel::sbd::Content;
use crate::world::random::Random;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;
use stmf_proxy::trace::{RecordBuf, Sink};

fn whole_ticks(duration: Duration) -> Duration {
    let ticks = duration.as_nanos() / TICK.as_nanos();
    TICK * u32::try_from(ticks % 32).unwrap_or(0)
}

/// The scenario of a seed, in which waits and travels take whole ticks, as in those of which every
/// order is run: so much happens at the same moment.
fn scenario(seed: u64, from: &Draw) -> Scenario {
    let mut scenario = draw(seed, from);
    scenario.network = in_ticks();
    let changes_network =
        |timed: &Timed| matches!(timed.act, Act::Network(_) | Act::SlowReader { .. });
    scenario.acts.retain(|timed| !changes_network(timed));
    for timed in &mut scenario.acts {
        timed.wait = whole_ticks(timed.wait);
        if let Act::Pause { duration, .. } = &mut timed.act {
            *duration = whole_ticks(*duration);
        }
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

/// How many events have one behind them that may as well come before.
fn pairs(events: &[RecordBuf]) -> usize {
    let pairs = events.windows(2);
    pairs.filter(|pair| commute(&pair[0], &pair[1])).count()
}

/// Puts events that commute in another order.
fn swap(events: &mut [RecordBuf], random: &mut Random) {
    const ROUNDS: u32 = 12;
    for _ in 0..ROUNDS {
        for place in 1..events.len() {
            if commute(&events[place - 1], &events[place]) && random.below(2) == 0 {
                events.swap(place - 1, place);
            }
        }
    }
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
    let (mut in_all, mut with_findings) = (0, 0);
    for seed in 0..120 {
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
        let verdict = run(&scenario, settings);
        let mut events = events.take();
        let end = Time::ZERO + verdict.simulated;
        in_all += pairs(&events);
        let before = found(&scenario, &events, end);
        with_findings += u32::from(!before.is_empty());
        let mut random = Random::new(seed);
        for _ in 0..4 {
            swap(&mut events, &mut random);
            let after = found(&scenario, &events, end);
            assert_eq!(before, after, "seed {seed}, defect {defect:?}");
        }
    }
    assert!(in_all > 2_000, "only {in_all} pairs can change places");
    assert!(
        with_findings > 20,
        "only {with_findings} runs show something"
    );
}
