//! Writes that depend on what is there, and purges by tag.

use super::{stack, HOUR};
use crate::cache::Purge;
use crate::clock::Ttl;
use crate::error::Status;
use crate::tiers::memory::{Condition, PutOptions, PutOutcome};
use crate::tiers::TierName;

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
