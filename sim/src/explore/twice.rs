// SPDX-License-Identifier: MPL-2.0
//! Whether a scenario gives the same run a second time, compared event by event.

use super::scenario::Scenario;
use crate::findings::{Finding, Kind};
use crate::replay::compare::{Comparer, Divergence};
use crate::view::describe;
use crate::world::trace::{Record, Sink};
use std::cell::RefCell;
use std::rc::Rc;
use stmf_proxy::time::Time;
use stmf_proxy::trace::RecordBuf;

/// Keeps every event.
#[derive(Default)]
pub(super) struct Kept(Vec<RecordBuf>);

impl Sink for Kept {
    fn record(&mut self, record: &Record<'_>) {
        self.0.push(RecordBuf::from(record));
    }
}

/// Runs the scenario with `run` again and compares what happens with what was kept.
pub(super) fn difference(
    scenario: &Scenario,
    kept: Rc<RefCell<Kept>>,
    run: impl FnOnce(&Scenario, Rc<RefCell<dyn Sink>>),
) -> Option<Finding> {
    let mut first = kept.take().0.into_iter();
    let comparer = Rc::new(RefCell::new(Comparer::new(Box::new(move || first.next()))));
    run(scenario, comparer.clone());
    let found = comparer.borrow_mut().finish();
    found.map(|divergence| finding(&divergence))
}

fn finding(divergence: &Divergence) -> Finding {
    let told = |record: &Option<RecordBuf>| match record {
        None => "nothing more".to_string(),
        Some(record) => {
            let record = record.get();
            let node = match record.node {
                Some(node) => format!("node {node}"),
                None => "world".into(),
            };
            format!("{} {node} {}", record.time, describe(&record, None))
        }
    };
    let place = divergence
        .recorded
        .as_ref()
        .or(divergence.happened.as_ref());
    Finding {
        kind: Kind::Nondeterminism,
        time: place.map_or(Time::ZERO, |record| record.get().time),
        node: place.and_then(|record| record.get().node),
        text: format!(
            "the same seed gave two runs, which differ from event {} on\nfirst run:  {}\nsecond run: {}",
            divergence.number,
            told(&divergence.recorded),
            told(&divergence.happened)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Draw, Settings, draw, run};
    use super::*;

    #[test]
    fn a_run_that_differs_is_found_with_its_first_difference() {
        let scenario = draw(3, &Draw::default());
        let kept = Rc::new(RefCell::new(Kept::default()));
        let settings = |sink: Rc<RefCell<dyn Sink>>| Settings {
            sinks: vec![sink],
            ..Settings::default()
        };
        run(&scenario, settings(kept.clone()));
        let copy = Rc::new(RefCell::new(Kept(kept.borrow().0.clone())));
        let same = difference(&scenario, copy.clone(), |scenario, sink| {
            run(scenario, settings(sink));
        });
        assert_eq!(same, None);
        let other = difference(&scenario, kept, |scenario, sink| {
            let mut other = scenario.clone();
            other.seed += 1;
            run(&other, settings(sink));
        });
        let other = other.unwrap();
        assert_eq!(other.kind, Kind::Nondeterminism);
        let lines: Vec<&str> = other.text.lines().collect();
        assert!(lines[0].contains("differ from event "), "{other}");
        assert!(lines[1].starts_with("first run:  ") && lines[2].starts_with("second run: "));
        assert_ne!(lines[1][12..], lines[2][12..]);
    }
}
