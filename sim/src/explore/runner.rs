// SPDX-License-Identifier: MPL-2.0
//! One explored run: set-up, trouble, healing, demand, end; and what was found in it.

use super::phases::judge;
use super::scenario::Scenario;
use super::stage::Stage;
use crate::executor::Choices;
use crate::findings::{Excused, Finding, Watch};
use crate::kernel::coverage::Coverage;
use crate::replay::caught::caught;
use crate::world::operation::SharedRecorder;
use crate::world::statistics::Statistics;
use crate::world::trace::{Sink, TraceHash};
use crate::world::{Builder, RelayProgram, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;

/// How many steps a run may take: some hundred times what one takes that is not a bug.
const MOST_STEPS: u64 = 3_000_000;

/// What goes with a run besides its scenario.
#[derive(Default)]
pub struct Settings {
    /// Writes the run down.
    pub recorder: Option<SharedRecorder>,
    /// Hear every event.
    pub sinks: Vec<Rc<RefCell<dyn Sink>>>,
    /// Runs on both nodes in place of the relays that the scenario names.
    pub relay: Option<Rc<dyn RelayProgram>>,
    /// Counts which messages met which states of the kernels.
    pub coverage: Option<Rc<Coverage>>,
    /// Decides in place of the scenario's seed.
    pub choices: Option<Box<dyn Choices>>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What went wrong, in the order in which it was noticed.
    pub findings: Vec<Finding>,
    /// What went wrong and no relay could have prevented: counted, and no failure.
    pub excused: Vec<Excused>,
    /// Hash of the trace.
    pub hash: TraceHash,
    /// How long the run took in virtual time.
    pub simulated: Duration,
    /// What was carried and how often.
    pub statistics: Statistics,
    /// Faults and deeds that really happened, by name.
    pub fired: BTreeMap<String, u64>,
}

/// The world of a scenario, as it is made; with `relay` on both nodes in place of the relays that
/// the scenario names.
pub fn builder(scenario: &Scenario, relay: Option<Rc<dyn RelayProgram>>) -> Builder {
    let [first, second] = &scenario.kernels;
    let builder = World::builder()
        .seed(scenario.seed)
        .kernel(first.clone())
        .kernel_of(1, second.clone())
        .most_steps(MOST_STEPS)
        .network(scenario.network.clone());
    match relay.or_else(|| crate::relays::by_name(&scenario.relays[0])) {
        Some(relay) => builder.relay(relay),
        None => builder,
    }
}

/// Runs a scenario.
pub fn run(scenario: &Scenario, settings: Settings) -> Verdict {
    let scenario = Rc::new(scenario.clone());
    let watch = Rc::new(RefCell::new(Watch::for_exploration()));
    let statistics = Rc::new(RefCell::new(Statistics::default()));
    let named = settings.relay.is_none();
    let mut builder = builder(&scenario, settings.relay)
        .sink(watch.clone())
        .sink(statistics.clone());
    for sink in settings.sinks {
        builder = builder.sink(sink);
    }
    if let Some(recorder) = settings.recorder {
        builder = builder.recorder(recorder);
    }
    if let Some(coverage) = settings.coverage {
        builder = builder.coverage(coverage);
    }
    if let Some(choices) = settings.choices {
        builder = builder.choices(choices);
    }
    let world = builder.build();
    world.disks().listen(watch.clone());
    let stage = Stage::new(world.within(), scenario.clone());
    if named {
        stage.set_relays();
    }
    let play = stage.clone();
    let ended = caught(|| world.run(async move |_| phases(&play).await));
    let acts = scenario.acts.iter().map(|timed| &timed.act);
    let findings = judge(&world, &watch, ended, acts);
    let statistics = statistics.take();
    let mut fired: BTreeMap<String, u64> = statistics.faults.clone();
    for (deed, times) in stage.deeds.take() {
        *fired.entry(deed.to_string()).or_default() += times;
    }
    let verdict = Verdict {
        findings,
        excused: watch.borrow().excused().to_vec(),
        hash: world.hash(),
        simulated: world.now() - Time::ZERO,
        statistics,
        fired,
    };
    // After a panic of ours a world may not come down in order either.
    let _ = caught(move || drop((stage, world)));
    verdict
}

async fn phases(stage: &Rc<Stage>) {
    let world = &stage.world;
    stage.set_up().await;
    if stage.scenario.settled {
        stage.settle().await;
        stage.log_in().await;
    }
    world.step("trouble");
    for (number, timed) in (0..).zip(&stage.scenario.acts) {
        if timed.wait > Duration::ZERO {
            world.sleep(timed.wait).await;
        }
        let (stage, act) = (stage.clone(), timed.act.clone());
        world.spawn("act", async move { stage.perform(&act, number).await });
    }
    stage.close().await;
}
