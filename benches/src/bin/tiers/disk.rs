//! A hit on disk beside a bare prepared SELECT by rowid in a file of the same rows, alone and with a writer of 20,000 values a second
//! on each; and what a put costs its caller when the disk is to have it.

use crate::cache::{self, Folder, Tiers};
use crate::{Goal, Verdict};
use catzilla_benches::args::Args;
use catzilla_benches::engine::{Engine, OK};
use catzilla_benches::keys::{accesses, Key, Random, Skew};
use catzilla_benches::report::median;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const VALUE: usize = 1024;
const IN_MEMORY: usize = 64;
const PUTS_A_SECOND: usize = 20_000;
/// Reads of a round, on each side.
const READS: usize = 5_000;
/// The writers store under ids from here on, so that what is read stays.
const WRITTEN: usize = 10_000_000;

/// Whose writer writes.
const NOBODY: usize = 0;
const OURS: usize = 1;
const BARE: usize = 2;

pub fn ask(args: &Args, verdict: &mut Verdict) {
    let rows = args.entries.unwrap_or(if args.quick { 50_000 } else { 200_000 });
    let folder = Folder::make();
    let tiers = Tiers { folder: Some(&folder), options: &[("memory.compression", "off")], ..Tiers::default() };
    {
        let engine = tiers.open(IN_MEMORY);
        let mut value = random_value(0);
        for id in 0..rows {
            stamp(&mut value, id);
            assert_eq!(engine.put(Key::of(id).bytes(), &value), OK, "OUR LIBRARY FAILED: put");
            // More than the queue takes would be dropped.
            if id % 16_384 == 0 {
                cache::flush(&engine);
            }
        }
        cache::flush(&engine);
        verdict.expect(cache::figures(&engine, cache::DISK).dropped == 0, "disk: writes were dropped");
    }
    let engine = tiers.open(IN_MEMORY);
    let bare = Bare::make(&folder, rows);
    let order = accesses(Skew::Uniform, rows, 0, 0, 1 << 18);
    println!("\ndisk: {rows} values of {VALUE} bytes, microseconds");
    for beside in [false, true] {
        // Only the side that is being read has a writer.
        let (stop, turn) = (AtomicBool::new(false), AtomicUsize::new(NOBODY));
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            if beside {
                scope.spawn(|| write_ours(&engine, &stop, &turn));
                scope.spawn(|| bare.write(&stop, &turn));
            }
            let (mut at, reader) = (0, bare.connect());
            for round in 0..=args.rounds {
                let mut next = || {
                    at = (at + 1) % order.len();
                    order[at] as usize
                };
                turn.store(BARE, Relaxed);
                let bare = bare.read(&reader, &mut next);
                turn.store(OURS, Relaxed);
                let mine = read_ours(&engine, &mut next, verdict);
                if round > 0 {
                    ratios.push(mine.p50 / bare.p50);
                    ours.push(mine);
                    theirs.push(bare);
                }
            }
            stop.store(true, Relaxed);
        });
        let shown = |times: &[Quantiles]| {
            let of = |which: fn(&Quantiles) -> f64| median(times.iter().map(which).collect()).expect("rounds") / 1e3;
            format!("p50 {:.2} p99 {:.2}", of(|times| times.p50), of(|times| times.p99))
        };
        let where_ = if beside { "beside a writer of 20,000/s" } else { "alone" };
        println!("  {where_}: bare SELECT {}, ours {}", shown(&theirs), shown(&ours));
        let ratio = median(ratios).expect("rounds");
        verdict.line(&format!("a hit on disk over a bare SELECT, p50, {where_}"), ratio, "x", Goal::AtMost(1.5));
    }

    // Paced as the writer is: what a put costs while the disk keeps up.
    let mut times = Vec::with_capacity(args.rounds * PUTS_A_SECOND / 10);
    let mut value = random_value(1);
    let mut pace = Pace::new();
    for number in 0..args.rounds * PUTS_A_SECOND / 10 {
        pace.wait();
        stamp(&mut value, number);
        let key = Key::of(2 * WRITTEN + number);
        let begun = Instant::now();
        let status = engine.put(key.bytes(), &value);
        times.push(begun.elapsed().as_nanos() as f64);
        verdict.expect(status == OK, "disk: a put failed");
    }
    let put = Quantiles::of(times);
    println!("  a put for its caller, at 20,000/s: p50 {:.2} p99 {:.2}", put.p50 / 1e3, put.p99 / 1e3);
    verdict.line("a put that goes to disk, p50, for its caller", put.p50 / 1e3, "us", Goal::AtMost(3.0));
    let figures = cache::figures(&engine, cache::DISK);
    verdict.expect(figures.errors == 0 && figures.hits > 0, "disk: errors of the tier");
}

/// The key of a number, in no order: a tree that is filled from left to right would be flattered. Multiplication modulo a prime
/// gives every number below it another one, of eight digits at most.
pub fn scattered(number: usize) -> Key {
    Key::of(number * 61_803_399 % 99_999_989)
}

pub fn random_value(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..VALUE).map(|_| random.draw() as u8).collect()
}

pub fn stamp(value: &mut [u8], id: usize) {
    value[..8].copy_from_slice(&(id as u64).to_le_bytes());
}

struct Quantiles {
    p50: f64,
    p99: f64,
}

impl Quantiles {
    fn of(mut times: Vec<f64>) -> Quantiles {
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        Quantiles { p50: at(0.5), p99: at(0.99) }
    }
}

fn read_ours(engine: &Engine, next: &mut impl FnMut() -> usize, verdict: &mut Verdict) -> Quantiles {
    let mut buffer = [0; VALUE];
    let mut times = Vec::with_capacity(READS);
    for _ in 0..READS {
        let id = next();
        let key = Key::of(id);
        let begun = Instant::now();
        let read = engine.read(key.bytes(), &mut buffer);
        times.push(begun.elapsed().as_nanos() as f64);
        verdict.expect(read == Ok(VALUE) && buffer[..8] == (id as u64).to_le_bytes(), "disk: a wrong value");
    }
    Quantiles::of(times)
}

/// So many a second, in bundles of a millisecond.
struct Pace {
    begun: Instant,
    done: usize,
}

impl Pace {
    fn new() -> Pace {
        Pace { begun: Instant::now(), done: 0 }
    }

    fn after_a_break() -> Pace {
        std::thread::sleep(Duration::from_millis(1));
        Pace::new()
    }

    fn wait(&mut self) {
        let bundle = PUTS_A_SECOND / 1000;
        if self.done.is_multiple_of(bundle) {
            let due = Duration::from_millis((self.done / bundle) as u64);
            std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
        }
        self.done += 1;
    }
}

fn write_ours(engine: &Engine, stop: &AtomicBool, turn: &AtomicUsize) {
    let mut value = random_value(2);
    let (mut pace, mut id) = (Pace::new(), WRITTEN);
    while !stop.load(Relaxed) {
        if turn.load(Relaxed) != OURS {
            pace = Pace::after_a_break();
            continue;
        }
        pace.wait();
        stamp(&mut value, id);
        engine.put(Key::of(id).bytes(), &value);
        id += 1;
    }
}

/// A file of SQLite's with the same values under their ids, and nothing else.
struct Bare {
    path: std::path::PathBuf,
}

impl Bare {
    fn make(folder: &Folder, rows: usize) -> Bare {
        let bare = Bare { path: folder.path().join("bare.db") };
        let connection = Connection::open(&bare.path).expect("a file");
        // In this order: the size of a page cannot change once there is a WAL.
        connection
            .execute_batch(
                "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                 CREATE TABLE entries (id INTEGER PRIMARY KEY, value BLOB NOT NULL); BEGIN;",
            )
            .expect("a table");
        let mut value = random_value(0);
        for id in 0..rows {
            stamp(&mut value, id);
            insert(&connection, id, &value);
        }
        connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);").expect("a commit");
        bare
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(&self.path).expect("a file");
        connection.busy_timeout(Duration::from_secs(10)).expect("a connection");
        connection.execute_batch("PRAGMA mmap_size = 2147418112; PRAGMA synchronous = NORMAL;").expect("settings");
        connection
    }

    fn read(&self, reader: &Connection, next: &mut impl FnMut() -> usize) -> Quantiles {
        let mut select = reader.prepare_cached("SELECT value FROM entries WHERE id = ?1").expect("a statement");
        let mut buffer = [0; VALUE];
        let mut times = Vec::with_capacity(READS);
        for _ in 0..READS {
            let id = next();
            let begun = Instant::now();
            {
                let mut rows = select.query([id as i64]).expect("a query");
                let row = rows.next().expect("a step").expect("a row");
                buffer.copy_from_slice(row.get_ref(0).expect("a column").as_blob().expect("bytes"));
            }
            times.push(begun.elapsed().as_nanos() as f64);
            assert_eq!(buffer[..8], (id as u64).to_le_bytes());
        }
        Quantiles::of(times)
    }

    /// Commits every 20 ms, as ours does.
    fn write(&self, stop: &AtomicBool, turn: &AtomicUsize) {
        let connection = self.connect();
        let mut value = random_value(3);
        let (mut pace, mut id) = (Pace::new(), WRITTEN);
        while !stop.load(Relaxed) {
            if turn.load(Relaxed) != BARE {
                pace = Pace::after_a_break();
                continue;
            }
            connection.execute_batch("BEGIN").expect("a transaction");
            for _ in 0..PUTS_A_SECOND / 50 {
                pace.wait();
                stamp(&mut value, id);
                insert(&connection, id, &value);
                id += 1;
            }
            connection.execute_batch("COMMIT").expect("a commit");
        }
    }
}

fn insert(connection: &Connection, id: usize, value: &[u8]) {
    let mut insert = connection.prepare_cached("INSERT INTO entries VALUES (?1, ?2)").expect("a statement");
    insert.execute((id as i64, value)).expect("a row");
}
