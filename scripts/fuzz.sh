#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Fuzzes a target of fuzz/ for some seconds: fuzz.sh TARGET SECONDS [options of libFuzzer].
# docs/fuzzing.md tells what the targets check. The seeds are written first if they are not there;
# what was found to be new is kept in fuzz/corpus, what breaks a promise in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

targets='nvlist message trace frame demo_link relay kernel_posts'
target=${1:-}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
if [[ " $targets " != *" $target "* || -z $target ]]; then
    printf 'no target "%s"; there are: %s\n' "$target" "$targets" >&2
    exit 2
fi

if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    printf 'fuzzing needs the nightly toolchain, for the sanitizer: rustup toolchain install nightly\n' >&2
    exit 2
fi
if ! command -v cargo-fuzz >/dev/null 2>&1; then
    printf 'cargo-fuzz is not there; installing it from crates.io\n' >&2
    cargo install cargo-fuzz --locked
fi

# As long as the inputs that the bounds of the target can take in, so that none is passed by.
options=()
case $target in
nvlist) options=(-max_len=4096 -dict=fuzz/message.dict) ;;
message) options=(-max_len=8192 -dict=fuzz/message.dict) ;;
trace) options=(-max_len=8192) ;;
frame | demo_link) options=(-max_len=4096) ;;
relay) options=(-max_len=4096) ;;
# A case costs as its length: of the longest recordings only the beginning is taken.
kernel_posts) options=(-max_len=4096 -dict=fuzz/message.dict) ;;
esac

if [[ ! -d fuzz/seeds/$target ]]; then
    printf 'writing what fuzzing begins with into fuzz/seeds/%s; the simulator is built for it\n' "$target" >&2
    WRITE_SEEDS="$PWD/fuzz/seeds" cargo test --quiet -p stmf-sim --test fuzz_seeds -- "$target"
fi
mkdir -p "fuzz/corpus/$target"
# A case takes milliseconds; the time in which it must end is so long for machines that are busy.
exec cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
    -print_funcs=0 -print_final_stats=1 "${options[@]}" "$@"
