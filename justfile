# SPDX-License-Identifier: MPL-2.0

# Arguments reach commands as they were given, quotes and brackets included.
set positional-arguments

# List what can be done
default:
    @just --list

# Build everything
build:
    cargo build --workspace --all-targets

# Two nodes whose kernels talk through the door (arguments go to the demonstration)
demo *args:
    cargo run --release -p stmf-sim -- demo "$@"

# All tests
test *args:
    cargo test --workspace "$@"

# Formatting, lints and documentation, as they must be before a change lands
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --no-default-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Speed of the codec, beside figures of the kernel's own code
bench:
    cargo bench -p stmf-proxy --bench codec

# Speed of worlds: commands, messages, worlds and simulated time per second
bench-sim:
    cargo bench -p stmf-sim --bench world

# Properties with many more cases than in the default test run
test-long cases="20000":
    PROPTEST_CASES={{ cases }} cargo test --release --workspace

# Compile and lint the library and its tests for illumos, from another system
check-illumos *args:
    scripts/check-illumos.sh "$@"

# Record and shrink the traces of the field failures anew, and write the pages about them
field-fixtures:
    UPDATE_FIXTURES=1 cargo test -p stmf-sim --test field_failures

# Every order of the small scenarios, with no bound that is reached
exhaustive *args:
    cargo run --release -p stmf-sim -- explore --exhaustive --depth 1000 "$@"

# Look for every failure of the field by exploration, and print how many seeds each takes
canaries:
    cargo test --release -p stmf-sim --test canaries -- --ignored --nocapture

# Fuzz a target for some seconds: nvlist, message, trace, frame, demo_link, relay, kernel_posts
fuzz target seconds="60" *options:
    scripts/fuzz.sh "$@"

# Write what fuzzing begins with into fuzz/seeds, and check it
fuzz-seeds:
    WRITE_SEEDS="$PWD/fuzz/seeds" cargo test -p stmf-sim --test fuzz_seeds

# Mutation tests of a part: codec, relay, pppt, all (cargo install cargo-mutants --locked)
mutants part="all" *options:
    scripts/mutants.sh "$@"

# Everything that must hold before a change lands
ci:
    .ci/run
