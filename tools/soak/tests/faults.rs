//! The soak against a library that misbehaves on request: each fault has to stop it, with words that name it, the seed and
//! the operation. And against the library as it is, which it has to leave alone.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};

/// The library that is tested; `None` without `CATZILLA_CACHE_LIBRARY`, when nothing can be tested.
fn library() -> Option<PathBuf> {
    let Some(path) = env::var_os("CATZILLA_CACHE_LIBRARY") else {
        assert!(env::var_os("CI").is_none(), "CATZILLA_CACHE_LIBRARY does not name the library to test");
        eprintln!("skipped: CATZILLA_CACHE_LIBRARY does not name the library to test");
        return None;
    };
    Some(PathBuf::from(path).canonicalize().expect("CATZILLA_CACHE_LIBRARY names a file"))
}

/// Builds tests/faulty_library.c once for all tests of this file.
fn faulty_library(real: &Path) -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfaulty_cache.so");
        let compiler = env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
        let mut search = OsString::from("-Wl,-rpath,");
        search.push(real.parent().expect("a file is in a folder"));
        let built = Command::new(compiler)
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-I"])
            .arg(package.join("../../include"))
            .arg(package.join("tests/faulty_library.c"))
            .arg("-o")
            .arg(&library)
            .arg("-Wl,--no-as-needed")
            .arg(real)
            .arg(search)
            .arg("-ldl")
            .output()
            .expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        library
    })
}

/// One at a time: each has threads enough for the machine.
fn soak(library: &Path, real: &Path, fault: &str, arguments: &[&str]) -> Output {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(["--seed", "7", "--library"])
        .arg(library)
        .args(arguments)
        .env("SOAK_FAULT", fault)
        .env("SOAK_REAL_LIBRARY", real)
        .output()
        .expect("the tool runs")
}

#[test]
fn every_fault_is_noticed_and_named() {
    let Some(real) = library() else { return };
    // Many seconds, so that a slow machine has the time to meet the fault; it ends the run.
    let long = &["--seconds", "300", "--round", "3", "--patience", "20"][..];
    // Which operation meets a fault first, and as what, is up to the threads; a forked child may be first as well.
    for (fault, words, operation) in [
        ("torn", &["torn value", "of another key", "never stored", "say they are"][..], "read"),
        (
            "another-key",
            &[
                "of another key",
                "never stored",
                "was removed",
                "to live",
                "had taken its place",
                "but put was",
                "said to be needed",
                "whose time had been over",
                "soak: FAILED: status",
            ],
            "read",
        ),
        ("misses", &["a miss, though nobody removed the key", "misses, "], "read"),
        (
            "forgets-puts",
            &[
                "but put was",
                "to live",
                "had taken its place",
                "whose time had been over",
                "said to be needed",
                "something else than it has put",
                "puts, ",
            ],
            "cache",
        ),
        ("keeps-removed", &["after it was removed", "to live", "finds what it has removed"], "cache"),
        ("keeps-purged", &["had taken its place", "after a purge of all"], "cache"),
        ("late", &["whose time had been over"], "cache"),
        ("early", &["a miss, though nobody removed the key"], "cache"),
        ("counts-twice", &["puts, "], "the books"),
        ("never-released", &["lent to nobody", "MiB are resident"], "round"),
        (
            "result-changes",
            &[
                "a classic result changed",
                "torn value",
                "of another key",
                "never stored",
                "say they are",
                "but put was",
            ],
            "cache",
        ),
        ("grows", &["MiB are resident"], "round"),
        ("crashes", &["a crash in round"], "cache"),
        ("child", &["a forked child"], "in a forked child"),
        ("unconditional", &["stored though", "a miss, though", "is there though it was removed"], "put_with"),
        ("drops-tags", &["a miss, though", "after its tag was purged"], "purge of a tag"),
        ("untouched", &["whose time had been over", "to live"], "cache"),
        ("miscounts", &["but the counter is"], "the books"),
        ("skips-keys", &["a miss, though"], "iteration"),
    ] {
        let output = soak(faulty_library(&real), &real, fault, long);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{fault}: it went through");
        assert!(words.iter().any(|words| said.contains(words)), "{fault}: {said}");
        assert!(said.contains(operation) && said.contains("--seed 7"), "{fault}: {said}");
    }
}

#[test]
fn what_never_comes_is_waited_for_and_then_named() {
    let Some(real) = library() else { return };
    for (fault, words) in [("hangs", "hangs"), ("leaves-a-thread", "threads are left")] {
        let output = soak(faulty_library(&real), &real, fault, &["--seconds", "1", "--round", "1", "--patience", "5"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{fault}: {said}");
        assert!(said.contains(words) && said.contains("--seed 7"), "{fault}: {said}");
    }
}

/// The control of all above: the same shared object without a fault, and the library alone.
#[test]
fn a_library_without_a_fault_is_left_alone() {
    let Some(real) = library() else { return };
    for library in [faulty_library(&real), &*real] {
        let output = soak(library, &real, "none", &["--seconds", "3", "--round", "1"]);
        let said = String::from_utf8_lossy(&output.stderr);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(shown.contains("--seed 7") && shown.contains("all is well"), "{shown}");
        for named in [
            "put",
            "acquire",
            "classic get",
            "purge of all",
            "set_option",
            "put_with",
            "get_or_load",
            "increment",
            "iteration",
            "fork",
            "threads came and went",
        ] {
            assert!(shown.lines().any(|line| line.ends_with(named)), "no {named} in {shown}");
        }
    }
}
