//! The tool against a library that misbehaves on request: each fault must stop it with the right words and exit code.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Builds tests/fake_library.c once for all tests of this file.
fn fake_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfake_cache.so");
        let compiler = env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
        let built = Command::new(compiler)
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"])
            .arg(package.join("../../include"))
            .arg("-o")
            .arg(&library)
            .arg(package.join("tests/fake_library.c"))
            .output()
            .expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        library
    })
}

/// Eight requests for three objects.
fn trace() -> &'static Path {
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.u32");
        let ids = [0_u32, 0, 1, 1, 2, 2, 0, 0];
        fs::write(&path, ids.map(u32::to_le_bytes).concat()).expect("a trace file");
        path
    })
}

fn replay_with(fault: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg(trace())
        .args(["--capacity", "2", "--repeat", "1", "--library"])
        .arg(fake_library())
        .args(arguments)
        .env("FAKE_FAULT", fault)
        .output()
        .expect("the tool runs")
}

#[track_caller]
fn assert_stops(fault: &str, exit_code: i32, words: &[&str]) {
    let output = replay_with(fault, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "{said}");
    assert!(said.starts_with("replay: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

#[test]
fn without_a_fault_the_numbers_of_the_library_are_shown() {
    let output = replay_with("none", &[]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // 4 hits of 8; the last entry, object 0 with a key of 32 and a value of 128 bytes, is what is live.
    for cell in ["0.0.fake", "50.00 %", "765,432", "4.2 KiB", "4161.0 B"] {
        assert!(shown.contains(cell), "{cell} is missing in:\n{shown}");
    }
}

#[test]
fn a_wrong_value_stops_the_replay() {
    assert_stops("flipped-byte", 1, &["request 1: wrong value", "the first wrong one is byte 127"]);
    assert_stops("short-value", 1, &["request 1: wrong value", "127 bytes"]);
    assert_stops("long-value", 1, &["request 1: wrong value", "129 bytes"]);
    assert_stops("another-key", 1, &["request 2: wrong value", "object 1"]);
}

#[test]
fn a_failing_call_stops_the_replay_with_the_words_of_the_library() {
    assert_stops("put", 1, &["request 0", "catzilla_cache_put", "FAKE_FAILURE (-300)", "the fake is full"]);
    assert_stops("read", 1, &["request 0", "catzilla_cache_read", "FAKE_FAILURE (-900)", "the fake cannot read"]);
}

#[test]
fn counters_that_do_not_add_up_stop_the_replay() {
    assert_stops("miscounted", 1, &["4 hits and 4 misses were seen", "counted 5 and 4"]);
    assert_stops("overfull", 1, &["1000000 entries in a cache of 2"]);
}

#[test]
fn a_library_of_another_abi_or_with_too_few_statistics_is_refused() {
    assert_stops("abi", 2, &["has ABI 99"]);
    assert_stops("short-statistics", 2, &["filled"]);
}

#[test]
fn values_the_library_finds_too_large_are_told_and_no_failure() {
    let output = replay_with("too-large", &[]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("at 2: 8 puts were refused"), "{shown}");
}

#[test]
fn a_failure_in_one_of_several_threads_stops_all() {
    let output = replay_with("put", &["--threads", "4"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("the fake is full").count(), 1, "told once: {said}");
}

#[test]
fn over_a_restart_the_figures_of_both_tiers_are_shown() {
    let output = replay_with("none", &["--restart"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // 4 hits of 8, of which memory says that one is its own.
    for cell in ["50.00 %", "12.50 %", "37.50 %", "321 ns", "987 ns", "1,234 ns", "5,678 ns", "654,321 7.0 MiB"] {
        assert_eq!(shown.matches(cell).count(), 2, "{cell} in:\n{shown}");
    }
    assert!(shown.contains("first") && shown.contains("restarted"), "{shown}");
}

#[test]
fn a_disk_that_forgets_drops_or_is_not_there_stops_a_restart() {
    for (fault, word) in [
        ("forgetful-disk", "nothing was found on disk"),
        ("dropping-disk", "spared 17 writes"),
        ("no-disk", "has no disk tier"),
        ("flipped-byte", "wrong value"),
    ] {
        let output = replay_with(fault, &["--restart"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{fault}: {said}");
        assert!(said.contains(word), "{fault}: {said}");
    }
}

#[test]
fn a_refused_option_is_told_in_the_words_of_the_library() {
    let output = replay_with("none", &["--option", "fake.three=3"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--option fake.three=3: the fake has no such option"), "{said}");
}

#[test]
fn the_table_of_options_is_printed_as_the_library_has_it() {
    let output = replay_with("none", &["--list-options"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "fake.one = 1\n    number: 1 to 2\n    The first.\n\
         fake.two = on\n    switch: on, off, can change while the cache runs\n    The other.\n"
    );
}

#[test]
fn a_library_that_is_missing_or_another_one_is_refused_by_path() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for (library, word) in [(Path::new("/nowhere/lib.so"), "No such file"), (&text, "cannot be loaded")] {
        let output = Command::new(env!("CARGO_BIN_EXE_replay"))
            .arg(trace())
            .env("CATZILLA_CACHE_LIBRARY", library)
            .output()
            .expect("the tool runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word) && said.contains(library.to_str().expect("ASCII")), "{said}");
    }
}
