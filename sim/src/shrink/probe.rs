// SPDX-License-Identifier: MPL-2.0
//! Playing one candidate: no longer than until the failure shows, and within bounds.

use super::cut::Cuttable;
use super::oracle::Wanted;
use super::search::Watching;
use crate::findings::{Finding, Watch};
use crate::replay::caught::caught;
use crate::replay::world::{Mode, ReplayError, Settings, play};
use crate::world::operation::SharedRecorder;
use crate::world::trace::{Record, Sink};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;

/// What a candidate may use, so that none runs away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Events.
    pub events: u64,
    /// Steps of the world.
    pub steps: u64,
    /// Virtual time.
    pub time: Time,
}

impl Limits {
    /// None that matter.
    pub const NONE: Limits = Limits {
        events: u64::MAX,
        steps: u64::MAX,
        time: Time::MAX,
    };

    /// Room for a run like this one, and some that go worse.
    pub fn around(run: &Played) -> Limits {
        /// A cut may make a run longer: what ended a retry may be gone.
        const TIMES: u64 = 4;
        const EVENTS: u64 = 100_000;
        const STEPS: u64 = 1_000_000;
        const TIME: Duration = Duration::from_secs(3600);
        let time = Time::from_nanos(run.time.as_nanos().saturating_mul(TIMES));
        Limits {
            events: run.events.saturating_mul(TIMES).saturating_add(EVENTS),
            steps: run.steps.saturating_mul(TIMES).saturating_add(STEPS),
            time: time + TIME,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was found; the one that was wanted last, if the run was ended for it.
    pub findings: Vec<Finding>,
    /// How many inputs were done.
    pub done: usize,
    /// Events.
    pub events: u64,
    /// Steps.
    pub steps: u64,
    /// The virtual time at the end.
    pub time: Time,
    /// Whether it came to its end by itself, or showed what was wanted: else it was given up.
    pub whole: bool,
}

/// How a candidate is played.
pub struct Run<'a> {
    /// What ends the run when it shows; none for the whole run.
    pub wanted: Option<&'a Wanted>,
    /// How long it goes on after that.
    pub after: Duration,
    /// Bounds.
    pub limits: Limits,
    /// The file behind a disk that was one.
    pub disk: Option<&'a PathBuf>,
    /// Writes the run down.
    pub recorder: Option<SharedRecorder>,
    /// Asked now and then whether to go on.
    pub watching: Rc<dyn Watching>,
}

/// Steps between two of those questions.
const ASK_EVERY: u64 = 1 << 14;

#[derive(Default)]
struct Counter {
    events: Cell<u64>,
    time: Cell<Time>,
}

struct CounterSink(Rc<Counter>);

impl Sink for CounterSink {
    fn record(&mut self, record: &Record<'_>) {
        self.0.events.set(self.0.events.get() + 1);
        self.0.time.set(record.time);
    }
}

/// Why a run was ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Shown,
    GivenUp,
}

/// What is looked at before every step of a run.
struct Guard {
    watch: Rc<RefCell<Watch>>,
    counter: Rc<Counter>,
    wanted: Option<Wanted>,
    after: Duration,
    limits: Limits,
    steps: Rc<Cell<u64>>,
    /// Findings that were looked at.
    seen: Cell<usize>,
    end: Cell<Option<Time>>,
    ended: Rc<Cell<Option<Ended>>>,
    watching: Rc<dyn Watching>,
}

impl Guard {
    fn stops(&self) -> bool {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        let now = self.counter.time.get();
        if let Some(wanted) = &self.wanted {
            let watch = self.watch.borrow();
            let findings = watch.findings();
            while self.seen.get() < findings.len() && self.end.get().is_none() {
                if wanted.is_shown_by(&findings[self.seen.get()]) {
                    self.end.set(Some(now + self.after));
                }
                self.seen.set(self.seen.get() + 1);
            }
            if self.end.get().is_some_and(|end| now >= end) {
                self.ended.set(Some(Ended::Shown));
                return true;
            }
        }
        let limits = &self.limits;
        let over = self.counter.events.get() > limits.events
            || steps > limits.steps
            || now > limits.time
            || steps.is_multiple_of(ASK_EVERY) && !self.watching.go_on(None);
        if over {
            self.ended.set(Some(Ended::GivenUp));
            return true;
        }
        false
    }
}

impl Cuttable {
    /// Plays it.
    ///
    /// # Errors
    ///
    /// If it cannot be played at all.
    pub fn play(&self, run: Run<'_>) -> Result<Played, ReplayError> {
        let watch = Watch::shared();
        let counter = Rc::new(Counter::default());
        let steps = Rc::new(Cell::new(0));
        let ended = Rc::new(Cell::new(None));
        let guard = Guard {
            watch: watch.clone(),
            counter: counter.clone(),
            wanted: run.wanted.cloned(),
            after: run.after,
            limits: run.limits,
            steps: steps.clone(),
            seen: Cell::new(0),
            end: Cell::new(None),
            ended: ended.clone(),
            watching: run.watching,
        };
        let settings = Settings {
            disk: run.disk.cloned(),
            sinks: vec![Rc::new(RefCell::new(CounterSink(counter.clone())))],
            recorder: run.recorder,
            watch: Some(watch),
            stop: Some(Box::new(move || guard.stops())),
        };
        let outcome = play(self.script(), Mode::Loose, settings)?;
        let played = Played {
            done: outcome.done,
            events: counter.events.get(),
            steps: steps.get(),
            time: outcome.world.now(),
            whole: ended.get() != Some(Ended::GivenUp),
            findings: outcome.findings,
        };
        // After a panic of ours a world may not come down in order either.
        let world = outcome.world;
        let _ = caught(move || drop(world));
        Ok(played)
    }
}
