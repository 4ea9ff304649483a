// SPDX-License-Identifier: MPL-2.0
//! The promise: what the fuzz targets check holds for everything that fuzzing begins with, so that
//! the targets do not rot between runs of the fuzzer. With `WRITE_SEEDS=FOLDER` the seeds are
//! written too, into a folder for each target there (`just fuzz` does that).

#[path = "../fuzz/src/lib.rs"]
mod fuzz;
#[path = "fuzz_seeds/seeds.rs"]
mod seeds;

use std::path::{Path, PathBuf};

fn holds(target: &str) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let (_, check) = fuzz::TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let seeds = seeds::of(target, &fixtures);
    assert!(seeds.len() > 10, "{} seeds", seeds.len());
    if let Some(folder) = std::env::var_os("WRITE_SEEDS") {
        let folder = PathBuf::from(folder).join(target);
        std::fs::create_dir_all(&folder).expect("a folder for the seeds");
        for (name, bytes) in &seeds {
            std::fs::write(folder.join(name), bytes).expect("a seed is written");
        }
    }
    check(b"");
    for (name, bytes) in &seeds {
        println!("{name}"); // shown if the check fails
        check(bytes);
    }
}

macro_rules! targets {
    ($($target:ident),*) => {
        $(#[test]
        fn $target() {
            holds(stringify!($target));
        })*

        #[test]
        fn no_target_is_left_out() {
            let known = fuzz::TARGETS.map(|(name, _)| name);
            assert_eq!(known, [$(stringify!($target)),*]);
        }
    };
}

targets!(
    nvlist,
    message,
    trace,
    frame,
    demo_link,
    relay,
    kernel_posts
);
