//! Who leaves when the cache is full, held against a model that knows all about time: the whole cache through its calls, where
//! the policies' own tests look at one room.

use catzilla_cache::{Cache, Clock, Options, Ttl, OPTIONS};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn open(policy: &str, capacity: u64, shards: &str) -> Arc<Cache> {
    let mut options = Options::new();
    options.set("memory.policy", policy).unwrap().set("memory.capacity", &capacity.to_string()).unwrap();
    options.set("memory.shards", shards).unwrap();
    Cache::open(&options).unwrap()
}

/// xorshift64; the tests have to be the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }
}

/// A policy in the plainest form there is.
trait Model {
    fn len(&self) -> u64;
    fn has(&self, key: u64) -> bool;
    fn hit(&mut self, key: u64);
    /// Stores a key that may be there.
    fn put(&mut self, key: u64);
    fn remove(&mut self, key: u64) -> bool;
    fn evict(&mut self) -> u64;
    fn keys(&self) -> Vec<u64>;
}

/// Keys by the time of their last use.
#[derive(Default)]
struct Lru {
    by_age: BTreeMap<u64, u64>,
    last_use: HashMap<u64, u64>,
    now: u64,
}

impl Model for Lru {
    fn len(&self) -> u64 {
        self.last_use.len() as u64
    }

    fn has(&self, key: u64) -> bool {
        self.last_use.contains_key(&key)
    }

    fn hit(&mut self, key: u64) {
        self.remove(key);
        self.now += 1;
        self.by_age.insert(self.now, key);
        self.last_use.insert(key, self.now);
    }

    fn put(&mut self, key: u64) {
        self.hit(key);
    }

    fn remove(&mut self, key: u64) -> bool {
        self.last_use.remove(&key).map(|at| self.by_age.remove(&at)).is_some()
    }

    fn evict(&mut self) -> u64 {
        let (_, key) = self.by_age.pop_first().unwrap();
        self.last_use.remove(&key);
        key
    }

    fn keys(&self) -> Vec<u64> {
        self.last_use.keys().copied().collect()
    }
}

/// Keys in the order in which they were stored, whether each was hit since the hand passed it, and the hand; without hits and
/// hand it is a FIFO.
struct Sieve {
    stored: VecDeque<(u64, bool)>,
    hand: usize,
    counts_hits: bool,
}

impl Sieve {
    fn new(counts_hits: bool) -> Self {
        Self { stored: VecDeque::new(), hand: 0, counts_hits }
    }

    fn place(&self, key: u64) -> Option<usize> {
        self.stored.iter().position(|(stored, _)| *stored == key)
    }

    fn take(&mut self, place: usize) -> u64 {
        if place < self.hand {
            self.hand -= 1;
        }
        let (key, _) = self.stored.remove(place).unwrap();
        // Behind the newest it is the oldest's turn, whatever is stored meanwhile.
        if self.hand == self.stored.len() {
            self.hand = 0;
        }
        key
    }
}

impl Model for Sieve {
    fn len(&self) -> u64 {
        self.stored.len() as u64
    }

    fn has(&self, key: u64) -> bool {
        self.place(key).is_some()
    }

    fn hit(&mut self, key: u64) {
        let place = self.place(key).unwrap();
        self.stored[place].1 = self.counts_hits;
    }

    fn put(&mut self, key: u64) {
        match self.place(key) {
            Some(_) => self.hit(key),
            None => self.stored.push_back((key, false)),
        }
    }

    fn remove(&mut self, key: u64) -> bool {
        self.place(key).map(|place| self.take(place)).is_some()
    }

    fn evict(&mut self) -> u64 {
        loop {
            if !self.stored[self.hand].1 {
                return self.take(self.hand);
            }
            self.stored[self.hand].1 = false;
            self.hand = (self.hand + 1) % self.stored.len();
        }
    }

    fn keys(&self) -> Vec<u64> {
        self.stored.iter().map(|(key, _)| *key).collect()
    }
}

/// Runs calls at random. Every victim has to be the model's: the cache holds as many entries as the model, and what the model
/// has let go is not among them, so they hold the same.
fn evicts_in_exact_order(mut model: impl Model, cache: &Cache, capacity: u64, calls: u64, most_hits: u64) {
    let mut random = Random(0x5EED + capacity);
    for call in 0..calls {
        // Some keys are far more popular than others.
        let spread = (2 * capacity) >> random.below(6);
        let key = random.below(spread.max(2));
        let bytes = key.to_le_bytes();
        match random.below(16) {
            0 => assert_eq!(cache.remove(&bytes), model.remove(key)),
            number if number <= most_hits => {
                let is_hit = model.has(key);
                assert_eq!(cache.acquire(&bytes).unwrap().is_some(), is_hit, "call {call}");
                if is_hit {
                    model.hit(key);
                }
            }
            _ => {
                let victim = (!model.has(key) && model.len() == capacity).then(|| model.evict());
                cache.put(&bytes, b"", Ttl::Forever).unwrap();
                model.put(key);
                if let Some(victim) = victim {
                    assert!(!cache.contains(&victim.to_le_bytes()), "call {call}: {victim} should have left");
                }
            }
        }
    }
    assert_eq!(cache.statistics().memory.entries, model.len());
    assert!(model.keys().iter().all(|key| cache.contains(&key.to_le_bytes())));
}

#[test]
fn lru_evicts_in_exact_order_in_a_cache_of_one_shard() {
    let calls = if cfg!(miri) { 300 } else { 200_000 };
    for capacity in [1, 2, 10, 1_000, 4_096] {
        for most_hits in [4, 12] {
            evicts_in_exact_order(Lru::default(), &open("lru", capacity, "0"), capacity, calls, most_hits);
        }
    }
    // One that was asked for.
    evicts_in_exact_order(Lru::default(), &open("lru", 20_000, "1"), 20_000, 2 * calls, 8);
}

#[test]
fn fifo_and_sieve_evict_in_exact_order_in_a_cache_of_one_shard() {
    let calls = if cfg!(miri) { 300 } else { 20_000 };
    for (policy, counts_hits) in [("fifo", false), ("sieve", true)] {
        for capacity in [1, 2, 10, 500] {
            for most_hits in [4, 12] {
                let cache = open(policy, capacity, "0");
                evicts_in_exact_order(Sieve::new(counts_hits), &cache, capacity, calls, most_hits);
            }
        }
    }
}

/// The hand passes whatever was hit, however much that is.
#[test]
fn sieve_is_exact_after_everything_was_asked_for() {
    let capacity = if cfg!(miri) { 100 } else { 4_096 };
    let cache = open("sieve", capacity, "1");
    (0..capacity).for_each(|key| cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap());
    for key in 0..capacity {
        assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some());
    }
    for key in 0..capacity {
        cache.put(&(capacity + key).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "number {key} should have left");
    }
}

#[test]
fn lfu_keeps_what_is_asked_for_most_often_until_it_has_aged() {
    const CAPACITY: u64 = 100;
    let cache = open("lfu", CAPACITY, "1");
    let put = |key: u64| cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
    let has = |key: u64| cache.contains(&key.to_le_bytes());
    (0..CAPACITY).for_each(put);
    // Number 0 once, number 1 twice ...
    for key in 0..20_u64 {
        (0..=key).for_each(|_| assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some()));
    }
    // A scan takes the places of those that were never asked for, the first one first.
    for key in CAPACITY..2 * CAPACITY - 20 {
        put(key);
        assert!(!has(key - CAPACITY + 20) && (0..20).all(has));
    }
    // It goes on, and each round of it is worth one use.
    let mut lost = Vec::new();
    for key in 2 * CAPACITY..30 * CAPACITY {
        put(key);
        lost.extend((0..20).filter(|key| !has(*key) && !lost.contains(key)).collect::<Vec<_>>());
    }
    assert_eq!(lost, (0..20).collect::<Vec<_>>(), "the least popular first, and in the end all");
    // What is stored again was used.
    (0..CAPACITY).for_each(put);
    (0..10).for_each(put);
    (CAPACITY..2 * CAPACITY - 10).for_each(put);
    assert!((0..10).all(has) && !(10..CAPACITY).any(has));
}

#[test]
fn ttl_evicts_what_expires_soonest() {
    const CAPACITY: u64 = if cfg!(miri) { 30 } else { 1_000 };
    let cache = open("ttl", CAPACITY, "1");
    let put = |key: u64, ttl| cache.put(&key.to_le_bytes(), b"", ttl).unwrap();
    let seconds = |number: u64| Ttl::For(Duration::from_secs(1_000 + number));
    // In another order than that of their ends; and two that never expire.
    let mut ends: Vec<u64> = (0..CAPACITY - 2).collect();
    let mut random = Random(3);
    (1..ends.len()).rev().for_each(|i| ends.swap(i, random.below(i as u64 + 1) as usize));
    put(CAPACITY, Ttl::Forever);
    put(CAPACITY + 1, Ttl::Forever);
    ends.iter().for_each(|end| put(*end, seconds(*end)));
    // Hits change nothing; what is stored again gets its new lifetime.
    assert!(cache.acquire(&0_u64.to_le_bytes()).unwrap().is_some());
    put(5, seconds(2 * CAPACITY));
    for number in (0..CAPACITY - 2).filter(|number| *number != 5) {
        put(10 * CAPACITY + number, seconds(3 * CAPACITY));
        assert!(!cache.contains(&number.to_le_bytes()), "{number} should have left");
    }
    let next = |number: u64| put(20 * CAPACITY + number, seconds(4 * CAPACITY));
    next(0);
    assert!(!cache.contains(&5_u64.to_le_bytes()));
    // Those with the same end in their order, and then those that never expire in theirs.
    (1..CAPACITY - 2).for_each(next);
    assert!(cache.contains(&CAPACITY.to_le_bytes()) && cache.contains(&(CAPACITY + 1).to_le_bytes()));
    (0..CAPACITY - 1).for_each(|number| put(30 * CAPACITY + number, Ttl::Forever));
    assert!(!cache.contains(&CAPACITY.to_le_bytes()) && cache.contains(&(CAPACITY + 1).to_le_bytes()));
}

#[test]
fn ttl_knows_what_hits_have_put_off() {
    let (clock, time) = Clock::manual();
    let mut options = Options::new();
    options.set("memory.policy", "ttl").unwrap().set("memory.capacity", "10").unwrap();
    options.set("memory.sliding", "on").unwrap().set("memory.sweep_interval", "off").unwrap();
    let cache = Cache::with_clock(&options, clock).unwrap();
    for key in 0..10_u64 {
        cache.put(&key.to_le_bytes(), b"", Ttl::For(Duration::from_secs(100 + key))).unwrap();
    }
    time.advance(Duration::from_secs(50));
    for key in 0..5_u64 {
        assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some());
    }
    for key in 5..10_u64 {
        cache.put(&(100 + key).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "{key} was not put off");
    }
}

#[test]
fn ttl_knows_what_a_touch_has_brought_nearer_or_put_off() {
    let cache = open("ttl", 10, "1");
    let seconds = |number: u64| Ttl::For(Duration::from_secs(number));
    let put = |key: u64, ttl| cache.put(&key.to_le_bytes(), b"", ttl).unwrap();
    (0..10).for_each(|key| put(key, seconds(1_000 + 10 * key)));
    for (key, ttl) in
        [(9_u64, seconds(500)), (5, seconds(600)), (0, seconds(5_000)), (1, Ttl::Forever), (8, seconds(1_015))]
    {
        assert!(cache.touch(&key.to_le_bytes(), ttl));
    }
    for (number, key) in [9, 5, 8, 2, 3, 4, 6, 7, 0, 1_u64].into_iter().enumerate() {
        assert!(cache.contains(&key.to_le_bytes()));
        put(100 + number as u64, Ttl::Forever);
        assert!(!cache.contains(&key.to_le_bytes()), "{key} should have left");
    }
}

/// All that are there are asked for, so that every one of them has moved when the next one comes in.
#[test]
fn lru_is_exact_after_everything_was_asked_for_in_another_order() {
    let capacity = if cfg!(miri) { 100 } else { 4_096 };
    let cache = open("lru", capacity, "1");
    for i in 0..capacity {
        cache.put(&i.to_le_bytes(), b"", Ttl::Forever).unwrap();
    }
    let mut order: Vec<u64> = (0..capacity).collect();
    let mut random = Random(1);
    (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i as u64 + 1) as usize));
    for key in &order {
        assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some());
    }
    for (number, key) in order.iter().enumerate() {
        assert!(cache.contains(&key.to_le_bytes()));
        cache.put(&(capacity + number as u64).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "number {number} should have left");
    }
}

/// The interface allows a cache of several shards a sixteenth of its capacity.
#[test]
fn lru_of_several_shards_keeps_what_was_used_lately() {
    if cfg!(miri) {
        return;
    }
    const CAPACITY: u64 = 32_768;
    let cache = open("lru", CAPACITY, "8");
    let mut model = Lru::default();
    let mut random = Random(7);
    for _ in 0..600_000 {
        let spread = (2 * CAPACITY) >> random.below(4);
        let key = random.below(spread);
        if cache.acquire(&key.to_le_bytes()).unwrap().is_none() {
            cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
        }
        model.hit(key);
    }
    // Shards are not equally full, which costs a little more than the order within them.
    let newest = model.by_age.values().rev().take(CAPACITY as usize * 13 / 16);
    let lost = newest.filter(|key| !cache.contains(&key.to_le_bytes())).count();
    assert_eq!(lost, 0, "of {CAPACITY}");
}

/// A scan of keys that come once does not drive out what is asked for again and again, which it does under LRU.
#[test]
fn s3fifo_keeps_what_is_asked_for_through_a_scan() {
    const CAPACITY: u64 = if cfg!(miri) { 50 } else { 1_000 };
    let kept = |policy| {
        let cache = open(policy, CAPACITY, "1");
        for _ in 0..3 {
            for key in 0..CAPACITY / 2 {
                if cache.acquire(&key.to_le_bytes()).unwrap().is_none() {
                    cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
                }
            }
        }
        for key in 0..10 * CAPACITY {
            cache.put(&(1 << 32 | key).to_le_bytes(), b"", Ttl::Forever).unwrap();
        }
        (0..CAPACITY / 2).filter(|key| cache.contains(&key.to_le_bytes())).count() as u64
    };
    assert_eq!(kept("lru"), 0);
    // One put looks at a bounded number of entries only, and then settles for the second best.
    assert!(kept("s3fifo") >= CAPACITY / 2 - 2);
}

/// The same, and what was asked for often and has left all the same comes back as soon as it is asked for again.
#[test]
fn w_tinylfu_keeps_what_is_asked_for_often_and_knows_it_again() {
    const CAPACITY: u64 = if cfg!(miri) { 50 } else { 1_000 };
    let cache = open("w-tinylfu", CAPACITY, "1");
    let request = |key: u64| {
        let key = key.to_le_bytes();
        if cache.acquire(&key).unwrap().is_none() {
            cache.put(&key, b"", Ttl::Forever).unwrap();
        }
    };
    let kept = |keys: std::ops::Range<u64>| keys.filter(|key| cache.contains(&key.to_le_bytes())).count() as u64;
    (0..6).for_each(|_| (0..CAPACITY / 2).for_each(request));
    (0..4 * CAPACITY).for_each(|key| request(1 << 32 | key));
    // What the sketch takes for another key's costs one or two.
    assert!(kept(0..CAPACITY / 2) >= CAPACITY * 48 / 100, "{} of {}", kept(0..CAPACITY / 2), CAPACITY / 2);
    // A removed one is no newcomer.
    let again: Vec<u64> = (0..CAPACITY / 20).filter(|key| cache.remove(&key.to_le_bytes())).collect();
    again.iter().for_each(|key| request(*key));
    (0..CAPACITY / 2).for_each(|key| request(2 << 32 | key));
    let came_back = again.iter().filter(|key| cache.contains(&key.to_le_bytes())).count();
    // Of 200 runs, each with a hash of its own, 177 had all of them back and 6 had 40 of 50; by recency none would be.
    assert!(came_back * 10 >= again.len() * 7, "{came_back} of {}", again.len());
}

/// Ten keys that are asked for often are still there after a scan, or not.
#[cfg(not(miri))]
#[test]
fn lru_lfu_evicts_by_frequency_while_many_requests_hit_and_by_recency_while_few_do() {
    const CAPACITY: u64 = 100;
    const POPULAR: u64 = 10;
    let cache = open("lru-lfu", CAPACITY, "1");
    let mut new = 1 << 32;
    let mut scan = |length: u64| {
        for _ in 0..length {
            new += 1;
            cache.put(&u64::to_le_bytes(new), b"", Ttl::Forever).unwrap();
        }
    };
    // So many requests of a hundred that hit, and as many evictions as it takes until somebody looks.
    let requests = |hits: u64, scan: &mut dyn FnMut(u64)| {
        cache.put(b"hit", b"", Ttl::Forever).unwrap();
        for number in 0..10_000_u64 {
            let key: &[u8] = if number % 100 < hits { b"hit" } else { b"miss" };
            assert_eq!(cache.acquire(key).unwrap().is_some(), number % 100 < hits);
        }
        scan(600);
    };
    let keeps = |scan: &mut dyn FnMut(u64)| {
        for key in 0..POPULAR {
            cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
            (0..20).for_each(|_| assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some()));
        }
        scan(3 * CAPACITY);
        match (0..POPULAR).filter(|key| cache.contains(&key.to_le_bytes())).count() as u64 {
            0 => false,
            POPULAR => true,
            some => panic!("{some} of {POPULAR}"),
        }
    };
    // As PyFerris has it: frequency above the threshold, else recency, with which it begins.
    assert!(!keeps(&mut scan));
    for (hits, by_frequency) in [(90, true), (71, true), (40, false), (71, false), (73, true)] {
        requests(hits, &mut scan);
        assert_eq!(keeps(&mut scan), by_frequency, "when {hits} of a hundred hit");
    }
    for (threshold, hits, by_frequency) in [("100", 100, false), ("30%", 40, true), ("60", 40, false), ("0", 1, true)] {
        cache.set_option("memory.lru_lfu_threshold", threshold).unwrap();
        requests(hits, &mut scan);
        assert_eq!(keeps(&mut scan), by_frequency, "{hits} of a hundred, threshold {threshold}");
    }
    // Another policy, and back: it begins anew.
    cache.set_option("memory.policy", "fifo").unwrap();
    cache.set_option("memory.policy", "lru-lfu").unwrap();
    assert!(!keeps(&mut scan));
}

/// Both of its orders are coarser than those of the policies that have only one, and worth as much.
#[cfg(not(miri))]
#[test]
fn lru_lfu_hits_about_as_often_as_lru_or_as_lfu() {
    const CAPACITY: u64 = 1_000;
    let hits = |policy: &str, threshold: &str, key_at: fn(u64, &mut Random) -> u64| {
        let (cache, mut random) = (open(policy, CAPACITY, "1"), Random(11));
        cache.set_option("memory.lru_lfu_threshold", threshold).unwrap();
        for number in 0..100_000 {
            let key = key_at(number, &mut random).to_le_bytes();
            if cache.acquire(&key).unwrap().is_none() {
                cache.put(&key, b"", Ttl::Forever).unwrap();
            }
        }
        cache.statistics().memory.hits / 1_000
    };
    // A working set that moves on.
    let moving = |number: u64, random: &mut Random| number / 4 - random.below((CAPACITY * 9 / 10).min(number / 4 + 1));
    assert!(hits("lru-lfu", "100", moving) + 4 >= hits("lru", "70", moving));
    // Keys of very different popularity, always the same ones.
    let skewed = |_: u64, random: &mut Random| {
        let most = 2 << random.below(16);
        random.below(most)
    };
    assert!(hits("lfu", "70", skewed) >= hits("lru", "70", skewed) + 2);
    assert!(hits("lru-lfu", "0", skewed) + 1 >= hits("lfu", "70", skewed));
}

/// What the reference simulations of the rules get is had by one cache, whatever the traffic is.
#[cfg(not(miri))]
#[test]
fn adaptive_gets_what_lru_gets_and_what_it_does_not() {
    const CAPACITY: u64 = 1_000;
    const LENGTH: u64 = CAPACITY * 3 / 2;
    let hits = |policy: &str, key_at: fn(u64, &mut Random) -> u64| {
        let (cache, mut random) = (open(policy, CAPACITY, "1"), Random(11));
        for number in 0..100 * LENGTH {
            let key = key_at(number, &mut random).to_le_bytes();
            if cache.acquire(&key).unwrap().is_none() {
                cache.put(&key, b"", Ttl::Forever).unwrap();
            }
        }
        cache.statistics().memory.hits * 100 / (100 * LENGTH)
    };
    // A loop: LRU gets nothing, and two thirds are possible.
    let a_loop = |number: u64, _: &mut Random| number % LENGTH;
    assert_eq!(hits("lru", a_loop), 0);
    assert!(hits("adaptive", a_loop) >= 60);
    // A working set that moves on and never comes back.
    let moving = |number: u64, random: &mut Random| {
        let newest = number / 4;
        newest - random.below((CAPACITY * 9 / 10).min(newest + 1))
    };
    let possible = hits("lru", moving);
    assert!(possible >= 60);
    assert!(hits("adaptive", moving) >= possible - 5, "{} of {possible}", hits("adaptive", moving));
}

/// The bound is on bytes, so that nobody knows how many entries there will be.
#[cfg(not(miri))]
#[test]
fn adaptive_finds_out_how_many_entries_there_are() {
    let mut options = Options::new();
    options.set("memory.policy", "adaptive").unwrap().set("memory.max_bytes", "1MiB").unwrap();
    let cache = Cache::open(&options).unwrap();
    let value = [7; 100];
    let mut late_hits = 0;
    // Room for some four thousand, in a loop over six thousand.
    for number in 0..600_000_u64 {
        let key = (number % 6_000).to_le_bytes();
        match cache.acquire(&key).unwrap() {
            Some(_) => late_hits += u64::from(number >= 300_000),
            None => cache.put(&key, &value, Ttl::Forever).unwrap(),
        }
    }
    assert!(late_hits >= 150_000, "{late_hits}");
}

/// The names in the table's row, so that a policy that is added is tested without a word here.
fn policies() -> Vec<&'static str> {
    let row = OPTIONS.iter().find(|row| row.name == "memory.policy").expect("there is a policy to choose");
    row.range().split(", ").map(|name| &*name.to_owned().leak()).collect()
}

#[test]
fn another_policy_loses_no_entry_and_keeps_the_order() {
    const CAPACITY: u64 = if cfg!(miri) { 20 } else { 1_000 };
    for former in policies() {
        for next in policies() {
            let cache = open(former, CAPACITY, "2");
            for key in 0..CAPACITY {
                cache.put(&key.to_le_bytes(), b"value", Ttl::Default).unwrap();
                // Some notes of hits, of whatever kind. One of two shards may be full a little earlier, and evict.
                let _ = cache.acquire(&(key / 2).to_le_bytes()).unwrap();
            }
            let there: Vec<u64> = (0..CAPACITY).filter(|key| cache.contains(&key.to_le_bytes())).collect();
            let before = cache.statistics().memory;
            cache.set_option("memory.policy", next).unwrap();
            assert!(there.iter().all(|key| cache.contains(&key.to_le_bytes())), "{former} to {next}");
            let after = cache.statistics().memory;
            assert_eq!((after.entries, after.evictions), (before.entries, before.evictions), "{former} to {next}");
            for key in CAPACITY..4 * CAPACITY {
                cache.put(&key.to_le_bytes(), b"value", Ttl::Default).unwrap();
                assert!(cache.statistics().memory.entries <= CAPACITY);
            }
            assert!(cache.set_option("memory.policy", "mru").is_err());
        }
    }
    // The one that was used longest ago is the first of the new order.
    let cache = open("lru", 10, "1");
    (0..10_u64).for_each(|key| cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap());
    (0..5_u64).for_each(|key| assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some()));
    cache.set_option("memory.policy", "fifo").unwrap();
    for (number, key) in (5..10_u64).chain(0..5).enumerate() {
        cache.put(&(100 + number as u64).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "{key} should have left");
    }
}

#[test]
fn readers_and_writers_go_on_while_the_policy_changes() {
    const KEYS: u64 = if cfg!(miri) { 20 } else { 2_000 };
    let cache = open("lru", 2 * KEYS, "2");
    (0..KEYS).for_each(|key| cache.put(&key.to_le_bytes(), &key.to_le_bytes(), Ttl::Default).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..3 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                let mut random = Random(seed);
                while !done.load(Relaxed) {
                    let key = random.below(KEYS).to_le_bytes();
                    let value = cache.acquire(&key).unwrap().expect("nobody has removed it");
                    assert_eq!(*value, key);
                    if random.below(8) == 0 {
                        cache.put(&key, &key, Ttl::Default).unwrap();
                    }
                }
            });
        }
        for _ in 0..if cfg!(miri) { 1 } else { 5 } {
            policies().iter().for_each(|policy| cache.set_option("memory.policy", policy).unwrap());
        }
        done.store(true, Relaxed);
    });
    assert_eq!(cache.statistics().memory.entries, KEYS);
}
