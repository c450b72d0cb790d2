//! The tool against the real library, over a trace of the repository. The library is named by CATZILLA_CACHE_LIBRARY;
//! without it these tests say so and pass, except under CI.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn library() -> Option<OsString> {
    let library = env::var_os("CATZILLA_CACHE_LIBRARY").filter(|path| !path.is_empty());
    if library.is_none() {
        assert!(env::var_os("CI").is_none(), "CATZILLA_CACHE_LIBRARY must name the built library");
        eprintln!("skipped: CATZILLA_CACHE_LIBRARY does not name the built library");
    }
    library
}

fn trace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/traces/cache2k_web12.key.u32.zst")
}

fn replay(library: &OsString, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg("--library")
        .arg(library)
        .args(arguments)
        .output()
        .expect("the tool runs")
}

/// Replays the trace of the repository and returns what was printed.
fn replayed(library: &OsString, arguments: &[&str]) -> String {
    let trace = trace();
    let mut all = vec![trace.to_str().expect("UTF-8")];
    all.extend(arguments);
    let output = replay(library, &all);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    assert!(said.is_empty(), "without a terminal nothing is drawn: {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The hit ratios in percent, one for each line of the table.
fn hit_ratios(shown: &str) -> Vec<f64> {
    shown
        .lines()
        .skip_while(|line| !line.contains("hit ratio"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let end = line.rfind(" %").expect("a hit ratio is the last share in its line");
            line[..end].rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
        })
        .collect()
}

/// What exact LRU gets at these capacities, by a list and nothing else.
fn lru_hit_ratio(ids: &[u32], capacity: usize) -> f64 {
    let mut by_age = BTreeMap::new();
    let mut last_use = HashMap::new();
    let mut hits = 0;
    for (now, id) in ids.iter().enumerate() {
        if let Some(before) = last_use.insert(id, now) {
            by_age.remove(&before);
            hits += 1;
        } else if by_age.len() == capacity {
            let (_, oldest) = by_age.pop_first().expect("a full cache has an oldest entry");
            last_use.remove(oldest);
        }
        by_age.insert(now, id);
    }
    hits as f64 * 100.0 / ids.len() as f64
}

#[test]
fn the_heading_names_the_trace_and_each_capacity_has_a_line() {
    let Some(library) = library() else { return };
    let shown = replayed(&library, &["--repeat", "1"]);
    assert!(shown.starts_with("cache2k_web12: 95,607 requests for 13,756 unique objects\n"), "{shown}");
    for capacity in ["1 % = 138 ", "10 % = 1,376 ", "25 % = 3,439 "] {
        assert!(shown.contains(capacity), "{capacity} is missing in:\n{shown}");
    }
    assert_eq!(hit_ratios(&shown).len(), 3);
}

#[test]
fn with_one_shard_lru_gets_what_exact_lru_gets() {
    let Some(library) = library() else { return };
    let plain = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lru.u32");
    // A skewed pattern with a scan in it: small ids often, each id of the scan once in a while.
    let ids: Vec<u32> =
        (0..20_000_u32).map(|n| if n % 3 == 0 { n / 3 % 700 } else { n.wrapping_mul(n) % 311 % 97 }).collect();
    fs::write(&plain, ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>()).expect("a trace file");
    for capacity in [1, 50, 300] {
        let output = replay(
            &library,
            &[
                plain.to_str().expect("UTF-8"),
                "--capacity",
                &capacity.to_string(),
                "--repeat",
                "1",
                "--option",
                "memory.policy=lru",
                "--option",
                "memory.shards=1",
            ],
        );
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = lru_hit_ratio(&ids, capacity);
        let measured = hit_ratios(&shown);
        // Half of the last digit that is printed, and the few hits by which the order may be approximate.
        assert!((measured[0] - expected).abs() < 0.1, "{capacity} entries: {measured:?}, exact LRU {expected}");
    }
}

#[test]
fn unlimited_misses_each_object_once_and_evicts_nothing() {
    let Some(library) = library() else { return };
    let shown = replayed(&library, &["--capacity", "unlimited", "--repeat", "1"]);
    // 1 - 13,756 / 95,607
    assert_eq!(hit_ratios(&shown), [85.61]);
    let row = shown.lines().find(|line| line.contains("unlimited")).expect("a line");
    assert!(row.ends_with(" 0"), "{row}");
}

#[test]
fn threads_lengths_and_the_capacity_among_the_options_are_served() {
    let Some(library) = library() else { return };
    let shown = replayed(
        &library,
        &[
            "--threads",
            "4",
            "--repeat",
            "2",
            "--key-length",
            "100",
            "--value-size",
            "3000",
            "--option",
            "memory.capacity=500",
        ],
    );
    for words in ["4 threads", "keys of 100 bytes", "values of 3,000 bytes", "options: memory.capacity=500", "as given"]
    {
        assert!(shown.contains(words), "{words} is missing in:\n{shown}");
    }
}

#[test]
fn a_size_file_decides_the_sizes_of_the_values() {
    let Some(library) = library() else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let write = |name: &str, numbers: &[u32]| {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        fs::write(folder.join(name), bytes).expect("a trace file");
    };
    write("sized.key.u32", &[0, 1, 2, 0, 1, 2, 0]);
    write("sized.size.u32", &[0, 10, 5_000, 7, 10, 5_000, 0]);
    let path = folder.join("sized.key.u32");
    let output = replay(&library, &[path.to_str().expect("UTF-8"), "--capacity", "100%", "--repeat", "1"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("values of 0 to 5,000 bytes"), "{shown}");
    assert_eq!(hit_ratios(&shown), [57.14]);
}

#[test]
fn what_the_library_refuses_ends_with_its_message_and_exit_code_2() {
    let Some(library) = library() else { return };
    let trace = trace();
    let trace = trace.to_str().expect("UTF-8");
    for option in ["memory.nonsense=1", "memory.policy=nonsense", "memory.ttl=soon", "memory.capacity=0"] {
        let output = replay(&library, &[trace, "--option", option]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option}: {said}");
        assert!(output.stdout.is_empty(), "nothing is printed before the options are known to be good");
        let name = option.split('=').next().expect("a name");
        assert!(said.matches(name).count() >= 2, "the message of the library names the option: {said}");
    }
}

#[test]
fn every_option_that_is_listed_can_be_set_to_its_default() {
    let Some(library) = library() else { return };
    let listed = replay(&library, &["--list-options"]);
    assert_eq!(listed.status.code(), Some(0));
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let rows: Vec<&str> = listed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(rows.contains(&"memory.capacity = 10000"), "{listed}");
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("defaults.u32");
    fs::write(&trace, [0, 1, 0, 2].map(u32::to_le_bytes).concat()).expect("a trace file");
    for row in rows {
        let assignment = row.replacen(" = ", "=", 1);
        let output = replay(
            &library,
            &[trace.to_str().expect("UTF-8"), "--repeat", "1", "--option", &assignment, "--value-size", "16"],
        );
        assert_eq!(output.status.code(), Some(0), "{assignment}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn over_a_restart_the_second_run_finds_everything_on_disk_or_in_memory() {
    let Some(library) = library() else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("restart");
    fs::create_dir_all(&folder).expect("a folder");
    let trace = trace();
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg("--library")
        .arg(&library)
        .arg(trace)
        .args(["--restart", "--capacity", "1%,5000", "--value-size", "1000"])
        .env("TMPDIR", &folder)
        .output()
        .expect("the tool runs");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // hit ratio, by memory, by disk
    let shares = |run: &str| -> Vec<[f64; 3]> {
        let rows = shown.lines().filter(|line| line.split_whitespace().any(|word| word == run) && line.contains(" %"));
        rows.map(|row| {
            let (_, cells) = row.split_once(run).expect("the run");
            let mut cells = cells.split(" %").map(|cell| cell.trim().parse().unwrap_or(f64::NAN));
            std::array::from_fn(|_| cells.next().expect("three shares"))
        })
        .collect()
    };
    let (first, restarted) = (shares("first"), shares("restarted"));
    assert_eq!((first.len(), restarted.len()), (2, 2), "{shown}");
    for (first, restarted) in first.iter().zip(&restarted) {
        // 1 - 13,756 / 95,607: with the disk each object is missed once.
        assert_eq!((first[0], restarted[0]), (85.61, 100.0), "{shown}");
        assert!((first[1] + first[2] - first[0]).abs() < 0.02, "{shown}");
        assert!(first[2] > 0.0 && restarted[2] > first[2], "{shown}");
    }
    assert!(first[0][1] < first[1][1], "more memory answers more:\n{shown}");
    let left: Vec<_> = fs::read_dir(&folder).expect("a folder").collect();
    assert!(left.is_empty(), "the temporary folder is removed: {left:?}");
}

#[test]
fn a_trace_that_cannot_be_read_ends_with_exit_code_2() {
    let Some(library) = library() else { return };
    let output = replay(&library, &["no/such.key.u32.zst"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no/such.key.u32.zst"), "{said}");
}

#[test]
fn help_and_wrong_arguments_need_no_library() {
    let run = |argument: &str| {
        Command::new(env!("CARGO_BIN_EXE_replay"))
            .arg(argument)
            .env("CATZILLA_CACHE_LIBRARY", "/nowhere/lib.so")
            .output()
            .expect("the tool runs")
    };
    let help = run("--help");
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("--capacity LIST"));
    let wrong = run("--nonsense");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--nonsense"));
}
