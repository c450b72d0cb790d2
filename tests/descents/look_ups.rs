//! Look-ups beside a put, a remove and a purge, of one key and of two.

use crate::schedules::explore_changes;
use crate::stack::{ONE, TWO};
use crate::steps::Step::{Evict, GetOther, PurgeAll, PutMany, PutOther, RemoveMany};
use crate::steps::{
    Start, Step, ACQUIRE, COPY, GETS, LEASE, MANY, PURGES_ALL, PURGES_PATTERN, PURGES_PREFIX, PURGES_TAG,
};
use crate::{model, race};
use catzilla_cache::choose_at_locks_only;

/// Who looks, who waits, and who has written in between.
#[test]
fn look_ups_beside_a_put() {
    for gets in GETS {
        race(4, ONE, "2", Start::Below, &[&[Step::Put, Evict, ACQUIRE], gets, &[COPY]]);
    }
    race(1, ONE, "2", Start::Memory, &[&[Step::Put, Evict, ACQUIRE], &[Evict, COPY], &[COPY, COPY]]);
    race(1, ONE, "2", Start::Nowhere, &[&[PutMany, Evict, ACQUIRE], &[COPY, MANY], &[COPY]]);
}

#[test]
fn look_ups_beside_a_remove() {
    for gets in GETS {
        race(4, ONE, "2", Start::Below, &[&[Step::Remove, ACQUIRE, Step::Put, Evict, COPY], gets, &[COPY]]);
    }
    race(1, ONE, "2", Start::Memory, &[&[RemoveMany, LEASE], &[Evict, COPY, COPY], &[MANY]]);
}

/// A purge takes no turns: what somebody is about to take up, or to fill a tier with, it waits for or outdates.
#[test]
fn look_ups_beside_a_purge() {
    for purge in [PURGES_ALL, PURGES_PREFIX, PURGES_PATTERN, PURGES_TAG] {
        race(1, ONE, "2", Start::Below, &[purge, &[COPY, COPY], &[MANY]]);
        race(1, TWO, "2", Start::Lowest, &[purge, &[COPY, COPY], &[MANY]]);
    }
    race(1, TWO, "2", Start::Lowest, &[PURGES_TAG, &[LEASE, COPY], &[ACQUIRE]]);
    // What is found in the second tier while it goes is not to be seen in the first one after another has missed it.
    race(12, TWO, "2", Start::Lowest, &[&[PurgeAll], &[COPY, COPY], &[COPY]]);
}

/// Memory has room for one entry: each look-up drives out what the other thread looks for.
#[test]
fn look_ups_of_two_keys_beside_writes() {
    race(2, ONE, "1", Start::Below, &[&[Step::Put, PutOther, ACQUIRE], &[COPY, GetOther], &[GetOther, COPY]]);
    race(
        2,
        ONE,
        "1",
        Start::Memory,
        &[&[Step::Remove, GetOther, Step::Put, PutOther, COPY], &[MANY, GetOther], &[COPY]],
    );
}

/// One misses a key, another brings it up and writes it; while that is about to reach memory the first has the descent, or the lease,
/// and finds in memory what is about to go; and then the other one comes to wait for it.
#[test]
fn what_is_about_to_leave_memory_is_not_handed_on() {
    let threads: [&[&'static [Step]]; 3] = [
        &[&[COPY, Step::Remove, COPY], &[COPY]],
        &[&[COPY, Step::Remove, LEASE], &[LEASE]],
        &[&[Step::Remove, COPY], &[COPY], &[COPY]],
    ];
    for threads in threads {
        let (variant, model) = model(ONE, "2", Start::Below, threads);
        choose_at_locks_only(true);
        explore_changes(3, 50, &variant, model);
    }
}
