#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
#
# Compiles stmf-proxy and its tests for illumos (x86_64) and runs clippy for that target, from
# another system. Nothing is linked or run. Extra arguments go to cargo.
#
# Where the compiler comes from, the first that is there:
#   - rustup with the target:   rustup target add x86_64-unknown-illumos
#   - Debian's rustc-web, cargo-web, rust-web-src and rust-web-clippy, whose standard library is
#     built from source; as root on Debian they are installed if they are missing.
set -eu

cd "$(dirname "$0")/.."
target=x86_64-unknown-illumos
target_dir=${CARGO_TARGET_DIR:-target}/illumos
packages="rustc-web cargo-web rust-web-src rust-web-clippy"

has_rustup_target() {
    command -v rustup >/dev/null 2>&1 &&
        rustup target list --installed 2>/dev/null | grep -qx "$target"
}

has_debian_compiler() {
    command -v dpkg-query >/dev/null 2>&1 || return 1
    for package in $packages; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || return 1
    done
}

# Clippy checks all that `cargo check` does, and lints besides.
if has_rustup_target; then
    clippy() { cargo clippy "$@"; }
else
    if ! has_debian_compiler; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
            echo "check-illumos: no compiler for $target here." >&2
            echo "Run 'rustup target add $target', or on Debian 'apt-get install $packages'." >&2
            exit 2
        fi
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages
    fi
    # The compiler is no nightly, but building the standard library needs it to behave like one.
    # /usr/bin comes first because cargo looks for clippy along PATH.
    clippy() {
        PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
            /usr/bin/cargo clippy -Zbuild-std=std,panic_abort,test "$@"
    }
fi

echo "check-illumos: stmf-proxy, library and tests, for $target"
clippy --target "$target" --target-dir "$target_dir" --locked -p stmf-proxy --lib --tests \
    "$@" -- -D warnings
