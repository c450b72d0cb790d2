//! Models of descents: who looks below memory for a key, what is taken up, and who waits for whose look-up (`src/cache/descent.rs`,
//! `load.rs`, `everywhere.rs`, with what they stand on: `flight.rs`, `turns.rs`, `lower.rs`). The cache is the whole one, with its
//! memory of one or two entries, over one or two fake tiers, each call on which is a step; two or three threads do a few steps each,
//! and a scheduler decides at every lock, and in half of the runs at every atomic access too, which of them goes on.
//!
//! A key has one writer, so its states are a list, and a read is right if it can be a moment between its beginning and its end: it
//! sees nothing older than a write that had ended before it began, nor than what another read had seen that had ended by then, and
//! nothing that nobody has begun to write. A key that is there is never missed. What is true at the end is what was written last, in
//! memory and in each tier. Time stands still, so who waits for what never comes waits forever, and the scheduler sees that.
//!
//! Not modelled: queues before a tier and the thread that empties them, tiers that fail, several processes. For these there are
//! `src/cache/tests` and `tests/tiers.rs`.
//!
//! Built, run and run again as `races`.
#![cfg(shuttle)]

mod loads;
mod look_ups;
#[path = "../support/schedules.rs"]
mod schedules;
mod stack;
mod steps;
mod tiers;

use catzilla_cache::{choose_at_locks_only, TierName};
use schedules::{explore_eighths, join};
use shuttle::thread::spawn;
use stack::Stack;
use std::sync::Arc;
use steps::{Start, Step};

/// Explores a model with choices at locks only, where it takes little and many schedules can be tried, and with choices everywhere.
fn explore(times: usize, variant: &str, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    for (locks_only, eighths, choices) in [(true, 4 * times, "locks"), (false, times, "all")] {
        let model = model.clone();
        choose_at_locks_only(locks_only);
        explore_eighths(eighths, &format!("{variant}, {choices}"), move || model());
    }
}

/// Threads that do these steps beside each other; the first alone may write [`KEY`].
fn race(times: usize, tiers: &'static [TierName], capacity: &'static str, start: Start, threads: &[&'static [Step]]) {
    let (variant, model) = model(tiers, capacity, start, threads);
    explore(times, &variant, model);
}

fn model(
    tiers: &'static [TierName],
    capacity: &'static str,
    start: Start,
    threads: &[&'static [Step]],
) -> (String, impl Fn() + Send + Sync + 'static) {
    let threads = threads.to_vec();
    let variant = format!("{} tiers, {capacity}, {start:?}, {threads:?}", tiers.len());
    let model = move || {
        let demotes = if start == Start::MemoryOnly { "on" } else { "off" };
        let set = [("memory.capacity", capacity), ("cache.demote", demotes)];
        let stack = Stack::open(tiers, &set).begin(tiers, start, threads[0]);
        let run = |steps: &&'static [Step]| {
            let (stack, steps) = (stack.clone(), *steps);
            spawn(move || stack.run(steps))
        };
        // All of them, before the first is waited for.
        let threads: Vec<_> = threads.iter().map(run).collect();
        join(threads);
        stack.end(tiers);
    };
    (variant, model)
}
