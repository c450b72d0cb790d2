//! Models: the engine itself, on tiny caches, two or three threads, and a scheduler that decides at every atomic access and
//! every lock which of them goes on. One test for each race that matters, thousands of schedules each, the same every time.
//!
//! Built with `--cfg shuttle` only; `tools/model` does that. Then freed memory is filled with a pattern and kept, and whoever
//! meets the pattern fails; leases are short, batches small, and retired entries are freed as soon as anything is retired.
//!
//! A look-up in a model is checked against the history of its key, which has one writer: what is seen is something that was
//! stored, whole, and nothing older than what was seen before.
//!
//! What fails prints its schedule. `CATZILLA_MODEL_REPLAY=<that>` runs it again, with the name of the test and the variant
//! that was printed; `CATZILLA_MODEL_SCHEDULES` says how many schedules each scheduler tries for each variant.
#![cfg(shuttle)]
#![allow(unsafe_code)]

mod growth;
mod listener;
mod loads;
mod look_ups;
mod model;
mod results;
#[path = "../support/schedules.rs"]
mod schedules;
mod shards;
mod updates;

use catzilla_cache::Purge;
use growth::{full, FULL, GROWING};
use model::Way;
use schedules::{config, SCHEDULES, SEED};
use shuttle::scheduler::{RandomScheduler, UncontrolledNondeterminismCheckScheduler};
use shuttle::thread::spawn;
use shuttle::Runner;

/// What makes a schedule that has failed worth keeping, and the seeds worth anything.
#[test]
fn the_same_choices_are_the_same_run() {
    let model = || {
        let model = full(GROWING);
        let (here, there) = (model.clone(), model.clone());
        let reader = spawn(move || here.look(Way::Acquire, &[0, 5, 12]));
        let writer = spawn(move || {
            there.put(FULL, 0);
            there.cache.purge(Purge::Prefix(b"key-a"));
            there.put(0, 1);
        });
        reader.join().unwrap();
        writer.join().unwrap();
        model.end();
    };
    let scheduler = RandomScheduler::new_from_seed(SEED, SCHEDULES);
    Runner::new(UncontrolledNondeterminismCheckScheduler::new(scheduler), config()).run(model);
}
