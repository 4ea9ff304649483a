// SPDX-License-Identifier: MPL-2.0
//! Fuzzes `message` (docs/fuzzing.md).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stmf_proxy_fuzz::message::check(bytes));
