// SPDX-License-Identifier: MPL-2.0
//! Cutting a recorded run down to the least that still fails.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | from a file to a smaller one |
//! | `oracle.rs`, `exec.rs` | what must stay: a finding, or what a command says |
//! | `search.rs` | the search, and the cutting of inputs, whatever they are |
//! | `cut.rs` | scripts of worlds as something to cut |
//! | `node.rs` | scripts of single nodes as something to cut |
//! | `simplify.rs` | smaller commands, shorter times, less chance |
//! | `probe.rs` | playing a candidate within bounds |
//! | `report.rs` | what came of it, for people and programs |
//!
//! The search is a function of the trace, of what must stay and of the number of tries that are
//! allowed: the same gives the same. Only the bound on time depends on the machine.

pub mod cut;
pub mod exec;
mod node;
pub mod oracle;
pub mod probe;
pub mod report;
#[cfg(test)]
mod samples;
pub mod search;
mod simplify;

pub use exec::{Exec, ExecError};
pub use oracle::{Wanted, kind_by_name};
pub use report::{Limit, Report, Size};
pub use search::{Over, Search, Shown, Standing, Subject, Watching};

use crate::field::REST;
use crate::findings::{Finding, Kind};
use crate::recording::{self, RecordingError, TraceRecorder};
use crate::replay::file::{FileError, read_script, replay_file};
use crate::replay::node::NodeFileError;
use crate::replay::script::{Oracle, Script, ScriptError};
use crate::replay::world::{Mode, ReplayError, Settings as PlaySettings, play};
use cut::{Cuttable, first_choices};
use probe::{Limits, Played, Run};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use stmf_proxy::time::Time;
use stmf_proxy::trace::NodeId;

/// How many tries are made unless told otherwise.
pub const DEFAULT_TRIES: u64 = 20_000;

/// From how many seeds a failure is looked for that does not show as it was recorded.
const SEEDS: u64 = 32;

/// What must stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keep {
    /// The first finding of the run.
    FirstFinding,
    /// The first finding of this kind.
    Kind(Kind),
    /// Any finding of this kind.
    Any(Kind),
    /// A finding like this one.
    Like(Finding),
    /// That this command fails.
    Exec(Exec),
}

/// What is cut, and how.
pub struct Settings {
    /// The trace: a file, or the directory of a ring.
    pub input: PathBuf,
    /// Where the smaller one is written.
    pub output: PathBuf,
    /// What must stay.
    pub keep: Keep,
    /// The most tries that are made.
    pub tries: u64,
    /// The file behind a disk that was one.
    pub disk: Option<PathBuf>,
    /// The node whose events are cut; none for the run of a world, or for the only node of a
    /// trace that is not of a world.
    pub node: Option<NodeId>,
}

/// Why nothing was cut.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// The trace cannot be played.
    #[error(transparent)]
    File(#[from] FileError),
    /// The nodes of the trace cannot be replayed.
    #[error(transparent)]
    Node(#[from] NodeFileError),
    /// It is no run of a world, and has more than one node.
    #[error(
        "the trace is not that of a whole run, and has {} nodes, which are replayed one by one; \
         choose one with --node N: {}",
        .0.len(), .0.iter().map(|node| node.to_string()).collect::<Vec<_>>().join(", ")
    )]
    SeveralNodes(Vec<NodeId>),
    /// What is left of the node's trace after recording its replay anew does not replay.
    #[error(
        "this trace of a node cannot be cut: its inputs were given to a simulated kernel without \
         comparing and what happened was recorded anew, but the failure does not survive that: {0}"
    )]
    NodeOnlyWhole(String),
    /// The smaller trace of a node does not replay from its file: a bug of this program.
    #[error("the smaller trace does not replay from its file; nothing was written")]
    NodeNotConfirmed,
    /// The output is the input.
    #[error("{} would be written over itself; give another file with -o", .0.display())]
    SameFile(PathBuf),
    /// Nothing went wrong in the run.
    #[error("the run shows no failure; say with --exec CMD how one can tell that it fails")]
    Sound,
    /// What should stay is not there.
    #[error("the run shows no {kind}; what it shows: {}", list(.found))]
    NotShown {
        /// What was asked for.
        kind: Kind,
        /// What was found.
        found: Vec<Finding>,
    },
    /// It shows when the run is played exactly, and at no other time.
    #[error(
        "the failure ({0}) shows when the trace is replayed step by step, but in no run that is \
         played by time, as recorded or with other choices: it cannot be cut"
    )]
    OnlyExactly(Wanted),
    /// The command says that the trace is sound.
    #[error("the command does not fail for the trace as it is; it must exit non-zero for it")]
    ExecSound,
    /// The command fails for the trace, and not for the same run played by time.
    #[error("the command fails for the trace, but for no run that is played by time")]
    ExecOnlyExactly,
    /// The command says nothing.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The output cannot be written.
    #[error(transparent)]
    Record(#[from] RecordingError),
    /// A file for it cannot be made.
    #[error("cannot write into {}: {error}", .directory.display())]
    Output {
        /// Where.
        directory: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What was written does not show it: a bug of this program.
    #[error("the smaller trace was written to {}, but it does not replay as it should", .0.display())]
    NotConfirmed(PathBuf),
}

fn list(found: &[Finding]) -> String {
    let mut kinds: Vec<Kind> = found.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    match names.is_empty() {
        true => "nothing".into(),
        false => names.join(", "),
    }
}

impl From<ReplayError> for ShrinkError {
    fn from(error: ReplayError) -> ShrinkError {
        ShrinkError::File(error.into())
    }
}

/// Where the smaller trace of a file goes unless told otherwise: `run.pcapng` to
/// `run.small.pcapng`.
pub fn default_output(input: &Path) -> PathBuf {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".pcapng").unwrap_or(&name);
    input.with_file_name(format!("{stem}.small.pcapng"))
}

/// Cuts a trace down.
///
/// # Errors
///
/// See [`ShrinkError`].
pub fn shrink(settings: &Settings, watching: Rc<dyn Watching>) -> Result<Report, ShrinkError> {
    let same = |path: &Path| path.canonicalize().ok();
    if same(&settings.input).is_some_and(|input| same(&settings.output) == Some(input)) {
        return Err(ShrinkError::SameFile(settings.input.clone()));
    }
    if settings.node.is_some() {
        return node::shrink(settings, watching);
    }
    let script = match read_script(&settings.input) {
        Ok((script, _)) => script,
        // It is no run that could be made again as a whole.
        Err(FileError::Script(
            ScriptError::NoPlan | ScriptError::Cut { .. } | ScriptError::Missing { .. },
        )) => return node::shrink(settings, watching),
        Err(error) => return Err(error.into()),
    };
    let shrinker = Shrinker { settings, watching };
    let (before, findings) = shrinker.original(&script)?;
    let mut judge = shrinker.judge(&findings)?;
    let (start, shown, how) = shrinker.reproduce(&script, &mut judge)?;
    let limits = judge.limits;
    let mut tester = |candidate: &Cuttable| shrinker.test(candidate, &judge.proof, limits);
    let smallest = smallest(start, shown, &mut tester, settings, &*shrinker.watching)?;
    let (after, finding) = shrinker.write(&smallest.best, &judge)?;
    Ok(smallest.report(settings, finding, (before, after), how))
}

/// What a search has come to.
struct Smallest<S> {
    best: S,
    tries: u64,
    stopped: Option<Limit>,
}

/// Searches from `start`, which has shown this, for the smallest that fails.
fn smallest<S: Subject>(
    start: S,
    shown: Shown,
    tester: &mut search::Tester<'_, S, ShrinkError>,
    settings: &Settings,
    watching: &dyn Watching,
) -> Result<Smallest<S>, ShrinkError> {
    let mut search = Search::new(start, tester, watching, settings.tries);
    search.cut_tail(shown);
    let stopped = match search.minimize() {
        Ok(()) => None,
        Err(Over::Failed(error)) => return Err(error),
        Err(Over::Tries) => Some(Limit::Tries),
        Err(Over::Waiting) => Some(Limit::Time),
    };
    Ok(Smallest {
        tries: search.tries(),
        best: search.best().clone(),
        stopped,
    })
}

impl<S> Smallest<S> {
    fn report(
        self,
        settings: &Settings,
        finding: Option<Finding>,
        (before, after): (Size, Size),
        how: Option<String>,
    ) -> Report {
        Report {
            finding,
            before,
            after,
            tries: self.tries,
            stopped: self.stopped,
            how,
            output: settings.output.clone(),
        }
    }
}

/// A folder beside the output: whoever looks at that sees the old one or all of the new one.
fn folder_beside(output: &Path) -> Result<tempfile::TempDir, ShrinkError> {
    let parent = output
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new()
        .prefix(".shrink")
        .tempdir_in(directory);
    folder.map_err(|error| ShrinkError::Output {
        directory: directory.to_path_buf(),
        error,
    })
}

/// What shows that a candidate fails.
enum Proof {
    Finding(Wanted),
    Exec(Exec),
}

/// How one tells that a run still fails, from what the recorded one shows.
fn proof(settings: &Settings, findings: &[Finding]) -> Result<Proof, ShrinkError> {
    let first = |kind: Kind| {
        let found = findings.iter().find(|finding| finding.kind == kind);
        found.ok_or_else(|| ShrinkError::NotShown {
            kind,
            found: findings.to_vec(),
        })
    };
    Ok(match &settings.keep {
        Keep::FirstFinding => {
            Proof::Finding(Wanted::like(findings.first().ok_or(ShrinkError::Sound)?))
        }
        Keep::Kind(kind) => Proof::Finding(Wanted::like(first(*kind)?)),
        Keep::Any(kind) => first(*kind).map(|_| Proof::Finding(Wanted::any(*kind)))?,
        Keep::Like(finding) => {
            let wanted = Wanted::like(finding);
            if !findings.iter().any(|found| wanted.is_shown_by(found)) {
                first(finding.kind)?;
            }
            Proof::Finding(wanted)
        }
        Keep::Exec(exec) => match exec.fails(&settings.input)? {
            true => Proof::Exec(exec.clone()),
            false => return Err(ShrinkError::ExecSound),
        },
    })
}

struct Judge {
    proof: Proof,
    limits: Limits,
}

struct Shrinker<'a> {
    settings: &'a Settings,
    watching: Rc<dyn Watching>,
}

impl Shrinker<'_> {
    /// Plays the trace as it was recorded.
    fn original(&self, script: &Script) -> Result<(Size, Vec<Finding>), ShrinkError> {
        let settings = PlaySettings {
            disk: self.settings.disk.clone(),
            ..PlaySettings::default()
        };
        let outcome = play(script, Mode::Exact, settings)?;
        let (events, time) = (outcome.world.trace().events(), outcome.world.now());
        Ok((Size::of(script, events, time), outcome.findings))
    }

    fn judge(&self, findings: &[Finding]) -> Result<Judge, ShrinkError> {
        Ok(Judge {
            proof: proof(self.settings, findings)?,
            limits: Limits::NONE,
        })
    }

    /// Finds a run that is played by time and fails: as recorded, or with other choices. How it
    /// was found, if not as recorded.
    fn reproduce(
        &self,
        script: &Script,
        judge: &mut Judge,
    ) -> Result<(Cuttable, Shown, Option<String>), ShrinkError> {
        let recorded_rest = match &script.end {
            Some((end, false)) => end.time - script.last_time(),
            _ => REST,
        };
        // What is owed at the end of a run is overdue only if there was time for it.
        let mut rests = vec![recorded_rest.max(REST)];
        if recorded_rest < REST {
            rests.push(recorded_rest);
        }
        let others = [None, Some(first_choices())].into_iter();
        let others = others.chain((0..SEEDS).map(|seed| Some(Oracle::Seed(seed))));
        for oracle in others {
            for rest in &rests {
                let how = oracle.as_ref().map(|oracle| match oracle {
                    Oracle::Seed(seed) => format!("with the choices of seed {seed}"),
                    Oracle::Log(_) => "with the first of all choices".to_string(),
                });
                let mut candidate = Cuttable::new(script.clone(), *rest);
                if let Proof::Finding(wanted) = &judge.proof {
                    candidate = candidate.to_show(wanted.kind());
                }
                if let Some(oracle) = &oracle {
                    candidate = candidate.with_oracle(oracle.clone());
                }
                if judge.limits == Limits::NONE {
                    // How much a run needs, failing or not.
                    let whole = candidate.play(self.run(None, Limits::NONE))?;
                    judge.limits = Limits::around(&whole);
                }
                if let Some(shown) = self.test(&candidate, &judge.proof, judge.limits)? {
                    return Ok((candidate, shown, how));
                }
                if !self.watching.go_on(None) {
                    break;
                }
            }
        }
        Err(match &judge.proof {
            Proof::Finding(wanted) => ShrinkError::OnlyExactly(wanted.clone()),
            Proof::Exec(_) => ShrinkError::ExecOnlyExactly,
        })
    }

    fn run<'r>(&'r self, wanted: Option<&'r Wanted>, limits: Limits) -> Run<'r> {
        Run {
            wanted,
            after: Duration::ZERO,
            limits,
            disk: self.settings.disk.as_ref(),
            recorder: None,
            watching: self.watching.clone(),
        }
    }

    /// Plays a candidate; what it has shown if it fails.
    fn test(
        &self,
        candidate: &Cuttable,
        proof: &Proof,
        limits: Limits,
    ) -> Result<Option<Shown>, ShrinkError> {
        match proof {
            Proof::Finding(wanted) => {
                let played = candidate.play(self.run(Some(wanted), limits))?;
                let shown = played.whole && played.findings.iter().any(|f| wanted.is_shown_by(f));
                Ok(shown.then_some(Shown { done: played.done }))
            }
            Proof::Exec(exec) => {
                let folder = tempfile::tempdir().map_err(|error| ShrinkError::Output {
                    directory: std::env::temp_dir(),
                    error,
                })?;
                let path = folder.path().join("candidate.pcapng");
                let played = self.record(candidate, &path, self.run(None, limits))?;
                let fails = played.whole && exec.fails(&path)?;
                Ok(fails.then_some(Shown { done: played.done }))
            }
        }
    }

    fn record(
        &self,
        candidate: &Cuttable,
        path: &Path,
        run: Run<'_>,
    ) -> Result<Played, ShrinkError> {
        let script = candidate.script();
        let settings = recording::Settings {
            scenario: script.scenario.clone(),
            ..recording::Settings::file(path)
        };
        let recorder = TraceRecorder::create(&script.plan, &settings)?;
        let recorder = Rc::new(RefCell::new(recorder));
        let run = Run {
            recorder: Some(recorder.clone()),
            ..run
        };
        let played = candidate.play(run)?;
        let report = recorder.borrow_mut().report();
        match report.failure {
            None => Ok(played),
            Some(failure) => Err(ShrinkError::Output {
                directory: path.to_path_buf(),
                error: std::io::Error::other(failure),
            }),
        }
    }

    /// How long after the failure the smaller trace ends: as soon as nothing is told in it that
    /// would not be there if it went on.
    fn after(&self, best: &Cuttable, wanted: &Wanted) -> Result<Duration, ShrinkError> {
        const AFTER: [Duration; 5] = [
            Duration::ZERO,
            Duration::from_millis(10),
            Duration::from_millis(100),
            Duration::from_secs(1),
            Duration::from_secs(10),
        ];
        let told = |after: Duration| -> Result<Vec<String>, ShrinkError> {
            let run = Run {
                after,
                ..self.run(Some(wanted), Limits::NONE)
            };
            let findings = best.play(run)?.findings;
            Ok(findings.iter().map(|finding| finding.to_string()).collect())
        };
        let all = told(REST)?;
        for after in AFTER {
            if told(after)?.iter().all(|finding| all.contains(finding)) {
                return Ok(after);
            }
        }
        Ok(REST)
    }

    /// Writes the trace of the smallest script and checks that it fails as it should.
    fn write(
        &self,
        best: &Cuttable,
        judge: &Judge,
    ) -> Result<(Size, Option<Finding>), ShrinkError> {
        let output = &self.settings.output;
        let folder = folder_beside(output)?;
        let path = folder.path().join("small.pcapng");
        let run = match &judge.proof {
            Proof::Finding(wanted) => Run {
                after: self.after(best, wanted)?,
                ..self.run(Some(wanted), Limits::NONE)
            },
            Proof::Exec(_) => self.run(None, Limits::NONE),
        };
        let played = self.record(best, &path, run)?;
        let replay = PlaySettings {
            disk: self.settings.disk.clone(),
            ..PlaySettings::default()
        };
        let replayed = replay_file(&path, replay)?;
        let (shown, finding) = match &judge.proof {
            Proof::Finding(wanted) => {
                let mut findings = replayed.findings.into_iter();
                let finding = findings.find(|finding| wanted.is_shown_by(finding));
                (finding.is_some(), finding)
            }
            Proof::Exec(exec) => (exec.fails(&path)?, None),
        };
        let (small, _) = read_script(&path)?;
        std::fs::rename(&path, output).map_err(|error| ShrinkError::Output {
            directory: output.clone(),
            error,
        })?;
        if replayed.divergence.is_some() || !shown {
            return Err(ShrinkError::NotConfirmed(output.clone()));
        }
        Ok((Size::of(&small, played.events, played.time), finding))
    }
}

impl Size {
    fn of(script: &Script, events: u64, time: Time) -> Size {
        let (commands, bytes) = simplify::commands_and_bytes(&script.inputs);
        Size {
            inputs: script.inputs.len() as u64,
            commands: commands as u64,
            bytes,
            events,
            time,
        }
    }
}
