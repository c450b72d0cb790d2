//! What goes from one tier to another beside writes, and what writers leave in all of them.

use crate::schedules::{join, name, value};
use crate::stack::{Stack, KEY, TWO};
use crate::steps::Step::{Evict, EvictUpper, PutMany, PutOther, RemoveMany, Touch};
use crate::steps::{Start, Step, Way, ACQUIRE, COPY, GETS, MANY, PURGES_ALL};
use crate::{explore, race};
use catzilla_cache::{Put, TierName, Ttl};
use shuttle::thread::spawn;

/// What is found in the second tier goes into the first, but not over what was written meanwhile.
#[test]
fn filling_a_tier_beside_writes() {
    for gets in GETS {
        race(1, TWO, "2", Start::Lowest, &[&[Step::Put, Evict, ACQUIRE], gets, &[Evict, COPY]]);
        race(1, TWO, "2", Start::Lowest, &[&[Step::Remove, ACQUIRE, PutMany, Evict, MANY], gets, &[COPY]]);
    }
    race(1, TWO, "2", Start::Lowest, &[&[Touch, Evict, EvictUpper, ACQUIRE, RemoveMany, COPY], &[COPY], &[MANY]]);
}

/// What memory evicts goes to the disk, unless its key was written meanwhile.
#[test]
fn demotion_beside_writes() {
    race(1, TWO, "1", Start::MemoryOnly, &[&[Step::Put, COPY], &[PutOther, COPY], &[COPY]]);
    race(1, TWO, "1", Start::MemoryOnly, &[&[Step::Remove, COPY, Step::Put, COPY], &[PutOther, MANY]]);
    race(1, TWO, "1", Start::MemoryOnly, &[PURGES_ALL, &[PutOther, COPY]]);
}

/// Two that write one key: whoever was last, memory and all tiers agree.
#[test]
fn writers_beside_each_other_leave_the_tiers_alike() {
    let writes: [(&str, fn(&Stack, u8)); 3] = [
        ("put", |stack, version| stack.put(KEY, version)),
        ("remove", |stack, _| _ = stack.cache.remove(&name(KEY))),
        ("put_many", |stack, version| {
            let (name, value) = (name(KEY), value(KEY, version));
            stack.cache.put_many(&mut [Put::new(&name, &value, Ttl::Forever)]);
        }),
    ];
    for (what, write) in writes {
        explore(1, what, move || {
            let stack = Stack::open(TWO, &[("memory.capacity", "2")]);
            stack.put(KEY, 0);
            stack.evict(TierName::Memory, KEY);
            stack.evict(TierName::Redis, KEY);
            let (a, b, c) = (stack.clone(), stack.clone(), stack.clone());
            let writers = [spawn(move || a.put(KEY, 1)), spawn(move || write(&b, 2))];
            let reader = spawn(move || c.look(Way::Many));
            join(writers);
            reader.join().unwrap();
            let last = stack.look(Way::Copy);
            assert!(last == Some(1) || last == if what == "remove" { None } else { Some(2) });
            for tier in [TierName::Memory, TierName::Redis] {
                stack.evict(tier, KEY);
                stack.evict(TierName::Memory, KEY);
                assert_eq!(stack.look(Way::Copy), last);
            }
        });
    }
}
