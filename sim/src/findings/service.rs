// SPDX-License-Identifier: MPL-2.0
//! Relays that find the proxy service busy again and again.
//!
//! Once or twice is nothing: the handle of a forerunner can still be being closed.

use super::{Finding, Found, Kind, Seen, Watcher};
use crate::world::trace::{Event, NodeId};
use std::collections::BTreeMap;
use stmf_proxy::proxy_door::Error;
use stmf_proxy::status::Errno;
use stmf_proxy::time::Time;

/// After so many attempts it is no coincidence.
const ENOUGH: u64 = 10;

#[derive(Default)]
struct Process {
    busy: u64,
    since: Option<Time>,
    /// The install that failed before, as the log says it.
    refused: Option<String>,
}

pub(super) struct Service {
    processes: BTreeMap<NodeId, Process>,
    /// How an error begins that says that the door was refused.
    refused: String,
    busy: String,
}

impl Default for Service {
    fn default() -> Service {
        let text = |error: Error| error.to_string();
        let errno = Errno::EINVAL;
        let refused = text(Error::InstallDoor { errno });
        let refused = refused.split(':').next().unwrap_or_default().to_string();
        let errno = Errno::EBUSY;
        Service {
            processes: BTreeMap::new(),
            refused,
            busy: text(Error::OpenProxyService { errno }),
        }
    }
}

impl Watcher for Service {
    fn event(&mut self, record: &Seen<'_>, found: Found<'_>) {
        let Some(node) = record.node else { return };
        let line = match record.event {
            Event::RelayStarted | Event::RelayEnded | Event::Connected { .. } => {
                self.processes.remove(&node);
                return;
            }
            Event::RelayLog(line) => line,
            _ => return,
        };
        let process = self.processes.entry(node).or_default();
        if line.contains(&self.refused) {
            process.refused = Some(line.to_string());
        } else if line.contains(&self.busy) {
            process.busy += 1;
            let since = *process.since.get_or_insert(record.time);
            if process.busy == ENOUGH {
                let before = match &process.refused {
                    Some(line) => format!(
                        "; its first init had failed (\"{line}\") and has left its handle open, \
                         so that every other one is locked out until the process ends"
                    ),
                    None => String::new(),
                };
                found.push(Finding {
                    kind: Kind::RelayStopped,
                    time: record.time,
                    node: Some(node),
                    text: format!(
                        "the relay of node {node} has found the proxy service busy {ENOUGH} \
                         times in a row since {since} s{before}"
                    ),
                });
            }
        }
    }

    fn end(&mut self, _: Time, _: Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, only};
    use super::*;

    fn lines(busy: usize) -> Vec<String> {
        let errno = Errno::EINVAL;
        let mut lines = vec![format!("warning: {}", Error::InstallDoor { errno })];
        let errno = Errno::EBUSY;
        let line = format!("warning: {}", Error::OpenProxyService { errno });
        lines.extend(vec![line; busy]);
        lines
    }

    fn events(lines: &[String]) -> Vec<(NodeId, Event<'_>)> {
        lines
            .iter()
            .map(|line| (0, Event::RelayLog(line)))
            .collect()
    }

    #[test]
    fn a_handle_that_stays_open_is_told() {
        let lines = lines(10);
        let text = only(Service::default(), &events(&lines)).to_string();
        assert!(text.contains("busy 10 times in a row"), "{text}");
        assert!(text.contains("left its handle open"), "{text}");
    }

    #[test]
    fn a_few_times_is_nothing() {
        let lines = lines(9);
        assert!(findings(Service::default(), &events(&lines)).is_empty());
        let mut twice = events(&lines);
        twice.push((0, Event::RelayStarted));
        twice.extend(events(&lines));
        assert!(findings(Service::default(), &twice).is_empty());
    }
}
