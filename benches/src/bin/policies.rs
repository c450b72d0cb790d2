//! What does each eviction policy of ours cost: a hit, an eviction, and the memory of its books?
//!
//! All caches are in one process and have their rounds in turns. Of each the quickest round counts, which is the one that was
//! disturbed least: what is compared differs by a few percent.

use catzilla_benches::args::Args;
use catzilla_benches::engine::{Engine, Shape, OK};
use catzilla_benches::engines::{self, Settings, OURS};
use catzilla_benches::keys::{accesses, Key, Skew, Value, PUT, VALUE_LEN};
use catzilla_benches::machine;
use std::process::ExitCode;
use std::time::Instant;

const POLICIES: [&str; 9] = ["fifo", "sieve", "s3fifo", "adaptive", "w-tinylfu", "lru", "lfu", "lru-lfu", "ttl"];

/// What is to be reached: how much more than the cheapest a hit may cost, in percent.
const HIT_GOALS: &[(&str, f64)] = &[
    ("fifo", 10.0),
    ("sieve", 10.0),
    ("s3fifo", 10.0),
    ("adaptive", 10.0),
    ("lru", 10.0),
    ("lfu", 40.0),
    ("w-tinylfu", 40.0),
];
/// How much longer than with `s3fifo` a churn may take with `adaptive`, and the part of the memory that its shadows may take.
const ADAPTIVE_CHURN_GOAL: f64 = 10.0;
const SHADOWS_GOAL: f64 = 1.0;
/// What four shadows and the hits that wait take at most, which `memory_bytes` leaves out: see ARCHITECTURE.md, "Memory". The
/// library's own tests hold a shadow to it.
const SHADOW_BYTES: f64 = (105.0 + 4.0) * 1024.0;

/// For the memory: entries of a cache of one shard, which then holds exactly so many.
const MEASURED: usize = 100_000;
/// Rounds are some milliseconds long, so that some of many are not interrupted.
const HITS_PER_ROUND: usize = 1 << 15;
const REQUESTS_PER_ROUND: usize = 1 << 13;
/// A churn asks for so many times as many keys as there are entries.
const UNIVERSE: usize = 4;

fn main() -> ExitCode {
    let args = Args::from_command_line();
    if args.list {
        println!("policies: {}", POLICIES.join(" "));
        return ExitCode::SUCCESS;
    }
    let entries = args.entries.unwrap_or(20_000);
    let rounds = if args.quick { 20 } else { 200 };
    machine::heading("policies: what each costs");
    println!(
        "hit: of {entries} entries, uniform; put: a new key into a full cache; churn: get, and put what was missed, of {UNIVERSE} times as\n\
         many keys, Zipf 0.9; the quickest of {rounds} rounds; books: bytes an entry, of {MEASURED}, beyond those of `fifo`, which has none"
    );
    let mut rows = Vec::new();
    for policy in POLICIES {
        match Row::open(policy, entries, &args.settings) {
            Ok(row) => rows.push(row),
            Err(reason) => println!("  {policy}: absent: {reason}"),
        }
    }
    let hits = accesses(Skew::Uniform, entries, 0, 0, HITS_PER_ROUND);
    let requests = accesses(Skew::Zipf(0.9), entries * UNIVERSE, 0, 1, REQUESTS_PER_ROUND * rounds);
    let keys: Vec<Key> = (0..entries * UNIVERSE).map(Key::of).collect();
    let mut right = true;
    for _ in 0..rounds {
        rows.iter_mut().for_each(|row| right &= row.hit(&keys, &hits));
    }
    for some in requests.chunks(REQUESTS_PER_ROUND) {
        rows.iter_mut().for_each(|row| right &= row.churn(&keys, some));
    }
    // Last, because nothing that is asked for is there afterwards.
    for round in 0..rounds {
        rows.iter_mut().for_each(|row| right &= row.put(entries * UNIVERSE + round * REQUESTS_PER_ROUND));
    }
    let filled: Vec<Option<f64>> = rows.iter().map(|row| counted(row.policy, &args.settings)).collect();
    report(&rows, &filled);
    if !right {
        println!("OUR LIBRARY FAILED: a value was wrong, missing, or could not be stored");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Row {
    policy: &'static str,
    /// As large as all that is asked for in it.
    roomy: Engine,
    full: Engine,
    value: Value,
    /// The quickest round, in nanoseconds an operation.
    hit_ns: f64,
    churn_ns: f64,
    put_ns: f64,
    /// Of all rounds of the churn.
    hits: usize,
    requests: usize,
}

fn open(policy: &str, shape: Shape, shards: &str, settings: &Settings) -> Result<Engine, String> {
    let mut settings = settings.clone();
    settings.options.push(("memory.policy".into(), policy.into()));
    settings.options.push(("memory.shards".into(), shards.into()));
    engines::open(OURS, shape, &settings)
}

fn is_stored(engine: &Engine, key: &Key, id: u32, value: &mut Value) -> bool {
    engine.put(key.bytes(), value.stamp(id)) == OK
}

impl Row {
    fn open(policy: &'static str, entries: usize, settings: &Settings) -> Result<Row, String> {
        let exactly = Shape { capacity: entries, expected: entries, grows: false };
        let (roomy, full) =
            (open(policy, Shape::with_headroom(entries), "0", settings)?, open(policy, exactly, "0", settings)?);
        let mut value = Value::new();
        for id in 0..entries {
            for engine in [&roomy, &full] {
                if !is_stored(engine, &Key::of(id), id as u32, &mut value) {
                    return Err("it could not be filled".into());
                }
            }
        }
        let never = f64::INFINITY;
        Ok(Row { policy, roomy, full, value, hit_ns: never, churn_ns: never, put_ns: never, hits: 0, requests: 0 })
    }

    fn hit(&mut self, keys: &[Key], order: &[u32]) -> bool {
        let mut buffer = [0; VALUE_LEN];
        let (begun, mut right) = (Instant::now(), true);
        for id in order {
            let found = self.roomy.read(keys[*id as usize].bytes(), &mut buffer).is_ok();
            right &= found && Value::ends_match(*id, &buffer);
        }
        self.hit_ns = self.hit_ns.min(begun.elapsed().as_nanos() as f64 / order.len() as f64);
        right
    }

    fn churn(&mut self, keys: &[Key], order: &[u32]) -> bool {
        let mut buffer = [0; VALUE_LEN];
        let (begun, mut right) = (Instant::now(), true);
        for id in order.iter().map(|id| id & !PUT) {
            let key = &keys[id as usize];
            if self.full.read(key.bytes(), &mut buffer).is_ok() {
                right &= Value::ends_match(id, &buffer);
                self.hits += 1;
            } else {
                right &= is_stored(&self.full, key, id, &mut self.value);
            }
        }
        self.churn_ns = self.churn_ns.min(begun.elapsed().as_nanos() as f64 / order.len() as f64);
        self.requests += order.len();
        right
    }

    fn put(&mut self, from: usize) -> bool {
        let keys: Vec<Key> = (from..from + REQUESTS_PER_ROUND).map(Key::of).collect();
        let (begun, mut right) = (Instant::now(), true);
        for (number, key) in keys.iter().enumerate() {
            right &= is_stored(&self.full, key, (from + number) as u32, &mut self.value);
        }
        self.put_ns = self.put_ns.min(begun.elapsed().as_nanos() as f64 / keys.len() as f64);
        right
    }
}

/// What the library counts for a full cache that has evicted twice as many entries as it holds, and has had hits.
fn counted(policy: &str, settings: &Settings) -> Option<f64> {
    let shape = Shape { capacity: MEASURED, expected: MEASURED, grows: false };
    let engine = open(policy, shape, "1", settings).ok()?;
    let (mut value, mut buffer) = (Value::new(), [0; VALUE_LEN]);
    for id in 0..3 * MEASURED {
        is_stored(&engine, &Key::of(id), id as u32, &mut value);
        // Not all of what was stored is there; of some, every other is asked for once.
        let _ = engine.read(Key::of(id / 2 * 2).bytes(), &mut buffer);
    }
    engine.account().map(|account| account.counted as f64)
}

fn report(rows: &[Row], filled: &[Option<f64>]) {
    let cheapest = rows.iter().map(|row| row.hit_ns).fold(f64::INFINITY, f64::min);
    let of = |policy: &str| rows.iter().position(|row| row.policy == policy);
    let without_books = of("fifo").and_then(|place| filled[place]);
    println!(
        "\n  {:<12}{:>9}{:>14}{:>9}{:>16}{:>10}{:>9}{:>9}",
        "policy", "hit ns", "to cheapest", "put ns", "evictions/s", "churn ns", "hits", "books"
    );
    for (row, filled) in rows.iter().zip(filled) {
        let books = filled.zip(without_books).map(|(all, entries)| (all - entries) / MEASURED as f64);
        println!(
            "  {:<12}{:>9.1}{:>13.1}%{:>9.0}{:>16.0}{:>10.0}{:>8.1}%{:>9}",
            row.policy,
            row.hit_ns,
            percent_over(row.hit_ns, cheapest),
            row.put_ns,
            1e9 / row.put_ns,
            row.churn_ns,
            100.0 * row.hits as f64 / row.requests as f64,
            books.map_or("-".into(), |books| format!("{books:.1}")),
        );
    }
    println!();
    for (policy, goal) in HIT_GOALS {
        if let Some(place) = of(policy) {
            goal_line(
                &format!("a hit with {policy}, beyond the cheapest"),
                percent_over(rows[place].hit_ns, cheapest),
                *goal,
            );
        }
    }
    if let (Some(adaptive), Some(s3fifo)) = (of("adaptive"), of("s3fifo")) {
        let over = percent_over(rows[adaptive].churn_ns, rows[s3fifo].churn_ns);
        goal_line("churn with adaptive, beyond s3fifo", over, ADAPTIVE_CHURN_GOAL);
        if let Some(all) = filled[adaptive] {
            goal_line("shadows of adaptive, of the memory", 100.0 * SHADOW_BYTES / (all + SHADOW_BYTES), SHADOWS_GOAL);
        }
    }
}

fn percent_over(this: f64, other: f64) -> f64 {
    100.0 * (this / other - 1.0)
}

fn goal_line(what: &str, percent: f64, most: f64) {
    let verdict = if percent <= most { "reached" } else { "MISSED" };
    println!("  {what:<44}{percent:>7.1}%   at most {most:>4.0}%   {verdict}");
}
