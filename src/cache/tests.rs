//! The stack over fake tiers: what has to be driven into one moment, and what a fault does. `tests/tiers.rs` and those beside it
//! have real servers and files.

use super::fake::Fake;
use super::level::{Level, Queued};
use super::lower::Lower;
use super::{Cache, Leased, Purge};
use crate::clock::{Clock, ManualTime, Ttl};
use crate::codec::envelope::Envelope;
use crate::error::Status;
use crate::options::Options;
use crate::pattern::Pattern;
use crate::tiers::memory::{Condition, Get, Put, PutOptions, PutOutcome, Read, Remove};
use crate::tiers::{FaultKind, TierName};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

struct Stack {
    cache: Arc<Cache>,
    redis: Fake,
    disk: Fake,
    clock: Clock,
    time: ManualTime,
}

const HOUR: Duration = Duration::from_secs(3600);

fn queued(interval: Duration, waits: bool) -> Queued {
    Queued { interval, max_bytes: 1 << 20, waits }
}

fn stack_with(set: &[(&str, &str)], redis_queue: Option<Queued>, disk_queue: Option<Queued>) -> Stack {
    let mut options = Options::new();
    if let Some(queued) = disk_queue {
        // What a running cache is told again.
        options.disk.commit_interval = queued.interval;
    }
    for (name, text) in set {
        options.set(name, text).unwrap();
    }
    let (clock, time) = Clock::manual();
    let (redis, disk) = (Fake::default(), Fake::default());
    let levels = vec![
        Level::new(TierName::Redis, Box::new(redis.clone()), clock.clone(), redis_queue),
        Level::new(TierName::Disk, Box::new(disk.clone()), clock.clone(), disk_queue),
    ];
    let lower = Lower::over(levels, &options, &clock);
    Stack { cache: Cache::assemble(&options, clock.clone(), Some(lower)), redis, disk, clock, time }
}

/// Both tiers are written by the caller, so that a test sees at once what became of a call.
fn stack() -> Stack {
    stack_with(&[], None, None)
}

impl Stack {
    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.cache.acquire(key).unwrap().map(|value| value.to_vec())
    }

    /// As if it had been evicted.
    fn forget_in_memory(&self, key: &[u8]) {
        self.cache.memory().remove(key);
    }

    fn in_memory(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.cache.memory().peek(key).unwrap().map(|value| value.to_vec())
    }

    fn left_in(&self, tier: &Fake, key: &[u8]) -> Option<Duration> {
        let bytes = tier.get(key)?;
        let envelope = Envelope::decode(key, &bytes).unwrap();
        envelope.remaining(self.clock.wall()).map(Duration::from_micros)
    }
}

/// Waits for what must come one day; only a hang reaches the deadline.
fn wait_for(what: &str, come: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !come() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_value_is_in_all_tiers_and_is_found_in_each() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    for tier in [TierName::Memory, TierName::Redis, TierName::Disk] {
        let value = stack.cache.acquire(b"key").unwrap().unwrap();
        assert_eq!((&*value, value.tier()), (&b"value"[..], tier));
        // It was taken up into all above.
        assert_eq!(stack.cache.acquire(b"key").unwrap().unwrap().tier(), TierName::Memory);
        assert!(stack.redis.get(b"key").is_some());
        stack.forget_in_memory(b"key");
        if tier == TierName::Redis {
            stack.redis.forget(b"key");
        }
    }
}

#[test]
fn each_tier_has_a_default_lifetime_and_a_callers_holds_in_all() {
    let stack = stack_with(&[("redis.ttl", "2h"), ("disk.ttl", "3h")], None, None);
    stack.cache.put(b"default", b"", Ttl::Default).unwrap();
    stack.cache.put(b"given", b"", Ttl::For(5 * HOUR)).unwrap();
    stack.cache.put(b"forever", b"", Ttl::Forever).unwrap();
    let left = |key: &[u8]| (stack.left_in(&stack.redis, key), stack.left_in(&stack.disk, key));
    assert_eq!(left(b"default"), (Some(2 * HOUR), Some(3 * HOUR)));
    assert_eq!(left(b"given"), (Some(5 * HOUR), Some(5 * HOUR)));
    assert_eq!(left(b"forever"), (None, None));
}

#[test]
fn lifetimes_and_the_time_a_write_may_wait_change_while_the_cache_runs() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    for (option, text) in [("redis.ttl", "2h"), ("disk.ttl", "3h"), ("disk.commit_interval", "1ms")] {
        stack.cache.set_option(option, text).unwrap();
    }
    stack.cache.put(b"key", b"", Ttl::Default).unwrap();
    wait_for("the commit", || stack.disk.get(b"key").is_some());
    assert_eq!(stack.left_in(&stack.redis, b"key"), Some(2 * HOUR));
    assert_eq!(stack.left_in(&stack.disk, b"key"), Some(3 * HOUR));
    let refused = stack.cache.set_option("disk.path", "/elsewhere").unwrap_err();
    assert_eq!(refused.status(), Status::OptionNotLive);
}

#[test]
fn what_is_taken_up_keeps_what_is_left_of_its_lifetime() {
    // The jitter is for what is stored, not for what is found.
    let stack = stack_with(&[("memory.ttl_jitter", "50")], None, None);
    stack.cache.put(b"key", b"value", Ttl::For(HOUR)).unwrap();
    stack.time.advance(HOUR / 2);
    stack.forget_in_memory(b"key");
    stack.redis.forget(b"key");
    let value = stack.cache.acquire(b"key").unwrap().unwrap();
    assert!(value.remaining().unwrap() <= HOUR / 2, "{:?}", value.remaining());
    assert!(stack.left_in(&stack.redis, b"key").unwrap() <= HOUR / 2);
    assert!(stack.left_in(&stack.redis, b"key").unwrap() > HOUR / 3);
    // What memory adds at most.
    stack.time.advance(HOUR / 2 + Duration::from_millis(20));
    assert!(stack.value(b"key").is_none());
    stack.forget_in_memory(b"key");
    assert!(stack.value(b"key").is_none(), "neither of the tiers below hands out what is over");
}

#[test]
fn a_default_lifetime_below_is_not_one_of_memory() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    stack.redis.forget(b"key");
    let value = stack.cache.acquire(b"key").unwrap().unwrap();
    assert!(value.remaining().unwrap() <= HOUR);
    assert!(stack.left_in(&stack.redis, b"key").unwrap() <= 24 * HOUR);
}

#[test]
fn removing_and_clearing_reach_every_tier_and_asking_whether_a_key_is_there_asks_all() {
    let stack = stack();
    for key in [b"a", b"b", b"c"] {
        stack.cache.put(key, b"value", Ttl::Default).unwrap();
    }
    stack.forget_in_memory(b"a");
    assert!(stack.cache.contains(b"a"));
    stack.redis.forget(b"a");
    assert!(stack.cache.contains(b"a"), "the disk has it");
    assert!(stack.in_memory(b"a").is_none(), "to ask is no use");
    assert!(stack.cache.remove(b"a"));
    assert!(!stack.cache.remove(b"a") && !stack.cache.contains(b"a"));
    assert_eq!(stack.cache.purge(Purge::Prefix(b"b")), 1);
    assert_eq!((stack.redis.len(), stack.disk.len()), (1, 1));
    stack.cache.put(b"page:1:en", b"value", Ttl::Default).unwrap();
    stack.cache.put(b"page:2:en", b"value", Ttl::Default).unwrap();
    // One is not in memory, one is nowhere else.
    stack.forget_in_memory(b"page:1:en");
    stack.redis.forget(b"page:2:en");
    stack.disk.forget(b"page:2:en");
    assert_eq!(stack.cache.purge(Purge::Pattern(&Pattern::new(b"*:?:en").unwrap())), 1);
    assert_eq!((stack.redis.len(), stack.disk.len()), (1, 1));
    assert!(stack.value(b"page:1:en").is_none() && stack.value(b"page:2:en").is_none());
    assert_eq!(stack.cache.purge(Purge::All), 1);
    assert_eq!((stack.redis.len(), stack.disk.len()), (0, 0));
    assert!(stack.value(b"c").is_none());
}

/// The moment in which it goes wrong if it can: the older value was read below, and is not in memory yet.
#[test]
fn a_read_that_began_before_a_write_never_puts_the_older_value_back() {
    for (tier_with_it, write) in [
        (1, "put"),
        (1, "remove"),
        (1, "clear"),
        (2, "put"),
        (2, "remove"),
        (2, "clear"),
        (2, "prefix"),
        (2, "pattern"),
    ] {
        let stack = stack();
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.forget_in_memory(b"key");
        let tier = if tier_with_it == 1 {
            stack.redis.clone()
        } else {
            stack.redis.forget(b"key");
            stack.disk.clone()
        };
        let (cache, fired) = (stack.cache.clone(), Arc::new(AtomicBool::new(false)));
        let in_hook = fired.clone();
        tier.after_read(move |key| {
            if !in_hook.swap(true, SeqCst) {
                let cache = cache.clone();
                let key = key.to_vec();
                // Another thread, as this one is in the middle of its look-up.
                std::thread::spawn(move || match write {
                    "put" => cache.put(&key, b"new", Ttl::Default).unwrap(),
                    "remove" => assert!(cache.remove(&key)),
                    "prefix" => _ = cache.purge(Purge::Prefix(b"k")),
                    "pattern" => _ = cache.purge(Purge::Pattern(&Pattern::new(b"?e*").unwrap())),
                    _ => _ = cache.purge(Purge::All),
                })
                .join()
                .unwrap();
            }
        });
        let first = stack.value(b"key");
        assert!(fired.load(SeqCst));
        // Its call began before; what has come into memory meanwhile it may have as well.
        let first = first.unwrap();
        assert!(first == b"old" || write == "put" && first == b"new", "{first:?}");
        stack.disk.no_hooks();
        stack.redis.no_hooks();
        let expected = (write == "put").then_some(&b"new"[..]);
        let what = format!("{write} while tier {tier_with_it} is read");
        assert_eq!(stack.in_memory(b"key").as_deref(), expected, "{what}: memory");
        assert_eq!(stack.value(b"key").as_deref(), expected, "{what}");
        stack.forget_in_memory(b"key");
        assert_eq!(stack.value(b"key").as_deref(), expected, "{what}: below");
    }
}

/// The other moment: a tier is being filled from below while the key is written.
#[test]
fn a_tier_that_is_being_filled_ends_with_what_is_written_meanwhile() {
    for write in ["put", "remove", "clear"] {
        let stack = stack();
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.forget_in_memory(b"key");
        stack.redis.forget(b"key");
        let (cache, fired) = (stack.cache.clone(), Arc::new(AtomicBool::new(false)));
        let (in_hook, writer) = (fired.clone(), Arc::new(std::sync::Mutex::new(None)));
        let spawned = writer.clone();
        stack.redis.before_write(move |key| {
            if !in_hook.swap(true, SeqCst) {
                let (cache, key) = (cache.clone(), key.to_vec());
                let begun = Arc::new(Barrier::new(2));
                let begins = begun.clone();
                *spawned.lock().unwrap() = Some(std::thread::spawn(move || {
                    begins.wait();
                    match write {
                        "put" => cache.put(&key, b"new", Ttl::Default).unwrap(),
                        "remove" => _ = cache.remove(&key),
                        _ => _ = cache.purge(Purge::All),
                    }
                }));
                begun.wait();
                // It cannot end before the fill has; that it has come as far as it can is not to be known.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // What has come into memory meanwhile it may have as well.
        let first = stack.value(b"key").unwrap();
        assert!(first == b"old" || write == "put" && first == b"new", "{first:?}");
        let writer = writer.lock().unwrap().take().unwrap();
        writer.join().unwrap();
        stack.redis.no_hooks();
        let expected = (write == "put").then_some(&b"new"[..]);
        for round in ["memory", "redis", "disk"] {
            assert_eq!(stack.value(b"key").as_deref(), expected, "{write}, {round}");
            stack.forget_in_memory(b"key");
            if round == "redis" {
                stack.redis.forget(b"key");
            }
        }
    }
}

#[test]
fn a_tier_that_comes_back_never_serves_what_was_overwritten_meanwhile() {
    for kind in [FaultKind::TimedOut, FaultKind::Unreachable, FaultKind::Refused, FaultKind::Full] {
        let stack = stack();
        for key in [b"a", b"b", b"c"] {
            stack.cache.put(key, b"old", Ttl::Default).unwrap();
        }
        stack.redis.fail(Some(kind));
        stack.cache.put(b"a", b"new", Ttl::Default).unwrap();
        assert!(stack.cache.remove(b"b"));
        assert!(!stack.cache.health(TierName::Redis).unwrap().is_up);
        assert_eq!(stack.value(b"a").unwrap(), b"new");
        stack.forget_in_memory(b"a");
        stack.forget_in_memory(b"c");
        assert_eq!(stack.value(b"a").unwrap(), b"new", "from disk");
        assert_eq!(stack.value(b"c").unwrap(), b"old", "from disk");
        let statistics = stack.cache.statistics().redis;
        assert_eq!((statistics.is_open, statistics.openings, statistics.owed), (true, 1, 2), "{kind:?}");
        assert!(Envelope::decode(b"a", &stack.redis.get(b"a").unwrap()).is_ok(), "the server still has what is old");
        stack.redis.fail(None);
        wait_for("the tier", || stack.cache.health(TierName::Redis).unwrap().is_up);
        assert!(stack.redis.get(b"a").is_none() && stack.redis.get(b"b").is_none());
        assert!(stack.redis.get(b"c").is_some());
        for key in [b"a", b"b"] {
            stack.forget_in_memory(key);
        }
        assert_eq!(stack.value(b"a").unwrap(), b"new");
        assert!(stack.value(b"b").is_none());
        assert_eq!(stack.cache.statistics().redis.owed, 0);
        assert!(stack.cache.health(TierName::Redis).unwrap().last_error.unwrap().contains("as the test wants"));
    }
}

#[test]
fn when_more_was_overwritten_than_can_be_remembered_the_tier_is_cleared_before_it_is_read() {
    let stack = stack_with(&[("memory.capacity", "10")], None, None);
    stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
    stack.redis.fail(Some(FaultKind::Unreachable));
    for number in 0..=100_000_u32 {
        stack.cache.put(&number.to_le_bytes(), b"", Ttl::Default).unwrap();
    }
    let statistics = stack.cache.statistics().redis;
    assert_eq!((statistics.owed, statistics.owed_overflows), (0, 1));
    stack.redis.fail(None);
    wait_for("the tier", || stack.cache.health(TierName::Redis).unwrap().is_up);
    assert_eq!(stack.redis.calls().2, 1);
    assert!(stack.redis.get(b"key").is_none());
}

#[test]
fn a_purge_that_does_not_reach_a_tier_is_made_up_for_by_clearing_it() {
    let pattern = Pattern::new(b"*y").unwrap();
    for what in [Purge::All, Purge::Prefix(b"k"), Purge::Pattern(&pattern), Purge::Tag(b"tag")] {
        let stack = stack();
        let tagged = PutOptions { tags: &[b"tag"], ..PutOptions::default() };
        stack.cache.put_with(b"key", b"old", &tagged).unwrap();
        stack.redis.fail(Some(FaultKind::TimedOut));
        stack.cache.purge(what);
        assert!(stack.value(b"key").is_none(), "{what:?}");
        stack.redis.fail(None);
        wait_for("the tier", || stack.cache.health(TierName::Redis).unwrap().is_up);
        assert!(stack.value(b"key").is_none(), "{what:?}");
    }
}

#[test]
fn many_who_miss_a_key_ask_below_once() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    stack.redis.after_read(|_| std::thread::sleep(Duration::from_millis(100)));
    let begin = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                begin.wait();
                assert_eq!(stack.value(b"key").unwrap(), b"value");
            });
        }
    });
    assert_eq!(stack.redis.calls().0, 1);
    let statistics = stack.cache.statistics();
    assert_eq!((statistics.hits, statistics.misses), (8, 0));
}

#[test]
fn who_waits_for_somebody_elses_look_up_does_so_for_a_while_only() {
    let stack = stack();
    let go_on = Arc::new(AtomicBool::new(false));
    let held = go_on.clone();
    stack.redis.after_read(move |_| {
        while !held.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| stack.value(b"key"));
        wait_for("the first look-up", || stack.redis.calls().0 == 1);
        assert!(stack.value(b"key").is_none());
        go_on.store(true, SeqCst);
    });
}

#[test]
fn a_plain_look_up_does_not_wait_for_a_loader() {
    let stack = stack();
    let Leased::Lease(lease) = stack.cache.lease(b"key", Duration::ZERO).unwrap() else { panic!("nobody loads it") };
    assert!(stack.value(b"key").is_none());
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(stack.value(b"key").is_none()));
    });
    assert_eq!(stack.cache.statistics().load_waits, 0);
    let loaded = lease.fulfil(b"loaded", &PutOptions::default()).unwrap();
    assert_eq!(&*loaded, b"loaded");
    stack.forget_in_memory(b"key");
    assert_eq!(stack.value(b"key").unwrap(), b"loaded", "it is in the tiers below");
}

#[test]
fn a_loader_is_not_asked_for_what_a_tier_has() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    let load = || -> crate::error::Result<Option<&[u8]>> { panic!("it is there") };
    let value = stack.cache.get_or_load(b"key", Ttl::Default, Duration::MAX, load).unwrap();
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
    assert_eq!(stack.cache.statistics().hits, 1);
}

#[test]
fn what_was_loaded_before_a_write_reaches_no_tier_after_it() {
    let stack = stack();
    let Leased::Lease(lease) = stack.cache.lease(b"key", Duration::ZERO).unwrap() else { panic!("nobody loads it") };
    stack.cache.put(b"key", b"new", Ttl::Default).unwrap();
    let loaded = lease.fulfil(b"old", &PutOptions::default()).unwrap();
    assert_eq!(&*loaded, b"old");
    for _ in 0..2 {
        assert_eq!(stack.value(b"key").unwrap(), b"new");
        stack.forget_in_memory(b"key");
    }
    stack.redis.forget(b"key");
    assert_eq!(stack.value(b"key").unwrap(), b"new");
}

/// A purge takes no turns: it comes while what was loaded is being written below.
#[test]
fn what_was_loaded_before_a_purge_is_in_no_tier_after_it() {
    for what in [Purge::All, Purge::Prefix(b"k"), Purge::Tag(b"tag")] {
        let stack = stack();
        let Leased::Lease(lease) = stack.cache.lease(b"key", Duration::ZERO).unwrap() else {
            panic!("nobody loads it")
        };
        let (cache, purge) = (stack.cache.clone(), Arc::new(std::sync::Mutex::new(None)));
        let spawned = purge.clone();
        stack.redis.before_write(move |_| {
            let mut spawned = spawned.lock().unwrap();
            if spawned.is_none() {
                let (cache, begun) = (cache.clone(), Arc::new(Barrier::new(2)));
                let begins = begun.clone();
                *spawned = Some(std::thread::spawn(move || {
                    begins.wait();
                    cache.purge(what);
                }));
                begun.wait();
                // It cannot end before this write has; that it has come as far as it can is not to be known.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let loaded = lease.fulfil(b"old", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
        assert_eq!(&*loaded, b"old", "its caller gets it all the same");
        let purge = purge.lock().unwrap().take().unwrap();
        purge.join().unwrap();
        stack.redis.no_hooks();
        for round in ["memory", "redis", "disk"] {
            assert_eq!(stack.value(b"key"), None, "{what:?}, {round}");
            stack.forget_in_memory(b"key");
            if round == "redis" {
                stack.redis.forget(b"key");
            }
        }
    }
}

#[test]
fn a_value_that_memory_does_not_take_is_kept_below() {
    let stack = stack_with(&[("memory.max_value_size", "100B")], None, None);
    stack.cache.put(b"key", b"small", Ttl::Default).unwrap();
    let large = vec![7; 5_000];
    stack.cache.put(b"key", &large, Ttl::Default).unwrap();
    assert!(stack.in_memory(b"key").is_none(), "the older one is gone");
    assert_eq!(stack.value(b"key").unwrap(), large);
    let mut buffer = vec![0; 5_000];
    assert_eq!(stack.cache.read(b"key", &mut buffer[..10]).unwrap(), Some(Read::Truncated(5_000)));
    assert_eq!(stack.cache.read(b"key", &mut buffer).unwrap(), Some(Read::Copied(5_000)));
    assert_eq!(buffer, large);
    // What no tier takes is refused.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let huge: Vec<u8> = noise.take(3 << 20).collect();
    assert_eq!(stack.cache.put(b"huge", &huge, Ttl::Default).unwrap_err().status(), Status::ValueTooLarge);
    assert!(stack.value(b"huge").is_none());
}

#[test]
fn a_memory_that_keeps_nothing_leaves_everything_to_the_tiers_below() {
    let stack = stack_with(&[("memory.max_value_size", "0")], None, None);
    for value in [&b""[..], b"v", &[7; 5_000]] {
        stack.cache.put(b"key", value, Ttl::Default).unwrap();
        assert_eq!(stack.value(b"key").unwrap(), value);
        assert_eq!(stack.value(b"key").unwrap(), value);
        assert!(stack.in_memory(b"key").is_none());
    }
    assert_eq!(stack.cache.increment(b"count", 1, 1, Ttl::Default).unwrap(), 1);
    assert_eq!(stack.cache.increment(b"count", 1, 1, Ttl::Default).unwrap(), 2);
    assert!(stack.cache.remove(b"key") && stack.value(b"key").is_none());
    let mut options = Options::new();
    options.set("memory.max_value_size", "0").unwrap();
    let alone = Cache::open(&options).unwrap();
    assert_eq!(alone.put(b"key", b"", Ttl::Default).unwrap_err().status(), Status::ValueTooLarge);
}

#[test]
fn requests_are_counted_once_whichever_tier_answers() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    let mut buffer = [0; 10];
    let figures = || {
        let statistics = stack.cache.statistics();
        (statistics.hits, statistics.misses)
    };
    stack.cache.read(b"key", &mut buffer).unwrap();
    assert_eq!(figures(), (1, 0));
    stack.forget_in_memory(b"key");
    stack.cache.read(b"key", &mut buffer).unwrap();
    assert_eq!(figures(), (2, 0));
    stack.cache.read(b"none", &mut buffer).unwrap();
    assert_eq!(figures(), (2, 1));
    stack.forget_in_memory(b"key");
    assert_eq!(stack.cache.read(b"key", &mut []).unwrap(), Some(Read::Truncated(5)));
    assert_eq!(figures(), (2, 1), "it will be asked again");
    stack.cache.read(b"key", &mut buffer).unwrap();
    stack.forget_in_memory(b"key");
    stack.cache.lend(b"key").unwrap().unwrap();
    stack.forget_in_memory(b"key");
    stack.cache.acquire(b"key").unwrap().unwrap();
    assert_eq!(figures(), (5, 1));
    let redis = stack.cache.statistics().redis;
    assert_eq!((redis.hits, redis.misses, redis.puts), (4, 1, 1));
}

#[test]
fn a_classic_result_from_below_lives_as_long_as_one_from_memory() {
    let stack = stack_with(&[("memory.max_value_size", "10B")], None, None);
    for number in 0..70_u32 {
        stack.cache.put(&number.to_le_bytes(), &[number as u8; 100], Ttl::Default).unwrap();
    }
    let mut results = Vec::new();
    for number in 0..65_u32 {
        results.push(stack.cache.lend(&number.to_le_bytes()).unwrap().unwrap());
    }
    for (number, lent) in results.iter().enumerate() {
        // SAFETY: the first of them has seen 64 more calls, which is what it lives for.
        #[allow(unsafe_code)]
        let bytes = unsafe { std::slice::from_raw_parts(lent.data, lent.len) };
        assert_eq!(bytes, [number as u8; 100]);
    }
}

#[test]
fn conditions_look_at_all_tiers() {
    let stack = stack();
    let with = |condition| PutOptions { condition, tell_version: true, ..PutOptions::default() };
    let put = |key: &[u8], condition| stack.cache.put_with(key, b"x", &with(condition)).unwrap();
    assert_eq!(put(b"key", Condition::IfPresent), PutOutcome::NotFound);
    let PutOutcome::Stored(version) = put(b"key", Condition::IfAbsent) else { panic!("it was not there") };
    assert_eq!(put(b"key", Condition::IfAbsent), PutOutcome::Exists);
    assert!(matches!(put(b"key", Condition::IfVersion(version)), PutOutcome::Stored(_)));
    stack.forget_in_memory(b"key");
    assert_eq!(put(b"key", Condition::IfAbsent), PutOutcome::Exists, "Redis has it");
    assert_eq!(put(b"key", Condition::IfVersion(version)), PutOutcome::VersionMismatch);
    stack.redis.forget(b"key");
    assert_eq!(put(b"key", Condition::IfAbsent), PutOutcome::Exists, "the disk has it");
    assert!(matches!(put(b"key", Condition::IfPresent), PutOutcome::Stored(_)));
    stack.cache.remove(b"key");
    assert_eq!(put(b"key", Condition::IfVersion(version)), PutOutcome::NotFound);
}

#[test]
fn numbers_are_counted_on_from_any_tier_and_keep_their_end_and_tags() {
    let stack = stack();
    assert_eq!(stack.cache.increment(b"n", 1, 5, Ttl::For(HOUR)).unwrap(), 5);
    assert_eq!(stack.cache.increment(b"n", 2, 5, Ttl::For(9 * HOUR)).unwrap(), 7);
    stack.forget_in_memory(b"n");
    assert_eq!(stack.cache.increment(b"n", -10, 0, Ttl::Default).unwrap(), -3);
    assert_eq!(stack.value(b"n").unwrap(), b"-3");
    stack.forget_in_memory(b"n");
    stack.redis.forget(b"n");
    assert_eq!(stack.value(b"n").unwrap(), b"-3");
    assert!(stack.left_in(&stack.disk, b"n").unwrap() <= HOUR);
    stack.cache.put(b"n", b"no number", Ttl::Default).unwrap();
    stack.forget_in_memory(b"n");
    assert_eq!(stack.cache.increment(b"n", 1, 0, Ttl::Default).unwrap_err().status(), Status::NotANumber);
    stack.cache.put_with(b"t", b"1", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
    stack.cache.increment(b"t", 1, 0, Ttl::Default).unwrap();
    stack.cache.purge(Purge::Tag(b"tag"));
    assert!(stack.value(b"t").is_none());
}

#[test]
fn a_new_lifetime_holds_in_every_tier() {
    let stack = stack();
    stack
        .cache
        .put_with(b"key", b"value", &PutOptions { ttl: Ttl::For(HOUR), tags: &[b"tag"], ..Default::default() })
        .unwrap();
    stack.time.advance(HOUR / 2);
    assert!(stack.cache.touch(b"key", Ttl::For(5 * HOUR)));
    assert_eq!(stack.left_in(&stack.redis, b"key"), Some(5 * HOUR));
    stack.forget_in_memory(b"key");
    assert!(stack.cache.touch(b"key", Ttl::For(2 * HOUR)));
    assert_eq!(stack.left_in(&stack.disk, b"key"), Some(2 * HOUR));
    assert!(!stack.cache.touch(b"none", Ttl::Default));
    stack.time.advance(HOUR);
    assert_eq!(stack.value(b"key").unwrap(), b"value");
    stack.cache.purge(Purge::Tag(b"tag"));
    assert!(stack.value(b"key").is_none(), "its tags are still its");
}

#[test]
fn tags_are_purged_in_all_tiers_and_what_is_stored_later_is_not() {
    let stack = stack();
    let tagged = PutOptions { tags: &[b"news", b"sport"], ..PutOptions::default() };
    stack.cache.put_with(b"a", b"1", &tagged).unwrap();
    stack.cache.put(b"b", b"2", Ttl::Default).unwrap();
    stack.cache.put_with(b"c", b"3", &PutOptions { tags: &[b"sport"], ..PutOptions::default() }).unwrap();
    stack.cache.purge(Purge::Tag(b"news"));
    for round in 0..2 {
        assert!(stack.value(b"a").is_none());
        assert_eq!(stack.value(b"b").unwrap(), b"2");
        assert_eq!(stack.value(b"c").unwrap(), b"3", "round {round}");
        [b"a", b"b", b"c"].iter().for_each(|key| stack.forget_in_memory(*key));
    }
    assert!(stack.cache.statistics().redis.outdated > 0);
    // No time has passed on the clock; it is later all the same.
    stack.cache.put_with(b"a", b"again", &tagged).unwrap();
    stack.forget_in_memory(b"a");
    assert_eq!(stack.value(b"a").unwrap(), b"again");
    // What was taken up from below has its tags in memory.
    assert_eq!(stack.value(b"c").unwrap(), b"3");
    assert_eq!(stack.cache.purge(Purge::Tag(b"sport")), 2);
}

#[test]
fn what_another_process_has_cleared_is_not_believed() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    stack.disk.forget(b"key");
    stack.redis.set_namespace(7);
    assert!(stack.value(b"key").is_none());
    stack.redis.set(b"key", b"something else".to_vec());
    assert!(stack.value(b"key").is_none());
    let redis = stack.cache.statistics().redis;
    assert_eq!((redis.outdated, redis.unreadable, redis.misses), (1, 1, 2));
    // What is in the way there does not keep out what the disk has.
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.redis.set(b"key", b"something else".to_vec());
    stack.forget_in_memory(b"key");
    assert_eq!(stack.value(b"key").unwrap(), b"value");
    stack.forget_in_memory(b"key");
    assert_eq!(stack.cache.acquire(b"key").unwrap().unwrap().tier(), TierName::Redis);
}

#[test]
fn a_batch_makes_one_call_on_each_tier() {
    let stack = stack();
    let keys: Vec<[u8; 2]> = (0..100_u16).map(u16::to_le_bytes).collect();
    let mut puts: Vec<Put<'_>> = keys.iter().map(|key| Put::new(key, key, Ttl::Default)).collect();
    stack.cache.put_many(&mut puts);
    assert!(puts.iter().all(|put| put.outcome.is_ok()));
    assert_eq!((stack.redis.calls().1, stack.disk.calls().1), (1, 1));
    for (number, key) in keys.iter().enumerate() {
        stack.forget_in_memory(key);
        match number % 3 {
            0 => stack.redis.forget(key),
            1 => stack.disk.forget(key),
            _ => {}
        }
    }
    let mut buffers = vec![[0; 2]; 102];
    let mut wanted: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    wanted.extend([&b"none"[..], &keys[0]]);
    let mut gets: Vec<Get<'_>> = wanted.iter().zip(&mut buffers).map(|(key, buffer)| Get::new(key, buffer)).collect();
    let (reads, writes) = (stack.redis.calls().0, stack.redis.calls().1);
    stack.cache.get_many(&mut gets);
    for get in &gets {
        match get.key {
            b"none" => assert_eq!(get.outcome, Ok(None)),
            key => assert_eq!((&get.outcome, &*get.buffer), (&Ok(Some(Read::Copied(2))), key)),
        }
    }
    assert_eq!(stack.redis.calls().0 - reads, 1);
    assert_eq!(stack.disk.calls().0, 1);
    assert_eq!(stack.redis.calls().1 - writes, 1, "what the disk had went up in one call");
    assert!(stack.redis.get(&keys[0]).is_some());
    let statistics = stack.cache.statistics();
    assert_eq!((statistics.hits, statistics.misses), (101, 1));
    let mut removes: Vec<Remove<'_>> = wanted.iter().map(|key| Remove::new(key)).collect();
    let writes = stack.redis.calls().1;
    stack.cache.remove_many(&mut removes);
    assert_eq!(stack.redis.calls().1 - writes, 1);
    assert!(removes[..100].iter().all(|remove| remove.removed) && !removes[100].removed);
    assert_eq!((stack.redis.len(), stack.disk.len()), (0, 0));
}

#[test]
fn what_waits_to_be_written_is_what_readers_find_and_one_write_a_key_is_made() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    for number in 0..10_u8 {
        stack.cache.put(b"key", &[number], Ttl::Default).unwrap();
    }
    assert_eq!(stack.disk.calls().1, 0);
    stack.forget_in_memory(b"key");
    stack.redis.forget(b"key");
    assert_eq!(stack.value(b"key").unwrap(), [9]);
    assert_eq!(stack.cache.statistics().disk.queued, 1);
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    assert_eq!((stack.disk.calls().1, stack.cache.statistics().disk.queued), (1, 0));
    stack.cache.remove(b"key");
    assert!(stack.disk.get(b"key").is_some());
    assert!(stack.value(b"key").is_none(), "it waits to be removed");
    stack.cache.put(b"other", b"1", Ttl::Default).unwrap();
    let disk = stack.disk.clone();
    drop(stack);
    assert!(disk.get(b"other").is_some() && disk.get(b"key").is_none(), "what waits is written at the end");
}

#[test]
fn a_write_is_committed_within_its_interval_by_itself() {
    let stack = stack_with(&[], None, Some(queued(Duration::from_millis(5), false)));
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    wait_for("the commit", || stack.disk.get(b"key").is_some());
}

#[test]
fn a_put_that_waits_for_its_commit_returns_when_it_has_it_and_says_when_it_has_not() {
    let stack = stack_with(&[], None, Some(queued(HOUR, true)));
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    assert!(stack.disk.get(b"key").is_some());
    stack.disk.fail(Some(FaultKind::Full));
    let error = stack.cache.put(b"key", b"newer", Ttl::Default).unwrap_err();
    assert_eq!(error.status(), Status::TimedOut);
    assert_eq!(stack.value(b"key").unwrap(), b"newer");
    stack.disk.fail(None);
    stack.cache.flush(Duration::from_secs(60)).ok();
    wait_for("the commit", || {
        stack.disk.get(b"key").is_some_and(|bytes| Envelope::decode(b"key", &bytes).unwrap().body.len() == 5)
    });
}

#[test]
fn a_batch_that_waits_for_its_commit_is_one_write() {
    let stack = stack_with(&[], None, Some(queued(HOUR, true)));
    let keys: Vec<[u8; 2]> = (0..100_u16).map(u16::to_le_bytes).collect();
    let mut puts: Vec<Put<'_>> = keys.iter().map(|key| Put::new(key, key, Ttl::Default)).collect();
    stack.cache.put_many(&mut puts);
    assert!(puts.iter().all(|put| put.outcome.is_ok()));
    assert_eq!((stack.disk.len(), stack.disk.calls().1), (100, 1));
}

/// It waits for what is on its way, and for nothing that comes later.
#[test]
fn a_purge_ends_though_others_write_all_the_while() {
    let stack = stack_with(&[], None, Some(queued(Duration::ZERO, false)));
    stack.disk.before_write(|_| std::thread::sleep(Duration::from_millis(2)));
    const PATIENCE: Duration = Duration::from_secs(30);
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u32.. {
                // A purge that waits for what comes later would end with this, and only then.
                if stop.load(SeqCst) || begun.elapsed() > PATIENCE {
                    break;
                }
                stack.cache.put(&(number % 50).to_le_bytes(), b"value", Ttl::Default).unwrap();
            }
        });
        wait_for("writes", || stack.disk.calls().1 > 3);
        stack.cache.purge(Purge::Prefix(b"none begins so"));
        stop.store(true, SeqCst);
        assert!(begun.elapsed() < PATIENCE, "it has waited for all that others wrote");
    });
}

#[test]
fn where_no_thread_can_be_started_callers_write_and_try_the_tier_again() {
    let stack = stack_with(&[], None, Some(queued(Duration::ZERO, false)));
    stack.cache.lower().unwrap().level(TierName::Disk).unwrap().tended.lock().threadless = true;
    stack.cache.put(b"a", b"value", Ttl::Default).unwrap();
    assert!(stack.disk.get(b"a").is_some());
    stack.disk.fail(Some(FaultKind::Full));
    stack.cache.put(b"a", b"newer", Ttl::Default).unwrap();
    assert!(!stack.cache.health(TierName::Disk).unwrap().is_up);
    stack.disk.fail(None);
    wait_for("the tier", || {
        stack.cache.contains(b"none");
        stack.cache.health(TierName::Disk).unwrap().is_up
    });
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    let bytes = stack.disk.get(b"a").unwrap();
    assert_eq!(Envelope::decode(b"a", &bytes).unwrap().body.len(), 5);
    assert!(stack.cache.lower().unwrap().level(TierName::Disk).unwrap().tended.lock().thread.is_none());
}

#[test]
fn what_is_queued_outlives_a_fault_and_too_much_of_it_loses_values_but_never_lies() {
    let stack = stack_with(&[("memory.capacity", "4")], Some(queued(Duration::ZERO, false)), None);
    stack.cache.put(b"kept", b"old", Ttl::Default).unwrap();
    stack.cache.put(b"lost", b"old", Ttl::Default).unwrap();
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    stack.redis.fail(Some(FaultKind::Unreachable));
    stack.cache.put(b"kept", b"new", Ttl::Default).unwrap();
    wait_for("the fault", || !stack.cache.health(TierName::Redis).unwrap().is_up);
    assert!(stack.cache.flush(Duration::from_millis(10)).is_err());
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(100_000).collect();
    for number in 0..20_u8 {
        stack.cache.put(&[number], &noise, Ttl::Default).unwrap();
    }
    stack.cache.put(b"lost", &noise, Ttl::Default).unwrap();
    assert!(stack.cache.statistics().redis.dropped_writes > 0);
    assert!(stack.cache.statistics().redis.queued_bytes < 2 << 20);
    // Only Redis is asked here: what it says is either new or nothing.
    [&b"kept"[..], b"lost"].iter().for_each(|key| {
        stack.forget_in_memory(key);
        stack.disk.forget(key);
    });
    assert_eq!(stack.value(b"kept").unwrap(), b"new", "it waits");
    assert!(stack.value(b"lost").is_none());
    stack.redis.fail(None);
    wait_for("the tier", || stack.cache.flush(Duration::from_secs(1)).is_ok());
    assert!(stack.redis.get(b"lost").is_none());
    stack.forget_in_memory(b"kept");
    assert_eq!(stack.value(b"kept").unwrap(), b"new");
}

#[test]
fn new_keys_that_find_too_much_waiting_cost_the_disk_nothing_that_it_has() {
    let stack = stack_with(&[("memory.capacity", "4")], None, Some(queued(Duration::ZERO, false)));
    stack.cache.put(b"kept", b"value", Ttl::Default).unwrap();
    stack.cache.put(b"overwritten", b"old", Ttl::Default).unwrap();
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    let goes_on = Arc::new(AtomicBool::new(false));
    let until = goes_on.clone();
    stack.disk.before_write(move |_| {
        while !until.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    // More than can wait to be removed.
    for number in 0..110_000_u32 {
        stack.cache.put(&number.to_le_bytes(), b"value", Ttl::Default).unwrap();
    }
    stack.cache.put(b"overwritten", b"new", Ttl::Default).unwrap();
    assert!(stack.cache.statistics().disk.dropped_writes > 100_000);
    goes_on.store(true, SeqCst);
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    assert!(stack.disk.get(b"kept").is_some());
    assert!(stack.disk.get(b"overwritten").is_none(), "what was not written is no longer believed");
}

#[test]
fn clearing_gives_up_what_waits() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.cache.purge(Purge::All);
    assert!(stack.value(b"key").is_none());
    stack.cache.put(b"later", b"value", Ttl::Default).unwrap();
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    assert!(stack.disk.get(b"key").is_none() && stack.disk.get(b"later").is_some());
}

#[test]
fn what_memory_evicts_is_written_to_disk_if_it_is_not_there_and_nothing_has_changed_since() {
    let stack = stack_with(&[("cache.demote", "on"), ("memory.capacity", "1"), ("memory.policy", "lru")], None, None);
    let tick = || stack.time.advance(Duration::from_millis(1));
    let put = |key: &[u8], ttl| {
        stack.cache.put(key, b"value", ttl).unwrap();
        stack.disk.forget(key);
        tick();
    };
    put(b"a", Ttl::For(HOUR));
    put(b"b", Ttl::For(HOUR));
    assert!(stack.left_in(&stack.disk, b"a").unwrap() <= HOUR);
    assert_eq!(stack.cache.statistics().disk.demotions, 1);
    // It was removed in the moment between leaving and being written.
    let cache = stack.cache.clone();
    let removed = Arc::new(AtomicBool::new(false));
    let has_removed = removed.clone();
    stack.redis.before_write(move |key| {
        if key == b"d" && !has_removed.swap(true, SeqCst) {
            // Makes `c` leave; it is told of, and written, on this thread when the put below ends.
            cache.memory().put(b"x", b"", Ttl::Default).unwrap();
        }
    });
    put(b"c", Ttl::For(HOUR));
    stack.cache.put(b"d", b"value", Ttl::For(HOUR)).unwrap();
    assert!(removed.load(SeqCst) && stack.disk.get(b"c").is_some(), "nobody has written it since");
    stack.redis.no_hooks();
    // Tagged entries and those whose time is over are not written.
    stack.cache.put_with(b"t", b"value", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
    stack.disk.forget(b"t");
    tick();
    put(b"e", Ttl::Default);
    assert!(stack.disk.get(b"t").is_none());
    // The caller's listener is told as well.
    let told = Arc::new(AtomicU64::new(0));
    let counts = told.clone();
    stack.cache.set_listener(Some(Arc::new(move |_| _ = counts.fetch_add(1, SeqCst))));
    put(b"f", Ttl::Default);
    assert_eq!(told.load(SeqCst), 1);
    assert!(stack.disk.get(b"e").is_some());
}

#[test]
fn what_was_evicted_and_then_removed_or_purged_is_not_written_to_disk() {
    for how in ["remove", "put", "clear"] {
        let stack = stack_with(&[("cache.demote", "on")], None, None);
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.disk.forget(b"key");
        stack.time.advance(Duration::from_millis(1));
        // It leaves here, and is told of when this thread says so.
        stack.cache.memory().shrink(0);
        let kept = stack.disk.get(b"key");
        assert!(kept.is_some(), "it left with nothing in between");
        // The same, with a write that ends between the two.
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.disk.forget(b"key");
        stack.time.advance(Duration::from_millis(1));
        let cache = stack.cache.clone();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        stack.cache.put(b"other", b"", Ttl::Default).unwrap();
        stack.disk.forget(b"other");
        stack.time.advance(Duration::from_millis(1));
        // Told first of the two: writes the other key before that is told.
        let time = stack.time.clone();
        stack.cache.set_listener(Some(Arc::new(move |departed| {
            if is_done.swap(true, SeqCst) {
                return;
            }
            let other = if departed.key() == b"key" { &b"other"[..] } else { b"key" };
            time.advance(Duration::from_millis(1));
            match how {
                "remove" => _ = cache.remove(other),
                "put" => cache.put(other, b"new", Ttl::Default).unwrap(),
                _ => _ = cache.purge(Purge::All),
            }
        })));
        stack.cache.memory().shrink(0);
        assert!(done.load(SeqCst));
        stack.cache.set_listener(None);
        let on_disk = [&b"key"[..], b"other"].iter().filter(|key| stack.disk.get(key).is_some()).count();
        match how {
            // The first one was written before.
            "remove" => assert_eq!(on_disk, 1),
            "put" => {
                let new = [&b"key"[..], b"other"].iter().any(|key| {
                    let bytes = stack.disk.get(key);
                    bytes.is_some_and(|bytes| Envelope::decode(key, &bytes).unwrap().body.len() == 3)
                });
                assert!(new);
            }
            _ => assert_eq!(on_disk, 0),
        }
    }
}

/// A memory of one entry loses what was written before its writer has returned, so look-ups meet in flights all the time. What the leader of
/// one finds in memory is not to be handed to who has come after the write that was just about to replace it.
#[test]
fn who_waits_for_somebody_elses_look_up_is_not_given_what_was_overwritten_before_it_came() {
    const KEYS: u8 = 2;
    let stack = stack_with(&[("memory.capacity", "1")], None, None);
    let newest: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let until = Instant::now() + Duration::from_millis(1_000);
    std::thread::scope(|scope| {
        for key in 0..KEYS {
            let (stack, newest) = (&stack, &newest);
            scope.spawn(move || {
                let mut count = 0_u64;
                while Instant::now() < until {
                    count += 1;
                    stack.cache.put(&[key], &count.to_le_bytes(), Ttl::Default).unwrap();
                    newest[key as usize].store(count, SeqCst);
                }
            });
        }
        for reader in 0..4_u8 {
            let (stack, newest) = (&stack, &newest);
            scope.spawn(move || {
                let key = reader % KEYS;
                while Instant::now() < until {
                    let floor = newest[key as usize].load(SeqCst);
                    if let Some(value) = stack.cache.acquire(&[key]).unwrap() {
                        let number = u64::from_le_bytes(value[..].try_into().unwrap());
                        assert!(number >= floor, "{number} was read after {floor} had been written");
                    }
                }
            });
        }
    });
}

/// Values carry the key and a number that only rises; each thread writes keys of its own, and all read all.
#[test]
fn with_tiers_that_come_and_go_nobody_ever_reads_an_older_value_than_was_written() {
    const KEYS: usize = 8;
    let stack = stack_with(&[("memory.capacity", "3")], None, Some(queued(Duration::from_millis(1), false)));
    let newest: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let until = Instant::now() + Duration::from_millis(1_500);
    let check = |key: usize, value: &[u8], floor: u64| {
        let text = std::str::from_utf8(value).unwrap();
        let (named, number) = text.split_once(':').unwrap();
        assert_eq!(named.parse::<usize>().unwrap(), key);
        let number: u64 = number.parse().unwrap();
        assert!(number >= floor, "key {key}: {number} was read after {floor} had been written");
    };
    std::thread::scope(|scope| {
        for thread in 0..3_usize {
            let (stack, newest, check) = (&stack, &newest, &check);
            scope.spawn(move || {
                let mut state = thread as u64 + 1;
                let mut random = move || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state as usize
                };
                let mut count = 0;
                while Instant::now() < until {
                    let key = random() % KEYS;
                    let name = [key as u8];
                    if key % 3 == thread && random() % 2 == 0 {
                        count += 1;
                        // What it removes is a number, too: nothing is at least that.
                        if random() % 8 == 0 {
                            stack.cache.remove(&name);
                        } else {
                            stack.cache.put(&name, format!("{key}:{count}").as_bytes(), Ttl::Default).unwrap();
                        }
                        newest[key].store(count, SeqCst);
                    } else {
                        let floor = newest[key].load(SeqCst);
                        if let Some(value) = stack.cache.acquire(&name).unwrap() {
                            check(key, &value, floor);
                        }
                    }
                }
            });
        }
        let mut number = 0_usize;
        while Instant::now() < until {
            number += 1;
            std::thread::sleep(Duration::from_millis(7));
            stack.redis.fail(number.is_multiple_of(3).then_some(FaultKind::Unreachable));
            stack.disk.fail(number.is_multiple_of(7).then_some(FaultKind::Full));
        }
        stack.redis.fail(None);
        stack.disk.fail(None);
    });
    let statistics = stack.cache.statistics();
    assert!(statistics.redis.openings > 0 && statistics.redis.hits > 0, "{statistics:?}");
}
