// SPDX-License-Identifier: MPL-2.0
//! What fuzzing begins with: the recordings of `fixtures/`, in the form that each target takes, and
//! what has broken a promise before (`fixtures/fuzz`).
//!
//! Most are made when they are wanted, because all together they are larger than what they are
//! made of.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use stmf_proxy::message::{Dialect, Message};

/// A seed: a name for its file, and its bytes.
pub type Seed = (String, Vec<u8>);

/// The seeds of a target, out of the folder `fixtures`.
///
/// # Panics
///
/// If there is no such target, or what should be in the folder is not.
pub fn of(target: &str, fixtures: &Path) -> Vec<Seed> {
    let mut seeds = match target {
        "nvlist" | "message" => messages(fixtures),
        "trace" => traces(fixtures),
        "frame" => frames(),
        "demo_link" => demo_frames(),
        "relay" => relays(),
        "kernel_posts" => posts(fixtures),
        _ => panic!("there is no target {target:?}"),
    };
    seeds.extend(findings(target, fixtures));
    seeds
}

/// Bytes with which the fuzzer has broken a promise, kept so that it stays mended.
fn findings(target: &str, fixtures: &Path) -> Vec<Seed> {
    let kept = fixtures.join("fuzz").join(target);
    if !kept.is_dir() {
        return Vec::new();
    }
    let mut paths = folder(&kept);
    paths.sort();
    let seed = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy();
        let bytes = std::fs::read(&path).expect("it was listed");
        (format!("found-{name}"), bytes)
    };
    paths.into_iter().map(seed).collect()
}

/// The lines of a compressed file of the recordings.
fn lines(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map(|line| serde_json::from_str(&line.expect("lines")).expect("JSON"))
        .collect()
}

/// Bytes in hexadecimal.
fn bytes(hexadecimal: &Value) -> Vec<u8> {
    let text = hexadecimal.as_str().expect("a string");
    stmf_proxy::message::hex::decode(text.as_bytes()).expect("hexadecimal")
}

/// Recorded messages, sound and damaged.
fn messages(fixtures: &Path) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for file in ["messages", "mutations"] {
        let recorded = lines(&fixtures.join(format!("golden/{file}.jsonl.gz")));
        for (number, line) in recorded.into_iter().enumerate() {
            seeds.push((format!("{file}-{number:04}"), bytes(&line["wire"])));
        }
    }
    seeds
}

/// The traces of the field failures, and of every version of the format.
fn traces(fixtures: &Path) -> Vec<Seed> {
    let mut paths: Vec<PathBuf> = folder(&fixtures.join("field"))
        .into_iter()
        .map(|path| path.join("trace.pcapng"))
        .chain(folder(&fixtures.join("trace")))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).expect("it was listed");
    let seeds = paths.iter().enumerate();
    seeds
        .map(|(number, path)| (format!("trace-{number:02}"), read(path)))
        .collect()
}

fn folder(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// How many scripts with a tail of their own there are for a target that takes scripts.
const TAILS: u64 = 24;

/// Bytes that look like chance, the same ones every time.
fn tail(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The same beginning with many tails.
fn with_tails(name: &str, beginning: &[u8]) -> Vec<Seed> {
    (0..TAILS)
        .map(|number| {
            let bytes = [beginning, &tail(number + 1, 40 * number as usize)].concat();
            (format!("{name}-{number:02}"), bytes)
        })
        .collect()
}

/// A peer that greets, welcomes, and sends (`fuzz/src/frame.rs` reads this).
fn frames() -> Vec<Seed> {
    const CUTS: [u8; 5] = [0, 3, 50, 0, 200];
    const GREETING: [u8; 10] = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const WELCOME: [u8; 7] = [5, 0, 1, 0, 0, 0, 0];
    const MESSAGES: [u8; 9] = [5, 20, 4, 0, 6, 200, 4, 0, 0];
    const KEEPALIVE: [u8; 6] = [5, 0, 2, 0x80, 0, 0];
    const GOODBYE: [u8; 6] = [5, 0, 3, 1, 0, 0];
    let up = [&CUTS[..], &GREETING, &WELCOME, &MESSAGES].concat();
    let mut seeds = with_tails("up", &up);
    seeds.extend(with_tails("greeted", &[&CUTS[..], &GREETING].concat()));
    let whole = [&up[..], &KEEPALIVE, &MESSAGES, &GOODBYE].concat();
    seeds.push(("whole".into(), whole));
    seeds
}

/// The same on the demo link.
fn demo_frames() -> Vec<Seed> {
    const CUTS: [u8; 5] = [0, 3, 50, 0, 200];
    const GREETING: [u8; 5] = [5, 0, 0, 0, 0];
    const MESSAGES: [u8; 7] = [5, 20, 0, 6, 200, 0, 0];
    let up = [&CUTS[..], &GREETING, &MESSAGES].concat();
    with_tails("up", &up)
}

/// Two relays between which a link stands, and then anything (`fuzz/src/relay.rs` reads this).
fn relays() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, settings) in [
        ("default", [2, 2, 3]),
        ("alone", [2, 1, 0]),
        ("demo", [0, 0, 3]),
        ("once", [1, 2, 1]),
    ] {
        let beginning = [&settings[..], &[24; 5]].concat();
        seeds.extend(with_tails(name, &beginning));
    }
    seeds
}

/// What was posted in the recordings of kernels, to a node that is set up and to a bare one, on
/// both profiles, and then anything (`fuzz/src/kernel_posts.rs` reads this).
fn posts(fixtures: &Path) -> Vec<Seed> {
    const SETTINGS: [u8; 4] = [0x00, 0x01, 0x40, 0xc1];
    const POST: u8 = 28;
    const CLOSE: u8 = 45;
    const OPEN: u8 = 46;
    const PASS: u8 = 35;
    let mut seeds = Vec::new();
    for file in ["kernel", "stmf"] {
        let recorded = lines(&fixtures.join(format!("golden/{file}.jsonl.gz")));
        for (number, run) in recorded.iter().enumerate() {
            let mut bytes = vec![SETTINGS[number % SETTINGS.len()], 0];
            for step in run["steps"].as_array().expect("steps") {
                let step = &step["in"];
                match step["op"].as_str().expect("an operation") {
                    "post" => {
                        let wire = posted(step);
                        bytes.push(POST);
                        bytes.extend((wire.len() as u16).to_le_bytes());
                        bytes.extend(wire);
                    }
                    "close" => bytes.push(CLOSE),
                    "open" => bytes.push(OPEN),
                    "advance" => bytes.extend([PASS, 0xf8]),
                    _ => {}
                }
            }
            if bytes.len() <= SEED_MOST {
                seeds.push((format!("{file}-{number:03}"), bytes));
            }
        }
    }
    for settings in SETTINGS {
        let name = format!("anything-{settings:02x}");
        // Registrations and commands of the peer, one after the other.
        seeds.extend(with_tails(&name, &[settings, 7, 51, 0, 52, 1]));
    }
    seeds
}

/// Longer ones are left out. The fuzzer does less of a long one than the test run: it cuts what is
/// over the length that `scripts/fuzz.sh` sets.
const SEED_MOST: usize = 16 << 10;

/// The bytes of a post.
fn posted(step: &Value) -> Vec<u8> {
    if !step["wire"].is_null() {
        return bytes(&step["wire"]);
    }
    let message: Message = serde_json::from_value(step["msg"].clone()).expect("a message");
    message.encode(Dialect::Current).expect("it was sent")
}
