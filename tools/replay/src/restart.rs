//! A trace over memory and disk with a restart in between: the first run finds nothing, then the cache is destroyed and opened
//! anew over the same folder, and the second finds on disk what the first has put. The folder is a temporary one.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process;

use catzilla_replay::capacity::Capacity;
use catzilla_replay::failure::Failure;
use catzilla_replay::library::{Cache, Statistics, TierStatistics};

use crate::arguments::FOLDER_OPTION;
use crate::progress::Progress;
use crate::report::{bytes, duration, grouped, headings, line, rate, shown, text};
use crate::run::{checked_statistics, Replay, Tally};

/// As in `report`.
const COLUMNS: [(&str, usize); 11] = [
    ("memory", 14),
    ("run", 10),
    ("hit ratio", 11),
    ("by memory", 11),
    ("by disk", 10),
    ("memory p50", 12),
    ("p99", 10),
    ("disk p50", 10),
    ("p99", 10),
    ("operations/s", 14),
    ("on disk", 20),
];

const RUNS: [&str; 2] = ["first", "restarted"];

/// Replays the trace twice at each capacity, and prints a line for each run.
pub fn report(replay: &Replay<'_>, capacities: &[Option<Capacity>]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", headings(&COLUMNS))?;
    for capacity in capacities {
        let folder = Folder::make()?;
        let (mut options, entries) = replay.options_at(*capacity)?;
        options.set(FOLDER_OPTION, folder.inside()?)?;
        let mut name = shown(*capacity, entries);
        for (number, run) in RUNS.into_iter().enumerate() {
            let progress = Progress::begin(run, replay.trace.requests().len() as u64);
            let cache = Cache::open(&options)?;
            let tally = replay.run::<false>(&cache, &progress)?;
            progress.end();
            let statistics = checked_statistics(&cache, &tally, entries)?;
            let disk = cache.disk_statistics()?;
            check(number > 0, &disk)?;
            writeln!(out, "{}", line(&COLUMNS, cells(name, run, &tally, &statistics, &disk)))?;
            out.flush()?;
            name = String::new();
        }
    }
    writeln!(out)?;
    Ok(())
}

/// A disk that did not keep what it was given makes the second line a lie.
fn check(is_restarted: bool, disk: &TierStatistics) -> Result<(), Failure> {
    if disk.errors > 0 || disk.dropped_writes > 0 {
        return Err(Failure::cache(format!(
            "the disk tier had {} errors and was spared {} writes",
            disk.errors, disk.dropped_writes
        )));
    }
    if is_restarted && disk.hits == 0 {
        return Err(Failure::cache("after the restart nothing was found on disk"));
    }
    Ok(())
}

fn cells(
    capacity: String,
    run: &str,
    tally: &Tally,
    statistics: &Statistics,
    disk: &TierStatistics,
) -> [String; COLUMNS.len()] {
    let requests = (tally.hits + tally.misses) as f64;
    let share = |part: u64| format!("{:.2} %", part as f64 * 100.0 / requests);
    [
        capacity,
        run.to_owned(),
        share(tally.hits),
        share(statistics.memory_hits),
        share(tally.hits.saturating_sub(statistics.memory_hits)),
        duration(statistics.memory_read_p50_ns),
        duration(statistics.memory_read_p99_ns),
        duration(disk.read_p50_ns),
        duration(disk.read_p99_ns),
        rate(tally.operations_per_second()),
        format!("{} {}", grouped(disk.entries), bytes(disk.bytes)),
    ]
}

pub fn legend() -> Result<(), Failure> {
    text(
        "\
run           first: nothing is on disk; restarted: the cache was destroyed and opened anew over the
              same folder, and the trace replayed again
by ...        the part of all requests that this tier has answered
p50, p99      of a tier's look-ups, as the library counts them: of memory one in 1,024, of the
              disk all, found or not
on disk       entries and bytes of the file at the end, as far as they are committed
",
    )
}

/// A folder of our own, removed with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        // A name may be left from a program that was killed.
        for number in 0..1000 {
            let path = parent.join(format!("catzilla-replay-{}-{number}", process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::request(format!("{}: {error}", path.display()))),
            }
        }
        Err(Failure::request(format!("{}: no free name for a folder", parent.display())))
    }

    fn inside(&self) -> Result<&str, Failure> {
        self.0.to_str().ok_or_else(|| Failure::request(format!("{}: is no text in UTF-8", self.0.display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
