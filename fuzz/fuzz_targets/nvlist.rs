// SPDX-License-Identifier: MPL-2.0
//! Fuzzes `nvlist` (docs/fuzzing.md).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stmf_proxy_fuzz::nvlist::check(bytes));
