//! What the figures were measured on, printed above them, and what the system says about this process.

use crate::engines;
use std::fs::read_to_string;

pub fn heading(question: &str) {
    let cpu = read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split(": ").nth(1)?.to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{question}");
    println!(
        "machine: {}, {cores} cores, transparent huge pages {}, load {}",
        cpu.as_deref().unwrap_or("unknown processor"),
        huge_pages().as_deref().unwrap_or("unknown"),
        load().as_deref().unwrap_or("unknown"),
    );
    match engines::load_library() {
        Ok(library) => {
            let version = engines::text(&library, b"catzilla_version\0");
            let policy = engines::policy(&library);
            println!(
                "catzilla: {} (policy, unless an option names another: {})",
                version.unwrap_or_else(|error| error),
                policy.as_deref().unwrap_or("unknown")
            );
        }
        Err(error) => println!("catzilla: {error}"),
    }
    println!("peers' allocator: {}", if cfg!(feature = "jemalloc") { "jemalloc" } else { "the system's" });
}

/// The setting in force is the one in brackets.
fn huge_pages() -> Option<String> {
    let text = read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    Some(text.split('[').nth(1)?.split(']').next()?.to_owned())
}

/// Above the number of busy threads of a run, somebody else was working here too.
fn load() -> Option<String> {
    Some(read_to_string("/proc/loadavg").ok()?.split(' ').next()?.to_owned())
}

/// Anonymous memory in use: not the program and libraries that loading an engine maps in.
pub fn resident_bytes() -> i64 {
    let text = read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<i64>().ok());
    kilobytes.expect("/proc/self/smaps_rollup names anonymous memory") * 1024
}

/// What the scheduler has kept this thread waiting so far, in nanoseconds; 0 where it does not say.
pub fn waiting_time() -> u64 {
    let text = read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = text.split(' ').nth(1).and_then(|ns| ns.parse().ok());
    waited.unwrap_or(0)
}
