// SPDX-License-Identifier: MPL-2.0
//! Runs of many seeds, on several threads.
//!
//! Each thread makes its own worlds; what they share is the number of the next seed and the sums.
//! Runs are added up in the order of their seeds, and a search that stops at a failure counts the
//! seeds up to the lowest one that failed and no other: so the summary of a range of seeds is the
//! same for any number of threads, unless whoever watches ends the search early.
//!
//! Nothing here looks at a clock.

use super::draw::{Draw, draw};
use super::runner::{Settings, Verdict, builder, run};
use super::scenario::Scenario;
use super::summary::{Ran, Summary};
use super::twice::{Kept, difference};
use crate::executor::Choices;
use crate::findings::{Finding, Kind};
use crate::kernel::coverage::Coverage;
use crate::recording::{self, RecordingError, RecordingReport, TraceRecorder};
use crate::replay::caught::caught;
use crate::world::statistics::Statistics;
use crate::world::trace::TraceHash;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use stmf_proxy::time::Time;

/// Makes the oracle of a seed, in place of the one that draws everything from it.
pub type Oracles = Arc<dyn Fn(u64) -> Box<dyn Choices> + Send + Sync>;

/// Which seeds are run, and how.
#[derive(Clone)]
pub struct Search {
    /// What scenarios are drawn from.
    pub draw: Draw,
    /// The first seed.
    pub from: u64,
    /// How many seeds at most.
    pub seeds: u64,
    /// How many threads run them; at least 1.
    pub jobs: usize,
    /// Goes on after a seed that failed.
    pub keep_going: bool,
    /// Runs every seed twice and compares.
    pub twice: bool,
    /// Counts which messages met which states of the kernels.
    pub coverage: bool,
    /// The relay of both nodes by name ([`crate::relays`]), in place of what is drawn.
    pub relay: Option<&'static str>,
    /// Decides in place of the seeds.
    pub oracles: Option<Oracles>,
}

impl Default for Search {
    /// 1000 seeds from 0, on one thread.
    fn default() -> Search {
        Search {
            draw: Draw::default(),
            from: 0,
            seeds: 1000,
            jobs: 1,
            keep_going: false,
            twice: false,
            coverage: false,
            relay: None,
            oracles: None,
        }
    }
}

/// Somebody who waits for a search.
pub trait Watching: Sync {
    /// Told after every seed, with what was added up until then; false begins no other seed.
    fn go_on(&self, summary: &Summary) -> bool;
}

/// Waits as long as it takes.
impl Watching for () {
    fn go_on(&self, _: &Summary) -> bool {
        true
    }
}

impl Search {
    /// The scenario of a seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut scenario = draw(seed, &self.draw);
        if let Some(relay) = self.relay {
            scenario.relays = [relay.to_string(), relay.to_string()];
        }
        scenario
    }

    fn settings(&self, seed: u64) -> Settings {
        Settings {
            choices: self.oracles.as_ref().map(|oracles| oracles(seed)),
            ..Settings::default()
        }
    }

    /// Runs a seed.
    fn seed(&self, seed: u64) -> Ran {
        let scenario = self.scenario(seed);
        let coverage = self.coverage.then(|| Rc::new(Coverage::default()));
        let settings = Settings {
            coverage: coverage.clone(),
            ..self.settings(seed)
        };
        let verdict = caught(|| match self.twice {
            false => run(&scenario, settings),
            true => self.seed_twice(&scenario, settings),
        });
        // What panics in a run is caught there; this is for the rest.
        let verdict = verdict.unwrap_or_else(|text| Verdict {
            findings: vec![Finding {
                kind: Kind::ProgramPanic,
                time: Time::ZERO,
                node: None,
                text,
            }],
            hash: TraceHash::default(),
            simulated: Duration::ZERO,
            statistics: Statistics::default(),
            fired: BTreeMap::new(),
            excused: Vec::new(),
        });
        Ran {
            scenario,
            verdict,
            coverage: coverage.map(|coverage| coverage.counts()),
        }
    }

    fn seed_twice(&self, scenario: &Scenario, mut settings: Settings) -> Verdict {
        let kept = Rc::new(RefCell::new(Kept::default()));
        settings.sinks.push(kept.clone());
        let mut verdict = run(scenario, settings);
        let difference = difference(scenario, kept, |scenario, sink| {
            let mut settings = self.settings(scenario.seed);
            settings.sinks.push(sink);
            run(scenario, settings);
        });
        // That comes first: everything else may be another thing the next time.
        verdict.findings.splice(0..0, difference);
        verdict
    }

    /// Runs a seed again and records it.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn record(
        &self,
        seed: u64,
        path: &Path,
    ) -> Result<(Verdict, RecordingReport), RecordingError> {
        let scenario = self.scenario(seed);
        let mut settings = self.settings(seed);
        let mut plan = builder(&scenario, None).plan();
        if settings.choices.is_some() {
            plan.seed = None;
        }
        let file = recording::Settings {
            scenario: Some(format!("explore {} (seed {seed})", scenario.name)),
            ..recording::Settings::file(path)
        };
        let recorder = Rc::new(RefCell::new(TraceRecorder::create(&plan, &file)?));
        settings.recorder = Some(recorder.clone());
        let verdict = run(&scenario, settings);
        let report = recorder.borrow_mut().report();
        Ok((verdict, report))
    }

    /// Runs all seeds.
    pub fn run(&self, watching: &dyn Watching) -> Summary {
        let seeds = self.seeds.min(u64::MAX - self.from);
        let shared = Shared {
            search: self,
            watching,
            next: AtomicU64::new(0),
            end: AtomicU64::new(seeds),
            sums: Mutex::default(),
        };
        thread::scope(|scope| {
            for _ in 1..self.jobs.max(1) {
                scope.spawn(|| shared.work());
            }
            shared.work();
        });
        let sums = shared.sums.into_inner();
        let mut summary = sums.unwrap_or_else(PoisonError::into_inner).summary;
        summary.finish();
        summary
    }
}

/// What the threads of a search have in common. Seeds are counted from the first one.
struct Shared<'a> {
    search: &'a Search,
    watching: &'a dyn Watching,
    /// The next seed that nobody has begun.
    next: AtomicU64,
    /// Seeds from here on are not begun.
    end: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    summary: Summary,
    /// How many seeds were added: the next one to add.
    added: u64,
    /// Runs of seeds whose turn has not come.
    waiting: BTreeMap<u64, Ran>,
    closed: bool,
}

impl Shared<'_> {
    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            // Every seed below one that was begun is begun too: none is left out.
            let place = self.next.fetch_add(1, Ordering::SeqCst);
            if place >= self.end.load(Ordering::SeqCst) {
                return;
            }
            let ran = self.search.seed(self.search.from + place);
            if !self.search.keep_going && !ran.verdict.findings.is_empty() {
                self.end.fetch_min(place + 1, Ordering::SeqCst);
            }
            let mut sums = self.sums();
            sums.add(self.search, place, ran);
            if !self.watching.go_on(&sums.summary) {
                let begun = self.next.load(Ordering::SeqCst);
                self.end.fetch_min(begun, Ordering::SeqCst);
            }
        }
    }
}

impl Sums {
    fn add(&mut self, search: &Search, place: u64, ran: Ran) {
        self.waiting.insert(place, ran);
        while !self.closed
            && let Some(ran) = self.waiting.remove(&self.added)
        {
            let failed = !ran.verdict.findings.is_empty();
            self.summary.add(search.from + self.added, ran);
            self.added += 1;
            self.closed = failed && !search.keep_going;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;

    fn search() -> Search {
        Search {
            from: 100,
            seeds: 12,
            keep_going: true,
            ..Search::default()
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let one = search().run(&());
        let three = Search {
            jobs: 3,
            ..search()
        }
        .run(&());
        assert_eq!(one, three);
        assert_eq!(one.seeds, 12);
        assert!(one.totals.commands > 0 && one.totals.messages > 0);
    }

    #[test]
    fn a_search_ends_with_the_lowest_seed_that_failed() {
        let broken = |keep_going, jobs| {
            let search = Search {
                draw: Draw {
                    defect: field::by_id("back-pressure"),
                    ..Draw::default()
                },
                from: 0,
                seeds: 16,
                keep_going,
                jobs,
                ..Search::default()
            };
            search.run(&())
        };
        let all = broken(true, 2);
        let first = all.failures.first().expect("some seed fails").seed;
        for jobs in [1, 3] {
            let stopped = broken(false, jobs);
            assert_eq!(stopped.failed, 1);
            assert_eq!(stopped.failures[0], all.failures[0]);
            assert_eq!(stopped.seeds, first + 1);
        }
    }

    #[test]
    fn whoever_watches_can_end_it() {
        struct Impatient;
        impl Watching for Impatient {
            fn go_on(&self, summary: &Summary) -> bool {
                summary.seeds < 2
            }
        }
        assert_eq!(search().run(&Impatient).seeds, 2);
        // Seeds that were begun are counted, however many others were faster meanwhile.
        let ended = Search {
            jobs: 2,
            ..search()
        };
        assert!(ended.run(&Impatient).seeds >= 2);
    }

    #[test]
    fn seeds_run_twice_are_the_same() {
        let twice = Search {
            twice: true,
            seeds: 4,
            ..search()
        }
        .run(&());
        let once = Search {
            seeds: 4,
            ..search()
        }
        .run(&());
        assert_eq!(twice, once);
    }

    #[test]
    fn the_last_seed_of_all_is_no_trouble() {
        let last = Search {
            from: u64::MAX - 1,
            seeds: 10,
            ..search()
        };
        assert_eq!(last.run(&()).seeds, 1);
    }
}
