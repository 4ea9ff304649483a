// SPDX-License-Identifier: MPL-2.0
//! Playing a script in a fresh world.
//!
//! *Exactly*: everything is done at its recorded place among the steps of the world's own
//! threads, so that the run is the recorded one, event by event. *Loosely*: a script that was cut
//! or changed no longer fits step by step; then each thing is done at its time, when what it
//! needs is there (the port before the login, the login before the command).

use super::caught::caught;
use super::script::{Input, Oracle, Script};
use crate::demo::disk::{self, DiskError, Source};
use crate::findings::{Finding, Kind, Watch, invariants};
use crate::kernel::doors::DoorFault;
use crate::kernel::sbd::{Content, Disk, Fill, MemoryStore, SharedDisk};
use crate::relays::UnknownRelay;
use crate::world::choices::{AtDivergence, Played};
use crate::world::initiator::Initiator;
use crate::world::operation::{Movement, Operation, PathNumber, SharedRecorder};
use crate::world::trace::{InitiatorId, NodeId, Sink};
use crate::world::{Builder, Path, PortConfig, Transfer, World};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::message::{MessageType, hex};
use stmf_proxy::time::Time;

/// How a script is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Step by step as it was recorded.
    Exact,
    /// By time, for scripts that were changed.
    Loose,
}

/// What a script is played with.
#[derive(Default)]
pub struct Settings {
    /// The file behind a disk that was one.
    pub disk: Option<PathBuf>,
    /// Hear every event.
    pub sinks: Vec<Rc<RefCell<dyn Sink>>>,
    /// Writes the run down.
    pub recorder: Option<SharedRecorder>,
    /// Watches the run, for those who look at findings while it goes on; else it has its own.
    pub watch: Option<Rc<RefCell<Watch>>>,
    /// Asked before every step: true ends the run early.
    pub stop: Option<Box<dyn Fn() -> bool>>,
}

/// Why a script cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The relay cannot be started.
    #[error(transparent)]
    Relay(#[from] UnknownRelay),
    /// Something was done that a trace cannot hold.
    #[error(
        "node {node} was acted on in a way that a trace cannot hold ({what:?}); the run cannot \
         be made again"
    )]
    Direct {
        /// Which node.
        node: NodeId,
        /// What was done.
        what: String,
    },
    /// What was on a disk is not known.
    #[error("the trace does not say what was on the disk of the LU {}", hex::encode(.0))]
    UnknownDisk([u8; 16]),
    /// A disk was a file.
    #[error("the disk was the file {name} (SHA-256 {sha256}); give it with --disk")]
    DiskFile {
        /// Its name.
        name: String,
        /// What it held.
        sha256: String,
    },
    /// The file that was given is another one.
    #[error("the disk that was given has SHA-256 {found}; the recorded one had {expected}")]
    OtherDisk {
        /// What it holds.
        found: String,
        /// What it should.
        expected: String,
    },
    /// There is no disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What came of playing a script.
pub struct Outcome {
    /// What went wrong in the world.
    pub findings: Vec<Finding>,
    /// The world afterwards.
    pub world: World,
    /// How many inputs were done.
    pub done: usize,
}

/// What is there while a script is played.
struct Stage {
    world: World,
    paths: RefCell<BTreeMap<PathNumber, Path>>,
    initiators: RefCell<BTreeMap<InitiatorId, Initiator>>,
    /// Inputs that have ended, by their place.
    ended: RefCell<Vec<bool>>,
    running: Cell<usize>,
    disks: BTreeMap<[u8; 16], SharedDisk>,
}

/// Plays a script.
///
/// # Errors
///
/// [`ReplayError`], before anything is played.
pub fn play(script: &Script, mode: Mode, settings: Settings) -> Result<Outcome, ReplayError> {
    let disks = disks_of(script, settings.disk.as_ref())?;
    let watch = settings.watch.unwrap_or_else(Watch::shared);
    let mut builder = Builder::from_plan(&script.plan)?.sink(watch.clone());
    for sink in settings.sinks {
        builder = builder.sink(sink);
    }
    if let Some(recorder) = settings.recorder {
        builder = builder.recorder(recorder);
    }
    match &script.oracle {
        Oracle::Seed(seed) => builder = builder.seed(*seed),
        Oracle::Log(log) => {
            let (played, _) = Played::new(log.clone(), AtDivergence::Adapt);
            builder = builder.choices(Box::new(played));
        }
    }
    for input in &script.inputs {
        if let Operation::SetRelay { relay, .. } = &input.operation {
            crate::relays::find(relay.as_deref())?;
        }
    }
    let world = builder.build();
    world.disks().listen(watch.clone());
    let stage = Rc::new(Stage {
        world: world.within(),
        paths: RefCell::default(),
        initiators: RefCell::default(),
        ended: RefCell::new(vec![false; script.inputs.len()]),
        running: Cell::new(0),
        disks,
    });
    let player = Player {
        script,
        mode,
        needs: needs(script),
        stage: stage.clone(),
        next: Cell::new(0),
        stop: settings.stop,
        stopped: Cell::new(false),
    };
    let found = match caught(|| player.run()) {
        // A scenario can end without having met a deadlock.
        Ok(stuck) => stuck
            .or_else(|| world.deadlock())
            .map(|stuck| Finding::from(&stuck)),
        Err(text) => Some(Finding {
            kind: Kind::ProgramPanic,
            time: world.now(),
            node: None,
            text,
        }),
    };
    let stuck = |found: &Finding| found.kind != Kind::ProgramPanic;
    world.ended(found.as_ref().is_some_and(stuck));
    let rest = match found {
        Some(found) => vec![found],
        None if player.is_at_rest() => invariants::check(&world),
        None => Vec::new(),
    };
    rest.into_iter()
        .for_each(|found| watch.borrow_mut().add(found));
    let findings = watch.borrow_mut().finish(world.now());
    Ok(Outcome {
        findings,
        world,
        done: player.next.get(),
    })
}

fn disks_of(
    script: &Script,
    file: Option<&PathBuf>,
) -> Result<BTreeMap<[u8; 16], SharedDisk>, ReplayError> {
    let mut disks = BTreeMap::new();
    for input in &script.inputs {
        let (lu, size, content) = match &input.operation {
            Operation::Disk { lu, size, content } => (lu, *size, content),
            Operation::Direct { node, what } => {
                return Err(ReplayError::Direct {
                    node: *node,
                    what: what.clone(),
                });
            }
            _ => continue,
        };
        let content = content.as_ref().ok_or(ReplayError::UnknownDisk(*lu))?;
        let disk = match content {
            Content::Zeros => Disk::shared(MemoryStore::new(size, Fill::Zeros)),
            Content::Recorded => Disk::shared(MemoryStore::new(size, Fill::Recorded)),
            Content::Numbered => Disk::shared(MemoryStore::new(size, Fill::Numbered)),
            Content::Made { seed } => disk::open(&Source::Made { size }, *seed)?.disk,
            Content::File { name, sha256 } => {
                let path = file.ok_or_else(|| ReplayError::DiskFile {
                    name: name.clone(),
                    sha256: sha256.clone(),
                })?;
                let image = disk::open(&Source::File(path.clone()), 0)?;
                let found = hex::encode(&image.sha256);
                if found != *sha256 {
                    return Err(ReplayError::OtherDisk {
                        found,
                        expected: sha256.clone(),
                    });
                }
                image.disk
            }
        };
        disks.insert(*lu, disk);
    }
    Ok(disks)
}

/// Which earlier inputs each input needs to have ended: a login the addition of its port, a
/// command its login.
fn needs(script: &Script) -> Vec<Vec<usize>> {
    let mut logins: BTreeMap<PathNumber, usize> = BTreeMap::new();
    let mut ports: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut needs = Vec::with_capacity(script.inputs.len());
    for (place, input) in script.inputs.iter().enumerate() {
        let mut of_this = Vec::new();
        match &input.operation {
            Operation::AddPort { node, .. } => ports.entry(*node).or_default().push(place),
            Operation::RemovePort { node, port } | Operation::Login { node, port, .. } => {
                if let Some(added) = ports.get(node).and_then(|ports| ports.get(*port)) {
                    of_this.push(*added);
                }
                if let Operation::Login { path, .. } = input.operation {
                    logins.insert(path, place);
                }
            }
            Operation::Boot { node } | Operation::PowerOff { node } => {
                ports.remove(node);
            }
            Operation::Logout { path }
            | Operation::Command { path, .. }
            | Operation::Manage { path, .. } => of_this.extend(logins.get(path)),
            _ => {}
        }
        needs.push(of_this);
    }
    needs
}

struct Player<'a> {
    script: &'a Script,
    mode: Mode,
    needs: Vec<Vec<usize>>,
    stage: Rc<Stage>,
    next: Cell<usize>,
    stop: Option<Box<dyn Fn() -> bool>>,
    /// It was ended by that.
    stopped: Cell<bool>,
}

impl Player<'_> {
    fn run(&self) -> Option<crate::world::Stuck> {
        let world = &self.stage.world;
        let executor = world.executor();
        // Whether every thread has come to rest at the present time.
        let mut idle = false;
        let mut rest_until = None;
        loop {
            if self.stop.as_ref().is_some_and(|stop| stop()) {
                self.stopped.set(true);
                return None;
            }
            match self.script.inputs.get(self.next.get()) {
                Some(input) if self.due(input, idle) => {
                    self.begin(input);
                    idle = false;
                    continue;
                }
                Some(_) => {}
                None if self.is_over(idle, &mut rest_until) => {
                    let stuck = self.script.end.as_ref().is_some_and(|(_, stuck)| *stuck);
                    return (self.mode == Mode::Exact && stuck).then(|| world.stuck());
                }
                None => {}
            }
            if executor.step() {
                continue;
            }
            idle = true;
            if self.input_waits() {
                continue;
            }
            // When something comes from outside counts as going on.
            let end = world.last_progress() + world.patience();
            let outside = self.outside_time(rest_until);
            if let Some(time) = outside.into_iter().chain(executor.next_timer(false)).min() {
                world.expect_progress(time);
            }
            let end = end.max(world.last_progress());
            let timer = executor.next_timer(true);
            match outside.into_iter().chain(timer).min() {
                Some(time) if self.mode == Mode::Exact || time <= end => {
                    idle = time <= executor.now();
                    executor.advance(time);
                }
                _ => return Some(world.stuck()),
            }
        }
    }

    /// Whether the run was played to its end, and has come to rest there.
    fn is_at_rest(&self) -> bool {
        let ended = matches!(self.script.end, Some((_, false)));
        let is_step = |input: &Input| match &input.operation {
            Operation::Step { text } => text == invariants::COMING_TO_REST,
            _ => false,
        };
        ended && !self.stopped.get() && self.script.inputs.iter().any(is_step)
    }

    /// The next input is due by the clock and only waited for everything to come to rest.
    fn input_waits(&self) -> bool {
        let input = self.script.inputs.get(self.next.get());
        input.is_some_and(|input| self.due(input, true))
    }

    /// When the next input, or the end, comes by the clock.
    fn outside_time(&self, rest_until: Option<Time>) -> Option<Time> {
        let now = self.stage.world.now();
        match self.script.inputs.get(self.next.get()) {
            Some(input) if input.time > now => Some(input.time),
            Some(_) => None,
            None => match (self.mode, &self.script.end) {
                (Mode::Exact, Some((end, _))) if end.time > now => Some(end.time),
                (Mode::Exact, _) => None,
                (Mode::Loose, _) => rest_until.filter(|time| *time > now),
            },
        }
    }

    fn due(&self, input: &Input, idle: bool) -> bool {
        let executor = self.stage.world.executor();
        let here = (executor.now(), executor.steps_at_this_time());
        let place = (input.time, input.steps);
        match self.mode {
            Mode::Exact => {
                let ended = self.stage.world.trace().operations_ended();
                // What was passed over is done at once: the run is another one already.
                here > place
                    || (here == place && (ended >= input.ended || !executor.outside_is_ready()))
            }
            Mode::Loose => {
                let met = here >= place || (idle && here.0 >= place.0);
                let ended = self.stage.ended.borrow();
                met && self.needs[self.next.get()].iter().all(|need| ended[*need])
            }
        }
    }

    /// Whether the run is over, when nothing more is done.
    fn is_over(&self, idle: bool, rest_until: &mut Option<Time>) -> bool {
        let executor = self.stage.world.executor();
        match (self.mode, &self.script.end) {
            (Mode::Exact, Some((end, _))) => self.due(end, idle),
            // Cut off by a crash: whoever compares says when it is over.
            (Mode::Exact, None) => idle && executor.next_timer(false).is_none(),
            (Mode::Loose, end) => {
                if self.stage.running.get() > 0 {
                    return false;
                }
                let until = rest_until.get_or_insert_with(|| {
                    let rest = match end {
                        Some((end, false)) => end.time - self.script.last_time(),
                        _ => Duration::from_secs(100),
                    };
                    executor.now() + rest
                });
                executor.now() >= *until
            }
        }
    }

    /// Does an input in a thread from outside.
    fn begin(&self, input: &Input) {
        let place = self.next.get();
        self.next.set(place + 1);
        let (stage, input) = (self.stage.clone(), input.clone());
        stage.running.set(stage.running.get() + 1);
        let world = self.stage.world.clone();
        world.spawn("replay", async move {
            stage.perform(&input).await;
            stage.running.set(stage.running.get() - 1);
            stage.ended.borrow_mut()[place] = true;
        });
        // Up to where it waits first: what it does at once is done now.
        world.executor().step_newest_outside();
    }
}

impl Stage {
    fn path(&self, path: PathNumber) -> Option<Path> {
        self.paths.borrow().get(&path).cloned()
    }

    fn initiator(&self, id: InitiatorId) -> Initiator {
        let mut initiators = self.initiators.borrow_mut();
        initiators
            .entry(id)
            .or_insert_with(|| Initiator::new(id))
            .clone()
    }

    /// Does one thing. How it ends is in the trace: the answer is not looked at.
    async fn perform(&self, input: &Input) {
        let world = &self.world;
        match &input.operation {
            Operation::Disk { lu, .. } => {
                if let Some(disk) = self.disks.get(lu) {
                    world.disks().insert(*lu, disk.clone());
                }
            }
            Operation::AddPort {
                node,
                name,
                alua,
                buffer_size,
            } => {
                let config = PortConfig {
                    name: name.clone(),
                    alua: *alua,
                    buffer_size: *buffer_size,
                };
                let _ = world.node(*node).add_port(config).await;
            }
            Operation::RemovePort { node, port } => {
                let _ = world.node(*node).remove_port(*port).await;
            }
            Operation::AddLu { node, lu, active } => {
                let _ = world.node(*node).add_lu(*lu, *active).await;
            }
            Operation::RemoveLu { node, lu } => {
                let _ = world.node(*node).remove_lu(*lu).await;
            }
            Operation::ImportLu { node, lu } => {
                let _ = world.node(*node).import_lu(*lu).await;
            }
            Operation::LuStandby { node, lu } => {
                let _ = world.node(*node).lu_standby(*lu).await;
            }
            Operation::SetAlua {
                node,
                enabled,
                number,
            } => {
                let _ = world.node(*node).set_alua_state(*enabled, *number).await;
            }
            Operation::SetService { node, enabled } => {
                let _ = world.node(*node).set_service(*enabled).await;
            }
            Operation::GetAlua { node } => {
                let _ = world.node(*node).alua_state().await;
            }
            Operation::Login {
                node,
                port,
                initiator,
                path,
            } => {
                let initiator = self.initiator(*initiator);
                if let Ok(opened) = world.node(*node).login(&initiator, *port).await {
                    self.paths.borrow_mut().insert(*path, opened);
                }
            }
            Operation::Logout { path } => {
                if let Some(path) = self.path(*path) {
                    path.logout().await;
                }
            }
            Operation::Command {
                path,
                tag,
                lun,
                cdb,
                transfer,
                timeout,
            } => {
                let Some(path) = self.path(*path) else { return };
                path.initiator().set_next_tag(*tag);
                path.initiator().set_timeout(Duration::from_nanos(*timeout));
                let transfer = match transfer {
                    Movement::None => Transfer::None,
                    Movement::Read(length) => Transfer::Read(*length),
                    Movement::Write => Transfer::Write(&input.data),
                    Movement::WriteImmediate => Transfer::WriteImmediate(&input.data),
                };
                path.command(*lun, cdb, transfer).await;
            }
            Operation::Manage {
                path,
                tag,
                lun,
                function,
                timeout,
            } => {
                let Some(path) = self.path(*path) else { return };
                path.initiator().set_next_tag(*tag);
                path.initiator().set_timeout(Duration::from_nanos(*timeout));
                path.manage(*lun, *function).await;
            }
            other => self.perform_at_once(other),
        }
    }

    /// Does one of the things that do not wait.
    fn perform_at_once(&self, operation: &Operation) {
        let world = &self.world;
        let network = world.network();
        match operation {
            Operation::Boot { node } => world.node(*node).boot(),
            Operation::PowerOff { node } => world.node(*node).power_off(),
            Operation::StartRelay { node } => {
                let _ = world.node(*node).start_relay();
            }
            Operation::StopRelay { node } => world.node(*node).stop_relay(),
            Operation::KillRelay { node } => world.node(*node).kill_relay(),
            Operation::SetRelay { node, relay } => {
                // It was looked up before anything was played.
                if let Ok(relay) = crate::relays::find(relay.as_deref()) {
                    world.node(*node).set_relay(relay);
                }
            }
            Operation::SetKernel { node, kernel } => {
                world.node(*node).set_kernel_config((**kernel).clone());
            }
            Operation::FirstSession { node, session } => {
                world.node(*node).set_first_session_id(*session);
            }
            Operation::Pause { node, nanoseconds } => {
                world.node(*node).pause(Duration::from_nanos(*nanoseconds));
            }
            Operation::DoorFault { node, fault, only } => {
                let (node, fault): (_, DoorFault) = (world.node(*node), *fault);
                let only = only.as_deref().and_then(MessageType::from_name);
                let _ = match only {
                    Some(message_type) => node.fail_door_calls_with(message_type, fault),
                    None => node.fail_door_calls(fault),
                };
            }
            Operation::KernelFault { node, fault } => {
                let _ = world.node(*node).inject(*fault);
            }
            Operation::ClearFaults { node } => world.node(*node).clear_faults(),
            Operation::DiskFault { lu, fault } => world.disks().fail(*lu, fault.clone()),
            Operation::RepairDisk { lu } => world.disks().repair(*lu),
            Operation::SlowReader {
                from,
                to,
                bytes_per_second,
            } => network.slow_reader(*from, *to, *bytes_per_second),
            Operation::Break { one, other } => network.break_connections(*one, *other),
            Operation::HalfOpen { hears, other } => network.half_open(*hears, *other),
            Operation::Hold { from, to } => network.hold(*from, *to),
            Operation::Release { from, to } => network.release(*from, *to),
            Operation::Damage {
                from,
                to,
                at_least,
                bit,
            } => network.damage(*from, *to, *at_least, *bit),
            Operation::SetNetwork { config } => network.set_config(config.clone()),
            Operation::Step { text } => world.step(text),
            // Those that wait are done elsewhere; a direct action was refused before.
            _ => {}
        }
    }
}
