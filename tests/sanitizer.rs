//! Proof that a run under a sanitizer is one: `CATZILLA_SANITIZER` names it, its runtime has to be in this program, and a
//! mistake made on purpose has to be caught. Without the variable there is nothing to prove; `make sanitize` sets it.
#![allow(unsafe_code)]
#![cfg(not(miri))]

use std::process::Command;

fn sanitizer() -> Option<String> {
    std::env::var("CATZILLA_SANITIZER").ok()
}

#[test]
fn the_sanitizer_that_was_asked_for_is_in_this_program() {
    let Some(sanitizer) = sanitizer() else { return };
    let short = match sanitizer.as_str() {
        "address" => "asan",
        "thread" => "tsan",
        other => panic!("CATZILLA_SANITIZER is {other}; it can be address or thread"),
    };
    // Put together here, so that this program does not hold the name just because it looks for it.
    let symbol = ["__", short, "_init"].concat();
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let found = program.windows(symbol.len()).any(|bytes| bytes == symbol.as_bytes());
    assert!(found, "the {sanitizer} sanitizer is not in this program");
}

#[test]
fn a_mistake_made_on_purpose_is_caught() {
    let Some(sanitizer) = sanitizer() else { return };
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_mistake", "--ignored", "--nocapture"])
        .env("CATZILLA_SANITIZER", &sanitizer)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success(), "the mistake went through");
    let expected = match sanitizer.as_str() {
        "address" => "heap-use-after-free",
        _ => "data race",
    };
    assert!(report.contains(expected), "{report}");
}

/// What the sanitizers have to see. Only ever run by the test above, in a process of its own.
#[test]
#[ignore = "a mistake made on purpose"]
fn the_mistake() {
    match sanitizer().as_deref() {
        Some("address") => {
            let block = Box::into_raw(Box::new(7_u64));
            // SAFETY: none: the block is read after it was freed, which is the point.
            unsafe {
                drop(Box::from_raw(block));
                assert_eq!(std::hint::black_box(block).read_volatile(), 7);
            }
        }
        Some("thread") => {
            static mut SHARED: u64 = 0;
            // Both write once, side by side: a race with what a thread did long before may go unreported.
            let start = std::sync::Barrier::new(2);
            let write = || {
                start.wait();
                // SAFETY: none: two threads write without a lock, which is the point. Volatile, or a write that nobody reads is left out.
                unsafe { (&raw mut SHARED).write_volatile(1) };
            };
            std::thread::scope(|scope| {
                scope.spawn(write);
                write();
            });
        }
        _ => {}
    }
}
