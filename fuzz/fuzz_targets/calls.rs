//! Feeds what the fuzzer finds to the interpreter of the model test: each input is a sequence of calls of the C
//! interface on a cache of a few entries, and every answer is compared with a model's. A wrong answer panics; memory
//! that is read after it was freed, or leaks, is what the address sanitizer reports.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/interpreter/mod.rs"]
mod interpreter;

fuzz_target!(|bytes: &[u8]| interpreter::run(bytes));
