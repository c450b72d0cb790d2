//! How fast it is, beside bare rusqlite, in one run. By hand:
//! `cargo test --release --lib tiers::disk::tests::bench -- --ignored --nocapture --test-threads=1`
#![allow(clippy::print_stdout)]

use super::{get, open, put_of, upkeep_until, TemporaryFolder, MIB};
use crate::tiers::disk::Disk;
use crate::tiers::{Tier as _, Write};
use rusqlite::{Connection, OpenFlags};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const VALUE: usize = 1024;
const ROWS: u64 = 400_000;

fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn key(number: u64) -> Vec<u8> {
    format!("bench:key:{:016x}", mixed(number)).into_bytes()
}

/// As the cache's own thread does: a batch, and upkeep when its time has come.
struct Feeder<'a> {
    disk: &'a Disk,
    value: Vec<u8>,
    upkeep: Option<Instant>,
}

impl<'a> Feeder<'a> {
    fn new(disk: &'a Disk) -> Self {
        Self { disk, value: vec![7; VALUE], upkeep: None }
    }

    fn batch(&mut self, numbers: std::ops::Range<u64>) {
        let keys: Vec<_> = numbers.map(key).collect();
        let mut writes: Vec<Write<'_>> = keys.iter().map(|key| put_of(key, &self.value)).collect();
        self.disk.write(&mut writes).unwrap();
        if self.upkeep.is_none_or(|at| at <= Instant::now()) {
            self.upkeep = self.disk.maintain().unwrap().map(|pause| Instant::now() + pause);
        }
    }
}

#[test]
#[ignore = "measures for a minute"]
fn puts_at_the_bound() {
    for share in [0, 30] {
        let folder = TemporaryFolder::new("bench");
        let disk = open(&folder, 1024 * MIB);
        let mut feeder = Feeder::new(&disk);
        let (mut fresh, mut slowest) = (0_u64, Duration::ZERO);
        let mut began = Instant::now();
        let total = 2_600_000;
        let (mut puts, mut measured) = (0, 0);
        while puts < total {
            let overwritten = 1024 * share / 100;
            let batch = Instant::now();
            feeder.batch(fresh..fresh + 1024 - overwritten);
            if overwritten > 0 {
                // Some that are there still, anywhere.
                let back = mixed(puts) % fresh.clamp(1, 600_000);
                let first = fresh.saturating_sub(back + overwritten);
                feeder.batch(first..first + overwritten);
            }
            slowest = slowest.max(batch.elapsed());
            fresh += 1024 - overwritten;
            puts += 1024;
            if puts <= total / 2 {
                (began, measured, slowest) = (Instant::now(), 0, Duration::ZERO);
            } else {
                measured += 1024;
            }
        }
        let rate = f64::from(measured) / began.elapsed().as_secs_f64();
        println!("{share}% overwrites: {rate:.0} puts a second, slowest batch {slowest:?}, {:?}", disk.figures());
    }
}

/// The same rows in a table by rowid, and nothing else.
fn bare(folder: &TemporaryFolder) -> Connection {
    let connection = bare_connection(folder);
    connection
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB);",
        )
        .unwrap();
    bare_put(&connection, 0..ROWS);
    connection
}

fn bare_connection(folder: &TemporaryFolder) -> Connection {
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join("bare.db"), flags).unwrap();
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 2147418112").unwrap();
    connection
}

fn bare_put(connection: &Connection, ids: std::ops::Range<u64>) {
    let value = vec![7; VALUE];
    let transaction = connection.unchecked_transaction().unwrap();
    let mut insert = transaction.prepare_cached("INSERT INTO t VALUES (?1, ?2)").unwrap();
    for id in ids {
        insert.execute((id as i64, &value)).unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
}

fn bare_get(connection: &Connection, id: u64) -> Vec<u8> {
    let mut select = connection.prepare_cached("SELECT value FROM t WHERE id = ?1").unwrap();
    let mut rows = select.query([id as i64]).unwrap();
    rows.next().unwrap().unwrap().get_ref(0).unwrap().as_blob().unwrap().to_vec()
}

#[derive(Default)]
struct Times(Vec<u64>);

impl Times {
    fn of<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = what();
        self.0.push(began.elapsed().as_nanos() as u64);
        result
    }

    fn told(&mut self) -> (f64, f64, f64) {
        self.0.sort_unstable();
        let at = |share: f64| self.0[(self.0.len() as f64 * share) as usize] as f64 / 1000.0;
        (at(0.5), at(0.99), at(0.999))
    }
}

#[test]
#[ignore = "measures for a minute"]
fn reads_beside_a_bare_select_by_rowid() {
    let folder = TemporaryFolder::new("bench");
    let disk = open(&folder, 1024 * MIB);
    let mut feeder = Feeder::new(&disk);
    for first in (0..ROWS).step_by(1024) {
        feeder.batch(first..first + 1024);
    }
    let bare = bare(&folder);
    bare.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    // As after two seconds without a write.
    std::thread::sleep(Duration::from_millis(1100));
    upkeep_until(&disk, "the end of the WAL", || disk.shared.tally.wal_bytes.load(Relaxed) == 0);
    let compare = |name: &str, draw: &dyn Fn(u64) -> u64| {
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        // By hundreds, so that both have the same conditions, and caches of their own.
        for round in 0..1500 {
            for n in 0..100 {
                let key = key(draw(round * 100 + n));
                assert!(ours.of(|| get(&disk, &key)).is_some());
            }
            for n in 0..100 {
                let number = draw(round * 100 + n);
                assert!(!theirs.of(|| bare_get(&bare, number)).is_empty());
            }
        }
        let (ours, theirs) = (ours.told(), theirs.told());
        println!("{name}: p50, p99, p99.9 in us: {ours:?}, bare select {theirs:?}, ratio {:.2}", ours.0 / theirs.0);
    };
    let anywhere = |n: u64| mixed(n) % ROWS;
    let hot = |n: u64| mixed(n) % 1000;
    compare("anywhere", &anywhere);
    compare("of 1,000", &hot);
    let misses = |name: &str| {
        let mut misses = Times::default();
        for number in 0..100_000 {
            assert!(misses.of(|| get(&disk, &key(number + (1 << 40)))).is_none());
        }
        println!("{name}misses in us: {:?}", misses.told());
    };
    misses("");
    let keys: Vec<_> = (0..100).map(|n| key(anywhere(n))).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut batches = Times::default();
    for _ in 0..1000 {
        batches.of(|| disk.read(&keys).unwrap());
    }
    println!("100 keys at once: {:?}", batches.told());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // 400 each 20 ms, as the interval between commits is; into both.
            let (mut number, mut next) = (1 << 30, Instant::now());
            let (mut feeder, other) = (Feeder::new(&disk), bare_connection(&folder));
            while !stop.load(Relaxed) {
                feeder.batch(number..number + 400);
                bare_put(&other, number..number + 400);
                number += 400;
                next += Duration::from_millis(20);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        compare("beside 20,000 puts a second, anywhere", &anywhere);
        compare("beside 20,000 puts a second, of 1,000", &hot);
        misses("beside 20,000 puts a second, ");
        stop.store(true, Relaxed);
    });
}
