// SPDX-License-Identifier: MPL-2.0
//! Scripts of worlds as something that can be cut: what needs what, and what goes together.

use super::search::{Over, Search, Subject};
use super::simplify;
use crate::explore::HEAL;
use crate::findings::Kind;
use crate::replay::script::{Input, Oracle, Script};
use crate::world::choices::ChoiceLog;
use crate::world::operation::{Operation, PathNumber};
use crate::world::trace::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// A script, and how long the world is left alone when everything was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cuttable {
    script: Script,
    rest: Duration,
    /// Whether healing is left as it is.
    heals: bool,
}

/// How many of the last commands are tried to be kept alone.
const LAST_COMMANDS: [usize; 5] = [1, 4, 16, 64, 256];

/// From how many seeds a failure is looked for that was lost with a cut.
const OTHER_SEEDS: u64 = 3;

/// Whether a failure of this kind is there only because of what was *not* done or did not come,
/// after all that could hinder it was taken out of the way.
///
/// Without the healing there would be others with the same words: a connection that is held for
/// ever also keeps a command from its status. What *happened* and never may is wrong at any time,
/// and needs no healing to be a failure.
fn needs_healing(kind: Kind) -> bool {
    match kind {
        Kind::Deadlock
        | Kind::Hang
        | Kind::LostCommand
        | Kind::LostMessage
        | Kind::FailedUpcall
        | Kind::PortMissing
        | Kind::PortFalselyRegistered
        | Kind::NotServed
        | Kind::KernelState
        | Kind::NeverEnded => true,
        Kind::NodePanic
        | Kind::ProgramPanic
        | Kind::CorruptData
        | Kind::LostWrite
        | Kind::StaleRead
        | Kind::TornWrite
        | Kind::WrongAnswer
        | Kind::RefusedMessage
        | Kind::Misordered
        | Kind::Invented
        | Kind::LuGone
        | Kind::SameNode
        | Kind::SlowPath
        | Kind::RelayStopped
        | Kind::ReservationBroken
        | Kind::Stale
        | Kind::RelayBound
        | Kind::Nondeterminism => false,
    }
}

impl Cuttable {
    /// The script with this rest in place of its own end.
    pub fn new(script: Script, rest: Duration) -> Cuttable {
        let heals = true;
        let mut cuttable = Cuttable {
            script,
            rest,
            heals,
        };
        cuttable.place_end();
        cuttable
    }

    /// The same for a failure of this kind: healing is cut like all else if the failure does not
    /// depend on it.
    pub fn to_show(self, kind: Kind) -> Cuttable {
        Cuttable {
            heals: needs_healing(kind),
            ..self
        }
    }

    /// The script, as it is to be played.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The same with other inputs. They must be in order of time.
    pub fn with_inputs(&self, inputs: Vec<Input>) -> Cuttable {
        let script = Script {
            inputs,
            ..self.without_inputs()
        };
        Cuttable {
            heals: self.heals,
            ..Cuttable::new(script, self.rest)
        }
    }

    /// The same script but for its inputs, which are the bulk of it.
    pub fn without_inputs(&self) -> Script {
        Script {
            plan: self.script.plan.clone(),
            oracle: self.script.oracle.clone(),
            inputs: Vec::new(),
            end: None,
            scenario: self.script.scenario.clone(),
        }
    }

    /// The same with other choices.
    pub fn with_oracle(&self, oracle: Oracle) -> Cuttable {
        let mut other = self.clone();
        other.script.plan.seed = match &oracle {
            Oracle::Seed(seed) => Some(*seed),
            Oracle::Log(_) => None,
        };
        other.script.oracle = oracle;
        other
    }

    /// The same with other surroundings.
    pub fn changed(&self, change: impl FnOnce(&mut Script)) -> Cuttable {
        let mut other = self.clone();
        change(&mut other.script);
        other
    }

    /// The place of the step with which healing begins, if there is such a step and healing is
    /// left as it is.
    ///
    /// What comes from there on is put to a world to see whether everything works again
    /// ([`HEAL`]). Without all of that, or in less time, other things would not work, and a failure
    /// of a kind that healing shows would only seem to stay.
    pub(super) fn healing(&self) -> Option<usize> {
        let heals = |input: &Input| match &input.operation {
            Operation::Step { text } => self.heals && text == HEAL,
            _ => false,
        };
        self.script.inputs.iter().position(heals)
    }

    /// Which inputs are left as they are: all from the beginning of healing, and the ports and
    /// logins that these use.
    pub(super) fn pinned(&self) -> Vec<bool> {
        let inputs = &self.script.inputs;
        let mut pinned = vec![false; inputs.len()];
        let Some(healing) = self.healing() else {
            return pinned;
        };
        pinned[healing..].fill(true);
        let used: BTreeSet<PathNumber> = inputs[healing..]
            .iter()
            .filter_map(|input| path_of(&input.operation))
            .map(|(path, _)| path)
            .collect();
        for (place, input) in inputs[..healing].iter().enumerate() {
            if let Some((path, true)) = path_of(&input.operation) {
                pinned[place] = used.contains(&path);
            }
        }
        let origins = port_origins(inputs);
        for place in 0..inputs.len() {
            if let (true, Some(origin)) = (pinned[place], origins[place]) {
                pinned[origin] = true;
            }
        }
        pinned
    }

    fn place_end(&mut self) {
        let end = Input {
            time: self.script.last_time() + self.rest,
            steps: 0,
            ended: 0,
            operation: Operation::End { stuck: false },
            data: Vec::new(),
        };
        self.script.end = Some((end, false));
    }
}

/// Always the first of the alternatives: threads run in the order in which they became ready, no
/// fault happens that is drawn.
pub fn first_choices() -> Oracle {
    Oracle::Log(ChoiceLog::default())
}

/// What an operation says of ports: those of a node have numbers from 0 in the order in which
/// they were added since its boot.
enum OfPorts {
    Adds(NodeId),
    Uses(NodeId, usize),
    ForgetsAll(NodeId),
    Nothing,
}

fn of_ports(operation: &Operation) -> OfPorts {
    match operation {
        Operation::AddPort { node, .. } => OfPorts::Adds(*node),
        Operation::Login { node, port, .. } | Operation::RemovePort { node, port } => {
            OfPorts::Uses(*node, *port)
        }
        Operation::Boot { node } | Operation::PowerOff { node } => OfPorts::ForgetsAll(*node),
        _ => OfPorts::Nothing,
    }
}

/// For each input the place of the one that added the port that it uses.
fn port_origins(inputs: &[Input]) -> Vec<Option<usize>> {
    let mut ports: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut origins = Vec::with_capacity(inputs.len());
    for (place, input) in inputs.iter().enumerate() {
        origins.push(match of_ports(&input.operation) {
            OfPorts::Adds(node) => {
                ports.entry(node).or_default().push(place);
                None
            }
            OfPorts::Uses(node, port) => ports.get(&node).and_then(|of| of.get(port)).copied(),
            OfPorts::ForgetsAll(node) => {
                ports.remove(&node);
                None
            }
            OfPorts::Nothing => None,
        });
    }
    origins
}

/// The path that an operation acts on, and whether it opens it.
pub(super) fn path_of(operation: &Operation) -> Option<(PathNumber, bool)> {
    match operation {
        Operation::Login { path, .. } => Some((*path, true)),
        Operation::Logout { path }
        | Operation::Command { path, .. }
        | Operation::Manage { path, .. } => Some((*path, false)),
        _ => None,
    }
}

pub(super) fn is_command(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Command { .. } | Operation::Manage { .. }
    )
}

/// The inputs that are kept, with the numbers that their ports then have; without those whose
/// port or path is gone.
fn retained(inputs: &[Input], keep: &[bool]) -> Vec<Input> {
    let origins = port_origins(inputs);
    let opened: BTreeSet<PathNumber> = inputs
        .iter()
        .filter_map(|input| path_of(&input.operation))
        .filter_map(|(path, opens)| opens.then_some(path))
        .collect();
    // Ports of each node since its boot, by the places of their additions.
    let mut ports: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut open: BTreeSet<PathNumber> = BTreeSet::new();
    let mut kept = Vec::new();
    for (place, input) in inputs.iter().enumerate().filter(|(place, _)| keep[*place]) {
        let mut input = input.clone();
        match of_ports(&input.operation) {
            OfPorts::Adds(node) => ports.entry(node).or_default().push(place),
            OfPorts::ForgetsAll(node) => drop(ports.remove(&node)),
            OfPorts::Uses(node, _) => {
                // One that used no port that was there goes on doing so.
                if let Some(origin) = origins[place] {
                    let of_node = ports.get(&node).map_or(&[][..], |ports| ports);
                    let Some(number) = of_node.iter().position(|added| *added == origin) else {
                        continue;
                    };
                    if let Operation::Login { port, .. } | Operation::RemovePort { port, .. } =
                        &mut input.operation
                    {
                        *port = number;
                    }
                }
            }
            OfPorts::Nothing => {}
        }
        match path_of(&input.operation) {
            Some((path, true)) => drop(open.insert(path)),
            Some((path, false)) if opened.contains(&path) && !open.contains(&path) => continue,
            _ => {}
        }
        kept.push(input);
    }
    kept
}

impl Subject for Cuttable {
    fn inputs(&self) -> usize {
        self.script.inputs.len()
    }

    fn retain(&self, keep: &[bool]) -> Cuttable {
        let pinned = self.pinned();
        let keep: Vec<bool> = keep
            .iter()
            .zip(pinned)
            .map(|(keep, pin)| *keep || pin)
            .collect();
        self.with_inputs(retained(&self.script.inputs, &keep))
    }

    fn truncate(&self, inputs: usize) -> Cuttable {
        self.with_inputs(self.script.inputs[..inputs].to_vec())
    }

    fn groups(&self) -> Vec<Vec<bool>> {
        let inputs = &self.script.inputs;
        let without = |gone: &dyn Fn(&Operation) -> bool| -> Vec<bool> {
            inputs.iter().map(|input| !gone(&input.operation)).collect()
        };
        let mut groups = vec![without(&|operation| {
            matches!(
                operation,
                Operation::Step { .. } | Operation::GetAlua { .. }
            )
        })];
        // Most failures need what was set up and little of what came after.
        let is_command: Vec<bool> = inputs.iter().map(|i| is_command(&i.operation)).collect();
        let commands = is_command.iter().filter(|is| **is).count();
        for last in LAST_COMMANDS.into_iter().filter(|last| *last < commands) {
            let mut gone = commands - last;
            let stays = |is: &bool| match is {
                true if gone > 0 => {
                    gone -= 1;
                    false
                }
                _ => true,
            };
            groups.push(is_command.iter().map(stays).collect());
        }
        let mut kinds = Vec::new();
        for input in inputs {
            let kind = discriminant(&input.operation);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        for kind in kinds {
            groups.push(without(&|operation| discriminant(operation) == kind));
        }
        let paths: BTreeSet<PathNumber> = inputs
            .iter()
            .filter_map(|input| path_of(&input.operation))
            .map(|(path, _)| path)
            .collect();
        // With few inputs left these are no more than what is tried anyway.
        if inputs.len() > paths.len() * 4 {
            for path in paths {
                let on_path = |operation: &Operation| {
                    path_of(operation).is_some_and(|(other, _)| other == path)
                };
                groups.push(without(&on_path));
            }
        }
        groups
    }

    fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3::new();
        let script = &self.script;
        // All of these are numbers, texts and maps with text keys: they always have a JSON form.
        hash.update(&serde_json::to_vec(&script.plan).unwrap_or_default());
        match &script.oracle {
            Oracle::Seed(seed) => hash.update(&seed.to_le_bytes()),
            Oracle::Log(log) => hash.update(&log.to_bytes()),
        }
        let mut text = Vec::new();
        for input in &script.inputs {
            text.clear();
            let _ = serde_json::to_writer(&mut text, &input.operation);
            let place = [input.time.as_nanos(), input.steps, input.data.len() as u64];
            place
                .iter()
                .for_each(|number| hash.update(&number.to_le_bytes()));
            hash.update(&text);
            hash.update(&input.data);
        }
        hash.update(&self.rest.as_nanos().to_le_bytes());
        hash.digest128()
    }

    fn simplify<E>(search: &mut Search<'_, Cuttable, E>) -> Result<(), Over<E>> {
        simplify::all(search)
    }

    fn otherwise(&self) -> Vec<Cuttable> {
        let mut others = vec![self.with_oracle(first_choices())];
        others.extend((0..OTHER_SEEDS).map(|seed| self.with_oracle(Oracle::Seed(seed))));
        others
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{input, script};
    use super::*;

    fn add_port(node: NodeId) -> Operation {
        Operation::AddPort {
            node,
            name: None,
            alua: true,
            buffer_size: 1 << 17,
        }
    }

    fn login(node: NodeId, port: usize, path: PathNumber) -> Operation {
        Operation::Login {
            node,
            port,
            initiator: 0,
            path,
        }
    }

    fn cuttable(operations: Vec<Operation>) -> Cuttable {
        let inputs = operations.into_iter().enumerate();
        let inputs = inputs.map(|(at, operation)| input(at as u64 * 1000, operation));
        Cuttable::new(script(inputs.collect()), Duration::from_secs(1))
    }

    fn operations(cuttable: &Cuttable) -> Vec<Operation> {
        let inputs = cuttable.script().inputs.iter();
        inputs.map(|input| input.operation.clone()).collect()
    }

    #[test]
    fn what_needs_a_port_or_a_path_goes_with_it() {
        let whole = cuttable(vec![
            add_port(0),
            add_port(0),
            login(0, 0, 0),
            login(0, 1, 1),
            Operation::Logout { path: 0 },
            Operation::Logout { path: 1 },
        ]);
        // Without the first port its login and logout go, and the second one is number 0.
        let cut = whole.retain(&[false, true, true, true, true, true]);
        assert_eq!(
            operations(&cut),
            [add_port(0), login(0, 0, 1), Operation::Logout { path: 1 }]
        );
        let cut = whole.retain(&[true, true, true, false, true, true]);
        assert_eq!(
            operations(&cut),
            [
                add_port(0),
                add_port(0),
                login(0, 0, 0),
                Operation::Logout { path: 0 }
            ]
        );
        assert_eq!(whole.retain(&[true; 6]), whole);
    }

    #[test]
    fn ports_are_numbered_from_each_boot() {
        let whole = cuttable(vec![
            add_port(0),
            Operation::PowerOff { node: 0 },
            Operation::Boot { node: 0 },
            add_port(0),
            login(0, 0, 0),
        ]);
        // Without the boot the second port is the second one.
        let cut = whole.retain(&[true, false, false, true, true]);
        assert_eq!(operations(&cut), [add_port(0), add_port(0), login(0, 1, 0)]);
        let cut = whole.retain(&[true, true, true, false, true]);
        assert_eq!(operations(&cut).len(), 3);
    }

    #[test]
    fn a_login_that_never_had_a_port_stays_as_it_is() {
        let whole = cuttable(vec![add_port(0), login(0, 7, 0)]);
        let cut = whole.retain(&[false, true]);
        assert_eq!(operations(&cut), [login(0, 7, 0)]);
    }

    #[test]
    fn healing_and_what_it_needs_is_left_as_it_is() {
        let step = |text: &str| Operation::Step { text: text.into() };
        let whole = cuttable(vec![
            step("trouble"),
            add_port(0),
            add_port(0),
            login(0, 0, 0),
            login(0, 1, 1),
            Operation::Logout { path: 0 },
            step(HEAL),
            Operation::Logout { path: 1 },
            step("demand"),
        ]);
        let pinned = [false, false, true, false, true, false, true, true, true];
        assert_eq!(whole.pinned(), pinned);
        let cut = whole.retain(&[false; 9]);
        assert_eq!(
            operations(&cut),
            [
                add_port(0),
                login(0, 0, 1),
                step(HEAL),
                Operation::Logout { path: 1 },
                step("demand"),
            ]
        );
        // What was never done goes all the same.
        assert_eq!(
            operations(&whole.truncate(2)),
            [step("trouble"), add_port(0)]
        );
        assert!(!whole.truncate(6).pinned().contains(&true));
    }

    #[test]
    fn healing_is_cut_for_what_went_wrong_without_it() {
        let step = |text: &str| Operation::Step { text: text.into() };
        let whole = cuttable(vec![
            add_port(0),
            login(0, 0, 0),
            step(HEAL),
            Operation::Logout { path: 0 },
        ]);
        assert_eq!(whole.pinned(), [true; 4]);
        for kind in [Kind::NotServed, Kind::Hang, Kind::LostCommand] {
            let whole = whole.clone().to_show(kind);
            assert_eq!(whole.retain(&[false; 4]), whole);
        }
        for kind in [Kind::CorruptData, Kind::Misordered, Kind::NodePanic] {
            let whole = whole.clone().to_show(kind);
            assert_eq!(whole.healing(), None);
            let cut = whole.retain(&[true, true, false, true]);
            let cut = cut.retain(&[true, false, true]);
            assert_eq!(operations(&cut), [add_port(0)]);
        }
    }

    #[test]
    fn fingerprints_tell_candidates_apart() {
        let whole = cuttable(vec![add_port(0), add_port(1)]);
        let others = [
            whole.retain(&[true, false]),
            whole.with_oracle(first_choices()),
            whole.with_oracle(Oracle::Seed(9)),
            whole.changed(|script| script.inputs[1].time = stmf_proxy::time::Time::from_nanos(5)),
            whole.changed(|script| script.inputs[1].data.push(0)),
        ];
        let mut seen = BTreeSet::from([whole.fingerprint()]);
        assert!(others.iter().all(|other| seen.insert(other.fingerprint())));
        assert_eq!(whole.clone().fingerprint(), whole.fingerprint());
    }

    #[test]
    fn groups_keep_the_last_commands() {
        let manage = |tag| Operation::Manage {
            path: 0,
            tag,
            lun: [0; 8],
            function: 5,
            timeout: 1,
        };
        let mut all = vec![add_port(0), login(0, 0, 0)];
        all.extend((0..6).map(manage));
        let groups = cuttable(all).groups();
        let kept: Vec<usize> = groups
            .iter()
            .map(|keep| keep.iter().filter(|k| **k).count())
            .collect();
        // No notes to cut; one command, four; then each kind of operation; then each path.
        assert_eq!(kept, [8, 3, 6, 7, 7, 2, 1]);
        assert_eq!(
            groups[1],
            [true, true, false, false, false, false, false, true]
        );
    }
}
