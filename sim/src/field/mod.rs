// SPDX-License-Identifier: MPL-2.0
//! Failures seen in the field: each with a scenario that shows it, with a kernel that has the
//! defect or a relay that breaks a rule, and that is sound without.
//!
//! Every failure is a value, [`Failure`]; [`all`] lists them in the order of the page
//! docs/field-failures.md. `fixtures/field/ID/` has a recorded and shrunk trace of each.

use crate::findings::{Finding, Kind, Watch};
use crate::world::operation::SharedRecorder;
use crate::world::{Builder, NodeError, World};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

mod kernels;
pub mod page;
mod relays;

/// Whether what causes the failure is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// With the defect, or the relay that breaks the rule.
    Broken,
    /// Without.
    Sound,
}

/// How a scenario goes: what is done to the world from outside, by calls that traces hold.
pub type Scenario = fn(World) -> Pin<Box<dyn Future<Output = Result<(), NodeError>>>>;

/// A failure seen in the field.
pub struct Failure {
    /// What it is called: a number of a public tracker, or a name. Lower case.
    pub id: &'static str,
    /// In a line.
    pub title: &'static str,
    /// What one sees, in two or three sentences.
    pub sees: &'static str,
    /// Why it happens.
    pub why: &'static str,
    /// How this project's relay avoids it, or what to do about it where no relay can.
    pub avoided: &'static str,
    /// What has the defect: the name of a switch of the kernel, or of a relay.
    pub cause: &'static str,
    /// The seed with which it shows.
    pub seed: u64,
    /// The world, but for seed and recorder.
    pub build: fn(Variant) -> Builder,
    /// What is done.
    pub scenario: Scenario,
    /// The kind of the finding that names it.
    pub kind: Kind,
    /// Words that the text of that finding has.
    pub words: &'static [&'static str],
}

impl Failure {
    /// Whether a finding names this failure.
    pub fn is_named_by(&self, finding: &Finding) -> bool {
        finding.kind == self.kind && self.words.iter().all(|word| finding.text.contains(word))
    }
}

/// All of them, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Failure> {
    kernels::FAILURES.iter().chain(relays::FAILURES)
}

/// The failure of this id.
pub fn by_id(id: &str) -> Option<&'static Failure> {
    all().find(|failure| failure.id == id)
}

/// What came of a run.
pub struct Run {
    /// What went wrong.
    pub findings: Vec<Finding>,
    /// The world afterwards.
    pub world: World,
    /// Why the scenario could not go on, if it could not.
    pub stopped: Option<String>,
}

/// How long a world is left alone after its scenario, so that what is owed can come.
pub const REST: Duration = Duration::from_secs(100);

/// Plays the scenario of a failure.
pub fn run(
    failure: &Failure,
    variant: Variant,
    seed: u64,
    recorder: Option<SharedRecorder>,
) -> Run {
    let watch = Watch::shared();
    let mut builder = (failure.build)(variant).seed(seed).sink(watch.clone());
    if let Some(recorder) = recorder {
        builder = builder.recorder(recorder);
    }
    let world = builder.build();
    world.disks().listen(watch.clone());
    let scenario = failure.scenario;
    let ended = world.run(async move |world| {
        let result = scenario(world.clone()).await;
        world.sleep(REST).await;
        result
    });
    let stopped = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(stuck) => {
            watch.borrow_mut().add(Finding::from(&stuck));
            Some(stuck.to_string())
        }
    };
    if stopped.is_none()
        && let Some(stuck) = world.deadlock()
    {
        watch.borrow_mut().add(Finding::from(&stuck));
    }
    let findings = watch.borrow_mut().finish(world.now());
    Run {
        findings,
        world,
        stopped,
    }
}

#[cfg(test)]
mod tests;
