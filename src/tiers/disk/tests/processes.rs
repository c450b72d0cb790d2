//! Several processes on one file; one that is killed; one that forks.
#![allow(unsafe_code)]

use super::{get, open, options, put, put_of, random, TemporaryFolder, MIB};
use crate::tiers::disk::Disk;
use crate::tiers::{Fault, FaultKind, Outcome, Tier as _, Write};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const FOLDER: &str = "CATZILLA_TEST_FOLDER";
const NUMBER: &str = "CATZILLA_TEST_NUMBER";

/// This program again, as one ignored test of this crate. Killed when it is dropped.
pub(super) struct Child {
    process: std::process::Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Child {
    pub(super) fn start(test: &str, folder: &TemporaryFolder) -> Self {
        Self::numbered(test, folder, 0)
    }

    pub(super) fn numbered(test: &str, folder: &TemporaryFolder, number: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("tiers::disk::tests::{test}"), "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.join("values"))
            .env(NUMBER, number.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self { process, stdout }
    }

    pub(super) fn succeeds(mut self) {
        assert!(self.process.wait().unwrap().success());
    }

    /// Waits until it tells something in a line that begins with a word.
    fn hear(&mut self, word: &str) -> u64 {
        self.told(word).next().expect("it tells something")
    }

    /// Kills it, and says what it told last in lines that begin with a word and that nobody has heard.
    fn kill_and_hear(mut self, word: &str) -> Option<u64> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.told(word).last()
    }

    fn told<'a>(&'a mut self, word: &'a str) -> impl Iterator<Item = u64> + 'a {
        // The last line may have been cut off with the process, unless its end is there.
        let lines = self.stdout.by_ref().lines().map_while(Result::ok);
        lines.filter_map(move |line| line.strip_prefix(word)?.strip_suffix('.')?.parse().ok())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn folder_of_child() -> Option<String> {
    std::env::var(FOLDER).ok()
}

fn disk_of_child(max_bytes: u64) -> Option<(Disk, u64)> {
    let mut options = crate::options::Options::new().disk;
    options.path = Some(folder_of_child()?);
    options.max_bytes = max_bytes;
    Some((Disk::open(&options).unwrap(), std::env::var(NUMBER).unwrap().parse().unwrap()))
}

/// By SQLite's own word.
pub(super) fn is_sound(path: &Path) -> bool {
    let connection = rusqlite::Connection::open(path).unwrap();
    let said: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    said == "ok"
}

/// A value that says whose it is, and shows when a part of it is another's.
fn value_of(key: u64, version: u64, length: usize) -> Vec<u8> {
    let word = (key << 32 | version).to_le_bytes();
    word.iter().copied().cycle().take(8 + length).collect()
}

/// The version of a value, which is whole and this key's.
fn version_of(key: u64, value: &[u8]) -> u64 {
    let word = u64::from_le_bytes(value[..8].try_into().unwrap());
    assert_eq!(word >> 32, key, "another key's value");
    assert_eq!(value, value_of(key, word & 0xFFFF_FFFF, value.len() - 8), "a torn value");
    word & 0xFFFF_FFFF
}

const SHARED_BOUND: u64 = 24 * MIB;

#[test]
fn four_processes_of_two_threads_share_a_file_and_nobody_is_told_that_it_is_busy() {
    let folder = TemporaryFolder::new("processes");
    let children: Vec<Child> =
        (0..4).map(|number| Child::numbered("processes::child_that_shares", &folder, number)).collect();
    children.into_iter().for_each(Child::succeeds);
    let disk = open(&folder, SHARED_BOUND);
    let rows: i64 = disk
        .readers
        .with(&disk.shared.file, |finder| {
            Ok(finder.connection().query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap())
        })
        .unwrap();
    assert_eq!(disk.figures().entries, rows as u64, "the books are wrong");
    assert!(rows > 1000 && disk.figures().bytes <= SHARED_BOUND / 20 * 21);
    drop(disk);
    assert!(is_sound(&folder.path().join("values/cache.db")));
}

/// Lets two threads have a connection each. Who opens one waits for the folder's lock, a reader for 250 ms at most, and four processes
/// that all begin now may keep it for longer on a machine that is busy.
fn connect(disk: &Disk) {
    put(disk, b"connect", b"");
    let began = Instant::now();
    let read = |key: u64| disk.read(&[&key.to_le_bytes()]).map(drop);
    // On one processor two reads may never meet; then there is one connection, and the other is opened when nobody else does.
    while read(0).is_err() || (disk.figures().connections < 3 && began.elapsed() < Duration::from_secs(1)) {
        assert!(began.elapsed() < Duration::from_secs(60), "the folder is always locked");
        std::thread::scope(|scope| {
            for key in 0..2 {
                scope.spawn(move || (0..50).for_each(|_| _ = read(key)));
            }
        });
    }
}

#[test]
#[ignore = "a process of the test above"]
fn child_that_shares() {
    let Some((disk, number)) = disk_of_child(SHARED_BOUND) else { return };
    connect(&disk);
    let seconds = std::env::var("CATZILLA_SOAK_SECONDS").map_or(4, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let work = |thread: u64| {
        let mut next = random(number * 2 + thread);
        let mut version = 0;
        while Instant::now() < end {
            version += 1;
            let items: Vec<(u64, Vec<u8>)> = (0..1 + next(100))
                .map(|_| {
                    let key = next(40_000);
                    (key, value_of(key, version, next(3000) as usize))
                })
                .collect();
            let keys: Vec<_> = items.iter().map(|(key, _)| key.to_le_bytes()).collect();
            let mut writes: Vec<Write<'_>> = items
                .iter()
                .zip(&keys)
                .map(|((_, value), key)| {
                    if value.len() % 9 == 0 {
                        Write::new(key, crate::tiers::What::Remove)
                    } else {
                        put_of(key, value)
                    }
                })
                .collect();
            disk.write(&mut writes).unwrap();
            assert!(writes.iter().all(|write| matches!(write.outcome, Outcome::Done | Outcome::Nothing)));
            for _ in 0..100 {
                let key = next(40_000);
                if let Some(value) = get(&disk, &key.to_le_bytes()) {
                    version_of(key, &value);
                }
            }
            disk.maintain().unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(0));
        scope.spawn(|| work(1));
    });
    let bytes = disk.figures().bytes;
    assert!(bytes <= SHARED_BOUND / 20 * 21, "{bytes}, of the WAL {:?}", disk.shared.tally.wal_bytes);
}

/// How often a process is killed: `make soak` says more.
fn kills() -> u64 {
    std::env::var("CATZILLA_KILLS").map_or(20, |text| text.parse().unwrap())
}

#[test]
fn a_writer_that_is_killed_leaves_a_sound_file_with_all_that_was_written() {
    let kills = kills();
    let folder = TemporaryFolder::new("kills");
    let mut next = random(u64::from(std::process::id()));
    let mut heard_of = 0;
    for kill in 0..kills {
        let mut child = Child::numbered("processes::child_that_is_killed", &folder, kill);
        // Every other one at any moment, also while it opens the file; the others when there is something to lose.
        let told = (kill % 2 == 1).then(|| child.hear("written "));
        std::thread::sleep(Duration::from_millis(20 + next(300)));
        let last = child.kill_and_hear("written ").or(told);
        let disk = open(&folder, 64 * MIB);
        assert_eq!(disk.figures().set_aside, 0);
        if let Some(last) = last {
            heard_of += 1;
            // Of what was written before this one, all that a batch has overwritten since is newer.
            for key in 0..100 {
                let value = get(&disk, &(kill << 16 | key).to_le_bytes()).expect("what was written is gone");
                let version = version_of(kill << 16 | key, &value);
                assert!(version >= last && version <= last + 1, "{version} where {last} was written");
            }
        }
        drop(disk);
        assert!(is_sound(&folder.path().join("values/cache.db")));
    }
    assert!(heard_of >= kills / 2, "{heard_of} of {kills} children have come to write anything");
}

/// A hundred keys of a child's own, all in one version.
fn write_batch(disk: &Disk, number: u64, version: u64) -> Result<(), Fault> {
    let items: Vec<_> = (0..100_u64)
        .map(|key| {
            ((number << 16 | key).to_le_bytes(), value_of(number << 16 | key, version, (key * 97 % 9000) as usize))
        })
        .collect();
    let mut writes: Vec<Write<'_>> = items.iter().map(|(key, value)| put_of(key, value)).collect();
    disk.write(&mut writes)
}

#[test]
#[ignore = "a process of the test above"]
#[allow(clippy::print_stdout)]
fn child_that_is_killed() {
    let Some((disk, number)) = disk_of_child(64 * MIB) else { return };
    for version in 0_u64.. {
        write_batch(&disk, number, version).unwrap();
        println!("written {version}.");
        disk.maintain().unwrap();
    }
}

#[test]
fn a_writer_that_is_killed_while_its_disk_is_full_leaves_a_sound_file_with_all_that_was_written() {
    let folder = TemporaryFolder::new("kills-full");
    let mut next = random(u64::from(std::process::id()));
    let mut found = 0;
    for kill in 0..kills() {
        let mut child = Child::numbered("processes::child_that_is_killed_on_a_full_disk", &folder, kill);
        // Not before something did not fit; what came before that was written.
        let full = child.hear("full ");
        std::thread::sleep(Duration::from_micros(next(50_000)));
        let last = child.kill_and_hear("written ").unwrap_or(full - 1);
        let disk = open(&folder, 64 * MIB);
        assert_eq!(disk.figures().set_aside, 0);
        for key in 0..100 {
            let value = get(&disk, &(kill << 16 | key).to_le_bytes()).expect("what was written is gone");
            let version = version_of(kill << 16 | key, &value);
            assert!(version >= last, "{version} where {last} was written");
            found += 1;
        }
        // There is room again, and it is used.
        put(&disk, b"after", &kill.to_le_bytes());
        assert_eq!(get(&disk, b"after").unwrap(), kill.to_le_bytes());
        drop(disk);
        assert!(is_sound(&folder.path().join("values/cache.db")), "after kill {kill}");
    }
    assert_eq!(found, 100 * kills());
}

/// The room comes and goes: sometimes less than the file has already, sometimes a little more, sometimes as much as it likes.
#[test]
#[ignore = "a process of the test above"]
#[allow(clippy::print_stdout)]
fn child_that_is_killed_on_a_full_disk() {
    let Some((disk, number)) = disk_of_child(64 * MIB) else { return };
    let file = Path::new(&folder_of_child().unwrap()).join("cache.db");
    // SAFETY: no handler is installed; the signal is not wanted, so that a write fails instead.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut next = random(number);
    for version in 0_u64.. {
        let room = match (version, next(3)) {
            (0, _) | (_, 0) => libc::RLIM_INFINITY,
            (_, 1) => next(3 * MIB),
            _ => fs::metadata(&file).unwrap().len() + next(MIB),
        };
        let limit = libc::rlimit { rlim_cur: room, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: reads a struct of this function's.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        match write_batch(&disk, number, version) {
            Ok(()) => println!("written {version}."),
            Err(fault) if fault.kind == FaultKind::Full => println!("full {version}."),
            Err(fault) => panic!("{fault}"),
        }
        assert!(disk.maintain().err().is_none_or(|fault| fault.kind == FaultKind::Full));
    }
}

#[test]
fn both_sides_of_a_fork_go_on_while_other_threads_are_busy() {
    let folder = TemporaryFolder::new("fork");
    // In a process that has no other threads than its own.
    Child::start("processes::child_that_forks", &folder).succeeds();
    let disk = open(&folder, 64 * MIB);
    for fork in 0..20_u64 {
        assert_eq!(get(&disk, &(1000 + fork).to_le_bytes()).unwrap(), b"of the child");
        assert_eq!(get(&disk, &(2000 + fork).to_le_bytes()).unwrap(), b"of the parent");
    }
    drop(disk);
    assert!(is_sound(&folder.path().join("values/cache.db")));
}

/// Files of SQLite's that this process has open.
fn open_files() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|path| path.to_str().is_some_and(|path| path.contains("cache.db"))).count()
}

#[test]
#[ignore = "a process of the test above"]
fn child_that_forks() {
    let Some((disk, _)) = disk_of_child(64 * MIB) else { return };
    let disk = &disk;
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            scope.spawn(move || {
                let value = value_of(thread, 1, 500);
                while !stop.load(Relaxed) {
                    put(disk, &thread.to_le_bytes(), &value);
                }
            });
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    match disk.read_one(&thread.to_le_bytes()) {
                        Ok(Some(value)) => assert_eq!(version_of(thread, &value), 1),
                        Ok(None) => {}
                        // On a busy machine a fork can take longer than a reader waits for its end.
                        Err(fault) => assert_eq!(fault.kind, FaultKind::TimedOut, "{fault:?}"),
                    }
                }
            });
        }
        for fork in 0..20_u64 {
            let held = disk.hold();
            // SAFETY: the child only uses the tier, whose locks this thread holds, and leaves at once.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let shares = open_files();
                drop(held);
                disk.after_fork_in_child();
                let went_well = std::panic::catch_unwind(|| {
                    put(disk, &(1000 + fork).to_le_bytes(), b"of the child");
                    assert!(get(disk, &(1000 + fork).to_le_bytes()).is_some());
                });
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(went_well.is_err()) + 2 * i32::from(shares > 0)) }
            }
            drop(held);
            put(disk, &(2000 + fork).to_le_bytes(), b"of the parent");
            let mut status = -1;
            // SAFETY: a child of this process, and a place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child shares files, or could not go on");
            assert_eq!(get(disk, &(1000 + fork).to_le_bytes()).unwrap(), b"of the child");
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn nothing_is_open_during_a_fork() {
    let folder = TemporaryFolder::new("held");
    let disk = Disk::open(&options(&folder, 64 * MIB)).unwrap();
    put(&disk, b"k", b"v");
    get(&disk, b"k");
    assert_eq!(disk.figures().connections, 2);
    drop(disk.hold());
    assert_eq!(disk.figures().connections, 0);
    assert_eq!(get(&disk, b"k").unwrap(), b"v");
}

#[test]
#[ignore = "a process of a test in places.rs"]
fn child_with_a_umask() {
    let Ok(umask) = std::env::var(NUMBER) else { return };
    // SAFETY: of this process, which has no other use.
    unsafe { libc::umask(umask.parse().unwrap()) };
    let Some((disk, _)) = disk_of_child(64 * MIB) else { return };
    put(&disk, b"k", b"v");
    assert!(get(&disk, b"k").is_some());
    // Ends without closing anything, so that all files are seen.
    std::process::exit(0);
}
