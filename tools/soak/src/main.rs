//! `soak`: uses catzilla-cache in every way at once, for as long as you like, and checks every byte that comes back.
//!
//! A stranger to the library, as the replay tool is: it loads the built shared object and calls nothing but the C interface,
//! so it needs no build of its own for another version and can watch the whole process: its memory, its threads, its forks.
//!
//! `flock` has the caches of a round and what is known of their keys, `worker` makes the calls and judges the answers,
//! `value` is what is stored, `library` the C interface, `system` the operating system, `blackbox` knows what every
//! thread is doing. This file runs the rounds and looks at what they leave behind.

#![deny(unsafe_code)]

mod arguments;
mod blackbox;
mod flock;
#[allow(unsafe_code)]
mod library;
mod random;
#[allow(unsafe_code)]
mod system;
mod value;
mod worker;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use arguments::Arguments;
use blackbox::{about_to, Op, NAMES};
use flock::{Flock, Kept, Member};
use library::{Library, OK};
use random::Random;
use worker::{check_kept, use_in_child, wrong, Tally, Worker};

/// Seconds that nothing may take: so many that reaching them means "never".
static PATIENCE: AtomicU64 = AtomicU64::new(0);

fn patience() -> Duration {
    Duration::from_secs(PATIENCE.load(Ordering::Relaxed))
}

/// What the process may take beyond what the caches were told and their values that are held: stacks and buffers of the
/// threads, removed entries that wait for their last reader, and what two allocators keep.
const ALLOWANCE: u64 = 256 << 20;

const KIB: u64 = 1 << 10;

/// What the allocators may keep when all caches are gone.
const REMAINDER: u64 = 32 << 20;

static SEED: AtomicU64 = AtomicU64::new(0);
static ROUND: AtomicU64 = AtomicU64::new(0);

/// For the last words of a failing run.
pub fn round_in_words() -> String {
    let (seed, round) = (SEED.load(Ordering::Relaxed), ROUND.load(Ordering::Relaxed));
    format!("round {round} of --seed {seed}")
}

fn main() -> ExitCode {
    system::one_heap();
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => return refused(&error.to_string()),
    };
    match locate(&arguments).and_then(|path| Library::load(&path)) {
        Ok(library) => {
            soak(&library, &arguments);
            ExitCode::SUCCESS
        }
        Err(error) => refused(&error),
    }
}

fn refused(why: &str) -> ExitCode {
    eprintln!("soak: {why}");
    ExitCode::from(2)
}

/// As the replay tool: named, or in the environment, or beside this program.
fn locate(arguments: &Arguments) -> Result<PathBuf, String> {
    let named = arguments.library.clone().or_else(|| env::var_os("CATZILLA_CACHE_LIBRARY").map(PathBuf::from));
    let path = named.unwrap_or_else(|| env::current_exe().unwrap_or_default().with_file_name("libcatzilla_cache.so"));
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

/// What all rounds add up to.
#[derive(Default)]
struct Total {
    tally: Mutex<Vec<u64>>,
    threads: AtomicU64,
    high_water: AtomicU64,
}

impl Total {
    fn add(&self, tally: &Tally) {
        let mut total = self.tally.lock().expect("no thread fails and goes on");
        total.resize(NAMES.len(), 0);
        total.iter_mut().zip(tally).for_each(|(total, count)| *total += count);
    }
}

fn soak(library: &Library, arguments: &Arguments) {
    let begun = Instant::now();
    let total = Total::default();
    let threads_at_start = system::threads();
    PATIENCE.store(arguments.patience, Ordering::Relaxed);
    SEED.store(arguments.seed, Ordering::Relaxed);
    println!(
        "soak: catzilla-cache {}, policies {}, batches {}, {} threads, --seed {}",
        library.version,
        library.range("memory.policy").unwrap_or("not told"),
        if library.has_batches() { "yes" } else { "no" },
        arguments.threads,
        arguments.seed
    );
    let mut resident_at_start = 0;
    for round in 0.. {
        let left = arguments.time.saturating_sub(begun.elapsed());
        if round > 0 && left.is_zero() {
            break;
        }
        ROUND.store(round, Ordering::Relaxed);
        system::say_when_crashing(format!(
            "soak: FAILED: a crash in {}; what the threads were doing:\n",
            round_in_words()
        ));
        // The first round warms up what is set up once in a process: pools, tables, the allocators' own.
        if round == 1 {
            system::trim();
            resident_at_start = system::resident();
        }
        one_round(library, arguments, round, arguments.round.min(left), &total);
        expect_threads(threads_at_start);
        expect_memory_back(resident_at_start);
        println!("soak: {}: well, {} MiB resident afterwards", round_in_words(), system::resident() >> 20);
    }
    report(&total, begun.elapsed(), resident_at_start);
}

fn one_round(library: &Library, arguments: &Arguments, round: u64, time: Duration, total: &Total) {
    about_to(Op::Open, 0, 0);
    let flock = Flock::open(library, arguments.seed, round)
        .unwrap_or_else(|error| system::die(&format!("soak: FAILED: open: {error}\nsoak: {}\n", round_in_words())));
    // Values that are held at the same time are few, but may all be the largest.
    let limit = system::resident() + flock.configured_bytes() + ALLOWANCE;
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    thread::scope(|scope| {
        let lanes: Vec<_> =
            (1..=arguments.threads).map(|lane| start_lane(scope, lane, &flock, round, &stop, total)).collect();
        let over = || {
            stop.store(begun.elapsed() >= time, Ordering::Relaxed);
            lanes.iter().all(ScopedJoinHandle::is_finished)
        };
        watch(&flock, arguments, limit, total, over);
        lanes.into_iter().for_each(join);
    });
    for (number, member) in flock.members.iter().enumerate() {
        about_to(Op::Books, number, 0);
        let mut kept = flock.kept.lock().expect("no thread fails and goes on");
        for kept in kept.extract_if(.., |kept| kept.place.0 == number) {
            check_kept(&kept, member);
        }
        drop(kept);
        the_books_balance(member);
    }
    destroy(flock);
}

/// One thread after the other, each with some thousand calls.
fn start_lane<'s, 'e: 's, 'l: 'e>(
    scope: &'s Scope<'s, 'e>,
    lane: usize,
    flock: &'e Flock<'l>,
    round: u64,
    stop: &'e AtomicBool,
    total: &'e Total,
) -> ScopedJoinHandle<'s, ()> {
    scope.spawn(move || {
        let mut lengths = Random::of(&[SEED.load(Ordering::Relaxed), round, lane as u64]);
        for generation in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let calls = 20 + lengths.below(6_000);
            let seed = [SEED.load(Ordering::Relaxed), round, lane as u64, generation];
            join(scope.spawn(move || {
                blackbox::enter(lane);
                total.add(&Worker::new(flock, &seed).work(calls));
            }));
            total.threads.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// Waits for the thread itself, with all that the library does when it ends.
fn join(thread: ScopedJoinHandle<'_, ()>) {
    if thread.join().is_err() {
        system::die(&format!("soak: FAILED: a thread panicked\nsoak: {}\n", round_in_words()));
    }
}

/// Looks after the round until its last thread has ended: memory, progress, forks.
fn watch(flock: &Flock<'_>, arguments: &Arguments, limit: u64, total: &Total, over: impl Fn() -> bool) {
    let mut random = Random::of(&[arguments.seed, ROUND.load(Ordering::Relaxed)]);
    let mut progress = vec![(0, Instant::now()); arguments.threads + 1];
    let mut next_fork = Instant::now();
    loop {
        let resident = system::resident();
        total.high_water.fetch_max(resident, Ordering::Relaxed);
        if resident > limit {
            let words = format!("{} MiB are resident, {} MiB are allowed", resident >> 20, limit >> 20);
            system::die(&format!("soak: FAILED: {words}\nsoak: {}\n", round_in_words()));
        }
        for (lane, (count, since)) in progress.iter_mut().enumerate().skip(1) {
            let now = blackbox::begun(lane);
            if now != *count {
                (*count, *since) = (now, Instant::now());
            } else if since.elapsed() > patience() {
                blackbox::write_lanes(|line| eprint!("{}", String::from_utf8_lossy(line)));
                system::die(&format!("soak: FAILED: thread {lane} hangs\nsoak: {}\n", round_in_words()));
            }
        }
        if Instant::now() >= next_fork {
            fork(flock, random.next(), total);
            next_fork = Instant::now() + Duration::from_millis(200 + random.below(1_500) as u64);
        }
        if over() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn fork(flock: &Flock<'_>, seed: u64, total: &Total) {
    about_to(Op::Fork, 0, 0);
    let mut tally = [0; NAMES.len()];
    tally[Op::Fork as usize] = 1;
    total.add(&tally);
    let ended = system::fork(|| {
        use_in_child(flock, seed);
        let first = &flock.members[0];
        // One of its own, opened and ended there.
        match first.cache.library().open(&first.options) {
            Ok(own) => i32::from(own.put(b"key", b"value", 0) != OK),
            Err(error) => wrong(first, &format!("open in a forked child: {error}")),
        }
    });
    if let Some(how) = ended {
        system::die(&format!("soak: FAILED: a forked child: {how}\nsoak: {}\n", round_in_words()));
    }
}

/// All threads have ended, and nothing of the cache is held.
fn the_books_balance(member: &Member<'_>) {
    let figures = || {
        let (status, figures) = member.cache.statistics();
        if status != OK {
            wrong(member, &format!("statistics: status {status}"));
        }
        member.saw_entries(figures.entries);
        figures
    };
    the_counter_is_exact(member);
    let counts = [&member.counts.hits, &member.counts.misses, &member.counts.puts, &member.counts.removals];
    let [hits, misses, puts, removals] = counts.map(|count| count.load(Ordering::Relaxed));
    let told = figures();
    let either = member.counts.either.load(Ordering::Relaxed);
    let perhaps = member.counts.perhaps_puts.load(Ordering::Relaxed);
    let right = told.hits + told.misses == hits + misses + either
        && (hits..=hits + either).contains(&told.hits)
        && (puts..=puts + perhaps).contains(&told.puts)
        && told.removals == removals;
    if !right {
        let words = format!("{hits} hits, {misses} misses, {either} of either, {puts} puts, {perhaps} that may be");
        wrong(member, &format!("{words}, {removals} removals, but {told:?}"));
    }
    if told.entries > told.capacity || told.bytes > told.max_bytes {
        wrong(member, &format!("more than it may hold: {told:?}"));
    }
    if told.entries + told.evictions + told.expirations + told.removals > told.puts {
        wrong(member, &format!("more entries came and went than were put: {told:?}"));
    }
    if member.kind.is_strict() && told.evictions > 0 {
        wrong(member, &format!("evictions in a cache with room for all: {told:?}"));
    }

    // An entry may expire between a sweep and the look at it; then there has to be another look.
    let patience = Instant::now() + patience();
    loop {
        member.cache.sweep();
        let there = member.slots.iter().filter(|slot| member.cache.contains(&slot.key) == OK).count() as u64;
        let entries = figures().entries;
        if entries == there {
            break;
        }
        if Instant::now() > patience {
            wrong(member, &format!("{entries} entries are counted, {there} keys are there"));
        }
        thread::sleep(Duration::from_millis(10));
    }

    member.cache.purge(None);
    loop {
        let left = figures();
        if left.entries > 0 || left.bytes != left.index_bytes || member.cache.memory_usage() != left.bytes {
            wrong(member, &format!("after a purge of all: {left:?}"));
        }
        // Twice what the library promises: the peak was only sampled, and shards have theirs at different times.
        let index_may_keep = 32 * member.peak.load(Ordering::Relaxed) + 64 * KIB;
        if left.index_bytes > index_may_keep {
            wrong(member, &format!("an empty index of more than {index_may_keep} bytes: {left:?}"));
        }
        if left.lent_bytes == 0 {
            break;
        }
        if Instant::now() > patience {
            wrong(member, &format!("{} bytes are lent to nobody", left.lent_bytes));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// What all threads have added is there, if nothing can have removed it; and goes.
fn the_counter_is_exact(member: &Member<'_>) {
    let mut digits = [0; 20];
    let added = member.counts.added.load(Ordering::Relaxed);
    if let (true, 1..) = (member.kind.is_strict(), added) {
        let (status, len) = member.cache.read(flock::COUNTER, &mut digits);
        member.counts.hits.fetch_add(1, Ordering::Relaxed);
        let counted = String::from_utf8_lossy(&digits[..len]);
        if status != OK || counted != added.to_string() {
            wrong(member, &format!("{added} was added, but the counter is {counted:?}"));
        }
    }
    let removed = member.cache.remove(flock::COUNTER) == OK;
    member.counts.removals.fetch_add(u64::from(removed), Ordering::Relaxed);
}

/// Ends all caches. Some values are held meanwhile: they are to outlive them.
fn destroy(flock: Flock<'_>) {
    let mut value = Vec::new();
    let mut survivors = Vec::new();
    for (cache, member) in flock.members.iter().enumerate() {
        for (number, slot) in member.slots.iter().enumerate().take(3) {
            about_to(Op::Destroy, cache, number);
            let version = u64::MAX - number as u64;
            value::make(&mut value, slot.id, version, 64 + 300 * number);
            if member.cache.put(&slot.key, &value, library::FOREVER) == OK {
                if let (OK, Some(held)) = member.cache.acquire(&slot.key) {
                    survivors.push(Kept { held, id: slot.id, version, place: (cache, number) });
                }
            }
        }
    }
    // Nothing of the caches is left but their values and what is needed to tell of a failure.
    let members: Vec<_> = flock.members;
    let described: Vec<String> = members.iter().map(|member| format!("{:?}", member.options)).collect();
    drop(members);
    for kept in &survivors {
        if value::prove(kept.held.bytes(), kept.id) != Ok(kept.version) {
            let what = format!("a value of {} did not outlive its cache", described[kept.place.0]);
            system::die(&format!("soak: FAILED: {what}\nsoak: {}\n", round_in_words()));
        }
    }
}

/// Threads of the library end with their caches.
fn expect_threads(at_start: usize) {
    let patience = Instant::now() + patience();
    while system::threads() > at_start {
        if Instant::now() > patience {
            let words = format!("{} threads are left, {at_start} were there at the start", system::threads());
            system::die(&format!("soak: FAILED: {words}\nsoak: {}\n", round_in_words()));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Memory goes back with the caches; nothing to compare with in the first round.
fn expect_memory_back(at_start: u64) {
    if at_start == 0 {
        return;
    }
    let patience = Instant::now() + patience();
    loop {
        system::trim();
        let resident = system::resident();
        if resident <= at_start + REMAINDER {
            return;
        }
        if Instant::now() > patience {
            let words = format!("{} MiB are resident without a cache, {} at the start", resident >> 20, at_start >> 20);
            system::die(&format!("soak: FAILED: {words}\nsoak: {}\n", round_in_words()));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn report(total: &Total, time: Duration, resident_at_start: u64) {
    let tally = total.tally.lock().expect("no thread fails and goes on");
    let calls: u64 = tally.iter().sum();
    println!("soak: all is well; calls by kind:");
    for (name, count) in NAMES.iter().zip(tally.iter()).filter(|(_, count)| **count > 0) {
        println!("soak: {count:>12}  {name}");
    }
    println!("soak: {calls:>12}  in all, {:.0} a second", calls as f64 / time.as_secs_f64());
    println!("soak: {:>12}  threads came and went", total.threads.load(Ordering::Relaxed));
    let high_water = total.high_water.load(Ordering::Relaxed) >> 20;
    let (start, end) = (resident_at_start >> 20, system::resident() >> 20);
    println!("soak: {high_water:>8} MiB  resident at most; {start} after the first round, {end} at the end");
}
