#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Mutation tests of a part: mutants.sh [codec|relay|pppt|all] [options of cargo-mutants].
# docs/mutation.md tells what the parts are and judges the mutants that survived. What was caught
# in an earlier run is not run again, so a run that was broken off goes on where it was; removing
# target/mutants/PART begins anew. Of many mutants a part: --shard 0/8 --sharding round-robin.
set -euo pipefail
cd "$(dirname "$0")/.."

part=${1:-all}
shift $(($# < 1 ? $# : 1))

if ! cargo mutants --version >/dev/null 2>&1; then
    printf 'cargo-mutants is not there: cargo install cargo-mutants --locked\n' >&2
    exit 2
fi

# A snapshot that differs is a failure, not a file to be written.
export INSTA_UPDATE=no
# What a mutant breaks is no example to be kept, nor worth being made small.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=4
# A mutant that few cases do not catch is no survivor yet: run it again with all of them.
export PROPTEST_CASES=${PROPTEST_CASES:-64}

options=("$@")
# Files of the part, then what `cargo test` is told: the tests that judge it.
run() {
    local part=$1 package=$2
    shift 2
    local files=()
    while [[ $1 != -- ]]; do
        files+=(--file "$1")
        shift
    done
    printf '== %s\n' "$part"
    mkdir -p "target/mutants/$part"
    # 2: some were missed, 3: some ran into the timeout. Both are for people to judge, and the
    # other parts are run all the same.
    cargo mutants --iterate --output "target/mutants/$part" --package "$package" "${files[@]}" \
        ${options[@]+"${options[@]}"} "$@" || { (($? == 2 || $? == 3)) && missed=1; }
}

missed=0
codec() {
    run codec stmf-proxy 'src/nvlist/**' 'src/message/**' -- \
        --lib --test golden_messages --test decode_allocations -- \
        --skip link:: --skip platform:: --skip proxy_door:: --skip relay:: --skip trace::
}
relay() {
    run relay stmf-proxy 'src/relay/**' -- --lib -- relay::
}
pppt() {
    run pppt stmf-sim 'sim/src/kernel/pppt/**' -- --lib --test golden_kernel -- \
        kernel::pppt every_recorded_run_is_reproduced
}

case $part in
codec | relay | pppt) "$part" ;;
all)
    codec
    relay
    pppt
    ;;
*)
    printf 'no part "%s"; there are: codec relay pppt all\n' "$part" >&2
    exit 2
    ;;
esac

if ((missed)); then
    printf 'survivors are listed in target/mutants/PART/mutants.out/missed.txt\n' >&2
    exit 3
fi
