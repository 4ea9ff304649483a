// SPDX-License-Identifier: MPL-2.0
//! Fuzzes `frame` (docs/fuzzing.md).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stmf_proxy_fuzz::frame::check(bytes));
