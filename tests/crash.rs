//! Processes that die in the middle of writing, that run out of disk, and that share a file: what the next one finds is whole and was
//! really written.
//!
//! The processes are this program again: each test that needs one runs an ignored test of this file in it.
#![allow(unsafe_code)]
#![cfg(all(feature = "disk", not(miri)))]

#[path = "support/folder.rs"]
mod folder;
#[path = "support/load.rs"]
mod load;
#[path = "support/pace.rs"]
mod pace;

use catzilla_cache::{Cache, Options, TierName, Ttl};
use folder::TemporaryFolder;
use load::{name, number_of, value, Load};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "CATZILLA_TEST_FOLDER";

/// How often a process is killed: `make soak` says more.
fn kills() -> u64 {
    number("CATZILLA_KILLS", 20)
}

fn seconds() -> u64 {
    number("CATZILLA_SOAK_SECONDS", 3)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn open(folder: &str, set: &[(&str, &str)]) -> Arc<Cache> {
    let mut options = Options::new();
    options.set("disk.path", &format!("{folder}/cache")).unwrap();
    for (name, text) in set {
        options.set(name, text).unwrap();
    }
    Cache::open(&options).unwrap()
}

/// An ignored test of this file, in a process of its own.
fn spawn(test: &str, folder: &TemporaryFolder, index: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("CATZILLA_TEST_INDEX", index.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn ends_well(mut child: Child, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(120 + seconds());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{what}: {status}");
            return;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SQLite's own opinion of the file; not that of the SQLite which wrote it, but of the one in Python.
fn is_sound(folder: &TemporaryFolder) -> bool {
    let file = fs::read_dir(folder.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "db"))
        .expect("a database");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let check = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA quick_check').fetchall())";
    let output = Command::new(python).args(["-c", check]).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    said.trim() == "[('ok',)]"
}

const KEYS: usize = 300;

/// Writes until it is killed; says in a file which numbers are on disk for sure.
#[test]
#[ignore = "run in a process of its own by the test below"]
fn writes_until_it_is_killed() {
    let folder = std::env::var(FOLDER).expect("a folder");
    let first = number("CATZILLA_TEST_INDEX", 0) * 1_000_000;
    let cache = open(&folder, &[("memory.capacity", "20"), ("disk.commit_interval", "5ms")]);
    let mut flushed = fs::OpenOptions::new().create(true).append(true).open(format!("{folder}/flushed")).unwrap();
    for round in 1..u64::MAX {
        for key in 0..KEYS {
            cache.put(&name(key), &value(key, first + round), Ttl::Default).unwrap();
        }
        if round.is_multiple_of(3) {
            cache.flush(Duration::from_secs(60)).unwrap();
            // One write: a line is there whole, or is cut at the end.
            flushed.write_all(format!("{}\n", first + round).as_bytes()).unwrap();
        }
    }
}

#[test]
fn what_was_flushed_before_a_process_was_killed_is_there_and_everything_is_whole() {
    let folder = TemporaryFolder::new("kill");
    let mut state = 88_172_645_463_325_252_u64;
    for index in 0..kills() {
        let mut child = spawn("writes_until_it_is_killed", &folder, index);
        let begun = Instant::now();
        // At first until there is something to lose, then for a random time.
        let flushed = || fs::read_to_string(folder.path().join("flushed")).unwrap_or_default();
        let lines = flushed().lines().count();
        while flushed().lines().count() == lines {
            assert!(begun.elapsed() < Duration::from_secs(60), "it writes nothing");
            assert!(child.try_wait().unwrap().is_none(), "it has ended by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::thread::sleep(Duration::from_micros(state % 50_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // The last whole line.
        let text = flushed();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let floor: u64 = whole.lines().last().map_or(0, |line| line.parse().unwrap());
        let cache = open(folder.path().to_str().unwrap(), &[]);
        for key in 0..KEYS {
            let found = cache.acquire(&name(key)).unwrap().expect("it was flushed");
            assert_eq!(found.tier(), TierName::Disk);
            let number = number_of(key, &found);
            assert!(number >= floor, "key {key} is of {number}, {floor} was flushed");
        }
        assert_eq!(cache.statistics().disk.set_aside, 0);
        drop(cache);
        assert!(is_sound(&folder), "after kill {index}");
    }
}

/// With a limit to the size of files that a process may write; above it a write fails as on a full disk.
#[test]
#[ignore = "run in a process of its own by the test below"]
fn runs_out_of_disk_and_gets_it_back() {
    let folder = std::env::var(FOLDER).expect("a folder");
    let limit = |bytes: u64| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a limit of this process; the signal that comes with it is ignored, so that writes fail instead.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
    };
    let cache = open(&folder, &[("memory.capacity", "20"), ("memory.compression", "off")]);
    cache.put(b"first", b"value", Ttl::Default).unwrap();
    cache.flush(Duration::from_secs(60)).unwrap();
    limit(600_000);
    let load = Load::new(2_000);
    load.during(&cache, 2, || {
        let deadline = Instant::now() + Duration::from_secs(60);
        // Full, and so full that not even a probe finds room: one that does has the tier asked again, which then fails anew.
        let since = || cache.health(TierName::Disk).unwrap().last_error_at;
        let mut first = None;
        while first.is_none_or(|first| since() <= first) {
            assert!(Instant::now() < deadline, "it never was full: {:?}", cache.statistics().disk);
            if cache.statistics().disk.full_errors > 0 {
                first.get_or_insert_with(since);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(cache.statistics().disk.openings > 0);
        assert!(cache.health(TierName::Disk).unwrap().last_error.is_some());
        limit(libc::RLIM_INFINITY);
        while !cache.health(TierName::Disk).unwrap().is_up {
            assert!(Instant::now() < deadline + Duration::from_secs(30), "it never came back");
            std::thread::sleep(Duration::from_millis(5));
        }
        let puts = cache.statistics().disk.puts;
        while cache.statistics().disk.puts < puts + 500 {
            assert!(Instant::now() < deadline + Duration::from_secs(60), "it takes nothing any more");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(load.seen.longest() < Duration::from_secs(2), "{:?}", load.seen);
    assert_eq!(cache.statistics().disk.set_aside, 0);
}

#[test]
fn a_disk_that_is_full_is_told_and_used_again_when_it_has_room() {
    let folder = TemporaryFolder::new("full");
    ends_well(spawn("runs_out_of_disk_and_gets_it_back", &folder, 0), "the process without disk");
    assert!(is_sound(&folder));
}

const SHARED_BYTES: u64 = 8 << 20;
const PROCESSES: u64 = 4;
const SHARED_KEYS: usize = 20_000;

/// Lets two threads have a connection each. Who opens one waits for the folder's lock, a reader for 250 ms at most, and four processes
/// that all begin now may keep it for longer on a machine that is busy. That is no answer to a read of what is there.
fn connect(cache: &Cache) {
    cache.put(b"connect", b"", Ttl::Default).unwrap();
    cache.flush(Duration::from_secs(60)).unwrap();
    let is_up = || cache.health(TierName::Disk).unwrap().is_up;
    let begun = Instant::now();
    // On one processor two reads may never meet; then there is one connection, and the other is opened when nobody else does.
    while !is_up() || (cache.statistics().disk.connections < 3 && begun.elapsed() < Duration::from_secs(1)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the disk is not used: {:?}", cache.health(TierName::Disk));
        std::thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || {
                    (0..50).for_each(|number| _ = cache.contains(format!("{thread} {number}").as_bytes()))
                });
            }
        });
    }
}

/// Two threads write keys of this process and read everybody's.
#[test]
#[ignore = "run in a process of its own by the test below"]
fn shares_a_file() {
    let folder = std::env::var(FOLDER).expect("a folder");
    let index = number("CATZILLA_TEST_INDEX", 0);
    let cache = open(
        &folder,
        &[("memory.capacity", "20"), ("memory.compression", "off"), ("disk.max_bytes", &format!("{SHARED_BYTES}B"))],
    );
    connect(&cache);
    let before = cache.statistics().disk;
    let until = Instant::now() + Duration::from_secs(seconds());
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut state = index * 2 + thread + 1;
                let mut count = 0;
                while Instant::now() < until {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let key = state as usize % SHARED_KEYS;
                    if key as u64 % PROCESSES == index && key as u64 / PROCESSES % 2 == thread {
                        count += 1;
                        cache.put(&name(key), &value(key, count), Ttl::Default).unwrap();
                    } else if let Some(found) = cache.acquire(&name(key)).unwrap() {
                        number_of(key, &found);
                    }
                }
            });
        }
    });
    cache.flush(Duration::from_secs(60)).unwrap();
    let disk = cache.statistics().disk;
    let told = (disk.timeouts - before.timeouts, disk.openings - before.openings, disk.unreadable, disk.set_aside);
    assert_eq!(told, (0, 0, 0, 0), "{disk:?}");
    assert!(disk.puts > 100 && disk.hits > 0, "{disk:?}");
}

#[test]
fn four_processes_share_a_file_within_its_bound_and_nobody_is_told_that_it_is_busy() {
    let folder = TemporaryFolder::new("shared");
    let children: Vec<Child> = (0..PROCESSES).map(|index| spawn("shares_a_file", &folder, index)).collect();
    for child in children {
        ends_well(child, "a process that shares the file");
    }
    assert!(is_sound(&folder));
    let size = size_of_database(&folder.path().join("cache"));
    assert!(size <= SHARED_BYTES + SHARED_BYTES / 20, "{size} bytes");
    // Whoever comes next sees what they have written.
    let cache = open(folder.path().to_str().unwrap(), &[]);
    let found = (0..SHARED_KEYS).filter(|key| {
        let found = cache.acquire(&name(*key)).unwrap();
        found.is_some_and(|found| number_of(*key, &found) > 0)
    });
    assert!(found.count() > 100);
}

fn size_of_database(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let database = sizes.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "db"));
    database.map(|entry| entry.metadata().unwrap().len()).sum()
}
