//! What models have in common: under which schedules each runs, how one that has failed runs again, and values that show when they
//! are torn, foreign or old. Used by `races` and `descents` through `#[path]`.
#![allow(dead_code, unreachable_pub)]
// What a failing test says of itself.
#![allow(clippy::print_stdout)]

use catzilla_cache::ffi::info::catzilla_last_error_code;
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, Runner};
use std::sync::Arc;

/// How many schedules of each scheduler, for each variant. Arbitrary: so that all of it takes some ten seconds.
pub const SCHEDULES: usize = 400;

/// Arbitrary, but the same every time.
pub const SEED: u64 = 0x0C47_211A;

/// Runs `model` under many schedules: those of a scheduler that chooses anew at each step, and those that have few changes
/// but at any place (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", 2010).
pub fn explore(variant: &str, model: impl Fn() + Send + Sync + 'static) {
    explore_more(1, variant, model);
}

/// As above, so many times as many schedules: for what needs changes at four places or more.
pub fn explore_more(times: usize, variant: &str, model: impl Fn() + Send + Sync + 'static) {
    explore_eighths(8 * times, variant, model);
}

/// As above, so many eighths of as many: for what has many variants.
pub fn explore_eighths(eighths: usize, variant: &str, model: impl Fn() + Send + Sync + 'static) {
    explore_under(variant, model, |schedules| {
        let schedules = (schedules * eighths / 8).max(1);
        let mut schedulers: Vec<Box<dyn Scheduler + Send>> =
            vec![Box::new(RandomScheduler::new_from_seed(SEED, schedules))];
        for depth in 2..=4 {
            schedulers.push(Box::new(PctScheduler::new_from_seed(SEED + depth as u64, depth, schedules)));
        }
        schedulers
    });
}

/// So many times as many schedules, all of them with so many changes: for what few steps but as many changes bring about.
pub fn explore_changes(changes: usize, times: usize, variant: &str, model: impl Fn() + Send + Sync + 'static) {
    explore_under(variant, model, |schedules| {
        vec![Box::new(PctScheduler::new_from_seed(SEED + changes as u64, changes + 1, schedules * times))]
    });
}

fn explore_under(
    variant: &str,
    model: impl Fn() + Send + Sync + 'static,
    schedulers: impl Fn(usize) -> Vec<Box<dyn Scheduler + Send>>,
) {
    let model = Arc::new(model);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let model = model.clone();
        Runner::new(scheduler, config()).run(move || {
            model();
            assert_eq!(catzilla_last_error_code(), 0, "a call has failed");
        });
    };
    let setting = |name: &str| std::env::var(name).ok();
    if setting("CATZILLA_MODEL_VARIANT").is_some_and(|wanted| wanted != variant) {
        return;
    }
    if let Some(schedule) = setting("CATZILLA_MODEL_REPLAY") {
        let schedule: String = schedule.split_whitespace().collect();
        return run(Box::new(ReplayScheduler::new_from_encoded(&schedule)));
    }
    println!("variant: {variant}");
    let schedules = setting("CATZILLA_MODEL_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    schedulers(schedules).into_iter().for_each(run);
}

pub fn config() -> Config {
    let mut config = Config::new();
    // LZ4 has tables on the stack.
    config.stack_size = 1 << 18;
    // That statics are dropped at the end of a run is what we want.
    config.silence_warnings = true;
    config
}

/// The number of a key, the version, a filling, and a checksum of them.
pub fn value(key: u8, version: u8) -> Vec<u8> {
    let mut value = vec![key, version];
    value.extend((0..70 + 8 * (version % 3)).map(|_| key ^ version));
    value.push(sum(&value));
    value
}

pub fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0x35, |sum, byte| sum.rotate_left(1) ^ byte)
}

/// The version of a value, which has to be whole, and `key`'s.
#[track_caller]
pub fn version(bytes: &[u8], key: u8) -> u8 {
    let (check, body) = bytes.split_last().expect("a value that was never stored");
    assert_eq!(*check, sum(body), "a torn value, or freed memory: {bytes:?}");
    assert_eq!(body[0], key, "another key's value");
    body[1]
}

/// Keys of different lengths.
pub fn name(key: u8) -> Vec<u8> {
    [b"key-".as_slice(), &[b'a' + key], &vec![b'-'; usize::from(key) % 3 * 6]].concat()
}

pub fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
