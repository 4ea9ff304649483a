// SPDX-License-Identifier: MPL-2.0
//! One run on the way through the tree: whoever drives it decides each step before it is made.

use super::history::{Ear, History, Process, mix};
use super::path::Path;
use super::small::{Small, Start, TICK};
use super::{Bounds, OtherChoices};
use crate::executor::sync::Promise;
use crate::executor::{ChoiceKind, Choices, GroupId, ThreadId, ThreadName};
use crate::explore::phases::judge;
use crate::explore::stage::Stage;
use crate::explore::{Act, runner};
use crate::findings::{Excused, Finding, Watch};
use crate::replay::caught::caught;
use crate::world::operation::SharedRecorder;
use crate::world::trace::NodeId;
use crate::world::{Builder, Stuck, World};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;

/// Acts that wait for their tick.
type Due = Rc<RefCell<Vec<(u64, Promise<()>)>>>;

/// The step with which the part begins whose every order is run.
pub const EXPLORE: &str = "explore: every order of what follows";

/// What still travels when everything that was begun has ended has arrived after this many ticks.
const SETTLE: u32 = 8;

/// What the threads of acts are called; their numbers begin at 1.
const ACT: &str = "act";

/// The nodes that an act has to do with: what its thread looks at and changes is of these nodes, or
/// common to all who act from outside. None: it may be anything.
fn nodes_of(act: &Act) -> Option<&'static [NodeId]> {
    let node = match act {
        Act::FailOver { .. } => return Some(&[0, 1]),
        Act::Command { node, .. }
        | Act::Manage { node, .. }
        | Act::Logout { node, .. }
        | Act::AddPort { node, .. }
        | Act::RemovePort { node, .. }
        | Act::Standby { node, .. }
        | Act::KillRelay { node } => node & 1,
        _ => return None,
    };
    match node {
        0 => Some(&[0]),
        _ => Some(&[1]),
    }
}

/// What the oracle and the driver of a run share.
struct Steering {
    path: Path,
    exploring: bool,
    others: OtherChoices,
    /// The thread that is to run.
    next: Option<ThreadId>,
    /// How many numbers were drawn for workloads.
    drawn: u64,
    /// Hash of the answers to choices since this was last asked.
    answers: u64,
}

struct Oracle(Rc<RefCell<Steering>>);

impl Choices for Oracle {
    fn choose(&mut self, kind: ChoiceKind, alternatives: u64) -> u64 {
        let steering = &mut *self.0.borrow_mut();
        let ends = [0, alternatives - 1];
        let answer = match kind {
            // Numbers that have to differ, such as what tells two instances of a relay apart.
            ChoiceKind::Workload => {
                steering.drawn += 1;
                steering.drawn % alternatives
            }
            ChoiceKind::Delay | ChoiceKind::Fragment | ChoiceKind::Fault
                if steering.exploring && steering.others == OtherChoices::Ends =>
            {
                ends[steering.path.decide(2)]
            }
            _ => 0,
        };
        steering.answers = mix(&[steering.answers, kind as u64, alternatives, answer]);
        answer
    }

    fn schedule(&mut self, ready: &[ThreadId]) -> usize {
        let next = self.0.borrow_mut().next.take();
        let place = next.and_then(|next| ready.iter().position(|thread| *thread == next));
        place.unwrap_or(0)
    }
}

/// What states were seen: the least depth of each, and what was told on the way.
pub(super) type Seen = BTreeMap<u64, (u32, u64)>;

/// How a run ended.
pub(super) enum Ended {
    /// It came to a state that was seen before.
    Cut,
    /// It came to its end, with what was found.
    Over(Over),
}

/// A run that came to its end.
pub(super) struct Over {
    pub(super) findings: Vec<Finding>,
    pub(super) excused: Vec<Excused>,
    /// The same for runs that told the same of each node, whatever the order between nodes.
    pub(super) outcome: u64,
}

/// What came of a run besides.
pub(super) struct Ran {
    pub(super) ended: Ended,
    pub(super) path: Path,
    /// Choices of a thread, an act or another alternative in the explored part.
    pub(super) choices: u64,
    /// States that are equal by their hash, and in which something else had happened: never,
    /// unless the hash is wrong.
    pub(super) contradictions: u64,
}

/// What a run is made of.
pub(super) struct Order<'a> {
    pub(super) small: &'a Small,
    /// When each act begins, in ticks.
    pub(super) starts: &'a [Start],
    pub(super) bounds: Bounds,
    pub(super) recorder: Option<SharedRecorder>,
}

/// The world of a scenario, about to be made.
pub(super) fn builder(small: &Small, choices: Box<dyn Choices>) -> Builder {
    runner::builder(&small.scenario, None).choices(choices)
}

struct Run<'a> {
    order: Order<'a>,
    world: World,
    steering: Rc<RefCell<Steering>>,
    history: History,
    processes: BTreeMap<GroupId, Process>,
    /// Acts that may begin, by number, with what lets them.
    due: Due,
    exploring: Rc<Cell<bool>>,
    over: Rc<Cell<bool>>,
    choices: u64,
    contradictions: u64,
    cut: bool,
}

/// Makes one run along `path`. Without `seen` it is cut nowhere.
pub(super) fn run(order: Order<'_>, path: Path, seen: Option<&mut Seen>) -> Ran {
    let steering = Rc::new(RefCell::new(Steering {
        path,
        exploring: false,
        others: order.bounds.others,
        next: None,
        drawn: 0,
        answers: 0,
    }));
    let watch = Rc::new(RefCell::new(Watch::for_exploration()));
    let ear = Rc::new(RefCell::new(Ear::default()));
    let mut builder = builder(order.small, Box::new(Oracle(steering.clone())))
        .sink(watch.clone())
        .sink(ear.clone());
    if let Some(recorder) = &order.recorder {
        builder = builder.recorder(recorder.clone());
    }
    let world = builder.build();
    world.disks().listen(watch.clone());
    let mut run = Run {
        history: History::new(ear.clone()),
        steering,
        world: world.clone(),
        processes: BTreeMap::new(),
        due: Rc::default(),
        exploring: Rc::default(),
        over: Rc::default(),
        choices: 0,
        contradictions: 0,
        cut: false,
        order,
    };
    run.begin();
    let ended = caught(|| run.drive(seen));
    let path = run.steering.borrow().path.clone();
    let (choices, contradictions) = (run.choices, run.contradictions);
    let ended = match run.cut {
        true => Ended::Cut,
        false => {
            let findings = judge(&world, &watch, ended, run.order.small.all_acts());
            let kinds = findings
                .iter()
                .fold(0, |all, finding| mix(&[all, finding.kind as u64]));
            let excused = watch.borrow().excused().to_vec();
            let outcome = mix(&[ear.borrow().all(), kinds, excused.len() as u64]);
            Ended::Over(Over {
                findings,
                excused,
                outcome,
            })
        }
    };
    // After a panic of ours a world may not come down in order either.
    let _ = caught(move || drop((run, world)));
    Ran {
        ended,
        path,
        choices,
        contradictions,
    }
}

impl Run<'_> {
    /// Starts the scenario's threads.
    fn begin(&self) {
        let scenario = Rc::new(self.order.small.whole());
        let stage = Stage::new(self.world.within(), scenario);
        stage.set_relays();
        let part = Part {
            stage,
            before: self.order.small.before.clone(),
            acts: self.order.small.acts.clone(),
            explored: self.order.small.explored,
            starts: self.order.starts.to_vec(),
            due: self.due.clone(),
            exploring: self.exploring.clone(),
            over: self.over.clone(),
        };
        self.world
            .spawn("scenario", async move { part.play().await });
    }

    /// Runs the world to the end of the scenario, or to where it is cut.
    fn drive(&mut self, mut seen: Option<&mut Seen>) -> Result<(), Stuck> {
        self.world.expect_progress(self.world.now());
        while !self.over.get() {
            self.world.check_steps()?;
            let executor = self.world.executor();
            if let Some(name) = executor.next_outside() {
                executor.step();
                self.look(name, seen.as_deref_mut());
                if self.cut {
                    return Ok(());
                }
                continue;
            }
            let ready = executor.ready_threads();
            if ready.is_empty() && self.due.borrow().is_empty() {
                // What is left was ready when its group ended.
                executor.run_ready();
                self.advance()?;
                continue;
            }
            self.step(&ready, seen.as_deref_mut());
            if self.cut {
                return Ok(());
            }
        }
        self.world.ended(false);
        Ok(())
    }

    /// A thread from outside has run.
    fn look(&mut self, name: ThreadName, seen: Option<&mut Seen>) {
        let exploring = self.exploring.get();
        let before = std::mem::replace(&mut self.steering.borrow_mut().exploring, exploring);
        match (before, exploring) {
            (false, true) => self.history.outside_acted(&self.world, 0, None),
            (true, true) => {
                // The thread of the scenario itself counts who has ended, and looks at the clock.
                let nodes = match (name.kind, name.number.checked_sub(1)) {
                    (ACT, Some(number)) => self.nodes_of(number),
                    _ => Some(&[][..]),
                };
                self.history.outside_acted(&self.world, name.number, nodes);
            }
            (true, false) => {
                self.history.outside_acted(&self.world, 1, None);
                self.cut = self.was_seen(seen, 0);
            }
            (false, false) => {}
        }
    }

    /// The nodes that the thread of an act has to do with.
    fn nodes_of(&self, number: u64) -> Option<&'static [NodeId]> {
        let act = usize::try_from(number).ok();
        act.and_then(|act| nodes_of(self.order.small.acts.get(act)?))
    }

    /// Chooses what runs next, and runs it.
    fn step(&mut self, ready: &[(ThreadId, GroupId)], seen: Option<&mut Seen>) {
        if !self.exploring.get() {
            // In the order in which they became ready.
            self.steering.borrow_mut().next = ready.first().map(|(thread, _)| *thread);
            self.world.executor().step();
            return;
        }
        let threads = self.in_order(ready);
        let acts = self.due.borrow().len();
        let alternatives = threads.len() + acts;
        if alternatives > 1 {
            if self.was_seen(seen, alternatives as u64) {
                self.cut = true;
                return;
            }
            self.choices += 1;
        }
        let chosen = self.steering.borrow_mut().path.decide(alternatives);
        match threads.get(chosen) {
            Some(&(thread, process, place)) => {
                {
                    let mut steering = self.steering.borrow_mut();
                    steering.next = Some(thread);
                    steering.answers = 0;
                }
                self.world.executor().step();
                let answers = self.steering.borrow().answers;
                self.history.stepped(&self.world, process, place, answers);
            }
            None => {
                let (number, begin) = self.due.borrow_mut().remove(chosen - threads.len());
                begin.set(());
                let nodes = self.nodes_of(number);
                self.history
                    .outside_acted(&self.world, (1 << 32) + number, nodes);
            }
        }
    }

    /// The threads that are ready in an order that follows from the state of the world: those of
    /// the process first that has made the fewest steps at this moment. Each with the place that
    /// it has among those of its process.
    fn in_order(&mut self, ready: &[(ThreadId, GroupId)]) -> Vec<(ThreadId, Process, u64)> {
        let mut places: BTreeMap<Process, u64> = BTreeMap::new();
        let mut threads = Vec::with_capacity(ready.len());
        for (thread, group) in ready {
            let world = &self.world;
            let process = *self
                .processes
                .entry(*group)
                .or_insert_with(|| Process::of_group(&world.executor().group_name(*group)));
            let place = places.entry(process).or_default();
            threads.push((*thread, process, *place));
            *place += 1;
        }
        let steps = |process| self.history.steps(process, &self.world);
        threads.sort_by_key(|(_, process, place)| (steps(*process), *process, *place));
        threads
    }

    /// Whether the state of the world was met before, with as many choices left or more.
    fn was_seen(&mut self, seen: Option<&mut Seen>, alternatives: u64) -> bool {
        let Some(seen) = seen else { return false };
        let steering = self.steering.borrow();
        if !steering.path.is_new() {
            return false;
        }
        let depth = steering.path.depth();
        let pending = self
            .due
            .borrow()
            .iter()
            .fold(steering.drawn, |all, due| mix(&[all, due.0]));
        let (state, told) = self.history.state(&self.world, pending);
        let told = mix(&[told, alternatives]);
        match seen.get_mut(&state) {
            Some((least, before)) => {
                self.contradictions += u64::from(*before != told);
                let known = *least <= depth;
                *least = depth.min(*least);
                known
            }
            None => {
                seen.insert(state, (depth, told));
                false
            }
        }
    }

    /// Moves the clock to the next timer.
    fn advance(&mut self) -> Result<(), Stuck> {
        let (world, executor) = (&self.world, self.world.executor());
        if let Some(time) = executor.next_timer(false) {
            world.expect_progress(time);
        }
        let end = world.last_progress() + world.patience();
        match executor.next_timer(true) {
            Some(time) if time <= end => {
                executor.advance(time);
                Ok(())
            }
            _ => {
                world.ended(true);
                Err(world.stuck())
            }
        }
    }
}

/// What the thread of the scenario knows.
struct Part {
    stage: Rc<Stage>,
    before: Vec<Act>,
    acts: Vec<Act>,
    explored: Duration,
    starts: Vec<Start>,
    due: Due,
    exploring: Rc<Cell<bool>>,
    over: Rc<Cell<bool>>,
}

/// A time at which whole ticks of the explored part can begin.
fn round_up(time: Time) -> Time {
    let tick = TICK.as_nanos() as u64;
    Time::from_nanos(time.as_nanos().div_ceil(tick).saturating_add(1) * tick)
}

impl Part {
    async fn play(self) {
        let (stage, world) = (&self.stage, &self.stage.world);
        stage.set_up().await;
        stage.settle().await;
        for (number, act) in (1 << 32..).zip(&self.before) {
            stage.perform(act, number).await;
        }
        world.sleep(Duration::from_millis(100)).await;
        world.executor().sleep_until(round_up(world.now())).await;
        world.step(EXPLORE);
        self.exploring.set(true);
        self.explored().await;
        self.exploring.set(false);
        stage.close().await;
        self.over.set(true);
    }

    /// Everything that was to begin begins, each at its tick and when the driver wants, and comes
    /// to its end.
    async fn explored(&self) {
        let world = &self.stage.world;
        let start = world.now();
        let ended = Rc::new(Cell::new(0));
        for (number, (act, tick)) in (0..).zip(self.acts.iter().zip(&self.starts)) {
            let (stage, act) = (self.stage.clone(), act.clone());
            let (due, at) = (self.due.clone(), start + TICK * u32::from(*tick));
            let (executor, ended) = (world.executor().clone(), ended.clone());
            let name = ThreadName {
                kind: ACT,
                number: number + 1,
            };
            world.spawn(name, async move {
                executor.sleep_until(at).await;
                let begin = Promise::new(&executor, "its turn");
                due.borrow_mut().push((number, begin.clone()));
                begin.take().await;
                stage.perform(&act, number).await;
                ended.set(ended.get() + 1);
            });
        }
        let end = start + self.explored;
        while ended.get() < self.acts.len() && world.now() < end {
            world.sleep(TICK).await;
        }
        world.sleep(TICK * SETTLE).await;
    }
}
