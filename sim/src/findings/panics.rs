// SPDX-License-Identifier: MPL-2.0
//! Nodes that go down.

use super::{Finding, Found, Kind, Watcher};
use crate::world::trace::{Event, Record};
use stmf_proxy::time::Time;

pub(super) struct Panics;

impl Watcher for Panics {
    fn event(&mut self, record: &Record<'_>, found: Found<'_>) {
        let Event::Panic { trap, reason } = record.event else {
            return;
        };
        let node = record.node.map_or("a node".into(), |n| format!("node {n}"));
        let text = match trap {
            0 => format!("{node} panicked: {reason}"),
            trap => format!("{node} panicked: {reason} (trap {trap})"),
        };
        found.push(Finding {
            kind: Kind::NodePanic,
            time: record.time,
            node: record.node,
            text,
        });
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::Watch;
    use super::*;
    use crate::world::trace::Sink;

    #[test]
    fn a_panic_is_told_with_its_trap() {
        let mut watch = Watch::new();
        let panic = Event::Panic {
            trap: 4,
            reason: "no transport id",
        };
        watch.record(&Record::new(1, Time::from_nanos(7), Some(1), panic));
        let findings = watch.finish(Time::from_nanos(9));
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].to_string(),
            "node-panic: node 1 panicked: no transport id (trap 4)"
        );
    }
}
