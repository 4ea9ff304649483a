// SPDX-License-Identifier: MPL-2.0
//! The demonstration: two nodes, an initiator with a path to each, a disk copied through the
//! standby path, a reservation, a failover; every step checked.
//!
//! It is a scenario like any other (`scenario.rs`), with a report that people and programs read
//! (`report.rs`). The relay of the nodes can be replaced, so that a test can see the checks fail.

mod discovery;
pub mod disk;
pub mod report;
mod scenario;

pub use disk::{DiskError, Source};
pub use report::{Check, Report};

use crate::findings::Watch;
use crate::kernel::{KernelConfig, Profile};
use crate::recording::{self, RecordingError};
use crate::view::story::{Cast, Choice, Story};
use crate::world::statistics::Statistics;
use crate::world::{RelayProgram, StandardRelay, World};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What a demonstration runs with.
pub struct Settings {
    /// The seed of the world.
    pub seed: u64,
    /// Which mistakes the kernels make.
    pub profile: Profile,
    /// The disk.
    pub source: Source,
    /// The relay of both nodes.
    pub relay: Rc<dyn RelayProgram>,
    /// The most lines of the ladder diagram; 0 for none.
    pub ladder: usize,
    /// Whether and how the run is recorded.
    pub record: Option<recording::Settings>,
    /// Looks for what goes wrong, besides the checks.
    pub watch: Option<Rc<RefCell<Watch>>>,
}

/// Why a demonstration cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It cannot be recorded.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl Settings {
    /// The largest size of the disk that the demonstration makes, and of a file: 2^31 bytes.
    pub const LARGEST_DISK: u64 = 1 << 31;
    /// Size of the disk that is made unless told otherwise, in bytes.
    pub const DEFAULT_DISK: u64 = 64 << 20;
    /// The seed unless told otherwise.
    pub const DEFAULT_SEED: u64 = 1;
    /// Lines of the ladder diagram unless told otherwise.
    pub const LADDER_LINES: usize = 80;
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seed: Settings::DEFAULT_SEED,
            profile: Profile::Illumos,
            source: Source::Made {
                size: Settings::DEFAULT_DISK,
            },
            relay: Rc::new(StandardRelay::new()),
            ladder: 0,
            record: None,
            watch: None,
        }
    }
}

/// How far a demonstration has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What it is doing.
    pub step: &'static str,
    /// Bytes of the disk that were copied.
    pub copied: u64,
    /// Bytes of the disk.
    pub size: u64,
}

/// Runs the demonstration; `watch` is called now and then.
///
/// # Errors
///
/// [`DemoError`] if there is no disk to run it with, or no place for the recording. Everything
/// that goes wrong later is a check that failed, in the report.
pub fn run(settings: Settings, mut watch: impl FnMut(Progress)) -> Result<Report, DemoError> {
    watch(Progress {
        step: "reading the disk",
        copied: 0,
        size: 0,
    });
    let image = disk::open(&settings.source, settings.seed)?;
    let size = image.size;
    let mut builder = World::builder()
        .seed(settings.seed)
        .kernel(KernelConfig {
            profile: settings.profile,
            ..KernelConfig::default()
        })
        .relay(settings.relay.clone());
    let mut recorder = None;
    if let Some(record) = &settings.record {
        let (recorded, by) = recording::record(builder, record)?;
        builder = recorded;
        recorder = Some(by);
    }
    let world = builder.build();
    if let Some(watch) = settings.watch {
        world.trace().add_sink(watch.clone());
        world.disks().listen(watch);
    }
    let statistics = Rc::new(RefCell::new(Statistics::default()));
    world.trace().add_sink(statistics.clone());
    let empty = || Story::new(Cast::BOTH, settings.ladder, Choice::default());
    let story = Rc::new(RefCell::new(empty()));
    if settings.ladder > 0 {
        world.trace().add_sink(story.clone());
    }
    let sheet = Rc::new(scenario::Sheet::new(size, image.sha256));
    world.disks().insert(scenario::LU, image.disk);
    let begun = sheet.clone();
    let ended = world.run_watched(
        async move |world| scenario::play(&world, &begun).await,
        |_| {
            let step = sheet.step.get();
            watch(Progress {
                step,
                copied: sheet.copied.get(),
                size,
            });
        },
    );
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(stopped)) => sheet.fail("the demonstration goes on to its end", stopped),
        Err(stuck) => sheet.fail("the demonstration goes on to its end", stuck.to_string()),
    }
    scenario::check_aftermath(&world, &sheet, &statistics.borrow());
    Ok(Report {
        seed: settings.seed,
        profile: settings.profile,
        source: image.description,
        disk_bytes: size,
        padding_bytes: image.padding,
        disk_sha256: image.sha256,
        copied_sha256: sheet.copied_sha256.get(),
        facts: sheet.facts.take(),
        checks: sheet.checks.take(),
        statistics: statistics.take(),
        simulated: world.now(),
        events: world.trace().events(),
        trace_hash: world.hash(),
        recording: recorder.map(|recorder| recorder.borrow_mut().report()),
        ladder: (settings.ladder > 0).then(|| story.replace(empty()).finish()),
    })
}

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// What is known of a number that the scenario sets once.
type Once<T> = Cell<Option<T>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Watch;
    use std::time::Duration;

    /// What the watchers of runs look for is not there in a sound run.
    #[test]
    fn nothing_is_found_in_a_demonstration() {
        for seed in 1..=5 {
            let source = Source::Made { size: 4 << 20 };
            let image = disk::open(&source, seed).expect("a disk");
            let world = World::builder().seed(seed).build();
            let watch = Watch::shared();
            world.trace().add_sink(watch.clone());
            let sheet = Rc::new(scenario::Sheet::new(image.size, image.sha256));
            world.disks().insert(scenario::LU, image.disk);
            let ended = world.run(async move |world| scenario::play(&world, &sheet).await);
            assert_eq!(ended.expect("it goes on"), Ok(()));
            world.run_for(Duration::from_secs(100));
            let found = watch.borrow_mut().finish(world.now());
            let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, [""; 0], "seed {seed}");
        }
    }
}
