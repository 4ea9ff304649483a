// SPDX-License-Identifier: MPL-2.0
//! What the fuzz targets check: for each a module with a function `check`, which takes any bytes
//! and panics if a promise is broken. `docs/fuzzing.md` tells what each one checks.
//!
//! Invariants: a check is a function of its bytes alone, so that a finding can be shown again;
//! nothing here knows libFuzzer. The modules do not name this crate, because the test run of the
//! project has them for its own (`tests/fuzz_seeds.rs`).

pub mod frame;
pub mod input;
pub mod kernel_posts;
pub mod message;
pub mod nvlist;
pub mod relay;
pub mod sound;
pub mod stream;
pub mod trace;

/// A target: its name, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("nvlist", nvlist::check),
    ("message", message::check),
    ("trace", trace::check),
    ("frame", frame::check),
    ("demo_link", frame::check_demo),
    ("relay", relay::check),
    ("kernel_posts", kernel_posts::check),
];
